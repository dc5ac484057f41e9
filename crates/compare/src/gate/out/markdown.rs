//! A check as Markdown, for the summary of a CI job or a comment.

use super::{Ending, Report};
use crate::diff::Kind;
use crate::diff::out::Named;
use crate::diff::out::markdown::{code, escaped, sites, totals};
use crate::diff::out::text::explained;
use skipheap_text::counted;
use std::fmt::Write;

/// Regressions that are listed: a job's summary has an end.
const FINDINGS: usize = 50;
/// Sites of the difference that are listed.
const LISTED: usize = 20;

/// A heading with the verdict, the findings, the difference to the baseline.
pub fn write(report: &Report) -> String {
    let mut out = String::new();
    let verdict = match report.ending() {
        Ending::Passed => "within all limits ✅".to_owned(),
        Ending::Unfit => "cannot be compared ⚠️".to_owned(),
        Ending::Failed => {
            let count = report.verdict.findings.len() as u64;
            format!("{} ❌", counted(count, "regression", "regressions"))
        }
    };
    // Writing to a string cannot fail.
    let _ = writeln!(out, "### Heap of {}: {verdict}\n", code(&report.program));
    if let Some(written) = report.new_baseline() {
        let _ = writeln!(out, "{}\n", escaped(&written));
    }
    for why in &report.unfit {
        let _ = writeln!(out, "- {}", escaped(why));
    }
    if !report.verdict.findings.is_empty() {
        out.push_str("| limit | where | what |\n|---|---|---|\n");
        let findings = &report.verdict.findings;
        for finding in findings.iter().take(FINDINGS) {
            let _ = writeln!(
                out,
                "| {} | {} | {} |",
                finding.rule.name(),
                code(&finding.subject),
                escaped(&report.numbers(finding))
            );
        }
        let more = findings.len().saturating_sub(FINDINGS);
        if more > 0 {
            let _ = writeln!(out, "\nand {more} more");
        }
    }
    difference(&mut out, report);
    for note in &report.verdict.notes {
        let _ = writeln!(out, "\n> {}", escaped(note));
    }
    if let Some(advice) = report.advice() {
        let _ = writeln!(out, "\n{}", code_of_any_length(&advice));
    }
    out
}

/// A command, which nobody could use when it is cut.
fn code_of_any_length(text: &str) -> String {
    format!("<code>{}</code>", escaped(text))
}

fn difference(out: &mut String, report: &Report) {
    let Some(diff) = &report.diff else { return };
    let named = Named {
        diff,
        old: "",
        new: "",
        all: false,
        functions: None,
        listed: LISTED,
    };
    out.push('\n');
    totals(out, &named);
    let _ = writeln!(out, "\n{}\n", escaped(&explained(diff)));
    let changed = diff
        .changes
        .iter()
        .filter(|change| change.kind() != Kind::Same);
    let changed: Vec<_> = changed.take(LISTED).collect();
    if !changed.is_empty() {
        out.push_str("<details><summary>sites with the largest differences</summary>\n\n");
        sites(out, &changed, false);
        out.push_str("\n</details>\n");
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{report, unfit};
    use super::*;

    #[test]
    fn findings_are_a_table() {
        let said = write(&report());
        for expected in [
            "### Heap of <code>jq</code>: 2 regressions ❌\n",
            "| new-site | <code>f&#60;T, 1&#62;(&#34;a&#34;) ← main</code> | new, 5 bytes; 100% &#60;b&#62;",
            "<code>to accept the new state&#58; skip&#45;heapprof check &#45;&#45;update</code>\n",
        ] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
        let mut many = report();
        many.verdict.findings = vec![many.verdict.findings[0].clone(); FINDINGS + 2];
        assert!(write(&many).contains("\nand 2 more\n"));
        let updated = Report {
            updated: true,
            ..report()
        };
        assert!(write(&updated).contains(" is the new baseline\n"));
        assert!(write(&unfit()).contains("- the program was killed by signal 9\n"));
        assert!(write(&Report::default()).contains("within all limits"));
    }
}
