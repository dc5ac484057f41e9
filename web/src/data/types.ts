// The data as they stand in the file. Everything may be missing but the sites' calls and bytes: an older
// or newer tool may have written them. Text is an index into `strings`, 0 is "not known".

/** Index into `strings`. */
export type Text = number;

/** A column of numbers; null where that was not measured. */
export type Column = number[] | null | undefined;

/** A column of numbers, some of which are not known. */
export type Gaps = (number | null)[] | null | undefined;

/** Each point holds until the next one. */
export interface RawTimeline {
    ns: number[];
    allocations?: Gaps;
    live_bytes?: Column;
    live_blocks?: Gaps;
    rss?: Gaps;
}

/** The peak of several processes together. */
export interface RawTogether {
    peak_bytes: number;
    /** Since the first process began. */
    peak_ns: number;
    /** How many held something then. */
    processes: number;
}

export interface RawProcess {
    program?: Text;
    command?: Text[];
    pid?: number;
    host?: Text;
    os?: Text;
    arch?: Text;
    cpus?: number | null;
    start_ms?: number | null;
    duration_ms?: number | null;
    finished?: boolean;
    live?: boolean;
    /** The leak check was made. */
    leak_checked?: boolean;
    /** There are blocks for whose leaks nobody could look. */
    leaks_missed?: boolean;
    whole_stacks?: boolean;
    peak_bytes?: number | null;
    /** Of an estimated peak, in bytes. */
    peak_standard_error?: number | null;
    timeline?: RawTimeline | null;
}

export interface RawSites {
    node?: Column;
    pc?: Column[];
    size?: Column;
    /** The function that is responsible, as an index into `functions`; -1 where there is no stack. */
    responsible?: Column;
    /** The plumbing that it called; -1 for none. */
    via?: Column;
    allocator?: Column;
    thread?: Column;
    process?: Column;
    calls: number[];
    bytes: number[];
    frees?: Column;
    live_blocks?: Column;
    live_bytes?: Column;
    peak_blocks?: Column;
    peak_bytes?: Column;
    temporary?: Column;
    grown?: Column;
    copied?: Column;
    slack?: Column;
    direct_blocks?: Column;
    direct_bytes?: Column;
    indirect_blocks?: Column;
    indirect_bytes?: Column;
}

export interface RawDiff {
    old_title?: string;
    new_title?: string;
    old: { calls: number[]; bytes: number[]; live_bytes?: Column; peak_bytes?: Column };
}

export interface RawProfile {
    version: number;
    tool?: string;
    title?: string;
    sample_bytes?: number;
    strings?: string[];
    processes?: RawProcess[];
    together?: RawTogether | null;
    losses?: { what: string; count: number }[];
    modules?: { path?: Text[]; build_id?: string[] };
    functions?: { name?: Text[]; file?: Text[]; module?: number[] };
    frames?: { function?: number[]; line?: number[]; inlined?: number[] };
    nodes?: { parent?: number[]; frame?: number[] };
    threads?: Text[];
    sites: RawSites;
    diff?: RawDiff | null;
}
