import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { DataError, decode } from "../src/data/decode.ts";
import { Profile } from "../src/data/profile.ts";
import { stackOf } from "../src/core/stacks.ts";
import { generate } from "../tools/generate.ts";
import { rawOf } from "./profile.ts";

const packed = (data: unknown) => gzipSync(JSON.stringify(data)).toString("base64");

test("data go through the page unchanged", async () => {
    const data = generate({ sites: 50, hostile: true, live: true, diff: true });
    expect(await decode(`\n${packed(data)}\n`)).toEqual(JSON.parse(JSON.stringify(data)));
});

test.each([
    ["nothing", "", "holds no profile"],
    ["no base64", "?", "damaged"],
    ["no gzip", "AAAA", "damaged"],
    ["half of it", packed(generate({ sites: 100 })).slice(0, 800), "damaged"],
    ["other data", packed({ hello: 1 }), "no sites"],
    ["a later version", packed({ version: 2, sites: { calls: [], bytes: [] } }), "version 2"],
])("%s is refused with words", async (_, text, words) => {
    await expect(decode(text)).rejects.toThrow(DataError);
    await expect(decode(text)).rejects.toThrow(words);
});

test("the least there can be is a profile", () => {
    const profile = new Profile({ version: 1, sites: { calls: [3], bytes: [12] } });
    expect(profile.total("bytes")).toBe(12);
    expect(profile.functionName(profile.pc[0][0])).toBe("-");
    expect(profile.threadName(-1)).toBe("not known");
    expect([...profile.metrics.keys()]).toEqual(["bytes", "calls"]);
});

test("peaks of processes are not added up: the columns are of the one that held the most", () => {
    const processes = [
        { pid: 1, peak_bytes: 30 },
        { pid: 2, peak_bytes: 50 },
    ];
    const sites = { calls: [1, 1, 1], bytes: [30, 50, 9], process: [0, 1, 1], peak_bytes: [30, 50, 0], peak_blocks: [3, 5, 0] };
    const several = new Profile({ version: 1, processes, together: { peak_bytes: 60, peak_ns: 7, processes: 2 }, sites });
    expect(several.highest).toBe(1);
    expect([...several.metric("peak_bytes")!.values]).toEqual([0, 50, 0]);
    expect(several.total("peak_blocks")).toBe(5);
    expect(several.metric("peak_bytes")!.hint).toContain("(2)");
    expect(several.total("bytes")).toBe(89);
    expect(several.together?.peak_bytes).toBe(60);
    const one = new Profile({ version: 1, processes: [processes[0]], sites: { ...sites, process: [0, 0, 0] } });
    expect([one.highest, one.total("peak_bytes")]).toEqual([-1, 80]);
});

test("no sites at all are a profile", () => {
    expect(new Profile({ version: 1, sites: { calls: [], bytes: [] } }).total("bytes")).toBe(0);
});

test("without whole stacks the four names are the stack, and the other way round", () => {
    const raw = rawOf([{ stack: ["a", "b", "c", "d"], size: 1, calls: 1 }]);
    const names = (profile: Profile) => stackOf(profile, 0).map(({ name }) => name);
    const pcs = (profile: Profile) => profile.pc.map((column) => profile.functionName(column[0]));
    for (const part of [raw, { ...raw, nodes: undefined }, { ...raw, sites: { ...raw.sites, pc: undefined } }]) {
        expect(names(new Profile(part))).toEqual(["a", "b", "c", "d"]);
        expect(pcs(new Profile(part))).toEqual(["a", "b", "c", "d"]);
    }
});

test("a stack that is too long to show says how long it is", () => {
    const profile = new Profile(rawOf([{ stack: Array.from({ length: 1500 }, (_, i) => `f${i}`), size: 1, calls: 1 }]));
    expect(stackOf(profile, 0)).toHaveLength(1500);
    expect(stackOf(profile, 0, 10).map(({ name }) => name).slice(8)).toEqual(["f8", "f9", "… and 1,490 further out"]);
});

test("nodes that are no tree are not followed", () => {
    const raw = rawOf([{ stack: ["a", "b"], size: 1, calls: 1 }]);
    const circle = { ...raw, nodes: { parent: [1, 0], frame: [0, 1] } };
    expect(stackOf(new Profile(circle), 0).map(({ name }) => name)).toEqual(["a", "b"]);
});

test("columns of another length are left out", () => {
    const profile = new Profile({ version: 1, sites: { calls: [1, 2], bytes: [1, 2], live_bytes: [1], frees: null } });
    expect(profile.metric("live_bytes")).toBeUndefined();
});
