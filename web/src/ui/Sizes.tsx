// Sizes as histograms by powers of two: how many blocks, how many bytes. And as a table of the same.
import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import uPlot from "uplot";
import { amount, bytes, count, exact, percent, plain, short } from "../core/format";
import { bucketLabel, rangeOf, sumByBucket } from "../core/histogram";
import { timed } from "../core/timing";
import type { Metric } from "../data/metrics";
import type { State } from "../state";
import { axis, Chart } from "./Chart";
import { Amount } from "./Name";

/** What the two histograms and the further columns show. */
const CHARTS = ["calls", "bytes"];
const COLUMNS = ["calls", "bytes", "live_bytes", "peak_bytes", "slack"];

export function Sizes({ state }: { state: State }) {
    const { profile } = state;
    const sites = state.sites.value;
    const metrics = COLUMNS.map((id) => profile.metric(id)).filter((metric) => metric !== undefined);
    const sums = useMemo(() => timed("histogram", () => new Map(metrics.flatMap((metric) => [metric, profile.metric(`old_${metric.id}`)]).filter((metric) => metric !== undefined).map((metric) => [metric.id, sumByBucket(profile.size, sites, metric.values)]))), [sites]);
    const buckets = useMemo(() => {
        const all = [...sums.values()];
        const last = Math.max(0, ...all.map((column) => column.length));
        const used = Array.from({ length: last }, (_, bucket) => all.some((column) => column[bucket] > 0));
        const first = Math.max(0, used.indexOf(true));
        return Array.from({ length: Math.max(0, last - first) }, (_, i) => first + i);
    }, [sums]);
    const columns = useMemo(() => metrics.flatMap((metric) => columnsOf(metric, sums)), [sums]);
    const pick = (bucket: number) => state.set({ bucket: String(bucket), tab: "table" });
    if (buckets.length === 0) return <p class="empty">Nothing matches.</p>;
    return (
        <div class="scroll">
            <div class="cards two">
                {CHARTS.map((id) => (
                    <Histogram key={id} metric={profile.metric(id)!} now={sums.get(id)!} before={sums.get(`old_${id}`)} buckets={buckets} onPick={pick} titles={profile.diff} />
                ))}
            </div>
            <section class="card">
                <h2>By size</h2>
                <table class="plain-table">
                    <thead>
                        <tr>
                            <th scope="col">Sizes</th>
                            {columns.map(({ id, label, hint }) => (
                                <th scope="col" key={id} class="number" title={hint}>
                                    {label}
                                </th>
                            ))}
                        </tr>
                    </thead>
                    <tbody>
                        {buckets.map((bucket) => {
                            const [from, to] = rangeOf(bucket);
                            return (
                                <tr key={bucket}>
                                    <th scope="row">
                                        <button type="button" class="link" title="Show these in the table" onClick={() => pick(bucket)}>
                                            {from === to ? bucketLabel(bucket) : `${count(from)} – ${count(to)}`}
                                        </button>
                                    </th>
                                    {columns.map(({ id, cell }) => (
                                        <td class="number" key={id}>
                                            {cell(bucket)}
                                        </td>
                                    ))}
                                </tr>
                            );
                        })}
                    </tbody>
                </table>
            </section>
        </div>
    );
}

interface Column {
    id: string;
    label: string;
    hint: string;
    cell(bucket: number): ComponentChildren;
}

/** A sum and its share of all; of a difference what was, what is, and the change. */
function columnsOf(metric: Metric, sums: Map<string, Float64Array>): Column[] {
    const { id, label, unit, hint } = metric;
    const now = sums.get(id)!;
    const before = sums.get(`old_${id}`);
    const total = now.reduce((sum, value) => sum + value, 0);
    const of = (column: Float64Array, bucket: number) => column[bucket] ?? 0;
    const column = (name: string, title: string, value: (bucket: number) => number, plus = false): Column => ({
        id: `${id}-${name}`,
        label: title,
        hint,
        cell: (bucket) => {
            const n = value(bucket);
            return (
                <span class={n === 0 ? "tone-none" : plus ? (n > 0 ? "tone-more" : "tone-less") : ""}>
                    <Amount value={n} unit={unit} plus={plus} />
                </span>
            );
        },
    });
    if (before) {
        return [
            column("old", `${label}, old`, (bucket) => of(before, bucket)),
            column("new", "new", (bucket) => of(now, bucket)),
            column("change", "change", (bucket) => of(now, bucket) - of(before, bucket), true),
        ];
    }
    const share: Column = { id: `${id}-share`, label: "share", hint, cell: (bucket) => <span class="sub">{total > 0 ? percent(of(now, bucket) / total) : ""}</span> };
    return [column("sum", label, (bucket) => of(now, bucket)), share];
}

interface HistogramProps {
    metric: Metric;
    now: Float64Array;
    before: Float64Array | undefined;
    buckets: number[];
    titles: { oldTitle: string; newTitle: string } | null;
    onPick: (bucket: number) => void;
}

function Histogram({ metric, now, before, buckets, titles, onPick }: HistogramProps) {
    const { label, unit } = metric;
    const data = useMemo(() => {
        const column = (sums: Float64Array) => buckets.map((bucket) => sums[bucket] ?? 0);
        const xs = buckets.map((_, i) => i);
        return (before ? [xs, column(before), column(now)] : [xs, column(now)]) as uPlot.AlignedData;
    }, [now, before, buckets]);
    const largest = buckets.reduce((most, bucket) => ((now[bucket] ?? 0) > (now[most] ?? 0) ? bucket : most), buckets[0]);
    const bars = (side: -1 | 0 | 1) => uPlot.paths.bars!({ size: [before ? 0.38 : 0.76, 60], align: side, gap: 1, radius: 0.1 });
    const value = (_: uPlot, sum: number | null) => (sum == null ? "–" : exact(sum, unit));
    return (
        <section class="card">
            <h2>{unit === "bytes" ? "Bytes by size" : "Calls by size"}</h2>
            <Chart
                label={`Histogram of ${label.toLowerCase()} by the size of the allocation. The most, ${amount(now[largest] ?? 0, unit)}, are of sizes up to ${bucketLabel(largest)}. The table below has all numbers.`}
                height={240}
                data={data}
                onPick={(index) => onPick(buckets[index])}
                options={(colour) => {
                    const old = { label: titles?.oldTitle ?? "old", stroke: colour("--flame-less"), fill: colour("--flame-less"), paths: bars(-1), points: { show: false }, value };
                    const is = { label: before ? (titles?.newTitle ?? "new") : label, stroke: colour(before ? "--flame-more" : "--chart-1"), fill: colour(before ? "--flame-more" : "--chart-1"), width: 0, paths: bars(before ? 1 : 0), points: { show: false }, value };
                    return {
                        scales: { x: { time: false, range: () => [-0.6, buckets.length - 0.4] }, y: { range: (_, __, max) => [0, (max || 1) * 1.05] } },
                        series: [
                            {
                                label: "Sizes",
                                value: (_, i) => {
                                    if (i == null) return "–";
                                    const [from, to] = rangeOf(buckets[i]);
                                    return from === to ? String(to) : `${count(from)} – ${count(to)}`;
                                },
                            },
                            ...(before ? [{ ...old, width: 0 }] : []),
                            is,
                        ],
                        axes: [
                            {
                                ...axis(colour),
                                grid: { show: false },
                                size: 34,
                                space: 48,
                                incrs: [1, 2, 4],
                                values: (_, places) => places.map((i) => (Number.isInteger(i) && i >= 0 && i < buckets.length ? bucketLabel(buckets[i]) : "")),
                            },
                            { ...axis(colour), size: 66, values: (_, values) => values.map((sum) => (unit === "bytes" ? plain(bytes(sum)) : short(sum))) },
                        ],
                        cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
                        select: { show: false, left: 0, top: 0, width: 0, height: 0 },
                    };
                }}
            />
        </section>
    );
}
