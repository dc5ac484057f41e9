//! Skip runtimes of every age: which of their functions count, and with which size.

use crate::support::{Run, Source, output_of, patched_copy, tool};
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

/// A run of a program that loads `library` and calls its function `work`.
fn host(run: Run, library: &Path, work: &str) -> Run {
    run.arg(library).arg(work)
}

#[test]
fn a_runtime_that_a_host_loads_counts_beside_the_hosts_malloc() {
    let program = Source::c("skip_host").build();
    let of_c = Source::c_library("skip_program")
        .flags(&["skip_runtime.c", "-Dmain=work"])
        .build();
    let of_cpp = Source::cpp("first_program")
        .named("libfirst.so")
        .flags(&["first_runtime.cpp", "-shared", "-fPIC", "-Dmain=work"])
        .build();
    for (library, work, sizes) in [
        (&of_c, "work", [(16, 1000), (40, 7), (24, 6), (48, 1)]),
        (&of_cpp, "_Z4workv", [(16, 1000), (40, 7), (14, 9), (48, 5)]),
    ] {
        let run = |allocators| {
            let run = Run::preloaded(&program).env("SKIP_HEAP_ALLOCATORS", allocators);
            host(run, library, work).succeed().report()
        };
        let report = run("auto");
        assert_eq!(report.calls_by("host"), 20, "{}", report.text);
        for (size, calls) in sizes {
            let rows = report.rows.iter().filter(|row| row.size == size);
            let rows = rows.filter(|row| row.frames.iter().any(|name| name == "skip_main"));
            let found: u64 = rows.map(|row| row.calls).sum();
            assert_eq!(found, calls, "{size} {work}\n{}", report.text);
        }
        // The pages of the ObStack are its own affair.
        for own in ["new_page", "allocLarge"] {
            assert!(!report.text.contains(own), "{}", report.text);
        }
        let malloc = run("malloc");
        assert_eq!(malloc.calls_by("host"), 20, "{}", malloc.text);
        assert_eq!(malloc.calls_by("leaf"), 0, "{}", malloc.text);
        let obstack = run("obstack");
        assert_eq!(obstack.calls_by("host"), 0, "{}", obstack.text);
        assert_eq!(obstack.calls_by("leaf"), report.calls_by("leaf"));
    }
    let run = Run::plain(tool()).arg("-o").arg("-").arg(&program);
    let outcome = host(run, &of_c, "work").succeed();
    let note = "libskip_program.so has the Skip runtime's ObStack: 5 of 5 entry points hooked";
    assert!(outcome.stderr.contains(note), "{outcome:?}");
}

#[test]
fn a_skip_program_without_symbols_says_that_its_obstack_cannot_be_seen() {
    let program = Source::cpp("first_program")
        .flags(&["first_runtime.cpp"])
        .build();
    let said = |strip: bool| {
        let (_folder, copy) = patched_copy(&program, |_, copy| {
            if strip {
                output_of("strip", &[&copy.display().to_string()]);
            }
        });
        let outcome = Run::plain(tool()).args(&["-o", "-"]).arg(copy).succeed();
        outcome
            .stderr
            .contains("is a Skip program without symbols: its ObStack cannot be seen")
    };
    assert!(said(true));
    assert!(!said(false));
}

#[test]
fn the_persistent_heap_is_reported_where_it_is_named() {
    let program = Source::c("persistent").build();
    let with = |allocators| {
        Run::preloaded(&program)
            .env("SKIP_HEAP_ALLOCATORS", allocators)
            .succeed()
            .report()
    };
    let sizes = |report: &crate::support::Report| report.by_size().into_iter().collect::<Vec<_>>();
    assert_eq!(sizes(&with("auto")), [(40, 50)]);
    assert_eq!(sizes(&with("persistent")), [(100, 30), (3000, 7)]);
    let both = with("obstack, persistent");
    assert_eq!(sizes(&both), [(40, 50), (100, 30), (3000, 7)]);
    both.assert_row(["intern", "main", "libc", "libc"], 100, 30);
}

#[test]
fn what_is_not_known_of_the_obstack_is_said_where_blocks_are_followed() {
    let program = Source::c("persistent").build();
    let said = |options: &[&str]| {
        Run::plain(tool())
            .args(&["-o", "/dev/null"])
            .args(options)
            .arg(&program)
            .succeed()
            .stderr
    };
    let [live, leaks] = [
        "note: live bytes of the ObStack are not known",
        "note: the leak check does not apply to the ObStack",
    ];
    let plain = said(&[]);
    assert!(!plain.contains(live) && !plain.contains(leaks), "{plain}");
    let with = said(&["--live"]);
    assert!(with.contains(live) && !with.contains(leaks), "{with}");
    let with = said(&["--leak-check"]);
    assert!(with.contains(live) && with.contains(leaks), "{with}");
}
