// Groups sites by one key after another, each level only when it is opened.
//
// All sites of the table stand in one permutation, and a group is a range of it. To open a group is to
// sort its range by the next key, in place, which leaves all other groups alone.
import type { Metric } from "../data/metrics";
import type { Key } from "./keys";

/** Below this a map is quicker than clearing a table with a place for each key. */
const SMALL = 4096;

/** The groups in which one group, or the whole table, falls apart. */
export class Branch {
    /** Numbers of each group, as far as they were asked for. */
    private readonly numbers = new Map<string, Float64Array>();
    /** Of groups that are open. */
    readonly open = new Map<number, Branch>();
    /** Groups in the order in which they are shown. */
    order: Uint32Array;

    constructor(
        private readonly tree: GroupTree,
        readonly level: number,
        /** Key of each group. */
        readonly keys: Int32Array,
        /** Where each begins in the permutation, and the last one's end. */
        readonly starts: Uint32Array,
        /** The group that this is, in its parent. */
        readonly path: readonly number[],
    ) {
        this.order = Uint32Array.from(keys, (_, group) => group);
    }

    get size(): number {
        return this.keys.length;
    }

    get key(): Key {
        return this.tree.levels[this.level];
    }

    label(group: number): string {
        return this.key.label(this.keys[group]);
    }

    /** The sites of a group. */
    sites(group: number): Uint32Array {
        return this.tree.permutation.subarray(this.starts[group], this.starts[group + 1]);
    }

    /** Number of sites of a group. */
    siteCount(group: number): number {
        return this.starts[group + 1] - this.starts[group];
    }

    /** Numbers of each group that are worked out once. */
    derived(id: string, make: () => Float64Array): Float64Array {
        let values = this.numbers.get(id);
        if (!values) {
            values = make();
            this.numbers.set(id, values);
        }
        return values;
    }

    /** A column's sum of each group. */
    sum({ id, values }: Metric): Float64Array {
        return this.derived(id, () => {
            const sums = new Float64Array(this.size);
            const { permutation } = this.tree;
            for (let group = 0; group < this.size; group++) {
                let sum = 0;
                for (let i = this.starts[group]; i < this.starts[group + 1]; i++) sum += values[permutation[i]];
                sums[group] = sum;
            }
            return sums;
        });
    }

    /** Whether a group can be opened. */
    get hasChildren(): boolean {
        return this.level + 1 < this.tree.levels.length;
    }
}

/** Orders the groups of a branch. */
export type Order = (branch: Branch) => Uint32Array;

export class GroupTree {
    readonly permutation: Uint32Array;
    readonly root: Branch;
    private readonly scratch: Uint32Array;

    constructor(
        sites: Uint32Array,
        readonly levels: Key[],
        private readonly orderOf: Order,
    ) {
        this.permutation = sites.slice();
        this.scratch = new Uint32Array(sites.length);
        this.root = this.refine(0, 0, sites.length, []);
    }

    /** Opens a group. */
    expand(branch: Branch, group: number): Branch | undefined {
        if (!branch.hasChildren) return undefined;
        let child = branch.open.get(group);
        if (!child) {
            const path = [...branch.path, branch.keys[group]];
            child = this.refine(branch.level + 1, branch.starts[group], branch.starts[group + 1], path);
            branch.open.set(group, child);
        }
        return child;
    }

    collapse(branch: Branch, group: number): void {
        branch.open.delete(group);
    }

    /** Orders all open branches anew. */
    reorder(branch: Branch = this.root): void {
        branch.order = this.orderOf(branch);
        for (const child of branch.open.values()) this.reorder(child);
    }

    /** Opens what was open in another tree over the same keys, as far as it is still there. */
    openLike(other: Branch, branch: Branch = this.root): void {
        if (other.open.size === 0) return;
        const groups = new Map(Array.from(branch.keys, (key, group) => [key, group]));
        for (const [group, child] of other.open) {
            const same = groups.get(other.keys[group]);
            const opened = same === undefined ? undefined : this.expand(branch, same);
            if (opened) this.openLike(child, opened);
        }
    }

    /** Sorts a range of the permutation by a level's key. */
    private refine(level: number, start: number, end: number, path: readonly number[]): Branch {
        const { permutation, scratch } = this;
        const { of, count } = this.levels[level];
        const groupOf = end - start < SMALL ? numberBySmallMap() : numberByTable(count);
        const keys: number[] = [];
        const sizes: number[] = [];
        for (let i = start; i < end; i++) {
            const key = of[permutation[i]];
            const group = groupOf(key, keys.length);
            if (group === keys.length) {
                keys.push(key);
                sizes.push(0);
            }
            sizes[group]++;
        }
        const starts = new Uint32Array(keys.length + 1);
        starts[0] = start;
        for (let group = 0; group < keys.length; group++) starts[group + 1] = starts[group] + sizes[group];
        const next = starts.slice();
        scratch.set(permutation.subarray(start, end), start);
        for (let i = start; i < end; i++) {
            const site = scratch[i];
            permutation[next[groupOf(of[site], -1)]++] = site;
        }
        const branch = new Branch(this, level, Int32Array.from(keys), starts, path);
        branch.order = this.orderOf(branch);
        return branch;
    }
}

/** Gives each key the number of its group; a key that is new gets the number that is offered. */
type Numbering = (key: number, offered: number) => number;

function numberBySmallMap(): Numbering {
    const groups = new Map<number, number>();
    return (key, offered) => {
        const known = groups.get(key);
        if (known !== undefined) return known;
        groups.set(key, offered);
        return offered;
    };
}

function numberByTable(count: number): Numbering {
    const groups = new Int32Array(count).fill(-1);
    return (key, offered) => (groups[key] >= 0 ? groups[key] : (groups[key] = offered));
}

/** Numbers in falling or rising order; equal ones stay as they are. */
export function orderBy(values: ArrayLike<number>, descending: boolean): Uint32Array {
    const order = Uint32Array.from(values, (_, i) => i);
    return descending ? order.sort((a, b) => values[b] - values[a]) : order.sort((a, b) => values[a] - values[b]);
}

/** Places of names in the order of names: what upper and lower case alone tells apart stays together. */
export function ranks(names: string[]): Float64Array {
    const folded = names.map((name) => name.toLowerCase());
    const order = Uint32Array.from(names, (_, i) => i).sort((a, b) =>
        folded[a] < folded[b] ? -1 : folded[a] > folded[b] ? 1 : names[a] < names[b] ? -1 : names[a] > names[b] ? 1 : 0,
    );
    const rank = new Float64Array(names.length);
    order.forEach((name, place) => (rank[name] = place));
    return rank;
}
