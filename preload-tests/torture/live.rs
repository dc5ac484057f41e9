//! Programs that following their blocks, sampling or looking for leaks could harm: other allocators, clocks and
//! floating-point exceptions that a program has changed, memory of all kinds.

use super::same_as_plain;
use crate::support::{Outcome, Run, Source, tool};
use std::path::Path;
use std::time::Duration;

/// The settings under which more happens than counting.
const SETTINGS: [&[(&str, &str)]; 4] = [
    &[],
    &[("SKIP_HEAP_LIVE", "1")],
    &[("SKIP_HEAP_LIVE", "1"), ("SKIP_HEAP_SAMPLE", "1000")],
    &[("SKIP_HEAP_LIVE", "1"), ("SKIP_HEAP_STACK_DEPTH", "full")],
];

/// Runs the program under all settings, as it runs plain.
fn same_under_all(arrange: impl Fn(Run) -> Run, program: &Path) -> Vec<Outcome> {
    let with = |settings: &[(&str, &str)]| {
        let set = |run: Run, &(name, value): &(&str, &str)| run.env(name, value);
        same_as_plain(|run| settings.iter().fold(arrange(run), set), program)
    };
    SETTINGS.iter().map(|settings| with(settings)).collect()
}

#[test]
fn an_allocator_that_does_not_say_how_large_its_blocks_are() {
    let allocator = Source::c_library("page_allocator").build();
    let outcomes = same_under_all(
        |run| run.also_preload(&allocator),
        &Source::c("pattern").build(),
    );
    outcomes[1].report().assert_is("pattern.csv");
}

/// The allocators of the sanitizers: one crashes when it is asked for the size of no block, others report what
/// they are not asked for as defined.
#[test]
fn programs_of_the_sanitizers() {
    let builds = [
        ("gcc", "leak"),
        ("gcc", "thread"),
        ("gcc", "undefined"),
        ("gcc", "address"),
        ("clang", "leak"),
        ("clang", "address"),
        ("clang", "memory"),
    ];
    for (compiler, sanitizer) in builds {
        let flag = format!("-fsanitize={sanitizer}");
        let program = Source::c("pattern").compiler(compiler).flags(&[flag]);
        let outcomes = same_under_all(
            |run| {
                run.env("LSAN_OPTIONS", "detect_leaks=0")
                    .env("ASAN_OPTIONS", "detect_leaks=0:verify_asan_link_order=0")
            },
            &program.build(),
        );
        for outcome in outcomes {
            assert!(
                outcome.status.success(),
                "{compiler} {sanitizer}: {outcome:?}"
            );
            assert_eq!(outcome.reports().len(), 1, "{outcome:?}");
        }
    }
}

#[test]
fn programs_that_forbid_themselves_to_read_the_clock() {
    let program = Source::c("torture_clock").build();
    for how in ["tsc", "strict"] {
        for outcome in same_under_all(|run| run.arg(how), &program) {
            assert_eq!(outcome.status.code(), Some(3), "{how}: {outcome:?}");
        }
    }
}

#[test]
fn floating_point_exceptions_and_rounding_stay_the_programs() {
    let program = Source::c("torture_floats").flags(&["-lm"]).build();
    for arguments in [&[][..], &["trap"]] {
        same_under_all(|run| run.args(arguments), &program);
    }
}

#[test]
fn no_descriptor_is_taken_from_under_another_thread() {
    let program = Source::c("torture_descriptors").build();
    for outcome in same_under_all(|run| run, &program) {
        assert_eq!(outcome.stdout, "wrong numbers: 0\n", "{outcome:?}");
    }
}

/// Without the limit of the start, mappings of the program would be taken for parts of its stack.
#[test]
fn a_coroutine_where_a_raised_limit_lets_the_stack_grow_to() {
    let program = Source::c("torture_stack_limit").build();
    for outcome in same_under_all(Run::fixed_addresses, &program) {
        assert_eq!(outcome.stdout, "0\n", "{outcome:?}");
    }
}

fn leaks(how: &str) -> Option<Outcome> {
    let outcome = same_as_plain(
        |run| run.arg(how).env("SKIP_HEAP_LEAK_CHECK", "1"),
        &Source::c("torture_leaks").build(),
    );
    if outcome.status.code() == Some(77) {
        eprintln!("{how}: not on this machine");
        return None;
    }
    assert_eq!(outcome.status.code(), Some(3), "{outcome:?}");
    Some(outcome)
}

const FOUND: &str = "leaked (unreachable): 555 bytes in 1 block from 1 stack";

/// It finds the one leak that there is.
fn assert_finds_the_leak(how: &str) {
    let Some(outcome) = leaks(how) else { return };
    assert!(outcome.stderr.contains(FOUND), "{outcome:?}");
}

#[test]
fn blocks_in_memory_with_holes_are_reached() {
    assert_finds_the_leak("holes");
}

#[test]
fn blocks_in_memory_that_cannot_be_written_any_more_are_reached() {
    assert_finds_the_leak("read-only");
}

#[test]
fn memory_that_looks_like_a_heap_of_glibc_keeps_its_blocks() {
    assert_finds_the_leak("like-a-heap");
}

/// The program would wait for ever in the midst of its end.
#[test]
fn pages_that_a_program_brings_itself_are_not_asked_for() {
    assert_finds_the_leak("userfaultfd");
}

/// Blocks that are not known lead to others.
#[test]
fn what_was_allocated_while_nothing_was_recorded_keeps_its_blocks() {
    let program = Source::c("torture_stopped").build();
    let run = || Run::preloaded(&program).env("SKIP_HEAP_LEAK_CHECK", "1");
    let by_itself = run().finish();
    let from_the_start = run().env("SKIP_HEAP_STOPPED", "1").finish();
    let mut from_outside = run().arg("outside").start();
    for command in ["stop", "start"] {
        from_outside.wait_for_output(command);
        let pid = from_outside.pid().to_string();
        Run::plain(tool()).args(&[command, &pid]).succeed();
        from_outside.signal(libc::SIGUSR1);
    }
    for outcome in [by_itself, from_the_start, from_outside.finish()] {
        assert_eq!(outcome.status.code(), Some(3), "{outcome:?}");
        assert!(outcome.stderr.contains(FOUND), "{outcome:?}");
    }
}

/// Time of the processor that the program takes under the leak check: the least of three runs, since on a busy machine
/// each page costs more.
fn processor_time(how: &str) -> Duration {
    let program = Source::c("torture_leaks").build();
    let times = (0..3).map(|_| {
        let run = Run::preloaded(&program).arg(how);
        let outcome = run.env("SKIP_HEAP_LEAK_CHECK", "1").finish();
        assert_eq!(outcome.status.code(), Some(3), "{outcome:?}");
        outcome.processor_time
    });
    times.min().expect("three")
}

#[test]
fn a_large_block_of_which_hardly_a_page_is_used_is_looked_at_in_no_time() {
    assert_finds_the_leak("large-block");
    let took = processor_time("large-block");
    assert!(took < Duration::from_millis(300), "{took:?}");
}

/// Before 6.7 the kernel is asked about each page.
#[test]
fn a_mapping_of_terabytes_is_looked_at_in_no_time() {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let mut numbers = release.split(['.', '-']).map(|n| n.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < (6, 7) {
        eprintln!("this kernel does not tell which pages there are");
        return;
    }
    assert_finds_the_leak("terabytes");
    let took = processor_time("terabytes");
    assert!(took < Duration::from_millis(300), "{took:?}");
}

#[test]
fn a_filter_that_kills_for_reading_by_system_call_is_survived() {
    assert_finds_the_leak("filtered");
}

#[test]
fn where_the_memory_cannot_be_read_nothing_is_called_a_leak() {
    let outcome = leaks("no-descriptors").expect("any machine can");
    assert!(
        outcome.stderr.contains("no leak check: ") && !outcome.stderr.contains("leaked"),
        "{outcome:?}"
    );
}
