//! Counts instructions: repeatable on any machine, where times are not.

use super::{Outcome, Run};

/// Runs the program that `arrange` adds to a run of callgrind; its outcome, and the instructions
/// that it executed.
pub(crate) fn instructions(arrange: impl FnOnce(Run) -> Run) -> (Outcome, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let counts = folder.path().join("callgrind.out");
    let run = Run::plain("/usr/bin/valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", counts.display()));
    let outcome = arrange(run).succeed();
    let text = std::fs::read_to_string(&counts).expect("callgrind's file");
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("totals: "))
        .and_then(|total| total.trim().parse().ok())
        .unwrap_or_else(|| panic!("no total: {outcome:?}"));
    (outcome, total)
}
