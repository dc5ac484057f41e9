//! Stacks that cannot be taken for granted: tiny, overflowing, wild, at the edge of memory.

use super::{programs_lines, same_as_plain};
use crate::support::{Outcome, Run, Source, is_emulated};
use std::path::PathBuf;

fn program(flags: &[&str]) -> PathBuf {
    Source::c("torture_stacks").flags(flags).build()
}

fn stacks(how: &str) -> Outcome {
    same_as_plain(|run| run.arg(how), &program(&[]))
}

/// Calls of `ask` by size, whatever else was said on standard error.
fn by_size(outcome: &Outcome, size: u64) -> u64 {
    let reports = outcome.reports();
    let rows = reports[0].rows_by("ask");
    rows.iter()
        .filter(|row| row.size == size)
        .map(|row| row.calls)
        .sum()
}

/// The stack has 2 KiB more than the kernel needs for the registers. The program measures what was
/// used of it.
#[test]
fn the_least_signal_stack_is_enough() {
    let used = |run: Run| {
        let outcome = run.arg("least-signal-stack").finish();
        assert_eq!(outcome.status.code(), Some(3), "{outcome:?}");
        let lines = programs_lines(&outcome.stderr);
        let used: u64 = lines[0]
            .strip_prefix("used ")
            .expect("a number")
            .parse()
            .expect("a number");
        (used, outcome)
    };
    let (plain, _) = used(Run::plain(program(&[])));
    let (profiled, outcome) = used(Run::preloaded(program(&[])));
    assert_eq!(by_size(&outcome, 41), 10);
    assert!(
        profiled <= plain + 1024,
        "{plain} bytes of stack, {profiled} under the profiler"
    );
}

#[test]
fn a_handler_of_stack_overflows_allocates_and_jumps_out() {
    let outcome = stacks("overflow");
    assert_eq!((by_size(&outcome, 42), by_size(&outcome, 45)), (3, 3));
}

#[test]
fn a_stack_overflow_kills_as_before() {
    stacks("overflow-dies");
}

#[test]
fn a_hundred_thousand_frames() {
    assert_eq!(by_size(&stacks("deep"), 43), 1);
}

#[test]
fn coroutines_on_memory_that_is_freed_under_them() {
    let outcome = stacks("coroutine-heap");
    assert_eq!(by_size(&outcome, 44), 20 * 5);
    assert_eq!(by_size(&outcome, 45), 20);
}

#[test]
fn tail_calls_are_counted_for_who_is_on_the_stack() {
    stacks("tail-call")
        .report()
        .assert_row(["ask", "main", "libc", "libc"], 46, 10);
}

#[test]
fn assembly_without_unwind_information_and_with_any_frame_pointer() {
    let outcome = stacks("assembly");
    assert_eq!(by_size(&outcome, 46), 10);
    assert_eq!(by_size(&outcome, 47), 13);
}

#[test]
fn a_stack_at_the_edge_of_unmapped_memory() {
    let outcome = stacks("edge");
    assert_eq!(by_size(&outcome, 48), 5);
    assert_eq!(by_size(&outcome, 49), 5);
}

/// Stacks are as always in code that the processor may hold to its indirect branches.
#[test]
fn code_for_control_flow_protection_is_walked_as_any() {
    let option = match is_emulated() {
        true => "-mbranch-protection=standard",
        false => "-fcf-protection=full",
    };
    for flags in [&[option][..], &[option, "-O2", "-fomit-frame-pointer"]] {
        let program = program(flags);
        for (how, size, calls) in [
            ("coroutine-heap", 44, 100),
            ("assembly", 47, 13),
            ("overflow", 42, 3),
        ] {
            let outcome = same_as_plain(|run| run.arg(how), &program);
            assert_eq!(by_size(&outcome, size), calls, "{flags:?} {how}");
        }
    }
}

#[test]
fn panics_of_rust_pass_through_frames_that_allocate() {
    for level in ["0", "3"] {
        let program = Source::rust("rust_panics")
            .flags(&["-C".to_owned(), format!("opt-level={level}")])
            .build();
        let outcome = same_as_plain(|run| run, &program);
        assert_eq!(outcome.stdout, "100\n", "{outcome:?}");
        let sizes = outcome.report().by_size();
        for (size, calls) in [(41, 1000), (42, 1000), (43, 100)] {
            assert_eq!(sizes.get(&size), Some(&calls), "opt-level {level}, {size}");
        }
    }
}
