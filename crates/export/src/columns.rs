//! The data of the page that [`super::html`] writes: tables by columns, which are small once compressed and
//! become typed arrays in the browser. Every text is an index into `strings`, where 0 is "not known".

use super::data::{self, Loss, Timeline};
use super::site_columns::{Difference, Sites, difference, signed, sites};
use serde::Serialize;
use skipheap_profile::{FrameKind, Profile, Str};

/// Version of these data; the page refuses newer ones than it knows.
const VERSION: u32 = 1;

/// All of it.
#[derive(Serialize)]
pub(super) struct Document<'p> {
    version: u32,
    tool: &'p str,
    title: String,
    sample_bytes: u64,
    strings: &'p [Box<str>],
    processes: Vec<Process<'p>>,
    together: Option<data::Together>,
    losses: Vec<Loss<'p>>,
    modules: Modules,
    functions: Functions,
    frames: Frames,
    nodes: Nodes,
    threads: &'p [Str],
    sites: Sites<'p>,
    diff: Option<Difference<'p>>,
}

#[derive(Serialize)]
struct Process<'p> {
    program: Str,
    command: &'p [Str],
    pid: u32,
    host: Str,
    os: Str,
    arch: Str,
    cpus: u32,
    start_ms: u64,
    duration_ms: Option<u64>,
    finished: bool,
    live: bool,
    leak_checked: bool,
    leaks_missed: bool,
    whole_stacks: bool,
    peak_bytes: Option<u64>,
    peak_standard_error: Option<u64>,
    timeline: Option<Timeline>,
}

#[derive(Serialize)]
struct Modules {
    path: Vec<Str>,
    build_id: Vec<String>,
}

#[derive(Serialize)]
struct Functions {
    name: Vec<Str>,
    file: Vec<Str>,
    module: Vec<i64>,
}

#[derive(Serialize)]
struct Frames {
    function: Vec<u32>,
    line: Vec<u32>,
    inlined: Vec<u8>,
}

#[derive(Serialize)]
struct Nodes {
    parent: Vec<i64>,
    frame: Vec<u32>,
}

impl<'p> Document<'p> {
    /// Of a profile with estimates.
    pub(super) fn new(profile: &'p Profile) -> Self {
        let rates = profile.processes.iter().map(|process| process.sample_bytes);
        Self {
            version: VERSION,
            tool: &profile.tool,
            title: data::title(profile),
            sample_bytes: rates.max().unwrap_or(0),
            strings: &profile.strings,
            processes: processes(profile),
            together: data::together(profile),
            losses: data::losses(profile),
            modules: modules(profile),
            functions: functions(profile),
            frames: frames(profile),
            nodes: Nodes {
                parent: profile
                    .nodes
                    .iter()
                    .map(|node| signed(node.parent))
                    .collect(),
                frame: profile.nodes.iter().map(|node| node.frame).collect(),
            },
            threads: &profile.threads,
            sites: sites(profile),
            diff: difference(profile),
        }
    }
}

fn processes(profile: &Profile) -> Vec<Process<'_>> {
    let of_live = |live: &skipheap_profile::LiveProcess| data::timeline(&live.timeline);
    (0..)
        .zip(&profile.processes)
        .map(|(index, process)| {
            let (start_ms, duration_ms) = data::times(process);
            let live = process.live.as_ref();
            Process {
                program: process.program,
                command: &process.command,
                pid: process.pid,
                host: process.host,
                os: process.os,
                arch: process.arch,
                cpus: process.cpus,
                start_ms,
                duration_ms,
                finished: process.finished,
                live: live.is_some(),
                leak_checked: live.is_some_and(|live| live.leak_checked),
                leaks_missed: live.is_some_and(|live| live.leaks_missed),
                whole_stacks: process.whole_stacks,
                peak_bytes: live.map(|live| live.peak_bytes).filter(|&peak| peak != 0),
                peak_standard_error: data::peak_error(profile, index),
                timeline: live.map(of_live),
            }
        })
        .collect()
}

fn modules(profile: &Profile) -> Modules {
    let build_ids = profile
        .modules
        .iter()
        .map(|module| data::hex(&module.build_id));
    Modules {
        path: profile.modules.iter().map(|module| module.path).collect(),
        build_id: build_ids.collect(),
    }
}

fn functions(profile: &Profile) -> Functions {
    let all = &profile.functions;
    Functions {
        name: all.iter().map(|function| function.name).collect(),
        file: all.iter().map(|function| function.file).collect(),
        module: all.iter().map(|function| signed(function.module)).collect(),
    }
}

fn frames(profile: &Profile) -> Frames {
    let all = &profile.frames;
    let inlined = all.iter().map(|frame| frame.kind == FrameKind::Inlined);
    Frames {
        function: all.iter().map(|frame| frame.function).collect(),
        line: all.iter().map(|frame| frame.line).collect(),
        inlined: inlined.map(u8::from).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use skipheap_profile::NONE;
    use skipheap_profile::report::figures::Figures;
    use skipheap_profile::rows::rows;
    use skipheap_profile::testing::{leaky, of_sites, small};

    fn document(profile: &Profile) -> Value {
        serde_json::to_value(Document::new(profile)).expect("JSON")
    }

    fn numbers(value: &Value) -> Vec<i64> {
        let list = value.as_array().expect("a list");
        list.iter()
            .map(|number| number.as_i64().expect("a number"))
            .collect()
    }

    #[test]
    fn columns_say_what_the_rows_say() {
        let profile = small();
        let document = document(&profile);
        let sites = &document["sites"];
        let rows = rows(&profile, false);
        let total = |column: &str| numbers(&sites[column]).iter().sum::<i64>();
        assert_eq!(
            total("bytes"),
            rows.iter().map(|row| row.total as i64).sum::<i64>()
        );
        assert_eq!(
            total("calls"),
            rows.iter().map(|row| row.calls as i64).sum::<i64>()
        );
        let live = rows.iter().map(|row| row.live.as_ref().expect("followed"));
        assert_eq!(
            total("frees"),
            live.map(|live| live.frees as i64).sum::<i64>()
        );
        assert_eq!(total("live_bytes"), 6 * 40 + 4096);
        assert_eq!(document["losses"][0]["count"], 2);
        assert_eq!(document["title"], "program -n");
        assert_eq!(document["processes"][0]["timeline"]["live_bytes"][0], 5000);
        assert_eq!(document["modules"]["build_id"][0], "abcd");
        assert_eq!(document["diff"], Value::Null);
    }

    #[test]
    fn each_site_says_who_is_responsible() {
        let profile = of_sites(
            "p",
            &[
                (&["main", "load", "xmalloc"], 8, 3, 1),
                (&["main"], 16, 2, 2),
            ],
        );
        let document = document(&profile);
        let name = |index: i64| {
            let function = profile.functions.get(index as usize);
            function.map_or("", |function| profile.text(function.name))
        };
        let names = |column: &str| -> Vec<&str> {
            numbers(&document["sites"][column])
                .into_iter()
                .map(name)
                .collect()
        };
        assert_eq!(names("responsible"), ["load", "main"]);
        assert_eq!(names("via"), ["xmalloc", ""]);
    }

    #[test]
    fn functions_of_one_name_are_one_in_the_columns_of_names() {
        let mut profile = small();
        // The same name in two modules.
        let twice = *profile.functions.last().expect("a function");
        profile.functions.push(skipheap_profile::Function {
            module: NONE,
            ..twice
        });
        let last = profile.sites.last().expect("a site").node;
        let frame = profile.nodes[last as usize].frame;
        profile.frames[frame as usize].function = profile.functions.len() as u32 - 1;
        let document = document(&profile);
        let pc0 = numbers(&document["sites"]["pc"][0]);
        assert_eq!(pc0[3], profile.functions.len() as i64 - 2);
        assert_eq!(numbers(&document["sites"]["pc"][3])[..3], [-1, -1, -1]);
    }

    #[test]
    fn what_was_not_followed_is_null_and_not_zero() {
        let mut profile = small();
        profile.processes[0].live = None;
        for site in &mut profile.sites {
            site.figures.live = None;
        }
        let document = document(&profile);
        for column in ["frees", "live_bytes", "peak_blocks", "slack"] {
            assert_eq!(document["sites"][column], Value::Null, "{column}");
        }
        assert_eq!(document["processes"][0]["timeline"], Value::Null);
    }

    #[test]
    fn leaks_are_columns_where_they_were_looked_for() {
        let checked = document(&leaky());
        assert_eq!(numbers(&checked["sites"]["direct_blocks"]), [1, 0, 1, 0]);
        assert_eq!(numbers(&checked["sites"]["direct_bytes"]), [40, 0, 4096, 0]);
        assert_eq!(numbers(&checked["sites"]["indirect_bytes"]), [200, 0, 0, 0]);
        assert_eq!(document(&small())["sites"]["direct_bytes"], Value::Null);
    }

    #[test]
    fn a_difference_has_the_figures_of_both() {
        let mut profile = of_sites("p", &[(&["main"], 8, 3, 1), (&["main", "f"], 16, 2, 2)]);
        profile.compared_with = Some("before".into());
        profile.sites[0].old = Some(Box::new(Figures {
            calls: 5,
            ..Figures::default()
        }));
        let diff = &document(&profile)["diff"];
        assert_eq!(numbers(&diff["old"]["calls"]), [5, 0]);
        assert_eq!(numbers(&diff["old"]["bytes"]), [40, 0]);
        assert_eq!(diff["old"]["live_bytes"], Value::Null);
        assert_eq!(diff["old_title"], "before");
    }
}
