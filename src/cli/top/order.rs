//! Which rows are shown, and in which order.

use super::functions::Function;
use super::names::Names;
use super::rows::{Figures, Row};
use clap::ValueEnum;
use std::cmp::Reverse;

/// By what rows are sorted, the largest first.
#[derive(ValueEnum, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Bytes of all allocations.
    #[default]
    Bytes,
    /// Number of allocations.
    Calls,
    /// Bytes that are alive.
    Live,
    /// Bytes allocated lately.
    Rate,
    /// Bytes that lived at the peak.
    Peak,
    /// Bytes that are alive, and the part of the blocks that is.
    Leaky,
}

impl Sort {
    /// All, in the order of the columns.
    pub(crate) const ALL: [Self; 6] = [
        Self::Bytes,
        Self::Calls,
        Self::Live,
        Self::Rate,
        Self::Peak,
        Self::Leaky,
    ];

    /// The one that lies so many columns to the right, around the end.
    pub(crate) fn beside(self, columns: usize) -> Self {
        let at = Self::ALL.iter().position(|&sort| sort == self);
        Self::ALL[(at.unwrap_or(0) + columns) % Self::ALL.len()]
    }

    fn key(self, figures: &Figures) -> (u64, u64) {
        let first = match self {
            Self::Bytes => return (figures.bytes, figures.calls),
            Self::Calls => figures.calls,
            Self::Live => figures.live_bytes,
            Self::Rate => figures.recent_bytes,
            Self::Peak => figures.peak_bytes,
            Self::Leaky => figures.leakiness(),
        };
        (first, figures.bytes)
    }
}

/// What has names and figures.
pub(crate) trait Listed {
    /// Numbers of names that the filter is looked for in.
    fn names(&self) -> impl Iterator<Item = u32>;
    /// What is counted of it.
    fn figures(&self) -> Figures;
}

impl Listed for Row {
    fn names(&self) -> impl Iterator<Item = u32> {
        self.names.into_iter()
    }

    fn figures(&self) -> Figures {
        self.figures()
    }
}

impl Listed for Function {
    fn names(&self) -> impl Iterator<Item = u32> {
        self.names.into_iter().chain([self.via])
    }

    fn figures(&self) -> Figures {
        self.figures
    }
}

/// The first `most` rows or functions, by their places in `rows`, of those that have the filter's text in
/// one of their names, and how many have it.
pub(crate) fn first<L: Listed>(
    rows: &[L],
    names: &Names,
    sort: Sort,
    filter: &str,
    most: usize,
) -> (Vec<u32>, usize) {
    let filter = filter.to_lowercase();
    let looked_at = if filter.is_empty() { &[] } else { names.all() };
    let matches: Vec<bool> = looked_at
        .iter()
        .map(|name| name.to_lowercase().contains(&filter))
        .collect();
    let has = |number: u32| matches.get(number as usize) == Some(&true);
    let is_wanted = |row: &L| filter.is_empty() || row.names().any(has);
    let mut found: Vec<(Reverse<(u64, u64)>, u32)> = rows
        .iter()
        .zip(0..)
        .filter(|(row, _)| is_wanted(row))
        .map(|(row, i)| (Reverse(sort.key(&row.figures())), i))
        .collect();
    let all = found.len();
    if most < all {
        found.select_nth_unstable(most);
        found.truncate(most);
    }
    found.sort_unstable();
    (found.into_iter().map(|(_, i)| i).collect(), all)
}
