// 200,000 sites: how long people wait. The limits are what the page promises, on a machine that does other things too.
import { afterAll, beforeAll, expect, test } from "vitest";
import { generate } from "../tools/generate.ts";
import { Browser, type Opened, shot, slowest } from "./browser.ts";

const SITES = 200_000;
const STEPS = 60;
const ROUNDS = 3;
let browser: Browser;
let opened: Opened;

beforeAll(async () => void (browser = await Browser.start()));
afterAll(() => browser.stop());

/** Prints a time, and returns it. */
async function time(name: string): Promise<number> {
    const ms = await slowest(opened.page, name);
    console.log(`${name}: ${ms.toFixed(0)} ms`);
    return ms;
}

/** When the first view was drawn, in ms after the page began. */
async function drawn(): Promise<number> {
    await opened.page.waitForSelector(".top-list li");
    return opened.page.evaluate(() => {
        const [{ startTime, duration }] = performance.getEntriesByName("skipheap:render");
        return startTime + duration;
    });
}

test("the first view is there within two seconds", async () => {
    const data = generate({ sites: SITES, live: true, threads: 16 });
    let best = Infinity;
    // Other work on the machine may be in the way of one of them.
    for (let attempt = 0; attempt < 3 && best > 2000; attempt++) {
        await opened?.page.close();
        opened = await browser.open(data);
        best = Math.min(best, await drawn());
    }
    for (const name of ["decode", "model", "render"]) await time(name);
    console.log(`drawn ${best.toFixed(0)} ms after the start of the page`);
    expect(best).toBeGreaterThan(0);
    expect(best).toBeLessThan(2000);
});

/**
 * The longest of some steps, each at its best of some rounds: what the page takes, not what else the machine does.
 * A step takes what the page measures under these names while it runs.
 */
async function longest(names: string[], steps: (() => Promise<void>)[]): Promise<number> {
    const { page } = opened;
    const best = steps.map(() => Infinity);
    for (let round = 0; round < ROUNDS; round++) {
        for (const [i, step] of steps.entries()) {
            await page.evaluate(() => performance.clearMeasures());
            await step();
            await page.waitForTimeout(150);
            const entries = await page.evaluate(() => performance.getEntriesByType("measure").map(({ name, duration }) => [name, duration] as const));
            const took = entries.filter(([name]) => names.includes(name.replace("skipheap:", ""))).map(([, duration]) => duration);
            expect(took.length, `step ${i} is measured`).toBeGreaterThan(0);
            best[i] = Math.min(best[i], took.reduce((sum, ms) => sum + ms, 0));
        }
    }
    console.log(`${names[0]}: ${best.map((ms) => ms.toFixed(0)).join(", ")} ms`);
    return Math.max(...best);
}

test("grouping, sorting and searching take less than 300 ms each", async () => {
    const { page, complaints } = opened;
    await page.locator("#tab-table").click();
    await page.waitForSelector("#row-0");
    const group = (id: string) => async () => void (await page.locator("#group").selectOption(id));
    expect(await longest(["group", "rows"], ["size", "thread", "callees", "callers"].map(group))).toBeLessThan(300);
    const sort = (text: string) => () => page.locator(".grid-head button", { hasText: text }).first().click();
    expect(await longest(["sort", "rows"], ["Calls", "Mean size", "pc0 ›"].map(sort))).toBeLessThan(300);
    const search = (text: string) => () => page.locator("#search").fill(text);
    // The filter is measured with the search in it.
    expect(await longest(["filter", "group", "rows"], ["parse -ui", "/^json.*e$/", "pc1:std", ""].map(search))).toBeLessThan(300);
    await page.locator("#search").fill("parse -ui");
    await page.waitForSelector(".kept");
    await shot(page, "large-table");
    await page.locator("#search").fill("");
    await page.waitForSelector(".kept", { state: "hidden" });
    expect(complaints).toEqual([]);
});

/** What the page does while it is scrolled. */
interface Scrolled {
    /** Steps that moved the table. */
    moved: number;
    /** Elements that were added to the table or taken from it, and attributes and texts that were changed. */
    changes: number;
    /** What was worked out anew: groups, orders, rows. */
    measured: string[];
}

/** Scrolls by steps of less than a page, and counts what the page does: times depend on what else the machine does. */
function scrolled({ page }: Opened): Promise<Scrolled> {
    return page.evaluate(async (steps) => {
        const grid = document.querySelector("#grid")!;
        grid.scrollTop = 0;
        await new Promise(requestAnimationFrame);
        performance.clearMeasures();
        let changes = 0;
        const observer = new MutationObserver((records) => {
            for (const { addedNodes, removedNodes } of records) changes += Math.max(1, addedNodes.length + removedNodes.length);
        });
        observer.observe(grid, { subtree: true, childList: true, attributes: true, characterData: true });
        let moved = 0;
        for (let i = 0; i < steps; i++) {
            const before = grid.scrollTop;
            grid.scrollTop += 700;
            if (grid.scrollTop !== before) moved++;
            // The rows are drawn in the frame after that in which the page hears of it.
            await new Promise(requestAnimationFrame);
            await new Promise(requestAnimationFrame);
        }
        observer.disconnect();
        return { moved, changes, measured: performance.getEntriesByType("measure").map(({ name }) => name) };
    }, STEPS);
}

/** The table by pc0, with rows for all steps. */
async function byCallers({ page }: Opened): Promise<number> {
    await page.locator("#tab-table").click();
    await page.waitForSelector("#row-0");
    await page.locator("#group").selectOption("callers");
    await page.waitForTimeout(100);
    return Number(await page.locator("#grid").getAttribute("aria-rowcount"));
}

test("rows are drawn as needed, and scrolling costs what the rows that are seen cost", async () => {
    const { page } = opened;
    const rows = await byCallers(opened);
    expect(rows).toBeGreaterThan(10_000);
    expect(await page.locator("#grid .grid-body .row").count()).toBeLessThan(100);
    const fewer = await browser.open(generate({ sites: SITES / 10, live: true, threads: 16 }));
    expect(await byCallers(fewer)).toBeLessThan(rows / 5);
    const few = await scrolled(fewer);
    await fewer.page.close();
    const many = await scrolled(opened);
    console.log(`${STEPS} steps of 700 px: ${many.changes} changes of the page with ${rows} rows, ${few.changes} with fewer`);
    // A table that has come to its end costs nothing.
    expect([few.moved, many.moved]).toEqual([STEPS, STEPS]);
    expect(few.changes).toBeGreaterThan(STEPS * 25);
    expect(many.changes).toBeLessThan(1.5 * few.changes);
    expect([...few.measured, ...many.measured]).toEqual([]);
    await page.locator("#grid").focus();
    await page.keyboard.press("End");
    await page.waitForSelector(`#row-${rows - 3}`);
});

test("the flame graph is drawn within a second, and zooms", async () => {
    const { page, complaints } = opened;
    await page.locator("#tab-flame").click();
    await page.waitForSelector("#flame g.frame");
    const all = await longest(["flame", "flame-frames", "flame-draw"], [() => page.locator("#from").selectOption("main").then(() => {}), () => page.locator("#from").selectOption("pc0").then(() => {})]);
    console.log(`frames drawn: ${await page.locator("#flame g.frame").count()}`);
    expect(all).toBeLessThan(1000);
    await shot(page, "large-flame");
    await page.locator("#from").selectOption("main");
    await page.waitForTimeout(300);
    await shot(page, "large-flame-main");
    expect(complaints).toEqual([]);
});
