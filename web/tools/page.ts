// Puts data into the built page, as the tool does.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const SLOT = '<script id="skipheap-data" type="application/octet-stream">';

/** The page with these data. */
export function pageOf(profile: unknown): string {
    const page = readFileSync(new URL("../../crates/export/assets/report.html", import.meta.url), "utf8");
    const parts = page.split(SLOT);
    if (parts.length !== 2) throw new Error("the page has to have one place for the data");
    return parts.join(SLOT + gzipSync(JSON.stringify(profile)).toString("base64"));
}
