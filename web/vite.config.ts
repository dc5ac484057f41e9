// Builds the page as one file, crates/export/assets/report.html, which the tool embeds.
import { defineConfig } from "vite";
import { viteSingleFile } from "vite-plugin-singlefile";
import { sealed } from "./build/sealed.ts";

export default defineConfig({
    // One file has no base; nothing may depend on where it lies.
    base: "./",
    oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
    build: {
        target: "es2022",
        outDir: "../crates/export/assets",
        modulePreload: false,
        reportCompressedSize: false,
    },
    plugins: [viteSingleFile({ removeViteModuleLoader: true }), sealed()],
});
