//! speedscope: one file with a profile for each quantity that is known, so that one can switch between them.
//!
//! Functions are its frames, without lines: speedscope takes the same name with another line for another
//! function. Samples are in the order of the call tree, so that the view by order is a flame graph as well.

use super::data;
use serde::{Serialize, Serializer};
use skipheap_profile::report::collapsed::Value;
use skipheap_profile::report::figures::Figures;
use skipheap_profile::{NONE, Profile, Site};
use std::io::{self, Write};

/// Name, unit and value; those behind the second are known where blocks were followed.
const QUANTITIES: [(&str, &str, Value); 6] = [
    ("bytes", "bytes", Value::Bytes),
    ("allocations", "none", Value::Calls),
    ("bytes not freed", "bytes", Value::Live),
    ("blocks not freed", "none", Value::LiveBlocks),
    ("bytes at the peak", "bytes", Value::Peak),
    ("temporary allocations", "none", Value::Temporary),
];

#[derive(Serialize)]
struct File<'p> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    name: String,
    exporter: &'p str,
    #[serde(rename = "activeProfileIndex")]
    active: u32,
    shared: Shared<'p>,
    profiles: Vec<Sampled<'p>>,
}

#[derive(Serialize)]
struct Shared<'p> {
    frames: Vec<Frame<'p>>,
}

#[derive(Serialize)]
struct Frame<'p> {
    name: &'p str,
    #[serde(skip_serializing_if = "str::is_empty")]
    file: &'p str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sampled<'p> {
    r#type: &'static str,
    name: String,
    unit: &'static str,
    start_value: u64,
    end_value: u64,
    samples: Samples<'p>,
    weights: Vec<u64>,
}

/// Stacks, root first, written one after the other.
struct Samples<'p> {
    profile: &'p Profile,
    nodes: Vec<u32>,
}

impl Serialize for Samples<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stack = |&node: &u32| {
            let frames = self.profile.stack(node);
            let functions = frames.map(|(_, node)| self.profile.frame(node).function);
            let mut functions: Vec<u32> = functions.collect();
            functions.reverse();
            functions
        };
        serializer.collect_seq(self.nodes.iter().map(stack))
    }
}

/// The figures of one of the runs.
type Run = fn(&Site) -> Option<&Figures>;

fn new(site: &Site) -> Option<&Figures> {
    Some(&site.figures)
}

fn old(site: &Site) -> Option<&Figures> {
    site.old.as_deref()
}

/// Writes the file.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(profile: &Profile, out: &mut dyn Write) -> io::Result<()> {
    let order = depth_first(profile);
    let mut profiles = Vec::new();
    for (name, unit, value) in QUANTITIES {
        if value.needs_live() && !profile.has_live() {
            continue;
        }
        let mut add = |name: String, of: Run| {
            profiles.push(sampled(profile, &order, name, unit, value, of));
        };
        match &profile.compared_with {
            Some(before) => {
                add(format!("{name}, new"), new);
                add(format!("{name}, old ({before})"), old);
            }
            None => add(name.to_owned(), new),
        }
    }
    let frames = profile.functions.iter().map(|function| Frame {
        name: profile.text(function.name),
        file: profile.text(function.file),
    });
    let file = File {
        schema: "https://www.speedscope.app/file-format-schema.json",
        name: data::title(profile),
        exporter: &profile.tool,
        active: 0,
        shared: Shared {
            frames: frames.collect(),
        },
        profiles,
    };
    serde_json::to_writer(&mut *out, &file)?;
    out.write_all(b"\n")
}

/// The stacks with a value above zero.
fn sampled<'p>(
    profile: &'p Profile,
    order: &[u32],
    name: String,
    unit: &'static str,
    value: Value,
    of: Run,
) -> Sampled<'p> {
    // The last one is of sites without a stack.
    let mut sums = vec![0_i64; profile.nodes.len() + 1];
    for site in &profile.sites {
        let index = (site.node as usize).min(profile.nodes.len());
        if let Some(figures) = of(site) {
            sums[index] = sums[index].saturating_add(value.of(site.size, figures));
        }
    }
    let weight = |&node: &u32| {
        let sum = sums[(node as usize).min(profile.nodes.len())];
        u64::try_from(sum)
            .ok()
            .filter(|&sum| sum > 0)
            .map(|sum| (node, sum))
    };
    let (nodes, weights): (Vec<u32>, Vec<u64>) = order.iter().filter_map(weight).unzip();
    Sampled {
        r#type: "sampled",
        name,
        unit,
        start_value: 0,
        end_value: weights
            .iter()
            .fold(0, |sum, &weight| sum.saturating_add(weight)),
        samples: Samples { profile, nodes },
        weights,
    }
}

/// All nodes, each before those it called, and those together. [`NONE`], no stack, is the first.
fn depth_first(profile: &Profile) -> Vec<u32> {
    let count = profile.nodes.len();
    // The first of those that a node called, and the next one of the same caller. Roots are under the last.
    let mut first = vec![NONE; count + 1];
    let mut next = vec![NONE; count];
    for (index, node) in profile.nodes.iter().enumerate().rev() {
        let parent = (node.parent as usize).min(count);
        next[index] = first[parent];
        first[parent] = index as u32;
    }
    let mut order = vec![NONE];
    let mut todo = vec![first[count]];
    while let Some(node) = todo.pop() {
        if node != NONE {
            order.push(node);
            todo.push(next[node as usize]);
            todo.push(first[node as usize]);
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value as Json;
    use skipheap_profile::testing::small;

    fn file(profile: &Profile) -> Json {
        let mut bytes = Vec::new();
        write(profile, &mut bytes).expect("written");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    fn names<'j>(file: &'j Json, sample: &'j Json) -> Vec<&'j str> {
        let frames = &file["shared"]["frames"];
        let indices = sample.as_array().expect("a stack").iter();
        let frame = |index: &Json| &frames[index.as_u64().expect("an index") as usize]["name"];
        indices
            .map(|index| frame(index).as_str().expect("a name"))
            .collect()
    }

    #[test]
    fn stacks_are_in_the_order_of_the_tree_with_the_sums_of_all_sizes() {
        let file = file(&small());
        let bytes = &file["profiles"][0];
        assert_eq!(bytes["weights"], serde_json::json!([464, 112, 4096]));
        assert_eq!(bytes["endValue"], 4672);
        let samples = bytes["samples"].as_array().expect("stacks");
        assert_eq!(names(&file, &samples[0]), ["main", "parse", "node_new"]);
        assert_eq!(
            names(&file, &samples[1]),
            ["main", "parse", "list", "list", "push"]
        );
        assert_eq!(names(&file, &samples[2]), ["main", "read"]);
        assert_eq!(file["profiles"][3]["endValue"], 7);
    }

    #[test]
    fn a_comparison_has_both_runs() {
        let mut profile = small();
        profile.compared_with = Some("before".into());
        profile.sites[0].old = Some(Box::new(Figures {
            calls: 2,
            ..Figures::default()
        }));
        let file = file(&profile);
        assert_eq!(file["profiles"][1]["name"], "bytes, old (before)");
        assert_eq!(file["profiles"][1]["endValue"], 80);
    }
}
