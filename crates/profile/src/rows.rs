//! From a profile to the rows of the CSV, as [`crate::report::rows`] makes them of a recording.

use super::{FrameKind, NONE, Profile, Site};
use crate::report::figures::{Figures, Rate};
use crate::report::origin::Origin;
use crate::report::rows::{Row, Totals, sort};
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;

/// Four names, the size, and the origin's file, line, module, allocator and thread.
type Key = ([u32; 4], u64, [u32; 5]);

/// The rows, by four names and size; with origins also by file, line, module, allocator and thread. In the
/// order of every report.
pub fn rows(profile: &Profile, with_origins: bool) -> Vec<Row> {
    let key = |site: &Site| {
        let origin = match with_origins {
            true => origin(profile, site),
            false => [0; 5],
        };
        (names(profile, site), site.size, origin)
    };
    let sums = sums(profile, with_origins, |site| (key(site), site.size));
    let texts: Vec<Rc<str>> = profile
        .strings
        .iter()
        .map(|text| Rc::from(&**text))
        .collect();
    let text = |index: u32| (index != 0).then(|| Rc::clone(&texts[index as usize]));
    let row = |((names, size, origin), figures): (Key, Figures)| {
        let [file, line, module, allocator, thread] = origin;
        let origin = with_origins.then(|| {
            Rc::new(Origin {
                file: text(file),
                line: (line != 0).then_some(line),
                module: text(module),
                allocator: text(allocator),
                thread: text(thread),
            })
        });
        Row::new(names.map(text), size, origin, figures)
    };
    let mut rows: Vec<Row> = sums.into_iter().map(row).collect();
    sort(&mut rows);
    rows
}

/// Sums over the rows of each process.
pub fn totals_of_processes(profile: &Profile) -> Vec<Totals> {
    let key = |site: &Site| (site.process, names(profile, site), site.size);
    let mut all = vec![Totals::default(); profile.processes.len()];
    for ((process, _, size), figures) in sums(profile, false, |site| (key(site), site.size)) {
        let totals = &mut all[process as usize];
        totals.calls = totals.calls.saturating_add(figures.calls);
        let bytes = size.saturating_mul(figures.calls);
        totals.bytes = totals.bytes.saturating_add(bytes);
        totals.sites += 1;
    }
    all
}

/// Figures of all sites with the same key, which `key` gives with the size. Only the CSV with all columns
/// shows lifetimes.
fn sums<K: Hash + Eq + Copy>(
    profile: &Profile,
    with_lifetimes: bool,
    key: impl Fn(&Site) -> (K, u64),
) -> HashMap<K, Figures> {
    // By rate of sampling as well: estimates are made of sums.
    let mut samples: HashMap<(K, u64), (u64, Figures)> = HashMap::new();
    let highest = profile.highest();
    for site in &profile.sites {
        let rate = match profile.scaled {
            true => 0,
            false => profile.processes[site.process as usize].sample_bytes,
        };
        let (key, size) = key(site);
        let sum = samples.entry((key, rate)).or_default();
        sum.0 = size;
        let has_peak = highest == Some(site.process);
        if !with_lifetimes {
            let figures = site.figures.without_lifetimes();
            sum.1.add_process(&figures, has_peak);
            continue;
        }
        sum.1.add_process(&site.figures, has_peak);
        // Profiles leave out those of no block.
        if let Some(live) = &mut sum.1.live {
            live.lifetimes.get_or_insert_default();
        }
    }
    let mut sums: HashMap<K, Figures> = HashMap::new();
    for ((key, rate), (size, mut figures)) in samples {
        figures.scale(Rate::new(rate), size);
        sums.entry(key).or_default().add(&figures);
    }
    // Of a thread that only freed there may be a site without allocations.
    sums.retain(|_, figures| figures.calls > 0);
    sums
}

/// Texts of a site's four names.
fn names(profile: &Profile, site: &Site) -> [u32; 4] {
    profile.call_site(site.node).map(|function| match function {
        NONE => 0,
        function => profile.functions[function as usize].name,
    })
}

/// Texts of a site's origin, and the line.
fn origin(profile: &Profile, site: &Site) -> [u32; 5] {
    let thread = profile.threads.get(site.thread as usize);
    let mut origin = [0, 0, 0, site.allocator, thread.copied().unwrap_or(0)];
    if let Some(node) = profile.nodes.get(site.node as usize) {
        let frame = profile.frame(node);
        let function = profile.function(frame);
        let module = profile.modules.get(function.module as usize);
        if frame.kind != FrameKind::Marker {
            origin[..3].copy_from_slice(&[
                function.file,
                frame.line,
                module.map_or(0, |module| module.path),
            ]);
        }
    }
    origin
}
