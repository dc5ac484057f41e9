// Memory over the run of a process, with its peak marked.
import { useMemo } from "preact/hooks";
import uPlot from "uplot";
import { bytes, count, duration, plain, short } from "../core/format";
import type { RawTimeline } from "../data/types";
import { axis, Chart } from "./Chart";

/** A series of the timeline. */
const SERIES = [
    { id: "live_bytes", label: "Live bytes", colour: "--chart-1", scale: "bytes", fill: "--chart-1-soft", unit: bytes },
    { id: "rss", label: "Resident (RSS)", colour: "--chart-2", scale: "bytes", fill: null, unit: bytes },
    { id: "allocations", label: "Allocations so far", colour: "--chart-3", scale: "count", fill: null, unit: count },
] as const;

/** Draws a line at the peak, with its size. */
function peakMark(at: number, size: number, colour: (name: string) => string): uPlot.Plugin {
    return {
        hooks: {
            draw: (plot) => {
                const { ctx, bbox } = plot;
                const ratio = devicePixelRatio;
                const x = Math.round(plot.valToPos(plot.data[0][at], "x", true));
                const y = plot.valToPos(size, "bytes", true);
                if (x < bbox.left || x > bbox.left + bbox.width) return;
                ctx.save();
                ctx.strokeStyle = ctx.fillStyle = colour("--accent");
                ctx.lineWidth = ratio;
                ctx.setLineDash([4 * ratio, 4 * ratio]);
                ctx.beginPath();
                ctx.moveTo(x, bbox.top);
                ctx.lineTo(x, bbox.top + bbox.height);
                ctx.stroke();
                ctx.setLineDash([]);
                ctx.beginPath();
                ctx.arc(x, y, 4 * ratio, 0, 2 * Math.PI);
                ctx.fill();
                const right = x > bbox.left + bbox.width * 0.8;
                ctx.font = `600 ${12 * ratio}px system-ui, sans-serif`;
                ctx.textAlign = right ? "right" : "left";
                ctx.textBaseline = "top";
                ctx.fillText(`peak ${bytes(size)}`, x + (right ? -8 : 8) * ratio, bbox.top + 4 * ratio);
                ctx.restore();
            },
        },
    };
}

/** Each point holds until the next one, so that a time in which nothing happened is a level line. */
const STEPS = uPlot.paths.stepped!({ align: 1 });

/** Place and size of the peak of the live bytes: the highest point of their line. */
function peakOf(live: number[] | null | undefined): { at: number; size: number } | null {
    if (!live?.length) return null;
    let at = 0;
    live.forEach((value, i) => value > live[at] && (at = i));
    return live[at] > 0 ? { at, size: live[at] } : null;
}

export function Timeline({ timeline }: { timeline: RawTimeline }) {
    const n = timeline.ns.length;
    const series = SERIES.filter(({ id }) => timeline[id]?.length === n && timeline[id]!.some((value) => value !== null && value > 0));
    const data = useMemo(() => [timeline.ns.map((ns) => ns / 1e6), ...series.map(({ id }) => timeline[id]!)] as uPlot.AlignedData, [timeline]);
    const peak = useMemo(() => peakOf(timeline.live_bytes as number[]), [timeline]);
    const label = `Memory over time. ${peak ? `The peak is ${bytes(peak.size)}, ${duration(data[0][peak.at])} after the start.` : ""}`;
    return (
        <Chart
            label={label}
            height={260}
            data={data}
            options={(colour) => ({
                scales: { x: { time: false }, bytes: { range: (_, __, max) => [0, (max || 1) * 1.12] }, count: { range: (_, __, max) => [0, (max || 1) * 1.12] } },
                series: [
                    { label: "Time", value: (_, ms) => (ms == null ? "–" : duration(ms)) },
                    ...series.map(({ label, colour: name, scale, fill, unit }) => ({
                        label,
                        scale,
                        paths: STEPS,
                        // What is not known of a moment was not read or counted then.
                        spanGaps: true,
                        stroke: colour(name),
                        fill: fill ? colour(fill) : undefined,
                        width: scale === "count" ? 1 : 1.75,
                        dash: scale === "count" ? [5, 4] : undefined,
                        points: { show: n < 3 },
                        value: (_: uPlot, value: number | null) => (value == null ? "–" : unit(value)),
                    })),
                ],
                axes: [
                    { ...axis(colour), size: 34, values: (_, values) => values.map((ms) => (ms === 0 ? "0" : plain(duration(ms)))) },
                    { ...axis(colour), scale: "bytes", size: 70, values: (_, values) => values.map((value) => plain(bytes(value))) },
                    ...(series.some(({ scale }) => scale === "count") ? [{ ...axis(colour), scale: "count", side: 1 as const, size: 62, grid: { show: false }, values: (_: uPlot, values: number[]) => values.map(short) }] : []),
                ],
                cursor: { points: { size: 7 } },
                plugins: peak ? [peakMark(peak.at, peak.size, colour)] : [],
            })}
        />
    );
}
