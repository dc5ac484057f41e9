// Names of C++ and Rust without what makes them long: arguments of templates and parameters. The whole
// name is always a tooltip away.

/** Shorter names stay as they are. */
const LONG = 40;
/** What is shorter in its brackets stays. */
const KEPT = 8;

/** Names within names that are looked at. */
const DEEPEST = 3;

/** Where the bracket that opens here is closed, -1 if nowhere. Arrows and operators are no brackets. */
function closing(name: string, start: number): number {
    let depth = 0;
    for (let i = start; i < name.length; i++) {
        const character = name[i];
        if (character === "<" || character === "(" || character === "[" || character === "{") depth++;
        else if (character === ">" && name[i - 1] === "-") continue;
        else if (character === ">" || character === ")" || character === "]" || character === "}") {
            depth--;
            if (depth === 0) return i;
        }
    }
    return -1;
}

/** `std::vector<…>::push_back(…)`. */
export function shortName(name: string, depth = 0): string {
    if (name.length <= LONG || depth > DEEPEST || /operator\s*(<|>|-|\()/.test(name)) return name;
    let short = "";
    for (let i = 0; i < name.length; i++) {
        const character = name[i];
        if (character !== "<" && character !== "(") {
            short += character;
            continue;
        }
        const end = closing(name, i);
        const inside = name.slice(i + 1, end);
        // `<Vec<T> as Drop>::drop` and `(anonymous namespace)` are what the name is, not an addition to it.
        const essential = short === "" || /::$/.test(short) || inside === "anonymous namespace";
        if (end < 0) return short + name.slice(i);
        if (essential) short += character + shortName(inside, depth + 1) + name[end];
        else if (inside.length <= KEPT) short += name.slice(i, end + 1);
        else short += `${character}…${name[end]}`;
        i = end;
    }
    return short;
}
