// Runs valgrind's own viewer on a file, on a page that has just as much of a document as the viewer asks for, and reads
// the sums from the tree that it builds, and what it displays.
const { readFileSync } = require("node:fs");
const { runInThisContext } = require("node:vm");

class Element {
    constructor(tag) { this.tag = tag; this.childNodes = []; this.text = ""; this.style = {}; this.classList = { add() {}, remove() {}, toggle() {} }; }
    appendChild(child) { child.parentNode = this; this.childNodes.push(child); return child; }
    cloneNode() { return new Element(this.tag); }
    replaceChild(fresh, old) { this.childNodes[this.childNodes.indexOf(old)] = fresh; fresh.parentNode = this; }
    setAttribute() {}
    addEventListener() {}
    get selectedIndex() { return Math.max(0, this.childNodes.findIndex((child) => child.selected)); }
    set textContent(text) { this.text = String(text); }
    get textContent() { return this.text + this.childNodes.map((child) => child.textContent).join(""); }
}
const body = new Element("body");
globalThis.document = {
    title: "", body, location: { search: "" },
    createElement: (tag) => new Element(tag),
    createTextNode: (text) => Object.assign(new Element("#text"), { text: String(text) }),
};

const [viewer, path] = process.argv.slice(2);
const wrong = [];
globalThis.path = path;
globalThis.readFileSync = readFileSync;
// What its loadFile does once the file is read. Its variables are visible to scripts alone.
const result = runInThisContext(`${readFileSync(viewer, "utf8")}
onLoad();
gFilename = path;
gData = JSON.parse(readFileSync(path, "utf8"));
buildTree();
displayTree(0, 0, 0);
const text = gMainDiv.textContent;
({ text, calls: gRoot._totalBlocks, bytes: gRoot._totalBytes, live_blocks: gRoot._atTEndBlocks, live_bytes: gRoot._atTEndBytes,
   peak_bytes: gRoot._atTGmaxBytes, frames: gData.ftbl, bklt: gData.bklt })`);
if (!result.text.includes("Allocated at {") && !result.text.includes("PP 1")) wrong.push(result.text.slice(0, 300));
const names = result.frames.map((frame) => frame.replace(/^0x[0-9a-f]+: /, "").replace(/ \((in [^)]*|[^()]*:\d+)\)$/, ""));
console.log(JSON.stringify({ ...result, text: result.text.slice(0, 2000), frames: undefined, names, wrong }));
