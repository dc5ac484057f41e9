// The stack of a site in full, for the reader.
import type { Metric } from "../data/metrics";
import { baseName } from "./keys";
import type { Profile } from "../data/profile";

export interface StackFrame {
    name: string;
    /** "parse.c:120", empty where it is not known. */
    place: string;
    /** The whole path, and the module. */
    hint: string;
    inlined: boolean;
}

/** The frames of a site, the innermost first; of more than `most` the last says how many are left out. */
export function stackOf(profile: Profile, site: number, most = Infinity): StackFrame[] {
    const { nodes } = profile;
    const frames: StackFrame[] = [];
    for (let node = profile.node[site]; node >= 0; node = nodes.parent[node]) {
        if (frames.length >= most) {
            let left = 0;
            for (let above = node; above >= 0; above = nodes.parent[above]) left++;
            frames.push({ name: `… and ${left.toLocaleString("en")} further out`, place: "", hint: "", inlined: false });
            break;
        }
        const index = nodes.function[node];
        const file = index < 0 ? "" : profile.file(index);
        const line = nodes.line[node];
        const module = index < 0 ? "" : profile.module(profile.moduleOf[index]);
        const place = file ? baseName(file) + (line ? `:${line}` : "") : "";
        const hint = [file && file + (line ? `:${line}` : ""), module && `in ${module}`].filter(Boolean).join("\n");
        frames.push({ name: profile.functionName(index), place, hint, inlined: nodes.inlined[node] !== 0 });
    }
    return frames;
}

/** The sites with the most of something, at most `n`. */
export function heaviest(sites: Uint32Array, { values }: Metric, n: number): number[] {
    const top: number[] = [];
    for (const site of sites) {
        if (top.length === n && Math.abs(values[site]) <= Math.abs(values[top[n - 1]])) continue;
        const place = top.findIndex((other) => Math.abs(values[site]) > Math.abs(values[other]));
        top.splice(place < 0 ? top.length : place, 0, site);
        if (top.length > n) top.pop();
    }
    return top;
}
