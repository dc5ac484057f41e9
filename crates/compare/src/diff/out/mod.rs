//! Differences as files: one module for each format.

pub mod collapsed;
pub mod csv;
pub mod json;
pub mod markdown;
pub mod text;

use super::Diff;
use super::functions::FunctionChange;

/// A comparison and what to call its sides.
pub struct Named<'a> {
    /// The differences.
    pub diff: &'a Diff,
    /// The old run.
    pub old: &'a str,
    /// The new run.
    pub new: &'a str,
    /// Show sites without a difference too, and in Markdown every site. Files for programs have them anyway.
    pub all: bool,
    /// The differences by responsible function, which reports show first; `None` where the user asked
    /// for sites.
    pub functions: Option<&'a [FunctionChange]>,
    /// Sites that are shown where people read: table and Markdown.
    pub listed: usize,
}

impl<'a> Named<'a> {
    /// The functions to show, those with the largest difference first.
    pub fn shown_functions(&self) -> Option<Vec<&'a FunctionChange>> {
        let changes = self.functions?.iter();
        let changes = changes.filter(|change| self.all || change.word() != "same");
        Some(changes.collect())
    }

    /// The sites to show, those with the largest difference first.
    pub fn shown(&self) -> impl Iterator<Item = &'a super::Change> + use<'a> {
        let all = self.all;
        let changes = self.diff.changes.iter();
        changes.filter(move |change| all || change.kind() != super::Kind::Same)
    }
}
