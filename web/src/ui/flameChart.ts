// The flame graph itself: d3-flame-graph, given only the frames that can be seen, and made reachable by keys and for
// screen readers.
import flamegraph, { type FlameGraph, type Laid } from "d3-flame-graph";
import { select } from "d3-selection";
import "d3-transition";
import { type Drawn, pathOf } from "../core/flame";
import { calm } from "./theme";

const CELL = 20;
const ZOOM_MS = 220;
/** Frames narrower than this are gathered into one. */
export const NARROWEST_PX = 2.5;

export interface Handlers {
    colour(frame: Drawn): string;
    label(frame: Drawn): string;
    zoom(path: number[]): void;
    /** What is too narrow below this path is asked for. */
    smaller(path: number[]): void;
    hover(frame: Drawn | null, event?: MouseEvent): void;
    active(frame: Drawn): void;
}

type Node = Laid<Drawn>;

/** One drawing of the chart in an element. A new one is made whenever the data change. */
export class FlameChart {
    private readonly chart: FlameGraph<Drawn>;
    private readonly root: Node;
    private current: Node;
    private timer = 0;

    constructor(
        private readonly element: HTMLElement,
        data: Drawn,
        private readonly handlers: Handlers,
        width: number,
    ) {
        const tooltip = Object.assign(() => {}, {
            show: (event: MouseEvent, { data }: Laid<never>) => handlers.hover(data as Drawn, event),
            hide: () => handlers.hover(null),
        });
        this.chart = flamegraph<Drawn>()
            .width(width)
            .cellHeight(CELL)
            .inverted(true)
            .resetHeightOnZoom(true)
            .minFrameSize(NARROWEST_PX / 2)
            .transitionDuration(0)
            .tooltip(tooltip)
            .setColorMapper(({ data }) => handlers.colour(data))
            .onClick((frame) => this.zoomed(frame));
        const selection = select(element).datum(data);
        selection.call(this.chart as never);
        this.settle();
        this.chart.transitionDuration(calm() ? 0 : ZOOM_MS);
        this.root = selection.datum() as unknown as Node;
        this.current = this.focus();
        this.describe();
    }

    /** Moves the frame that the keys act on. Returns whether the key is one of ours. */
    key(key: string): boolean {
        const { current } = this;
        const siblings = current.parent?.children ?? [current];
        const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
        if (key === "ArrowUp") this.activate(current.parent);
        else if (key === "ArrowDown") this.activate(current.children?.find(({ data }) => !data.smaller));
        else if (step) this.activate(siblings[siblings.indexOf(current) + step]);
        else if (key === "Enter" || key === " ") this.chart.zoomTo(current);
        else if (key === "Escape" || key === "Backspace") this.chart.zoomTo(this.focus().parent ?? this.root);
        else if (key === "Home") this.chart.zoomTo(this.root);
        else return false;
        return true;
    }

    /** Id of the element of the frame that the keys act on. */
    get activeId(): string {
        return `frame-${this.current.id}`;
    }

    destroy(): void {
        clearTimeout(this.timer);
        this.chart.destroy();
    }

    /** The frame that is zoomed to: the first that is not above another. */
    private focus(): Node {
        let node = this.root;
        while (node.data.fade && node.children?.length) node = node.children[0];
        return node;
    }

    private activate(node: Node | null | undefined): void {
        if (!node) return;
        this.current = node;
        this.mark();
        this.handlers.active(node.data);
    }

    private zoomed(frame: Node): void {
        clearTimeout(this.timer);
        if (frame.data.smaller) return this.handlers.smaller(pathOf(frame.data));
        // When the movement is done, what was too narrow is worked out and drawn.
        this.timer = window.setTimeout(() => this.handlers.zoom(pathOf(frame.data)), calm() ? 0 : ZOOM_MS + 30);
    }

    /** d3-flame-graph lets new frames grow from nothing. What is drawn anew after a zoom should just be there. */
    private settle(): void {
        const frames = select(this.element).selectAll<SVGGElement, Node>("g.frame");
        frames.select("rect").interrupt().attr("width", function () {
            return (this as SVGRectElement).parentElement!.getAttribute("width");
        });
        frames.select("foreignObject").select<HTMLElement>("div").interrupt().text(({ data }) => data.name);
    }

    /** Roles and names for what d3-flame-graph draws. */
    private describe(): void {
        const { handlers } = this;
        select(this.element).select("svg").attr("role", "presentation").select("text.title").remove();
        select(this.element)
            .selectAll<SVGGElement, Node>("g.frame")
            .attr("id", ({ id }) => `frame-${id}`)
            .attr("role", "treeitem")
            .attr("aria-level", ({ depth }) => depth + 1)
            .attr("aria-label", ({ data }) => handlers.label(data))
            .classed("smaller", ({ data }) => data.smaller > 0);
        this.mark();
    }

    private mark(): void {
        select(this.element)
            .selectAll<SVGGElement, Node>("g.frame")
            .classed("current", (node) => node === this.current)
            .attr("aria-selected", (node) => node === this.current);
        const element = document.getElementById(this.activeId);
        if (document.activeElement === this.element) element?.scrollIntoView({ block: "nearest" });
        this.element.setAttribute("aria-activedescendant", this.activeId);
    }
}
