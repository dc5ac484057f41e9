//! What an allocator, a thread or a process may do that is not usual.

use super::fates::{Process, processes};
use crate::support::{Outcome, Run, Source, library};
use std::collections::BTreeMap;
use std::path::Path;

fn run(mode: &str) -> Run {
    Run::plain(Source::c("edges").build())
        .arg(mode)
        .env("LD_PRELOAD", library())
}

fn observed(run: Run) -> (Vec<Process>, Outcome) {
    processes(run, |size| {
        (3001..=3033).contains(&size) || [41, 200_001].contains(&size)
    })
}

/// The only process of a run.
fn only(run: Run) -> Process {
    let (mut processes, outcome) = observed(run);
    assert_eq!(processes.len(), 1, "{outcome:?}");
    processes.remove(0)
}

#[test]
fn a_realloc_of_more_than_there_can_be_fails_and_keeps_the_block() {
    let process = only(run("huge"));
    assert_eq!(process.fates, BTreeMap::from([(3001, [1, 1, 1, 0])]));
}

#[test]
fn a_forked_thread_with_its_parents_state_is_counted() {
    for depth in ["4", "full"] {
        let (processes, _) = observed(run("heir").env("SKIP_HEAP_STACK_DEPTH", depth));
        let [parent, child] = &processes[..] else {
            panic!("two processes: {processes:?}");
        };
        assert_eq!(parent.fates, BTreeMap::from([(3005, [1, 0, 0, 0])]));
        let wanted = [(3003, [11, 11, 11, 0]), (3007, [1000, 1000, 1000, 0])];
        assert_eq!(child.fates, BTreeMap::from(wanted), "{depth}");
    }
}

#[test]
fn frees_of_unknown_blocks_are_counted_where_a_thread_has_no_state() {
    let (processes, _) = observed(run("idle"));
    let [parent, child] = &processes[..] else {
        panic!("two processes: {processes:?}");
    };
    assert_eq!((parent.unknown_frees, child.unknown_frees), (0, 1000));
    assert_eq!(child.fates, BTreeMap::from([(3011, [1, 0, 0, 0])]));
}

#[test]
fn a_thread_that_has_ended_keeps_its_name() {
    let process = only(run("renamed"));
    assert_eq!(process.fates, BTreeMap::from([(3013, [100, 100, 0, 0])]));
    assert_eq!(process.threads[&3013], "worker");
}

#[test]
fn a_block_whose_address_is_given_out_again_was_freed() {
    for depth in ["4", "full"] {
        let process = only(run("unseen").env("SKIP_HEAP_STACK_DEPTH", depth));
        for size in [41, 3015, 200_001] {
            let [calls, frees, ..] = process.fates[&size];
            assert_eq!(calls, 100);
            // Not the last ones, whose addresses had no use again.
            assert!((90..=100).contains(&frees), "{frees} of {size} bytes");
        }
    }
}

#[test]
fn blocks_of_another_library_than_mallocs_are_not_asked_for_their_size() {
    for name in ["libjemalloc.so.2", "libmimalloc.so.2"] {
        let path = format!("/usr/lib/x86_64-linux-gnu/{name}");
        let process = only(run("pvalloc").also_preload(Path::new(&path)));
        assert_eq!(
            process.fates,
            BTreeMap::from([(3017, [1, 0, 0, 0])]),
            "{name}"
        );
    }
}

#[test]
fn memory_that_the_program_takes_beside_the_heap_is_looked_at_for_leaks() {
    let process = only(run("break").env("SKIP_HEAP_LEAK_CHECK", "1"));
    let live = [(3019, [50, 0, 0, 0]), (3021, [200, 0, 0, 0])];
    assert_eq!(process.fates, BTreeMap::from(live));
    assert_eq!(process.leaks, Some(BTreeMap::new()));
}

#[test]
fn what_registers_hold_at_the_end_is_no_leak() {
    let process = only(run("_exit").env("SKIP_HEAP_LEAK_CHECK", "1"));
    assert_eq!(process.fates.len(), 5);
    assert_eq!(process.leaks, Some(BTreeMap::new()));
}

#[test]
fn a_thread_may_end_under_a_filter() {
    let (processes, outcome) = observed(run("filtered"));
    assert_eq!(outcome.stdout, "alive\n");
    assert_eq!(processes[0].fates, BTreeMap::from([(3033, [1, 1, 1, 0])]));
}

#[test]
fn what_there_is_no_room_to_follow_is_not_taken_for_live() {
    let run = run("unseen").limit(libc::RLIMIT_DATA, 3_000_000);
    let (processes, outcome) = observed(run);
    let process = &processes[0];
    for size in [41, 3015, 200_001] {
        let [calls, frees, ..] = process.fates[&size];
        assert_eq!((calls, frees), (100, 100), "{size}: {outcome:?}");
    }
}
