// Sites by their sizes, in ranges that end with a power of two: 1, 2, 3–4, 5–8, 9–16, …
import { bytes } from "./format";

/** Number of the range of a size. Range 0 is of size 0, range k > 0 ends with 2^(k-1). */
export function bucketOf(size: number): number {
    if (size <= 0) return 0;
    if (size <= 1) return 1;
    // log2 is not exact for large sizes, so it only guesses.
    let power = Math.ceil(Math.log2(size));
    if (2 ** (power - 1) >= size) power--;
    if (2 ** power < size) power++;
    return power + 1;
}

/** First and last size of a range. */
export function rangeOf(bucket: number): [from: number, to: number] {
    if (bucket === 0) return [0, 0];
    if (bucket === 1) return [1, 1];
    return [2 ** (bucket - 2) + 1, 2 ** (bucket - 1)];
}

/** With powers of two as they are written: 4 KiB. */
export function binary(size: number): string {
    let unit = 0;
    while (size >= 1024 && Number.isInteger(size / 1024) && unit < 4) {
        size /= 1024;
        unit++;
    }
    return unit === 0 ? bytes(size).replace(" B", "") : `${size} ${["", "Ki", "Mi", "Gi", "Ti"][unit]}`;
}

/** Name of a range: its end. */
export function bucketLabel(bucket: number): string {
    return binary(rangeOf(bucket)[1]);
}

/** Sums of a column for each range, from 0 to the last that is there. */
export function sumByBucket(sizes: Float64Array, sites: Uint32Array, values: Float64Array): Float64Array {
    const sums: number[] = [];
    for (const site of sites) {
        const bucket = bucketOf(sizes[site]);
        while (sums.length <= bucket) sums.push(0);
        sums[bucket] += values[site];
    }
    return Float64Array.from(sums);
}
