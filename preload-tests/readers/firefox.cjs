// Reads a profile of the Firefox Profiler by the rules of its format: tables of equal length, indices in their tables, frees
// that belong to allocations; sums of what is allocated and of what is retained.
const { readFileSync } = require("node:fs");

const profile = JSON.parse(readFileSync(process.argv[2], "utf8"));
const wrong = [];
const check = (is, what) => is || wrong.push(what);
check(profile.meta.preprocessedProfileVersion >= 48, "version");
check(profile.meta.symbolicated === true, "to be symbolicated");
check(profile.meta.categories.length > 0, "no categories");
let [bytes, freed, retained] = [0, 0, 0];
const names = new Set();
for (const thread of profile.threads) {
    const strings = thread.stringArray ?? profile.shared.stringArray;
    const { stackTable, frameTable, funcTable, nativeAllocations: table } = thread;
    const column = (of, name, limit) => {
        check(of[name].length === of.length, `length of ${name}`);
        check(of[name].every((value) => value === null || (value >= 0 && value < limit)), `range of ${name}`);
    };
    column(stackTable, "frame", frameTable.length);
    column(stackTable, "prefix", stackTable.length);
    column(frameTable, "func", funcTable.length);
    column(funcTable, "name", strings.length);
    check(stackTable.prefix.every((prefix, index) => prefix === null || prefix < index), "a prefix behind its stack");
    if (!table) continue;
    column(table, "stack", stackTable.length);
    for (const name of ["time", "weight", "memoryAddress"]) check(table[name].length === table.length, name);
    check(table.weightType === "bytes", "weight type");
    const open = new Map();
    for (let i = 0; i < table.length; i++) {
        const [weight, address] = [table.weight[i], table.memoryAddress[i]];
        if (weight > 0) {
            check(!open.has(address), "an address twice");
            open.set(address, weight);
            bytes += weight;
            if (table.stack[i] !== null) names.add(strings[funcTable.name[frameTable.func[stackTable.frame[table.stack[i]]]]]);
        } else {
            check(open.get(address) === -weight, "a free of something else");
            open.delete(address);
            freed -= weight;
        }
    }
    for (const weight of open.values()) retained += weight;
}
for (const counter of profile.counters ?? []) {
    check(counter.category === "Memory", "counter");
    check(counter.samples.count.length === counter.samples.length, "length of the counter");
}
check(bytes - freed === retained, "retained");
console.log(JSON.stringify({ bytes, live_bytes: retained, counters: profile.counters?.length ?? 0, names: [...names], wrong }));
