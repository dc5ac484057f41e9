// Rows drawn as needed: TanStack's virtualiser for Preact.
import { elementScroll, observeElementOffset, observeElementRect, Virtualizer } from "@tanstack/virtual-core";
import type { RefObject } from "preact";
import { useLayoutEffect, useReducer, useState } from "preact/hooks";

export interface Wanted {
    count: number;
    height: number;
    /** What covers the top of the scrolled element. */
    covered: number;
    scroller: RefObject<HTMLElement | null>;
}

export function useVirtual({ count, height, covered, scroller }: Wanted): Virtualizer<HTMLElement, Element> {
    const [, redraw] = useReducer((n: number) => n + 1, 0);
    const options = {
        count,
        getScrollElement: () => scroller.current,
        estimateSize: () => height,
        overscan: 8,
        scrollPaddingStart: covered,
        observeElementRect,
        observeElementOffset,
        scrollToFn: elementScroll,
        onChange: () => redraw(0),
    };
    const [virtualizer] = useState(() => new Virtualizer<HTMLElement, Element>(options));
    virtualizer.setOptions(options);
    useLayoutEffect(() => virtualizer._didMount(), []);
    useLayoutEffect(() => virtualizer._willUpdate());
    return virtualizer;
}
