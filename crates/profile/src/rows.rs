//! Converts a profile to the rows of the CSV.

use super::{FrameKind, NONE, Profile, Site, Str};
use crate::report::figures::{Figures, Rate};
use crate::report::origin::Origin;
use crate::report::rows::{NAMES, Row, Totals, sort};
use skipheap_symbolize::hash::FastMap;
use std::hash::Hash;
use std::rc::Rc;

/// Four names, the size, and what else tells rows apart.
type Key<K> = ([Str; NAMES], u64, K);

/// The rows, by four names and size; with origins also by file, line, module, allocator and thread. In the
/// order of every report.
pub fn rows(profile: &Profile, with_origins: bool) -> Vec<Row> {
    let sums = sums(profile, with_origins, |site| match with_origins {
        true => origin(profile, site),
        false => [0; 5],
    });
    let mut texts: FastMap<Str, Rc<str>> = FastMap::default();
    let mut text = |index: Str| {
        let text = texts.entry(index);
        (index != 0).then(|| Rc::clone(text.or_insert_with(|| profile.text(index).into())))
    };
    let mut origins: FastMap<[u32; 5], Rc<Origin>> = FastMap::default();
    let mut rows = Vec::with_capacity(sums.len());
    for ((names, size, key), figures) in sums {
        let names = names.map(&mut text);
        let origin = with_origins.then(|| {
            let [file, line, module, allocator, thread] = key;
            let origin = origins.entry(key).or_insert_with(|| {
                Rc::new(Origin {
                    file: text(file),
                    line: (line != 0).then_some(line),
                    module: text(module),
                    allocator: text(allocator),
                    thread: text(thread),
                })
            });
            Rc::clone(origin)
        });
        rows.push(Row::new(names, size, origin, figures));
    }
    sort(&mut rows);
    rows
}

/// Sums over the rows of each process.
pub fn totals_of_processes(profile: &Profile) -> Vec<Totals> {
    let mut all = vec![Totals::default(); profile.processes.len()];
    for ((_, size, process), figures) in sums(profile, false, |site| site.process) {
        let Some(totals) = all.get_mut(process as usize) else {
            continue;
        };
        totals.calls = totals.calls.saturating_add(figures.calls);
        let bytes = size.saturating_mul(figures.calls);
        totals.bytes = totals.bytes.saturating_add(bytes);
        totals.sites += 1;
    }
    all
}

/// Figures of all sites with the same names, size and `key`. Only the CSV with all columns shows lifetimes.
fn sums<K: Hash + Eq>(
    profile: &Profile,
    with_lifetimes: bool,
    key: impl Fn(&Site) -> K,
) -> FastMap<Key<K>, Figures> {
    // Estimates are made of sums, of each rate of sampling apart.
    let mut rates: Vec<(u64, FastMap<Key<K>, Figures>)> = Vec::new();
    let highest = profile.highest();
    let mut last = (NONE, NONE, [0; NAMES]);
    for site in &profile.sites {
        if (last.0, last.1) != (site.process, site.node) {
            last = (site.process, site.node, names(profile, site));
        }
        let process = profile.processes.get(site.process as usize);
        let rate = match profile.scaled {
            true => 0,
            false => process.map_or(0, |process| process.sample_bytes),
        };
        let index = rates.iter().position(|known| known.0 == rate);
        let index = index.unwrap_or_else(|| {
            rates.push((rate, FastMap::default()));
            rates.len() - 1
        });
        let Some((_, sums)) = rates.get_mut(index) else {
            continue;
        };
        let sum = sums.entry((last.2, site.size, key(site))).or_default();
        let has_peak = highest == Some(site.process);
        if !with_lifetimes {
            sum.add_process(&site.figures.without_lifetimes(), has_peak);
            continue;
        }
        sum.add_process(&site.figures, has_peak);
        // Profiles leave out those of no block.
        if let Some(live) = &mut sum.live {
            live.lifetimes.get_or_insert_default();
        }
    }
    for (rate, sums) in &mut rates {
        let rate = Rate::new(*rate);
        sums.iter_mut()
            .for_each(|(key, figures)| figures.scale(rate, key.1));
    }
    let mut rates = rates.into_iter().map(|(_, sums)| sums);
    let mut sums = rates.next().unwrap_or_default();
    for (key, figures) in rates.flatten() {
        sums.entry(key).or_default().add(&figures);
    }
    // Of a thread that only freed there may be a site without allocations.
    sums.retain(|_, figures| figures.calls > 0);
    sums
}

/// Texts of a site's names: four, or as many as were to be shown.
fn names(profile: &Profile, site: &Site) -> [Str; NAMES] {
    let process = profile.processes.get(site.process as usize);
    let shown = match process.map_or(0, |process| process.stack_depth) {
        0 => NAMES,
        depth => depth as usize,
    };
    let mut names = [0; NAMES];
    let functions = profile.call_site(site.node).into_iter().take(shown);
    for (name, function) in names.iter_mut().zip(functions) {
        let function = profile.functions.get(function as usize);
        *name = function.map_or(0, |function| function.name);
    }
    names
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
            let path = module.map_or(0, |module| module.path);
            let [file, line, of, ..] = &mut origin;
            (*file, *line, *of) = (function.file, frame.line, path);
        }
    }
    origin
}
