//! The report as a file: header, quoting, order, merging of rows, the frames of a row.

use crate::support::{HEADER, Report, Run, Source, expected, output_of, patched_copy};
use std::path::Path;

fn report_of(program: &Path) -> Report {
    Run::preloaded(program).succeed().report()
}

#[test]
fn the_header_is_that_of_the_original_profiler() {
    let report = report_of(&Source::c("pattern").build());
    assert_eq!(
        report.text.lines().next(),
        Some("pc0,pc1,pc2,pc3,bytes allocated,call count,total bytes")
    );
    assert_eq!(HEADER, report.text.lines().next().expect("a header"));
}

#[test]
fn a_known_pattern_gives_the_expected_file() {
    // Also: a size of zero, and two return addresses inside one function as one row.
    report_of(&Source::c("pattern").build()).assert_is("pattern.csv");
}

#[test]
fn rows_are_sorted_by_bytes_then_calls_then_names() {
    report_of(&Source::c("order").build()).assert_is("order.csv");
}

#[test]
fn recursion_collapses_and_unwinding_goes_on_until_four_frames() {
    report_of(&Source::c("recursion").build()).assert_is("recursion.csv");
}

#[test]
fn names_are_quoted_whatever_they_contain() {
    let program = Source::c("strange_names").flags(&["-no-pie"]).build();
    let (_folder, renamed) = patched_copy(&program, |_, copy| {
        output_of(
            "objcopy",
            &[
                "--redefine-sym=with_quotes=say \"hi\"",
                "--redefine-sym=with_commas=a,b",
                &copy.to_string_lossy(),
            ],
        );
    });
    assert_eq!(report_of(&renamed).text, expected("strange_names.csv"));
}

#[test]
fn a_missing_frame_is_a_dash_without_quotes() {
    let report = report_of(&Source::c("in_thread").build());
    report.assert_row(["worker", "libc", "libc", "-"], 48, 1);
    let line = report
        .text
        .lines()
        .find(|line| line.starts_with("\"worker\""))
        .expect("the row");
    assert!(line.ends_with("\",-,48,1,48"), "{line}");
}

#[test]
fn the_same_run_gives_the_same_bytes_with_and_without_address_randomisation() {
    let program = Source::c("order").build();
    let first = report_of(&program).text;
    for _ in 0..3 {
        assert_eq!(report_of(&program).text, first);
    }
    let fixed = Run::preloaded("/usr/bin/setarch")
        .args(&["-R", "--"])
        .arg(&program)
        // setarch itself allocates and is replaced by the program: it writes no report.
        .succeed();
    let reports = fixed.reports();
    assert_eq!(reports.len(), 1, "{fixed:?}");
    assert_eq!(reports[0].text, first);
}

#[test]
fn a_real_program_run_twice_gives_the_same_bytes() {
    let run = || {
        Run::preloaded("/usr/bin/jq")
            .arg("[range(2000) | {name: \"n\\(.)\", square: (. * .)}] | map(.square) | add")
            .arg("-n")
            .succeed()
    };
    let (first, second) = (run(), run());
    assert_eq!(first.stdout, second.stdout);
    assert!(first.report().calls() > 2000);
    assert_eq!(first.report().text, second.report().text);
}
