//! What it costs to follow blocks: memory, but not a byte of the blocks themselves.

use super::followed;
use crate::support::{Outcome, Run, Source, library};

/// Runs the program; `preload` is what it has preloaded besides the library.
fn program(arguments: &[&str], preload: &str, under_library: bool) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let run = Run::plain(Source::c("live_memory").build())
        .args(arguments)
        .fixed_addresses();
    if !under_library {
        return run.env("LD_PRELOAD", preload).succeed();
    }
    let both = format!("{}:{preload}", library().display());
    followed(run, folder.path())
        .env("LD_PRELOAD", both)
        .succeed()
}

/// To follow so many blocks of this size takes at most so many hundredths of the memory that they take.
fn assert_cost(count: u64, size: u64, preload: &str, most: u64) {
    let resident = |count: u64, under_library| -> u64 {
        let arguments = ["blocks", &count.to_string(), &size.to_string()];
        program(&arguments, preload, under_library).numbers()[0] * 4096
    };
    let (plain, under) = (resident(count, false), resident(count, true));
    let heap = plain - resident(0, false);
    assert!(heap > count * size, "{heap} bytes for {count} of {size}");
    let cost = under.saturating_sub(plain);
    assert!(
        cost * 100 <= heap * most,
        "{cost} bytes for a heap of {heap}: {} %",
        cost * 100 / heap
    );
}

const JEMALLOC: &str = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2";

#[test]
fn ten_million_tiny_blocks_cost_less_than_a_third_of_their_heap() {
    assert_cost(10_000_000, 24, "", 30);
    assert_cost(10_000_000, 24, JEMALLOC, 30);
}

#[test]
fn larger_blocks_cost_little() {
    assert_cost(200_000, 1000, "", 5);
    assert_cost(200_000, 1000, JEMALLOC, 5);
    assert_cost(10_000, 20_000, "", 5);
}

#[test]
fn blocks_lie_where_they_would_lie() {
    for seed in ["1", "2", "3"] {
        let plain = program(&["layout", seed], "", false);
        let under = program(&["layout", seed], "", true);
        assert!(plain.stdout.lines().count() > 10_000, "{plain:?}");
        let same = plain.stdout == under.stdout;
        let lines = plain.stdout.lines().zip(under.stdout.lines());
        let first = lines.enumerate().find(|(_, (plain, under))| plain != under);
        assert!(same, "seed {seed}: {first:?}");
    }
}
