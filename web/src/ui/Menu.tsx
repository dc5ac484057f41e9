// A button with a small panel below it, which closes with Esc and with a click elsewhere.
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

export function Menu({ title, children }: { title: string; children: ComponentChildren }) {
    const element = useRef<HTMLDetailsElement>(null);
    useEffect(() => {
        const close = (event: Event) => {
            const menu = element.current;
            if (!menu?.open) return;
            const outside = event.type === "keydown" ? (event as KeyboardEvent).key === "Escape" : !menu.contains(event.target as Node);
            if (!outside) return;
            menu.open = false;
            if (event.type === "keydown") menu.querySelector("summary")?.focus();
        };
        for (const type of ["pointerdown", "focusin", "keydown"]) addEventListener(type, close);
        return () => {
            for (const type of ["pointerdown", "focusin", "keydown"]) removeEventListener(type, close);
        };
    }, []);
    return (
        <details class="menu" ref={element}>
            <summary class="button">{title}</summary>
            <div class="menu-body">{children}</div>
        </details>
    );
}
