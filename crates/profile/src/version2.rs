//! Profiles of format version 2, in which losses, cuts and notes were sentences, and leaked blocks were not told
//! apart.

use super::{
    Frame, Function, LiveProcess, Merged, Module, Node, Phase, Point, Process, Profile, Site, Str,
};
use crate::report::figures::{Figures, Lifetimes, LiveSums};
use crate::report::leaked::Leaked;
use crate::report::line::Line;
use crate::sum::runs;
use serde::Deserialize;
use skipheap_format::cause::Cause;
use skipheap_format::cut::Cut;
use skipheap_format::layout::TimelinePoint;
use skipheap_format::loss::Loss;
use skipheap_format::note::Note;
use skipheap_format::sentences;

/// [`Profile`] of that version.
#[derive(Deserialize)]
pub(crate) struct Profile2 {
    tool: String,
    strings: Vec<Box<str>>,
    processes: Vec<Process2>,
    modules: Vec<Module>,
    functions: Vec<Function>,
    frames: Vec<Frame>,
    nodes: Vec<Node>,
    threads: Vec<Str>,
    sites: Vec<Site2>,
    scaled: bool,
    compared_with: Option<String>,
}

/// [`Process`] of that version.
#[derive(Deserialize)]
struct Process2 {
    program: Str,
    exe: Str,
    command: Vec<Str>,
    pid: u32,
    ppid: u32,
    host: Str,
    os: Str,
    arch: Str,
    cpus: u32,
    start_ns: u64,
    end_ns: u64,
    finished: bool,
    whole_stacks: bool,
    stack_depth: u32,
    sample_bytes: u64,
    live: Option<LiveProcess2>,
    losses: Vec<(Str, u64)>,
    cuts: Vec<(Str, u64)>,
    notes: Vec<Str>,
    merged: Option<Merged>,
}

/// [`LiveProcess`] of that version.
#[derive(Deserialize)]
struct LiveProcess2 {
    peak_bytes: u64,
    peak_ns: u64,
    unknown_frees: u64,
    leak_checked: bool,
    timeline: Vec<Point>,
    phases: Vec<Phase>,
}

/// [`Site`] of that version.
#[derive(Deserialize)]
struct Site2 {
    node: u32,
    size: u64,
    allocator: Str,
    thread: u32,
    process: u32,
    figures: Figures2,
    /// Blocks to which no pointer was found.
    unreachable: u64,
    old: Option<Box<Figures2>>,
}

/// [`Figures`] of that version.
#[derive(Deserialize)]
struct Figures2 {
    calls: u64,
    samples: u64,
    variance: f64,
    live: Option<LiveSums2>,
}

/// [`LiveSums`] of that version.
#[derive(Deserialize)]
struct LiveSums2 {
    followed: u64,
    frees: u64,
    temporary: u64,
    at_peak: i64,
    grown: u64,
    copied: u64,
    slack: u64,
    lifetimes: Option<Box<Lifetimes>>,
}

impl LiveProcess2 {
    /// The live heap of a process that began at `start_ns`, with these notes. That version did not say whether leaks
    /// were missed, but why; and its timelines need not have had the peak.
    fn live(self, start_ns: u64, notes: &[Note<Str>]) -> LiveProcess {
        let points = self.timeline.into_iter().map(|point| TimelinePoint {
            ns: point.ns,
            allocations: point.allocations,
            live_bytes: point.live_bytes,
            live_blocks: point.live_blocks,
            rss: point.rss,
        });
        let points: Vec<TimelinePoint> = points.collect();
        // Sums over runs have no timeline, and of samples the peak was not known.
        let (points, peak_ns) = match self.peak_bytes {
            peak if peak != 0 && !points.is_empty() => {
                let peak_ns = self.peak_ns.saturating_sub(start_ns);
                let line = Line::from_start(points, 0, peak, peak_ns);
                (line.points, start_ns.saturating_add(line.peak_ns))
            }
            _ => (points, self.peak_ns),
        };
        LiveProcess {
            peak_bytes: self.peak_bytes,
            peak_ns,
            timeline: points.iter().map(Point::from).collect(),
            unknown_frees: self.unknown_frees,
            leak_checked: self.leak_checked,
            leaks_missed: notes.iter().any(Note::misses_leaks),
            phases: self.phases,
            lifetimes: None,
        }
    }
}

impl Site2 {
    /// The site of a process that stands for so many runs, and for which the leak check was made or not.
    fn site(self, leak_checked: bool, runs: u64) -> Site {
        // That version did not tell indirectly lost blocks from the others.
        let leaked = leak_checked.then_some(Leaked {
            direct: self.unreachable,
            indirect: 0,
        });
        Site {
            node: self.node,
            size: self.size,
            allocator: self.allocator,
            thread: self.thread,
            process: self.process,
            figures: self.figures.figures(leaked, runs),
            old: self.old.map(|old| Box::new(old.figures(None, runs))),
        }
    }
}

impl Figures2 {
    fn figures(self, leaked: Option<Leaked>, runs: u64) -> Figures {
        Figures {
            calls: self.calls,
            samples: self.samples,
            variance: self.variance,
            live: self.live.map(|live| LiveSums {
                followed: live.followed,
                frees: live.frees,
                temporary: live.temporary,
                // Of several runs it was their sum, and is that of one run now.
                at_peak: live.at_peak / i64::try_from(runs.max(1)).unwrap_or(i64::MAX),
                grown: live.grown,
                copied: live.copied,
                slack: live.slack,
                leaked,
                lifetimes: live.lifetimes,
            }),
        }
    }
}

impl From<Profile2> for Profile {
    fn from(old: Profile2) -> Self {
        let mut strings = old.strings;
        let processes = old.processes.into_iter();
        let processes = processes.map(|process| process.coded(&mut strings));
        let processes: Vec<Process> = processes.collect();
        let is_checked = |process: u32| {
            let live = processes
                .get(process as usize)
                .and_then(|process| process.live.as_ref());
            live.is_some_and(|live| live.leak_checked)
        };
        let sites = old.sites.into_iter();
        let sites = sites.map(|site| {
            let leak_checked = is_checked(site.process);
            let runs = processes.get(site.process as usize).map_or(1, runs);
            site.site(leak_checked, runs)
        });
        Self {
            sites: sites.collect(),
            processes,
            tool: old.tool,
            strings,
            modules: old.modules,
            functions: old.functions,
            frames: old.frames,
            nodes: old.nodes,
            threads: old.threads,
            scaled: old.scaled,
            compared_with: old.compared_with,
        }
    }
}

impl Process2 {
    /// With codes in place of the sentences that are known. A sentence that is not there is left to
    /// [`Profile::check`].
    fn coded(self, strings: &mut Vec<Box<str>>) -> Process {
        let causes =
            |counts: Vec<(Str, u64)>, code: fn(&str) -> Option<u32>, texts: &[Box<str>]| {
                let cause = |index: Str| {
                    let text = texts.get(index as usize);
                    text.and_then(|text| code(text))
                        .map_or(Cause::Sentence(index), Cause::Code)
                };
                let coded = counts.into_iter();
                coded.map(|(text, count)| (cause(text), count)).collect()
            };
        let loss = |text: &str| sentences::loss(text).map(Loss::code);
        let losses = causes(self.losses, loss, strings);
        let cut = |text: &str| sentences::cut(text).map(Cut::code);
        let cuts = causes(self.cuts, cut, strings);
        let notes = self.notes.into_iter();
        let notes = notes.map(|sentence| coded_note(sentence, strings));
        let notes: Vec<Note<Str>> = notes.collect();
        Process {
            live: self.live.map(|live| live.live(self.start_ns, &notes)),
            notes,
            losses,
            cuts,
            labels: Vec::new(),
            program: self.program,
            exe: self.exe,
            command: self.command,
            pid: self.pid,
            ppid: self.ppid,
            host: self.host,
            os: self.os,
            arch: self.arch,
            cpus: self.cpus,
            start_ns: self.start_ns,
            end_ns: self.end_ns,
            finished: self.finished,
            whole_stacks: self.whole_stacks,
            stack_depth: self.stack_depth,
            sample_bytes: self.sample_bytes,
            merged: self.merged,
            thread_bytes: Vec::new(),
        }
    }
}

/// The note that a sentence says; what it is about is added to the texts.
fn coded_note(index: Str, strings: &mut Vec<Box<str>>) -> Note<Str> {
    let Some(sentence) = strings.get(index as usize).cloned() else {
        return Note::Sentence(index);
    };
    let note = sentences::note(&sentence);
    if note.kind().is_none() {
        return Note::Sentence(index);
    }
    note.map(|text| {
        strings.push((*text).into());
        strings.len() as Str - 1
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::small;
    use super::*;
    use crate::file;
    use skipheap_format::messages;
    use skipheap_format::note::Kind;

    /// Written by the last version that wrote format version 2: `small` with every loss and cut, a loss
    /// that no version has, and notes.
    const FILE: &[u8] = include_bytes!("../fixtures/version-2.skipheap");

    fn read() -> Profile {
        file::read_from(FILE, FILE.len() as u64).expect("read")
    }

    #[test]
    fn sentences_of_old_profiles_become_codes() {
        let profile = read();
        let [process] = &profile.processes[..] else {
            panic!("{:?}", profile.processes);
        };
        let code = |loss: Loss| Cause::Code(loss.code());
        let mut losses: Vec<_> = Loss::counted()
            .map(code)
            .zip((1..).map(|n| n * 11))
            .collect();
        losses.push((code(Loss::CutOff), 4096));
        losses.push((Cause::Sentence("moons lost behind a planet"), 7));
        let found: Vec<_> = process
            .losses
            .iter()
            .map(|loss| (profile.cause(loss.0), loss.1))
            .collect();
        assert_eq!(found, losses);
        let cuts: Vec<_> = Cut::ALL
            .iter()
            .map(|cut| Cause::Code(cut.code()))
            .zip((1..).map(|n| n * 3))
            .collect();
        assert_eq!(process.cuts, cuts);
        let kinds: Vec<_> = process.notes.iter().map(Note::kind).collect();
        let expected = [
            Some(Kind::HookUnmatchedSoFar),
            Some(Kind::HookUnmatched),
            None,
            Some(Kind::HookMatchedLater),
            Some(Kind::DisagreesWithLibgcc),
        ];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn old_profiles_are_worded_as_they_were_written() {
        let profile = read();
        let notes = profile.processes[0].notes.iter();
        let said: Vec<String> = notes
            .map(|note| messages::note(&profile.note(note)))
            .collect();
        let written = [
            "hook \"take\": no function of that name, or only hooked ones (libraries that are loaded \
             later will be searched)",
            "hook \"took\": no function of that name, or only hooked ones",
            "hooked take in libx.so",
            "hook \"take\": found in a library that was loaded later",
            "first stack that the verifier disagrees with: recorded a+0x1 <- b+0x2; libgcc's unwinder \
             saw a+0x1 <- c+0x3",
        ];
        assert_eq!(said, written);
    }

    #[test]
    fn everything_else_of_an_old_profile_is_the_same() {
        let (mut profile, mut now) = (read(), small());
        assert_eq!(profile.strings[..now.strings.len()], now.strings);
        profile.strings.clone_from(&now.strings);
        for process in profile.processes.iter_mut().chain(&mut now.processes) {
            process.losses.clear();
            process.cuts.clear();
            process.notes.clear();
        }
        // Lines of steps begin with the process; those of that version began with the first point.
        for process in &mut now.processes {
            let live = process.live.as_mut().expect("blocks were followed");
            live.timeline.insert(0, Point::default());
        }
        assert_eq!(profile, now);
    }

    #[test]
    fn damage_to_an_old_profile_is_an_error_and_never_another_profile() {
        for at in 0..FILE.len() {
            let mut damaged = FILE.to_vec();
            damaged[at] ^= 0x15;
            let read_again = file::read_from(&damaged[..], FILE.len() as u64);
            assert!(
                read_again.is_err() || read_again.is_ok_and(|profile| profile == read()),
                "byte {at}"
            );
        }
    }

    #[test]
    fn an_old_profile_is_written_as_a_new_one() {
        let mut bytes = Vec::new();
        file::write(&read(), &mut bytes).expect("written");
        let again = file::read_from(&bytes[..], bytes.len() as u64).expect("read");
        assert_eq!(again, read());
    }
}
