// What sites can be grouped by. A key gives each site a small number, and each number a name.
import { NO_LABEL, PCS, type Profile } from "../data/profile";
import { bytes, exact } from "./format";

export interface Key {
    id: string;
    /** What stands above the rows, such as "pc0". */
    title: string;
    /** The site's number, 0 to `count` - 1. */
    of: Int32Array;
    count: number;
    label(key: number): string;
    /** The whole of it, where the label is a short form. */
    hint?(key: number): string;
    /** The number that it is, where it is one: to be sorted by, and for files. */
    value?(key: number): number;
}

/** An order of keys that people want, by name. */
export interface Grouping {
    id: string;
    title: string;
    keys: string[];
}

const GROUPINGS: Grouping[] = [
    { id: "who", title: "responsible → pc0 → … → size", keys: ["who", "pc0", "pc1", "pc2", "pc3", "size"] },
    { id: "callers", title: "pc0 → pc1 → pc2 → pc3 → size", keys: ["pc0", "pc1", "pc2", "pc3", "size"] },
    { id: "callees", title: "pc3 → pc2 → pc1 → pc0 → size", keys: ["pc3", "pc2", "pc1", "pc0", "size"] },
    { id: "size", title: "size → pc0 → … → pc3", keys: ["size", "pc0", "pc1", "pc2", "pc3"] },
    { id: "module", title: "module → pc0 → … → size", keys: ["module", "pc0", "pc1", "pc2", "pc3", "size"] },
    { id: "thread", title: "thread → pc0 → … → size", keys: ["thread", "pc0", "pc1", "pc2", "pc3", "size"] },
    { id: "process", title: "process → pc0 → … → size", keys: ["process", "pc0", "pc1", "pc2", "pc3", "size"] },
    { id: "allocator", title: "allocator → pc0 → … → size", keys: ["allocator", "pc0", "pc1", "pc2", "pc3", "size"] },
    { id: "change", title: "change → pc0 → … → size", keys: ["change", "pc0", "pc1", "pc2", "pc3", "size"] },
];

/** Names of what a difference does to a site. */
export const CHANGES = ["same", "grown", "shrunk", "new", "gone"];

/** Last part of a path. */
export function baseName(path: string): string {
    return path.slice(path.lastIndexOf("/") + 1);
}

export class Keys {
    private readonly made = new Map<string, Key>();

    constructor(private readonly profile: Profile) {}

    /** Groupings that say something of this profile. */
    groupings(): Grouping[] {
        return GROUPINGS.filter(({ keys: [first] }) => {
            if (first === "change") return this.profile.diff !== null;
            return first.startsWith("pc") || first === "size" || first === "who" || this.get(first).count > 1;
        });
    }

    get(id: string): Key {
        let key = this.made.get(id);
        if (!key) {
            key = this.make(id);
            this.made.set(id, key);
        }
        return key;
    }

    private make(id: string): Key {
        const { profile } = this;
        const n = profile.siteCount;
        if (/^pc[0-3]$/.test(id)) {
            const functions = profile.pc[Number(id[2]) % PCS];
            const of = functions.map((index) => (index < 0 ? NO_LABEL : profile.labelOf[index]));
            return { id, title: id, of, count: profile.labels.length, label: (key) => profile.label(key) };
        }
        switch (id) {
            case "who": {
                const of = profile.responsible.map((index) => (index < 0 ? NO_LABEL : profile.labelOf[index]));
                const via = this.plumbing(of);
                return { id, title: "responsible", of, count: profile.labels.length, label: (key) => profile.label(key), hint: (key) => via.get(key) ?? "" };
            }
            case "size": {
                const { of, values } = numbered(profile.size);
                const each = (key: number) => `${bytes(values[key])} each`;
                return { id, title: "size", of, count: values.length, label: (key) => exact(values[key], "bytes"), hint: each, value: (key) => values[key] };
            }
            case "module": {
                const of = Int32Array.from({ length: n }, (_, site) => {
                    const innermost = profile.pc[0][site];
                    return innermost < 0 ? 0 : profile.moduleOf[innermost] + 1;
                });
                const path = (key: number) => (key ? profile.module(key - 1) : "");
                return { id, title: "module", of, count: profile.moduleCount + 1, label: (key) => baseName(path(key)) || "not known", hint: path };
            }
            case "thread":
                return { id, title: "thread", of: profile.thread.map((thread) => thread + 1), count: profile.threadCount + 1, label: (key) => profile.threadName(key - 1) };
            case "process":
                return { id, title: "process", of: profile.process, count: Math.max(1, profile.processes.length), label: (key) => profile.processName(key) };
            case "allocator": {
                const { of, values } = numbered(profile.allocator);
                return { id, title: "allocator", of, count: values.length, label: (key) => profile.text(values[key]) || "not known" };
            }
            case "all":
                return { id, title: "all", of: new Int32Array(n), count: 1, label: () => "all" };
            case "change":
                return { id, title: "change", of: this.changes(), count: CHANGES.length, label: (key) => CHANGES[key] };
            default:
                throw new Error(`no such key: ${id}`);
        }
    }

    /** The plumbing that responsible functions call, in words. */
    private plumbing(of: Int32Array): Map<number, string> {
        const names = new Map<number, Set<string>>();
        of.forEach((key, site) => {
            const via = this.profile.via[site];
            if (via < 0) return;
            if (!names.has(key)) names.set(key, new Set());
            names.get(key)!.add(this.profile.functionName(via));
        });
        return new Map([...names].map(([key, set]) => [key, `via ${[...set].slice(0, 4).join(", ")}${set.size > 4 ? ", …" : ""}`]));
    }

    /** What became of each site, by calls first: a site that is called no more is gone. */
    private changes(): Int32Array {
        const at = (id: string) => this.profile.metric(id)?.values ?? new Float64Array(this.profile.siteCount);
        const [calls, oldCalls, bytes, oldBytes] = [at("calls"), at("old_calls"), at("bytes"), at("old_bytes")];
        return Int32Array.from(calls, (now, site) => {
            if (now === 0 && oldCalls[site] > 0) return 4;
            if (oldCalls[site] === 0 && now > 0) return 3;
            const change = bytes[site] - oldBytes[site] || now - oldCalls[site];
            return change > 0 ? 1 : change < 0 ? 2 : 0;
        });
    }
}

/** Numbers the different values in the order in which they are met. */
function numbered(column: ArrayLike<number>): { of: Int32Array; values: number[] } {
    const known = new Map<number, number>();
    const values: number[] = [];
    const of = Int32Array.from(column, (value) => {
        let key = known.get(value);
        if (key === undefined) {
            key = values.push(value) - 1;
            known.set(value, key);
        }
        return key;
    });
    return { of, values };
}
