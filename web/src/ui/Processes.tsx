// The processes of the run, with what is known of each.
import { bytes, count, duration, exact } from "../core/format";
import type { RawProcess } from "../data/types";
import type { State } from "../state";
import { Sums } from "./Sums";
import { Timeline } from "./Timeline";

/** Processes that are described at most, since each may have a timeline. */
const MOST_CARDS = 20;

export function Processes({ state }: { state: State }) {
    const { profile } = state;
    const several = profile.processes.length > 1;
    const one = state.get("process");
    const chosen = profile.processes.map((_, i) => i).filter((i) => one === "" || i === Number(one));
    const shown = chosen.slice(0, MOST_CARDS);
    return (
        <div class="scroll">
            {several && (
                <section class="card">
                    <h2>Processes</h2>
                    <Sums state={state} caption="Sums by process" by={state.keys.get("process")} onPick={(key) => state.set({ tab: "table", process: String(key) })} />
                </section>
            )}
            {profile.processes.length === 0 && <p class="empty">Nothing is known of the processes.</p>}
            {shown.map((i) => {
                const process = profile.processes[i];
                return (
                    <section class="card" key={i}>
                        <h2>{profile.processName(i)}</h2>
                        <Facts state={state} process={process} />
                        {several && process.timeline && process.timeline.ns.length > 1 && <Timeline timeline={process.timeline} />}
                    </section>
                );
            })}
            {shown.length < chosen.length && <p class="sub">Only the first {MOST_CARDS} processes are described here. Choose another above and come back for its own.</p>}
        </div>
    );
}

/** What is known of a process, as terms and texts; what is not known is left out. */
function Facts({ state, process }: { state: State; process: RawProcess }) {
    const { profile } = state;
    const text = (index: number | undefined) => profile.text(index);
    const facts: [string, string | null | undefined][] = [
        ["Command", process.command?.map((word) => quoted(text(word))).join(" ")],
        ["Host", text(process.host)],
        ["System", [text(process.os), text(process.arch)].filter(Boolean).join(", ")],
        ["Processors", process.cpus ? count(process.cpus) : null],
        ["Began", process.start_ms ? new Date(process.start_ms).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" }) : null],
        ["Took", process.duration_ms != null ? duration(process.duration_ms) : null],
        ["End", process.finished === false ? "not seen: it was killed, replaced, or still runs" : "seen"],
        ["Blocks", process.live ? "followed until they are freed" : "counted when they are made, not followed"],
        ["Stacks", process.whole_stacks ? "whole" : "four functions"],
        ["Peak", process.peak_bytes ? `${bytes(process.peak_bytes)} (${exact(process.peak_bytes, "bytes")})` : null],
    ];
    return (
        <dl class="facts">
            {facts
                .filter(([, value]) => value)
                .map(([name, value]) => (
                    <div key={name}>
                        <dt>{name}</dt>
                        <dd class={name === "Command" ? "code" : ""}>{value}</dd>
                    </div>
                ))}
        </dl>
    );
}

/** A word as a shell would need it. */
function quoted(word: string): string {
    return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
