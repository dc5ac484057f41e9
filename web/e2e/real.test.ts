// Pages that the tool itself wrote, of real programs: what they show is what the tool says.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Browser, shot } from "./browser.ts";

const TOOL = process.env.SKIP_HEAPPROF ?? fileURLToPath(new URL("../../target/debug/skip-heapprof", import.meta.url));
const VIEWS = ["overview", "table", "flame", "sizes", "threads", "processes"];

/** What a whole number says, as people write it. */
const count = (text: string) => Number(text.replaceAll(",", ""));

describe("a report that the tool wrote", () => {
    let browser: Browser;
    let folder: string;
    beforeAll(async () => {
        browser = await Browser.start();
        folder = mkdtempSync(join(tmpdir(), "skipheap-real-"));
    });
    afterAll(async () => {
        await browser.stop();
        rmSync(folder, { recursive: true, force: true });
    });

    /** Opens the page in all views. */
    async function look(file: string, name: string) {
        const opened = await browser.openUrl(pathToFileURL(file).href);
        for (const view of VIEWS) {
            await opened.page.locator(`#tab-${view}`).click();
            await opened.page.waitForTimeout(100);
            await shot(opened.page, `${name}-${view}`);
        }
        expect({ complaints: opened.complaints, requests: opened.requests }).toEqual({ complaints: [], requests: [] });
        return opened.page;
    }

    test("has the totals of the summary", async () => {
        const file = join(folder, "sqlite.html");
        const { stderr } = spawnSync(TOOL, ["-o", file, "sqlite3", ":memory:", "create table t(a,b); insert into t select value, hex(value) from json_each('[1,2,3]'); select count(*) from t"], { encoding: "utf8" });
        const said = /: ([\d,]+) allocations?, ([\d,]+) bytes/.exec(stderr);
        expect(said, stderr).not.toBeNull();
        const page = await look(file, "real-sqlite");
        await page.locator("#tab-table").click();
        const titles = await page.locator(".totals .number").evaluateAll((cells) => cells.map((cell) => (cell as HTMLElement).title));
        expect(count(titles[0].replace(" bytes", ""))).toBe(count(said![2]));
        expect(titles.map((title) => count(title))).toContain(count(said![1]));
    });

    test("of two runs has both, and their difference", async () => {
        const runs = ["old", "new"].map((name) => join(folder, `${name}.skipheap`));
        const program = (n: number) => ["perl", "-e", `my @a = map { "x" x 100 } 1..${n}; print scalar @a`];
        execFileSync(TOOL, ["-q", "-o", runs[0], ...program(1000)], { stdio: "ignore" });
        execFileSync(TOOL, ["-q", "-o", runs[1], ...program(3000)], { stdio: "ignore" });
        const file = join(folder, "diff.html");
        spawnSync(TOOL, ["diff", ...runs, "-o", file], { stdio: "ignore" });
        const page = await look(file, "real-diff");
        await page.locator("#tab-table").click();
        const [old, now, change] = await page.locator(".totals .number").evaluateAll((cells) => cells.map((cell) => Number((cell as HTMLElement).title.replace(/[^\d]/g, ""))));
        expect(now - old).toBe(change);
        expect(change).toBeGreaterThan(200_000);
    });
});
