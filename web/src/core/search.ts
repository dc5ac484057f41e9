// What people type into the search field, and which sites it keeps.
//
// Words are looked for anywhere in the names of a stack, whatever their case; all of them have to be there, each in
// any function of the stack. "-word" leaves out, "file:word" and "module:word" look elsewhere, "pc0:word" in that
// function alone, "who:word" in the function that is responsible, "a b" in quotes is one word, /…/ is a regular expression.
import type { Profile } from "../data/profile";

type Field = "name" | "file" | "module" | "who" | "pc0" | "pc1" | "pc2" | "pc3";

export interface Term {
    field: Field;
    exclude: boolean;
    test: (text: string) => boolean;
}

export interface Query {
    terms: Term[];
    /** What is wrong with it, for the reader. */
    error: string | null;
}

const TERM = /(-)?(?:(file|module|who|pc[0-3]):)?(?:\/((?:\\.|[^/\\])+)\/(?=\s|$)|"([^"]*)"?|(\S+))/g;

/** A query for this name. A name with a quote in it cannot be asked for as a whole. */
export function quoted(name: string): string {
    return `"${name.split('"').sort((a, b) => b.length - a.length)[0]}"`;
}

/** Reads a query. */
export function parse(text: string): Query {
    const terms: Term[] = [];
    let error: string | null = null;
    for (const [, minus, field, pattern, quoted, word] of text.matchAll(TERM)) {
        const plain = (quoted ?? word ?? "").toLowerCase();
        if (pattern === undefined && !plain) continue;
        let test = (value: string) => value.toLowerCase().includes(plain);
        if (pattern !== undefined) {
            try {
                const expression = new RegExp(pattern, "i");
                test = (value) => expression.test(value);
            } catch {
                error = `/${pattern}/ is no regular expression`;
                continue;
            }
        }
        terms.push({ field: (field as Field) ?? "name", exclude: minus !== undefined, test });
    }
    return { terms, error };
}

/** Whether each function has this term. */
function functionsWith(profile: Profile, { field, test }: Term): Uint8Array {
    const found = new Uint8Array(profile.functionCount);
    const known = new Map<string, number>();
    const matches = (text: string) => {
        let match = known.get(text);
        if (match === undefined) known.set(text, (match = test(text) ? 1 : 0));
        return match;
    };
    if (field === "name" || field === "who" || field.startsWith("pc")) {
        const labels = Uint8Array.from(profile.labels, (label) => (test(label) ? 1 : 0));
        for (let i = 0; i < found.length; i++) found[i] = labels[profile.labelOf[i]];
    } else {
        for (let i = 0; i < found.length; i++) {
            found[i] = matches(field === "file" ? profile.file(i) : profile.module(profile.moduleOf[i]));
        }
    }
    return found;
}

/** Marks the sites whose function is one of these. */
function markColumn(sites: Uint8Array, column: Int32Array, functions: Uint8Array): void {
    for (let site = 0; site < sites.length; site++) if (column[site] >= 0 && functions[column[site]]) sites[site] = 1;
}

/** Whether each site's stack has this term. */
function sitesWith(profile: Profile, field: Field, functions: Uint8Array): Uint8Array {
    const sites = new Uint8Array(profile.siteCount);
    if (field.startsWith("pc")) {
        markColumn(sites, profile.pc[Number(field[2])], functions);
        return sites;
    }
    if (field === "who") {
        markColumn(sites, profile.responsible, functions);
        return sites;
    }
    const { parent, function: functionOf } = profile.nodes;
    // Parents stand before their children.
    const nodes = new Uint8Array(parent.length);
    for (let node = 0; node < nodes.length; node++) {
        const above = parent[node];
        nodes[node] = (functionOf[node] >= 0 && functions[functionOf[node]]) || (above >= 0 && nodes[above]) ? 1 : 0;
    }
    for (let site = 0; site < sites.length; site++) {
        if (profile.node[site] >= 0 && nodes[profile.node[site]]) sites[site] = 1;
    }
    for (const column of profile.pc) markColumn(sites, column, functions);
    return sites;
}

/** What a query finds. */
export interface Found {
    /** Sites that it keeps; null for all. */
    sites: Uint8Array | null;
    /** Names that it names, to be marked; null for none. */
    labels: Uint8Array | null;
}

/** Looks a query up in all stacks. */
export function find(profile: Profile, { terms }: Query): Found {
    if (terms.length === 0) return { sites: null, labels: null };
    const kept = new Uint8Array(profile.siteCount).fill(1);
    const labels = new Uint8Array(profile.labels.length);
    for (const term of terms) {
        const functions = functionsWith(profile, term);
        const sites = sitesWith(profile, term.field, functions);
        for (let site = 0; site < kept.length; site++) if (sites[site] === Number(term.exclude)) kept[site] = 0;
        if (!term.exclude) functions.forEach((found, i) => found && (labels[profile.labelOf[i]] = 1));
    }
    return { sites: kept, labels };
}
