// A profile of a few sites, of which the tests know every number, and what they ask of its page.
import { expect } from "vitest";
import type { Opened } from "./browser.ts";

export const SMALL = [
    { stack: ["grow", "push", "main"], size: 10, calls: 1 },
    { stack: ["grow", "push", "main"], size: 20, calls: 2 },
    { stack: ["grow", "insert", "main"], size: 10, calls: 100, thread: 1 },
    { stack: ["copy", "main"], size: 4096, calls: 5, thread: 1 },
];

/** The same as a difference: new, gone and changed sites. */
export const CHANGED = SMALL.map((site, i) => ({ ...site, old: [1, 2, 300, 0][i] }));

/** Nothing was said on the console, asked of the network, or run by the data. */
export function quiet({ complaints, requests, dialogs }: Opened): void {
    expect({ complaints, requests, dialogs }).toEqual({ complaints: [], requests: [], dialogs: [] });
}

/** Names of the rows of the table, in order. */
export const names = ({ page }: Opened) => page.locator("#grid .grid-body .row .name").allInnerTexts();
