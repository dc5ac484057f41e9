//! What became of the blocks of a fixture's run, by size, without an oracle: each kind has a size of its own.

use super::followed;
use crate::support::{Outcome, Run, read_recording, recordings};
use skipheap_format::reader::Recording;
use std::collections::BTreeMap;

/// What became of the blocks of a size: calls, frees, temporary ones, grown ones.
pub(super) type Fate = [u64; 4];

/// A process's recording.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Process {
    /// Of the sizes that were asked for.
    pub(super) fates: BTreeMap<u64, Fate>,
    /// Of blocks that were not followed.
    pub(super) unknown_frees: u64,
    /// Unreachable blocks by size, where they were looked for.
    pub(super) leaks: Option<BTreeMap<u64, u64>>,
    /// Names of the threads that allocated, by size.
    pub(super) threads: BTreeMap<u64, String>,
}

/// The recordings of a run, in the order in which they were begun, with the sizes of which `is_wanted` holds.
pub(super) fn processes(run: Run, is_wanted: impl Fn(u64) -> bool) -> (Vec<Process>, Outcome) {
    let folder = tempfile::tempdir().expect("a folder");
    let outcome = followed(run, folder.path()).succeed();
    let mut processes: Vec<_> = recordings(folder.path())
        .iter()
        .map(|path| {
            let bytes = read_recording(path);
            let recording = Recording::parse(&bytes).expect("a recording");
            let names: BTreeMap<_, _> = recording
                .threads()
                .map(|thread| (thread.number, thread.name.to_owned()))
                .collect();
            let mut fates: BTreeMap<u64, Fate> = BTreeMap::new();
            let mut threads = BTreeMap::new();
            let mut sizes = BTreeMap::new();
            for site in recording.sites() {
                sizes.insert(site.offset, site.size);
                let live = site.live.expect("blocks were followed");
                let fate = fates.entry(site.size).or_default();
                let more = [site.count, live.frees, live.temporary, live.grown];
                for (number, more) in fate.iter_mut().zip(more) {
                    *number += more;
                }
                if site.count != 0 && is_wanted(site.size) {
                    let name = names.get(&site.thread).cloned().unwrap_or_default();
                    let name = String::from_utf8_lossy(&name).into_owned();
                    threads.insert(site.size, name);
                }
            }
            fates.retain(|&size, _| is_wanted(size));
            let leaks = recording.leaks().map(|leaks| {
                let mut found = BTreeMap::new();
                for leak in leaks {
                    *found.entry(sizes[&leak.site]).or_default() += leak.blocks;
                }
                found.retain(|&size, _| is_wanted(size));
                found
            });
            let totals = recording.live_totals().expect("blocks were followed");
            let process = Process {
                fates,
                unknown_frees: totals.unknown_frees,
                leaks,
                threads,
            };
            (recording.start_ns(), process)
        })
        .collect();
    processes.sort_by_key(|process| process.0);
    let processes = processes.into_iter().map(|(_, process)| process).collect();
    (processes, outcome)
}
