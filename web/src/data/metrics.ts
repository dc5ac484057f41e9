// What is counted of each site, as columns that everything else adds up.
import type { RawProfile } from "./types";

export type Unit = "bytes" | "count";

/** A column that can be summed over sites. */
export interface Metric {
    id: string;
    /** Heading of a column. */
    label: string;
    /** What it is, in a sentence. */
    hint: string;
    unit: Unit;
    /** Of a difference: which side. */
    side?: "old" | "new" | "delta";
    values: Float64Array;
}

type Kind = [id: string, label: string, unit: Unit, hint: string];

/** In the order of the columns. */
const KINDS: Kind[] = [
    ["bytes", "Bytes", "bytes", "Bytes that were asked for, over the whole run"],
    ["calls", "Calls", "count", "Number of allocations"],
    ["live_bytes", "Live", "bytes", "Bytes that were never freed, or not yet"],
    ["live_blocks", "Live blocks", "count", "Blocks that were never freed, or not yet"],
    ["peak_bytes", "At peak", "bytes", "Bytes that lived when the process held the most"],
    ["peak_blocks", "Peak blocks", "count", "Blocks that lived when the process held the most"],
    ["temporary", "Temporary", "count", "Blocks freed by the thread that made them, before its next allocation"],
    ["frees", "Frees", "count", "Blocks that were freed"],
    ["grown", "Grown", "count", "Blocks that realloc made of smaller ones"],
    ["copied", "Copied", "bytes", "Bytes that realloc copied to grow blocks"],
    ["slack", "Slack", "bytes", "Bytes that the allocator gave beyond what was asked for"],
    ["direct_bytes", "Leaked", "bytes", "Bytes of blocks that no pointer led to at the end"],
    ["direct_blocks", "Leaked blocks", "count", "Blocks that no pointer led to at the end"],
    ["indirect_bytes", "Indirectly", "bytes", "Bytes of blocks that only leaked blocks led to at the end"],
    ["indirect_blocks", "Indirect blocks", "count", "Blocks that only leaked blocks led to at the end"],
];

/**
 * The columns that this profile has. Processes reach their peaks at different times, so that those are not added up:
 * where there are several, the columns of the peak are of the process `highest`, which held the most.
 */
export function metricsOf(raw: RawProfile, highest: number, name: string): Map<string, Metric> {
    const metrics = new Map<string, Metric>();
    const n = raw.sites.calls.length;
    const processes = raw.sites.process;
    const ofHighest = (id: string, column: number[]) => {
        const isPeak = id.startsWith("peak_") && highest >= 0 && processes?.length === n;
        return isPeak ? Float64Array.from(column, (value, site) => (processes[site] === highest ? value : 0)) : Float64Array.from(column);
    };
    for (const [id, label, unit, what] of KINDS) {
        const hint = id.startsWith("peak_") && highest >= 0 ? `${what}: of ${name}, which held more than any other process` : what;
        const column = raw.sites[id as keyof typeof raw.sites] as number[] | null | undefined;
        if (column?.length !== n) continue;
        const values = ofHighest(id, column);
        metrics.set(id, { id, label, unit, hint, values, side: raw.diff ? "new" : undefined });
        const before = raw.diff?.old[id as keyof typeof raw.diff.old] as number[] | null | undefined;
        if (before?.length !== n) continue;
        const old = ofHighest(id, before);
        const delta = values.map((value, site) => value - old[site]);
        metrics.set(`old_${id}`, { id: `old_${id}`, label, unit, hint: `${hint}: in the old run`, values: old, side: "old" });
        metrics.set(`delta_${id}`, { id: `delta_${id}`, label, unit, hint: `${hint}: new less old`, values: delta, side: "delta" });
    }
    return metrics;
}
