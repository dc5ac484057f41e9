// The table: groups of sites that open into the next key, with sums.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { csvOf } from "../core/csv";
import { count } from "../core/format";
import { GroupTree } from "../core/grouping";
import type { State } from "../state";
import { type Column, columnsOf, readSort } from "./columns";
import { Details } from "./Details";
import { Menu } from "./Menu";
import { save } from "./save";
import { NumberCell, TableRow } from "./TableRow";
import { type TableState, useTable } from "./useTable";
import { useVirtual } from "./useVirtual";

const ROW = 28;
/** The head, with the row of totals below it. */
const HEAD = 44 + ROW;
/** Below this width the details would leave the table no room. */
const WIDE = 1100;

export function Table({ state }: { state: State }) {
    const all = useMemo(() => columnsOf(state.profile), [state]);
    const hidden = state.hidden.value;
    const columns = useMemo(() => all.filter(({ id }) => !hidden.has(id.replace(/^(old|delta)_/, ""))), [all, hidden]);
    const table = useTable(state, all);
    const [details, setDetails] = useState(() => innerWidth >= WIDE);
    return (
        <div class="table-view">
            <Toolbar state={state} table={table} columns={all} details={details} setDetails={setDetails} />
            <div class="table-and-details">
                <Grid state={state} table={table} columns={columns} showDetails={() => setDetails(true)} hideDetails={() => setDetails(false)} />
                {details && table.activeRow >= 0 && <Details state={state} branch={table.rows.branch(table.activeRow)} group={table.rows.group(table.activeRow)} close={() => setDetails(false)} />}
            </div>
        </div>
    );
}

interface ToolbarProps {
    state: State;
    table: TableState;
    columns: Column[];
    details: boolean;
    setDetails: (shown: boolean) => void;
}

function Toolbar({ state, table, columns, details, setDetails }: ToolbarProps) {
    const hidden = state.hidden.value;
    const choices = new Map(columns.filter(({ id }) => !/^(old|delta)_/.test(id)).map((column) => [column.id, column]));
    const show = (id: string, shown: boolean) => {
        const next = new Set(hidden);
        if (shown) next.delete(id);
        else next.add(id);
        state.hidden.value = next;
    };
    return (
        <div class="toolbar">
            <label>
                Group by{" "}
                <select id="group" value={state.get("group")} onChange={(event) => state.set({ group: event.currentTarget.value })}>
                    {state.keys.groupings().map(({ id, title }) => (
                        <option key={id} value={id}>
                            {title}
                        </option>
                    ))}
                </select>
            </label>
            <Menu title="Columns">
                {[...choices.values()].map(({ id, label, side, hint }) => (
                    <label key={id} title={hint}>
                        <input type="checkbox" checked={!hidden.has(id)} onChange={(event) => show(id, event.currentTarget.checked)} /> {label}
                        {side === "change %" && " %"}
                    </label>
                ))}
            </Menu>
            <button type="button" class="button" onClick={table.closeAll}>
                Close all
            </button>
            <button type="button" class="button" aria-pressed={details} onClick={() => setDetails(!details)}>
                Stacks
            </button>
            <button
                type="button"
                class="button"
                title="What the table shows, as a file: a line for each row that is not open"
                onClick={() => save("heap.csv", "text/csv", csvOf(table.tree, [...state.profile.metrics.values()]))}
            >
                Save as CSV
            </button>
            <span class="spacer" />
            <span class="sub" aria-live="polite" id="row-count">
                {count(table.tree.root.size)} {["pc0", "responsible"].includes(table.tree.root.key.title) ? "functions" : "groups"}, {count(state.sites.value.length)} sites
            </span>
        </div>
    );
}

interface GridProps {
    state: State;
    table: TableState;
    columns: Column[];
    showDetails: () => void;
    hideDetails: () => void;
}

function Grid({ state, table, columns, showDetails, hideDetails }: GridProps) {
    const scroller = useRef<HTMLDivElement>(null);
    const { rows, activeRow } = table;
    const virtual = useVirtual({ count: rows.length, height: ROW, covered: HEAD, scroller });
    const go = (row: number) => {
        const to = Math.max(0, Math.min(rows.length - 1, row));
        table.activate(to);
        virtual.scrollToIndex(to);
    };
    const onKey = (event: KeyboardEvent) => {
        if (event.ctrlKey || event.metaKey || event.altKey || activeRow < 0) return;
        // Buttons of the head have Enter and the space bar for themselves.
        if (event.target !== scroller.current) return;
        const page = Math.max(1, Math.floor((scroller.current!.clientHeight - HEAD) / ROW) - 1);
        const moves: Record<string, () => void> = {
            ArrowDown: () => go(activeRow + 1),
            ArrowUp: () => go(activeRow - 1),
            PageDown: () => go(activeRow + page),
            PageUp: () => go(activeRow - page),
            Home: () => go(0),
            End: () => go(rows.length - 1),
            ArrowRight: () => {
                if (event.shiftKey) table.openDeep(activeRow);
                else if (rows.isOpen(activeRow)) go(activeRow + 1);
                else if (rows.branch(activeRow).hasChildren) table.open(activeRow);
            },
            ArrowLeft: () => (rows.isOpen(activeRow) ? table.close(activeRow) : rows.parent(activeRow) >= 0 && go(rows.parent(activeRow))),
            "*": () => table.openBeside(activeRow),
            " ": () => table.toggle(activeRow),
            Enter: () => showDetails(),
            Escape: () => hideDetails(),
        };
        const move = moves[event.key];
        if (!move) return;
        event.preventDefault();
        // The row that the keys act on stays the same one, whatever opens above it.
        if (event.key !== "Enter" && !event.key.startsWith("Page")) table.activate(activeRow);
        move();
    };
    const totals = useMemo(() => new GroupTree(state.sites.value, [state.keys.get("all")], ({ order }) => order).root, [state.sites.value]);
    const { labels } = state.found.value;
    const { id: sorted, descending } = readSort(state.get("sort"), columns);
    useEffect(() => scroller.current?.scrollTo({ top: 0 }), [state.sites.value, state.get("group"), sorted, descending]);
    const sort = (id: string) => state.set({ sort: sorted === id && descending ? `-${id}` : id });
    const arrow = (id: string) => (sorted === id ? (descending === (id !== "name") ? "↓" : "↑") : "");
    const aria = (id: string) => (sorted === id ? (descending === (id !== "name") ? "descending" : "ascending") : "none");
    const widths = columns.map(({ side }) => (side === "change %" ? "5.6rem" : "6.2rem"));
    const template = `minmax(var(--name-width), 1fr) ${widths.join(" ")}`;
    return (
        <div
            class="grid"
            role="treegrid"
            id="grid"
            data-first
            ref={scroller}
            tabIndex={0}
            aria-label={`Allocations, grouped by ${table.tree.levels.map(({ title }) => title).join(", then ")}`}
            aria-rowcount={rows.length + 2}
            aria-colcount={columns.length + 1}
            aria-activedescendant={activeRow >= 0 ? `row-${activeRow}` : undefined}
            onKeyDown={onKey}
            style={{ "--columns": template, "--table-width": `calc(var(--name-width) + ${widths.join(" + ")})` }}
        >
            <div class="grid-head" role="row" aria-rowindex={1}>
                <div role="columnheader" aria-sort={aria("name")} class="cell name-cell">
                    <button type="button" onClick={() => sort("name")}>
                        {table.tree.levels.map(({ title }) => title).join(" › ")} {arrow("name")}
                    </button>
                </div>
                {columns.map(({ id, label, side, hint }) => (
                    <div role="columnheader" aria-sort={aria(id)} class={`cell ${side ? `side-${side.split(" ")[0]}` : ""}`} key={id}>
                        <button type="button" title={hint} onClick={() => sort(id)}>
                            <span>{label}</span>
                            <span class="side">
                                {side} {arrow(id)}
                            </span>
                        </button>
                    </div>
                ))}
            </div>
            <div class="row totals" role="row" aria-rowindex={2}>
                <div class="cell name-cell" role="gridcell">
                    {state.unfiltered ? "All sites" : "All that match"}
                </div>
                {columns.map((column) => (
                    <NumberCell key={column.id} column={column} branch={totals} group={0} />
                ))}
            </div>
            <div class="grid-body" role="rowgroup" style={{ height: `${rows.length * ROW}px` }}>
                {virtual.getVirtualItems().map(({ index, start }) =>
                    index < rows.length ? <TableRow key={index} table={table} row={index} top={start} columns={columns} labels={labels} /> : null,
                )}
            </div>
            {rows.length === 0 && <p class="empty">Nothing matches.</p>}
        </div>
    );
}
