//! Exact counts with threads, and memory with many of them.

use crate::support::{Outcome, Run, Source};

fn arguments(how: &str, threads: u64, allocations: u64) -> [String; 3] {
    [how.to_owned(), threads.to_string(), allocations.to_string()]
}

/// Runs the fixture and checks the count.
fn counted(how: &str, threads: u64, allocations: u64) -> Outcome {
    let outcome = Run::preloaded(Source::c("threads").build())
        .args(&arguments(how, threads, allocations))
        .succeed();
    let report = outcome.report();
    assert_eq!(
        report.calls_by("ask"),
        threads * allocations,
        "{how} {threads}: {}",
        report.text
    );
    // All threads in one row: the same four functions, whichever thread ran them.
    assert_eq!(report.rows_by("ask").len(), 1, "{}", report.text);
    outcome
}

#[test]
fn threads_that_allocate_at_the_same_time_are_counted_exactly() {
    for (threads, allocations) in [(1, 100_000), (2, 200_000), (8, 50_000), (200, 2000)] {
        counted("together", threads, allocations);
    }
}

#[test]
fn threads_that_end_by_pthread_exit_are_counted_exactly() {
    counted("pthread_exit", 50, 1000);
}

#[test]
fn detached_threads_are_counted_exactly() {
    counted("detached", 50, 1000);
}

#[test]
fn threads_that_still_run_at_exit_are_counted() {
    counted("endless", 20, 1000);
}

#[test]
fn threads_that_still_allocate_at_exit_do_no_harm() {
    for _ in 0..20 {
        let outcome = Run::preloaded(Source::c("threads").build())
            .args(&arguments("busy", 4, 1000))
            .succeed();
        let report = outcome.reports().remove(0);
        assert_eq!(report.calls_by("ask"), 4000, "{outcome:?}");
        assert!(report.calls_by("ask_for_ever") > 0, "{outcome:?}");
    }
}

#[test]
fn ten_thousand_threads_in_turn_are_counted_exactly_in_bounded_memory() {
    let profiled = counted("in-turn", 10_000, 10);
    let plain = Run::plain(Source::c("threads").build())
        .args(&arguments("in-turn", 10_000, 10))
        .succeed();
    let (with, without) = (profiled.peak(), plain.peak());
    assert!(with < without + 30 * 1024, "{with} kB, plain {without} kB");
}

#[test]
fn the_profilers_memory_follows_the_threads_alive() {
    // Two hundred at once are allowed more than one, but each only a small part.
    let profiled = counted("together", 200, 10);
    let plain = Run::plain(Source::c("threads").build())
        .args(&arguments("together", 200, 10))
        .succeed();
    let (with, without) = (profiled.peak(), plain.peak());
    assert!(
        with < without + 30 * 1024 + 200 * 300,
        "{with} kB, plain {without} kB"
    );
}

#[test]
fn allocations_of_key_destructors_are_counted() {
    // glibc calls a destructor that sets its key again PTHREAD_DESTRUCTOR_ITERATIONS times.
    let outcome = counted("key", 100, 10);
    assert_eq!(outcome.report().calls_by("at_thread_end"), 400);
}

#[test]
fn allocations_of_thread_local_objects_are_counted() {
    let report = Run::preloaded(Source::cpp("thread_local").build())
        .succeed()
        .report();
    assert_eq!(report.calls_by("Object::Object()"), 50, "{}", report.text);
    assert_eq!(report.calls_by("Object::~Object()"), 50, "{}", report.text);
}
