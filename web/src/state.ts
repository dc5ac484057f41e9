// What the reader has chosen, and what follows from it. The address of the page carries the choices, so that a view
// can be sent to somebody, and "back" goes back.
import { computed, effect, signal } from "@preact/signals";
import { bucketLabel, bucketOf, rangeOf } from "./core/histogram";
import { Keys } from "./core/keys";
import { find, parse } from "./core/search";
import { timed } from "./core/timing";
import type { Profile } from "./data/profile";

export const TABS = ["overview", "table", "flame", "leaks", "sizes", "threads", "processes"] as const;
export type Tab = (typeof TABS)[number];

export type Theme = "auto" | "light" | "dark";
export type Direction = "pc0" | "main";
/** Of a difference: whose widths the flame graph has. */
export type Side = "both" | "new" | "old";

/** The choices that stand in the address, with what holds when nothing is chosen. */
const CHOICES = {
    tab: "overview",
    q: "",
    group: "who",
    sort: "",
    metric: "bytes",
    from: "pc0",
    side: "both",
    thread: "",
    process: "",
    bucket: "",
    leaks: "",
};
export type Choice = keyof typeof CHOICES;

export class State {
    readonly keys: Keys;
    readonly choices = signal<Record<Choice, string>>({ ...CHOICES });
    readonly theme = signal<Theme>("auto");
    readonly help = signal(false);
    /** Columns of the table that are not shown. */
    readonly hidden = signal<ReadonlySet<string>>(new Set());
    /** The frame that the flame graph is zoomed to, by its labels. */
    readonly zoom = signal<readonly number[]>([]);

    /** The views that there is something for. */
    readonly tabs: readonly Tab[];

    readonly query = computed(() => parse(this.choices.value.q));
    readonly found = computed(() => timed("search", () => find(this.profile, this.query.value)));
    /** Sites that are looked at. */
    readonly sites = computed(() => timed("filter", () => this.filter()));

    constructor(readonly profile: Profile) {
        this.keys = new Keys(profile);
        this.hidden.value = new Set(profile.siteCount ? ["frees", "peak_blocks", "grown", "copied", "slack", "direct_blocks", "indirect_blocks"] : []);
        this.tabs = TABS.filter((tab) => tab !== "leaks" || profile.metric("direct_bytes"));
        this.read();
        addEventListener("hashchange", () => this.read());
        effect(() => this.write(this.choices.value));
    }

    get(choice: Choice): string {
        return this.choices.value[choice];
    }

    set(changes: Partial<Record<Choice, string>>): void {
        this.choices.value = { ...this.choices.value, ...changes };
    }

    get tab(): Tab {
        const tab = this.get("tab") as Tab;
        return this.tabs.includes(tab) ? tab : "overview";
    }

    /** What limits the sites besides the search, in words. */
    filters(): { choice: Choice; text: string }[] {
        const { profile } = this;
        const filters: { choice: Choice; text: string }[] = [];
        const number = (choice: Choice) => (this.get(choice) === "" ? null : Number(this.get(choice)));
        const thread = number("thread");
        const process = number("process");
        const bucket = number("bucket");
        if (thread !== null) filters.push({ choice: "thread", text: `thread ${profile.threadName(thread)}` });
        if (process !== null) filters.push({ choice: "process", text: `process ${profile.processName(process)}` });
        if (bucket !== null) {
            const [from, to] = rangeOf(bucket);
            filters.push({ choice: "bucket", text: from === to ? `size ${to}` : `sizes ${from.toLocaleString("en")} to ${bucketLabel(bucket)}` });
        }
        return filters;
    }

    /** Whether all sites are looked at. */
    get unfiltered(): boolean {
        return this.sites.value.length === this.profile.siteCount;
    }

    private filter(): Uint32Array {
        const { profile } = this;
        const { thread, process, bucket } = this.choices.value;
        const kept = this.found.value.sites;
        const sites = new Uint32Array(profile.siteCount);
        let n = 0;
        for (let site = 0; site < profile.siteCount; site++) {
            if (kept && !kept[site]) continue;
            if (thread !== "" && profile.thread[site] !== Number(thread)) continue;
            if (process !== "" && profile.process[site] !== Number(process)) continue;
            if (bucket !== "" && bucketOf(profile.size[site]) !== Number(bucket)) continue;
            sites[n++] = site;
        }
        return sites.subarray(0, n);
    }

    /** Takes the choices from the address. */
    private read(): void {
        const given = new URLSearchParams(location.hash.slice(1));
        const choices = { ...CHOICES };
        for (const choice of Object.keys(CHOICES) as Choice[]) choices[choice] = given.get(choice) ?? CHOICES[choice];
        if (JSON.stringify(choices) !== JSON.stringify(this.choices.peek())) this.choices.value = choices;
    }

    /** Writes them there; only another page of the report is a step that "back" takes back. */
    private write(choices: Record<Choice, string>): void {
        const chosen = new URLSearchParams();
        for (const choice of Object.keys(CHOICES) as Choice[]) {
            if (choices[choice] !== CHOICES[choice]) chosen.set(choice, choices[choice]);
        }
        const hash = `#${chosen}`;
        if (hash === (location.hash || "#")) return;
        const before = new URLSearchParams(location.hash.slice(1)).get("tab") ?? CHOICES.tab;
        history[before === choices.tab ? "replaceState" : "pushState"](null, "", hash);
    }
}
