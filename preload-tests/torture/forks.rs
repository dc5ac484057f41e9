//! Processes that make others: fork, vfork, clone, spawn, exec, daemons.

use super::same_as_plain;
use crate::support::{Outcome, Report, Run, Source, tool};
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn program() -> PathBuf {
    Source::c("torture_forks").build()
}

fn forks(how: &str, times: u64) -> Outcome {
    same_as_plain(|run| run.arg(how).arg(times.to_string()), &program())
}

/// Calls made by a function in all processes of a run.
fn calls(outcome: &Outcome, function: &str) -> u64 {
    let reports = outcome.reports();
    reports.iter().map(|report| report.calls_by(function)).sum()
}

/// The children under the tool: one report for all of them.
fn merged(how: &str, times: u64) -> (Outcome, Report) {
    let folder = tempfile::tempdir().expect("a folder");
    let csv = folder.path().join("out.csv");
    let outcome = Run::plain(tool())
        .args(&["--merge", "-o"])
        .arg(&csv)
        .arg(program())
        .arg(how)
        .arg(times.to_string())
        .finish();
    assert_eq!(outcome.status.code(), Some(3), "{outcome:?}");
    (outcome, Report::read(&csv))
}

#[test]
fn a_thousand_forks_from_a_thread_among_others_that_allocate() {
    let (outcome, report) = merged("from-threads", 1000);
    assert_eq!(outcome.stdout, "bad 0\n", "{outcome:?}");
    assert_eq!(report.calls_by("ask_in_child"), 5 * 1000);
    assert_eq!(report.calls_by("ask"), 100);
}

#[test]
fn forks_in_signal_handlers() {
    let outcome = forks("in-handler", 20);
    assert_eq!(calls(&outcome, "ask_in_child"), 6 * 20);
    assert_eq!(calls(&outcome, "ask"), 100);
}

#[test]
fn children_of_raw_clone_have_reports_of_their_own() {
    let outcome = forks("clone", 20);
    assert_eq!(calls(&outcome, "ask_in_child"), 5 * 20);
    assert_eq!(calls(&outcome, "ask"), 100);
    assert_eq!(outcome.reports().len(), 21);
}

#[test]
fn spawned_programs_are_reported() {
    let outcome = forks("spawn", 10);
    assert_eq!(calls(&outcome, "ask"), 100 + 12 * 10);
}

#[test]
fn a_daemon_is_reported_and_its_descriptors_are_its_own() {
    forks("daemon", 1);
    let (_, report) = merged("daemon", 1);
    assert_eq!(report.calls_by("ask_in_child"), 9);
    assert_eq!(report.calls_by("ask"), 100);
}

#[test]
fn programs_that_are_run_without_the_environment_run_and_the_rest_is_reported() {
    for how in ["scrubbed", "edited"] {
        let outcome = forks(how, 1);
        assert_eq!(calls(&outcome, "ask"), 100, "{how}");
        let (outcome, report) = merged(how, 1);
        assert_eq!(report.calls_by("ask"), 100, "{how}");
        assert_eq!(report.calls_by("ask_in_child"), 2, "{how}");
        // Whose report ends there is said.
        assert!(
            outcome.stderr.contains("note: 1 process (torture_forks "),
            "{how}: {outcome:?}"
        );
    }
}

#[test]
fn a_chain_of_programs_is_reported_to_its_end() {
    let outcome = forks("chain", 10);
    assert_eq!(calls(&outcome, "ask"), 100 * 11);
}

#[test]
fn a_child_that_outlives_its_parent_is_reported() {
    let outcome = forks("outlives", 1);
    let written = || {
        let folder = std::fs::read_dir(outcome.tmp()).expect("the folder");
        folder
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|end| end == "csv"))
            .map(|path| Report::read(&path).calls_by("ask_in_child"))
            .sum::<u64>()
    };
    let start = Instant::now();
    while written() != 8 {
        assert!(start.elapsed() < Duration::from_secs(60), "{outcome:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
