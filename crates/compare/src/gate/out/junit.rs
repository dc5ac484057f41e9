//! A check as JUnit XML: a test case for each rule that held, and one for each finding.

use super::super::verdict::Rule;
use super::{Ending, Report};
use quick_junit::{NonSuccessKind, Report as Xml, TestCase, TestCaseStatus, TestSuite};
use std::io;

/// Writes the file.
///
/// # Errors
/// Those of `out`.
pub fn write(report: &Report, out: impl io::Write) -> io::Result<()> {
    let mut suite = TestSuite::new(format!("heap of {}", report.program));
    if report.ending() == Ending::Unfit {
        let mut case = TestCase::new("data", error(&report.unfit.join("\n")));
        case.set_classname("heap");
        suite.add_test_case(case);
    }
    if report.ending() != Ending::Unfit {
        for (rule, &examined) in Rule::ALL.into_iter().zip(&report.verdict.examined) {
            let held = report
                .verdict
                .findings
                .iter()
                .all(|finding| finding.rule != rule);
            if held && examined > 0 {
                let mut case = TestCase::new(rule.name(), TestCaseStatus::success());
                case.set_classname("heap");
                case.set_system_out(format!("{examined} examined"));
                suite.add_test_case(case);
            }
        }
    }
    for finding in &report.verdict.findings {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(finding.message.clone());
        status.set_type(finding.rule.name());
        let advice = report.advice().unwrap_or_default();
        status.set_description(format!("{}\n{advice}", report.sentence(finding)));
        let name = format!("{}: {}", finding.rule.name(), finding.subject);
        let mut case = TestCase::new(name, status);
        case.set_classname("heap");
        suite.add_test_case(case);
    }
    if !report.verdict.notes.is_empty() {
        suite.set_system_out(report.verdict.notes.join("\n"));
    }
    let mut xml = Xml::new("skip-heapprof check");
    xml.add_test_suite(suite);
    xml.serialize(out).map_err(io::Error::other)
}

fn error(why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_message(why.to_owned());
    status.set_type("unfit");
    status
}

#[cfg(test)]
mod tests {
    use super::super::testing::{report, unfit};
    use super::*;

    fn text(report: &Report) -> String {
        let mut out = Vec::new();
        write(report, &mut out).expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn findings_are_failures_and_the_rest_passes() {
        let said = text(&report());
        for expected in [
            r#"tests="4" skipped="0" failures="2" errors="0""#,
            r#"<testcase name="site-growth" classname="heap">"#,
            r#"type="new-site""#,
            "f&lt;T, 1&gt;(&quot;a&quot;) ← main",
        ] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
        let said = text(&unfit());
        assert!(
            said.contains(r#"tests="1" skipped="0" failures="0" errors="1""#),
            "{said}"
        );
    }
}
