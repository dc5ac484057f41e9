//! What several formats say of processes and figures in the same words.

use serde::Serialize;
use skipheap_format::cause::Cause;
use skipheap_format::messages;
use skipheap_format::note::Note;
use skipheap_profile as profile;
use skipheap_profile::Profile;
use skipheap_profile::report::figures::Figures;
use std::collections::BTreeMap;
use std::fmt;

/// A process.
#[derive(Serialize)]
pub(super) struct Process<'p> {
    program: &'p str,
    exe: &'p str,
    command: Vec<&'p str>,
    pid: u32,
    ppid: u32,
    host: &'p str,
    os: &'p str,
    arch: &'p str,
    cpus: u32,
    start_ms: u64,
    duration_ms: Option<u64>,
    finished: bool,
    whole_stacks: bool,
    sample_bytes: u64,
    live: bool,
    leak_checked: bool,
    leaks_missed: bool,
    peak_bytes: Option<u64>,
    /// Of an estimated peak, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_standard_error: Option<u64>,
    timeline: Option<Timeline>,
    phases: Vec<Phase<'p>>,
    notes: Vec<String>,
    labels: BTreeMap<&'p str, &'p str>,
}

/// A timeline, by columns; times are since the start of the process. Each point holds until the next
/// one. What is not known is null.
#[derive(Serialize)]
pub(super) struct Timeline {
    ns: Vec<u64>,
    allocations: Vec<Option<u64>>,
    live_bytes: Vec<u64>,
    live_blocks: Vec<Option<u64>>,
    rss: Vec<Option<u64>>,
}

/// The peak of several processes together.
#[derive(Serialize)]
pub(super) struct Together {
    peak_bytes: u64,
    /// Since the first process began.
    peak_ns: u64,
    /// How many held something then.
    processes: u64,
}

/// The peak of all processes together, where they are several with timelines.
pub(super) fn together(profile: &Profile) -> Option<Together> {
    let start = profile
        .processes
        .iter()
        .map(|process| process.start_ns)
        .min();
    profile.together().map(|together| Together {
        peak_bytes: together.bytes,
        peak_ns: together.ns.saturating_sub(start.unwrap_or(0)),
        processes: together.processes,
    })
}

/// Standard error of the peak of a process in bytes, where that is an estimate.
pub(super) fn peak_error(profile: &Profile, process: u32) -> Option<u64> {
    let of = profile.processes.get(process as usize)?;
    let peak = of.live.as_ref().map_or(0, |live| live.peak_bytes);
    (of.sample_bytes != 0 && peak != 0).then(|| profile.peak_error(process).round() as u64)
}

/// A label that the program gave.
#[derive(Serialize)]
struct Phase<'p> {
    ns: u64,
    allocations: u64,
    live_bytes: u64,
    label: &'p str,
}

/// An honesty counter above 0, or stacks that were cut.
#[derive(Serialize)]
pub(super) struct Loss<'p> {
    what: String,
    count: u64,
    #[serde(skip)]
    cause: (Cause<&'p str>, bool),
}

impl fmt::Display for Loss<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.count)
    }
}

/// What became of a site's blocks.
#[derive(Serialize)]
pub(super) struct LiveFigures {
    frees: u64,
    live_blocks: u64,
    live_bytes: u64,
    peak_blocks: u64,
    peak_bytes: u64,
    temporary: u64,
    grown: u64,
    copied: u64,
    slack: u64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    leaked: Option<LeakedFigures>,
}

/// What is lost of a site's blocks.
#[derive(Serialize)]
struct LeakedFigures {
    directly_leaked_blocks: u64,
    directly_leaked_bytes: u64,
    indirectly_leaked_blocks: u64,
    indirectly_leaked_bytes: u64,
}

/// All processes.
pub(super) fn processes(profile: &Profile) -> Vec<Process<'_>> {
    let text = |index: &u32| profile.text(*index);
    let note = |note: &Note<u32>| messages::note(&profile.note(note));
    let of = |(index, process): (u32, &profile::Process)| {
        let live = process.live.as_ref();
        let (start_ms, duration_ms) = times(process);
        Process {
            program: profile.text(process.program),
            exe: profile.text(process.exe),
            command: process.command.iter().map(text).collect(),
            pid: process.pid,
            ppid: process.ppid,
            host: profile.text(process.host),
            os: profile.text(process.os),
            arch: profile.text(process.arch),
            cpus: process.cpus,
            start_ms,
            duration_ms,
            finished: process.finished,
            whole_stacks: process.whole_stacks,
            sample_bytes: process.sample_bytes,
            live: live.is_some(),
            leak_checked: live.is_some_and(|live| live.leak_checked),
            leaks_missed: live.is_some_and(|live| live.leaks_missed),
            peak_bytes: live.map(|live| live.peak_bytes).filter(|&peak| peak != 0),
            peak_standard_error: peak_error(profile, index),
            timeline: live.map(|live| timeline(&live.timeline)),
            phases: live.map_or(Vec::new(), |live| phases(profile, live)),
            notes: process.notes.iter().map(note).collect(),
            labels: profile.labels(process).collect(),
        }
    };
    (0..).zip(&profile.processes).map(of).collect()
}

/// Start since 1970, and duration where the end is known, in milliseconds.
pub(super) fn times(process: &profile::Process) -> (u64, Option<u64>) {
    let duration = process.end_ns.saturating_sub(process.start_ns) / 1_000_000;
    let duration = (process.end_ns != 0).then_some(duration);
    (process.start_ns / 1_000_000, duration)
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Longest title in characters; a command line can be a whole program.
const LONGEST_TITLE: usize = 120;

/// What to call the profile: the command line, or the programs where there were several processes.
pub(super) fn title(profile: &Profile) -> String {
    let text = |index: &u32| profile.text(*index);
    let title = match &profile.processes[..] {
        [process] => {
            // The program by its name, whatever path it was started by.
            let arguments = process.command.iter().skip(1).map(text);
            let words = std::iter::once(profile.text(process.program)).chain(arguments);
            words.collect::<Vec<_>>().join(" ")
        }
        processes => {
            let mut names: Vec<&str> = Vec::new();
            for name in processes
                .iter()
                .map(|process| profile.text(process.program))
            {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            format!("{} processes: {}", processes.len(), names.join(", "))
        }
    };
    match title.char_indices().nth(LONGEST_TITLE) {
        Some((end, _)) => format!("{}…", &title[..end]),
        None => title,
    }
}

/// A timeline by columns.
pub(super) fn timeline(points: &[profile::Point]) -> Timeline {
    let points = || points.iter();
    Timeline {
        ns: points().map(|point| point.ns).collect(),
        allocations: points().map(profile::Point::known_allocations).collect(),
        live_bytes: points().map(|point| point.live_bytes).collect(),
        live_blocks: points().map(profile::Point::known_blocks).collect(),
        rss: points().map(profile::Point::known_rss).collect(),
    }
}

fn phases<'p>(profile: &'p Profile, live: &profile::LiveProcess) -> Vec<Phase<'p>> {
    let of = |phase: &profile::Phase| Phase {
        ns: phase.ns,
        allocations: phase.allocations,
        live_bytes: phase.live_bytes,
        label: profile.text(phase.label),
    };
    live.phases.iter().map(of).collect()
}

/// The honesty counters of all processes together.
pub(super) fn losses(profile: &Profile) -> Vec<Loss<'_>> {
    let mut sums: Vec<Loss<'_>> = Vec::new();
    let losses = profile.processes.iter().flat_map(|process| {
        let cuts = process.cuts.iter().map(|cut| (cut, true));
        process.losses.iter().map(|loss| (loss, false)).chain(cuts)
    });
    for (&(cause, count), is_cut) in losses {
        let cause = (profile.cause(cause), is_cut);
        match sums.iter_mut().find(|loss| loss.cause == cause) {
            Some(loss) => loss.count = loss.count.saturating_add(count),
            None => sums.push(Loss {
                what: match cause {
                    (cut, true) => format!(
                        "allocations with a stack that was cut: {}",
                        messages::cut(&cut)
                    ),
                    (loss, false) => messages::loss(&loss).into_owned(),
                },
                count,
                cause,
            }),
        }
    }
    sums
}

/// The figures of blocks of this size; `None` where they were not followed.
pub(super) fn live_figures(figures: &Figures, size: u64) -> Option<LiveFigures> {
    figures.live.as_ref().map(|live| LiveFigures {
        frees: live.frees,
        live_blocks: live.live(),
        live_bytes: live.live().saturating_mul(size),
        peak_blocks: live.peak(),
        peak_bytes: live.peak().saturating_mul(size),
        temporary: live.temporary,
        grown: live.grown,
        copied: live.copied,
        slack: live.slack,
        leaked: live.leaked.map(|leaked| LeakedFigures {
            directly_leaked_blocks: leaked.direct,
            directly_leaked_bytes: leaked.direct.saturating_mul(size),
            indirectly_leaked_blocks: leaked.indirect,
            indirectly_leaked_bytes: leaked.indirect.saturating_mul(size),
        }),
    })
}
