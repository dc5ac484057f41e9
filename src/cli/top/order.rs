//! Which rows are shown, and in which order.

use super::names::Names;
use super::rows::Row;
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
}

impl Sort {
    /// All, in the order of the columns.
    pub(crate) const ALL: [Self; 4] = [Self::Bytes, Self::Calls, Self::Live, Self::Rate];

    /// The one that lies so many columns to the right, around the end.
    pub(crate) fn beside(self, columns: usize) -> Self {
        let at = Self::ALL.iter().position(|&sort| sort == self);
        Self::ALL[(at.unwrap_or(0) + columns) % Self::ALL.len()]
    }

    fn key(self, row: &Row) -> (u64, u64) {
        match self {
            Self::Bytes => (row.bytes(), row.calls),
            Self::Calls => (row.calls, row.bytes()),
            Self::Live => (row.live_bytes(), row.bytes()),
            Self::Rate => (row.recent_bytes(), row.bytes()),
        }
    }
}

/// The first `most` rows, by their places in `rows`, of those that have the filter's text in one of
/// their names, and how many have it.
pub(crate) fn first(
    rows: &[Row],
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
    let is_wanted = |row: &Row| filter.is_empty() || row.names.into_iter().any(has);
    let mut found: Vec<(Reverse<(u64, u64)>, u32)> = rows
        .iter()
        .zip(0..)
        .filter(|(row, _)| is_wanted(row))
        .map(|(row, i)| (Reverse(sort.key(row)), i))
        .collect();
    let all = found.len();
    if most < all {
        found.select_nth_unstable(most);
        found.truncate(most);
    }
    found.sort_unstable();
    (found.into_iter().map(|(_, i)| i).collect(), all)
}
