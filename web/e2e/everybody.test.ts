// Contrast, names, roles: what axe can check.
import AxeBuilder from "@axe-core/playwright";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { generate } from "../tools/generate.ts";
import { Browser } from "./browser.ts";

let browser: Browser;
beforeAll(async () => void (browser = await Browser.start()));
afterAll(() => browser.stop());

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
