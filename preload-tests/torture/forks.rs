//! Processes that make processes: fork wherever it is allowed, vfork, clone, spawn, daemons, exec.

use super::same_as_plain;
use crate::support::{Outcome, Report, Run, Source, tool};
use std::fs;
use std::path::{Path, PathBuf};

/// The fixture.
fn program() -> PathBuf {
    Source::c("torture_forks").build()
}

/// The fixture with an allocator that may be called in a signal handler, whatever that interrupted.
fn with_reentrant_allocator() -> PathBuf {
    let allocator = Source::c_library("other_allocator").build();
    let folder = allocator.parent().expect("the folder of the library");
    Source::c("torture_forks")
        .flags(&[
            "-Wl,--no-as-needed".to_owned(),
            allocator.display().to_string(),
            format!("-Wl,-rpath,{}", folder.display()),
        ])
        .build()
}

/// The reports of a run: of the process that ran `main`, and of all others.
fn parent_and_others(outcome: &Outcome) -> (Report, Vec<Report>) {
    let of_parent = |report: &Report| report.calls_by("work") + report.calls_by("ask") >= 100;
    let (mut parents, others): (Vec<_>, Vec<_>) =
        outcome.reports().into_iter().partition(of_parent);
    assert_eq!(parents.len(), 1, "{outcome:?}");
    (parents.remove(0), others)
}

/// How often the program says that it asked.
fn asked(outcome: &Outcome) -> u64 {
    let text = fs::read_to_string(outcome.tmp().join("asked")).expect("the program's own count");
    text.trim().parse().expect("a number")
}

/// Runs the fixture plain and profiled; the parent's count must be what it says itself, and each of
/// the `children` must have asked `each` times.
fn forked(program: &Path, arguments: &[&str], children: usize, each: u64) -> Outcome {
    let outcome = same_as_plain(|run| run.args(arguments), program);
    assert_eq!(outcome.status.code(), Some(7), "{outcome:?}");
    let (parent, others) = parent_and_others(&outcome);
    assert_eq!(parent.calls_by("ask"), asked(&outcome), "{arguments:?}");
    assert_eq!(parent.calls_by("child_ask"), 0, "{arguments:?}");
    assert_eq!(others.len(), children, "{outcome:?}");
    for child in others {
        assert_eq!(child.calls_by("child_ask"), each, "{}", child.text);
    }
    outcome
}

#[test]
fn each_fork_from_one_of_many_allocating_threads_is_counted_exactly() {
    forked(&program(), &["threads", "100"], 100, 10);
}

/// The same a thousand times, under the tool, which sums up.
#[test]
fn a_thousand_forks_from_one_of_many_allocating_threads_are_counted_exactly() {
    let folder = tempfile::tempdir().expect("a folder");
    let csv = folder.path().join("all.csv");
    let outcome = Run::plain(tool())
        .args(&["--merge", "-o"])
        .arg(&csv)
        .arg(program())
        .args(&["threads", "1000"])
        .finish();
    assert_eq!(outcome.status.code(), Some(7), "{outcome:?}");
    let report = Report::read(&csv);
    assert_eq!(report.calls_by("ask"), asked(&outcome), "{outcome:?}");
    assert_eq!(report.calls_by("child_ask"), 10_000, "{outcome:?}");
}

#[test]
fn forks_in_a_signal_handler_are_counted_exactly() {
    forked(&with_reentrant_allocator(), &["handler", "200"], 200, 3);
}
