//! Threads: how they begin, whose stack they have, how they are cancelled and torn down.

use super::same_as_plain;
use crate::support::{Outcome, Report, Source};
use std::fs;
use std::path::{Path, PathBuf};

/// The fixture.
fn program() -> PathBuf {
    Source::c("torture_threads").build()
}

/// The library with a thread-local variable.
fn tls_library() -> PathBuf {
    Source::c_library("torture_tls").build()
}

/// Runs the fixture plain and profiled, with its own exit status.
fn run(program: &Path, arguments: &[&str]) -> (Outcome, Report) {
    let outcome = same_as_plain(|run| run.args(arguments), program);
    assert_eq!(outcome.status.code(), Some(7), "{outcome:?}");
    let report = outcome.report();
    (outcome, report)
}

/// Runs the fixture with so many threads; the calls that `ask` made.
fn asked(how: &str, threads: u64) -> u64 {
    let (_, report) = run(&program(), &[how, &threads.to_string()]);
    // Whatever the thread, the stack is the same.
    assert_eq!(report.rows_by("ask").len(), 1, "{}", report.text);
    report.calls_by("ask")
}

/// The loader allocates the variable's block in the thread's first access, and frees it in the
/// thread's end.
#[test]
fn a_thread_whose_first_allocation_is_the_loaders_is_counted_exactly() {
    let library = tls_library();
    let (_, report) = run(
        &program(),
        &["tls-of-library", "50", &library.to_string_lossy()],
    );
    assert_eq!(report.calls_by("ask"), 500, "{}", report.text);
    // A block for each thread, with the loader's own words in front.
    let blocks = report.rows.iter().filter(|row| row.size > 1 << 16);
    let blocks: u64 = blocks.map(|row| row.calls).sum();
    assert_eq!(blocks, 50, "{}", report.text);
}

#[test]
fn threads_that_open_and_close_a_library_first_are_counted_exactly() {
    let library = tls_library();
    let (_, report) = run(&program(), &["loads", "50", &library.to_string_lossy()]);
    assert_eq!(report.calls_by("ask"), 500, "{}", report.text);
    for function in ["library_constructor", "library_destructor"] {
        assert_eq!(report.calls_by(function), 50, "{}", report.text);
    }
}

/// Four rounds of destructors are what glibc allows; our own runs among the first.
#[test]
fn destructors_of_keys_that_allocate_in_every_round_are_counted_exactly() {
    let (_, report) = run(&program(), &["keys", "100"]);
    assert_eq!(report.calls_by("ask"), 100 * 3 * 4, "{}", report.text);
}

/// What the program itself counted: calls begun and calls done.
fn begun_and_done(outcome: &Outcome) -> (u64, u64) {
    let text = fs::read_to_string(outcome.tmp().join("asked")).expect("the program's own counts");
    let mut numbers = text
        .split_whitespace()
        .map(|n| n.parse().expect("a number"));
    let mut next = || numbers.next().expect("two numbers");
    (next(), next())
}

#[test]
fn cancelled_threads_are_counted_exactly() {
    let (outcome, report) = run(&program(), &["cancel", "200"]);
    let (begun, done) = begun_and_done(&outcome);
    assert_eq!(begun, done);
    // One more in each handler of the cancellation.
    assert_eq!(report.calls_by("ask"), done + 200, "{}", report.text);
}

/// Cancelled at any instruction, also between the allocation and its count. (The allocator is one
/// that may be interrupted for good.)
#[test]
fn a_cancellation_at_any_instruction_unwinds_and_loses_no_more_than_its_own_call() {
    let allocator = Source::c_library("other_allocator").build();
    let folder = allocator.parent().expect("the folder of the library");
    let program = Source::c("torture_threads")
        .flags(&[
            "-Wl,--no-as-needed".to_owned(),
            allocator.display().to_string(),
            format!("-Wl,-rpath,{}", folder.display()),
        ])
        .build();
    // On a busy machine two hundred cancellations may all come between two calls.
    let mut was_interrupted = false;
    for _ in 0..20 {
        let (outcome, report) = run(&program, &["cancel-at-once", "200"]);
        let (begun, done) = begun_and_done(&outcome);
        let counted = report.calls_by("ask") - 200;
        assert!(
            (done..=begun).contains(&counted),
            "{done} done, {counted} counted, {begun} begun"
        );
        was_interrupted |= begun > done;
        if was_interrupted {
            break;
        }
    }
    assert!(was_interrupted, "no call was ever interrupted");
}

#[test]
fn blocks_that_other_threads_free_are_counted_once() {
    assert_eq!(asked("across", 8), 8000);
}

#[test]
fn stacks_of_the_programs_own_making_are_walked_and_let_go() {
    assert_eq!(asked("own-stacks", 100), 1000);
}

#[test]
fn the_smallest_stacks_are_large_enough() {
    assert_eq!(asked("smallest-stacks", 100), 1000);
}

#[test]
fn threads_of_c11_are_counted_exactly() {
    assert_eq!(asked("c11", 100), 1000);
}

#[test]
fn threads_that_outlive_main_are_counted_exactly() {
    let outcome = same_as_plain(|run| run.args(&["main-leaves-first", "50"]), &program());
    assert_eq!(outcome.status.code(), Some(0), "{outcome:?}");
    assert_eq!(outcome.report().calls_by("ask"), 500, "{outcome:?}");
}

#[test]
fn detached_threads_that_end_as_the_process_does_are_counted_exactly() {
    for _ in 0..10 {
        assert_eq!(asked("detached-at-once", 20), 200);
    }
}

#[test]
fn threads_that_only_free_do_no_harm() {
    assert_eq!(asked("frees-only", 100), 100);
}

#[test]
fn exit_by_a_thread_after_main_has_left_counts_what_the_others_did() {
    assert_eq!(asked("exit-by-thread", 50), 500);
}
