// Makes up profiles of any size, the same for the same seed: for the tests, and for looking at the page.
import type { RawProfile, RawSites, RawTimeline } from "../src/data/types.ts";

export interface Wanted {
    sites: number;
    seed?: number;
    /** Blocks were followed. */
    live?: boolean;
    /** It is a difference of two runs. */
    diff?: boolean;
    /** Names that try to be more than text. */
    hostile?: boolean;
    title?: string;
    processes?: number;
    threads?: number;
    /** Honesty counters above 0. */
    losses?: boolean;
    sampled?: boolean;
}

/** Names that must stay text wherever they appear. */
export const HOSTILE = [
    "</script><img src=x onerror=alert(1)>",
    "<img src=x onerror=alert(document.domain)>",
    "--><svg/onload=alert(2)>",
    "${alert(3)}`'\"\\",
    "&lt;b&gt;not bold&lt;/b&gt;",
    "\u202Egnp.evil\u202C \u0000\u001B[31m",
    "__proto__",
    "constructor",
    `${"very_long_name_".repeat(200)}end`,
];

const SPACES = ["json", "net::http", "db::btree", "ui", "std", "render::gl", "core", "parser"];
const CLASSES = ["Buffer", "Node", "Table<std::string, std::vector<int>>", "Reader", "Arena", "Pool<T>", "Index", "Value"];
const VERBS = ["grow", "insert", "clone", "parse", "reserve", "push_back(value_type const&)", "find_or_create", "resize(unsigned long)"];
const C_WORDS = ["jv", "mem", "alloc", "array", "string", "copy", "parse", "token", "lex", "emit", "page", "cache", "hash"];
const ALLOCATORS = ["malloc", "calloc", "realloc", "posix_memalign"];
const SIZES = [8, 16, 24, 32, 40, 48, 64, 96, 128, 200, 256, 392, 512, 1024, 4096, 8192, 65_536, 655_408, 1_048_576];

/** mulberry32: small, and good enough to make things up. */
function randomOf(seed: number): () => number {
    let state = seed >>> 0;
    return () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let t = Math.imul(state ^ (state >>> 15), state | 1);
        t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
        return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
    };
}

class Strings {
    readonly all = [""];
    private readonly known = new Map([["", 0]]);

    index(text: string): number {
        let index = this.known.get(text);
        if (index === undefined) {
            index = this.all.push(text) - 1;
            this.known.set(text, index);
        }
        return index;
    }
}

/** A profile as the tool would write it. */
export function generate(wanted: Wanted): RawProfile {
    const random = randomOf(wanted.seed ?? 1);
    const upTo = (n: number) => Math.floor(random() * n);
    const pick = <T>(list: T[]) => list[upTo(list.length)];
    /** Many small ones, few large ones. */
    const skewed = (n: number) => Math.floor(n * random() ** 4);
    const strings = new Strings();

    const modules = ["/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/libjson.so.1", "/opt/app/bin/server", "/opt/app/lib/librender.so"];
    const functionCount = Math.max(12, Math.min(40_000, Math.ceil(wanted.sites / 4)));
    const functions = { name: [] as number[], file: [] as number[], module: [] as number[] };
    for (let i = 0; i < functionCount; i++) {
        const cpp = random() < 0.6;
        const plain = cpp ? `${pick(SPACES)}::${pick(CLASSES)}::${pick(VERBS)}` : `${pick(C_WORDS)}_${pick(C_WORDS)}_${pick(C_WORDS)}`;
        const name = i < 200 ? plain : cpp ? plain.replace("::", `${i}::`) : `${plain}_${i}`;
        functions.name.push(strings.index(wanted.hostile && i < HOSTILE.length ? HOSTILE[i] : name));
        const file = wanted.hostile ? pick(HOSTILE) : `/src/app/${pick(SPACES).replaceAll("::", "/")}/${pick(C_WORDS)}.${cpp ? "cpp" : "c"}`;
        functions.file.push(random() < 0.8 ? strings.index(file) : 0);
        functions.module.push(upTo(modules.length));
    }

    const frames = { function: [] as number[], line: [] as number[], inlined: [] as number[] };
    const nodes = { parent: [] as number[], frame: [] as number[] };
    const depths: number[] = [];
    const nodeCount = Math.max(20, Math.ceil(wanted.sites * 0.8));
    for (let i = 0; i < nodeCount; i++) {
        const function_ = i < functionCount ? i : skewed(functionCount);
        frames.function.push(function_);
        frames.line.push(random() < 0.9 ? 1 + upTo(2000) : 0);
        frames.inlined.push(random() < 0.1 ? 1 : 0);
        // New nodes prefer late parents, which makes stacks of some twenty frames.
        const parent = i === 0 ? -1 : Math.max(0, i - 1 - skewed(i));
        const above = parent >= 0 && depths[parent] > 40 ? upTo(Math.min(i, 50)) : parent;
        depths.push(above < 0 ? 0 : depths[above] + 1);
        nodes.parent.push(above);
        nodes.frame.push(i);
    }

    const processCount = wanted.processes ?? 1;
    const threads = Array.from({ length: wanted.threads ?? 4 }, (_, i) => strings.index(wanted.hostile ? pick(HOSTILE) : i === 0 ? "main" : `worker-${i}`));
    const sites: Required<RawSites> = {
        node: [], pc: [[], [], [], []], size: [], allocator: [], thread: [], process: [], calls: [], bytes: [],
        frees: null, live_blocks: null, live_bytes: null, peak_blocks: null, peak_bytes: null,
        temporary: null, grown: null, copied: null, slack: null,
    } as unknown as Required<RawSites>;
    const live = wanted.live ? ["frees", "live_blocks", "live_bytes", "peak_blocks", "peak_bytes", "temporary", "grown", "copied", "slack"] as const : [];
    for (const column of live) sites[column] = [];
    const old = { calls: [] as number[], bytes: [] as number[] };
    for (let site = 0; site < wanted.sites; site++) {
        const node = upTo(nodeCount);
        sites.node!.push(node);
        let at = node;
        for (let level = 0; level < 4; level++) {
            while (at > 0 && frames.inlined[nodes.frame[at]] && level > 0) at = nodes.parent[at];
            sites.pc![level]!.push(at < 0 ? -1 : frames.function[nodes.frame[at]]);
            if (at >= 0) at = nodes.parent[at];
        }
        const size = random() < 0.8 ? pick(SIZES) : 1 + upTo(10_000);
        const calls = 1 + Math.floor(60_000 * random() ** 12);
        sites.size!.push(size);
        sites.allocator!.push(strings.index(pick(ALLOCATORS)));
        sites.thread!.push(upTo(threads.length));
        sites.process!.push(upTo(processCount));
        sites.calls.push(calls);
        sites.bytes.push(calls * size);
        if (wanted.live) {
            const kept = random() < 0.2 ? upTo(calls) : 0;
            const peak = Math.min(calls, kept + skewed(calls));
            sites.frees!.push(calls - kept);
            sites.live_blocks!.push(kept);
            sites.live_bytes!.push(kept * size);
            sites.peak_blocks!.push(peak);
            sites.peak_bytes!.push(peak * size);
            sites.temporary!.push(upTo(calls - kept));
            sites.grown!.push(random() < 0.1 ? upTo(calls) : 0);
            sites.copied!.push(random() < 0.1 ? upTo(calls) * size : 0);
            sites.slack!.push(calls * (size % 16 ? 16 - (size % 16) : 8));
        }
        if (wanted.diff) {
            const kind = random();
            const before = kind < 0.15 ? 0 : kind < 0.5 ? calls : Math.max(0, Math.round(calls * (0.5 + random())));
            const gone = kind > 0.9;
            old.calls.push(gone ? calls : before);
            old.bytes.push((gone ? calls : before) * size);
            if (gone) {
                sites.calls[site] = 0;
                sites.bytes[site] = 0;
                for (const column of live) sites[column]![site] = 0;
            }
        }
    }

    const sum = (column: number[] | null | undefined) => (column ?? []).reduce((total, value) => total + value, 0);
    const text = (value: string) => strings.index(value);
    return {
        version: 1,
        tool: "skip-heapprof 0.1.0",
        title: wanted.title ?? (wanted.hostile ? HOSTILE[0] : "server"),
        sample_bytes: wanted.sampled ? 524_288 : 0,
        processes: Array.from({ length: processCount }, (_, i) => ({
            program: text(i === 0 ? "server" : `helper-${i}`),
            command: ["server", "--config", "/etc/app/server.toml", ...(wanted.hostile ? HOSTILE : ["two words"])].map(text),
            pid: 4711 + i,
            host: text("build-7"),
            os: text("Debian GNU/Linux 12 (bookworm), Linux 6.1"),
            arch: text("x86_64"),
            cpus: 8,
            start_ms: Date.UTC(2026, 10, 25, 14, 3, 11) + i * 350,
            duration_ms: 12_345 - i * 1000,
            finished: i !== 2,
            live: wanted.live ?? false,
            whole_stacks: true,
            peak_bytes: wanted.live ? Math.round(sum(sites.peak_bytes) / processCount) : null,
            timeline: wanted.live ? timeline(random, Math.round(sum(sites.peak_bytes) / processCount), sum(sites.calls)) : null,
        })),
        losses: wanted.losses
            ? [
                  { what: "stacks that end early: code without unwind information", count: 1234 },
                  { what: "allocations of new sites that were lost: the recording could not grow", count: 17 },
              ]
            : [],
        modules: { path: modules.map(text), build_id: modules.map((_, i) => `${i}f3c9a1be77d20415c6`) },
        functions,
        frames,
        nodes,
        threads,
        sites,
        diff: wanted.diff ? { old_title: wanted.hostile ? HOSTILE[1] : "v1.8", new_title: wanted.hostile ? HOSTILE[2] : "v1.9", old } : null,
        strings: strings.all,
    };
}

/** Memory over time, up to this peak. */
function timeline(random: () => number, peak: number, calls: number): RawTimeline {
    const points = 400;
    const shape = Array.from({ length: points }, (_, i) => Math.sin((i / points) * 5) ** 2 * (0.4 + i / points) + 0.1 * random() + (i / points) * 0.3);
    const top = Math.max(...shape);
    const live = shape.map((value) => Math.round((value / top) * peak));
    return {
        ns: Array.from({ length: points }, (_, i) => Math.round((i / points) * 12.345e9)),
        allocations: Array.from({ length: points }, (_, i) => Math.round(calls * (i / points) ** 1.3)),
        live_bytes: live,
        live_blocks: live.map((bytes) => Math.round(bytes / 180)),
        rss: live.reduce<number[]>((rss, bytes) => [...rss, Math.max((rss.at(-1) ?? 0) * 0.995, bytes * 1.12 + 4e6)], []).map(Math.round),
    };
}
