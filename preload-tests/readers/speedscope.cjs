// Checks a file of speedscope against the schema that the package ships, and sums its profiles.
const { readFileSync } = require("node:fs");
const Ajv = require("ajv");

const schema = require("speedscope/dist/release/file-format-schema.json");
const file = JSON.parse(readFileSync(process.argv[2], "utf8"));
const validate = new Ajv({ strict: false, allErrors: false }).compile(schema);
const wrong = validate(file) ? [] : validate.errors.map((error) => `${error.instancePath} ${error.message}`);
const names = new Set();
const sums = {};
for (const profile of file.profiles) {
    const sum = profile.weights.reduce((total, weight) => total + weight, 0);
    sums[profile.name] = sum;
    if (sum !== profile.endValue - profile.startValue) wrong.push(`${profile.name}: sum`);
    if (profile.samples.length !== profile.weights.length) wrong.push(`${profile.name}: weights`);
    for (const stack of profile.samples) {
        if (!stack.every((index) => index in file.shared.frames)) wrong.push(`${profile.name}: frame`);
        if (stack.length) names.add(file.shared.frames[stack[stack.length - 1]].name);
    }
}
console.log(JSON.stringify({ ...sums, names: [...names], wrong }));
