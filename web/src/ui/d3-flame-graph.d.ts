// The part of d3-flame-graph that is used; the package comes without types.
declare module "d3-flame-graph" {
    import type { Selection } from "d3-selection";

    /** A frame with its data, as d3-hierarchy lays it out. */
    export interface Laid<Data> {
        id: number;
        data: Data;
        depth: number;
        parent: Laid<Data> | null;
        children?: Laid<Data>[];
    }

    interface Tooltip {
        (): void;
        show(event: MouseEvent, frame: Laid<never>): void;
        hide(): void;
    }

    export interface FlameGraph<Data> {
        (selection: Selection<HTMLElement, Data, null, undefined>): void;
        width(px: number): this;
        height(px: number | null): this;
        cellHeight(px: number): this;
        minFrameSize(px: number): this;
        inverted(on: boolean): this;
        transitionDuration(ms: number): this;
        resetHeightOnZoom(on: boolean): this;
        tooltip(tooltip: Tooltip): this;
        onClick(handler: (frame: Laid<Data>) => void): this;
        setColorMapper(map: (frame: Laid<Data>, original: string) => string): this;
        zoomTo(frame: Laid<Data>): void;
        destroy(): void;
    }

    export default function flamegraph<Data>(): FlameGraph<Data>;
}
