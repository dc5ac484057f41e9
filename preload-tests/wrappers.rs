//! Who asked: allocation wrappers of C++, Rust and the user are trimmed.

use crate::support::{Report, Run, Source};

/// Beginnings of names that no frame of a report may have. (Further in, as the argument of a
/// template or of a generic function, they are welcome.)
const WRAPPERS: [&str; 11] = [
    "operator new",
    "_Znwm",
    "_Znam",
    "__rust_alloc",
    "__rust_realloc",
    "__rdl_",
    "__rg_",
    "__rustc::__r",
    "alloc::alloc::",
    "<alloc::alloc::Global",
    "libskipheap",
];

fn assert_no_wrapper(report: &Report) {
    for row in &report.rows {
        for name in &row.frames {
            assert!(
                !WRAPPERS.iter().any(|wrapper| name.starts_with(wrapper)),
                "{row:?} in\n{}",
                report.text
            );
        }
    }
}

fn report_of(source: &Source) -> Report {
    let report = Run::preloaded(source.build()).succeed().report();
    assert_no_wrapper(&report);
    report
}

fn assert_cpp(source: &Source) {
    let report = report_of(source);
    let row = |name: &str, size| {
        report.assert_row([name, "everything()", "main", "libc"], size, 1);
    };
    row("by_new()", 40);
    row("by_new_array()", 41);
    row("by_nothrow()", 1);
    row("by_nothrow_array()", 43);
    row("by_aligned_new()", 192);
    row("by_aligned_new_array()", 384);
    row("by_aligned_nothrow()", 576);
    row("acme::Maker<long>::make(int)", 56);
}

#[test]
fn operator_new_in_every_form_names_its_caller() {
    for level in ["-O0", "-O2"] {
        assert_cpp(&Source::cpp("cpp_new").flags(&[level]));
    }
    // operator new in the program itself, not in a shared libstdc++.
    assert_cpp(&Source::cpp("cpp_new").flags(&["-static-libstdc++", "-static-libgcc"]));
    assert_cpp(&Source::cpp("cpp_new").compiler("clang++"));
}

#[test]
fn inlined_containers_name_the_function_that_uses_them() {
    let report = report_of(&Source::cpp("cpp_new").flags(&["-O2"]));
    let row = |name: &str, size| {
        report.assert_row([name, "everything()", "main", "libc"], size, 1);
    };
    row("by_vector()", 400);
    row("by_make_unique()", 768);
    // The string's buffer and the shared block may be made by an instance of a template that was
    // not inlined, but the user is never further away than one frame.
    let sizes_under = |function: &str| -> Vec<u64> {
        let rows = report.rows.iter();
        rows.filter(|row| row.frames[..2].iter().any(|name| name == function))
            .map(|row| row.size)
            .collect()
    };
    assert_eq!(sizes_under("by_string()"), [1001]);
    // Two reference counts and a virtual table pointer before the 40 bytes of the thing.
    assert_eq!(sizes_under("by_make_shared()"), [56]);
}

#[test]
fn containers_without_inlining_show_no_wrapper() {
    let report = report_of(&Source::cpp("cpp_new").flags(&["-O0"]));
    assert_eq!(report.by_size()[&400], 1, "{}", report.text);
    assert_eq!(report.by_size()[&1001], 1, "{}", report.text);
}

/// Sizes that `function` asked for, by itself or through the standard library.
fn sizes_under(report: &Report, function: &str) -> Vec<(u64, u64)> {
    let mut sizes: Vec<_> = report
        .rows
        .iter()
        .filter(|row| row.frames.iter().any(|name| name == function))
        .map(|row| (row.size, row.calls))
        .collect();
    sizes.sort_unstable();
    sizes
}

fn assert_rust_release(source: &Source) {
    let report = report_of(source);
    let row = |name: &str, size| {
        let frames = [name, "rust_alloc::everything", "rust_alloc::main"];
        let found = report
            .rows
            .iter()
            .any(|row| row.frames[..3] == frames && row.size == size && row.calls == 1);
        assert!(found, "{frames:?} {size} in\n{}", report.text);
    };
    row("rust_alloc::by_box", 50);
    row("rust_alloc::by_with_capacity", 51);
    row("rust_alloc::by_zeroed", 52);
    row("rust_alloc::by_aligned", 128);
    assert_eq!(
        sizes_under(&report, "rust_alloc::by_push"),
        [(32, 1), (64, 1), (128, 1), (256, 1), (512, 1)],
        "{}",
        report.text
    );
    assert_eq!(
        sizes_under(&report, "rust_alloc::by_string"),
        [(28, 1), (56, 1)],
        "{}",
        report.text
    );
}

#[test]
fn rust_release_builds_name_the_asking_function() {
    let source = Source::rust("rust_alloc").flags(&["-Copt-level=3"]);
    assert_rust_release(&source);
    assert_rust_release(&source.flags(&["-Csymbol-mangling-version=v0"]));
}

#[test]
fn rust_debug_builds_show_no_allocation_plumbing() {
    let report = report_of(&Source::rust("rust_alloc").flags(&["-g"]));
    // A box is made by a function of its own in a debug build; the vector's plumbing is deeper.
    assert_eq!(
        sizes_under(&report, "rust_alloc::by_box"),
        [(50, 1)],
        "{}",
        report.text
    );
    assert_eq!(report.by_size()[&51], 1, "{}", report.text);
    assert_eq!(report.by_size()[&52], 1, "{}", report.text);
}

#[test]
fn functions_of_libc_remain_callers() {
    let report = report_of(&Source::c("strdup"));
    let rows: Vec<_> = report.rows.iter().filter(|row| row.size == 13).collect();
    assert_eq!(rows.len(), 1, "{}", report.text);
    // With libc's debug file the name is __strdup, with the dynamic symbols alone strdup.
    assert!(rows[0].frames[0].ends_with("strdup"), "{:?}", rows[0]);
    assert_eq!(rows[0].frames[1..3], ["duplicate", "main"]);
}

#[test]
fn wrappers_of_the_user_are_ordinary_frames_by_default() {
    let report = report_of(&Source::cpp("user_wrappers"));
    report.assert_row(
        [
            "xmalloc",
            "acme::Arena::grow(unsigned long)",
            "acme::pool_take(int)",
            "user",
        ],
        300,
        1,
    );
    report.assert_row(["xcalloc", "user", "caller", "main"], 40, 1);
}

fn trimmed(list: &str) -> Report {
    Run::preloaded(Source::cpp("user_wrappers").build())
        .env("SKIP_HEAP_TRIM", list)
        .succeed()
        .report()
}

#[test]
fn the_trim_list_takes_wrappers_out_and_fills_the_four_frames() {
    let report = trimmed("xmalloc");
    report.assert_row(
        [
            "acme::Arena::grow(unsigned long)",
            "acme::pool_take(int)",
            "user",
            "caller",
        ],
        300,
        1,
    );
    report.assert_row(["xcalloc", "user", "caller", "main"], 40, 1);
}

#[test]
fn the_trim_list_takes_several_globs_and_names_of_cpp() {
    for list in [
        "x*alloc;acme::*",
        "xmalloc xcalloc acme::Arena::grow acme::pool_take(int)",
    ] {
        let report = trimmed(list);
        report.assert_row(["user", "caller", "main", "libc"], 300, 1);
        report.assert_row(["user", "caller", "main", "libc"], 40, 1);
    }
    let report = trimmed("acme::Arena::*; xmalloc");
    report.assert_row(["acme::pool_take(int)", "user", "caller", "main"], 300, 1);
}
