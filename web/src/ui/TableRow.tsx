// One row of the table.
import type { Column } from "./columns";
import { Name } from "./Name";
import type { TableState } from "./useTable";

interface Props {
    table: TableState;
    row: number;
    top: number;
    columns: Column[];
}

export function TableRow({ table, row, top, columns }: Props) {
    const { rows, activeRow } = table;
    const branch = rows.branch(row);
    const group = rows.group(row);
    const open = rows.isOpen(row);
    const openable = branch.hasChildren;
    const hint = [branch.key.hint?.(branch.keys[group]), branch.key.title].filter(Boolean).join("\n");
    return (
        <div
            class={`row level-${branch.level} ${row === activeRow ? "active" : ""}`}
            role="row"
            id={`row-${row}`}
            aria-rowindex={row + 2}
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
            <div class="cell name-cell" role="gridcell" style={{ paddingLeft: `${0.6 + branch.level * 1.15}rem` }}>
                <span class={`twisty ${openable ? (open ? "open" : "closed") : ""}`} aria-hidden="true" />
                <Name name={branch.label(group)} hint={hint} />
            </div>
            {columns.map((column) => {
                const value = column.values(branch)[group];
                const { text, title, bar, tone } = column.cell(value, branch, group);
                return (
                    <div class={`cell number ${tone ? `tone-${tone}` : ""}`} role="gridcell" key={column.id} title={title}>
                        {bar !== undefined && <span class="bar" style={{ width: `${Math.min(100, bar * 100)}%` }} />}
                        <span>{text}</span>
                    </div>
                );
            })}
        </div>
    );
}
