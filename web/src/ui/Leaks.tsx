// Every stack of which blocks are lost: what is lost directly, and what is lost with it.
import { useMemo, useState } from "preact/hooks";
import { amount, bytes, count, counted, exact } from "../core/format";
import { LEAK_COLUMNS, type LeakColumn, type LeakStack, leakStacks, sortLeaks } from "../core/leaks";
import { stackOf } from "../core/stacks";
import type { State } from "../state";
import { Name } from "./Name";

/** Rows that are drawn at first, and with each click on "more". */
const ROWS = 200;
/** Frames that are shown of a stack. */
const MOST_FRAMES = 150;
/** Columns of the table. */
const WIDTH = LEAK_COLUMNS.length + 2;

export function Leaks({ state }: { state: State }) {
    const { profile } = state;
    const sites = state.sites.value;
    const [shown, setShown] = useState(ROWS);
    const [open, setOpen] = useState<ReadonlySet<number>>(new Set());
    const chosen = state.get("leaks");
    const descending = !chosen.startsWith("-");
    const column = chosen.replace(/^-/, "") as LeakColumn | "";
    const all = useMemo(() => leakStacks(profile, sites), [sites]);
    const leaks = useMemo(() => sortLeaks(profile, all, column, descending), [all, column, descending]);
    const missed = profile.processes.some((process) => process.leaks_missed);
    const sort = (id: LeakColumn) => state.set({ leaks: column === id && descending ? `-${id}` : id });
    const toggle = (site: number) => {
        const next = new Set(open);
        if (!next.delete(site)) next.add(site);
        setOpen(next);
    };
    return (
        <div class="scroll">
            {missed && (
                <p class="honest warn">
                    There may be more leaks than these: of some blocks nobody could find out whether they are lost. The summary of the run says why.
                </p>
            )}
            <section class="card">
                <h2>
                    Leaks
                    <span class="sub"> · blocks that no pointer led to when the process ended</span>
                </h2>
                <Sum leaks={all} />
                {leaks.length > 0 && (
                    <table class="plain-table leaks">
                        <caption class="hidden">Leaks by stack</caption>
                        <thead>
                            <tr>
                                {LEAK_COLUMNS.map((id) => (
                                    <Heading key={id} id={id} title={TITLES[id]} hint={profile.metric(id)?.hint ?? ""} {...{ column, descending, sort }} />
                                ))}
                                <Heading id="who" title="responsible" hint="The first function that is neither an allocation wrapper nor a container" {...{ column, descending, sort }} />
                                <th scope="col">called by</th>
                            </tr>
                        </thead>
                        <tbody>
                            {leaks.slice(0, shown).map((leak) => (
                                <Row key={leak.site} state={state} leak={leak} open={open.has(leak.site)} toggle={() => toggle(leak.site)} />
                            ))}
                        </tbody>
                        {leaks.length > shown && (
                            <tfoot>
                                <tr>
                                    <td colSpan={WIDTH}>
                                        <button type="button" class="button" onClick={() => setShown(shown + ROWS)}>
                                            {count(leaks.length - shown)} more
                                        </button>
                                    </td>
                                </tr>
                            </tfoot>
                        )}
                    </table>
                )}
            </section>
        </div>
    );
}

const TITLES: Record<(typeof LEAK_COLUMNS)[number], string> = {
    direct_bytes: "directly",
    direct_blocks: "blocks",
    indirect_bytes: "indirectly",
    indirect_blocks: "blocks",
};

/** What all of them have lost. */
function Sum({ leaks }: { leaks: LeakStack[] }) {
    const sum = (id: (typeof LEAK_COLUMNS)[number]) => leaks.reduce((all, leak) => all + leak[id], 0);
    if (leaks.length === 0) return <p class="empty">No leaks were found.</p>;
    return (
        <p class="sub" aria-live="polite" id="leak-sum">
            {bytes(sum("direct_bytes"))} in {counted(sum("direct_blocks"), "block")} directly, {bytes(sum("indirect_bytes"))} in {counted(sum("indirect_blocks"), "block")} indirectly, from {counted(leaks.length, "stack")}. A block is
            lost indirectly if only lost blocks lead to it.
        </p>
    );
}

interface HeadingProps {
    id: LeakColumn;
    title: string;
    hint: string;
    column: LeakColumn | "";
    descending: boolean;
    sort: (id: LeakColumn) => void;
}

function Heading({ id, title, hint, column, descending, sort }: HeadingProps) {
    const isSorted = column === id;
    // Names begin with A.
    const falls = descending === (id !== "who");
    return (
        <th scope="col" class={id === "who" ? "" : "number"} aria-sort={isSorted ? (falls ? "descending" : "ascending") : "none"}>
            <button type="button" title={hint} onClick={() => sort(id)}>
                {title} {isSorted ? (falls ? "↓" : "↑") : ""}
            </button>
        </th>
    );
}

interface RowProps {
    state: State;
    leak: LeakStack;
    open: boolean;
    toggle: () => void;
}

function Row({ state, leak, open, toggle }: RowProps) {
    const { profile } = state;
    const name = profile.label(leak.who);
    const frames = useMemo(() => stackOf(profile, leak.site, MOST_FRAMES), [leak]);
    const own = frames.findIndex((frame) => frame.name === name);
    const callers = frames.slice(own + 1, own + 4).map((frame) => frame.name);
    const place = own < 0 ? "" : frames[own].place;
    const sizes = [...leak.sizes].sort((a, b) => a - b).slice(0, 8);
    return (
        <>
            <tr class={open ? "open" : ""}>
                {LEAK_COLUMNS.map((id) => {
                    const unit = id.endsWith("bytes") ? "bytes" : "count";
                    return (
                        <td class={`number tone-${leak[id] === 0 ? "none" : ""}`} key={id} title={exact(leak[id], unit)}>
                            {amount(leak[id], unit)}
                        </td>
                    );
                })}
                <th scope="row">
                    <button type="button" class="link" aria-expanded={open} title="Show the stack" onClick={toggle}>
                        <span class={`twisty ${open ? "open" : "closed"}`} aria-hidden="true" />
                        <Name name={name} hint={place} />
                    </button>
                    {place && <span class="sub place">{place}</span>}
                </th>
                <td class="sub callers">
                    <Name name={callers.join(" ← ") || "-"} hint={callers.join("\n")} />
                </td>
            </tr>
            {open && (
                <tr class="leak-stack">
                    <td colSpan={WIDTH}>
                        <div class="stack">
                            <p class="sub">
                                {leak.sizes.size === 1 ? "Blocks of" : `Blocks of ${count(leak.sizes.size)} sizes:`} {sizes.map((size) => exact(size, "bytes")).join(", ")}
                                {leak.sizes.size > sizes.length && ", …"}
                                {profile.text(profile.allocator[leak.site]) && `, from ${profile.text(profile.allocator[leak.site])}`}
                                {profile.processes.length > 1 && `, in ${profile.processName(profile.process[leak.site])}`}
                            </p>
                            <ol>
                                {frames.map((frame, depth) => (
                                    <li key={depth}>
                                        <Name name={frame.name} hint={frame.hint} />
                                        {frame.inlined && <span class="tag">inlined</span>}
                                        {frame.place && (
                                            <span class="place" title={frame.hint}>
                                                {frame.place}
                                            </span>
                                        )}
                                    </li>
                                ))}
                            </ol>
                        </div>
                    </td>
                </tr>
            )}
        </>
    );
}
