// One row of the table, and its cells.
import type { Branch } from "../core/grouping";
import type { Column } from "./columns";
import { Name } from "./Name";
import type { TableState } from "./useTable";

/** What a column shows of a group; nothing where there is no group. */
export function NumberCell({ column, branch, group }: { column: Column; branch: Branch; group: number }) {
    if (group >= branch.size) return <div class="cell" role="gridcell" />;
    const { text, title, bar, tone } = column.cell(column.values(branch)[group], branch, group);
    return (
        <div class={`cell number ${tone ? `tone-${tone}` : ""} ${bar ? "bar" : ""}`} role="gridcell" title={title} style={bar ? { backgroundSize: `${Math.min(100, bar * 100)}% 18px` } : undefined}>
            {text}
        </div>
    );
}

interface Props {
    table: TableState;
    row: number;
    top: number;
    columns: Column[];
    /** Names that are searched for. */
    labels: Uint8Array | null;
}

export function TableRow({ table, row, top, columns, labels }: Props) {
    const { rows, activeRow } = table;
    const branch = rows.branch(row);
    const group = rows.group(row);
    const open = rows.isOpen(row);
    const openable = branch.hasChildren;
    const hit = labels && branch.key.id.startsWith("pc") && labels[branch.keys[group]];
    const hint = [branch.key.hint?.(branch.keys[group]), branch.key.title].filter(Boolean).join("\n");
    return (
        <div
            class={`row level-${branch.level} ${row === activeRow ? "active" : ""}`}
            role="row"
            id={`row-${row}`}
            aria-rowindex={row + 3}
            aria-level={branch.level + 1}
            aria-setsize={branch.size}
            aria-posinset={rows.place(row)}
            aria-expanded={openable ? open : undefined}
            aria-selected={row === activeRow}
            style={{ transform: `translateY(${top}px)` }}
            onClick={(event) => {
                table.activate(row);
                // A click on selected text is not meant for the row.
                if (openable && (event.target as HTMLElement).closest(".name-cell") && !getSelection()?.toString()) table.toggle(row);
            }}
        >
            <div class={`cell name-cell ${hit ? "hit" : ""}`} role="gridcell" style={{ paddingLeft: `${0.6 + branch.level * 1.15}rem` }}>
                <span class={`twisty ${openable ? (open ? "open" : "closed") : ""}`} aria-hidden="true" />
                <Name name={branch.label(group)} hint={hint} />
            </div>
            {columns.map((column) => (
                <NumberCell key={column.id} column={column} branch={branch} group={group} />
            ))}
        </div>
    );
}
