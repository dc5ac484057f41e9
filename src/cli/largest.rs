//! The rows with the largest numbers of a kind.

use skipheap_profile::report::collapsed::Value;
use skipheap_profile::report::rows::Row;
use std::cmp::Reverse;

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
