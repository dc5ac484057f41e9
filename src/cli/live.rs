//! The live heap of the processes of a run, as far as blocks were followed: for the summary.

use skipheap_format::layout::TimelinePoint;
use skipheap_profile::report::figures::{Lifetimes, LiveSums};
use skipheap_profile::report::left::Leaks;
use skipheap_profile::report::rows::{Row, sort};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::rc::Rc;

/// Stacks and rows of a kind that the summary lists.
pub(crate) const LISTED: usize = 5;

/// The live heap of a process.
#[derive(Debug, Default)]
pub(crate) struct LiveHeap {
    /// Most live bytes at any moment: of a sample an estimate; 0 where it is not known.
    pub(crate) peak_bytes: u64,
    /// Standard error of an estimated peak, in bytes; 0 of an exact one.
    pub(crate) peak_error: f64,
    /// When that was, in seconds from the start of the process.
    pub(crate) peak_at: f64,
    /// The course of the heap.
    pub(crate) timeline: Vec<TimelinePoint>,
    /// Start of the process, as the timeline counts.
    pub(crate) start_ns: u64,
    /// Its end; 0 where it is not known.
    pub(crate) end_ns: u64,
    /// Ages of the freed blocks.
    pub(crate) lifetimes: Lifetimes,
    /// What was not freed, or is not reachable.
    pub(crate) left: Leaks,
    /// Frees of blocks that were not followed; of a sample, of which most are not, none.
    pub(crate) unknown_frees: u64,
}

/// The live heap of all processes together, by rows.
#[derive(Debug, Default)]
pub(crate) struct LiveRows {
    /// Sums over all rows.
    pub(crate) sums: LiveSums,
    /// Bytes that lived at the peak; of several processes at that of the one with the highest.
    pub(crate) peak_bytes: u64,
    /// Bytes that were not freed.
    pub(crate) left_bytes: u64,
    /// The rows that made the peak, largest first.
    pub(crate) at_peak: Vec<Row>,
    /// Rows with blocks that realloc made larger, those with most bytes copied first. One for all sizes: of
    /// the largest one.
    pub(crate) grown: Vec<Row>,
}

/// Sums up the rows; `None` where no block was followed.
pub(crate) fn of_rows(rows: &[Row]) -> Option<LiveRows> {
    let mut all = LiveRows::default();
    let mut is_followed = false;
    for (row, live) in rows.iter().filter_map(with_live) {
        is_followed = true;
        all.sums.add(live);
        let add = |sum: u64, blocks: u64| sum.saturating_add(blocks.saturating_mul(row.size));
        all.peak_bytes = add(all.peak_bytes, live.peak());
        all.left_bytes = add(all.left_bytes, live.live());
    }
    all.at_peak = largest(rows, |row, live| {
        (live.peak().saturating_mul(row.size), live.peak())
    });
    all.grown = largest(&of_all_sizes(rows), |_, live| (live.copied, live.grown));
    is_followed.then_some(all)
}

/// A row for each stack with growth, whatever the sizes.
fn of_all_sizes(rows: &[Row]) -> Vec<Row> {
    let mut sums: HashMap<&[Option<Rc<str>>], Row> = HashMap::new();
    for row in rows {
        if row.live.as_ref().is_none_or(|live| live.grown == 0) {
            continue;
        }
        let sum = sums.entry(&row.names).or_insert_with(|| Row {
            names: row.names.clone(),
            ..Row::default()
        });
        sum.size = sum.size.max(row.size);
        sum.add(row);
    }
    let mut sums: Vec<Row> = sums.into_values().collect();
    sort(&mut sums);
    sums
}

fn with_live(row: &Row) -> Option<(&Row, &LiveSums)> {
    row.live.as_ref().map(|live| (row, live))
}

/// The rows where `of` is largest, those left out where it is nothing.
fn largest(rows: &[Row], of: impl Fn(&Row, &LiveSums) -> (u64, u64)) -> Vec<Row> {
    let mut found: Vec<((u64, u64), &Row)> = rows
        .iter()
        .filter_map(with_live)
        .map(|(row, live)| (of(row, live), row))
        .filter(|(key, _)| key.1 > 0)
        .collect();
    found.sort_by_key(|(key, _)| Reverse(*key));
    let first = found.into_iter().take(LISTED);
    first.map(|(_, row)| row.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_summed_up_over_sizes() {
        let row = |name: &str, size, grown, copied| Row {
            names: [Some(name.into()), None, None, None],
            size,
            calls: 2,
            live: Some(LiveSums {
                followed: 2,
                frees: 1,
                at_peak: 2,
                grown,
                copied,
                ..LiveSums::default()
            }),
            ..Row::default()
        };
        let rows = [
            row("push", 32, 1, 16),
            row("push", 64, 3, 32),
            row("read", 100, 1, 40),
            row("new", 1000, 0, 0),
        ];
        let all = of_rows(&rows).expect("followed");
        assert_eq!((all.peak_bytes, all.left_bytes), (2392, 1196));
        assert_eq!(all.at_peak[0], rows[3]);
        let grown: Vec<(&str, u64, u64)> = all
            .grown
            .iter()
            .map(|row| {
                let live = row.live.as_ref().expect("followed");
                (
                    row.names[0].as_deref().expect("named"),
                    row.size,
                    live.copied,
                )
            })
            .collect();
        assert_eq!(grown, [("push", 64, 48), ("read", 100, 40)]);
        assert!(of_rows(&[Row::default()]).is_none());
    }
}
