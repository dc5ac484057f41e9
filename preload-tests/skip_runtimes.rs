//! Skip runtimes of every age: which of their functions count, and with which size.

use crate::support::{Run, Source, tool};
use std::path::Path;

/// The program with `runtime`, a source file, linked into it.
fn linked(program: &Source, runtime: &str, flags: &[&str]) -> std::path::PathBuf {
    program.clone().flags(&[runtime]).flags(flags).build()
}

/// The flags that link a program to a library in the folder where it lies.
fn link_to(library: &Path) -> [String; 2] {
    let folder = library.parent().expect("the folder of the library");
    [
        library.display().to_string(),
        format!("-Wl,-rpath,{}", folder.display()),
    ]
}

#[test]
fn the_first_runtime_has_the_rows_of_the_original() {
    let program = Source::cpp("first_program");
    for flags in [
        &[][..],
        &["-O3"],
        &["-Os"],
        &["-no-pie"],
        &["-fcf-protection=full"],
        &["-fno-omit-frame-pointer"],
    ] {
        Run::preloaded(linked(&program, "first_runtime.cpp", flags))
            .succeed()
            .report()
            .assert_is("first_program.csv");
    }
}

#[test]
fn the_first_runtime_as_a_library_has_them_too() {
    // Its functions call each other by stubs, which the loader fills early or late, or not at all.
    for flags in [
        &["-Wl,-z,lazy"][..],
        &["-Wl,-z,now"],
        &["-fcf-protection=full", "-Wl,-z,ibtplt"],
        &["-fno-plt"],
        &["-Wl,-Bsymbolic"],
    ] {
        let runtime = Source::cpp("first_runtime")
            .named("libfirst_runtime.so")
            .flags(&["-shared", "-fPIC"])
            .flags(flags)
            .build();
        let program = Source::cpp("first_program").flags(&link_to(&runtime));
        Run::preloaded(program.build())
            .succeed()
            .report()
            .assert_is("first_program.csv");
    }
}

/// What the first argument of each clone is.
const ARGUMENT: u64 = 24;

/// Asserts that clones of the program count with the size that a runtime of this age copies.
fn assert_clones(program: &Path, age: u32, how: &str) {
    let (plain, array) = match age {
        2020 => (ARGUMENT, ARGUMENT),
        2021 => (ARGUMENT + 8, ARGUMENT + 8),
        _ => (32, 56),
    };
    let report = Run::preloaded(program)
        .arg(ARGUMENT.to_string())
        .succeed()
        .report();
    for (function, size, calls) in [("plain", plain, 6), ("array", array, 4)] {
        let rows: Vec<_> = report
            .rows_by(function)
            .iter()
            .map(|row| (row.size, row.calls))
            .collect();
        assert_eq!(rows, [(size, calls)], "{age} {how}\n{}", report.text);
    }
}

#[test]
fn a_clone_counts_with_the_size_that_its_runtime_copies() {
    for age in [2020, 2021, 2022, 2024, 2025] {
        for compiler in ["gcc", "clang"] {
            for flags in [
                &["-O0"][..],
                &["-O1"],
                &["-O2"],
                &["-O3"],
                &["-Os"],
                &["-O2", "-fno-inline"],
                &["-O2", "-fcf-protection=full", "-no-pie"],
            ] {
                let program = Source::c("clones")
                    .compiler(compiler)
                    .flags(&["clone_runtime.c", &format!("-DAGE={age}")])
                    .flags(flags)
                    .build();
                assert_clones(&program, age, &format!("{compiler} {flags:?}"));
            }
        }
    }
}

#[test]
fn a_clone_of_a_library_counts_with_the_size_that_its_runtime_copies() {
    for age in [2021, 2024, 2025] {
        for flag in ["-Wl,-z,lazy", "-Wl,-z,now", "-fno-plt"] {
            let runtime = Source::c_library("clone_runtime")
                .flags(&[&format!("-DAGE={age}"), flag, "-fno-inline"])
                .build();
            let program = Source::c("clones").flags(&link_to(&runtime)).build();
            assert_clones(&program, age, flag);
        }
    }
}

#[test]
fn a_clone_whose_size_is_not_known_counts_0_bytes_and_the_summary_says_so() {
    let program = Source::c("skip_program").flags(&["skip_runtime.c"]).build();
    let run = |options: &[&str]| {
        let run = Run::plain(tool()).args(&["-o", "-"]).args(options);
        run.arg(&program).succeed()
    };
    let note = "calls of SKIP_Obstack_shallowClone in skip_program count 0 bytes";
    let outcome = run(&[]);
    assert!(outcome.stderr.contains(note), "{outcome:?}");
    assert!(outcome.stdout.contains(",0,5,0\n"), "{outcome:?}");
    // What it proposes.
    let outcome = run(&["--hook", "SKIP_Obstack_shallowClone(size=arg0)"]);
    assert!(!outcome.stderr.contains(note), "{outcome:?}");
    assert!(outcome.stdout.contains(",8,5,40\n"), "{outcome:?}");
    let outcome = run(&["--hook", "SKIP_Obstack_shallowClone(size=arg0 + 16)"]);
    assert!(outcome.stdout.contains(",24,5,120\n"), "{outcome:?}");
}
