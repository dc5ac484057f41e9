//! Programs of musl under the same library, alone and in trees with programs of glibc.
//!
//! `scripts/test` runs much of the rest of the tests, the matrix of RELIABILITY.md among it, with programs of
//! musl besides (`PRELOAD_TESTS_LIBC=musl`).

use crate::support::{Outcome, Report, Run, Source, musl_gcc, musl_loader, tool};
use std::path::PathBuf;

/// A program of musl; `None` where there is no musl.
fn program(name: &str) -> Option<PathBuf> {
    built(Source::c(name))
}

fn built(source: Source) -> Option<PathBuf> {
    Some(source.compiler(musl_gcc()?).build())
}

fn skip_heapprof() -> Run {
    Run::plain(tool())
}

/// Runs a program plain and under the library, which must not make a difference.
fn same_as_plain(program: &std::path::Path, arguments: &[&str]) -> Outcome {
    let plain = Run::plain(program).args(arguments).succeed();
    let profiled = Run::preloaded(program).args(arguments).succeed();
    assert_eq!(profiled.stdout, plain.stdout);
    profiled
}

#[test]
fn every_function_counts_once_with_the_size_asked_for() {
    let Some(program) = program("calls") else {
        return;
    };
    let report = Run::preloaded(program).succeed().report();
    report.assert_has_rows_of("calls.csv");
}

#[test]
fn calls_behave_as_without_the_library() {
    let Some(program) = program("behaviour") else {
        return;
    };
    let outcome = same_as_plain(&program, &[]);
    assert!(outcome.stdout.contains("block errno 77"), "{outcome:?}");
    let outcome = same_as_plain(&program, &["failing"]);
    assert!(outcome.stdout.contains("NULL errno 12"), "{outcome:?}");
}

#[test]
fn new_memory_is_not_touched_by_calloc() {
    let Some(program) = program("untouched") else {
        return;
    };
    let outcome = same_as_plain(&program, &[]);
    let [kilobytes] = outcome.numbers()[..] else {
        panic!("one number: {outcome:?}");
    };
    assert!(kilobytes < 8 << 10, "{outcome:?}");
}

#[test]
fn functions_of_musl_are_named() {
    let Some(program) = program("strdup") else {
        return;
    };
    let report = Run::preloaded(program).succeed().report();
    let named = report
        .rows
        .iter()
        .any(|row| row.frames.iter().any(|frame| frame == "strdup"));
    assert!(named, "{}", report.text);
}

#[test]
fn a_program_given_to_the_loader_is_profiled_as_itself() {
    let (Some(program), Some(loader)) = (program("starts"), musl_loader()) else {
        return;
    };
    let outcome = Run::preloaded(loader)
        .args(&[program.as_os_str(), "30".as_ref()])
        .succeed();
    let report = outcome.report();
    report.assert_row(["ask", "main", "libc", "-"], 30, 60);
}

#[test]
fn a_static_program_is_explained() {
    let Some(program) = built(Source::c("starts").flags(&["-static"])) else {
        return;
    };
    let outcome = skip_heapprof().arg(program).finish();
    assert!(outcome.stderr.contains("statically linked"), "{outcome:?}");
    assert!(!outcome.status.success(), "{outcome:?}");
}

/// Each program of a tree has exact counts, whichever C library starts which.
#[test]
fn trees_of_both_c_libraries_are_followed() {
    let Some(musl) = program("starts") else {
        return;
    };
    let glibc = Source::c("starts").compiler("gcc").build();
    let by_make = tempfile::tempdir().expect("a folder");
    let text = |path: &PathBuf| path.to_str().expect("text").to_owned();
    let makefile = by_make.path().join("Makefile");
    let recipe = format!(
        "all:\n\t{musl} 11 {glibc} 12 {musl} 13 {glibc} 14\n\t{glibc} 15 {musl} 16\n",
        musl = text(&musl),
        glibc = text(&glibc)
    );
    std::fs::write(&makefile, recipe).expect("the makefile");
    let run = |command: &[&str]| {
        let csv = by_make.path().join("out.csv");
        skip_heapprof()
            .args(&["--merge", "-o", &text(&csv), "--"])
            .args(command)
            .succeed();
        Report::read(&csv)
    };
    let report = run(&["make", "-f", &text(&makefile)]);
    for size in 11..=16 {
        assert_eq!(calls_of(&report, size), 2 * size, "{}", report.text);
    }
    let report = run(&[&text(&musl), "21", &text(&glibc), "22", &text(&musl), "23"]);
    for size in 21..=23 {
        assert_eq!(calls_of(&report, size), 2 * size, "{}", report.text);
    }
}

/// Calls of `ask` for blocks of this size.
fn calls_of(report: &Report, size: u64) -> u64 {
    let rows = report.rows_by("ask");
    let rows = rows.iter().filter(|row| row.size == size);
    rows.map(|row| row.calls).sum()
}

/// The leak check finds blocks that nothing leads to, and none that something does, among the free slots of
/// musl's malloc with stale addresses, and in threads that have ended or wait.
#[test]
fn leaks_are_found() {
    let Some(program) = built(Source::c("musl_leaks").flags(&["-O0"])) else {
        return;
    };
    let outcome = Run::preloaded(program)
        .env("SKIP_HEAP_LEAK_CHECK", "1")
        .succeed();
    let said = |text: &str| outcome.stderr.contains(text);
    assert!(
        said("leaked (unreachable): 5550 bytes in 80 blocks from 3 stacks"),
        "{outcome:?}"
    );
    for function in ["lose_all", "of_stale_table", "in_ended_thread"] {
        assert!(said(function), "{function}: {outcome:?}");
    }
}
