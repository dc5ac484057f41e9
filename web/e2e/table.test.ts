// The table, by mouse and by keys.
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { rawOf } from "../tests/profile.ts";
import { generate } from "../tools/generate.ts";
import { Browser, type Opened } from "./browser.ts";
import { CHANGED, names, quiet, SMALL } from "./small.ts";

let browser: Browser;
beforeAll(async () => void (browser = await Browser.start()));
afterAll(() => browser.stop());

/** Texts of a column, 0 for the name. */
const column = async ({ page }: Opened, index: number) =>
    page.locator("#grid .grid-body .row").evaluateAll((rows, at) => rows.map((row) => row.children[at].textContent), index);

describe("the table", () => {
    test("opens by keys from pc0 to the size, with sums", async () => {
        const opened = await browser.open(rawOf(SMALL), { hash: "#group=callers" });
        const { page } = opened;
        await page.keyboard.press("2");
        await page.waitForSelector("#grid:focus #row-0");
        await expect.poll(() => names(opened)).toEqual(["copy", "grow"]);
        await expect.poll(() => column(opened, 1)).toEqual(["20.5 kB", "1.05 kB"]);
        // "2" put the focus on the table.
        await page.keyboard.press("ArrowDown");
        await page.keyboard.press("ArrowRight");
        await expect.poll(() => names(opened)).toEqual(["copy", "grow", "insert", "push"]);
        await expect.poll(() => column(opened, 3)).toEqual(["5", "103", "100", "3"]);
        await page.keyboard.press("ArrowRight");
        await page.keyboard.press("ArrowDown");
        // There is but one way from "push" on, down to its sizes.
        await page.keyboard.press("ArrowRight");
        await expect.poll(() => names(opened)).toEqual(["copy", "grow", "insert", "push", "main", "-", "20 bytes", "10 bytes"]);
        await expect.poll(() => page.locator("#grid").getAttribute("aria-activedescendant")).toBe("row-3");
        await expect.poll(() => page.locator("#row-6").getAttribute("aria-level")).toBe("5");
        await expect.poll(() => page.locator("#row-3").getAttribute("aria-expanded")).toBe("true");
        await page.keyboard.press("ArrowLeft");
        await page.keyboard.press("ArrowLeft");
        await expect.poll(() => page.locator("#grid").getAttribute("aria-activedescendant")).toBe("row-1");
        await page.keyboard.press("ArrowLeft");
        await expect.poll(() => names(opened)).toEqual(["copy", "grow"]);
        quiet(opened);
    });

    test("opens by the mouse, and shows the stack of a row", async () => {
        const opened = await browser.open(rawOf(SMALL), { hash: "#tab=table&group=callers" });
        await opened.page.locator("#row-1 .name").click();
        await expect.poll(() => names(opened)).toEqual(["copy", "grow", "insert", "push"]);
        await opened.page.locator("#row-3 .name").click();
        await expect.poll(() => names(opened)).toEqual(["copy", "grow", "insert", "push", "main", "-", "20 bytes", "10 bytes"]);
        await expect.poll(() => opened.page.locator(".details h2").innerText()).toBe("push");
        await expect.poll(() => opened.page.locator(".details .stack").first().locator("li .name").allInnerTexts()).toEqual(["grow", "push", "main"]);
        quiet(opened);
    });

    test("is sorted by any column, and by names", async () => {
        const opened = await browser.open(rawOf(SMALL), { hash: "#tab=table" });
        const head = (text: string) => opened.page.locator(".grid-head button", { hasText: text }).first();
        await head("Calls").click();
        await expect.poll(() => names(opened)).toEqual(["grow", "copy"]);
        await head("Calls").click();
        await expect.poll(() => names(opened)).toEqual(["copy", "grow"]);
        await expect.poll(() => opened.page.locator('[role="columnheader"][aria-sort="ascending"]').innerText()).toContain("Calls");
        await head("pc0").click();
        await expect.poll(() => names(opened)).toEqual(["copy", "grow"]);
        await head("pc0").click();
        await expect.poll(() => names(opened)).toEqual(["grow", "copy"]);
        expect(opened.page.url()).toContain("sort=-name");
        quiet(opened);
    });

    test("is searched with a key, and cleared with another", async () => {
        const opened = await browser.open(rawOf(SMALL), { hash: "#tab=table" });
        const { page } = opened;
        await page.keyboard.press("/");
        await page.keyboard.type("push");
        await page.waitForSelector(".kept");
        await expect.poll(() => names(opened)).toEqual(["grow"]);
        await expect.poll(() => page.locator(".kept").innerText()).toBe("2 of 4 sites, 50 B (0.2 % of all bytes)");
        expect(page.url()).toContain("q=push");
        await page.keyboard.press("Escape");
        await page.waitForSelector(".kept", { state: "hidden" });
        await expect.poll(() => names(opened)).toEqual(["copy", "grow"]);
        quiet(opened);
    });

    test("keeps what is open when it is searched", async () => {
        const opened = await browser.open(rawOf(SMALL), { hash: "#tab=table&group=callers" });
        await opened.page.locator("#row-1 .name").click();
        await opened.page.locator("#search").fill("grow");
        await opened.page.waitForSelector(".kept");
        await expect.poll(() => names(opened)).toEqual(["grow", "insert", "push"]);
        await expect.poll(() => opened.page.locator(".hit .name").allInnerTexts()).toEqual(["grow"]);
        quiet(opened);
    });

    test("groups by size and by thread", async () => {
        const opened = await browser.open(rawOf(SMALL), { hash: "#tab=table" });
        await opened.page.locator("#group").selectOption("size");
        await expect.poll(() => names(opened)).toEqual(["4,096 bytes", "10 bytes", "20 bytes"]);
        await opened.page.locator("#group").selectOption("thread");
        await expect.poll(() => names(opened)).toEqual(["thread 1", "thread 0"]);
        quiet(opened);
    });

    test("of a difference has old, new and change side by side", async () => {
        const opened = await browser.open(rawOf(CHANGED), { hash: "#tab=table" });
        await expect.poll(() => names(opened)).toEqual(["copy", "grow"]);
        await expect.poll(() => column(opened, 1)).toEqual(["0 B", "3.05 kB"]);
        await expect.poll(() => column(opened, 2)).toEqual(["20.5 kB", "1.05 kB"]);
        await expect.poll(() => column(opened, 3)).toEqual(["+20.5 kB", "\u22122.00 kB"]);
        await expect.poll(() => column(opened, 4)).toEqual(["new", "\u221265.6 %"]);
        await expect.poll(() => opened.page.locator(".totals").innerText()).toContain("3.05 kB\n21.5 kB\n+18.5 kB\n+605.9 %");
        await opened.page.locator("#group").selectOption("change");
        await expect.poll(() => names(opened)).toEqual(["new", "same", "shrunk"]);
        quiet(opened);
    });

    test("is saved as a file", async () => {
        const opened = await browser.open(rawOf(SMALL), { hash: "#tab=table&group=callers" });
        await opened.page.locator("#row-1 .name").click();
        const download = opened.page.waitForEvent("download");
        await opened.page.getByRole("button", { name: "Save as CSV" }).click();
        const text = readFileSync(await (await download).path(), "utf8");
        expect(text.split("\n").slice(0, 3)).toEqual(['"pc0","pc1","pc2","pc3","size","bytes","calls"', '"copy",,,,,20480,5', '"grow","insert",,,,1000,100']);
        quiet(opened);
    });

    test("has a column for what is asked for", async () => {
        const opened = await browser.open(generate({ sites: 50, live: true }), { hash: "#tab=table" });
        const heads = () => opened.page.locator('[role="columnheader"]').allInnerTexts();
        await expect.poll(async () => (await heads()).some((text) => text.includes("Slack"))).toBe(false);
        await opened.page.locator(".menu summary").click();
        await opened.page.getByLabel("Slack").check();
        await opened.page.keyboard.press("Escape");
        await expect.poll(() => opened.page.locator(".menu").getAttribute("open")).toBeNull();
        await expect.poll(async () => (await heads()).some((text) => text.includes("Slack"))).toBe(true);
        quiet(opened);
    });
});
