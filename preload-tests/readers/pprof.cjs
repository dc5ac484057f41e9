// Reads a profile of pprof with a decoder of its own: sums of the sample types, names, and what is wrong.
const { readFileSync } = require("node:fs");
const { gunzipSync } = require("node:zlib");
const { Profile } = require("pprof-format");

const profile = Profile.decode(gunzipSync(readFileSync(process.argv[2])));
const text = (index) => profile.stringTable.strings[Number(index)];
const types = profile.sampleType.map((type) => `${text(type.type)}/${text(type.unit)}`);
const byId = (list) => new Map(list.map((item) => [Number(item.id), item]));
const [locations, functions, mappings] = [profile.location, profile.function, profile.mapping].map(byId);
const wrong = [];
const sums = types.map(() => 0);
const names = new Set();
let inlined = 0;
for (const sample of profile.sample) {
    if (sample.value.length !== types.length) wrong.push("a sample with other values than types");
    sample.value.forEach((value, index) => (sums[index] += Number(value)));
    for (const id of sample.locationId) {
        const location = locations.get(Number(id));
        if (!location) { wrong.push(`no location ${id}`); continue; }
        if (Number(location.mappingId) && !mappings.has(Number(location.mappingId))) wrong.push("no mapping");
        if (location.line.length > 1) inlined += 1;
        for (const line of location.line) {
            const known = functions.get(Number(line.functionId));
            if (known) names.add(text(known.name));
            else wrong.push(`no function ${line.functionId}`);
        }
    }
    for (const label of sample.label) {
        if (text(label.key) === "bytes" && Number(label.num) * Number(sample.value[0]) !== Number(sample.value[1])) {
            wrong.push("size times calls is not bytes");
        }
    }
}
console.log(JSON.stringify({
    ...Object.fromEntries(types.map((type, index) => [type, sums[index]])),
    names: [...names],
    inlined,
    executable: text(profile.mapping[0].filename),
    buildId: text(profile.mapping[0].buildId),
    comments: profile.comment.map(text),
    wrong,
}));
