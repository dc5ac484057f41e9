//! Blocks that threads pass to each other: what is counted at the end is exact.
//!
//! glibc's caches of each thread are switched off and all threads share one arena, so that an address
//! that one thread frees, or leaves by realloc, is handed out to another at once.

use super::figures::Figures;
use super::{at_length, followed};
use crate::support::{Run, Source, library, read_recording, recordings};
use skipheap_format::reader::Recording;
use std::collections::BTreeMap;

/// Runs the program, which must have counted what the recording has.
fn race(threads: u32, operations: u32, rounds: u32, variables: &[(&str, &str)]) {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = [threads, operations, rounds].map(|number| number.to_string());
    let mut run = followed(Run::plain(Source::c("live_races").build()), folder.path())
        .args(&arguments)
        .env("LD_PRELOAD", library());
    for (name, value) in variables {
        run = run.env(name, value);
    }
    let outcome = run.succeed();
    let [path] = &recordings(folder.path())[..] else {
        panic!("one recording of one process");
    };
    let bytes = read_recording(path);
    let recording = Recording::parse(&bytes).expect("a recording");
    let mut found: BTreeMap<u64, Figures> = BTreeMap::new();
    for site in recording.sites() {
        // tcmalloc's own, of operator new, is counted alone.
        let Some(live) = site.live else { continue };
        let figures = found.entry(site.size).or_default();
        figures.calls += site.count;
        figures.frees += live.frees;
        figures.temporary += live.temporary;
        figures.grown += live.grown;
        figures.copied += live.copied;
        figures.slack += live.slack;
        for (age, more) in figures.ages.iter_mut().zip(live.ages) {
            *age += u64::from(more);
        }
    }
    let mut calls = 0;
    for line in outcome.numbers().chunks_exact(7) {
        let [size, rest @ ..] = line else { continue };
        let f = found.remove(size).unwrap_or_default();
        let figures = [f.calls, f.frees, f.temporary, f.grown, f.copied, f.slack];
        assert_eq!(figures[..], *rest, "of {size} bytes, {variables:?}");
        assert_eq!(f.ages.iter().sum::<u64>(), f.frees, "of {size} bytes");
        assert!(f.ages[0] >= f.temporary, "of {size} bytes");
        calls += f.calls;
    }
    assert!(
        calls >= u64::from(threads * operations * rounds / 2),
        "{outcome:?}"
    );
}

const NO_CACHES: (&str, &str) = (
    "GLIBC_TUNABLES",
    "glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1",
);

#[test]
fn blocks_that_threads_exchange_are_counted_exactly() {
    race(8, 40_000, 1, &[NO_CACHES]);
    race(8, 40_000, 1, &[]);
}

#[test]
fn blocks_of_threads_that_have_ended_are_counted_exactly() {
    race(8, 500, 40, &[NO_CACHES]);
}

#[test]
fn blocks_with_whole_stacks_are_counted_exactly() {
    race(
        4,
        20_000,
        2,
        &[NO_CACHES, ("SKIP_HEAP_STACK_DEPTH", "full")],
    );
}

#[test]
fn blocks_of_other_allocators_are_counted_exactly() {
    for name in [
        "libjemalloc.so.2",
        "libmimalloc.so.2",
        "libtcmalloc_minimal.so.4",
    ] {
        let path = format!("/usr/lib/x86_64-linux-gnu/{name}");
        let both = format!("{}:{path}", library().display());
        race(4, 20_000, 2, &[("LD_PRELOAD", &both)]);
    }
}

#[test]
fn blocks_that_ever_more_threads_exchange_are_counted_exactly() {
    let (counts, operations, rounds) = at_length((3..5, 10_000, 10), (4..14, 400_000, 200));
    for threads in counts {
        race(threads, operations, 2, &[NO_CACHES]);
        race(16, operations / 200, rounds, &[NO_CACHES]);
    }
}
