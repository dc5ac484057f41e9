// Takes the data out of an HTML report as its page does: sums of the columns, names, and what is wrong.
const { readFileSync } = require("node:fs");
const { gunzipSync } = require("node:zlib");

const page = readFileSync(process.argv[2], "utf8");
const parts = page.split('<script id="skipheap-data" type="application/octet-stream">');
const data = parts[1].split("</script>")[0];
const profile = JSON.parse(gunzipSync(Buffer.from(data, "base64")).toString("utf8"));
const { sites, strings, functions, nodes, frames } = profile;
const wrong = [];
const check = (is, what) => is || wrong.push(what);
check(parts.length === 2, "not one place for data");
check(/charset="?utf-8/i.test(page), "no charset");
const n = sites.calls.length;
for (const [name, column] of Object.entries(sites)) {
    if (name !== "pc") check(column === null || column.length === n, `column ${name}`);
}
check(sites.pc.length === 4 && sites.pc.every((column) => column.length === n), "column pc");
check(nodes.parent.every((parent, node) => parent < node), "a parent behind its child");
check(nodes.frame.every((frame) => frame in frames.function), "a node without a frame");
check(frames.function.every((index) => index in functions.name), "a frame without a function");
const sum = (name) => sites[name].reduce((total, value) => total + value, 0);
const names = new Set(sites.pc[0].map((index) => (index < 0 ? "-" : strings[functions.name[index]])));
check(names.size === new Set(sites.pc[0]).size, "one name with several indices");
console.log(JSON.stringify({
    ...Object.fromEntries(["calls", "bytes", "live_blocks", "live_bytes", "peak_bytes"].map((name) => [name, sum(name)])),
    names: [...names],
    inlined: frames.inlined.filter(Boolean).length,
    markup: [...page.matchAll(/alert\("1"\)/g)].length,
    wrong,
}));
