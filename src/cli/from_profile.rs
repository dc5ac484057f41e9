//! From a profile to what the summary and the reports say of it.

use crate::harvest::{Harvest, HarvestError, Process, Wish, add_to, plain};
use crate::live::LiveHeap;
use crate::load::LoadError;
use crate::shape::{Columns, Kind};
use crate::sheet::Read;
use crate::symbol_files::SymbolFiles;
use skipheap_export::Format;
use skipheap_format::cause::Cause;
use skipheap_format::layout::TimelinePoint;
use skipheap_format::loss::Loss;
use skipheap_profile as profile;
use skipheap_profile::leaks::{leaks, leave_out_known};
use skipheap_profile::report::figures::{AllLifetimes, Lifetimes, Rate};
use skipheap_profile::report::rows::{Row, Totals, totals};
use skipheap_profile::report::timeline::{self, Course, Labelled};
use skipheap_profile::rows::{rows, totals_of_processes};
use skipheap_profile::stacks::stacks;
use skipheap_profile::{LiveProcess, Profile, Site, Str, file};
use std::io::{self, Write};
use std::path::Path;

/// Where a profile comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// It was made of a recording, with as much detail as the report shows.
    Recording {
        /// Whether it is wanted besides what the report shows.
        keeps_profile: bool,
        /// Its rows with their origins, where those of the profile have none.
        by_origin: Option<Vec<Row>>,
    },
    /// It was read, or has everything in it.
    File,
}

/// Reads a profile.
///
/// # Errors
/// When it cannot be read, or does not have what the report is about.
pub(crate) fn read(
    path: &Path,
    wish: &Wish,
    symbols: Option<&mut SymbolFiles>,
) -> Result<Profile, HarvestError> {
    let mut profile = file::read(path).map_err(LoadError::at(path))?;
    if let Some(symbols) = symbols {
        profile = symbols.add_to(profile);
    }
    if wish.needs_live() && !profile.has_live() {
        return Err(HarvestError::NotFollowed(path.to_owned()));
    }
    // One that another version wrote may hold secrets.
    profile = profile.cleaned(!wish.no_command_line);
    profile.set_labels(&wish.labels.given);
    Ok(profile)
}

/// Adds the processes of a profile to the harvest and returns what reports are made of.
pub(crate) fn take(profile: Profile, source: Source, wish: &Wish, harvest: &mut Harvest) -> Read {
    if let (true, Some(process)) = (harvest.processes.is_empty(), profile.processes.first()) {
        harvest.set_command(process.command.iter().map(|&word| profile.text(word)));
    }
    let first = harvest.processes.len();
    count(&profile, &source, wish, harvest);
    let totals_of_processes = match &profile.processes[..] {
        [_] => None,
        _ => Some(totals_of_processes(&profile)),
    };
    let sums = wish.sums_of(&profile);
    let (keeps_profile, by_origin) = match source {
        Source::Recording {
            keeps_profile,
            by_origin,
        } => (keeps_profile, by_origin),
        Source::File => (true, None),
    };
    let mut read = read_of(profile, by_origin, wish);
    read.sums = sums;
    let known = totals_of_processes.unwrap_or_else(|| vec![totals(&plain(&read.rows, wish.kind))]);
    for (process, totals) in harvest.processes.iter_mut().skip(first).zip(known) {
        process.totals = totals;
    }
    read.profile = read.profile.filter(|_| keeps_profile);
    read
}

/// What reports of each of its programs are made of, by the program's name, in the order in which they
/// began.
pub(crate) fn by_program(profile: &Profile, wish: &Wish) -> Vec<(String, Read)> {
    let mut programs: Vec<Str> = Vec::new();
    for process in &profile.processes {
        if !programs.contains(&process.program) {
            programs.push(process.program);
        }
    }
    let read = |program: Str| {
        let is_of = |process: u32| profile.processes[process as usize].program == program;
        let name = profile.text(program).to_owned();
        (name, read_of(profile.only(is_of), None, wish))
    };
    programs.into_iter().map(read).collect()
}

/// What is written of a profile. Known leaks are left out, but of the file that other reports are made of.
fn read_of(mut profile: Profile, by_origin: Option<Vec<Row>>, wish: &Wish) -> Read {
    let kind = wish.kind;
    if !matches!(kind, Kind::Export(Format::Skipheap, _)) {
        leave_out_known(&mut profile, &wish.suppressions);
    }
    let stacks = match kind {
        Kind::Collapsed(style) => Some(stacks(&profile, style)),
        Kind::Csv(_) | Kind::Export(..) => None,
    };
    let highest = profile
        .highest()
        .map(|index| &profile.processes[index as usize]);
    let live = highest.and_then(|process| process.live.as_ref());
    Read {
        rows: by_origin.unwrap_or_else(|| rows(&profile, kind == Kind::Csv(Columns::All))),
        stacks,
        peak_bytes: live.map_or(0, |live| live.peak_bytes),
        profile: Some(profile),
        sums: None,
    }
}

/// Writes the course of the heap of each process.
///
/// # Errors
/// Those of `out`.
pub(crate) fn write_timelines(profile: &Profile, mut out: impl Write) -> io::Result<()> {
    for process in &profile.processes {
        let Some(live) = &process.live else { continue };
        let labels = live.phases.iter().map(|phase| Labelled {
            ns: process.start_ns.saturating_add(phase.ns),
            allocations: phase.allocations,
            live_bytes: phase.live_bytes,
            label: profile.text(phase.label).to_owned(),
        });
        let course = Course {
            pid: process.pid,
            start_ns: process.start_ns,
            points: points(process, live),
            labels,
        };
        timeline::write_course(course, &mut out)?;
    }
    Ok(())
}

/// The points of a timeline, with times since 1970.
fn points<'p>(
    process: &'p profile::Process,
    live: &'p LiveProcess,
) -> impl Iterator<Item = TimelinePoint> + 'p {
    live.timeline.iter().map(|point| TimelinePoint {
        ns: process.start_ns.saturating_add(point.ns),
        allocations: point.allocations,
        live_bytes: point.live_bytes,
        live_blocks: point.live_blocks,
        rss: point.rss,
    })
}

/// Adds what a profile says of its processes, but for their totals.
fn count(profile: &Profile, source: &Source, wish: &Wish, harvest: &mut Harvest) {
    let mut sites: Vec<Vec<&Site>> = vec![Vec::new(); profile.processes.len()];
    for site in &profile.sites {
        sites[site.process as usize].push(site);
    }
    for (index, (process, sites)) in (0..).zip(profile.processes.iter().zip(&sites)) {
        let owned = |cause| profile.cause(cause).map(str::to_owned);
        for &(cause, count) in &process.losses {
            match source {
                _ if cause != Cause::Code(Loss::CutOff.code()) => {
                    add_to(&mut harvest.losses, owned(cause), count);
                }
                Source::File => harvest.missing = harvest.missing.saturating_add(count),
                // The harvest says where each recording ends.
                Source::Recording { .. } => {}
            }
        }
        for &(cause, count) in &process.cuts {
            add_to(&mut harvest.cuts, owned(cause), count);
        }
        let text = |text: &Str| profile.text(*text).to_owned();
        harvest
            .notes
            .add(process.notes.iter().map(|note| note.map(text)));
        if process.sample_bytes != 0 {
            harvest.sampled.get_or_insert_default();
        }
        if process.live.as_ref().is_some_and(|live| live.leaks_missed) {
            let notes = process.notes.iter();
            let notes = notes.map(|note| profile.note(note));
            let program = profile.text(process.program);
            let who = match &process.merged {
                Some(_) => program.to_owned(),
                None => format!("{program} {}", process.pid),
            };
            harvest.leak_gaps.add(&who, notes);
        }
        harvest.processes.push(Process {
            program: profile.text(process.program).to_owned(),
            pid: process.pid,
            runs: process.merged.as_ref().map(|merged| merged.runs),
            totals: Totals::default(),
            csv: None,
            live: live(profile, index, sites, wish),
        });
    }
}

/// The live heap of one process, of which these are the sites.
fn live(profile: &Profile, index: u32, sites: &[&Site], wish: &Wish) -> Option<LiveHeap> {
    let process = &profile.processes[index as usize];
    let live = process.live.as_ref()?;
    let rate = profile.rate_of(process);
    Some(LiveHeap {
        peak_bytes: live.peak_bytes,
        peak_error: profile.peak_error(index),
        peak_at: live.peak_ns.saturating_sub(process.start_ns) as f64 / 1e9,
        timeline: points(process, live).collect(),
        start_ns: process.start_ns,
        end_ns: process.end_ns,
        lifetimes: lifetimes(live, sites, rate),
        left: leaks(profile, index, sites, &wish.suppressions, wish.leaks_listed)
            .unwrap_or_default(),
        unknown_frees: match process.sample_bytes {
            0 => live.unknown_frees,
            _ => 0,
        },
    })
}

/// Ages of all freed blocks of a process: the profile of a report that does not show them by site has the sum.
fn lifetimes(live: &LiveProcess, sites: &[&Site], rate: Rate) -> Lifetimes {
    if let Some(sum) = &live.lifetimes {
        return (**sum).clone();
    }
    let mut all = AllLifetimes::default();
    for site in sites {
        let live = site.figures.live.as_ref();
        if let Some(lifetimes) = live.and_then(|live| live.lifetimes.as_deref()) {
            all.add(site.size, lifetimes);
        }
    }
    all.sum(rate)
}
