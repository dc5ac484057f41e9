//! Differences for the terminal.

use crate::terminal::listing::{RESPONSIBLE, function_line, listing};
use crate::terminal::term::line;
use crate::terminal::term::{self, printable};
use comfy_table::{CellAlignment, Table, presets};
use skipheap_compare::diff::Match;
use skipheap_compare::diff::functions::FunctionChange;
use skipheap_compare::diff::matching::Change;
use skipheap_compare::diff::out::{Named, text};

/// Lines of at most `width` columns, but for names of files and notes.
pub(crate) fn write(named: &Named<'_>, width: usize) -> String {
    let mut out = String::new();
    let diff = named.diff;
    line(
        &mut out,
        format_args!("{} → {}\n", printable(named.old), printable(named.new)),
    );
    line(&mut out, format_args!("{}\n", totals(named)));
    line(&mut out, format_args!("{}", text::explained(diff)));
    let with_live = diff.delta().live.is_some();
    if let Some(changes) = named.shown_functions() {
        functions(&mut out, &changes, named.listed, with_live, width);
        for note in text::notes(diff) {
            line(&mut out, format_args!("note: {note}"));
        }
        return crate::terminal::paint::plain(&out);
    }
    let shown: Vec<&Change> = named.shown().take(named.listed).collect();
    if with_live {
        let cells = |change: &Change| {
            let [bytes, calls, size, kind] = cells(change);
            let live = text::not_freed(&change.delta).map_or_else(String::new, text::signed);
            [bytes, live, calls, size, kind]
        };
        let lines = shown.iter().map(|change| (cells(change), names(change)));
        let headings = ["bytes", "not freed", "calls", "size", ""];
        listing(&mut out, headings, lines.collect(), width);
    } else {
        let lines = shown.iter().map(|change| (cells(change), names(change)));
        listing(
            &mut out,
            ["bytes", "calls", "size", ""],
            lines.collect(),
            width,
        );
    }
    let more = named.shown().count() - shown.len();
    if more > 0 {
        line(
            &mut out,
            format_args!(
                " and {} with smaller differences",
                term::counted(more as u64, "site", "sites")
            ),
        );
    }
    for note in text::notes(diff) {
        line(&mut out, format_args!("note: {note}"));
    }
    crate::terminal::paint::plain(&out)
}

/// The table of responsible functions.
fn functions(
    out: &mut String,
    changes: &[&FunctionChange],
    listed: usize,
    with_live: bool,
    width: usize,
) {
    let shown = changes.iter().take(listed);
    if with_live {
        let lines = shown.map(|change| {
            let cells = [
                text::signed(change.bytes()),
                text::signed(change.peak()),
                text::signed(change.live()),
                text::signed(change.calls()),
                change.word().to_owned(),
            ];
            function_line(&change.function, cells, None)
        });
        let lines: Vec<_> = lines.collect();
        let headings = ["bytes", "at the peak", "not freed", "calls", ""];
        crate::terminal::table::table(out, headings, RESPONSIBLE, &lines, width);
    } else {
        let lines = shown.map(|change| {
            let cells = [
                text::signed(change.bytes()),
                text::signed(change.calls()),
                change.word().to_owned(),
            ];
            function_line(&change.function, cells, None)
        });
        let lines: Vec<_> = lines.collect();
        crate::terminal::table::table(out, ["bytes", "calls", ""], RESPONSIBLE, &lines, width);
    }
    let more = changes.len().saturating_sub(listed);
    if more > 0 {
        let more = term::counted(more as u64, "function", "functions");
        line(out, format_args!(" and {more} with smaller differences"));
    }
    if !changes.is_empty() {
        line(
            out,
            format_args!("\n--sites lists call sites, each with its size"),
        );
    }
}

fn totals(named: &Named<'_>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["", "old", "new", "difference", ""]);
    for cells in text::totals(named.diff) {
        table.add_row(cells);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

fn cells(change: &Change) -> [String; 4] {
    let mark = match change.matched {
        Match::Names => "",
        Match::Position | Match::Order => " ~",
    };
    [
        text::signed(change.delta.bytes),
        text::signed(change.delta.calls),
        text::size(change),
        format!("{}{mark}", change.kind().word()),
    ]
}

fn names(change: &Change) -> Vec<String> {
    let names = change.names.iter().flatten();
    names.map(|name| printable(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use skipheap_compare::diff::compare;
    use skipheap_profile::report::rows::Row;

    fn row(name: &str, size: u64, calls: u64) -> Row {
        Row {
            names: [Some(name.into()), Some("main".into()), None, None],
            size,
            calls,
            total: size * calls,
            ..Row::default()
        }
    }

    fn text(listed: usize, width: usize) -> String {
        let long = "name".repeat(60);
        let old = [row("f", 48, 1000), row("g", 16, 3), row("same", 8, 8)];
        let new = [row("f", 56, 1000), row(&long, 100, 1), row("same", 8, 8)];
        let diff = compare(&old, &new);
        write(
            &Named {
                diff: &diff,
                old: "a\x1b.csv",
                new: "b.csv",
                all: false,
                functions: None,
                listed,
            },
            width,
        )
    }

    #[test]
    fn a_difference_is_explained() {
        let said = text(10, 100);
        for expected in [
            "a\\x1b.csv → b.csv\n",
            "bytes  48,112  56,164      +8,052  +16.7 %",
            "calls   1,011   1,009          −2   −0.2 %",
            "+8,052 bytes = 1 site new +100, 1 site gone −48, 1 site grown +8,000; 1 site is the same",
            "+8,000      0  48 → 56  grown  f ← main",
        ] {
            assert!(said.contains(expected), "{expected}:\n{said}");
        }
        assert!(text(1, 100).contains(" and 2 sites with smaller differences"));
    }

    #[test]
    fn lines_fit_the_window() {
        for width in [60, 80, 120] {
            let said = text(10, width);
            let table = said
                .lines()
                .skip_while(|line| !line.contains("allocated by"));
            let longest = table.map(|line| line.chars().count()).max();
            assert!(longest <= Some(width), "{width}:\n{said}");
        }
    }
}
