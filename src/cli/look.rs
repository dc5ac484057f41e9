//! Options about what the terminal shows.

use crate::paint::When;
use crate::plumbing::PlumbingOptions;
use crate::term;
use crate::tree::TreeOptions;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use skipheap_profile::report::collapsed::Value;
use skipheap_profile::report::rows::Row;
use std::cmp::Reverse;

/// For `run` and `report`.
#[derive(Args, Debug, Default, Clone)]
#[command(next_help_heading = "Terminal")]
pub(crate) struct Look {
    /// Number of sites, processes and programs in the summary [default: 10].
    #[arg(long, value_name = "N", global = true)]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub(crate) top: Option<usize>,
    /// Sort sites by bytes, calls, live bytes, bytes at the peak, or temporary blocks
    /// [possible values: bytes, calls, live, peak, temporary; default: bytes].
    // A text, since the command `top` has an option of this name with other values.
    #[arg(long, value_name = "WHAT", global = true, hide_possible_values = true)]
    #[arg(value_parser = ["bytes", "calls", "live", "peak", "temporary"])]
    pub(crate) sort: Option<String>,
    /// List call sites, one for each size, instead of responsible functions.
    #[arg(long, global = true)]
    pub(crate) sites: bool,
    /// Width of tables in columns [default: COLUMNS, or the terminal's; unlimited in a file or a
    /// pipe].
    #[arg(long, value_name = "N", global = true)]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(term::LEAST_WIDTH as u64..))]
    pub(crate) width: Option<usize>,
    /// Colours: auto (on a terminal, unless NO_COLOR is set), always, or never.
    #[arg(long, value_name = "WHEN", global = true, hide_possible_values = true)]
    pub(crate) color: Option<When>,
    #[command(flatten)]
    pub(crate) plumbing: PlumbingOptions,
    #[command(flatten)]
    pub(crate) tree: TreeOptions,
}

impl Look {
    /// By what the sites of the summary are sorted.
    pub(crate) fn sort(&self) -> Value {
        match self.sort.as_deref() {
            Some("calls") => Value::Calls,
            Some("live") => Value::Live,
            Some("peak") => Value::Peak,
            Some("temporary") => Value::Temporary,
            _ => Value::Bytes,
        }
    }
}

/// A row's number of a kind.
pub(crate) fn figure(row: &Row, value: Value) -> u64 {
    let live = row.live.as_ref();
    let live_blocks = live.map_or(0, |live| live.live());
    match value {
        Value::Bytes => row.total,
        Value::Calls => row.calls,
        Value::Live => live_blocks.saturating_mul(row.size),
        Value::LiveBlocks => live_blocks,
        Value::Peak => live.map_or(0, |live| live.peak().saturating_mul(row.size)),
        Value::Temporary => live.map_or(0, |live| live.temporary),
    }
}

/// The `most` rows with the largest numbers of a kind, without those that have none. Rows are in
/// the order of every report, which decides among equals.
pub(crate) fn largest(rows: &[Row], value: Value, most: usize) -> Vec<Row> {
    let mut found: Vec<&Row> = rows.iter().filter(|row| figure(row, value) > 0).collect();
    if value == Value::Bytes {
        // As they are, and those of size 0 as well.
        found = rows.iter().collect();
    } else {
        found.sort_by_key(|row| Reverse(figure(row, value)));
    }
    found.into_iter().take(most).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use skipheap_profile::report::figures::LiveSums;

    #[test]
    fn each_kind_of_number_has_its_order() {
        let row = |size, calls, frees, at_peak, temporary| Row {
            size,
            calls,
            total: size * calls,
            live: Some(LiveSums {
                followed: calls,
                frees,
                at_peak,
                temporary,
                ..LiveSums::default()
            }),
            ..Row::default()
        };
        let rows = [
            row(100, 10, 10, 1, 9),
            row(10, 20, 18, 20, 0),
            row(1, 90, 10, 30, 10),
        ];
        let sizes = |value| -> Vec<u64> {
            largest(&rows, value, 9)
                .iter()
                .map(|row| row.size)
                .collect()
        };
        assert_eq!(sizes(Value::Bytes), [100, 10, 1]);
        assert_eq!(sizes(Value::Calls), [1, 10, 100]);
        assert_eq!(sizes(Value::Live), [1, 10]);
        assert_eq!(sizes(Value::Peak), [10, 100, 1]);
        assert_eq!(sizes(Value::Temporary), [1, 100]);
        assert_eq!(largest(&rows, Value::Calls, 1).len(), 1);
    }
}
