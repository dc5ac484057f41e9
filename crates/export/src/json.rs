//! JSON for scripts: one object, with the sites as a list, each with its stack by name.
//!
//! ```json
//! {"tool": "...", "processes": [...], "losses": [...],
//!  "frames": [{"function": "main", "file": "a.c", "line": 3, "module": "/bin/a"}, ...],
//!  "sites": [{"names": ["f", "main"], "stack": [4, 0], "size": 16, "calls": 3, "bytes": 48, ...}, ...],
//!  "leaks": [{"responsible": "f", "stack": [4, 0], "direct_blocks": 1, "direct_bytes": 16, ...}, ...]}
//! ```
//!
//! A site's `names` are those of the CSV; its `stack` has the indices of all its frames, inlined ones too.
//! Both are innermost first. Figures about blocks are there where blocks were followed. Sites are in the order
//! of bytes, then calls, both falling. `leaks` is there where the leak check was made, and has each stack of which
//! blocks are lost once, those with directly lost blocks first. By name with jq: `.frames as $f | .sites[] | [$f[.stack[]].function]`.

use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};
use skipheap_profile as profile;
use skipheap_profile::{FrameKind, NONE, Profile, Site};
use std::cmp::Reverse;
use std::io::{self, Write};

/// Version of this format.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'p> {
    version: u32,
    tool: &'p str,
    #[serde(skip_serializing_if = "Option::is_none")]
    compared_with: Option<&'p str>,
    processes: Vec<super::data::Process<'p>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    together: Option<super::data::Together>,
    losses: Vec<super::data::Loss<'p>>,
    frames: Vec<Frame<'p>>,
    sites: Sites<'p>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leaks: Option<Vec<Leak<'p>>>,
}

/// A stack of which blocks are lost.
#[derive(Serialize)]
struct Leak<'p> {
    responsible: &'p str,
    #[serde(skip_serializing_if = "str::is_empty")]
    via: &'p str,
    stack: Vec<u32>,
    pid: u32,
    direct_blocks: u64,
    direct_bytes: u64,
    indirect_blocks: u64,
    indirect_bytes: u64,
}

/// Written one after the other, so that they are not all in memory once more.
struct Sites<'p>(&'p Profile);

#[derive(Serialize)]
struct Frame<'p> {
    function: &'p str,
    #[serde(skip_serializing_if = "str::is_empty")]
    file: &'p str,
    #[serde(skip_serializing_if = "is_zero")]
    line: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    module: &'p str,
    #[serde(skip_serializing_if = "is_false")]
    inlined: bool,
}

#[derive(Serialize)]
struct Entry<'p> {
    names: Vec<&'p str>,
    stack: Vec<u32>,
    size: u64,
    calls: u64,
    bytes: u64,
    allocator: &'p str,
    #[serde(skip_serializing_if = "str::is_empty")]
    thread: &'p str,
    pid: u32,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    live: Option<super::data::LiveFigures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<Old>,
}

#[derive(Serialize)]
struct Old {
    calls: u64,
    bytes: u64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    live: Option<super::data::LiveFigures>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_false(is_so: &bool) -> bool {
    !is_so
}

impl Serialize for Sites<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut order: Vec<&Site> = self.0.sites.iter().collect();
        order.sort_by_key(|site| (Reverse(site.bytes()), Reverse(site.figures.calls)));
        let mut list = serializer.serialize_seq(Some(order.len()))?;
        for site in order {
            list.serialize_element(&entry(self.0, site))?;
        }
        list.end()
    }
}

fn entry<'p>(profile: &'p Profile, site: &Site) -> Entry<'p> {
    let names = profile.call_site(site.node);
    let name = |function: &u32| profile.text(profile.functions[*function as usize].name);
    let thread = profile.threads.get(site.thread as usize);
    Entry {
        names: names
            .iter()
            .filter(|&&name| name != NONE)
            .map(name)
            .collect(),
        stack: stack(profile, site.node),
        size: site.size,
        calls: site.figures.calls,
        bytes: site.bytes(),
        allocator: profile.text(site.allocator),
        thread: thread.map_or("", |&name| profile.text(name)),
        pid: profile.processes[site.process as usize].pid,
        live: super::data::live_figures(&site.figures, site.size),
        old: site.old.as_ref().map(|old| Old {
            calls: old.calls,
            bytes: old.calls.saturating_mul(site.size),
            live: super::data::live_figures(old, site.size),
        }),
    }
}

/// Frames of a stack, innermost first.
fn stack(profile: &Profile, node: u32) -> Vec<u32> {
    profile.stack(node).map(|(_, node)| node.frame).collect()
}

fn leaks(profile: &Profile) -> Option<Vec<Leak<'_>>> {
    let of = |leak: &super::leaks::Leak| {
        let left = leak.stack.left;
        Leak {
            responsible: profile.text(leak.who.function),
            via: profile.text(leak.who.via),
            stack: stack(profile, leak.stack.node),
            pid: profile.processes[leak.stack.process as usize].pid,
            direct_blocks: left.direct().blocks,
            direct_bytes: left.direct().bytes,
            indirect_blocks: left.indirect.blocks,
            indirect_bytes: left.indirect.bytes,
        }
    };
    Some(super::leaks::leaks(profile)?.iter().map(of).collect())
}

fn frames(profile: &Profile) -> Vec<Frame<'_>> {
    let of = |frame: &profile::Frame| {
        let function = profile.function(frame);
        let module = profile.modules.get(function.module as usize);
        Frame {
            function: profile.text(function.name),
            file: profile.text(function.file),
            line: frame.line,
            module: module.map_or("", |module| profile.text(module.path)),
            inlined: frame.kind == FrameKind::Inlined,
        }
    };
    profile.frames.iter().map(of).collect()
}

/// Writes the document, on one line for each run.
///
/// # Errors
/// Those of `out`.
pub(crate) fn write(profile: &Profile, out: &mut dyn Write) -> io::Result<()> {
    let document = Document {
        version: VERSION,
        tool: &profile.tool,
        compared_with: profile.compared_with.as_deref(),
        processes: super::data::processes(profile),
        together: super::data::together(profile),
        losses: super::data::losses(profile),
        frames: frames(profile),
        sites: Sites(profile),
        leaks: leaks(profile),
    };
    serde_json::to_writer(&mut *out, &document)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use skipheap_profile::testing::{leaky, small};

    #[test]
    fn every_stack_that_leaks_is_listed() {
        let document = |profile: &Profile| -> Value {
            let mut bytes = Vec::new();
            write(profile, &mut bytes).expect("written");
            serde_json::from_slice(&bytes).expect("JSON")
        };
        let leaky = document(&leaky());
        let leaks = leaky["leaks"].as_array().expect("a list");
        let numbers: Vec<_> = leaks
            .iter()
            .map(|leak| [&leak["direct_bytes"], &leak["indirect_bytes"]])
            .collect();
        assert_eq!(numbers, [[4096, 0], [40, 200]]);
        assert_eq!(leaks[1]["responsible"], "node_new");
        let outermost = leaks[1]["stack"][2].as_u64().expect("an index");
        assert_eq!(leaky["frames"][outermost as usize]["function"], "main");
        assert_eq!(leaky["sites"][0]["directly_leaked_bytes"], 4096);
        let small = document(&small());
        assert_eq!(small["leaks"], Value::Null);
        assert_eq!(small["sites"][0]["directly_leaked_bytes"], Value::Null);
    }

    #[test]
    fn sites_have_their_stacks_and_figures() {
        let mut bytes = Vec::new();
        write(&small(), &mut bytes).expect("written");
        let document: Value = serde_json::from_slice(&bytes).expect("JSON");
        let first = &document["sites"][0];
        assert_eq!(first["bytes"], 4096);
        assert_eq!(first["names"][0], "read");
        let caller = first["stack"][1].as_u64().expect("an index");
        let caller = &document["frames"][caller as usize];
        assert_eq!(
            (&caller["function"], &caller["line"]),
            (&"main".into(), &10.into())
        );
        assert_eq!(first["live_bytes"], 4096);
        assert_eq!(document["sites"].as_array().expect("a list").len(), 4);
        assert_eq!(document["processes"][0]["command"][1], "-n");
        assert_eq!(document["losses"][0]["count"], 2);
    }
}
