//! Differences as files: one module for each format.

pub(crate) mod collapsed;
pub(crate) mod csv;
pub(crate) mod json;
pub(crate) mod markdown;
pub(crate) mod table;
pub(crate) mod text;

use super::Diff;

/// A comparison and what to call its sides.
pub(crate) struct Named<'a> {
    /// The differences.
    pub(crate) diff: &'a Diff,
    /// The old run.
    pub(crate) old: &'a str,
    /// The new run.
    pub(crate) new: &'a str,
    /// Show sites without a difference too, and in Markdown every site. Files for programs have them anyway.
    pub(crate) all: bool,
    /// Sites that are shown where people read: table and Markdown.
    pub(crate) listed: usize,
}

impl<'a> Named<'a> {
    /// The sites to show, those with the largest difference first.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &'a super::Change> + use<'a> {
        let all = self.all;
        let changes = self.diff.changes.iter();
        changes.filter(move |change| all || change.kind() != super::Kind::Same)
    }
}
