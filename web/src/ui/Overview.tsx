// The first view: the figures, what is missing from them, memory over time, and who asks for the most.
import { useMemo } from "preact/hooks";
import { amount, bytes, change, count, counted, duration, exact, percent, short } from "../core/format";
import { GroupTree, orderBy } from "../core/grouping";
import { quoted } from "../core/search";
import type { Metric } from "../data/metrics";
import type { State } from "../state";
import { Name } from "./Name";
import { Timeline } from "./Timeline";

const TOP = 10;

export function Overview({ state }: { state: State }) {
    const { profile } = state;
    const longest = useMemo(() => {
        const withLine = profile.processes.filter(({ timeline }) => timeline && timeline.ns.length > 1);
        return withLine.reduce<(typeof withLine)[0] | null>((most, process) => ((process.peak_bytes ?? 0) > (most?.peak_bytes ?? -1) ? process : most), null);
    }, [state]);
    return (
        <div class="scroll">
            <Figures state={state} />
            <Honesty state={state} />
            {longest?.timeline && (
                <section class="card">
                    <h2>
                        Memory over time
                        <span class="sub"> · drag to zoom this chart, double-click to go back, click a name to hide its line</span>
                        {profile.processes.length > 1 && <span class="sub"> · of {profile.processName(profile.processes.indexOf(longest))}, which held the most</span>}
                    </h2>
                    <Timeline timeline={longest.timeline} />
                    <p class="sub">The tables and the flame graph are of the whole run, whatever part of it the chart shows: sites are not counted by time.</p>
                </section>
            )}
            <div class="cards two">
                {profile.diff ? (
                    <>
                        <Top state={state} metric={profile.metric("delta_bytes")!} by="who" title="Grew the most, by responsible function" sign={1} />
                        <Top state={state} metric={profile.metric("delta_bytes")!} by="who" title="Shrank the most, by responsible function" sign={-1} />
                    </>
                ) : (
                    <>
                        <Top state={state} metric={profile.metric("bytes")!} by="who" title="Most bytes, by responsible function" sign={1} />
                        <Top state={state} metric={profile.metric("peak_bytes") ?? profile.metric("calls")!} by="who" title={profile.metric("peak_bytes") ? "Most bytes at the peak, by responsible function" : "Most calls, by responsible function"} sign={1} />
                        {profile.total("direct_bytes") > 0 && <Top state={state} metric={profile.metric("direct_bytes")!} by="who" title="Leaked the most, by responsible function" sign={1} />}
                    </>
                )}
            </div>
        </div>
    );
}

interface Figure {
    label: string;
    value: string;
    title: string;
    note?: string;
    tone?: string;
}

function Figures({ state }: { state: State }) {
    const { profile } = state;
    const sites = state.sites.value;
    const sum = (metric: Metric) => {
        let total = 0;
        for (const site of sites) total += metric.values[site];
        return total;
    };
    const figures: Figure[] = [];
    const add = (id: string, label: string, note?: (value: number) => string) => {
        const metric = profile.metric(id);
        if (!metric) return;
        const value = sum(metric);
        const old = profile.metric(`old_${id}`);
        const before = old && sum(old);
        figures.push({
            label,
            value: amount(value, metric.unit),
            title: exact(value, metric.unit),
            note: before === undefined ? note?.(value) : `${change(before, value)}, was ${amount(before, metric.unit)}`,
            tone: before === undefined || before === value ? undefined : value > before ? "more" : "less",
        });
    };
    const all = profile.total("bytes");
    const calls = sum(profile.metric("calls")!);
    add("bytes", "Allocated", (value) => (state.unfiltered ? `${exact(value, "bytes")}` : `${percent(value / all)} of all`));
    add("calls", "Calls", () => `${bytes(calls ? sum(profile.metric("bytes")!) / calls : 0)} on average`);
    const { highest } = profile;
    const one = state.get("process");
    // Of other processes it is not known what lived at that peak.
    if (highest < 0 || one === "" || Number(one) === highest) {
        const process = profile.processes[Math.max(0, highest)];
        const error = process?.peak_standard_error;
        const share = (value: number) => (error && process.peak_bytes ? `±${percent(error / process.peak_bytes)}, ` : "") + `${percent(value / sum(profile.metric("bytes")!))} of allocated`;
        add("peak_bytes", "At the peak", (value) => share(value) + (highest < 0 ? "" : `, in ${profile.processName(highest)}`));
    }
    if (profile.together && one === "") {
        const { peak_bytes, peak_ns, processes } = profile.together;
        figures.push({
            label: "Peak together",
            value: bytes(peak_bytes),
            title: `${exact(peak_bytes, "bytes")}: the most that all processes held at one moment`,
            note: `in ${count(processes)} processes, ${duration(peak_ns / 1e6)} after the start`,
        });
    }
    add("live_bytes", "Never freed", () => counted(sum(profile.metric("live_blocks") ?? profile.metric("calls")!), "block"));
    add("direct_bytes", "Leaked", () => {
        const indirect = sum(profile.metric("indirect_bytes")!);
        const blocks = counted(sum(profile.metric("direct_blocks")!), "block");
        return `${blocks}${indirect ? `, with them ${bytes(indirect)} indirectly` : ""}`;
    });
    add("temporary", "Temporary", (value) => `${percent(calls ? value / calls : 0)} of calls`);
    const functions = new GroupTree(sites, [state.keys.get("who")], ({ order }) => order).root.size;
    figures.push({ label: "Call sites", value: count(sites.length), title: "Different stacks, sizes and threads", note: `in ${counted(functions, "function")}` });
    const [first] = profile.processes;
    if (profile.processes.length > 1) figures.push({ label: "Processes", value: count(profile.processes.length), title: "Processes that are in this report" });
    else if (first?.duration_ms != null) {
        const rate = first.duration_ms > 0 ? `${short(Math.round(profile.total("calls") / (first.duration_ms / 1000)))} calls a second` : undefined;
        figures.push({ label: "Took", value: duration(first.duration_ms), title: `${first.duration_ms} ms`, note: rate });
    }
    return (
        <dl class="figures-row">
            {figures.map(({ label, value, title, note, tone }) => (
                <div class="figure" key={label} title={title}>
                    <dt>{label}</dt>
                    <dd>
                        <b>{value}</b>
                        {note && <span class={`sub ${tone ? `tone-${tone}` : ""}`}>{note}</span>}
                    </dd>
                </div>
            ))}
        </dl>
    );
}

/** What the counts do not hold. */
function Honesty({ state }: { state: State }) {
    const { losses, sampleBytes, processes } = state.profile;
    const unfinished = processes.filter(({ finished }) => finished === false).length;
    if (losses.length === 0 && sampleBytes === 0 && unfinished === 0) {
        return (
            <p class="honest good">
                <span aria-hidden="true">✓</span> Complete: no data lost
            </p>
        );
    }
    return (
        <section class="honest warn" aria-labelledby="honesty">
            <h2 id="honesty">What's missing</h2>
            <ul>
                {sampleBytes > 0 && (
                    <li>
                        Sampled: one allocation is recorded every {bytes(sampleBytes)} on average. All numbers are estimates.
                    </li>
                )}
                {unfinished > 0 && (
                    <li>
                        {unfinished === 1 ? "One process" : `${count(unfinished)} processes`} did not come to an end that could be seen: what is counted is what happened until the report was written.
                    </li>
                )}
                {losses.map(({ what, count: n }) => (
                    <li key={what}>
                        <b>{count(n)}</b> {what}
                    </li>
                ))}
            </ul>
        </section>
    );
}

interface TopProps {
    state: State;
    metric: Metric;
    by: string;
    title: string;
    /** 1 for the largest, -1 for the smallest. */
    sign: 1 | -1;
}

function Top({ state, metric, by, title, sign }: TopProps) {
    const sites = state.sites.value;
    const { branch, top, most } = useMemo(() => {
        const tree = new GroupTree(sites, [state.keys.get(by)], (branch) => orderBy(branch.sum(metric), sign > 0));
        const sums = tree.root.sum(metric);
        const top = [...tree.root.order.subarray(0, TOP)].filter((group) => sums[group] * sign > 0);
        return { branch: tree.root, top, most: Math.abs(sums[top[0]] ?? 1) };
    }, [sites, metric, by, sign]);
    const delta = metric.side === "delta";
    const total = state.profile.total(metric.id);
    const find = (name: string) => state.set({ tab: "table", q: `${by}:${quoted(name)}` });
    return (
        <section class="card">
            <h2>{title}</h2>
            {top.length === 0 && <p class="sub">Nothing.</p>}
            <ol class={`top-list ${delta ? "changes" : ""}`}>
                {top.map((group) => {
                    const value = branch.sum(metric)[group];
                    return (
                        <li key={branch.keys[group]}>
                            <button type="button" class="link" onClick={() => find(branch.label(group))}>
                                <Name name={branch.label(group)} hint={[branch.key.hint?.(branch.keys[group]), "Show in the table"].filter(Boolean).join("\n")} />
                            </button>
                            <span class={`meter ${delta ? (value > 0 ? "more" : "less") : ""}`} aria-hidden="true">
                                <span style={{ width: `${(Math.abs(value) / most) * 100}%` }} />
                            </span>
                            <span class="number" title={exact(value, metric.unit, delta)}>
                                {amount(value, metric.unit, delta)}
                            </span>
                            {!delta && <span class="number sub">{percent(value / total)}</span>}
                        </li>
                    );
                })}
            </ol>
        </section>
    );
}
