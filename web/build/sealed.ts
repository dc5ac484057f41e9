// Finishes the single file: no network for it, ever, and the licences of what is bundled.
//
// The policy names the scripts and styles that may run by their hashes, so that markup which came in
// with the data could run nothing, even if it got past the escaping.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

/** Files that hold a package's licence. */
const LICENCE = /^(licen[cs]e|copying)/i;

/** Hash of an inline element's text, as a content security policy writes it. */
function hash(text: string): string {
    return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}

/** All that stands in elements of this kind and would be run or applied. */
function contents(html: string, element: string): string[] {
    const found = html.matchAll(new RegExp(`<${element}(\\s[^>]*)?>([\\s\\S]*?)</${element}>`, "g"));
    return [...found]
        .filter(([, attributes]) => !/type="(application|text)\//.test(attributes ?? ""))
        .map(([, , text]) => text);
}

/** The policy for what stands in the page. */
function policy(html: string): string {
    const scripts = contents(html, "script").map(hash);
    const styles = contents(html, "style").map(hash);
    return [
        "default-src 'none'",
        `script-src ${scripts.join(" ")}`,
        `style-src ${styles.join(" ")}`,
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ].join("; ");
}

/** Folder of the package that a module is from, null for our own. */
function packageOf(id: string): string | null {
    return /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id.replace(/^\0/, ""))?.[1] ?? null;
}

/** Name, version and licence of each bundled package. */
function licences(ids: Iterable<string>): string {
    const folders = new Set([...ids].map(packageOf).filter((folder) => folder !== null));
    return [...folders]
        .map((folder) => {
            const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
            const file = readdirSync(folder).find((file) => LICENCE.test(file));
            if (!file) throw new Error(`${name} has no licence file`);
            const text = readFileSync(join(folder, file), "utf8").trim();
            return `${name} ${version} (${license})\n\n${text}\n`;
        })
        .sort()
        .join(`\n${"-".repeat(72)}\n\n`);
}

/** The plugin. */
export function sealed(): Plugin {
    const bundled = new Set<string>();
    return {
        name: "skipheap-sealed",
        enforce: "post",
        apply: "build",
        moduleParsed: ({ id }) => void bundled.add(id),
        generateBundle: {
            order: "post",
            handler(_, bundle) {
                const page = bundle["index.html"];
                if (page?.type !== "asset") throw new Error("no page was built");
                let html = String(page.source);
                const text = licences(bundled);
                if (text.includes("</script")) throw new Error("a licence ends its element");
                // Replacements are functions, since `$` means something in a replacement's text.
                html = html.replace("@LICENCES@", () => text);
                html = html.replace("@POLICY@", () => policy(html));
                if (/<script[^>]+src=|<link[^>]+stylesheet/.test(html)) throw new Error("something is not inlined");
                delete bundle["index.html"];
                this.emitFile({ type: "asset", fileName: "report.html", source: html });
            },
        },
    };
}
