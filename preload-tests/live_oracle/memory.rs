//! What it costs to follow blocks: memory, but not a byte of the blocks themselves.

use super::followed;
use crate::support::{Outcome, Run, Source, library};

fn program(arguments: &[&str], under_library: bool) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let run = Run::plain(Source::c("live_memory").build())
        .args(arguments)
        .fixed_addresses();
    if !under_library {
        return run.succeed();
    }
    followed(run, folder.path())
        .env("LD_PRELOAD", library())
        .succeed()
}

#[test]
fn ten_million_tiny_blocks_cost_less_than_a_third_of_their_heap() {
    let resident = |arguments: &[&str], under_library| -> u64 {
        let pages = program(arguments, under_library).numbers()[0];
        pages * 4096
    };
    let blocks = &["tiny", "10000000", "24"];
    let none = &["tiny", "0", "24"];
    let heap = resident(blocks, false) - resident(none, false);
    let cost = resident(blocks, true) - resident(blocks, false);
    assert!(heap > 240_000_000, "{heap} bytes");
    assert!(
        cost * 100 <= heap * 30,
        "{cost} bytes for a heap of {heap}: {} %",
        cost * 100 / heap
    );
}

#[test]
fn blocks_lie_where_they_would_lie() {
    for seed in ["1", "2", "3"] {
        let plain = program(&["layout", seed], false);
        let under = program(&["layout", seed], true);
        assert!(plain.stdout.lines().count() > 10_000, "{plain:?}");
        let same = plain.stdout == under.stdout;
        let lines = plain.stdout.lines().zip(under.stdout.lines());
        let first = lines.enumerate().find(|(_, (plain, under))| plain != under);
        assert!(same, "seed {seed}: {first:?}");
    }
}
