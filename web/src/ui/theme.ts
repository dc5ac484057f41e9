// Light and dark: what the system says, or what was chosen with the switch.
import { effect, signal } from "@preact/signals";
import type { State, Theme } from "../state";

const STORED = "skipheap-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

/** Counts up when colours change, for what is drawn on a canvas. */
export const colours = signal(0);

/** What the switch goes through. */
export const THEMES: Theme[] = ["auto", "light", "dark"];

/** Whether people have asked for less movement. */
export function calm(): boolean {
    return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** Sets the page up. Storage may be forbidden to a file: then the choice lasts as long as the page. */
export function loadTheme(state: State): void {
    try {
        const stored = localStorage.getItem(STORED) as Theme | null;
        if (stored && THEMES.includes(stored)) state.theme.value = stored;
    } catch {
        // Not stored.
    }
    system.addEventListener("change", () => colours.value++);
    effect(() => {
        const theme = state.theme.value;
        document.documentElement.dataset.theme = theme;
        try {
            localStorage.setItem(STORED, theme);
        } catch {
            // Not stored.
        }
        colours.value = colours.peek() + 1;
    });
}

/** A colour of the style sheet as it is now, for a canvas. */
export function colour(name: string): string {
    const probe = document.createElement("span");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const value = getComputedStyle(probe).color;
    probe.remove();
    return value;
}
