//! Functions of the C library that the program, or another preloaded library, defines itself.

use super::same_as_plain;
use crate::support::{Outcome, Run, Source};
use std::path::Path;

/// Under each of them the library does something else besides counting.
const SETTINGS: [&[(&str, &str)]; 7] = [
    &[],
    &[("SKIP_HEAP_LIVE", "1")],
    &[("SKIP_HEAP_LEAK_CHECK", "1"), ("SKIP_HEAP_COLUMNS", "all")],
    &[("SKIP_HEAP_STACK_DEPTH", "full"), ("SKIP_HEAP_LIVE", "1")],
    &[("SKIP_HEAP_SAMPLE", "64")],
    &[("SKIP_HEAP_VERIFY", "1")],
    &[
        ("SKIP_HEAP_HOOKS", "leaf(size=arg0)"),
        ("SKIP_HEAP_KEEP", "1"),
    ],
];

/// Runs the program under all settings, as it runs plain; it must end well each time.
fn under_all(arrange: impl Fn(Run) -> Run, program: &Path) -> Vec<Outcome> {
    let with = |settings: &[(&str, &str)]| {
        let set = |run: Run, &(name, value): &(&str, &str)| run.env(name, value);
        let outcome = same_as_plain(|run| settings.iter().fold(arrange(run), set), program);
        assert!(outcome.status.success(), "{settings:?}: {outcome:?}");
        assert_eq!(outcome.report_paths().len(), 1, "{settings:?}: {outcome:?}");
        outcome
    };
    SETTINGS.iter().map(|settings| with(settings)).collect()
}

/// The fixture's functions end the process when the profiler calls one of them.
#[test]
fn a_preloaded_library_that_defines_what_the_profiler_might_call() {
    let library = Source::c_library("hostile")
        .flags(&["-fno-builtin"])
        .build();
    let outcomes = under_all(
        |run| run.also_preload(&library),
        &Source::c("pattern").build(),
    );
    outcomes[0].report().assert_is("pattern.csv");
    // Prints how much memory it took, which differs.
    let threads = Source::c("threads").build();
    for settings in SETTINGS {
        let run = Run::preloaded(&threads).also_preload(&library);
        let set = |run: Run, &(name, value): &(&str, &str)| run.env(name, value);
        let run = settings.iter().fold(run, set);
        let outcome = run.args(&["together", "8", "100"]).succeed();
        assert_eq!(outcome.report_paths().len(), 1, "{outcome:?}");
    }
}

#[test]
fn a_program_that_defines_what_the_profiler_might_call() {
    let hostile = crate::support::fixture_dir().join("hostile.c");
    let flags = ["-rdynamic", "-fno-builtin", hostile.to_str().expect("text")];
    let program = Source::c("pattern").flags(&flags).build();
    let outcomes = under_all(|run| run, &program);
    outcomes[0].report().assert_is("pattern.csv");
}

/// A program may have variables of its own under the names of the C library's.
#[test]
fn a_program_with_variables_named_as_those_of_the_c_library() {
    let variables = crate::support::fixture_dir().join("own_variables.c");
    let flags = ["-rdynamic", variables.to_str().expect("text")];
    let program = Source::c("pattern").flags(&flags).build();
    same_as_plain(|run| run, &program)
        .report()
        .assert_is("pattern.csv");
}

/// libfaketime's `clock_gettime` uses what its destructor has taken down when the report is written.
#[test]
fn a_library_that_fakes_the_time() {
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
    assert!(Path::new(library).exists(), "Debian's faketime is missing");
    let outcomes = under_all(
        |run| {
            run.also_preload(Path::new(library))
                .env("FAKETIME", "-15d")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        },
        &Source::c("pattern").build(),
    );
    assert_eq!(outcomes[0].report().calls_by("leaf"), 1022);
}
