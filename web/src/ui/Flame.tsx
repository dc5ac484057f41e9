// The flame graph with its choices: what its widths show, where stacks begin, colours of a difference.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Columns, type Drawn, FromMain, FromPc0, visible } from "../core/flame";
import { amount, change, exact, percent } from "../core/format";
import { baseName } from "../core/keys";
import { quoted } from "../core/search";
import { timed } from "../core/timing";
import type { Profile } from "../data/profile";
import type { Metric } from "../data/metrics";
import type { State } from "../state";
import { FlameChart, NARROWEST_PX } from "./flameChart";
import { useWidth } from "./useWidth";

/** What a width can show. */
const METRICS = ["bytes", "calls", "live_bytes", "live_blocks", "peak_bytes", "peak_blocks", "temporary", "copied", "slack", "direct_bytes", "indirect_bytes"];
const HUES = 8;
/** Modules that the legend names. */
const LEGEND = 5;

/** Larger of two columns, site by site: it can be added up, so nothing that is gone or new is without width. */
function larger(a: Float64Array, b: Float64Array): Float64Array {
    return a.map((value, site) => Math.max(value, b[site]));
}

/** Columns for the choices. */
function columnsFor(state: State, metric: Metric): Columns {
    const before = state.profile.metric(`old_${metric.id}`)?.values;
    if (!before) return { value: metric.values };
    const now = metric.values;
    const side = state.get("side");
    return { value: side === "new" ? now : side === "old" ? before : larger(now, before), before, now };
}

export function Flame({ state }: { state: State }) {
    const { profile } = state;
    const metric = profile.metric(state.get("metric")) ?? profile.metric("bytes")!;
    const sites = state.sites.value;
    const from = state.get("from");
    const side = state.get("side");
    const { labels } = state.found.value;
    const columns = useMemo(() => columnsFor(state, metric), [metric, side]);
    const tree = useMemo(() => timed("flame", () => (from === "main" ? new FromMain(profile, sites, columns) : new FromPc0(profile, sites, columns))), [sites, columns, from]);
    const element = useRef<HTMLDivElement>(null);
    const chart = useRef<FlameChart | null>(null);
    const width = useWidth(element);
    const zoom = state.zoom.value;
    const [hover, setHover] = useState<{ frame: Drawn; x: number; y: number } | null>(null);
    const [active, setActive] = useState<Drawn | null>(null);

    const data = useMemo(() => (width < 50 ? null : timed("flame-frames", () => visible(profile, tree, [...zoom], NARROWEST_PX / width))), [tree, zoom, width]);

    useEffect(() => {
        if (!element.current || !data) return;
        const drawn = timed(
            "flame-draw",
            () =>
                new FlameChart(
                    element.current!,
                    data,
                    {
                        colour: ({ frame, smaller }) => {
                            if (smaller || !frame || frame.depth === 0) return "var(--flame-none)";
                            if (labels && !labels[frame.label]) return "var(--flame-dim)";
                            if (labels && !columns.before) return "var(--flame-hit)";
                            if (columns.before) return shade(frame.before, frame.now);
                            return tint(hueOf(profile.moduleOf[frame.function]), frame.label);
                        },
                        label: (frame) => `${wholeName(profile, frame)}, ${amount(frame.value, metric.unit)}, ${percent(frame.value / tree.root.value)}`,
                        zoom: (path) => {
                            state.zoom.value = path;
                        },
                        smaller: (path) => state.set({ tab: "table", ...(path.length > 0 ? { q: quoted(profile.label(path.at(-1)!)) } : {}) }),
                        hover: (frame, event) => setHover(frame && event ? { frame, x: event.clientX, y: event.clientY } : null),
                        active: setActive,
                    },
                    width,
                ),
        );
        chart.current = drawn;
        setHover(null);
        setActive(null);
        return () => drawn.destroy();
    }, [data, labels]);

    // A frame that is not there any more would leave an empty picture.
    useEffect(() => {
        state.zoom.value = [];
    }, [from]);

    const diff = columns.before !== undefined;
    const all: Drawn = { name: "all", value: tree.root.value, children: [], on: null, frame: tree.root, smaller: 0 };
    const described = hover?.frame ?? active;
    return (
        <div class="flame-view">
            <Choices state={state} metric={metric} data={data} />
            <div
                class="flame"
                id="flame"
                data-first
                ref={element}
                role="tree"
                tabIndex={0}
                aria-label={`Flame graph of ${metric.label.toLowerCase()}, ${from === "main" ? "outermost function first" : "pc0 first"}`}
                onKeyDown={(event) => {
                    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
                    if (chart.current?.key(event.key)) event.preventDefault();
                }}
            />
            {tree.root.value === 0 && <p class="empty">Nothing to show.</p>}
            <p class="flame-line" aria-live="polite">
                {described ? `${wholeName(profile, described)}: ${sizeOf(described, tree.root.value, metric, diff)}` : `${sizeOf(all, tree.root.value, metric, diff)} in all. Click or press Enter to zoom, Esc to go back.`}
            </p>
            {hover && <Tip {...hover} metric={metric} total={tree.root.value} profile={profile} diff={diff} />}
        </div>
    );
}

/** Colour of a module; the first is for what is of none. */
function hueOf(module: number): string {
    return module < 0 ? "var(--flame-0)" : `var(--flame-${1 + (module % (HUES - 1))})`;
}

/** A little lighter or darker by the name, so that neighbours can be told apart. */
function tint(hue: string, label: number): string {
    const part = [100, 82, 66][label % 3];
    return part === 100 ? hue : `color-mix(in oklab, ${hue} ${part}%, var(--bg))`;
}

/** The modules of the frames that are drawn, the most frequent first. */
function modulesOf(data: Drawn, moduleOf: Int32Array): number[] {
    const counts = new Map<number, number>();
    const queue = [data];
    for (const { frame, children } of queue) {
        if (frame && frame.function >= 0) counts.set(moduleOf[frame.function], (counts.get(moduleOf[frame.function]) ?? 0) + 1);
        queue.push(...children);
    }
    return [...counts].sort(([, a], [, b]) => b - a).map(([module]) => module);
}

/** What the colours mean. */
function Legend({ state, data }: { state: State; data: Drawn | null }) {
    const { profile } = state;
    const modules = useMemo(() => (data && !profile.diff ? modulesOf(data, profile.moduleOf) : []), [data]);
    if (profile.diff) {
        return (
            <span class="legend">
                <i class="less" /> less <i class="none" /> same <i class="more" /> more
            </span>
        );
    }
    return (
        <span class="legend" aria-label="Colours by module">
            {modules.slice(0, LEGEND).map((module) => (
                <span key={module} title={profile.module(module)}>
                    <i style={{ background: hueOf(module) }} /> {baseName(profile.module(module)) || "not known"}
                </span>
            ))}
            {modules.length > LEGEND && ` and ${modules.length - LEGEND} more`}
        </span>
    );
}

/** Red for more, blue for less, grey for the same. */
function shade(before: number, now: number): string {
    const most = Math.max(before, now);
    const part = most > 0 ? (now - before) / most : 0;
    if (Math.abs(part) < 0.001) return "var(--flame-none)";
    const strength = Math.round(20 + 80 * Math.min(1, Math.abs(part)));
    return `color-mix(in oklab, var(${part > 0 ? "--flame-more" : "--flame-less"}) ${strength}%, var(--flame-none))`;
}

/** A frame's name in full. */
function wholeName(profile: Profile, { name, frame }: Drawn): string {
    return frame && frame.depth > 0 ? profile.label(frame.label) : name;
}

/** What a frame has, in words: of a difference both sides, else its share. */
function sizeOf({ value, frame }: Drawn, total: number, { unit }: Metric, diff: boolean): string {
    if (diff && frame) return `${exact(frame.before, unit)} → ${exact(frame.now, unit)} (${change(frame.before, frame.now)})`;
    return `${exact(value, unit)} (${percent(value / total)})`;
}

interface TipProps {
    frame: Drawn;
    x: number;
    y: number;
    metric: Metric;
    total: number;
    profile: Profile;
    diff: boolean;
}

function Tip({ frame, x, y, metric, total, profile, diff }: TipProps) {
    const module = frame.frame ? profile.module(profile.moduleOf[frame.frame.function]) : "";
    const right = x > innerWidth / 2;
    const below = y < innerHeight - 160;
    const place = {
        [right ? "right" : "left"]: `${right ? innerWidth - x + 10 : x + 14}px`,
        [below ? "top" : "bottom"]: `${below ? y + 18 : innerHeight - y + 10}px`,
    };
    return (
        <div class="tip" role="presentation" style={place}>
            <b>{frame.smaller ? `${frame.smaller.toLocaleString("en")} frames too narrow to draw: click for the table` : wholeName(profile, frame)}</b>
            <span>{sizeOf(frame, total, metric, diff)}</span>
            {module && <span class="sub">{module}</span>}
        </div>
    );
}

function Choices({ state, metric, data }: { state: State; metric: Metric; data: Drawn | null }) {
    const { profile } = state;
    const metrics = METRICS.map((id) => profile.metric(id)).filter((other) => other !== undefined);
    const zoom = state.zoom.value;
    const last = zoom.at(-1);
    return (
        <div class="toolbar">
            <label>
                Width{" "}
                <select id="metric" value={metric.id} onChange={(event) => state.set({ metric: event.currentTarget.value })}>
                    {metrics.map(({ id, label }) => (
                        <option key={id} value={id}>
                            {label}
                        </option>
                    ))}
                </select>
            </label>
            <label>
                Begin at{" "}
                <select id="from" value={state.get("from")} onChange={(event) => state.set({ from: event.currentTarget.value })}>
                    <option value="pc0">pc0 (who asks)</option>
                    <option value="main">main (outermost)</option>
                </select>
            </label>
            {profile.metric(`old_${metric.id}`) && (
                <label>
                    Of{" "}
                    <select id="side" value={state.get("side")} onChange={(event) => state.set({ side: event.currentTarget.value })}>
                        <option value="both">the larger of both</option>
                        <option value="new">{profile.diff!.newTitle}</option>
                        <option value="old">{profile.diff!.oldTitle}</option>
                    </select>
                </label>
            )}
            <button type="button" class="button" id="unzoom" disabled={zoom.length === 0} onClick={() => (state.zoom.value = [])}>
                Show all
            </button>
            {last !== undefined && (
                <button type="button" class="button" onClick={() => state.set({ tab: "table", q: quoted(profile.label(last)) })}>
                    Show in the table
                </button>
            )}
            <span class="spacer" />
            <Legend state={state} data={data} />
        </div>
    );
}
