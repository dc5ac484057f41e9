// Stacks as a tree for the flame graph: from pc0 outwards, or from the outermost function inwards. Only
// what is wide enough to be seen is ever worked out.
import { shortName } from "./names";
import { NO_LABEL, type Profile } from "../data/profile";

/** A frame: all stacks that begin with the same names. */
export interface Frame {
    label: number;
    /** A function of this name, for its module; -1 for the root. */
    function: number;
    depth: number;
    /** What its width shows. */
    value: number;
    /** Of a difference, what it was and is. */
    before: number;
    now: number;
    children?: Frame[];
}

/** Columns to add up. */
export interface Columns {
    value: Float64Array;
    before?: Float64Array;
    now?: Float64Array;
}

export interface FlameTree {
    readonly root: Frame;
    /** Frames on top of this one, the widest first. */
    children(frame: Frame): Frame[];
}

function widestFirst<T extends Frame>(frames: Iterable<T>): T[] {
    return [...frames].sort((a, b) => b.value - a.value || a.label - b.label);
}

interface RangeFrame extends Frame {
    start: number;
    end: number;
}

/** From pc0 outwards. A frame is a range of sites, as in the table. */
export class FromPc0 implements FlameTree {
    readonly root: RangeFrame;
    private readonly order: Uint32Array;
    /** Of each site, the node of the stack that its frame's children are made of. */
    private readonly cursor: Int32Array;

    constructor(
        private readonly profile: Profile,
        sites: Uint32Array,
        private readonly columns: Columns,
    ) {
        this.order = sites.filter((site) => columns.value[site] > 0);
        this.cursor = profile.node.slice();
        this.root = { label: NO_LABEL, function: -1, depth: 0, value: 0, before: 0, now: 0, start: 0, end: this.order.length };
        for (const site of this.order) this.count(this.root, site);
    }

    children(frame: Frame): Frame[] {
        return (frame.children ??= this.split(frame as RangeFrame));
    }

    private count(frame: Frame, site: number): void {
        const { value, before, now } = this.columns;
        frame.value += value[site];
        if (before && now) {
            frame.before += before[site];
            frame.now += now[site];
        }
    }

    private split({ start, end, depth }: RangeFrame): RangeFrame[] {
        const { order, cursor, profile } = this;
        const { parent, function: functionOf } = profile.nodes;
        const frames = new Map<number, RangeFrame>();
        const labels = new Int32Array(end - start);
        for (let i = start; i < end; i++) {
            const site = order[i];
            const node = cursor[site];
            // -1: this stack ends here; its share stays with the frame itself.
            const index = node < 0 ? -1 : functionOf[node];
            const label = node < 0 ? -1 : index < 0 ? NO_LABEL : profile.labelOf[index];
            labels[i - start] = label;
            let frame = frames.get(label);
            if (!frame) {
                frame = { label, function: index, depth: depth + 1, value: 0, before: 0, now: 0, start: 0, end: 0 };
                frames.set(label, frame);
            }
            this.count(frame, site);
            frame.end++;
            if (node >= 0) cursor[site] = parent[node];
        }
        let next = start;
        for (const frame of frames.values()) {
            frame.start = next;
            next += frame.end;
            frame.end = frame.start;
        }
        const before = order.slice(start, end);
        before.forEach((site, i) => (order[frames.get(labels[i])!.end++] = site));
        frames.delete(-1);
        return widestFirst(frames.values());
    }
}

interface NodesFrame extends Frame {
    nodes: number[];
}

/** From the outermost function inwards. A frame is a set of nodes of the call tree. */
export class FromMain implements FlameTree {
    readonly root: NodesFrame;
    private readonly totals: { value: Float64Array; before: Float64Array; now: Float64Array };
    private readonly childStart: Uint32Array;
    private readonly childList: Int32Array;

    constructor(
        private readonly profile: Profile,
        sites: Uint32Array,
        columns: Columns,
    ) {
        const { parent } = profile.nodes;
        const sum = (column?: Float64Array) => {
            const totals = new Float64Array(parent.length);
            if (!column) return totals;
            for (const site of sites) {
                if (columns.value[site] > 0 && profile.node[site] >= 0) totals[profile.node[site]] += column[site];
            }
            // Parents stand before their children.
            for (let node = parent.length - 1; node >= 0; node--) if (parent[node] >= 0) totals[parent[node]] += totals[node];
            return totals;
        };
        this.totals = { value: sum(columns.value), before: sum(columns.before), now: sum(columns.now) };
        ({ start: this.childStart, list: this.childList } = childrenOf(parent));
        const roots: number[] = [];
        parent.forEach((above, node) => above < 0 && roots.push(node));
        this.root = { label: NO_LABEL, function: -1, depth: 0, value: 0, before: 0, now: 0, nodes: [] };
        for (const node of roots) this.count(this.root, node);
        this.root.children = this.group(roots, 1);
    }

    children(frame: Frame): Frame[] {
        return (frame.children ??= this.split(frame as NodesFrame));
    }

    private count(frame: Frame, node: number): void {
        frame.value += this.totals.value[node];
        frame.before += this.totals.before[node];
        frame.now += this.totals.now[node];
    }

    private split(frame: NodesFrame): NodesFrame[] {
        const below: number[] = [];
        for (const node of frame.nodes) {
            for (let i = this.childStart[node]; i < this.childStart[node + 1]; i++) below.push(this.childList[i]);
        }
        return this.group(below, frame.depth + 1);
    }

    private group(nodes: number[], depth: number): NodesFrame[] {
        const { profile } = this;
        const frames = new Map<number, NodesFrame>();
        for (const node of nodes) {
            if (this.totals.value[node] <= 0) continue;
            const index = profile.nodes.function[node];
            const label = index < 0 ? NO_LABEL : profile.labelOf[index];
            let frame = frames.get(label);
            if (!frame) {
                frame = { label, function: index, depth, value: 0, before: 0, now: 0, nodes: [] };
                frames.set(label, frame);
            }
            frame.nodes.push(node);
            this.count(frame, node);
        }
        return widestFirst(frames.values());
    }
}

/** Children of each node, one after the other in a list. */
function childrenOf(parent: Int32Array): { start: Uint32Array; list: Int32Array } {
    const start = new Uint32Array(parent.length + 2);
    for (const above of parent) if (above >= 0) start[above + 2]++;
    for (let i = 2; i < start.length; i++) start[i] += start[i - 1];
    const list = new Int32Array(parent.length);
    parent.forEach((above, node) => above >= 0 && (list[start[above + 1]++] = node));
    return { start, list };
}

/** A frame that is drawn, in the form that d3-flame-graph takes. */
export interface Drawn {
    /** In short. */
    name: string;
    value: number;
    children: Drawn[];
    /** It lies above the frame that is zoomed to. */
    fade?: boolean;
    hide?: boolean;
    /** The frame that this one stands on; null for the root. */
    on: Drawn | null;
    frame: Frame | null;
    /** Number of frames that are too narrow, which this one stands for. */
    smaller: number;
}

/** Labels from the root to a frame; of one that stands for smaller ones, to what they stand on. */
export function pathOf(drawn: Drawn): number[] {
    const path: number[] = [];
    for (let at: Drawn | null = drawn; at?.on; at = at.on) if (at.frame) path.push(at.frame.label);
    return path.reverse();
}

/** More frames than this are not drawn at once. */
const MOST_FRAMES = 5000;

/** The part of the tree that can be seen when zoomed to a path, without what takes less than `least` of its width. */
export function visible(profile: Profile, tree: FlameTree, zoom: number[], least: number): Drawn {
    const draw = (frame: Frame, on: Drawn | null, name: string): Drawn => ({
        name,
        value: frame.value,
        children: [],
        on,
        frame,
        smaller: 0,
    });
    const root = draw(tree.root, null, "all");
    let focus = root;
    for (const label of zoom) {
        const child = tree.children(focus.frame!).find((frame) => frame.label === label);
        if (!child) break;
        focus.fade = true;
        const next = draw(child, focus, shortName(profile.label(label)));
        focus.children.push(next);
        focus = next;
    }
    const narrow = focus.value * least;
    const queue = [focus];
    for (let i = 0; i < queue.length && queue.length < MOST_FRAMES; i++) {
        const parent = queue[i];
        let rest = 0;
        let smaller = 0;
        for (const frame of tree.children(parent.frame!)) {
            if (frame.value < narrow) {
                rest += frame.value;
                smaller++;
                continue;
            }
            const child = draw(frame, parent, shortName(profile.label(frame.label)));
            parent.children.push(child);
            queue.push(child);
        }
        if (rest >= narrow && smaller > 0) {
            parent.children.push({ name: `${smaller} smaller`, value: rest, children: [], on: parent, frame: null, smaller });
        }
    }
    return root;
}
