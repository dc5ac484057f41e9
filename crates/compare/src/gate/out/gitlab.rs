//! A check as GitLab's report of code quality: a list of issues.

use super::Report;
use serde::Serialize;
use std::io::{self, Write};

#[derive(Serialize)]
struct Issue {
    description: String,
    check_name: String,
    fingerprint: String,
    severity: &'static str,
    location: Location,
}

#[derive(Serialize)]
struct Location {
    path: String,
    lines: Lines,
}

#[derive(Serialize)]
struct Lines {
    begin: u64,
}

/// Writes the file. Where no place is known, an issue is put at the start of the baseline.
///
/// # Errors
/// Those of `out`.
pub fn write(report: &Report, mut out: impl Write) -> io::Result<()> {
    let issue = |name: &str, what: &str, description: String, place: Option<(String, u64)>| {
        let fallback = || {
            let mut files = [&report.baseline, &report.config].into_iter().flatten();
            let file = files.find_map(|path| report.repository.path_of(path));
            (file.unwrap_or_else(|| "skipheap.toml".to_owned()), 1)
        };
        let (path, begin) = place.unwrap_or_else(fallback);
        Issue {
            description,
            check_name: format!("skip-heapprof/{name}"),
            // What the issue is about and not its numbers: GitLab tells new issues from known ones by it.
            fingerprint: fingerprint(&[name, &report.program, what]),
            severity: "major",
            location: Location {
                path,
                lines: Lines { begin },
            },
        }
    };
    let mut issues: Vec<Issue> = Vec::new();
    for why in &report.unfit {
        issues.push(issue(
            "unfit",
            why,
            format!("heap of {} cannot be compared: {why}", report.program),
            None,
        ));
    }
    for finding in &report.verdict.findings {
        let advice = report.advice().map(|advice| format!("; {advice}"));
        let description = report.sentence(finding) + advice.as_deref().unwrap_or_default();
        let place = report.place(finding);
        issues.push(issue(
            finding.rule.name(),
            &finding.subject,
            description,
            place,
        ));
    }
    serde_json::to_writer_pretty(&mut out, &issues)?;
    out.write_all(b"\n")
}

/// FNV-1a with 64 bits: the same on every machine and in every version.
pub fn fingerprint(texts: &[&str]) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in texts.iter().flat_map(|text| text.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{report, unfit};
    use super::*;
    use serde_json::Value;
    use std::collections::HashSet;

    fn issues(report: &Report) -> Vec<Value> {
        let mut out = Vec::new();
        write(report, &mut out).expect("written");
        let value: Value = serde_json::from_slice(&out).expect("JSON");
        value.as_array().expect("a list").clone()
    }

    #[test]
    fn issues_have_what_gitlab_asks_for() {
        let issues = issues(&report());
        let prints: HashSet<&str> = issues
            .iter()
            .filter_map(|issue| issue["fingerprint"].as_str())
            .collect();
        assert_eq!(prints.len(), 2);
        let issue = &issues[1];
        assert_eq!(issue["location"]["path"], "src/a,b:c.rs");
        assert_eq!(issue["location"]["lines"]["begin"], 7);
        assert_eq!(issue["severity"], "major");
        assert_eq!(issue["check_name"], "skip-heapprof/new-site");
        assert!(
            issue["description"]
                .as_str()
                .expect("text")
                .starts_with("f<T, 1>")
        );
    }

    #[test]
    fn numbers_do_not_make_an_issue_a_new_one() {
        let mut changed = report();
        changed.verdict.findings[0].message = "other numbers".into();
        assert_eq!(
            issues(&report())[0]["fingerprint"],
            issues(&changed)[0]["fingerprint"]
        );
    }

    #[test]
    fn unfit_data_are_an_issue() {
        assert_eq!(issues(&unfit())[0]["check_name"], "skip-heapprof/unfit");
        assert!(issues(&Report::default()).is_empty());
    }
}
