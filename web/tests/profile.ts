// A small profile by hand, of which a test knows every number.
import { Profile } from "../src/data/profile.ts";
import type { RawProfile } from "../src/data/types.ts";

/** A site by its stack, innermost first. */
export interface Site {
    stack: string[];
    size: number;
    calls: number;
    thread?: number;
    old?: number;
    /** Lost blocks: directly, and with others. */
    leaked?: [direct: number, indirect: number];
}

/** The data of these sites: whole stacks, and the four names. */
export function rawOf(sites: Site[]): RawProfile {
    const strings = [""];
    const functions: number[] = [];
    const byName = new Map<string, number>();
    const functionOf = (name: string) => {
        if (!byName.has(name)) {
            strings.push(name);
            byName.set(name, functions.push(strings.length - 1) - 1);
        }
        return byName.get(name)!;
    };
    const nodes = { parent: [] as number[], frame: [] as number[] };
    const frames = { function: [] as number[], line: [] as number[], inlined: [] as number[] };
    const known = new Map<string, number>();
    const nodeOf = (stack: string[]): number => {
        if (stack.length === 0) return -1;
        const key = stack.join("\u0001");
        if (!known.has(key)) {
            const parent = nodeOf(stack.slice(1));
            frames.function.push(functionOf(stack[0]));
            frames.line.push(0);
            frames.inlined.push(0);
            nodes.parent.push(parent);
            known.set(key, nodes.frame.push(frames.function.length - 1) - 1);
        }
        return known.get(key)!;
    };
    const column = <T>(of: (site: Site) => T) => sites.map(of);
    return {
        version: 1,
        title: "by hand",
        functions: { name: functions },
        strings,
        nodes,
        frames,
        threads: [0, 0, 0],
        sites: {
            node: column(({ stack }) => nodeOf(stack)),
            pc: [0, 1, 2, 3].map((level) => column(({ stack }) => (stack[level] === undefined ? -1 : functionOf(stack[level])))),
            size: column(({ size }) => size),
            calls: column(({ calls }) => calls),
            bytes: column(({ size, calls }) => size * calls),
            thread: column(({ thread }) => thread ?? 0),
            ...(sites.some(({ leaked }) => leaked) && {
                direct_blocks: column(({ leaked }) => leaked?.[0] ?? 0),
                direct_bytes: column(({ leaked, size }) => (leaked?.[0] ?? 0) * size),
                indirect_blocks: column(({ leaked }) => leaked?.[1] ?? 0),
                indirect_bytes: column(({ leaked, size }) => (leaked?.[1] ?? 0) * size),
            }),
        },
        diff: sites.some(({ old }) => old !== undefined)
            ? { old: { calls: column(({ old }) => old ?? 0), bytes: column(({ size, old }) => size * (old ?? 0)) } }
            : null,
    };
}

export function profileOf(sites: Site[]): Profile {
    return new Profile(rawOf(sites));
}

/** All sites. */
export function allOf(profile: Profile): Uint32Array {
    return Uint32Array.from({ length: profile.siteCount }, (_, site) => site);
}
