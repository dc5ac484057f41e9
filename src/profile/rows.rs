//! From a profile to the rows of the CSV, as [`crate::report::rows`] makes them of a recording.

use super::{FrameKind, NONE, Profile, Site};
use crate::report::figures::{Figures, Rate};
use crate::report::origin::Origin;
use crate::report::rows::{Row, sort};
use std::collections::HashMap;
use std::rc::Rc;

/// Four names, the size, and the origin's file, line, module, allocator and thread.
type Key = ([u32; 4], u64, [u32; 5]);

/// The rows, by four names and size; with origins also by file, line, module, allocator and thread. In the
/// order of every report.
pub(crate) fn rows(profile: &Profile, with_origins: bool) -> Vec<Row> {
    rows_of(profile, profile.sites.iter(), with_origins)
}

/// As [`rows`], of some of its sites.
pub(crate) fn rows_of<'p>(
    profile: &'p Profile,
    sites: impl Iterator<Item = &'p Site>,
    with_origins: bool,
) -> Vec<Row> {
    // By rate of sampling as well: estimates are made of sums.
    let mut samples: HashMap<(Key, u64), Figures> = HashMap::new();
    for site in sites {
        let names = profile.call_site(site.node).map(|function| match function {
            NONE => 0,
            function => profile.functions[function as usize].name,
        });
        let origin = if with_origins {
            origin(profile, site)
        } else {
            [0; 5]
        };
        let rate = match profile.scaled {
            true => 0,
            false => profile.processes[site.process as usize].sample_bytes,
        };
        let key = (names, site.size, origin);
        let sum = samples.entry((key, rate)).or_default();
        match with_origins {
            true => {
                sum.add(&site.figures);
                // Profiles leave out those of no block.
                if let Some(live) = &mut sum.live {
                    live.lifetimes.get_or_insert_default();
                }
            }
            // Only the CSV with all columns shows them.
            false => sum.add(&site.figures.without_lifetimes()),
        }
    }
    let mut sums: HashMap<Key, Figures> = HashMap::new();
    for ((key, rate), mut figures) in samples {
        figures.scale(Rate::new(rate), key.1);
        sums.entry(key).or_default().add(&figures);
    }
    // Of a thread that only freed there may be a site without allocations.
    sums.retain(|_, figures| figures.calls > 0);
    let texts: Vec<Rc<str>> = profile
        .strings
        .iter()
        .map(|text| Rc::from(&**text))
        .collect();
    let text = |index: u32| (index != 0).then(|| Rc::clone(&texts[index as usize]));
    let row =
        |((names, size, [file, line, module, allocator, thread]), figures): (Key, Figures)| {
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
