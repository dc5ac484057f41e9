//! Unusual stacks: recursion, coroutines, signal handlers, aligned frames, exceptions.

use crate::support::{Outcome, Run, Source, library};
use std::time::Duration;

fn run(what: &str) -> Outcome {
    let program = Source::c("stacks").build();
    Run::preloaded(program).arg(what).succeed()
}

/// What the tool says about a case. (The library alone prints nothing but its three lines.)
fn summary(case: &str) -> String {
    Run::plain(env!("CARGO_BIN_EXE_skip-heapprof"))
        .arg(Source::c("stacks").build())
        .arg(case)
        .succeed()
        .stderr
}

#[test]
fn a_realigned_frame_is_stepped_over() {
    let report = run("over-aligned").report();
    report.assert_row(["ask", "over_aligned", "main", "libc"], 64, 1);
    let report = run("variable").report();
    report.assert_row(["ask", "variable_frame", "main", "libc"], 65, 1);
}

#[test]
fn coroutines_on_stacks_of_their_own_are_counted() {
    let report = run("coroutines").report();
    let rows = report.rows_by("ask");
    let calls: u64 = rows.iter().map(|row| row.calls).sum();
    assert_eq!(calls, 10, "{}", report.text);
    assert!(
        rows.iter().all(|row| row.frames[1] == "coroutine"),
        "{}",
        report.text
    );
}

#[test]
fn a_signal_handler_is_a_frame_above_the_code_it_interrupted() {
    for stack in ["signal", "signal-stack"] {
        let report = run(stack).report();
        assert_eq!(report.calls_by("ask"), 10, "{}", report.text);
        let row = report.rows_by("ask")[0];
        // Below the handler stands the frame that the kernel made, which libc owns.
        assert_eq!(row.frames[..2], ["ask", "in_handler"], "{}", report.text);
        assert_ne!(row.frames[2], "-", "{}", report.text);
    }
}

#[test]
fn longjmp_over_frames_does_no_harm() {
    let report = run("jumps").report();
    report.assert_row(["ask", "jumps_out", "jumps", "main"], 68, 10);
    report.assert_row(["ask", "jumps", "main", "libc"], 69, 1);
}

#[test]
fn exceptions_pass_through() {
    let report = Run::preloaded(Source::cpp("exceptions").build())
        .succeed()
        .report();
    // Ten calls of thrower for each exception: the outermost has the catcher above it, the second
    // too, the others show the recursion as one frame.
    let calls: u64 = report
        .rows_by("thrower(int)")
        .iter()
        .filter(|row| row.size == 80)
        .map(|row| row.calls)
        .sum();
    assert_eq!(calls, 1000, "{}", report.text);
    report.assert_row(["thrower(int)", "catcher()", "main", "libc"], 80, 100);
    report.assert_row(
        ["thrower(int)", "thrower(int)", "catcher()", "main"],
        80,
        900,
    );
}

#[test]
fn a_stack_of_a_hundred_thousand_frames_is_walked_as_far_as_needed() {
    let report = run("deep").report();
    report.assert_row(["ask", "deep", "deep", "deep"], 70, 1);
}

#[test]
fn the_walk_over_endless_recursion_is_bounded_and_says_so() {
    let outcome = run("deep-and-equal");
    // 100 000 walks of 100 000 frames each would take at least 10 s at a nanosecond a frame.
    let took = outcome.processor_time;
    assert!(took < Duration::from_secs(10), "{took:?}: {outcome:?}");
    let report = outcome.reports().remove(0);
    assert_eq!(report.calls_by("many"), 100000, "{}", report.text);
    // The honesty counter: all 100 000 stacks were cut.
    assert!(summary("deep-and-equal").contains("100,000 allocations were cut"));
}

#[test]
fn code_without_unwind_information_and_a_stray_frame_pointer_cuts_the_stack_and_says_so() {
    let outcome = run("no-information");
    let report = outcome.reports().remove(0);
    assert_eq!(report.calls_by("no_information"), 1, "{}", report.text);
    assert_eq!(report.calls(), 1, "{}", report.text);
    let summary = summary("no-information");
    assert!(summary.contains("cut"), "{summary}");
}

#[test]
fn a_handler_that_interrupts_the_recording_of_an_allocation_is_counted_or_reported_missing() {
    let other = Source::c_library("other_allocator").build();
    let preload = format!("{}:{}", library().display(), other.display());
    let outcome = Run::plain(Source::c("interrupted").build())
        .env("LD_PRELOAD", preload)
        .succeed();
    let numbers = outcome.numbers();
    let (asked, runs) = (numbers[0], numbers[1]);
    let report = outcome.reports().remove(0);
    assert_eq!(report.calls_by("ask"), asked, "{outcome:?}");
    let recorded = report.calls_by("in_handler");
    assert!(recorded <= runs, "{recorded} of {runs}");
    // What arrived while the profiler itself was at work is missing, and is said to be.
    let missing = runs - recorded;
    assert!(
        missing == 0 || outcome.stderr.contains(&missing.to_string()),
        "{missing} of {runs} are missing: {outcome:?}"
    );
}
