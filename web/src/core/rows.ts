// The rows of the table as a list: every group that can be seen, in order.
import type { Branch, GroupTree } from "./grouping";

export class Rows {
    private readonly branches: Branch[] = [];
    private readonly groups: number[] = [];
    private readonly places: number[] = [];

    constructor(tree: GroupTree) {
        this.add(tree.root);
    }

    get length(): number {
        return this.groups.length;
    }

    branch(row: number): Branch {
        return this.branches[row];
    }

    group(row: number): number {
        return this.groups[row];
    }

    /** Place among its siblings, from 1. */
    place(row: number): number {
        return this.places[row];
    }

    level(row: number): number {
        return this.branches[row].level;
    }

    isOpen(row: number): boolean {
        return this.branches[row].open.has(this.groups[row]);
    }

    /** The row of the group that this one is in, -1 for the outermost. */
    parent(row: number): number {
        const level = this.level(row);
        for (let above = row - 1; above >= 0; above--) if (this.level(above) < level) return above;
        return -1;
    }

    /** The row of this group of this branch, -1 if it cannot be seen. */
    find(branch: Branch, group: number): number {
        for (let row = 0; row < this.length; row++) {
            if (this.groups[row] === group && this.branches[row] === branch) return row;
        }
        return -1;
    }

    /** Keys from the outermost group to this row. */
    path(row: number): number[] {
        const branch = this.branches[row];
        return [...branch.path, branch.keys[this.groups[row]]];
    }

    private add(branch: Branch): void {
        branch.order.forEach((group, place) => {
            this.branches.push(branch);
            this.groups.push(group);
            this.places.push(place + 1);
            const child = branch.open.get(group);
            if (child) this.add(child);
        });
    }
}
