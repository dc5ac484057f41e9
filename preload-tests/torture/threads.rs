//! Threads: short ones, many, cancelled ones, with stacks of their own.

use super::{programs_lines, same_as_plain};
use crate::support::{Outcome, Run, Source};
use std::path::PathBuf;

fn program() -> PathBuf {
    Source::c("torture_threads").flags(&["-pthread"]).build()
}

fn threads(how: &str, times: u64) -> Outcome {
    same_as_plain(|run| run.arg(how).arg(times.to_string()), &program())
}

#[test]
fn ten_thousand_short_threads() {
    let calls = threads("short", 10_000).report().calls_by("ask");
    assert_eq!(calls, 10_000);
}

#[test]
fn two_hundred_threads_at_once() {
    let calls = threads("at-once", 200).report().calls_by("ask");
    assert_eq!(calls, 200 * 100);
}

/// The program counts its calls itself: how many there are is a matter of chance.
#[test]
fn threads_that_are_cancelled_between_allocations() {
    for how in ["cancel", "cancel-async"] {
        let outcome = Run::preloaded(program()).arg(how).arg("200").finish();
        assert_eq!(outcome.status.code(), Some(3), "{outcome:?}");
        let lines = programs_lines(&outcome.stderr);
        let asked: u64 = lines[0]
            .strip_prefix("asked ")
            .expect("a count")
            .parse()
            .expect("a count");
        let counted = outcome.reports()[0].by_size()[&41];
        // glibc 2.36 cancels asynchronously although that is disabled, if the request came before:
        // between the call and the program's own count of it, once a thread.
        let missing = if how == "cancel" { 0 } else { 200 };
        assert!(
            (asked..=asked + missing).contains(&counted),
            "{how}: {counted} counted, {outcome:?}"
        );
    }
}

#[test]
fn blocks_that_another_thread_frees() {
    let calls = threads("across", 20).report().calls_by("ask");
    assert_eq!(calls, 20 * 1000);
}

#[test]
fn stacks_that_the_program_made_and_gives_back() {
    let calls = threads("own-stack", 50).report().calls_by("ask");
    assert_eq!(calls, 50);
}

#[test]
fn the_smallest_stacks_that_threads_can_have() {
    let calls = threads("smallest-stack", 50).report().calls_by("ask");
    assert_eq!(calls, 50);
}

#[test]
fn a_thread_whose_first_allocation_is_the_loaders() {
    let library = Source::c_library("tls_library")
        .flags(&["-ftls-model=global-dynamic"])
        .build();
    let outcome = same_as_plain(
        |run: Run| run.args(&["in-loader", "1"]).arg(&library),
        &program(),
    );
    let report = outcome.report();
    assert_eq!(report.calls_by("ask"), 1);
    assert_eq!(report.calls_by("touch"), 1, "{}", report.text);
    // The loader's own, for the thread-local storage.
    assert!(
        report.by_size().keys().any(|&size| size >= 100_000),
        "{}",
        report.text
    );
}
