// The page around the views: title, search, tabs, what is filtered.
import { useEffect, useRef } from "preact/hooks";
import { amount, count, duration, percent } from "../core/format";
import type { State, Tab } from "../state";
import { Flame } from "./Flame";
import { Help } from "./Help";
import { onPageKey } from "./keyboard";
import { Leaks } from "./Leaks";
import { Overview } from "./Overview";
import { Processes } from "./Processes";
import { Search } from "./Search";
import { Sizes } from "./Sizes";
import { Table } from "./Table";
import { THEMES } from "./theme";
import { Threads } from "./Threads";

const TITLES: Record<Tab, string> = {
    overview: "Overview",
    table: "Table",
    flame: "Flame graph",
    leaks: "Leaks",
    sizes: "Sizes",
    threads: "Threads",
    processes: "Processes",
};
const VIEWS = { overview: Overview, table: Table, flame: Flame, leaks: Leaks, sizes: Sizes, threads: Threads, processes: Processes };

export function App({ state }: { state: State }) {
    useEffect(() => {
        const listen = (event: KeyboardEvent) => onPageKey(state, event);
        addEventListener("keydown", listen);
        return () => removeEventListener("keydown", listen);
    }, [state]);
    const View = VIEWS[state.tab];
    return (
        <>
            <Header state={state} />
            <main>
                <Tabs state={state} />
                <Filters state={state} />
                <div id={`panel-${state.tab}`} role="tabpanel" aria-labelledby={`tab-${state.tab}`} class="view">
                    <View state={state} />
                </div>
            </main>
            <Help state={state} />
        </>
    );
}

function Header({ state }: { state: State }) {
    const { profile } = state;
    const theme = state.theme.value;
    const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    const about = aboutRun(state);
    return (
        <header class="top">
            <div class="title">
                <h1 title={profile.title}>{profile.title}</h1>
                {profile.diff ? (
                    <p class="sub">
                        <span class="old" title={profile.diff.oldTitle}>{profile.diff.oldTitle}</span> → <span class="new" title={profile.diff.newTitle}>{profile.diff.newTitle}</span>
                    </p>
                ) : (
                    <p class="sub" title={about}>
                        {about}
                    </p>
                )}
            </div>
            <Search state={state} />
            <button type="button" class="plain" id="theme" title={`Colours: ${theme} (key: d)`} aria-label={`Colours: ${theme}. Change to ${next}`} onClick={() => (state.theme.value = next)}>
                {{ auto: "◐", light: "☀", dark: "☾" }[theme]}
            </button>
            <button type="button" class="plain" id="help" title="Keys and terms (key: ?)" aria-label="Help" onClick={() => (state.help.value = true)}>
                ?
            </button>
        </header>
    );
}

/** When, where and how long, in a line. */
function aboutRun({ profile }: State): string {
    const [first, ...others] = profile.processes;
    if (!first) return profile.tool;
    const command = first.command?.map((word) => profile.text(word)).join(" ") ?? "";
    // The title is often the command already, with another form of the program's name, or cut short.
    const space = profile.title.indexOf(" ") + 1;
    const isTitle = command.includes(profile.title.slice(space, space + 20));
    const parts = [
        isTitle ? "" : command,
        others.length > 0 ? `${count(profile.processes.length)} processes` : "",
        first.start_ms ? new Date(first.start_ms).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" }) : "",
        profile.text(first.host),
        first.duration_ms != null ? duration(first.duration_ms) : "",
    ];
    return parts.filter(Boolean).join(" · ") || profile.tool;
}

function Tabs({ state }: { state: State }) {
    const list = useRef<HTMLDivElement>(null);
    const { tabs } = state;
    const go = (event: KeyboardEvent) => {
        const step = { ArrowRight: 1, ArrowLeft: -1, Home: -tabs.length, End: tabs.length }[event.key];
        if (!step) return;
        event.preventDefault();
        const at = tabs.indexOf(state.tab) + step;
        const tab = Math.abs(step) > 1 ? tabs[step < 0 ? 0 : tabs.length - 1] : tabs[(at + tabs.length) % tabs.length];
        state.set({ tab });
        list.current?.querySelector<HTMLElement>(`#tab-${tab}`)?.focus();
    };
    return (
        <div class="tabs" role="tablist" aria-label="Views" ref={list} onKeyDown={go}>
            {tabs.map((tab, i) => (
                <button
                    type="button"
                    role="tab"
                    key={tab}
                    id={`tab-${tab}`}
                    aria-selected={tab === state.tab}
                    aria-controls={tab === state.tab ? `panel-${tab}` : undefined}
                    tabIndex={tab === state.tab ? 0 : -1}
                    title={`Key: ${i + 1}`}
                    onClick={() => state.set({ tab })}
                >
                    {TITLES[tab]}
                </button>
            ))}
        </div>
    );
}

/** What is left out of all views, and how much is left. */
function Filters({ state }: { state: State }) {
    const filters = state.filters();
    const { error } = state.query.value;
    const narrowed = !state.unfiltered;
    const bytes = state.profile.metric("bytes")!;
    let kept = 0;
    if (narrowed) for (const site of state.sites.value) kept += bytes.values[site];
    return (
        <div class="filters" aria-live="polite" hidden={!narrowed && filters.length === 0 && !error}>
            {filters.map(({ choice, text }) => (
                <button type="button" class="chip" key={choice} title="Take this filter away" onClick={() => state.set({ [choice]: "" })}>
                    {text} <span aria-hidden="true">×</span>
                </button>
            ))}
            {error && <span class="error">{error}</span>}
            {narrowed && (
                <span class="kept">
                    {count(state.sites.value.length)} of {count(state.profile.siteCount)} sites, {amount(kept, "bytes")} ({percent(kept / state.profile.total("bytes"))} of all bytes)
                </span>
            )}
            {(narrowed || filters.length > 0) && (
                <button type="button" class="plain" onClick={() => state.set({ q: "", thread: "", process: "", bucket: "" })}>
                    show all
                </button>
            )}
        </div>
    );
}
