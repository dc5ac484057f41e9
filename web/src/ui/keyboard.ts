// Keys that work everywhere. Those of a view are handled where it is.
import type { State } from "../state";
import { THEMES } from "./theme";

/** The list for the help. */
export const KEYS: [keys: string, what: string][] = [
    ["/", "search"],
    ["1 … 7", "go to a view"],
    ["?", "this help"],
    ["d", "light or dark"],
    ["Esc", "leave the search, close, zoom out"],
    ["↑ ↓ Home End", "table: go from row to row; flame graph: to the caller, to the called"],
    ["→ ←", "table: open and close a row, or go in and out; flame graph: to the neighbour"],
    ["Shift+→", "table: open the largest row below, and its largest, to the end"],
    ["*", "table: open all rows beside this one"],
    ["Enter", "table: show the stacks of a row; flame graph: zoom in"],
];

export function onPageKey(state: State, event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, select, textarea, dialog")) return;
    if (event.key === "/") {
        const field = document.querySelector<HTMLInputElement>("#search");
        field?.focus();
        field?.select();
    } else if (event.key === "?") {
        state.help.value = true;
    } else if (event.key === "d") {
        state.theme.value = THEMES[(THEMES.indexOf(state.theme.value) + 1) % THEMES.length];
    } else if (/^[1-7]$/.test(event.key)) {
        const tab = state.tabs[Number(event.key) - 1];
        if (!tab) return;
        state.set({ tab });
        // What was focused may be gone with the other view.
        requestAnimationFrame(() => (document.querySelector<HTMLElement>("[data-first]") ?? document.getElementById(`tab-${tab}`))?.focus());
    } else {
        return;
    }
    event.preventDefault();
}
