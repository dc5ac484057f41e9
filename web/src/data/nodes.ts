// The call tree: a site's stack is the path from its node to a root.
import type { RawProfile } from "./types";

export interface Nodes {
    /** -1 for a root. A parent always stands before its children. */
    parent: Int32Array;
    /** Index of the function, -1 where it is not known. */
    function: Int32Array;
    /** 0 where it is not known. */
    line: Int32Array;
    inlined: Uint8Array;
}

/** The tree of the file; null where it has none, or where it is no tree with parents first. */
export function fromFrames(raw: RawProfile): Nodes | null {
    const parent = raw.nodes?.parent;
    const frame = raw.nodes?.frame;
    const functions = raw.frames?.function;
    if (!parent?.length || frame?.length !== parent.length || !functions) return null;
    if (parent.some((above, node) => above >= node)) return null;
    return {
        parent: Int32Array.from(parent),
        function: Int32Array.from(frame, (index) => functions[index] ?? -1),
        line: Int32Array.from(frame, (index) => raw.frames?.line?.[index] ?? 0),
        inlined: Uint8Array.from(frame, (index) => raw.frames?.inlined?.[index] ?? 0),
    };
}

/** A tree of the four functions of each site, where there is no other. */
export function fromPcs(pc: Int32Array[], n: number): { nodes: Nodes; node: Int32Array } {
    const parent: number[] = [];
    const functions: number[] = [];
    const known = new Map<string, number>();
    const node = new Int32Array(n).fill(-1);
    for (let site = 0; site < n; site++) {
        let at = -1;
        for (let level = pc.length - 1; level >= 0; level--) {
            const name = pc[level][site];
            if (name < 0) continue;
            const key = `${at}/${name}`;
            let next = known.get(key);
            if (next === undefined) {
                next = parent.push(at) - 1;
                functions.push(name);
                known.set(key, next);
            }
            at = next;
        }
        node[site] = at;
    }
    return {
        nodes: {
            parent: Int32Array.from(parent),
            function: Int32Array.from(functions),
            line: new Int32Array(parent.length),
            inlined: new Uint8Array(parent.length),
        },
        node,
    };
}
