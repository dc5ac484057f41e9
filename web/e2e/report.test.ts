// The page as people use it, by mouse and by keys.
import AxeBuilder from "@axe-core/playwright";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { generate, HOSTILE } from "../tools/generate.ts";
import { rawOf } from "../tests/profile.ts";
import { Browser, type Opened, shot } from "./browser.ts";

let browser: Browser;
beforeAll(async () => void (browser = await Browser.start()));
afterAll(() => browser.stop());

/** Nothing was said on the console, asked of the network, or run by the data. */
function quiet({ complaints, requests, dialogs }: Opened): void {
    expect({ complaints, requests, dialogs }).toEqual({ complaints: [], requests: [], dialogs: [] });
}

const SMALL = [
    { stack: ["grow", "push", "main"], size: 10, calls: 1 },
    { stack: ["grow", "push", "main"], size: 20, calls: 2 },
    { stack: ["grow", "insert", "main"], size: 10, calls: 100, thread: 1 },
    { stack: ["copy", "main"], size: 4096, calls: 5, thread: 1 },
];

/** Names of the rows of the table, in order. */
const names = ({ page }: Opened) => page.locator("#grid .grid-body .row .name").allInnerTexts();
/** Texts of a column, 0 for the name. */
const column = async ({ page }: Opened, index: number) =>
    page.locator("#grid .grid-body .row").evaluateAll((rows, at) => rows.map((row) => row.children[at].textContent), index);

describe("the table", () => {
    test("opens by keys from pc0 to the size, with sums", async () => {
        const opened = await browser.open(rawOf(SMALL));
        const { page } = opened;
        await page.keyboard.press("2");
        await page.waitForSelector("#grid:focus #row-0");
        expect(await names(opened)).toEqual(["copy", "grow"]);
        expect(await column(opened, 1)).toEqual(["20.5 kB", "1.05 kB"]);
        // "2" put the focus on the table.
        await page.keyboard.press("ArrowDown");
        await page.keyboard.press("ArrowRight");
        expect(await names(opened)).toEqual(["copy", "grow", "insert", "push"]);
        expect(await column(opened, 3)).toEqual(["5", "103", "100", "3"]);
        await page.keyboard.press("ArrowRight");
        await page.keyboard.press("ArrowDown");
        // There is but one way from "push" on, down to its sizes.
        await page.keyboard.press("ArrowRight");
        expect(await names(opened)).toEqual(["copy", "grow", "insert", "push", "main", "-", "20 bytes", "10 bytes"]);
        expect(await page.locator("#grid").getAttribute("aria-activedescendant")).toBe("row-3");
        expect(await page.locator("#row-6").getAttribute("aria-level")).toBe("5");
        expect(await page.locator("#row-3").getAttribute("aria-expanded")).toBe("true");
        await page.keyboard.press("ArrowLeft");
        await page.keyboard.press("ArrowLeft");
        expect(await page.locator("#grid").getAttribute("aria-activedescendant")).toBe("row-1");
        await page.keyboard.press("ArrowLeft");
        expect(await names(opened)).toEqual(["copy", "grow"]);
        quiet(opened);
    });

    test("opens by the mouse, and shows the stack of a row", async () => {
        const opened = await browser.open(rawOf(SMALL), { hash: "#tab=table" });
        await opened.page.locator("#row-1 .name").click();
        expect(await names(opened)).toEqual(["copy", "grow", "insert", "push"]);
        await opened.page.locator("#row-3 .name").click();
        expect(await names(opened)).toEqual(["copy", "grow", "insert", "push", "main", "-", "20 bytes", "10 bytes"]);
        expect(await opened.page.locator(".details h2").innerText()).toBe("push");
        expect(await opened.page.locator(".details .stack").first().locator("li .name").allInnerTexts()).toEqual(["grow", "push", "main"]);
        quiet(opened);
    });

    test("is sorted by any column, and by names", async () => {
        const opened = await browser.open(rawOf(SMALL), { hash: "#tab=table" });
        const head = (text: string) => opened.page.locator(".grid-head button", { hasText: text }).first();
        await head("Calls").click();
        expect(await names(opened)).toEqual(["grow", "copy"]);
        await head("Calls").click();
        expect(await names(opened)).toEqual(["copy", "grow"]);
        expect(await opened.page.locator('[role="columnheader"][aria-sort="ascending"]').innerText()).toContain("Calls");
        await head("pc0").click();
        expect(await names(opened)).toEqual(["copy", "grow"]);
        await head("pc0").click();
        expect(await names(opened)).toEqual(["grow", "copy"]);
        expect(opened.page.url()).toContain("sort=-name");
        quiet(opened);
    });

    test("is searched with a key, and cleared with another", async () => {
        const opened = await browser.open(rawOf(SMALL), { hash: "#tab=table" });
        const { page } = opened;
        await page.keyboard.press("/");
        await page.keyboard.type("push");
        await page.waitForSelector(".kept");
        expect(await names(opened)).toEqual(["grow"]);
        expect(await page.locator(".kept").innerText()).toBe("2 of 4 sites, 50 B (0.2 % of all bytes)");
        expect(page.url()).toContain("q=push");
        await page.keyboard.press("Escape");
        await page.waitForSelector(".kept", { state: "hidden" });
        expect(await names(opened)).toEqual(["copy", "grow"]);
        quiet(opened);
    });

    test("keeps what is open when it is searched", async () => {
        const opened = await browser.open(rawOf(SMALL), { hash: "#tab=table" });
        await opened.page.locator("#row-1 .name").click();
        await opened.page.locator("#search").fill("grow");
        await opened.page.waitForSelector(".kept");
        expect(await names(opened)).toEqual(["grow", "insert", "push"]);
        expect(await opened.page.locator(".hit .name").allInnerTexts()).toEqual(["grow"]);
        quiet(opened);
    });

    test("groups by size and by thread", async () => {
        const opened = await browser.open(rawOf(SMALL), { hash: "#tab=table" });
        await opened.page.locator("#group").selectOption("size");
        expect(await names(opened)).toEqual(["4,096 bytes", "10 bytes", "20 bytes"]);
        await opened.page.locator("#group").selectOption("thread");
        expect(await names(opened)).toEqual(["thread 1", "thread 0"]);
        quiet(opened);
    });

    test("of a difference has old, new and change side by side", async () => {
        const opened = await browser.open(rawOf(SMALL.map((site, i) => ({ ...site, old: [1, 2, 300, 0][i] }))), { hash: "#tab=table" });
        expect(await names(opened)).toEqual(["copy", "grow"]);
        expect(await column(opened, 1)).toEqual(["0 B", "3.05 kB"]);
        expect(await column(opened, 2)).toEqual(["20.5 kB", "1.05 kB"]);
        expect(await column(opened, 3)).toEqual(["+20.5 kB", "\u22122.00 kB"]);
        expect(await column(opened, 4)).toEqual(["new", "\u221265.6 %"]);
        expect(await opened.page.locator(".totals").innerText()).toContain("3.05 kB\n21.5 kB\n+18.5 kB\n+605.9 %");
        await opened.page.locator("#group").selectOption("change");
        expect(await names(opened)).toEqual(["new", "same", "shrunk"]);
        quiet(opened);
    });

    test("has a column for what is asked for", async () => {
        const opened = await browser.open(generate({ sites: 50, live: true }), { hash: "#tab=table" });
        const heads = () => opened.page.locator('[role="columnheader"]').allInnerTexts();
        expect((await heads()).some((text) => text.includes("Slack"))).toBe(false);
        await opened.page.locator(".menu summary").click();
        await opened.page.getByLabel("Slack").check();
        await opened.page.keyboard.press("Escape");
        expect(await opened.page.locator(".menu").getAttribute("open")).toBeNull();
        expect((await heads()).some((text) => text.includes("Slack"))).toBe(true);
        quiet(opened);
    });
});

describe("the flame graph", () => {
    /** Names of the frames, by rows. */
    const frames = ({ page }: Opened) => page.locator("#flame g.frame").evaluateAll((all) => all.map((frame) => frame.getAttribute("name")));

    test("begins at pc0, zooms by a click and comes back", async () => {
        const opened = await browser.open(rawOf(SMALL), { hash: "#tab=flame" });
        const { page } = opened;
        await page.waitForSelector("#flame g.frame");
        expect(await frames(opened)).toEqual(["all", "copy", "grow", "main", "insert", "push", "main", "main"]);
        const width = () => page.locator('#flame g.frame[name="grow"] rect').evaluate((rect) => rect.getBoundingClientRect().width);
        const before = await width();
        await page.locator('#flame g.frame[name="grow"]').click();
        await page.waitForFunction(() => document.querySelectorAll("#flame g.frame").length === 6);
        expect(await frames(opened)).toEqual(["all", "grow", "insert", "push", "main", "main"]);
        // The movement takes its time.
        await expect.poll(width).toBeGreaterThan(before * 10);
        await page.locator("#unzoom").click();
        await page.waitForFunction(() => document.querySelectorAll("#flame g.frame").length === 8);
        await expect.poll(width).toBeCloseTo(before, 0);
        quiet(opened);
    });

    test("is used by keys alone", async () => {
        const opened = await browser.open(rawOf(SMALL), { hash: "#tab=flame" });
        const { page } = opened;
        await page.keyboard.press("3");
        await page.waitForSelector("#flame:focus g.frame");
        for (const key of ["ArrowDown", "ArrowRight"]) await page.keyboard.press(key);
        expect(await page.locator(".flame-line").innerText()).toBe("grow: 1,050 bytes (4.9 %)");
        const active = await page.locator("#flame").getAttribute("aria-activedescendant");
        expect(await page.locator(`#${active}`).getAttribute("aria-label")).toBe("grow, 1.05 kB, 4.9 %");
        await page.keyboard.press("Enter");
        await page.waitForFunction(() => document.querySelectorAll("#flame g.frame").length === 6);
        await page.keyboard.press("Escape");
        await page.waitForFunction(() => document.querySelectorAll("#flame g.frame").length === 8);
        quiet(opened);
    });

    test("shows calls too, and begins at main", async () => {
        const opened = await browser.open(rawOf(SMALL), { hash: "#tab=flame" });
        const { page } = opened;
        await page.locator("#metric").selectOption("calls");
        await page.waitForFunction(() => document.querySelector("#flame g.frame:nth-of-type(2)")?.getAttribute("name") === "grow");
        await page.locator("#from").selectOption("main");
        await page.waitForFunction(() => document.querySelector("#flame g.frame:nth-of-type(2)")?.getAttribute("name") === "main");
        expect(await frames(opened)).toEqual(["all", "main", "insert", "copy", "push", "grow", "grow"]);
        quiet(opened);
    });

    test("leads to the table for what is too narrow", async () => {
        const many = Array.from({ length: 3000 }, (_, i) => ({ stack: [`tiny${i}`, "main"], size: 1, calls: 1 }));
        const opened = await browser.open(rawOf([{ stack: ["big", "main"], size: 5000, calls: 1 }, ...many]), { hash: "#tab=flame" });
        await opened.page.locator('#flame g.frame[name="3000 smaller"]').click();
        await opened.page.waitForSelector("#grid");
        expect(await opened.page.locator("#row-count").innerText()).toBe("3,001 functions, 3,001 sites");
        quiet(opened);
    });

    test("marks what is searched for, and says what a frame is", async () => {
        const opened = await browser.open(rawOf(SMALL), { hash: "#tab=flame&q=grow" });
        const { page } = opened;
        await page.waitForSelector("#flame g.frame");
        const fill = (name: string) => page.locator(`#flame g.frame[name="${name}"] rect`).first().getAttribute("fill");
        expect(await fill("grow")).toBe("var(--flame-hit)");
        expect(await fill("main")).toBe("var(--flame-dim)");
        expect(await frames(opened)).not.toContain("copy");
        await page.locator('#flame g.frame[name="insert"]').hover();
        expect(await page.locator(".tip").innerText()).toContain("1,000 bytes (95.2 %)");
        quiet(opened);
    });

    test("of a difference is red and blue", async () => {
        const opened = await browser.open(rawOf(SMALL.map((site, i) => ({ ...site, old: [1, 2, 300, 0][i] }))), { hash: "#tab=flame" });
        await opened.page.waitForSelector("#flame g.frame");
        const colour = (name: string) =>
            opened.page.locator(`#flame g.frame[name="${name}"] rect`).first().evaluate((rect) => {
                const canvas = document.createElement("canvas").getContext("2d")!;
                canvas.fillStyle = getComputedStyle(rect).fill;
                canvas.fillRect(0, 0, 1, 1);
                return [...canvas.getImageData(0, 0, 1, 1).data];
            });
        expect(await opened.page.locator(".flame-line").innerText()).toContain("3,050 bytes → 21,530 bytes (+605.9 %) in all");
        const [more, less, same] = [await colour("copy"), await colour("insert"), await colour("push")];
        expect(more[0]).toBeGreaterThan(more[2] + 50);
        expect(less[2]).toBeGreaterThan(less[0] + 50);
        expect(Math.abs(same[0] - same[2])).toBeLessThan(20);
        quiet(opened);
    });
});

describe("the other views", () => {
    test("sizes lead to the table of a range", async () => {
        const opened = await browser.open(rawOf(SMALL), { hash: "#tab=sizes" });
        const { page } = opened;
        await page.waitForSelector(".chart canvas");
        expect(await page.locator(".plain-table tbody tr").count()).toBe(9);
        await page.getByRole("button", { name: "2,049 – 4,096" }).click();
        expect(await names(opened)).toEqual(["copy"]);
        await page.locator(".chip").click();
        expect(await names(opened)).toEqual(["copy", "grow"]);
        quiet(opened);
    });

    test("threads lead to the table of one", async () => {
        const opened = await browser.open(generate({ sites: 200, threads: 3 }), { hash: "#tab=threads" });
        await opened.page.getByRole("button", { name: "worker-2" }).click();
        await opened.page.waitForSelector(".kept");
        expect(await opened.page.locator(".chip").innerText()).toContain("thread worker-2");
        quiet(opened);
    });

    test("the overview has the peak, and what is missing", async () => {
        const opened = await browser.open(generate({ sites: 200, live: true, losses: true, sampled: true }));
        const { page } = opened;
        await page.waitForSelector(".chart canvas");
        expect(await page.locator(".chart").getAttribute("aria-label")).toMatch(/The peak is [\d.]+ .B, [\d.]+ s after the start/);
        expect(await page.locator(".honest.warn").innerText()).toMatch(/every 524 kB[\s\S]*1,234 stacks[\s\S]*17 allocations/);
        quiet(opened);
    });

    test("many processes and threads are no trouble", async () => {
        const opened = await browser.open(generate({ sites: 5000, processes: 1200, threads: 2000, live: true }), { hash: "#tab=processes" });
        expect(await opened.page.locator(".facts").count()).toBe(20);
        expect(await opened.page.locator(".sums tbody tr").count()).toBe(500);
        await opened.page.locator("#tab-threads").click();
        expect(await opened.page.locator(".sums tfoot").innerText()).toMatch(/and 1,\d+ more/);
        quiet(opened);
    });

    test("processes say how they were run", async () => {
        const opened = await browser.open(generate({ sites: 50, processes: 3 }), { hash: "#tab=processes" });
        expect(await opened.page.locator(".facts").first().innerText()).toContain("'two words'");
        expect(await opened.page.locator(".sums tbody tr").count()).toBe(3);
        quiet(opened);
    });
});

describe("the page", () => {
    test("goes through its tabs with the arrow keys, and back with the browser", async () => {
        const opened = await browser.open(rawOf(SMALL));
        const { page } = opened;
        await page.locator("#tab-overview").focus();
        await page.keyboard.press("ArrowRight");
        expect(await page.locator('[role="tab"][aria-selected="true"]').innerText()).toBe("Table");
        await page.keyboard.press("ArrowLeft");
        await page.keyboard.press("ArrowLeft");
        expect(await page.locator('[role="tab"][aria-selected="true"]').innerText()).toBe("Processes");
        await page.goBack();
        await page.waitForSelector('#tab-overview[aria-selected="true"]');
        quiet(opened);
    });

    test("has a help with keys and licences", async () => {
        const opened = await browser.open(rawOf(SMALL));
        const { page } = opened;
        await page.keyboard.press("?");
        expect(await page.locator("dialog[open]").count()).toBe(1);
        const licences = await page.locator("dialog pre").textContent();
        for (const name of ["preact", "uplot", "d3-flame-graph", "d3-selection", "@tanstack/virtual-core", "@preact/signals"]) expect(licences).toContain(`${name} `);
        await page.keyboard.press("Escape");
        expect(await page.locator("dialog[open]").count()).toBe(0);
        quiet(opened);
    });

    test("is dark where the system is, and where it is chosen", async () => {
        const background = ({ page }: Opened) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        const [light, dark] = [await browser.open(rawOf(SMALL)), await browser.open(rawOf(SMALL), { dark: true })];
        expect(await background(light)).toBe("rgb(247, 247, 245)");
        expect(await background(dark)).toBe("rgb(21, 23, 27)");
        await light.page.keyboard.press("d");
        await light.page.keyboard.press("d");
        expect(await background(light)).toBe("rgb(21, 23, 27)");
        await light.page.keyboard.press("d");
        quiet(light);
        quiet(dark);
    });

    test("says what is wrong with data that are no profile", async () => {
        const { page } = await browser.open({ version: 99, sites: { calls: [1], bytes: [1] } });
        expect(await page.locator('[role="alert"]').innerText()).toContain("version 99");
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

describe("what comes from outside", () => {
    test("stays text in all views, whatever it is called", async () => {
        const opened = await browser.open(generate({ sites: 300, hostile: true, live: true, diff: true, losses: true }));
        const { page } = opened;
        expect(await page.title()).toContain(HOSTILE[0]);
        for (const tab of ["overview", "table", "flame", "sizes", "threads", "processes"]) {
            await page.locator(`#tab-${tab}`).click();
            await page.waitForTimeout(100);
            if (tab === "table") {
                await page.locator("#grid").focus();
                await page.keyboard.press("*");
                await page.keyboard.press("Shift+ArrowRight");
            }
            if (tab === "flame") await page.locator("#flame g.frame").nth(1).hover();
            expect(await page.locator("img, svg[onload], iframe, b:text('not bold')").count()).toBe(0);
        }
        await page.locator("#tab-table").click();
        await page.locator("#search").fill("</script><img");
        await page.waitForURL(/q=/);
        expect((await names(opened)).join("\n")).toContain("<img");
        await shot(page, "hostile-search");
        quiet(opened);
    });

    test("could run nothing even if it were markup", async () => {
        const opened = await browser.open(rawOf(SMALL));
        await opened.page.evaluate(() => {
            const place = document.createElement("div");
            place.innerHTML = "<img src=data:image/png;base64,x onerror=alert(1)>";
            document.body.append(place);
            const script = document.createElement("script");
            script.textContent = "alert(2)";
            document.body.append(script);
        });
        await opened.page.waitForTimeout(200);
        expect(opened.dialogs).toEqual([]);
        expect(opened.complaints.join()).toContain("Content Security Policy");
    });

    test("and the page reaches no network even if it tried", async () => {
        const opened = await browser.open(rawOf(SMALL));
        const failed = await opened.page.evaluate(() =>
            fetch("http://127.0.0.1:9/").then(
                () => false,
                () => true,
            ),
        );
        expect(failed).toBe(true);
        expect(opened.complaints.join()).toContain("Content Security Policy");
    });

    test("and the file names no address to load from", () => {
        const page = readFileSync(new URL("../dist/report.html", import.meta.url), "utf8");
        const [code] = page.split('<script id="skipheap-licences"');
        // Names of formats look like addresses, and are none.
        const addresses = [...code.matchAll(/https?:\/\/[^"'`\s)]+/g)].map(([address]) => address).filter((address) => !address.startsWith("http://www.w3.org/"));
        expect(addresses).toEqual([]);
    });
});

describe("for everybody", () => {
    const VIEWS = ["overview", "table", "flame", "sizes", "threads", "processes"];
    test.each([
        ["light", false],
        ["dark", true],
    ])("no view has a fault that axe finds: %s", async (_, dark) => {
        const { page } = await browser.open(generate({ sites: 60, live: true, diff: true, losses: true }), { dark });
        for (const view of VIEWS) {
            await page.locator(`#tab-${view}`).click();
            await page.waitForTimeout(100);
            const { violations } = await new AxeBuilder({ page }).analyze();
            const found = violations.map(({ id, nodes }) => `${view}: ${id}: ${nodes.slice(0, 3).map(({ html, failureSummary }) => `${html.slice(0, 160)} ${failureSummary}`).join(" | ")}`);
            expect(found).toEqual([]);
        }
    });
});
