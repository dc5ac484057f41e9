// The width of an element, followed.
import type { RefObject } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";

export function useWidth(element: RefObject<HTMLElement | null>): number {
    const [width, setWidth] = useState(0);
    // Before the first frame: a picture of the page may be made of that one alone.
    useLayoutEffect(() => {
        if (element.current) setWidth(element.current.clientWidth);
        const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
        if (element.current) observer.observe(element.current);
        return () => observer.disconnect();
    }, []);
    return width;
}
