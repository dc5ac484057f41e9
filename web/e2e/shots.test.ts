// Pictures of all views, for people to look at: SKIPHEAP_SHOTS=FOLDER scripts/web-test shots
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { generate } from "../tools/generate.ts";
import { Browser, shot } from "./browser.ts";

const VIEWS = ["overview", "table", "flame", "sizes", "threads", "processes"];
const LOOKS = [
    { name: "light", options: {}, data: { sites: 3000, live: true, losses: true, processes: 3 } },
    { name: "dark", options: { dark: true }, data: { sites: 3000, live: true, losses: true } },
    { name: "narrow", options: { width: 480, height: 800 }, data: { sites: 3000 } },
    { name: "diff", options: {}, data: { sites: 3000, diff: true } },
    { name: "diff-dark", options: { dark: true }, data: { sites: 3000, diff: true, live: true } },
    { name: "hostile", options: {}, data: { sites: 300, hostile: true, live: true } },
];

describe.skipIf(!process.env.SKIPHEAP_SHOTS)("pictures", () => {
    let browser: Browser;
    beforeAll(async () => void (browser = await Browser.start()));
    afterAll(() => browser.stop());

    test.each(LOOKS)("every view is drawn: $name", async ({ name, options, data }) => {
        const { page, complaints, requests } = await browser.open(generate(data), options);
        for (const view of VIEWS) {
            await page.locator(`#tab-${view}`).click();
            await page.waitForTimeout(250);
            if (view === "table") {
                await page.locator("#grid").focus();
                await page.keyboard.press("Shift+ArrowRight");
                await page.waitForTimeout(100);
            }
            await shot(page, `${name}-${view}`);
        }
        expect(complaints).toEqual([]);
        expect(requests).toEqual([]);
    });
});
