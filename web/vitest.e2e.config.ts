// Tests of the built page in Debian's Chromium. One after the other: they measure times.
import { defineConfig } from "vitest/config";

export default defineConfig({
    test: {
        include: ["e2e/**/*.test.ts"],
        fileParallelism: false,
        testTimeout: 60_000,
        hookTimeout: 60_000,
    },
});
