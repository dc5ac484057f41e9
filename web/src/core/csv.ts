// What the table shows as CSV: a line for each row that is not open, so that the lines add up to the whole.
import type { Metric } from "../data/metrics";
import type { Branch, GroupTree } from "./grouping";

/** As in the tool's own CSV: names in quotes, numbers not. */
function quote(text: string): string {
    return `"${text.replaceAll('"', '""')}"`;
}

/** The lines of a tree, with the sums of these columns. */
export function csvOf(tree: GroupTree, metrics: Metric[]): string {
    const lines = [[...tree.levels.map(({ title }) => title), ...metrics.map(({ id }) => id.replaceAll("_", " "))].map(quote).join(",")];
    const empty = (level: number) => Array.from({ length: tree.levels.length - level - 1 }, () => "");
    const add = (branch: Branch, above: string[]) => {
        const { key } = branch;
        const sums = metrics.map((metric) => branch.sum(metric));
        for (const group of branch.order) {
            const cells = [...above, key.value ? String(key.value(branch.keys[group])) : quote(branch.label(group))];
            const child = branch.open.get(group);
            if (child) add(child, cells);
            else lines.push([...cells, ...empty(branch.level), ...sums.map((sum) => sum[group])].join(","));
        }
    };
    add(tree.root, []);
    return `${lines.join("\n")}\n`;
}
