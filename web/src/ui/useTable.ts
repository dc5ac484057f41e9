// The table's state: the tree of groups, the rows that can be seen, the row that the keys act on.
import { useMemo, useReducer, useRef, useState } from "preact/hooks";
import { type Branch, GroupTree, orderBy, ranks } from "../core/grouping";
import { Rows } from "../core/rows";
import { timed } from "../core/timing";
import type { State } from "../state";
import { type Column, readSort } from "./columns";

/** A group of a branch. */
export interface Place {
    branch: Branch;
    group: number;
}

/** More rows than this are not opened by one key. */
const MOST_OPENED = 2000;

/** Order of a branch's groups. */
function order(branch: Branch, sort: string, columns: Column[]): Uint32Array {
    const { id, descending } = readSort(sort, columns);
    const column = columns.find((other) => other.id === id);
    if (column) return orderBy(column.values(branch), descending);
    const { key, keys } = branch;
    const places = key.value ? Float64Array.from(keys, (of) => key.value!(of)) : ranks(Array.from(keys, (of) => key.label(of)));
    // Names begin with A when they are first sorted by, as people expect, numbers with the largest.
    return orderBy(places, !descending);
}

export function useTable(state: State, columns: Column[]) {
    const [version, changed] = useReducer((n: number) => n + 1, 0);
    const [active, setActive] = useState<Place | null>(null);
    const sites = state.sites.value;
    const group = state.get("group");
    const sort = state.get("sort");

    const sorting = useRef(sort);
    const last = useRef<GroupTree | null>(null);
    const tree = useMemo(() => {
        const groupings = state.keys.groupings();
        const { keys } = groupings.find(({ id }) => id === group) ?? groupings[0];
        const levels = keys.map((id) => state.keys.get(id));
        const made = timed("group", () => new GroupTree(sites, levels, (branch) => order(branch, sorting.current, columns)));
        if (last.current?.levels[0] === levels[0]) made.openLike(last.current.root);
        last.current = made;
        return made;
    }, [sites, group, columns]);
    const rows = useMemo(() => {
        if (sorting.current !== sort) {
            sorting.current = sort;
            timed("sort", () => tree.reorder());
        }
        return timed("rows", () => new Rows(tree));
    }, [tree, sort, version]);

    const activeRow = useMemo(() => {
        if (rows.length === 0) return -1;
        return Math.max(0, active ? rows.find(active.branch, active.group) : 0);
    }, [rows, active]);

    const open = (row: number) => {
        timed("open", () => {
            // Where there is but one way on, it is taken.
            let branch = tree.expand(rows.branch(row), rows.group(row));
            while (branch?.size === 1) branch = tree.expand(branch, 0);
        });
        changed(0);
    };
    const close = (row: number) => {
        tree.collapse(rows.branch(row), rows.group(row));
        changed(0);
    };
    return {
        tree,
        rows,
        activeRow,
        activate: (row: number) => rows.length > 0 && setActive({ branch: rows.branch(row), group: rows.group(row) }),
        open,
        close,
        toggle: (row: number) => (rows.isOpen(row) ? close(row) : rows.branch(row).hasChildren && open(row)),
        /** Opens the first row below, and its first, to the end. */
        openDeep: (row: number) => {
            let branch: Branch | undefined = rows.branch(row);
            let at = rows.group(row);
            while (branch) {
                branch = tree.expand(branch, at);
                if (branch) at = branch.order[0];
            }
            changed(0);
        },
        /** Opens all rows beside this one. */
        openBeside: (row: number) => {
            const branch = rows.branch(row);
            for (const group of branch.order.subarray(0, MOST_OPENED)) tree.expand(branch, group);
            changed(0);
        },
        closeAll: () => {
            tree.root.open.clear();
            setActive(null);
            changed(0);
        },
    };
}

export type TableState = ReturnType<typeof useTable>;
