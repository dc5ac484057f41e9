//! The runs of many profiles by program.

use super::super::intern::Tables;
use super::super::merge::with_texts;
use super::super::{LiveProcess, Merged, NONE, Process, Profile, Str};
use super::{By, Refusal, Texts, runs};
use skipheap_format::cause::Cause;
use skipheap_format::note::Note;
use skipheap_symbolize::hash::{FastHasher, FastMap};
use std::cmp::Reverse;
use std::fmt::Write;
use std::hash::Hasher;

/// Most notes that are kept of the runs of a program: they may hold numbers that are different each time.
pub(super) const MOST_NOTES: usize = 32;

/// Program, rate of sampling; build and host where these keep runs apart.
type Key = (Str, u64, Str, Str);

/// The programs so far.
pub(super) struct Processes {
    by: By,
    known: FastMap<Key, u32>,
    sums: Vec<ProgramSum>,
    /// How many runs had a higher peak than those of their program before them.
    added: u32,
    /// Those that were added, by [`identity`].
    seen: FastMap<u64, ()>,
    /// How many were there already.
    pub(super) repeated: u64,
}

/// All runs of a program.
struct ProgramSum {
    process: Process,
    runs: u64,
    hosts: FastMap<Str, ()>,
    builds: FastMap<Str, ()>,
    /// Number of the run with the highest peak.
    peak: u32,
}

/// Where a process went.
#[derive(Clone, Copy)]
pub(super) struct Added {
    /// Index of its program's sum.
    pub(super) place: u32,
    /// Number of the run with the highest peak of the program so far, from 1.
    pub(super) peak: u32,
    /// Whether it has the highest peak of the processes of its program in this profile.
    pub(super) is_highest: bool,
}

impl Processes {
    /// None yet.
    pub(super) fn new(by: By) -> Self {
        Self {
            by,
            known: FastMap::default(),
            sums: Vec::new(),
            added: 0,
            seen: FastMap::default(),
            repeated: 0,
        }
    }

    /// Checks whether the processes of a profile can be kept apart as it is wanted.
    pub(super) fn check(&self, other: &Profile) -> Result<(), Refusal> {
        let merged = other.processes.iter().filter_map(|p| p.merged.as_ref());
        let mixed =
            |m: &Merged| self.by.build && m.builds.len() > 1 || self.by.host && m.hosts.len() > 1;
        match merged.into_iter().any(mixed) {
            true => Err(Refusal::Summed),
            false => Ok(()),
        }
    }

    /// Adds the processes of a profile and returns where each went.
    pub(super) fn add(&mut self, tables: &mut Tables, texts: &mut Texts<'_>) -> Vec<Added> {
        let other = texts.profile;
        let mut places = Vec::with_capacity(other.processes.len());
        for process in &other.processes {
            if self.seen.insert(identity(other, process), ()).is_some() {
                self.repeated += 1;
            }
            let (hosts, builds) = match &process.merged {
                Some(merged) => (
                    each(tables, texts, &merged.hosts),
                    each(tables, texts, &merged.builds),
                ),
                None => (
                    each(tables, texts, &[process.host]),
                    vec![tables.string(&hex(other.build_id(process)))],
                ),
            };
            let apart = |is_wanted: bool, of: &[Str]| match is_wanted {
                true => of.first().copied().unwrap_or(0),
                false => 0,
            };
            let program = texts.get(tables, process.program);
            let key = (
                program,
                process.sample_bytes,
                apart(self.by.build, &builds),
                apart(self.by.host, &hosts),
            );
            let next = self.sums.len() as u32;
            let place = *self.known.entry(key).or_insert(next);
            if place == next {
                self.sums.push(ProgramSum {
                    process: with_texts(process, |text| texts.get(tables, text)),
                    runs: runs(process),
                    hosts: FastMap::default(),
                    builds: FastMap::default(),
                    peak: 0,
                });
            }
            let sum = &mut self.sums[place as usize];
            // (Before the sum's own becomes the higher one of the two.)
            let is_highest = place == next || peak_of(process) > peak_of(&sum.process);
            if is_highest {
                self.added += 1;
                sum.peak = self.added;
            }
            sum.hosts.extend(hosts.into_iter().map(|host| (host, ())));
            sum.builds
                .extend(builds.into_iter().map(|build| (build, ())));
            if place != next {
                sum.add(process, tables, texts);
            }
            places.push(Added {
                place,
                peak: sum.peak,
                is_highest,
            });
        }
        // Of two processes of a program in one profile, the later one may be the higher one.
        let last: Vec<u32> = places
            .iter()
            .map(|added| self.sums[added.place as usize].peak)
            .collect();
        for (added, last) in places.iter_mut().zip(last) {
            added.is_highest &= added.peak == last;
        }
        places
    }

    /// Of each sum, the number of the run with the highest peak.
    pub(super) fn highest(&self) -> Vec<u32> {
        self.sums.iter().map(|sum| sum.peak).collect()
    }

    /// Fills the table of processes and returns where each went.
    pub(super) fn finish(self, tables: &mut Tables) -> Vec<u32> {
        let mut order: Vec<usize> = (0..self.sums.len()).collect();
        order.sort_by_key(|&place| self.sums[place].process.start_ns);
        let mut places = vec![NONE; order.len()];
        for (new, &old) in (0..).zip(&order) {
            places[old] = new;
        }
        let profile = &mut tables.profile;
        let sorted = |set: FastMap<Str, ()>, profile: &Profile| {
            let mut list: Vec<Str> = set.into_keys().filter(|&text| text != 0).collect();
            list.sort_by(|&a, &b| profile.text(a).cmp(profile.text(b)));
            list
        };
        let mut processes: Vec<(u32, Process)> = Vec::with_capacity(order.len());
        for (sum, &place) in self.sums.into_iter().zip(&places) {
            let mut process = sum.process;
            if sum.runs > 1 {
                process.merged = Some(Merged {
                    runs: sum.runs,
                    hosts: sorted(sum.hosts, profile),
                    builds: sorted(sum.builds, profile),
                });
            }
            processes.push((place, process));
        }
        processes.sort_by_key(|process| process.0);
        profile.processes = processes.into_iter().map(|process| process.1).collect();
        places
    }
}

/// These texts in the tables of the sum.
fn each(tables: &mut Tables, texts: &mut Texts<'_>, list: &[Str]) -> Vec<Str> {
    list.iter().map(|&text| texts.get(tables, text)).collect()
}

/// A number that tells a process from others, wherever its profile lies.
pub fn identity(profile: &Profile, process: &Process) -> u64 {
    let mut hasher = FastHasher::default();
    hasher.write_u64(process.start_ns);
    hasher.write_u32(process.pid);
    hasher.write(profile.text(process.host).as_bytes());
    hasher.write(profile.text(process.exe).as_bytes());
    if let Some(merged) = &process.merged {
        hasher.write(profile.text(process.program).as_bytes());
        hasher.write_u64(merged.runs);
        hasher.write_u64(process.end_ns);
        hasher.write_u64(process.sample_bytes);
        for &text in merged.builds.iter().chain(&merged.hosts) {
            hasher.write(profile.text(text).as_bytes());
        }
    }
    hasher.finish()
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl ProgramSum {
    /// Adds a further run, or the runs of a merged profile.
    fn add(&mut self, other: &Process, tables: &mut Tables, texts: &mut Texts<'_>) {
        self.runs = self.runs.saturating_add(runs(other));
        let sum = &mut self.process;
        // Paths and command lines may be different each time: only those that are kept go into the tables.
        let is_same =
            |ours: Str, theirs: Str| tables.profile.text(ours) == texts.profile.text(theirs);
        for (ours, theirs) in [
            (&mut sum.exe, other.exe),
            (&mut sum.host, other.host),
            (&mut sum.os, other.os),
            (&mut sum.arch, other.arch),
        ] {
            if !is_same(*ours, theirs) {
                *ours = 0;
            }
        }
        let mut pairs = sum.command.iter().zip(&other.command);
        if sum.command.len() != other.command.len() || !pairs.all(|(a, b)| is_same(*a, *b)) {
            sum.command.clear();
        }
        sum.labels.retain(|&(key, value)| {
            let mut theirs = other.labels.iter();
            theirs.any(|&(their_key, their_value)| {
                is_same(key, their_key) && is_same(value, their_value)
            })
        });
        (sum.pid, sum.ppid) = (0, 0);
        if sum.cpus != other.cpus {
            sum.cpus = 0;
        }
        sum.start_ns = sum.start_ns.min(other.start_ns);
        sum.end_ns = sum.end_ns.max(other.end_ns);
        sum.finished &= other.finished;
        sum.whole_stacks &= other.whole_stacks;
        sum.stack_depth = match (sum.stack_depth, other.stack_depth) {
            // 0 is no limit.
            (0, _) | (_, 0) => 0,
            (ours, theirs) => ours.max(theirs),
        };
        add_counts(&mut sum.losses, &other.losses, tables, texts);
        add_counts(&mut sum.cuts, &other.cuts, tables, texts);
        for note in &other.notes {
            let note = texts.profile.note(note);
            let is_known = |known: &Note<Str>| tables.profile.note(known) == note;
            if sum.notes.len() < MOST_NOTES && !sum.notes.iter().any(is_known) {
                sum.notes.push(note.map(|text| tables.string(text)));
            }
        }
        sum.live = match (sum.live.take(), &other.live) {
            (Some(ours), Some(theirs)) => Some(highest(&ours, theirs)),
            (Some(one), None) => Some(highest(&one, &LiveProcess::default())),
            (None, Some(one)) => Some(highest(one, &LiveProcess::default())),
            (None, None) => None,
        };
    }
}

/// By what the run with the highest peak is chosen, whatever the order in which runs are added: of two with the same
/// peak the earlier one.
fn order_of(live: &LiveProcess) -> (u64, Reverse<u64>) {
    (live.peak_bytes, Reverse(live.peak_ns))
}

/// See [`order_of`].
fn peak_of(process: &Process) -> Option<(u64, Reverse<u64>)> {
    process.live.as_ref().map(order_of)
}

/// The live heaps of two runs, as far as they can be added up.
fn highest(a: &LiveProcess, b: &LiveProcess) -> LiveProcess {
    let peak = if order_of(a) >= order_of(b) { a } else { b };
    LiveProcess {
        peak_bytes: peak.peak_bytes,
        peak_ns: peak.peak_ns,
        unknown_frees: a.unknown_frees.saturating_add(b.unknown_frees),
        leak_checked: a.leak_checked && b.leak_checked,
        leaks_missed: a.leaks_missed || b.leaks_missed,
        timeline: Vec::new(),
        phases: Vec::new(),
        lifetimes: None,
    }
}

/// Adds counts by what they count.
fn add_counts(
    sums: &mut Vec<(Cause<Str>, u64)>,
    others: &[(Cause<Str>, u64)],
    tables: &mut Tables,
    texts: &mut Texts<'_>,
) {
    for &(cause, count) in others {
        let cause = cause.map(|text| texts.get(tables, text));
        match sums.iter_mut().find(|sum| sum.0 == cause) {
            Some(sum) => sum.1 = sum.1.saturating_add(count),
            None => sums.push((cause, count)),
        }
    }
}
