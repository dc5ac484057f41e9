// A page with data in Debian's Chromium. Whatever the page asks of the network, or says on the console, is kept, so that
// a test can find that there was nothing.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { pageOf } from "../tools/page.ts";

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** Where screenshots go, when they are wanted. */
const SHOTS = process.env.SKIPHEAP_SHOTS;

export interface Opened {
    page: Page;
    /** Errors and warnings on the console, and exceptions. */
    complaints: string[];
    /** Addresses that were asked for, besides the file itself. */
    requests: string[];
    /** Dialogs that were opened: by a script that came in with the data. */
    dialogs: string[];
}

export class Browser {
    private constructor(
        private readonly context: BrowserContext,
        private readonly folder: string,
    ) {}

    static async start(): Promise<Browser> {
        const folder = mkdtempSync(join(tmpdir(), "skipheap-web-"));
        const context = await chromium.launchPersistentContext(join(folder, "profile"), {
            executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
            headless: true,
            args: FLAGS,
            viewport: { width: 1440, height: 900 },
        });
        return new Browser(context, folder);
    }

    async stop(): Promise<void> {
        await this.context.close();
        rmSync(this.folder, { recursive: true, force: true });
    }

    /** Writes a page with these data, and opens it. */
    async open(profile: unknown, { dark = false, width = 1440, height = 900, hash = "" } = {}): Promise<Opened> {
        const file = join(this.folder, `${crypto.randomUUID()}.html`);
        writeFileSync(file, pageOf(profile));
        return this.openUrl(pathToFileURL(file) + hash, { dark, width, height });
    }

    async openUrl(url: string, { dark = false, width = 1440, height = 900 } = {}): Promise<Opened> {
        const page = await this.context.newPage();
        await page.setViewportSize({ width, height });
        await page.emulateMedia({ colorScheme: dark ? "dark" : "light", reducedMotion: "no-preference" });
        const opened: Opened = { page, complaints: [], requests: [], dialogs: [] };
        page.on("console", (message) => {
            if (message.type() === "error" || message.type() === "warning") opened.complaints.push(message.text());
        });
        page.on("pageerror", (error) => opened.complaints.push(String(error)));
        page.on("request", (request) => {
            // The icon is a data address: it is in the page and asks nobody.
            if (request.url().split("#")[0] !== url.split("#")[0] && !request.url().startsWith("data:")) opened.requests.push(request.url());
        });
        page.on("dialog", (dialog) => {
            opened.dialogs.push(dialog.message());
            void dialog.dismiss();
        });
        await page.goto(url);
        await page.waitForSelector(".top, .boot.failed");
        return opened;
    }
}

/** A picture for people to look at, where they are wanted. */
export async function shot(page: Page, name: string): Promise<void> {
    if (SHOTS) await page.screenshot({ path: join(SHOTS, `${name}.png`) });
}

/** The longest time that the page took for something, in ms. */
export async function slowest(page: Page, name: string): Promise<number> {
    return page.evaluate((entry) => Math.max(-1, ...performance.getEntriesByName(entry).map(({ duration }) => duration)), `skipheap:${name}`);
}
