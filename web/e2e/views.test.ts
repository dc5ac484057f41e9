// The other views, and the page around them.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { rawOf } from "../tests/profile.ts";
import { generate } from "../tools/generate.ts";
import { Browser, type Opened } from "./browser.ts";
import { names, quiet, SMALL } from "./small.ts";

let browser: Browser;
beforeAll(async () => void (browser = await Browser.start()));
afterAll(() => browser.stop());

describe("the other views", () => {
    test("sizes lead to the table of a range", async () => {
        const opened = await browser.open(rawOf(SMALL), { hash: "#tab=sizes" });
        const { page } = opened;
        await page.waitForSelector(".chart canvas");
        await expect.poll(() => page.locator(".plain-table tbody tr").count()).toBe(9);
        await page.getByRole("button", { name: "2,049 – 4,096" }).click();
        await expect.poll(() => names(opened)).toEqual(["copy"]);
        await page.locator(".chip").click();
        await expect.poll(() => names(opened)).toEqual(["copy", "grow"]);
        quiet(opened);
    });

    test("threads lead to the table of one", async () => {
        const opened = await browser.open(generate({ sites: 200, threads: 3 }), { hash: "#tab=threads" });
        await opened.page.getByRole("button", { name: "worker-2" }).click();
        await opened.page.waitForSelector(".kept");
        await expect.poll(() => opened.page.locator(".chip").innerText()).toContain("thread worker-2");
        quiet(opened);
    });

    test("leaks can be sorted, opened and searched", async () => {
        const leaky = [
            { stack: ["node", "tree", "main"], size: 100, calls: 9, leaked: [0, 9] as [number, number] },
            { stack: ["root", "tree", "main"], size: 8, calls: 1, leaked: [1, 0] as [number, number] },
            ...SMALL,
        ];
        const opened = await browser.open(rawOf(leaky), { hash: "#tab=leaks" });
        const { page } = opened;
        const rows = () => page.locator(".leaks tbody th .name").allInnerTexts();
        await expect.poll(rows).toEqual(["root", "node"]);
        await expect.poll(() => page.locator("#leak-sum").innerText()).toContain("8 B in 1 block directly, 900 B in 9 blocks indirectly, from 2 stacks");
        await page.getByRole("button", { name: "indirectly" }).click();
        await expect.poll(rows).toEqual(["node", "root"]);
        expect(await page.evaluate(() => location.hash)).toContain("leaks=indirect_bytes");
        await page.getByRole("button", { name: "root" }).click();
        await expect.poll(() => page.locator(".leak-stack li").allInnerTexts()).toEqual(["root", "tree", "main"]);
        await page.locator("#search").fill("root");
        await expect.poll(rows).toEqual(["root"]);
        quiet(opened);
    });

    test("without a leak check there is no view of leaks", async () => {
        const opened = await browser.open(rawOf(SMALL), { hash: "#tab=leaks" });
        await opened.page.waitForSelector('#tab-overview[aria-selected="true"]');
        expect(await opened.page.locator("#tab-leaks").count()).toBe(0);
        quiet(opened);
    });

    test("the overview has the peak, and what is missing", async () => {
        const opened = await browser.open(generate({ sites: 200, live: true, losses: true, sampled: true }));
        const { page } = opened;
        await page.waitForSelector(".chart canvas");
        await expect.poll(() => page.locator(".chart").getAttribute("aria-label")).toMatch(/The peak is [\d.]+ .B, [\d.]+ s after the start/);
        await expect.poll(() => page.locator(".honest.warn").innerText()).toMatch(/every 524 kB[\s\S]*1,234 stacks[\s\S]*17 allocations/);
        quiet(opened);
    });

    test("many processes and threads are no trouble", async () => {
        const opened = await browser.open(generate({ sites: 5000, processes: 1200, threads: 2000, live: true }), { hash: "#tab=processes" });
        await expect.poll(() => opened.page.locator(".facts").count()).toBe(20);
        await expect.poll(() => opened.page.locator(".sums tbody tr").count()).toBe(500);
        await opened.page.locator("#tab-threads").click();
        await expect.poll(() => opened.page.locator(".sums tfoot").innerText()).toMatch(/and 1,\d+ more/);
        quiet(opened);
    });

    test("processes say how they were run", async () => {
        const opened = await browser.open(generate({ sites: 50, processes: 3 }), { hash: "#tab=processes" });
        await expect.poll(() => opened.page.locator(".facts").first().innerText()).toContain("'two words'");
        await expect.poll(() => opened.page.locator(".sums tbody tr").count()).toBe(3);
        quiet(opened);
    });
});

describe("the page", () => {
    test("goes through its tabs with the arrow keys, and back with the browser", async () => {
        const opened = await browser.open(rawOf(SMALL));
        const { page } = opened;
        await page.locator("#tab-overview").focus();
        await page.keyboard.press("ArrowRight");
        await expect.poll(() => page.locator('[role="tab"][aria-selected="true"]').innerText()).toBe("Table");
        await page.keyboard.press("ArrowLeft");
        await page.keyboard.press("ArrowLeft");
        await expect.poll(() => page.locator('[role="tab"][aria-selected="true"]').innerText()).toBe("Processes");
        await page.goBack();
        await page.waitForSelector('#tab-overview[aria-selected="true"]');
        quiet(opened);
    });

    test("has a help with keys and licences", async () => {
        const opened = await browser.open(rawOf(SMALL));
        const { page } = opened;
        await page.keyboard.press("?");
        await expect.poll(() => page.locator("dialog[open]").count()).toBe(1);
        const licences = await page.locator("dialog pre").textContent();
        for (const name of ["preact", "uplot", "d3-flame-graph", "d3-selection", "@tanstack/virtual-core", "@preact/signals"]) expect(licences).toContain(`${name} `);
        await page.keyboard.press("Escape");
        await expect.poll(() => page.locator("dialog[open]").count()).toBe(0);
        quiet(opened);
    });

    test("is dark where the system is, and where it is chosen", async () => {
        const background = ({ page }: Opened) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        const [light, dark] = [await browser.open(rawOf(SMALL)), await browser.open(rawOf(SMALL), { dark: true })];
        await expect.poll(() => background(light)).toBe("rgb(247, 247, 245)");
        await expect.poll(() => background(dark)).toBe("rgb(21, 23, 27)");
        await light.page.keyboard.press("d");
        await light.page.keyboard.press("d");
        await expect.poll(() => background(light)).toBe("rgb(21, 23, 27)");
        await light.page.keyboard.press("d");
        quiet(light);
        quiet(dark);
    });

    test("says what is wrong with data that are no profile", async () => {
        const { page } = await browser.open({ version: 99, sites: { calls: [1], bytes: [1] } });
        await expect.poll(() => page.locator('[role="alert"]').innerText()).toContain("version 99");
    });

    test("shows the least there can be", async () => {
        const opened = await browser.open({ version: 1, sites: { calls: [3], bytes: [12] } });
        for (const tab of ["table", "flame", "sizes", "threads", "processes"]) {
            await opened.page.locator(`#tab-${tab}`).click();
            await opened.page.waitForTimeout(50);
        }
        quiet(opened);
    });

    test("shows no sites at all", async () => {
        const opened = await browser.open({ version: 1, sites: { calls: [], bytes: [] } });
        for (const tab of ["table", "flame", "sizes", "threads", "processes"]) {
            await opened.page.locator(`#tab-${tab}`).click();
            await opened.page.waitForTimeout(50);
        }
        quiet(opened);
    });
});
