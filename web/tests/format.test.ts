import { describe, expect, test } from "vitest";
import { amount, bytes, change, count, counted, duration, exact, parts, percent, plain, short, visibleText } from "../src/core/format.ts";
import { bucketLabel, bucketOf, rangeOf, sumByBucket } from "../src/core/histogram.ts";

test.each([[0, "0 B"], [999, "999 B"], [1000, "1.00 kB"], [9994, "9.99 kB"], [9996, "10.0 kB"], [99_960, "100 kB"], [999_499, "999 kB"], [999_500, "1.00 MB"], [25_272_007, "25.3 MB"], [-1536, "\u22121.54 kB"], [2 ** 53, "9.01 PB"]])("%d bytes are %s", (value, text) => expect(bytes(value)).toBe(text));

test.each([[0, "0 blocks"], [1, "1 block"], [1234, "1,234 blocks"]])("%d of them are %s", (value, text) => expect(counted(value, "block")).toBe(text));

test.each([[99_999_999, "99,999,999"], [123_456_789, "123 M"], [1_234_567_890, "1.23 G"], [999_600_000, "1.00 G"], [5e12, "5.00 T"]])("%d blocks are %s", (value, text) => expect(amount(value, "count")).toBe(text));

test("changes have a sign", () => {
    expect(bytes(1536, true)).toBe("+1.54 kB");
    expect(count(-1234, true)).toBe("\u22121,234");
    expect(count(0, true)).toBe("0");
    expect(exact(1234, "bytes")).toBe("1,234 bytes");
});

test.each([[0, "0 %"], [0.0001, "<0.1 %"], [0.465, "46.5 %"], [0.9999, ">99.9 %"], [1, "100 %"], [Number.NaN, ""], [12.5, "1,250 %"]])("a share of %d is %s", (share, text) => expect(percent(share)).toBe(text));

test.each([[0, 5, "new"], [5, 0, "gone"], [4, 5, "+25.0 %"], [5, 4, "\u221220.0 %"], [0, 0, "0 %"], [1, 9.9, "+890.0 %"], [1, 40, "×40"], [1, 1e9, "×>9,999"]])("from %d to %d is %s", (before, now, text) => expect(change(before, now)).toBe(text));

test.each([[0.5, "500 µs"], [12.3, "12.3 ms"], [1500, "1.50 s"], [200_000, "3 min 20 s"], [119_700, "120 s"], [7_500_000, "2 h 5 min"]])("%d ms are %s", (ms, text) => expect(duration(ms)).toBe(text));

test("things are counted in words that are right", () => {
    expect([counted(1, "block"), counted(1000, "block"), counted(2, "process", "processes")]).toEqual(["1 block", "1,000 blocks", "2 processes"]);
});

test("axes have no zeros at the end of a number", () => {
    expect(["20.0 GB", "1.50 s", "100 kB", "0 B", "1.00 s"].map(plain)).toEqual(["20 GB", "1.5 s", "100 kB", "0 B", "1 s"]);
    expect([0, 999, 1500, 2e6].map(short)).toEqual(["0", "999", "1.5 k", "2 M"]);
});

test("a long name is parted so that nothing is lost", () => {
    const name = "std::vector<int, std::allocator<int>>::emplace_back(int&&)";
    expect(parts(name).join("")).toBe(name);
    expect(parts(name)[1]).toHaveLength(18);
    expect(parts("short")).toEqual(["short", ""]);
});

test("characters that hide or reorder are written out", () => {
    expect(visibleText("a\u202Eb\u0000c")).toBe("a\\u{202e}b\\u{0}c");
    expect(visibleText("größe → 名前 <T>")).toBe("größe → 名前 <T>");
});

describe("ranges of sizes", () => {
    test.each([[0, 0], [1, 1], [2, 2], [3, 3], [4, 3], [5, 4], [8, 4], [9, 5], [16, 5], [17, 6], [4096, 13], [4097, 14]])("size %d is in range %d", (size, bucket) => {
        expect(bucketOf(size)).toBe(bucket);
    });

    test("hold every size, and end with a power of two", () => {
        for (let power = 1; power < 53; power++) {
            for (const size of [2 ** power - 1, 2 ** power, 2 ** power + 1]) {
                const [from, to] = rangeOf(bucketOf(size));
                expect(size).toBeGreaterThanOrEqual(from);
                expect(size).toBeLessThanOrEqual(to);
            }
        }
        expect(rangeOf(5)).toEqual([9, 16]);
        expect(bucketLabel(13)).toBe("4 Ki");
        expect(bucketLabel(5)).toBe("16");
    });

    test("have the sums of their sizes", () => {
        expect([...sumByBucket(Float64Array.from([0, 16, 9, 17]), Uint32Array.from([0, 1, 2]), Float64Array.from([1, 2, 4, 8]))]).toEqual([1, 0, 0, 0, 0, 6]);
    });
});
