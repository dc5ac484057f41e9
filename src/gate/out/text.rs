//! A check for the terminal.

use super::{Ending, Report};
use crate::diff::out::Named;
use crate::diff::out::table;
use crate::summary::line;
use crate::term;

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
                    format_args!("skip-heapprof: {program}: not fit to be judged: {why}"),
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
                let rule = finding.rule.name();
                line(out, format_args!("  {rule}: {}", report.sentence(finding)));
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

fn against(report: &Report) -> String {
    let baseline = report.baseline.as_deref();
    baseline.map_or_else(String::new, |path| {
        format!(" (baseline {})", term::path(path))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{report, unfit};
    use super::*;

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
            "skip-heapprof: jq: not fit to be judged: the program was killed by signal 9\n"
        );
        assert_eq!(write(&Report::default(), 80, true), "");
    }
}
