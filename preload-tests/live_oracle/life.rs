//! Blocks that outlive what allocated them.

use super::followed;
use crate::record::reader::Recording;
use crate::support::{Run, Source, library, read_recording, recordings};
use std::collections::BTreeMap;

/// What became of the blocks of a size: calls, frees, temporary ones, grown ones.
type Fate = [u64; 4];

/// The recordings of a run, in the order in which they were begun: the fates by size, of the sizes that only
/// the fixture uses, and the frees of unknown blocks.
fn fates(mode: &str, depth: &str) -> Vec<(BTreeMap<u64, Fate>, u64)> {
    let folder = tempfile::tempdir().expect("a folder");
    followed(Run::plain(Source::c("live_life").build()), folder.path())
        .arg(mode)
        .env("SKIP_HEAP_STACK_DEPTH", depth)
        .env("LD_PRELOAD", library())
        .succeed();
    let mut processes: Vec<_> = recordings(folder.path())
        .iter()
        .map(|path| {
            let bytes = read_recording(path);
            let recording = Recording::parse(&bytes).expect("a recording");
            let mut fates: BTreeMap<u64, Fate> = BTreeMap::new();
            for site in recording.sites() {
                let live = site.live.expect("blocks were followed");
                let fate = fates.entry(site.size).or_default();
                let more = [site.count, live.frees, live.temporary, live.grown];
                for (number, more) in fate.iter_mut().zip(more) {
                    *number += more;
                }
            }
            fates.retain(|size, _| (2001..=2023).contains(size) || *size == 20_005);
            let totals = recording.live_totals().expect("blocks were followed");
            (recording.start_ns(), fates, totals.unknown_frees)
        })
        .collect();
    processes.sort_by_key(|process| process.0);
    processes
        .into_iter()
        .map(|(_, fates, unknown)| (fates, unknown))
        .collect()
}

#[test]
fn a_child_that_frees_its_parents_blocks_disturbs_no_site() {
    for depth in ["4", "full"] {
        let parent = (BTreeMap::from([(2001, [10, 5, 0, 0])]), 0);
        let child = BTreeMap::from([(2003, [5, 2, 0, 0]), (20_005, [1, 0, 0, 0])]);
        assert_eq!(fates("fork", depth), [parent, (child, 4)], "{depth}");
    }
}

#[test]
fn blocks_are_followed_past_the_end_of_their_thread() {
    for depth in ["4", "full"] {
        let mut processes = fates("threads", depth);
        assert_eq!(processes.len(), 1);
        let (mut fates, _) = processes.remove(0);
        // What the thread's own block is to a thread that ends may be either.
        let own = fates.remove(&2011).expect("asked for");
        assert_eq!(own[..2], [50, 50]);
        let left = BTreeMap::from([(2013, [50, 50, 0, 0]), (2015, [50, 50, 50, 0])]);
        assert_eq!(fates, left, "{depth}");
    }
}

#[test]
fn the_last_block_of_a_thread_that_has_ended_is_not_temporary_to_its_states_heir() {
    let wanted = BTreeMap::from([(2023, [3, 3, 0, 0])]);
    assert_eq!(fates("heirs", "4"), [(wanted, 0)]);
}

#[test]
fn blocks_are_followed_to_the_very_end_of_the_process() {
    let (fates, _) = fates("end", "4").remove(0);
    let wanted = [
        (2017, [1, 1, 0, 0]),
        (2019, [1, 1, 1, 0]),
        (2021, [1, 0, 0, 0]),
    ];
    assert_eq!(fates, BTreeMap::from(wanted));
}
