import { expect, test } from "vitest";
import { type Frame, type FlameTree, FromMain, FromPc0, pathOf, visible } from "../src/core/flame.ts";
import { Profile } from "../src/data/profile.ts";
import { generate } from "../tools/generate.ts";
import { allOf, profileOf } from "./profile.ts";

const small = () =>
    profileOf([
        { stack: ["malloc_it", "parse", "main"], size: 10, calls: 3 },
        { stack: ["malloc_it", "print", "main"], size: 10, calls: 1 },
        { stack: ["copy", "parse", "main"], size: 5, calls: 1 },
    ]);

/** A tree as text: "name value (children)". */
function text(profile: Profile, tree: FlameTree, frame: Frame): string {
    const below = tree.children(frame).map((child) => text(profile, tree, child));
    const name = frame.depth === 0 ? "all" : profile.label(frame.label);
    return `${name} ${frame.value}${below.length ? ` (${below.join(", ")})` : ""}`;
}

test("from pc0, callers stand on top", () => {
    const profile = small();
    const tree = new FromPc0(profile, allOf(profile), { value: profile.metric("bytes")!.values });
    expect(text(profile, tree, tree.root)).toBe("all 45 (malloc_it 40 (parse 30 (main 30), print 10 (main 10)), copy 5 (parse 5 (main 5)))");
});

test("from main, what is called stands on top", () => {
    const profile = small();
    const tree = new FromMain(profile, allOf(profile), { value: profile.metric("bytes")!.values });
    expect(text(profile, tree, tree.root)).toBe("all 45 (main 45 (parse 35 (malloc_it 30, copy 5), print 10 (malloc_it 10)))");
});

test("both begin with the same total, of a part of the sites too", () => {
    const profile = new Profile(generate({ sites: 5000 }));
    const sites = allOf(profile).filter((site) => site % 3 === 0);
    const { values } = profile.metric("calls")!;
    const total = sites.reduce((sum, site) => sum + values[site], 0);
    expect(new FromPc0(profile, sites, { value: values }).root.value).toBe(total);
    expect(new FromMain(profile, sites, { value: values }).root.value).toBe(total);
});

test("children never have more than their parent, however deep", () => {
    const profile = new Profile(generate({ sites: 3000 }));
    for (const make of [FromPc0, FromMain]) {
        const tree = new make(profile, allOf(profile), { value: profile.metric("bytes")!.values });
        const queue: Frame[] = [tree.root];
        for (const frame of queue) {
            const children = tree.children(frame);
            expect(children.reduce((sum, child) => sum + child.value, 0)).toBeLessThanOrEqual(frame.value);
            if (queue.length < 20_000) queue.push(...children);
        }
        expect(queue.length).toBeGreaterThan(1000);
    }
});

test("what is too narrow is one frame that says how many it stands for", () => {
    const profile = profileOf([
        { stack: ["big"], size: 1000, calls: 1 },
        ...Array.from({ length: 50 }, (_, i) => ({ stack: [`tiny${i}`], size: 1, calls: 1 })),
    ]);
    const tree = new FromPc0(profile, allOf(profile), { value: profile.metric("bytes")!.values });
    const { children } = visible(profile, tree, [], 0.01);
    expect(children.map(({ name, value, smaller }) => [name, value, smaller])).toEqual([["big", 1000, 0], ["50 smaller", 50, 50]]);
});

test("zoomed in, the frames above are alone and faded, and more is drawn below", () => {
    const profile = small();
    const tree = new FromPc0(profile, allOf(profile), { value: profile.metric("bytes")!.values });
    const label = (name: string) => profile.labels.indexOf(name);
    const root = visible(profile, tree, [label("copy")], 0.2);
    expect(root.fade).toBe(true);
    expect(root.children.map(({ name }) => name)).toEqual(["copy"]);
    expect(root.children[0].fade).toBeUndefined();
    expect(root.children[0].children.map(({ name }) => name)).toEqual(["parse"]);
    expect(pathOf(root.children[0].children[0])).toEqual([label("copy"), label("parse")]);
    // A frame that is not there stops the zoom where it still is.
    expect(visible(profile, tree, [label("copy"), label("print")], 0.2).children[0].children.map(({ name }) => name)).toEqual(["parse"]);
});

test("of a difference, frames know what was and is", () => {
    const profile = profileOf([
        { stack: ["a", "main"], size: 1, calls: 10, old: 4 },
        { stack: ["b", "main"], size: 1, calls: 0, old: 7 },
    ]);
    const [now, before] = [profile.metric("bytes")!.values, profile.metric("old_bytes")!.values];
    const tree = new FromPc0(profile, allOf(profile), { value: now.map((value, site) => Math.max(value, before[site])), before, now });
    expect(tree.children(tree.root).map(({ value, before, now }) => [value, before, now])).toEqual([[10, 4, 10], [7, 7, 0]]);
});
