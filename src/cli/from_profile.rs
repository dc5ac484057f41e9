//! Reads a profile in place of a recording: what the summary and the reports say of it.

use crate::harvest::{Harvest, HarvestError, Process};
use crate::live::LiveHeap;
use crate::load::{Cuts, LoadError};
use crate::profile::build::CUTS;
use crate::profile::rows::{rows, rows_of};
use crate::profile::{Profile, file};
use crate::record::layout::TimelinePoint;
use crate::record::loss::LOSSES;
use crate::report::collapsed::{Stacks, Style};
use crate::report::figures::{Figures, Lifetimes};
use crate::report::rows::{Totals, totals};
use crate::shape::{Columns, Kind};
use crate::sheet::Read;
use std::path::Path;
use std::rc::Rc;

/// Adds the processes of a profile to the harvest and returns what reports are made of.
///
/// # Errors
/// When it cannot be read, or does not have what the report is about.
pub(crate) fn read(path: &Path, kind: Kind, harvest: &mut Harvest) -> Result<Read, HarvestError> {
    let profile = file::read(path).map_err(LoadError::at(path))?;
    if kind.needs_live() && !profile.has_live() {
        return Err(HarvestError::NotFollowed(path.to_owned()));
    }
    Ok(take(profile, kind, harvest))
}

/// As [`read`], of a profile that is at hand.
pub(crate) fn take(profile: Profile, kind: Kind, harvest: &mut Harvest) -> Read {
    let read = names(profile, kind);
    if let Some(profile) = &read.profile {
        count(profile, harvest);
    }
    read
}

/// What is written of a profile.
fn names(profile: Profile, kind: Kind) -> Read {
    let stacks = match kind {
        Kind::Collapsed(style) => Some(stacks(&profile.estimated(), style)),
        Kind::Csv(_) | Kind::Export(..) => None,
    };
    Read {
        rows: rows(&profile, kind == Kind::Csv(Columns::All)),
        stacks,
        profile: Some(profile),
    }
}

/// Its stacks of names.
fn stacks(profile: &Profile, style: Style) -> Stacks {
    let mut stacks = Stacks::new(style);
    let texts: Vec<Rc<str>> = profile
        .strings
        .iter()
        .map(|text| Rc::from(&**text))
        .collect();
    let mut ends = Vec::with_capacity(profile.nodes.len());
    for node in &profile.nodes {
        let frame = profile.frame(node);
        let function = profile.function(frame);
        let place = crate::symbolize::places::Place {
            function: Some(Rc::clone(&texts[function.name as usize])),
            file: (function.file != 0).then(|| Rc::clone(&texts[function.file as usize])),
            line: (frame.line != 0).then_some(frame.line),
        };
        let above = ends.get(node.parent as usize).copied();
        ends.push(stacks.below(above, &place));
    }
    for site in &profile.sites {
        let end = ends.get(site.node as usize).copied();
        stacks.add_value(end, site.size, &site.figures);
    }
    stacks
}

/// Adds what a profile says of its processes.
fn count(profile: &Profile, harvest: &mut Harvest) {
    let estimated = profile.estimated();
    let index_of = |text: &str| LOSSES.iter().position(|loss| loss.text == text);
    for (index, process) in (0..).zip(&profile.processes) {
        for &(text, count) in &process.losses {
            if let Some(index) = index_of(profile.text(text)) {
                harvest.losses[index] = harvest.losses[index].saturating_add(count);
            }
        }
        let mut cuts = Cuts::default();
        for &(text, count) in &process.cuts {
            let reason = CUTS.iter().position(|cut| cut.1 == profile.text(text));
            if let Some(cut) = reason.and_then(|reason| cuts.get_mut(reason)) {
                *cut = count;
            }
        }
        for (sum, cut) in harvest.cuts.iter_mut().zip(cuts) {
            *sum = sum.saturating_add(cut);
        }
        let notes = process
            .notes
            .iter()
            .map(|&note| profile.text(note).as_bytes());
        harvest.notes.add(notes);
        if process.sample_bytes != 0 {
            harvest.sampled.get_or_insert_default();
        }
        harvest.processes.push(Process {
            program: profile.text(process.program).to_owned(),
            pid: process.pid,
            runs: process.merged.as_ref().map(|merged| merged.runs),
            totals: totals_of(profile, index),
            csv: None,
            live: live(&estimated, index),
        });
    }
}

/// Sums over the rows of one process.
fn totals_of(profile: &Profile, process: u32) -> Totals {
    if profile.processes.len() == 1 {
        return totals(&rows(profile, false));
    }
    let own = profile.sites.iter().filter(|site| site.process == process);
    totals(&rows_of(profile, own, false))
}

/// The live heap of one process.
fn live(profile: &Profile, index: u32) -> Option<LiveHeap> {
    let process = &profile.processes[index as usize];
    let live = process.live.as_ref()?;
    let own = profile.sites.iter().filter(|site| site.process == index);
    let mut lifetimes = Lifetimes::default();
    for Figures { live, .. } in own.map(|site| &site.figures) {
        if let Some(ages) = live.as_ref().and_then(|live| live.lifetimes.as_ref()) {
            lifetimes.add(ages);
        }
    }
    let point = |point: &crate::profile::Point| TimelinePoint {
        ns: process.start_ns.saturating_add(point.ns),
        allocations: point.allocations,
        live_bytes: point.live_bytes,
        live_blocks: point.live_blocks,
        rss: point.rss,
    };
    Some(LiveHeap {
        peak_bytes: live.peak_bytes,
        peak_at: live.peak_ns.saturating_sub(process.start_ns) as f64 / 1e9,
        timeline: live.timeline.iter().map(point).collect(),
        start_ns: process.start_ns,
        lifetimes,
        left: crate::report::leaks::Leaks::default(),
        unknown_frees: live.unknown_frees,
    })
}
