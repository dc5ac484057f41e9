//! DHAT: the JSON that valgrind's viewer, `dh_view.html`, shows as a tree with the innermost function first.
//!
//! What DHAT knows and we do not is not made up: there is nothing on reads and writes (`bkacc` is off), no total
//! of lifetimes, and in place of the most that a site ever held there is a text, which the viewer shows as `NaN`. Where
//! blocks were not followed, or processes have no peak in common, nothing is said of lifetimes at all (`bklt`).

use super::data;
use serde::Serialize;
use skipheap_profile::report::figures::LiveSums;
use skipheap_profile::{FrameKind, NONE, Node, Profile};
use std::collections::HashMap;
use std::io::{self, Write};

/// Version of the format.
const VERSION: u32 = 2;
/// Blocks that live no longer are short-lived for the viewer, in microseconds, as in dhat-rs.
const SHORT_LIVED: u64 = 10;
/// In place of what is not known. The viewer wants the field to be there.
const NOT_KNOWN: &str = "not known";

#[derive(Serialize)]
struct File<'p> {
    #[serde(rename = "dhatFileVersion")]
    version: u32,
    mode: &'static str,
    verb: &'static str,
    bklt: bool,
    bkacc: bool,
    /// Unit of times, and what a million of them is called.
    tu: &'static str,
    #[serde(rename = "Mtu")]
    mtu: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tuth: Option<u64>,
    cmd: String,
    pid: u32,
    /// Duration, and the moment of the peak.
    te: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tg: Option<u64>,
    pps: Vec<Point>,
    ftbl: Vec<&'p str>,
}

/// A place that allocates.
#[derive(Serialize)]
struct Point {
    /// Of all its allocations: bytes, and blocks.
    tb: u64,
    tbk: u64,
    #[serde(flatten)]
    live: Option<Live>,
    /// Frames, innermost first.
    fs: Vec<u32>,
}

/// The most, at the peak of the process, and at the end: bytes and blocks of each.
#[derive(Serialize)]
struct Live {
    mb: &'static str,
    mbk: &'static str,
    gb: u64,
    gbk: u64,
    eb: u64,
    ebk: u64,
}

/// Sums over the sites of one stack.
#[derive(Default)]
struct Sums {
    bytes: u64,
    blocks: u64,
    peak_bytes: u64,
    peak_blocks: u64,
    live_bytes: u64,
    live_blocks: u64,
}

/// Writes the file.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(profile: &Profile, out: &mut dyn Write) -> io::Result<()> {
    let lives = match &profile.processes[..] {
        [process] => process.live.as_ref().map(|live| (process, live)),
        _ => None,
    };
    let start = profile
        .processes
        .iter()
        .map(|process| process.start_ns)
        .min();
    let start = start.unwrap_or(0);
    let since_start = |ns: u64| ns.saturating_sub(start) / 1000;
    let peak = lives.map(|(_, live)| since_start(live.peak_ns));
    let ends = profile
        .processes
        .iter()
        .map(|process| since_start(process.end_ns));
    // Of a process whose end is not known, as long as it is known to have run. It divides.
    let end = ends.max().max(peak).unwrap_or(0).max(1);
    let frames: Vec<String> = profile
        .nodes
        .iter()
        .map(|node| text(profile, node))
        .collect();
    let mut table = Table::new();
    // Of a node, its place in the tree of texts: two stacks with the same texts are one to the viewer.
    let mut places: Vec<u32> = Vec::with_capacity(profile.nodes.len());
    let mut tree = Tree::default();
    for (node, text) in profile.nodes.iter().zip(&frames) {
        let parent = places.get(node.parent as usize).copied().unwrap_or(NONE);
        places.push(tree.below(parent, table.index(text)));
    }
    let no_stack = tree.below(NONE, table.index("[no stack]"));
    for site in &profile.sites {
        let place = places.get(site.node as usize).copied().unwrap_or(no_stack);
        tree.sums[place as usize].add(site);
    }
    let file = File {
        version: VERSION,
        mode: "heap",
        verb: "Allocated",
        bklt: lives.is_some(),
        bkacc: false,
        tu: "µs",
        mtu: "s",
        tuth: lives.map(|_| SHORT_LIVED),
        cmd: command(profile),
        pid: profile.processes.first().map_or(0, |process| process.pid),
        te: end,
        tg: peak,
        pps: tree.points(lives.is_some()),
        ftbl: table.texts,
    };
    serde_json::to_writer(&mut *out, &file)?;
    out.write_all(b"\n")
}

/// The command line, or what stands for those of several processes, with what is missing from the figures.
fn command(profile: &Profile) -> String {
    let mut command = data::title(profile);
    for loss in data::losses(profile) {
        command.push_str(&format!("\n  Missing: {loss}"));
    }
    command
}

/// A frame as DHAT writes it.
fn text(profile: &Profile, node: &Node) -> String {
    let frame = profile.frame(node);
    let function = profile.function(frame);
    let name = profile.text(function.name);
    if frame.kind == FrameKind::Marker {
        return name.to_owned();
    }
    let module = profile.modules.get(function.module as usize);
    let place = match (function.file, module) {
        (0, None) => String::new(),
        (0, Some(module)) => format!(" (in {})", profile.text(module.path)),
        _ => {
            let file = profile.text(function.file);
            format!(
                " ({}:{})",
                file.rsplit('/').next().unwrap_or(file),
                frame.line
            )
        }
    };
    format!("{:#x}: {name}{place}", frame.address)
}

impl Sums {
    fn add(&mut self, site: &skipheap_profile::Site) {
        let add = |blocks_sum: &mut u64, bytes_sum: &mut u64, blocks: u64| {
            *blocks_sum = blocks_sum.saturating_add(blocks);
            *bytes_sum = bytes_sum.saturating_add(blocks.saturating_mul(site.size));
        };
        add(&mut self.blocks, &mut self.bytes, site.figures.calls);
        let live = site.figures.live.as_ref();
        let [peak, left] = [LiveSums::peak, LiveSums::live].map(|of| live.map_or(0, of));
        add(&mut self.peak_blocks, &mut self.peak_bytes, peak);
        add(&mut self.live_blocks, &mut self.live_bytes, left);
    }
}

/// Texts of frames, each once. The first stands for the root.
struct Table<'t> {
    texts: Vec<&'t str>,
    known: HashMap<&'t str, u32>,
}

impl<'t> Table<'t> {
    fn new() -> Self {
        Self {
            texts: vec!["[root]"],
            known: HashMap::new(),
        }
    }

    fn index(&mut self, text: &'t str) -> u32 {
        *self.known.entry(text).or_insert_with(|| {
            self.texts.push(text);
            self.texts.len() as u32 - 1
        })
    }
}

/// Stacks of texts.
#[derive(Default)]
struct Tree {
    /// Caller and text, by place.
    nodes: Vec<(u32, u32)>,
    sums: Vec<Sums>,
    known: HashMap<(u32, u32), u32>,
}

impl Tree {
    fn below(&mut self, parent: u32, text: u32) -> u32 {
        *self.known.entry((parent, text)).or_insert_with(|| {
            self.nodes.push((parent, text));
            self.sums.push(Sums::default());
            self.nodes.len() as u32 - 1
        })
    }

    fn points(&self, with_live: bool) -> Vec<Point> {
        let sums = (0..).zip(&self.sums);
        let used = sums.filter(|(_, sums)| sums.blocks > 0);
        used.map(|(place, sums)| Point {
            tb: sums.bytes,
            tbk: sums.blocks,
            live: with_live.then_some(Live {
                mb: NOT_KNOWN,
                mbk: NOT_KNOWN,
                gb: sums.peak_bytes,
                gbk: sums.peak_blocks,
                eb: sums.live_bytes,
                ebk: sums.live_blocks,
            }),
            fs: self.stack(place),
        })
        .collect()
    }

    fn stack(&self, place: u32) -> Vec<u32> {
        let mut texts = Vec::new();
        let mut next = place;
        while let Some(&(parent, text)) = self.nodes.get(next as usize) {
            texts.push(text);
            next = parent;
        }
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use skipheap_profile::testing::small;

    fn file(profile: &Profile) -> Value {
        let mut bytes = Vec::new();
        write(profile, &mut bytes).expect("written");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    #[test]
    fn sizes_of_one_stack_are_one_point() {
        let file = file(&small());
        let points = file["pps"].as_array().expect("points");
        assert_eq!(points.len(), 3);
        assert_eq!(points[0]["tb"], 10 * 40 + 64);
        assert_eq!(points[0]["tbk"], 11);
        assert_eq!(points[0]["eb"], 240);
        assert_eq!(file["bklt"], true);
        assert_eq!(file["te"], 1_000_000);
        assert_eq!(file["tg"], 500_000);
        let innermost = points[0]["fs"][0].as_u64().expect("an index");
        let text = file["ftbl"][innermost as usize].as_str().expect("a text");
        assert!(text.ends_with(": node_new (main.c:12)"), "{text}");
    }

    #[test]
    fn stacks_that_read_alike_are_one_point() {
        let mut profile = small();
        // Both functions of the recursion, and then a copy of the whole stack.
        let last = profile.sites.last().expect("a site").clone();
        let mut frame = profile.frames[profile.nodes[last.node as usize].frame as usize];
        frame.kind = FrameKind::Inlined;
        profile.frames.push(frame);
        let parent = profile.nodes[last.node as usize].parent;
        profile.nodes.push(Node {
            parent,
            frame: profile.frames.len() as u32 - 1,
        });
        profile.sites.push(skipheap_profile::Site {
            node: profile.nodes.len() as u32 - 1,
            ..last
        });
        let file = file(&profile);
        assert_eq!(file["pps"].as_array().expect("points").len(), 3);
        assert_eq!(
            file["pps"][2]["tbk"]
                .as_u64()
                .max(file["pps"][1]["tbk"].as_u64()),
            Some(14)
        );
    }

    #[test]
    fn nothing_is_said_of_blocks_that_were_not_followed() {
        let mut profile = small();
        profile.processes[0].live = None;
        profile.sites[0].node = NONE;
        let file = file(&profile);
        assert_eq!(file["bklt"], false);
        assert!(file["pps"][0].get("eb").is_none() && file.get("tg").is_none());
        let texts = file["ftbl"].as_array().expect("texts");
        assert!(texts.contains(&json!("[no stack]")));
    }
}
