// The profile as the page works with it: typed columns, names made unique, missing parts filled in.
import { visibleText } from "../core/format";
import { type Metric, metricsOf } from "./metrics";
import { fromFrames, fromPcs, type Nodes } from "./nodes";
import type { Column, RawProcess, RawProfile, RawTogether } from "./types";

/** Functions of a row's own names: pc0 to pc3. */
export const PCS = 4;

/** Label of "no frame": the stack was shorter. */
export const NO_LABEL = 0;

/** A column as integers; `missing` where it is not there. */
function integers(column: Column, n: number, missing: number): Int32Array {
    return column?.length === n ? Int32Array.from(column) : new Int32Array(n).fill(missing);
}

export class Profile {
    readonly title: string;
    readonly tool: string;
    readonly sampleBytes: number;
    readonly diff: { oldTitle: string; newTitle: string } | null;
    readonly losses: { what: string; count: number }[];
    readonly processes: RawProcess[];
    readonly siteCount: number;
    /** The peak of all processes together, where they are several. */
    readonly together: RawTogether | null;
    /** Of several processes the one with the highest peak, of which the columns of the peak are; -1 of a single one. */
    readonly highest: number;

    /** Every name once; 0 is "-". Functions of one name in two files are one row, as in the CSV. */
    readonly labels: string[] = ["-"];
    /** Of a function, an index into `labels`. */
    readonly labelOf: Int32Array;
    readonly moduleOf: Int32Array;
    readonly functionCount: number;
    readonly nodes: Nodes;
    /** Functions of each site, -1 for none. */
    readonly pc: Int32Array[];
    /** The function that is responsible for each site, -1 for none: the first that is no wrapper and no container. */
    readonly responsible: Int32Array;
    /** The plumbing that it called, -1 for none. */
    readonly via: Int32Array;
    readonly node: Int32Array;
    readonly size: Float64Array;
    readonly allocator: Int32Array;
    readonly thread: Int32Array;
    readonly process: Int32Array;
    readonly metrics: Map<string, Metric>;

    constructor(private readonly raw: RawProfile) {
        const { sites } = raw;
        const n = sites.calls.length;
        this.siteCount = n;
        this.title = visibleText(raw.title || "heap profile");
        this.tool = raw.tool || "skip-heapprof";
        this.sampleBytes = raw.sample_bytes ?? 0;
        this.losses = (raw.losses ?? []).filter(({ count }) => count > 0);
        this.processes = raw.processes ?? [];
        this.together = raw.together ?? null;
        this.highest = highestOf(this.processes);
        this.diff = raw.diff ? { oldTitle: visibleText(raw.diff.old_title || "old"), newTitle: visibleText(raw.diff.new_title || "new") } : null;

        this.functionCount = raw.functions?.name?.length ?? 0;
        this.labelOf = this.uniqueLabels(raw.functions?.name ?? []);
        this.moduleOf = integers(raw.functions?.module, this.functionCount, -1);

        const frames = fromFrames(raw);
        const node = sites.node?.length === n && frames ? Int32Array.from(sites.node) : null;
        const hasPcs = sites.pc?.some((column) => column?.length === n);
        this.pc = hasPcs
            ? Array.from({ length: PCS }, (_, level) => integers(sites.pc![level], n, -1))
            : pcsOfNodes(frames, node, n);
        if (frames && node) {
            this.nodes = frames;
            this.node = node;
        } else {
            ({ nodes: this.nodes, node: this.node } = fromPcs(this.pc, n));
        }
        this.responsible = sites.responsible?.length === n ? Int32Array.from(sites.responsible) : this.pc[0];
        this.via = integers(sites.via, n, -1);
        this.size = sites.size?.length === n ? Float64Array.from(sites.size) : new Float64Array(n);
        this.allocator = integers(sites.allocator, n, 0);
        this.thread = integers(sites.thread, n, -1);
        this.process = integers(sites.process, n, 0);
        this.metrics = metricsOf(raw, this.highest, this.highest < 0 ? "" : this.processName(this.highest));
    }

    /** Text of an index, empty where it is not known. */
    text(index: number | undefined): string {
        return visibleText(this.raw.strings?.[index ?? 0] ?? "");
    }

    label(label: number): string {
        return this.labels[label];
    }

    functionName(index: number): string {
        return index < 0 ? "-" : this.labels[this.labelOf[index]];
    }

    /** Source file of a function, empty where it is not known. */
    file(index: number): string {
        return this.text(this.raw.functions?.file?.[index]);
    }

    get moduleCount(): number {
        return this.raw.modules?.path?.length ?? 0;
    }

    /** Path of a module. */
    module(index: number): string {
        return index < 0 ? "" : this.text(this.raw.modules?.path?.[index]);
    }

    buildId(index: number): string {
        return this.raw.modules?.build_id?.[index] ?? "";
    }

    get threadCount(): number {
        return this.raw.threads?.length ?? 0;
    }

    threadName(index: number): string {
        return index < 0 ? "not known" : this.text(this.raw.threads?.[index]) || `thread ${index}`;
    }

    processName(index: number): string {
        const process = this.processes[index];
        if (!process) return "not known";
        const program = this.text(process.program) || "not known";
        return process.pid ? `${program} (${process.pid})` : program;
    }

    metric(id: string): Metric | undefined {
        return this.metrics.get(id);
    }

    /** Sum of a column over all sites. */
    total(id: string): number {
        return this.metric(id)?.values.reduce((sum, value) => sum + value, 0) ?? 0;
    }

    /** Fills `labels`, and gives each function's. */
    private uniqueLabels(names: number[]): Int32Array {
        const known = new Map<string, number>();
        return Int32Array.from(names, (index) => {
            const name = this.text(index) || "[unknown]";
            let label = known.get(name);
            if (label === undefined) {
                label = this.labels.push(name) - 1;
                known.set(name, label);
            }
            return label;
        });
    }
}

/** Of several processes the one with the highest peak; -1 where there are not several, or none is known. */
function highestOf(processes: RawProcess[]): number {
    if (processes.length < 2) return -1;
    let highest = -1;
    processes.forEach(({ peak_bytes }, i) => (peak_bytes ?? 0) > (processes[highest]?.peak_bytes ?? 0) && (highest = i));
    return highest;
}

/** Where only whole stacks are there: their innermost functions, inlined ones left out. */
function pcsOfNodes(nodes: Nodes | null, node: Int32Array | null, n: number): Int32Array[] {
    const pcs = Array.from({ length: PCS }, () => new Int32Array(n).fill(-1));
    if (!nodes || !node) return pcs;
    for (let site = 0; site < n; site++) {
        let level = 0;
        for (let at = node[site]; at >= 0 && level < PCS; at = nodes.parent[at]) {
            if (!nodes.inlined[at]) pcs[level++][site] = nodes.function[at];
        }
    }
    return pcs;
}
