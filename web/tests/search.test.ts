import { expect, test } from "vitest";
import { find, parse, quoted } from "../src/core/search.ts";
import { Profile } from "../src/data/profile.ts";
import { profileOf } from "./profile.ts";

const profile = profileOf([
    { stack: ["jv_alloc", "parse_array", "main"], size: 1, calls: 1 },
    { stack: ["jv_alloc", "print", "main"], size: 1, calls: 1 },
    { stack: ["std::vector<int>::push_back(int const&)", "a", "b", "c", "d", "Deep::Caller"], size: 1, calls: 1 },
    { stack: [], size: 1, calls: 1 },
]);

/** Sites that a query keeps. */
function kept(query: string, of = profile): number[] {
    const { sites } = find(of, parse(query));
    return sites ? [...sites].flatMap((keep, site) => (keep ? [site] : [])) : ["all"] as never;
}

test.each([
    ["", ["all"]],
    ["  ", ["all"]],
    ["jv_alloc", [0, 1]],
    ["JV_ALLOC", [0, 1]],
    ["jv parse", [0]],
    ["parse jv", [0]],
    ["jv -parse", [1]],
    ["-jv", [2, 3]],
    ["deep::caller", [2]],
    ['"int const"', [2]],
    ['"int const', [2]],
    ["/^pr.*t$/", [1]],
    ["/^(print|parse_.*)$/ -/^PRINT$/", [0]],
    ["main main", [0, 1]],
    ["pc0:jv", [0, 1]],
    ["pc1:jv", []],
    ["pc2:main -pc1:/^print$/", [0]],
    ["nowhere", []],
])("%j keeps %j", (query, sites) => expect(kept(query)).toEqual(sites));

test.each(["f(int, char)", 'operator""_kB(unsigned long long)', "-minus", "/slash/", "file:x"])("the query for %s finds it", (name) => {
    expect(kept(quoted(name), profileOf([{ stack: ["other"], size: 1, calls: 1 }, { stack: [name], size: 1, calls: 1 }]))).toEqual([1]);
});

test("an expression that is none is said, and the rest still holds", () => {
    const query = parse("/(/ jv");
    expect(query.error).toContain("/(/");
    expect(query.terms).toHaveLength(1);
});

test("names that are named are known, those left out are not", () => {
    const { labels } = find(profile, parse("jv -print"));
    expect(profile.labels.filter((_, label) => labels![label])).toEqual(["jv_alloc"]);
});

test("files and modules are looked in when they are asked for", () => {
    const other = new Profile({
        version: 1,
        strings: ["", "f", "g", "/src/a.c", "/lib/libx.so"],
        modules: { path: [4] },
        functions: { name: [1, 2], file: [3, 0], module: [-1, 0] },
        sites: { pc: [[0, 1]], calls: [1, 1], bytes: [1, 1] },
    });
    expect(kept("file:a.c", other)).toEqual([0]);
    expect(kept("module:libx", other)).toEqual([1]);
    expect(kept("a.c", other)).toEqual([]);
});
