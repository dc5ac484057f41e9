// Leaks by stack: what no pointer led to at the end, whatever its size and thread.
import { NO_LABEL, type Profile } from "../data/profile";

/** What a table of leaks can be sorted by. */
export const LEAK_COLUMNS = ["direct_bytes", "direct_blocks", "indirect_bytes", "indirect_blocks"] as const;
export type LeakColumn = (typeof LEAK_COLUMNS)[number] | "who";

/** A stack of which blocks are lost. */
export interface LeakStack {
    /** One of its sites, for the stack. */
    site: number;
    /** Label of the responsible function. */
    who: number;
    direct_bytes: number;
    direct_blocks: number;
    indirect_bytes: number;
    indirect_blocks: number;
    /** Different sizes. */
    sizes: Set<number>;
}

/** The stacks among these sites of which blocks are lost, each of a process once. */
export function leakStacks(profile: Profile, sites: Uint32Array): LeakStack[] {
    const columns = LEAK_COLUMNS.map((id) => profile.metric(id)?.values ?? new Float64Array(profile.siteCount));
    const [, directBlocks, , indirectBlocks] = columns;
    const known = new Map<string, LeakStack>();
    for (const site of sites) {
        if (directBlocks[site] <= 0 && indirectBlocks[site] <= 0) continue;
        const key = `${profile.process[site]} ${profile.node[site]}`;
        let stack = known.get(key);
        if (!stack) {
            const responsible = profile.responsible[site];
            const who = responsible < 0 ? NO_LABEL : profile.labelOf[responsible];
            stack = { site, who, direct_bytes: 0, direct_blocks: 0, indirect_bytes: 0, indirect_blocks: 0, sizes: new Set() };
            known.set(key, stack);
        }
        LEAK_COLUMNS.forEach((id, i) => (stack[id] += columns[i][site]));
        stack.sizes.add(profile.size[site]);
    }
    return [...known.values()];
}

/**
 * In the order of a column. Without one those with directly lost blocks come first, since what is lost with them is
 * explained by them, and then those with the most bytes.
 */
export function sortLeaks(profile: Profile, leaks: LeakStack[], column: LeakColumn | "", descending: boolean): LeakStack[] {
    const all = (leak: LeakStack) => leak.direct_bytes + leak.indirect_bytes;
    const isDirect = (leak: LeakStack) => (leak.direct_blocks > 0 ? 1 : 0);
    const usual = (a: LeakStack, b: LeakStack) => isDirect(b) - isDirect(a) || all(b) - all(a);
    const by = (a: LeakStack, b: LeakStack): number => {
        if (column === "") return usual(a, b);
        const order = column === "who" ? profile.label(b.who).localeCompare(profile.label(a.who), "en") : b[column] - a[column];
        return (descending ? order : -order) || usual(a, b);
    };
    return [...leaks].sort(by);
}
