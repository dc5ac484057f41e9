// The flame graph, by mouse and by keys.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { rawOf } from "../tests/profile.ts";
import { Browser, type Opened } from "./browser.ts";
import { CHANGED, quiet, SMALL } from "./small.ts";

let browser: Browser;
beforeAll(async () => void (browser = await Browser.start()));
afterAll(() => browser.stop());

describe("the flame graph", () => {
    /** Names of the frames, by rows. */
    const frames = ({ page }: Opened) => page.locator("#flame g.frame").evaluateAll((all) => all.map((frame) => frame.getAttribute("name")));

    test("begins at pc0, zooms by a click and comes back", async () => {
        const opened = await browser.open(rawOf(SMALL), { hash: "#tab=flame" });
        const { page } = opened;
        await page.waitForSelector("#flame g.frame");
        await expect.poll(() => frames(opened)).toEqual(["all", "copy", "grow", "main", "insert", "push", "main", "main"]);
        const width = () => page.locator('#flame g.frame[name="grow"] rect').evaluate((rect) => rect.getBoundingClientRect().width);
        const before = await width();
        await page.locator('#flame g.frame[name="grow"]').click();
        await page.waitForFunction(() => document.querySelectorAll("#flame g.frame").length === 6);
        await expect.poll(() => frames(opened)).toEqual(["all", "grow", "insert", "push", "main", "main"]);
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
        await expect.poll(() => page.locator(".flame-line").innerText()).toBe("grow: 1,050 bytes (4.9 %)");
        const active = await page.locator("#flame").getAttribute("aria-activedescendant");
        await expect.poll(() => page.locator(`#${active}`).getAttribute("aria-label")).toBe("grow, 1.05 kB, 4.9 %");
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
        await expect.poll(() => frames(opened)).toEqual(["all", "main", "insert", "copy", "push", "grow", "grow"]);
        quiet(opened);
    });

    test("leads to the table for what is too narrow", async () => {
        const many = Array.from({ length: 3000 }, (_, i) => ({ stack: [`tiny${i}`, "main"], size: 1, calls: 1 }));
        const opened = await browser.open(rawOf([{ stack: ["big", "main"], size: 5000, calls: 1 }, ...many]), { hash: "#tab=flame" });
        await opened.page.locator('#flame g.frame[name="3000 smaller"]').click();
        await opened.page.waitForSelector("#grid");
        await expect.poll(() => opened.page.locator("#row-count").innerText()).toBe("3,001 functions, 3,001 sites");
        quiet(opened);
    });

    test("marks what is searched for, and says what a frame is", async () => {
        const opened = await browser.open(rawOf(SMALL), { hash: "#tab=flame&q=grow" });
        const { page } = opened;
        await page.waitForSelector("#flame g.frame");
        const fill = (name: string) => page.locator(`#flame g.frame[name="${name}"] rect`).first().getAttribute("fill");
        await expect.poll(() => fill("grow")).toBe("var(--flame-hit)");
        await expect.poll(() => fill("main")).toBe("var(--flame-dim)");
        await expect.poll(() => frames(opened)).not.toContain("copy");
        await page.locator('#flame g.frame[name="insert"]').hover();
        await expect.poll(() => page.locator(".tip").innerText()).toContain("1,000 bytes (95.2 %)");
        quiet(opened);
    });

    test("of a difference is red and blue", async () => {
        const opened = await browser.open(rawOf(CHANGED), { hash: "#tab=flame" });
        await opened.page.waitForSelector("#flame g.frame");
        const colour = (name: string) =>
            opened.page.locator(`#flame g.frame[name="${name}"] rect`).first().evaluate((rect) => {
                const canvas = document.createElement("canvas").getContext("2d")!;
                canvas.fillStyle = getComputedStyle(rect).fill;
                canvas.fillRect(0, 0, 1, 1);
                return [...canvas.getImageData(0, 0, 1, 1).data];
            });
        await expect.poll(() => opened.page.locator(".flame-line").innerText()).toContain("3,050 bytes → 21,530 bytes (+605.9 %) in all");
        const [more, less, same] = [await colour("copy"), await colour("insert"), await colour("push")];
        expect(more[0]).toBeGreaterThan(more[2] + 50);
        expect(less[2]).toBeGreaterThan(less[0] + 50);
        expect(Math.abs(same[0] - same[2])).toBeLessThan(20);
        quiet(opened);
    });
});
