//! Names and counts for every way to build a program: compilers, options, stripping, debug files.

use crate::support::{Outcome, Run, Source, output_of, patched_copy};
use std::path::Path;

const LEVELS: [&str; 5] = ["-O0", "-O1", "-O2", "-O3", "-Os"];
const FRAME_POINTERS: [&str; 2] = ["-fomit-frame-pointer", "-fno-omit-frame-pointer"];
const POSITIONS: [&[&str]; 2] = [&["-fPIE", "-pie"], &["-fno-pie", "-no-pie"]];

fn run(program: &Path) -> Outcome {
    Run::preloaded(program).succeed()
}

fn every_build_gives_the_same_files(compiler: &str) {
    for level in LEVELS {
        for frame_pointer in FRAME_POINTERS {
            for position in POSITIONS {
                for fixture in ["pattern", "recursion"] {
                    let source = Source::c(fixture)
                        .compiler(compiler)
                        .flags(&[level, frame_pointer])
                        .flags(position);
                    println!("{compiler} {level} {frame_pointer} {position:?} {fixture}");
                    let report = run(&source.build()).report();
                    report.assert_is(&format!("{fixture}.csv"));
                }
            }
        }
    }
}

#[test]
fn every_gcc_build_gives_the_same_files() {
    every_build_gives_the_same_files("gcc");
}

#[test]
fn every_clang_build_gives_the_same_files() {
    every_build_gives_the_same_files("clang");
}

#[test]
fn a_build_without_unwind_tables_is_walked_by_frame_pointers() {
    let source = Source::c("pattern").flags(&[
        "-fno-asynchronous-unwind-tables",
        "-fno-unwind-tables",
        "-fno-omit-frame-pointer",
    ]);
    let report = run(&source.build()).report();
    report.assert_row(["leaf", "middle", "outer", "main"], 24, 1000);
}

#[test]
fn link_time_optimisation_and_compressed_debug_sections_do_not_matter() {
    let lto = Source::c("pattern").flags(&["-flto", "-g"]);
    run(&lto.build()).report().assert_is("pattern.csv");
    let compressed = Source::c("pattern").flags(&["-g", "-gz"]);
    run(&compressed.build()).report().assert_is("pattern.csv");
    let sysv_hash = Source::c("pattern").flags(&["-Wl,--hash-style=sysv", "-Wl,--build-id=none"]);
    run(&sysv_hash.build()).report().assert_is("pattern.csv");
}

fn in_place(program: &str, args: &[&str], file: &Path) {
    let mut all = args.to_vec();
    let file = file.to_string_lossy();
    all.push(&file);
    output_of(program, &all);
}

/// Start and size of a function in a file with a symbol table.
fn bounds(file: &Path, function: &str) -> std::ops::Range<u64> {
    let symbols = output_of("nm", &["-S", &file.to_string_lossy()]);
    let line = symbols
        .lines()
        .find(|line| line.ends_with(&format!(" {function}")))
        .expect("the function");
    let hex = |text| u64::from_str_radix(text, 16).expect("a number");
    let mut words = line.split_whitespace();
    let start = hex(words.next().expect("an address"));
    start..start + hex(words.next().expect("a size"))
}

#[test]
fn a_stripped_program_is_reported_by_offsets_in_the_file() {
    for position in POSITIONS {
        let original = Source::c("pattern").flags(position).build();
        let leaf = bounds(&original, "leaf");
        let main = bounds(&original, "main");
        let (_folder, stripped) = patched_copy(&original, |_, copy| in_place("strip", &[], copy));
        let report = run(&stripped).report();
        assert_eq!(report.calls(), 1000 + 10 + 10 + 2 + 1, "{}", report.text);
        // Addresses as in the file, so that they can be looked up in it: of the call, or of the
        // instruction behind it.
        let lies_in = |name: &str, function: &std::ops::Range<u64>| {
            name.strip_prefix("pattern+0x")
                .and_then(|offset| u64::from_str_radix(offset, 16).ok())
                .is_some_and(|offset| function.start <= offset && offset <= function.end)
        };
        let calls = |wanted: &std::ops::Range<u64>| -> u64 {
            let rows = report.rows.iter();
            rows.filter(|row| lies_in(&row.frames[0], wanted))
                .map(|row| row.calls)
                .sum()
        };
        assert_eq!(calls(&leaf), 1022, "{leaf:x?} in\n{}", report.text);
        assert_eq!(calls(&main), 1, "{main:x?} in\n{}", report.text);
    }
}

#[test]
fn a_stripped_program_that_exports_its_functions_is_named_by_them() {
    let original = Source::c("pattern").flags(&["-rdynamic"]).build();
    let (_folder, stripped) = patched_copy(&original, |_, copy| in_place("strip", &[], copy));
    run(&stripped).report().assert_is("pattern.csv");
}

#[test]
fn a_separate_debug_file_gives_the_names_back() {
    for subfolder in ["", ".debug"] {
        let original = Source::c("pattern").flags(&["-g"]).build();
        let (_folder, stripped) = patched_copy(&original, |folder, copy| {
            let place = folder.join(subfolder);
            std::fs::create_dir_all(&place).expect("the folder of the debug file");
            let debug = place.join("pattern.debug");
            let (from, to) = (copy.to_string_lossy(), debug.to_string_lossy());
            output_of("objcopy", &["--only-keep-debug", &from, &to]);
            in_place("strip", &[], copy);
            let link = format!("--add-gnu-debuglink={to}");
            in_place("objcopy", &[&link], copy);
        });
        run(&stripped).report().assert_is("pattern.csv");
    }
}

#[test]
fn a_debug_file_of_another_build_is_not_believed() {
    let original = Source::c("pattern").flags(&["-g"]).build();
    let other = Source::c("order").flags(&["-g"]).build();
    let (_folder, stripped) = patched_copy(&original, |folder, copy| {
        let debug = folder.join("pattern.debug");
        let (from, to) = (copy.to_string_lossy(), debug.to_string_lossy());
        output_of("objcopy", &["--only-keep-debug", &from, &to]);
        in_place("strip", &[], copy);
        in_place("objcopy", &[&format!("--add-gnu-debuglink={to}")], copy);
        output_of(
            "objcopy",
            &["--only-keep-debug", &other.to_string_lossy(), &to],
        );
    });
    let report = run(&stripped).report();
    assert_eq!(report.calls(), 1023);
    for row in &report.rows {
        assert!(row.frames[0].starts_with("pattern+0x"), "{}", report.text);
    }
}

#[test]
fn embedded_minimal_debug_information_gives_the_names_back() {
    let original = Source::c("pattern").build();
    let (_folder, stripped) = patched_copy(&original, |folder, copy| {
        let mini = folder.join("mini");
        let (from, to) = (copy.to_string_lossy(), mini.to_string_lossy());
        output_of("objcopy", &["--only-keep-debug", &from, &to]);
        in_place("xz", &[], &mini);
        in_place("strip", &[], copy);
        let section = format!("--add-section=.gnu_debugdata={to}.xz");
        in_place("objcopy", &[&section], copy);
    });
    run(&stripped).report().assert_is("pattern.csv");
}
