// uPlot as a component.
import { useLayoutEffect, useRef } from "preact/hooks";
import uPlot, { type AlignedData, type Options } from "uplot";
import "uplot/dist/uPlot.min.css";
import { colour, colours } from "./theme";
import { useWidth } from "./useWidth";

interface Props {
    /** What is to be seen, for those who do not see it. */
    label: string;
    height: number;
    data: AlignedData;
    /** Made anew when the colours change. */
    options: (colour: (name: string) => string) => Omit<Options, "width" | "height">;
    /** A click on this place of the x axis. */
    onPick?: (index: number) => void;
}

export function Chart({ label, height, data, options, onPick }: Props) {
    const element = useRef<HTMLDivElement>(null);
    const plot = useRef<uPlot | null>(null);
    const width = useWidth(element);
    const version = colours.value;
    const known = width > 0;
    useLayoutEffect(() => {
        if (!known || !element.current) return;
        const made = new uPlot({ ...options(colour), width, height }, data, element.current);
        plot.current = made;
        const pick = () => made.cursor.idx != null && onPick?.(made.cursor.idx);
        made.over.addEventListener("click", pick);
        return () => {
            plot.current = null;
            made.destroy();
        };
    }, [known, data, version, height]);
    useLayoutEffect(() => {
        if (known) plot.current?.setSize({ width, height });
    }, [width]);
    return <div class={`chart ${onPick ? "pick" : ""}`} role="img" aria-label={label} ref={element} style={{ minHeight: `${height}px` }} />;
}

/** An axis in the page's look. */
export function axis(colour: (name: string) => string): uPlot.Axis {
    return {
        stroke: colour("--muted"),
        grid: { stroke: colour("--line"), width: 1 },
        ticks: { stroke: colour("--line"), width: 1, size: 4 },
        font: "12px system-ui, sans-serif",
    };
}
