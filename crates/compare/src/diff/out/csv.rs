//! Differences as CSV: a line for each site, with the figures of both sides.

use super::super::Change;
use super::super::figures::{Figures, Live};
use super::Named;
use ::csv::Writer;
use std::io::{self, Write};

/// In place of what is not there.
const MISSING: &str = "-";

/// The columns.
pub const HEADER: [&str; 24] = [
    "pc0",
    "pc1",
    "pc2",
    "pc3",
    "change",
    "matched by",
    "old bytes allocated",
    "new bytes allocated",
    "old call count",
    "new call count",
    "call count difference",
    "old total bytes",
    "new total bytes",
    "total bytes difference",
    "old live blocks",
    "new live blocks",
    "old live bytes",
    "new live bytes",
    "live bytes difference",
    "old peak bytes",
    "new peak bytes",
    "peak bytes difference",
    "file",
    "line",
];

/// Writes the header and a line for each site, those without a difference too.
///
/// # Errors
/// Those of `out`.
pub fn write(named: &Named<'_>, out: impl Write) -> io::Result<()> {
    let mut writer = Writer::from_writer(out);
    writer.write_record(HEADER)?;
    for change in &named.diff.changes {
        for name in &change.names {
            writer.write_field(name.as_deref().unwrap_or(MISSING))?;
        }
        for field in fields(change) {
            writer.write_field(field)?;
        }
        writer.write_record(None::<&[u8]>)?;
    }
    writer.flush()
}

fn fields(change: &Change) -> [String; 20] {
    let or_missing = |n: Option<String>| n.unwrap_or_else(|| MISSING.to_owned());
    let size = |n: Option<u64>| or_missing(n.map(|n| n.to_string()));
    let live = |side: &Figures, other: Option<u64>, of: fn(&Live) -> u64| {
        // The figures of a site that a side does not have are zero.
        let n = side.live.as_ref().map(of);
        let absent = other.is_none() && change.delta.live.is_some();
        or_missing(n.or(absent.then_some(0)).map(|n| n.to_string()))
    };
    let delta = |i: usize| or_missing(change.delta.live.map(|live| live[i].to_string()));
    let (old, new) = (&change.old, &change.new);
    let (is_old, is_new) = (change.old_size, change.new_size);
    [
        change.kind().word().to_owned(),
        change.matched.word().to_owned(),
        size(is_old),
        size(is_new),
        old.calls.to_string(),
        new.calls.to_string(),
        change.delta.calls.to_string(),
        old.bytes.to_string(),
        new.bytes.to_string(),
        change.delta.bytes.to_string(),
        live(old, is_old, |live| live.blocks),
        live(new, is_new, |live| live.blocks),
        live(old, is_old, |live| live.bytes),
        live(new, is_new, |live| live.bytes),
        delta(1),
        live(old, is_old, |live| live.peak),
        live(new, is_new, |live| live.peak),
        delta(2),
        or_missing(change.place.as_ref().map(|(file, _)| file.to_string())),
        or_missing(change.place.as_ref().map(|(_, line)| line.to_string())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::compare;
    use skipheap_profile::report::rows::Row;

    #[test]
    fn differences_of_all_lines_are_that_of_the_totals() {
        let row = |name: &str, size: u64, calls: u64| Row {
            names: [Some(name.into()), None, None, None],
            size,
            calls,
            total: size * calls,
            ..Row::default()
        };
        let old = [row("f, \"x\"", 16, 3), row("gone", 8, 1)];
        let new = [row("f, \"x\"", 16, 5), row("new", 100, 2)];
        let diff = compare(&old, &new);
        let named = Named {
            diff: &diff,
            old: "a",
            new: "b",
            all: false,
            functions: None,
            listed: 0,
        };
        let mut text = Vec::new();
        write(&named, &mut text).unwrap();
        let mut reader = ::csv::Reader::from_reader(&text[..]);
        assert_eq!(reader.headers().unwrap().len(), HEADER.len());
        let records: Vec<_> = reader.records().map(Result::unwrap).collect();
        let sum: i64 = records
            .iter()
            .map(|record| record[13].parse::<i64>().unwrap())
            .sum();
        assert_eq!(i128::from(sum), diff.delta().bytes);
        assert_eq!(&records[1][0], "f, \"x\"");
        assert_eq!(
            records[0].iter().skip(4).take(10).collect::<Vec<_>>(),
            ["new", "names", "-", "100", "0", "2", "2", "0", "200", "200"]
        );
    }
}
