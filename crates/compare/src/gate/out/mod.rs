//! What a check says, for people and for machines: one module for each format.

pub mod annotations;
pub mod gitlab;
pub mod junit;
pub mod markdown;

use super::verdict::{Finding, Rule, Verdict};
use crate::diff::Diff;
use skipheap_text::printable_text as printable;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

/// Where files are in the repository that a review shows.
pub trait ReviewPaths: Debug {
    /// The path in the repository of a file that is named as from the current folder; `None` for files
    /// elsewhere.
    fn path_of(&self, file: &Path) -> Option<String>;

    /// The path in the repository of a source file that is named as debug information names it; `None`
    /// for files elsewhere.
    fn path_of_source(&self, file: &Path) -> Option<String>;
}

/// No file is in the repository.
#[derive(Debug)]
struct NoPaths;

impl ReviewPaths for NoPaths {
    fn path_of(&self, _: &Path) -> Option<String> {
        None
    }

    fn path_of_source(&self, _: &Path) -> Option<String> {
        None
    }
}

impl Default for Box<dyn ReviewPaths> {
    fn default() -> Self {
        Box::new(NoPaths)
    }
}

/// All that there is to say of a check.
#[derive(Debug, Default)]
pub struct Report {
    /// What was checked.
    pub program: String,
    /// The file of the baseline.
    pub baseline: Option<PathBuf>,
    /// The file of limits and budgets.
    pub config: Option<PathBuf>,
    /// The judgement.
    pub verdict: Verdict,
    /// Why the data cannot be compared; empty where they can.
    pub unfit: Vec<String>,
    /// The run with the least bytes, compared with the baseline.
    pub diff: Option<Diff>,
    /// The command that accepts the new state.
    pub accept: String,
    /// Whether the baseline was written.
    pub updated: bool,
    /// Where the paths of a review begin.
    pub repository: Box<dyn ReviewPaths>,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Within all limits.
    Passed,
    /// Beyond one.
    Failed,
    /// Not judged.
    Unfit,
}

impl Report {
    /// How it ended.
    pub fn ending(&self) -> Ending {
        match (self.unfit.is_empty(), self.verdict.findings.is_empty()) {
            (false, _) => Ending::Unfit,
            (true, false) => Ending::Failed,
            (true, true) => Ending::Passed,
        }
    }

    /// That the baseline was written, where it was.
    pub fn new_baseline(&self) -> Option<String> {
        let path = self.baseline.as_deref().filter(|_| self.updated)?;
        Some(format!("{} is the new baseline", skipheap_text::path(path)))
    }

    /// What to do about regressions, where there are some.
    pub fn advice(&self) -> Option<String> {
        let is_of_budget = |finding: &Finding| finding.rule == Rule::Budget;
        if self.ending() != Ending::Failed {
            return None;
        }
        if self.verdict.findings.iter().all(is_of_budget) {
            let file = self
                .config
                .as_deref()
                .map_or_else(String::new, skipheap_text::path);
            return Some(format!(
                "to accept the new state, raise the budget in {file}"
            ));
        }
        Some(format!("to accept the new state: {}", self.accept))
    }

    /// A finding in a sentence: the site's names, and [`Self::numbers`].
    pub fn sentence(&self, finding: &Finding) -> String {
        format!("{}: {}", finding.subject, self.numbers(finding))
    }

    /// The numbers of a finding, the limit, and the place in the source.
    pub fn numbers(&self, finding: &Finding) -> String {
        format!("{}{}", finding.message, self.place_in_source(finding))
    }

    /// What [`Self::numbers`] ends with: the place in the source, where it is known.
    pub fn place_in_source(&self, finding: &Finding) -> String {
        finding.place.as_ref().map_or_else(String::new, |place| {
            let file = self.repository.path_of_source(Path::new(&*place.file));
            let file = file.unwrap_or_else(|| place.file.to_string());
            let function = place.function.as_deref().unwrap_or_default();
            // What the names say already.
            let function = match function.is_empty() || finding.subject.contains(function) {
                true => String::new(),
                false => format!(" in {function}"),
            };
            printable(&format!("; at {file}:{}{function}", place.line))
        })
    }

    /// Where a finding is in files that a review shows: the source, or the line of the baseline or the budget.
    pub fn place(&self, finding: &Finding) -> Option<(String, u64)> {
        let repository = &self.repository;
        let in_source = finding.place.as_ref().and_then(|place| {
            let file = repository.path_of_source(Path::new(&*place.file))?;
            Some((file, u64::from(place.line)))
        });
        in_source.or_else(|| {
            let file = match finding.rule {
                Rule::Budget => self.config.as_deref(),
                _ => self.baseline.as_deref(),
            };
            let file = repository.path_of(file?)?;
            Some((file, finding.line.unwrap_or(1)))
        })
    }
}

/// Reports for tests.
#[cfg(any(test, feature = "testing"))]
pub mod testing {
    use super::super::places::Place;
    use super::*;

    /// Relative paths are in the repository.
    #[derive(Debug)]
    struct Here;

    impl ReviewPaths for Here {
        fn path_of(&self, file: &Path) -> Option<String> {
            let is_inside = file.is_relative();
            is_inside.then(|| file.to_string_lossy().into_owned())
        }

        fn path_of_source(&self, file: &Path) -> Option<String> {
            self.path_of(file)
        }
    }

    /// A report with a finding in a source file, one without a place, and a note.
    pub fn report() -> Report {
        let finding = |rule, subject: &str, message: &str| Finding {
            rule,
            subject: subject.into(),
            message: message.into(),
            place: None,
            line: None,
            more: 5,
        };
        let mut findings = vec![
            finding(Rule::TotalBytes, "all sites", "1 → 6 bytes (+5, +500.0 %)"),
            finding(
                Rule::NewSite,
                "f<T, 1>(\"a\") ← main",
                "new, 5 bytes; 100% <b>\n::x::",
            ),
        ];
        findings[1].place = Some(Place {
            file: "src/a,b:c.rs".into(),
            line: 7,
            function: Some("inner".into()),
        });
        Report {
            program: "jq".into(),
            baseline: Some("heap.csv".into()),
            verdict: Verdict {
                findings,
                notes: vec!["something varies".into()],
                examined: [1, 1, 1, 3, 0],
                ..Verdict::default()
            },
            accept: "skip-heapprof check --update".into(),
            repository: Box::new(Here),
            ..Report::default()
        }
    }

    /// A report of data that are not fit.
    pub fn unfit() -> Report {
        Report {
            program: "jq".into(),
            unfit: vec!["the program was killed by signal 9".into()],
            repository: Box::new(Here),
            ..Report::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_ends_with_the_place() {
        let report = testing::report();
        let sentence = |index: usize| report.sentence(&report.verdict.findings[index]);
        assert_eq!(sentence(0), "all sites: 1 → 6 bytes (+5, +500.0 %)");
        assert!(sentence(1).ends_with("::x::; at src/a,b:c.rs:7 in inner"));
    }

    #[test]
    fn an_ending_is_followed_by_advice() {
        let report = testing::report();
        assert_eq!(report.ending(), Ending::Failed);
        assert!(report.advice().expect("some").ends_with("check --update"));
        assert_eq!(testing::unfit().ending(), Ending::Unfit);
        assert_eq!(Report::default().ending(), Ending::Passed);
        assert_eq!(Report::default().advice(), None);
    }
}
