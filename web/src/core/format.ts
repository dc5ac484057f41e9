// Numbers as people read them. The exact value always goes into a title beside it.

const WHOLE = new Intl.NumberFormat("en");
const UNITS = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
const MINUS = "\u2212";

/** Three figures, no more. */
function figures(value: number): string {
    return value >= 99.95 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}

/** The sign that a number needs in front, with `plus` also where it is above 0. */
function sign(value: number, plus: boolean): string {
    return value < 0 ? MINUS : plus && value > 0 ? "+" : "";
}

/** In decimal units, as the tool's own summary has them: "25.3 MB". */
export function bytes(value: number, plus = false): string {
    let size = Math.abs(value);
    let unit = 0;
    // 999.5 would be written as "1000".
    while (size >= 999.5 && unit < UNITS.length - 1) {
        size /= 1000;
        unit++;
    }
    const text = unit === 0 ? WHOLE.format(Math.round(size)) : figures(size);
    return `${sign(value, plus)}${text} ${UNITS[unit]}`;
}

/** A whole number with its thousands apart: "188,464". */
export function count(value: number, plus = false): string {
    return sign(value, plus) + WHOLE.format(Math.round(Math.abs(value)));
}

/** A number of things: "1 block", "2 blocks". */
export function counted(value: number, one: string, many = `${one}s`): string {
    return `${count(value)} ${Math.round(value) === 1 ? one : many}`;
}

/** A short form of a number, for axes: "1.2 M". */
export function short(value: number): string {
    let size = Math.abs(value);
    let unit = 0;
    while (size >= 1000 && unit < 4) {
        size /= 1000;
        unit++;
    }
    const text = Number.isInteger(size) ? String(size) : String(Number(size.toPrecision(3)));
    return `${sign(value, false)}${text}${["", " k", " M", " G", " T"][unit]}`;
}

/** A number of a unit without the zeros at its end, for axes: "20 GB", "1.5 s". */
export function plain(text: string): string {
    return text.replace(/(\.\d*?)0+(?=\s|$)/, "$1").replace(/\.(?=\s|$)/, "");
}

/** A number of this unit, at most some ten characters. */
export function amount(value: number, unit: "bytes" | "count", plus = false): string {
    if (unit === "bytes") return bytes(value, plus);
    const size = Math.abs(value);
    if (size < 1e8) return count(value, plus);
    const [large, name] = size < 999.5e6 ? [size / 1e6, "M"] : size < 999.5e9 ? [size / 1e9, "G"] : [size / 1e12, "T"];
    return `${sign(value, plus)}${figures(large)} ${name}`;
}

/** The number in full: "25,272,007 bytes". */
export function exact(value: number, unit: "bytes" | "count", plus = false): string {
    return unit === "bytes" ? `${count(value, plus)} bytes` : count(value, plus);
}

/** A share of 1: "46.5 %"; a share that is there is never written as none, nor one that lacks something as all. */
export function percent(share: number, plus = false): string {
    if (!Number.isFinite(share)) return "";
    const size = Math.abs(share) * 100;
    if (size === 0) return "0 %";
    if (size === 100) return `${sign(share, plus)}100 %`;
    if (size < 0.05) return `${sign(share, plus)}<0.1 %`;
    if (size > 99.95 && size < 100) return `${sign(share, plus)}>99.9 %`;
    return `${sign(share, plus)}${size >= 1000 ? WHOLE.format(Math.round(size)) : size.toFixed(1)} %`;
}

/** A change against what was: "+12.5 %", "×40", "new", "gone". */
export function change(before: number, now: number): string {
    if (before === now) return "0 %";
    if (before === 0) return "new";
    if (now === 0) return "gone";
    const times = now / before;
    if (times >= 10) return times < 9999.5 ? `×${count(times)}` : "×>9,999";
    return percent((now - before) / Math.abs(before), true);
}

/** A length of time: "1.2 s", "3 min 20 s". */
export function duration(ms: number): string {
    if (ms < 1) return `${Math.round(ms * 1000)} µs`;
    if (ms < 1000) return `${figures(ms)} ms`;
    const seconds = ms / 1000;
    if (seconds < 120) return `${figures(seconds)} s`;
    const minutes = Math.floor(seconds / 60);
    if (minutes < 120) return `${minutes} min ${Math.round(seconds % 60)} s`;
    return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Characters that are not seen, or that reorder what stands around them. */
const UNSEEN = /[\u0000-\u001F\u007F-\u009F\u00AD\u061C\u200B-\u200F\u2028-\u202E\u2060-\u2069\uFEFF\uFFF9-\uFFFB]/g;

/** Text of somebody else's, with such characters as escapes: what is shown is what is there. */
export function visibleText(text: string): string {
    return text.replace(UNSEEN, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}

/** Where a long name is parted, so that its middle can be left out where there is no room: the end is kept whole. */
export function parts(name: string, tail = 18): [head: string, tail: string] {
    if (name.length <= tail * 2) return [name, ""];
    return [name.slice(0, -tail), name.slice(-tail)];
}
