//! pprof: the protocol buffer that Go, jemalloc's `jeprof` and gperftools' successors share, compressed by gzip.
//!
//! Sample types are named as theirs, and the size of the blocks is the label `bytes`. The types about blocks
//! in use are there where blocks were followed, and those about leaks where these were looked for. A function that was inlined is a line of the location of the function
//! that it was inlined into. Of a comparison, the older run's samples are negative and have the label
//! `pprof::base`, which is what `pprof -diff_base` makes of two files.

use super::data;
use super::pprof_messages::{
    Function, Label, Line, Location, Mapping, Profile as Message, Sample, ValueType,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message as _;
use skipheap_profile::report::collapsed::Value;
use skipheap_profile::report::figures::Figures;
use skipheap_profile::report::leaked::Leaked;
use skipheap_profile::{FrameKind, Profile, Site};
use std::collections::HashMap;
use std::io::{self, Write};

/// A value of a site of this size.
type ValueOf = fn(u64, &Figures) -> i64;

/// Type, unit and value. The first [`ALWAYS`] are always known, the first [`FOLLOWED`] where blocks were
/// followed, and all where leaks were looked for.
const TYPES: [(&str, &str, ValueOf); 8] = [
    ("alloc_objects", "count", |size, figures| {
        Value::Calls.of(size, figures)
    }),
    ("alloc_space", "bytes", |size, figures| {
        Value::Bytes.of(size, figures)
    }),
    ("inuse_objects", "count", |size, figures| {
        Value::LiveBlocks.of(size, figures)
    }),
    ("inuse_space", "bytes", |size, figures| {
        Value::Live.of(size, figures)
    }),
    ("leaked_objects", "count", |_, figures| {
        signed(leaked(figures).direct)
    }),
    ("leaked_space", "bytes", |size, figures| {
        signed(leaked(figures).direct.saturating_mul(size))
    }),
    ("indirectly_leaked_objects", "count", |_, figures| {
        signed(leaked(figures).indirect)
    }),
    ("indirectly_leaked_space", "bytes", |size, figures| {
        signed(leaked(figures).indirect.saturating_mul(size))
    }),
];
/// Types that are always known.
const ALWAYS: usize = 2;
/// Types that are known where blocks were followed.
const FOLLOWED: usize = 4;

fn leaked(figures: &Figures) -> Leaked {
    let live = figures.live.as_ref();
    live.and_then(|live| live.leaked).unwrap_or_default()
}

/// What `pprof` shows first: of a program that has ended, little is in use.
const FIRST_SHOWN: &str = "alloc_space";

/// Writes the profile.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(profile: &Profile, out: &mut dyn Write) -> io::Result<()> {
    let mut gzip = GzEncoder::new(out, Compression::default());
    gzip.write_all(&message(profile).encode_to_vec())?;
    gzip.finish()?;
    Ok(())
}

/// The message, uncompressed.
pub(super) fn message(profile: &Profile) -> Message {
    let mut made = Made {
        profile,
        message: Message {
            string_table: profile
                .strings
                .iter()
                .map(|text| text.to_string())
                .collect(),
            ..Message::default()
        },
        more: HashMap::new(),
        groups: vec![None; profile.nodes.len()],
        locations: HashMap::new(),
        types: match (profile.has_live(), profile.is_leak_checked()) {
            (_, true) => &TYPES,
            (true, false) => &TYPES[..FOLLOWED],
            (false, false) => &TYPES[..ALWAYS],
        },
    };
    made.header();
    made.mappings();
    made.functions();
    made.samples();
    made.message
}

/// A number that has no sign here, but has one there.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A message in the making.
struct Made<'p> {
    profile: &'p Profile,
    /// Texts, modules and functions have the places of the profile's tables (ids are one more).
    message: Message,
    /// Texts that the profile does not have.
    more: HashMap<String, i64>,
    /// By innermost node of a location: its id, and the node of the next one.
    groups: Vec<Option<(u64, u32)>>,
    /// By frames, innermost first.
    locations: HashMap<Vec<u32>, u64>,
    types: &'static [(&'static str, &'static str, ValueOf)],
}

impl Made<'_> {
    fn text(&mut self, text: &str) -> i64 {
        if let Some(&known) = self.more.get(text) {
            return known;
        }
        let table = &mut self.message.string_table;
        table.push(text.to_owned());
        let index = table.len() as i64 - 1;
        self.more.insert(text.to_owned(), index);
        index
    }

    fn value_type(&mut self, r#type: &str, unit: &str) -> ValueType {
        ValueType {
            r#type: self.text(r#type),
            unit: self.text(unit),
        }
    }

    /// Everything about the whole run.
    fn header(&mut self) {
        for &(r#type, unit, _) in self.types {
            let value_type = self.value_type(r#type, unit);
            self.message.sample_type.push(value_type);
        }
        self.message.default_sample_type = self.text(FIRST_SHOWN);
        let processes = &self.profile.processes;
        let rates = processes.iter().map(|process| process.sample_bytes);
        self.message.period_type = Some(self.value_type("space", "bytes"));
        // Of every byte, where nothing was left out.
        self.message.period = signed(rates.max().unwrap_or(0).max(1));
        let start = processes.iter().map(|process| process.start_ns).min();
        let start = start.unwrap_or(0);
        let end = processes.iter().map(|process| process.end_ns).max();
        self.message.time_nanos = signed(start);
        self.message.duration_nanos = signed(end.unwrap_or(0).saturating_sub(start));
        for comment in self.comments() {
            let comment = self.text(&comment);
            self.message.comment.push(comment);
        }
    }

    fn comments(&self) -> Vec<String> {
        let profile = self.profile;
        let title = data::title(profile);
        let what = match &profile.compared_with {
            Some(old) => format!("{title}, compared with {old}"),
            None => title,
        };
        let losses = data::losses(profile);
        let losses = losses.iter().map(ToString::to_string);
        [profile.tool.clone(), what]
            .into_iter()
            .chain(losses)
            .collect()
    }

    /// Addresses are those of the object file, wherever it was mapped; so it is mapped at 0 here.
    fn mappings(&mut self) {
        let mut mappings: Vec<Mapping> = Vec::new();
        for (id, module) in (1..).zip(&self.profile.modules) {
            mappings.push(Mapping {
                id,
                filename: i64::from(module.path),
                build_id: self.text(&data::hex(&module.build_id)),
                ..Mapping::default()
            });
        }
        for frame in &self.profile.frames {
            let function = self.profile.function(frame);
            let Some(mapping) = mappings.get_mut(function.module as usize) else {
                continue;
            };
            mapping.memory_limit = mapping.memory_limit.max(frame.address.saturating_add(1));
            // Names stand for addresses everywhere; nothing is left to be looked up.
            mapping.has_functions = true;
            mapping.has_filenames |= function.file != 0;
            mapping.has_line_numbers |= frame.line != 0;
            mapping.has_inline_frames |= frame.kind == FrameKind::Inlined;
        }
        // The first one is the program.
        let exe = self
            .profile
            .processes
            .first()
            .map_or(0, |process| process.exe);
        mappings.sort_by_key(|mapping| mapping.filename != i64::from(exe));
        self.message.mapping = mappings;
    }

    fn functions(&mut self) {
        let functions = (1..).zip(&self.profile.functions);
        self.message.function = functions
            .map(|(id, function)| Function {
                id,
                name: i64::from(function.name),
                // It is no mangled name, which pprof would simplify.
                system_name: 0,
                filename: i64::from(function.file),
            })
            .collect();
    }

    fn samples(&mut self) {
        let profile = self.profile;
        let keys = ["bytes", "thread", "allocator", "pid", "pprof::base", "true"];
        let [bytes, thread, allocator, pid, base, is_base] = keys.map(|key| self.text(key));
        for site in &profile.sites {
            let number = |key: i64, num: i64, num_unit: i64| Label {
                key,
                num,
                num_unit,
                str: 0,
            };
            let text = |key: i64, str: i64| Label {
                key,
                str,
                ..Label::default()
            };
            let process = &profile.processes[site.process as usize];
            let mut label = vec![number(bytes, signed(site.size), bytes)];
            if let Some(&name) = profile.threads.get(site.thread as usize) {
                label.push(text(thread, i64::from(name)));
            }
            if site.allocator != 0 {
                label.push(text(allocator, i64::from(site.allocator)));
            }
            label.push(number(pid, i64::from(process.pid), 0));
            // The table of texts begins with the profile's.
            let labels = process.labels.iter();
            label.extend(labels.map(|&(key, value)| text(i64::from(key), i64::from(value))));
            let sample = Sample {
                location_id: self.stack(site.node),
                value: self.values(site, &site.figures),
                label,
            };
            let old = site.old.as_deref().map(|old| self.values(site, old));
            if let Some(mut value) = old.filter(|value| is_any(value)) {
                value
                    .iter_mut()
                    .for_each(|value| *value = value.saturating_neg());
                let mut old = sample.clone();
                old.value = value;
                old.label.push(text(base, is_base));
                self.message.sample.push(old);
            }
            if is_any(&sample.value) {
                self.message.sample.push(sample);
            }
        }
    }

    fn values(&self, site: &Site, figures: &Figures) -> Vec<i64> {
        let values = self
            .types
            .iter()
            .map(|(_, _, value)| value(site.size, figures));
        values.collect()
    }

    /// The locations of a stack, innermost first.
    fn stack(&mut self, node: u32) -> Vec<u64> {
        let mut ids = Vec::new();
        let mut next = node;
        while (next as usize) < self.groups.len() {
            let (id, caller) = self.location(next);
            ids.push(id);
            next = caller;
        }
        ids
    }

    /// The location that begins with this node, and the node where the next one begins.
    fn location(&mut self, node: u32) -> (u64, u32) {
        if let Some(known) = self.groups[node as usize] {
            return known;
        }
        let profile = self.profile;
        let mut frames = Vec::new();
        let mut next = node;
        for (_, node) in profile.stack(node) {
            frames.push(node.frame);
            next = node.parent;
            if profile.frame(node).kind != FrameKind::Inlined {
                break;
            }
        }
        let fresh = self.message.location.len() as u64 + 1;
        let id = *self.locations.entry(frames.clone()).or_insert(fresh);
        if id == fresh {
            self.message.location.push(location(profile, id, &frames));
        }
        self.groups[node as usize] = Some((id, next));
        (id, next)
    }
}

fn is_any(values: &[i64]) -> bool {
    values.iter().any(|&value| value != 0)
}

/// Of these frames, innermost first, all at one address.
fn location(profile: &Profile, id: u64, frames: &[u32]) -> Location {
    let frames = || frames.iter().map(|&frame| &profile.frames[frame as usize]);
    let outermost = frames().next_back();
    let module = outermost.map(|frame| profile.function(frame).module);
    let has_module = |module: &u32| (*module as usize) < profile.modules.len();
    let line = frames().map(|frame| Line {
        function_id: u64::from(frame.function) + 1,
        line: i64::from(frame.line),
    });
    Location {
        id,
        mapping_id: module
            .filter(has_module)
            .map_or(0, |module| u64::from(module) + 1),
        address: outermost.map_or(0, |frame| frame.address),
        line: line.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use skipheap_profile::testing::{leaky, small};
    use std::io::Read;

    fn sums(message: &Message) -> Vec<i64> {
        let types = 0..message.sample_type.len();
        let sum = |index: usize| {
            message
                .sample
                .iter()
                .map(|sample| sample.value[index])
                .sum()
        };
        types.map(sum).collect()
    }

    fn names(message: &Message, sample: usize) -> Vec<Vec<&str>> {
        let name = |line: &Line| {
            let function = &message.function[line.function_id as usize - 1];
            message.string_table[function.name as usize].as_str()
        };
        let ids = message.sample[sample].location_id.iter();
        let locations = ids.map(|&id| &message.location[id as usize - 1]);
        locations
            .map(|location| location.line.iter().map(name).collect())
            .collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut file = Vec::new();
        write(&small(), &mut file).expect("written");
        let mut bytes = Vec::new();
        GzDecoder::new(&file[..])
            .read_to_end(&mut bytes)
            .expect("gzip");
        let message = Message::decode(&bytes[..]).expect("a message");
        assert_eq!(
            sums(&message),
            [19, 40 * 10 + 64 + 4096 + 16 * 7, 7, 6 * 40 + 4096]
        );
        assert_eq!(names(&message, 0), [["node_new"], ["parse"], ["main"]]);
        let text = |index: i64| message.string_table[index as usize].as_str();
        assert_eq!(text(message.mapping[0].build_id), "abcd");
        assert_eq!(message.sample[0].label[0].num, 40);
        assert_eq!(text(message.sample[0].label[1].str), "main-thread");
        let comments: Vec<&str> = message.comment.iter().map(|&index| text(index)).collect();
        assert_eq!(
            comments[1..],
            ["program -n", "internal errors of the profiler: 2"]
        );
        assert_eq!(message.duration_nanos, 1_000_000_000);
    }

    #[test]
    fn inlined_functions_are_lines_of_one_location() {
        let mut profile = small();
        let innermost = profile.sites[0].node;
        let frame = profile.nodes[innermost as usize].frame;
        profile.frames[frame as usize].kind = FrameKind::Inlined;
        assert_eq!(
            names(&message(&profile), 0),
            [vec!["node_new", "parse"], vec!["main"]]
        );
        // A stack that has nothing else is one all the same.
        for frame in &mut profile.frames {
            frame.kind = FrameKind::Inlined;
        }
        assert_eq!(
            names(&message(&profile), 0),
            [["node_new", "parse", "main"]]
        );
    }

    #[test]
    fn there_is_nothing_about_blocks_that_were_not_followed() {
        let mut profile = small();
        profile.processes[0].live = None;
        assert_eq!(message(&profile).sample_type.len(), 2);
    }

    #[test]
    fn leaks_have_types_of_their_own() {
        let message = message(&leaky());
        let names: Vec<&str> = message
            .sample_type
            .iter()
            .map(|one| message.string_table[one.r#type as usize].as_str())
            .collect();
        assert_eq!(
            names[FOLLOWED..],
            [
                "leaked_objects",
                "leaked_space",
                "indirectly_leaked_objects",
                "indirectly_leaked_space"
            ]
        );
        assert_eq!(sums(&message)[FOLLOWED..], [2, 40 + 4096, 5, 200]);
    }

    #[test]
    fn a_comparison_is_what_diff_base_makes() {
        let mut profile = small();
        profile.sites[0].old = Some(Box::new(Figures {
            calls: 12,
            ..Figures::default()
        }));
        let message = message(&profile);
        assert_eq!(sums(&message)[..2], [7, 64 + 4096 + 16 * 7 - 80]);
        let base = message.sample[0].label.last().expect("labels");
        assert_eq!(message.string_table[base.key as usize], "pprof::base");
    }
}
