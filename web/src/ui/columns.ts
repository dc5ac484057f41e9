// Columns of the table: what they show of a group, and what they are sorted by.
import { amount, change, count, exact, percent } from "../core/format";
import type { Branch } from "../core/grouping";
import type { Metric } from "../data/metrics";
import type { Profile } from "../data/profile";

export interface Cell {
    text: string;
    title: string;
    /** Width of a bar behind it, 0 to 1. */
    bar?: number;
    tone?: "more" | "less" | "none";
}

export interface Column {
    id: string;
    label: string;
    /** Of a difference: "old", "new", "change". */
    side?: string;
    hint: string;
    values(branch: Branch): Float64Array;
    cell(value: number, branch: Branch, group: number): Cell;
}

/** Made once: to make one takes longer than to draw a row. */
const HUNDREDTHS = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

const SIDES = { old: "old", new: "new", delta: "change" };

/** Columns of sums. */
function summed(profile: Profile, metric: Metric): Column {
    const { id, label, hint, unit, side } = metric;
    const total = profile.total(id);
    const withBar = id === "bytes" || id === "live_bytes" || id === "peak_bytes";
    return {
        id,
        label,
        side: side && profile.metric(`old_${id.replace(/^(old|delta)_/, "")}`) ? SIDES[side] : undefined,
        hint,
        values: (branch) => branch.sum(metric),
        cell: (value) => ({
            text: amount(value, unit, side === "delta"),
            title: exact(value, unit, side === "delta"),
            bar: withBar && side === undefined && total > 0 ? value / total : undefined,
            tone: side !== "delta" ? (value === 0 ? "none" : undefined) : value > 0 ? "more" : value < 0 ? "less" : "none",
        }),
    };
}

/** All columns that this profile can have. */
export function columnsOf(profile: Profile): Column[] {
    const bytes = profile.metric("bytes")!;
    const calls = profile.metric("calls")!;
    const total = profile.total("bytes");
    const columns: Column[] = [];
    for (const metric of profile.metrics.values()) {
        if (metric.side === "old" || metric.side === "delta") continue;
        const before = profile.metric(`old_${metric.id}`);
        const delta = profile.metric(`delta_${metric.id}`);
        if (before) columns.push(summed(profile, before));
        columns.push(summed(profile, metric));
        if (delta) columns.push(summed(profile, delta));
        if (metric.id === "bytes" && before) {
            columns.push({
                id: "changed",
                label: "Bytes",
                side: "change %",
                hint: "Bytes: new less old, against old",
                values: (branch) =>
                    branch.derived("changed", () => {
                        const [old, now] = [branch.sum(before), branch.sum(metric)];
                        return old.map((value, group) => (value === 0 ? (now[group] > 0 ? Infinity : 0) : (now[group] - value) / value));
                    }),
                cell: (value, branch, group) => {
                    const text = change(branch.sum(before)[group], branch.sum(metric)[group]);
                    return { text, title: text, tone: value > 0 ? "more" : value < 0 ? "less" : "none" };
                },
            });
        } else if (metric.id === "bytes") {
            columns.push({
                id: "share",
                label: "Share",
                hint: "Share of all bytes of the profile",
                values: (branch) => branch.sum(bytes),
                cell: (value) => ({ text: total ? percent(value / total) : "", title: `${count(value)} of ${count(total)} bytes` }),
            });
        }
        if (metric.id === "calls") {
            columns.push({
                id: "mean",
                label: "Mean size",
                hint: "Bytes of an allocation, on average",
                values: (branch) =>
                    branch.derived("mean", () => {
                        const of = branch.sum(calls);
                        return branch.sum(bytes).map((value, group) => (of[group] ? value / of[group] : 0));
                    }),
                cell: (value) => ({ text: amount(value, "bytes"), title: `${HUNDREDTHS.format(value)} bytes` }),
            });
        }
    }
    columns.push({
        id: "sites",
        label: "Sites",
        hint: "Number of different call sites, sizes and threads that are added up here",
        values: (branch) => branch.derived("sites", () => Float64Array.from(branch.keys, (_, group) => branch.siteCount(group))),
        cell: (value) => ({ text: count(value), title: count(value) }),
    });
    return columns;
}

/** What the table is sorted by: a column's id or "name", with "-" in front for rising. */
export function readSort(sort: string, columns: Column[]): { id: string; descending: boolean } {
    const rising = sort.startsWith("-");
    const id = rising ? sort.slice(1) : sort;
    const known = id === "name" || columns.some((column) => column.id === id);
    if (known) return { id, descending: !rising };
    return { id: columns.some((column) => column.id === "delta_bytes") ? "delta_bytes" : "bytes", descending: true };
}
