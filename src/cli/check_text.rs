//! A check for the terminal.

use crate::differences_table as table;
use crate::terminal::names::join;
use crate::terminal::term::line;
use crate::terminal::term::{self, columns_of};
use skipheap_compare::diff::out::Named;
use skipheap_compare::gate::out::{Ending, Report};
use skipheap_compare::gate::verdict::Finding;

/// Between the names of a site.
const ARROW: &str = " ← ";
/// Columns that names get in the narrowest window.
const LEAST_NAMES: usize = 20;
/// Regressions that are listed.
const FINDINGS: usize = 30;
/// Sites of the difference that are listed below a regression.
const LISTED: usize = 10;

/// What people read: the verdict, each finding, the difference, what to do.
pub(crate) fn write(report: &Report, width: usize, quiet: bool) -> String {
    let mut text = String::new();
    let out = &mut text;
    let program = term::printable(&report.program);
    let findings = &report.verdict.findings;
    match report.ending() {
        Ending::Unfit => {
            for why in &report.unfit {
                line(
                    out,
                    format_args!("skip-heapprof: {program}: cannot be compared: {why}"),
                );
            }
        }
        Ending::Passed if quiet => {}
        Ending::Passed if report.updated => {
            line(
                out,
                format_args!(
                    "skip-heapprof: {program}: {}",
                    report.new_baseline().unwrap_or_default()
                ),
            );
        }
        Ending::Passed => {
            line(
                out,
                format_args!(
                    "skip-heapprof: {program}: within all limits{}",
                    against(report)
                ),
            );
        }
        Ending::Failed => {
            let count = term::counted(findings.len() as u64, "regression", "regressions");
            // Budgets are no part of the baseline, and hold for a new one.
            let verdict = match report.new_baseline() {
                Some(written) => format!("{written}; {count}"),
                None => format!("{count}{}", against(report)),
            };
            line(out, format_args!("skip-heapprof: {program}: {verdict}"));
            for finding in findings.iter().take(FINDINGS) {
                line(out, format_args!("{}", in_one_line(report, finding, width)));
            }
            let more = findings.len().saturating_sub(FINDINGS);
            if more > 0 {
                line(out, format_args!("  and {more} more"));
            }
        }
    }
    let is_shown = report.ending() == Ending::Failed || report.updated && !quiet;
    if let Some(diff) = report.diff.as_ref().filter(|_| is_shown) {
        let old = report
            .baseline
            .as_deref()
            .map(term::path)
            .unwrap_or_default();
        let named = Named {
            diff,
            old: &old,
            new: &report.program,
            all: false,
            functions: None,
            listed: LISTED,
        };
        line(
            out,
            format_args!("\n{}", table::write(&named, width).trim_end()),
        );
    }
    if !quiet {
        for note in &report.verdict.notes {
            line(out, format_args!("note: {note}"));
        }
    }
    if let Some(advice) = report.advice() {
        line(out, format_args!("\n{advice}"));
    }
    text
}

/// A finding in a line of at most `width` columns. The place in the source stays, then the start of the
/// numbers, then the innermost names.
fn in_one_line(report: &Report, finding: &Finding, width: usize) -> String {
    let (rule, place) = (finding.rule.name(), report.place_in_source(finding));
    let taken = columns_of("  : : ") + columns_of(rule) + columns_of(&place);
    let room = width.saturating_sub(taken);
    let names: Vec<&str> = finding.subject.split(ARROW).collect();
    // What the names do not need is the message's, and the other way round.
    let of_names = room
        .saturating_sub(columns_of(&finding.message))
        .max(room / 2)
        .max(LEAST_NAMES);
    let names = join(&names, ARROW, of_names);
    let message = start(&finding.message, room.saturating_sub(columns_of(&names)));
    format!("  {rule}: {names}: {message}{place}")
}

/// The start of a text, with a sign that there is more.
fn start(text: &str, columns: usize) -> String {
    if columns_of(text) <= columns {
        return text.to_owned();
    }
    let mut taken = 1;
    let first = text.chars().take_while(|c| {
        taken += columns_of(c.encode_utf8(&mut [0; 4]));
        taken <= columns
    });
    first.chain(['…']).collect()
}

fn against(report: &Report) -> String {
    let baseline = report.baseline.as_deref();
    baseline.map_or_else(String::new, |path| {
        format!(" (baseline {})", term::path(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use skipheap_compare::gate::out::testing::{report, unfit};

    #[test]
    fn a_regression_is_a_line_that_ends_with_its_place() {
        let mut report = report();
        let finding = &mut report.verdict.findings[1];
        let name = "project::module::function<std::vec::Vec<u8>>";
        finding.subject = [name; 4].join(ARROW);
        finding.message = "new, 1,200,000 bytes in 12 calls; of size 100,000 (+1,200,000); \
                           max-new-site allows 65,536 bytes"
            .into();
        for width in [80, 100, 140] {
            let said = write(&report, width, false);
            let mut lines = said.lines().filter(|line| line.contains("new-site"));
            let line = lines.next().expect("a line");
            assert!(columns_of(line) <= width, "{width}: {line}");
            assert!(line.starts_with("  new-site: …"), "{line}");
            assert!(
                line.contains("function") && line.contains(": new, "),
                "{line}"
            );
            assert!(line.ends_with("; at src/a,b:c.rs:7 in inner"), "{line}");
        }
        let finding = &report.verdict.findings[1];
        let whole = format!("  new-site: {}\n", report.sentence(finding));
        assert!(write(&report, usize::MAX, false).contains(&whole));
    }

    #[test]
    fn regressions_are_listed_with_what_to_do() {
        let said = write(&report(), 80, false);
        for expected in [
            "skip-heapprof: jq: 2 regressions (baseline heap.csv)\n",
            "  total-bytes: all sites: 1 → 6 bytes (+5, +500.0 %)\n",
            "note: something varies\n",
            "\nto accept the new state: skip-heapprof check --update\n",
        ] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
        let updated = Report {
            updated: true,
            ..report()
        };
        let said = write(&updated, 80, true);
        let expected = "skip-heapprof: jq: heap.csv is the new baseline; 2 regressions\n";
        assert!(said.starts_with(expected), "{said}");
        let said = write(&unfit(), 80, true);
        assert_eq!(
            said,
            "skip-heapprof: jq: cannot be compared: the program was killed by signal 9\n"
        );
        assert_eq!(write(&Report::default(), 80, true), "");
    }
}
