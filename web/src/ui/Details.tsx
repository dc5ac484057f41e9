// The stacks behind a row, with source lines.
import { useMemo } from "preact/hooks";
import { exact, percent } from "../core/format";
import type { Branch } from "../core/grouping";
import { heaviest, stackOf } from "../core/stacks";
import type { State } from "../state";
import { Name } from "./Name";

/** Frames that are shown of a stack. */
const MOST_FRAMES = 150;
/** Stacks that are shown of a group. */
const STACKS = 5;

interface Props {
    state: State;
    branch: Branch;
    group: number;
    close: () => void;
}

export function Details({ state, branch, group, close }: Props) {
    const { profile } = state;
    const bytes = profile.metric(profile.diff ? "delta_bytes" : "bytes")!;
    const sites = branch.sites(group);
    const top = useMemo(() => heaviest(sites, bytes, STACKS), [branch, group, bytes]);
    const sum = branch.sum(bytes)[group];
    return (
        <aside class="details" aria-label="Stacks of the row">
            <header>
                <h2>{branch.label(group)}</h2>
                <button type="button" class="plain" aria-label="Close" title="Close (Esc)" onClick={close}>
                    ×
                </button>
            </header>
            <dl class="figures">
                {[...profile.metrics.values()].map((metric) => (
                    <div key={metric.id}>
                        <dt>
                            {metric.label}
                            {metric.side && metric.side !== "new" ? `, ${metric.side === "old" ? "old" : "change"}` : ""}
                        </dt>
                        <dd>{exact(branch.sum(metric)[group], metric.unit, metric.side === "delta")}</dd>
                    </div>
                ))}
            </dl>
            <h3>{sites.length > STACKS ? `${STACKS} largest of ${sites.length.toLocaleString("en")} stacks` : sites.length === 1 ? "Stack" : `${sites.length} stacks`}</h3>
            {top.map((site) => (
                <section key={site} class="stack">
                    <p class="sub">
                        {exact(bytes.values[site], "bytes", !!profile.diff)}
                        {sum !== 0 && !profile.diff && `, ${percent(bytes.values[site] / sum)} of the row`}, {exact(profile.metric("calls")!.values[site], "count")} × {exact(profile.size[site], "bytes")}
                        {profile.text(profile.allocator[site]) && `, ${profile.text(profile.allocator[site])}`}
                    </p>
                    <ol>
                        {stackOf(profile, site, MOST_FRAMES).map(({ name, place, hint, inlined }, depth) => (
                            <li key={depth}>
                                <Name name={name} hint={hint} />
                                {inlined && <span class="tag" title="The compiler put this function into its caller">inlined</span>}
                                {place && (
                                    <span class="place" title={hint}>
                                        {place}
                                    </span>
                                )}
                            </li>
                        ))}
                    </ol>
                </section>
            ))}
        </aside>
    );
}
