//! Baselines: the CSV itself, in the order of names, so that a review sees the lines that changed and
//! no others. Without addresses; of several runs with the least and the most calls of each line.

use super::evidence::{Names, comparable};
use crate::diff::csv::SPREAD;
use csv::{QuoteStyle, Writer, WriterBuilder};
use skipheap_profile::report::csv::HEADER;
use skipheap_profile::report::rows::{NAMES, Row};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// In place of a missing frame.
const MISSING: &str = "-";

/// What is known of the accepted state.
#[derive(Debug, Default)]
pub struct Baseline {
    /// Under names without addresses.
    pub rows: Vec<Row>,
    /// Least and most calls of each row, where they are known.
    pub spreads: Option<Vec<(u64, u64)>>,
    /// The line of each row.
    pub lines: Vec<u64>,
}

impl Baseline {
    /// From the rows of any report.
    pub fn new(rows: &[Row], spreads: Option<Vec<(u64, u64)>>, lines: Vec<u64>) -> Self {
        Self {
            rows: comparable(rows),
            spreads,
            lines,
        }
    }

    /// Calls and bytes of some rows, at most.
    pub(super) fn most(&self, rows: impl Iterator<Item = usize>) -> (u64, u64) {
        let (mut calls, mut bytes) = (0_u64, 0_u64);
        for index in rows {
            let row = &self.rows[index];
            let spread = self.spreads.as_ref().and_then(|spreads| spreads.get(index));
            let most = spread.map_or(row.calls, |&(_, most)| most.max(row.calls));
            calls = calls.saturating_add(most);
            bytes = bytes.saturating_add(row.size.saturating_mul(most));
        }
        (calls, bytes)
    }

    /// Calls and bytes of all rows, at most.
    pub(super) fn most_of_all(&self) -> (u128, u128) {
        let rows = (0..self.rows.len()).map(|row| self.most(std::iter::once(row)));
        rows.fold((0, 0), |(all_calls, all_bytes), (calls, bytes)| {
            (all_calls + u128::from(calls), all_bytes + u128::from(bytes))
        })
    }
}

/// Calls of a site with one size, in each run.
type Lines = BTreeMap<(Names, u64), Vec<u64>>;

/// Writes a baseline of these runs.
///
/// # Errors
/// Those of `out`.
pub fn write(runs: &[Vec<Row>], out: impl Write) -> io::Result<()> {
    let mut lines: Lines = BTreeMap::new();
    for (run, rows) in runs.iter().enumerate() {
        for row in comparable(rows) {
            let calls = lines
                .entry((row.names, row.size))
                .or_insert_with(|| vec![0; runs.len()]);
            calls[run] = calls[run].saturating_add(row.calls);
        }
    }
    let typical = typical(&lines, runs.len());
    let with_spread = runs.len() > 1;
    let mut writer = WriterBuilder::new()
        .quote_style(QuoteStyle::Never)
        .from_writer(out);
    let more: &[&str] = if with_spread { &SPREAD } else { &[] };
    writer.write_record(HEADER.iter().chain(more))?;
    for ((names, size), calls) in &lines {
        write_names(&mut writer, names)?;
        let of_run = calls.get(typical).copied().unwrap_or(0);
        let mut numbers = vec![*size, of_run, size.saturating_mul(of_run)];
        if with_spread {
            numbers.extend(
                [calls.iter().min(), calls.iter().max()]
                    .into_iter()
                    .flatten(),
            );
        }
        writer.write_record(numbers.iter().map(u64::to_string))?;
    }
    writer.flush()
}

/// The run whose bytes are in the middle.
fn typical(lines: &Lines, runs: usize) -> usize {
    let mut totals: Vec<(u128, usize)> = (0..runs)
        .map(|run| {
            let bytes = lines.iter().map(|((_, size), calls)| {
                u128::from(*size) * u128::from(calls.get(run).copied().unwrap_or(0))
            });
            (bytes.sum(), run)
        })
        .collect();
    totals.sort_unstable();
    totals.get(runs / 2).map_or(0, |&(_, run)| run)
}

fn write_names(writer: &mut Writer<impl Write>, names: &Names) -> io::Result<()> {
    debug_assert_eq!(names.len(), NAMES);
    for name in names {
        let field = match name {
            Some(name) => format!("\"{}\"", name.replace('"', "\"\"")),
            None => MISSING.to_owned(),
        };
        writer.write_field(field)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::csv::read;

    fn row(name: &str, size: u64, calls: u64) -> Row {
        Row {
            names: [Some(name.into()), Some("main".into()), None, None],
            size,
            calls,
            total: size * calls,
            ..Row::default()
        }
    }

    fn text(runs: &[Vec<Row>]) -> String {
        let mut out = Vec::new();
        write(runs, &mut out).expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_baseline_is_in_the_order_of_names_and_has_no_addresses() {
        let run = vec![
            row("z", 16, 1000),
            row("x.so+0x20", 8, 1),
            row("x.so+0x10", 8, 2),
            row("a\"b::h0123456789abcdef", 8, 1),
        ];
        assert_eq!(
            text(&[run]),
            "pc0,pc1,pc2,pc3,bytes allocated,call count,total bytes\n\
             \"a\"\"b\",\"main\",-,-,8,1,8\n\
             \"x.so+?\",\"main\",-,-,8,3,24\n\
             \"z\",\"main\",-,-,16,1000,16000\n"
        );
    }

    #[test]
    fn several_runs_leave_their_spread() {
        let runs = [
            vec![row("a", 8, 3), row("b", 1, 1)],
            vec![row("a", 8, 5)],
            vec![row("a", 8, 9)],
        ];
        let text = text(&runs);
        let expected = "\"a\",\"main\",-,-,8,5,40,3,9\n\"b\",\"main\",-,-,1,0,0,0,1\n";
        assert!(text.ends_with(expected), "{text}");
        let sheet = read(text.as_bytes()).expect("read");
        let baseline = Baseline::new(&sheet.rows, sheet.spreads, sheet.lines);
        assert_eq!(baseline.most(0..2), (10, 73));
        assert_eq!(baseline.most(0..1), (9, 72));
    }
}
