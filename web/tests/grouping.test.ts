import { describe, expect, test } from "vitest";
import { csvOf } from "../src/core/csv.ts";
import { type Branch, GroupTree, orderBy, ranks } from "../src/core/grouping.ts";
import { Keys } from "../src/core/keys.ts";
import { Rows } from "../src/core/rows.ts";
import { find, parse } from "../src/core/search.ts";
import { Profile } from "../src/data/profile.ts";
import { generate } from "../tools/generate.ts";
import { allOf, profileOf, rawOf } from "./profile.ts";

const LEVELS = ["pc0", "pc1", "pc2", "pc3", "size"];

/** A table over all sites, largest first. */
function treeOf(profile: Profile, levels = LEVELS, sites = allOf(profile)): GroupTree {
    const keys = new Keys(profile);
    return new GroupTree(sites, levels.map((id) => keys.get(id)), (branch) => orderBy(branch.sum(profile.metric("bytes")!), true));
}

/** Labels and bytes of a branch, as shown. */
function shown(profile: Profile, branch: Branch): [string, number][] {
    const sums = branch.sum(profile.metric("bytes")!);
    return [...branch.order].map((group) => [branch.label(group), sums[group]]);
}

const small = () =>
    profileOf([
        { stack: ["grow", "push", "main"], size: 10, calls: 1 },
        { stack: ["grow", "push", "main"], size: 20, calls: 2 },
        { stack: ["grow", "insert", "main"], size: 10, calls: 100 },
        { stack: ["copy"], size: 1, calls: 5 },
    ]);

describe("responsible functions", () => {
    test("have all sites of their plumbing and their sizes", () => {
        const raw = rawOf([
            { stack: ["xmalloc", "load", "main"], size: 10, calls: 1 },
            { stack: ["load", "main"], size: 20, calls: 2 },
            { stack: ["main"], size: 5, calls: 1 },
        ]);
        const functions = raw.sites.pc!;
        raw.sites.responsible = [functions[1]![0], functions[0]![1], functions[0]![2]];
        raw.sites.via = [functions[0]![0], -1, -1];
        const profile = new Profile(raw);
        const { root } = treeOf(profile, ["who", "pc0"]);
        expect(shown(profile, root)).toEqual([["load", 50], ["main", 5]]);
        expect(root.key.hint!(root.keys[root.order[0]])).toBe("via xmalloc");
        expect(root.key.hint!(root.keys[root.order[1]])).toBe("");
        expect(find(profile, parse("who:load")).sites).toEqual(Uint8Array.of(1, 1, 0));
    });

    test("are the innermost functions where an older tool wrote the data", () => {
        const profile = small();
        expect(shown(profile, treeOf(profile, ["who"]).root)).toEqual([["grow", 1050], ["copy", 5]]);
    });
});

describe("groups", () => {
    test("have the sums of their sites, the largest first", () => {
        const profile = small();
        const { root } = treeOf(profile);
        expect(shown(profile, root)).toEqual([["grow", 1050], ["copy", 5]]);
    });

    test("open into the next name, and at last into sizes", () => {
        const profile = small();
        const tree = treeOf(profile);
        const pc1 = tree.expand(tree.root, tree.root.order[0])!;
        expect(shown(profile, pc1)).toEqual([["insert", 1000], ["push", 50]]);
        const pc2 = tree.expand(pc1, pc1.order[1])!;
        expect(shown(profile, pc2)).toEqual([["main", 50]]);
        const pc3 = tree.expand(pc2, 0)!;
        expect(shown(profile, pc3)).toEqual([["-", 50]]);
        const sizes = tree.expand(pc3, 0)!;
        expect(shown(profile, sizes)).toEqual([["20 bytes", 40], ["10 bytes", 10]]);
        expect(tree.expand(sizes, 0)).toBeUndefined();
    });

    test("stay what they are when another is opened", () => {
        const profile = small();
        const tree = treeOf(profile);
        const before = [...tree.root.sites(1)];
        tree.expand(tree.root, 0);
        expect([...tree.root.sites(1)]).toEqual(before);
        expect(shown(profile, tree.root)).toEqual([["grow", 1050], ["copy", 5]]);
    });

    test("of equal names in different files are one", () => {
        const profile = new Profile({
            version: 1,
            strings: ["", "same", "a.so", "b.so"],
            modules: { path: [2, 3] },
            functions: { name: [1, 1], module: [0, 1] },
            sites: { pc: [[0, 1]], calls: [1, 1], bytes: [3, 4] },
        });
        expect(shown(profile, treeOf(profile).root)).toEqual([["same", 7]]);
    });
});

test("rows are the groups that can be seen, with their levels and parents", () => {
    const profile = small();
    const tree = treeOf(profile);
    tree.expand(tree.root, 0);
    const rows = new Rows(tree);
    const list = Array.from({ length: rows.length }, (_, row) => [rows.branch(row).label(rows.group(row)), rows.level(row), rows.parent(row)]);
    expect(list).toEqual([["grow", 0, -1], ["insert", 1, 0], ["push", 1, 0], ["copy", 0, -1]]);
    expect(rows.find(rows.branch(2), rows.group(2))).toBe(2);
    tree.collapse(tree.root, 0);
    expect(new Rows(tree).length).toBe(2);
});

test("what was open is open again in a table of fewer sites", () => {
    const profile = small();
    const tree = treeOf(profile);
    const pc1 = tree.expand(tree.root, tree.root.order[0])!;
    tree.expand(pc1, pc1.order[0]);
    const fewer = treeOf(profile, LEVELS, Uint32Array.from([2, 3]));
    fewer.openLike(tree.root);
    const rows = new Rows(fewer);
    expect(Array.from({ length: rows.length }, (_, row) => rows.branch(row).label(rows.group(row)))).toEqual(["grow", "insert", "main", "copy"]);
});

test("a new order reaches the open branches", () => {
    const profile = small();
    const keys = new Keys(profile);
    let descending = true;
    const tree = new GroupTree(allOf(profile), LEVELS.map((id) => keys.get(id)), (branch) => orderBy(branch.sum(profile.metric("calls")!), descending));
    const pc1 = tree.expand(tree.root, 0)!;
    expect(pc1.label(pc1.order[0])).toBe("insert");
    descending = false;
    tree.reorder();
    expect(pc1.label(pc1.order[0])).toBe("push");
    expect(tree.root.label(tree.root.order[0])).toBe("copy");
});

test("every grouping of many sites gives the same totals, all the way down", () => {
    const profile = new Profile(generate({ sites: 9000, live: true, diff: true, processes: 2 }));
    const keys = new Keys(profile);
    const bytes = profile.metric("bytes")!;
    for (const { keys: levels } of keys.groupings()) {
        const tree = treeOf(profile, levels);
        expect(tree.root.sum(bytes).reduce((a, b) => a + b, 0)).toBe(profile.total("bytes"));
        let branch = tree.root;
        for (let child = tree.expand(branch, branch.order[0]); child; child = tree.expand(branch, branch.order[0])) {
            expect(child.sum(bytes).reduce((a, b) => a + b, 0)).toBe(branch.sum(bytes)[branch.order[0]]);
            expect(child.siteCount(0)).toBeGreaterThan(0);
            branch = child;
        }
        // Nothing was lost or doubled in the permutation.
        expect([...tree.permutation].sort((a, b) => a - b)).toEqual([...allOf(profile)]);
    }
});

test("as CSV every row that is not open is a line", () => {
    const profile = profileOf([
        { stack: ['say "hi"', "main"], size: 10, calls: 1 },
        { stack: ['say "hi"', "main"], size: 20, calls: 2 },
        { stack: ["copy, or not"], size: 1, calls: 5 },
    ]);
    const tree = treeOf(profile, ["pc0", "size"]);
    tree.expand(tree.root, 0);
    expect(csvOf(tree, [profile.metric("bytes")!, profile.metric("calls")!])).toBe(
        '"pc0","size","bytes","calls"\n"say ""hi""",20,40,2\n"say ""hi""",10,10,1\n"copy, or not",,5,5\n',
    );
});

test("names are ordered without regard to case, and without a tie", () => {
    expect([...ranks(["b", "A", "a", "B"])]).toEqual([3, 0, 1, 2]);
});

test("changes of a difference: new, gone, grown, shrunk, same", () => {
    const profile = profileOf([
        { stack: ["new"], size: 1, calls: 5, old: 0 },
        { stack: ["gone"], size: 1, calls: 0, old: 5 },
        { stack: ["grown"], size: 1, calls: 6, old: 5 },
        { stack: ["shrunk"], size: 1, calls: 4, old: 5 },
        { stack: ["same"], size: 1, calls: 5, old: 5 },
        { stack: ["empty but more"], size: 0, calls: 6, old: 5 },
    ]);
    const key = new Keys(profile).get("change");
    expect(Array.from(key.of, (change) => key.label(change))).toEqual(["new", "gone", "grown", "shrunk", "same", "grown"]);
    expect([...profile.metric("delta_bytes")!.values]).toEqual([5, -5, 1, -1, 0, 0]);
});
