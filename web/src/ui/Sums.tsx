// A table of sums by something there is little of, such as threads: sortable, and each row is a filter.
import { useMemo, useState } from "preact/hooks";
import { amount, count, exact, percent } from "../core/format";
import type { Key } from "../core/keys";
import { orderBy } from "../core/grouping";
import type { State } from "../state";
import { Name } from "./Name";

/** Rows that are drawn at most; what is beyond them is in the table. */
const MOST_ROWS = 500;
/** Columns that are worth a place here. */
const COLUMNS = ["bytes", "calls", "live_bytes", "peak_bytes", "temporary"];

interface Props {
    state: State;
    caption: string;
    by: Key;
    onPick: (key: number) => void;
}

export function Sums({ state, caption, by, onPick }: Props) {
    const { profile } = state;
    const sites = state.sites.value;
    const metrics = COLUMNS.flatMap((id) => [`old_${id}`, id, `delta_${id}`])
        .map((id) => profile.metric(id))
        .filter((metric) => metric !== undefined);
    const [sort, setSort] = useState("bytes");
    const sums = useMemo(
        () =>
            new Map(
                metrics.map((metric) => {
                    const column = new Float64Array(by.count);
                    for (const site of sites) column[by.of[site]] += metric.values[site];
                    return [metric.id, column];
                }),
            ),
        [sites, by],
    );
    const present = useMemo(() => {
        const found = new Uint8Array(by.count);
        for (const site of sites) found[by.of[site]] = 1;
        return found;
    }, [sites, by]);
    const all = [...orderBy(sums.get(sort)!, true)].filter((key) => present[key]);
    const rows = all.slice(0, MOST_ROWS);
    const sides: Record<string, string> = { old: " old", delta: " change" };
    return (
        <table class="plain-table sums">
            <caption class="hidden">{caption}</caption>
            <thead>
                <tr>
                    <th scope="col">{by.title}</th>
                    {metrics.map(({ id, label, side, hint }) => (
                        <th scope="col" class="number" key={id} aria-sort={sort === id ? "descending" : "none"}>
                            <button type="button" title={hint} onClick={() => setSort(id)}>
                                {label}
                                {side && sides[side]} {sort === id ? "↓" : ""}
                            </button>
                        </th>
                    ))}
                    <th scope="col" class="number">
                        Share
                    </th>
                </tr>
            </thead>
            <tbody>
                {rows.map((key) => {
                    const share = sums.get("bytes")![key] / profile.total("bytes");
                    return (
                        <tr key={key}>
                            <th scope="row">
                                <button type="button" class="link" title="Show these in the table" onClick={() => onPick(key)}>
                                    <Name name={by.label(key)} hint={by.hint?.(key)} />
                                </button>
                            </th>
                            {metrics.map(({ id, unit, side }) => {
                                const value = sums.get(id)![key];
                                const tone = value === 0 ? "none" : side === "delta" ? (value > 0 ? "more" : "less") : "";
                                return (
                                    <td class={`number tone-${tone}`} key={id} title={exact(value, unit, side === "delta")}>
                                        {amount(value, unit, side === "delta")}
                                    </td>
                                );
                            })}
                            <td class="number share">
                                <span class="meter" aria-hidden="true">
                                    <span style={{ width: `${Math.max(0, Math.min(1, share)) * 100}%` }} />
                                </span>
                                <span class="percent">{percent(share)}</span>
                            </td>
                        </tr>
                    );
                })}
            </tbody>
            {rows.length < all.length && (
                <tfoot>
                    <tr>
                        <td class="sub" colSpan={99}>
                            and {count(all.length - rows.length)} more, which the table shows grouped by {by.title}
                        </td>
                    </tr>
                </tfoot>
            )}
        </table>
    );
}
