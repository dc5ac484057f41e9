import { expect, test } from "vitest";
import { leakStacks, sortLeaks } from "../src/core/leaks.ts";
import { allOf, profileOf, type Site } from "./profile.ts";

const SITES: Site[] = [
    { stack: ["node", "tree", "main"], size: 100, calls: 9, leaked: [0, 9] },
    { stack: ["root", "tree", "main"], size: 8, calls: 1, leaked: [1, 0] },
    // The same stack with another size, and in another thread.
    { stack: ["root", "tree", "main"], size: 4, calls: 3, thread: 1, leaked: [2, 1] },
    { stack: ["kept", "main"], size: 4096, calls: 5, leaked: [0, 0] },
];

test("each stack with lost blocks is a row, whatever the sizes and threads", () => {
    const profile = profileOf(SITES);
    const leaks = leakStacks(profile, allOf(profile));
    expect(leaks.map((leak) => [profile.label(leak.who), leak.direct_bytes, leak.direct_blocks, leak.indirect_bytes, leak.indirect_blocks])).toEqual([
        ["node", 0, 0, 900, 9],
        ["root", 16, 3, 4, 1],
    ]);
    expect([...leaks[1].sizes]).toEqual([8, 4]);
    expect(leakStacks(profile, new Uint32Array([3]))).toEqual([]);
});

test("what is lost directly comes first, and every column can be sorted by", () => {
    const profile = profileOf(SITES);
    const leaks = leakStacks(profile, allOf(profile));
    const order = (column: Parameters<typeof sortLeaks>[2], descending: boolean) => sortLeaks(profile, leaks, column, descending).map((leak) => profile.label(leak.who));
    expect(order("", true)).toEqual(["root", "node"]);
    expect(order("indirect_bytes", true)).toEqual(["node", "root"]);
    expect(order("indirect_bytes", false)).toEqual(["root", "node"]);
    expect(order("who", false)).toEqual(["node", "root"]);
    expect(order("who", true)).toEqual(["root", "node"]);
});

test("a profile without a leak check has no leaks and no columns of them", () => {
    const profile = profileOf([{ stack: ["a"], size: 1, calls: 1 }]);
    expect(leakStacks(profile, allOf(profile))).toEqual([]);
    expect(profile.metric("direct_bytes")).toBeUndefined();
});
