// What comes with the data does nothing, and the page asks nobody for anything.
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { rawOf } from "../tests/profile.ts";
import { generate, HOSTILE } from "../tools/generate.ts";
import { Browser, shot } from "./browser.ts";
import { names, quiet, SMALL } from "./small.ts";

let browser: Browser;
beforeAll(async () => void (browser = await Browser.start()));
afterAll(() => browser.stop());

describe("what comes from outside", () => {
    test("stays text in all views, whatever it is called", async () => {
        const opened = await browser.open(generate({ sites: 300, hostile: true, live: true, diff: true, losses: true }));
        const { page } = opened;
        await expect.poll(() => page.title()).toContain(HOSTILE[0]);
        for (const tab of ["overview", "table", "flame", "sizes", "threads", "processes"]) {
            await page.locator(`#tab-${tab}`).click();
            await page.waitForTimeout(100);
            if (tab === "table") {
                await page.locator("#grid").focus();
                await page.keyboard.press("*");
                await page.keyboard.press("Shift+ArrowRight");
            }
            if (tab === "flame") await page.locator("#flame g.frame").nth(1).hover();
            await expect.poll(() => page.locator("img, svg[onload], iframe, b:text('not bold')").count()).toBe(0);
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
        const page = readFileSync(new URL("../../crates/export/assets/report.html", import.meta.url), "utf8");
        const [code] = page.split('<script id="skipheap-licences"');
        // Names of formats look like addresses, and are none.
        const addresses = [...code.matchAll(/https?:\/\/[^"'`\s)]+/g)].map(([address]) => address).filter((address) => !address.startsWith("http://www.w3.org/"));
        expect(addresses).toEqual([]);
    });
});
