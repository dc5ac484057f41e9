//! Lines of tables that say where memory was allocated: by function, or by stack.

use crate::terminal::table::{Line, Responsible, table};
use crate::terminal::term::printable;
use skipheap_profile::functions::Function;
use skipheap_profile::report::rows::Row;

/// The heading of stacks.
pub(crate) const STACK: &str = "allocated by ← called by";
/// The heading of responsible functions.
pub(crate) const RESPONSIBLE: &str = "responsible (via plumbing) ← mostly called by";

/// Sites and processes that are listed.
pub(crate) const LISTED: usize = 10;

/// Returns how many sites, processes, programs and leaks are listed: the number that was asked for, unless it
/// is 0.
pub(crate) fn listed(wanted: usize) -> usize {
    match wanted {
        0 => LISTED,
        wanted => wanted,
    }
}

/// The line of a responsible function.
pub(crate) fn function_line<const N: usize>(
    function: &Function,
    cells: [String; N],
    share: impl Into<Option<f64>>,
) -> Line<N> {
    let mut names = vec![function.shown()];
    names.extend(function.shown_callers());
    Line {
        cells,
        share: share.into(),
        names,
        responsible: Some(Responsible {
            place: function.shown_place(),
            via: function.shown_via(),
        }),
    }
}

/// The names of a row for the terminal, innermost first.
pub(crate) fn names_of(row: &Row) -> Vec<String> {
    let names = row.names.iter().flatten();
    names.map(|name| printable(name)).collect()
}

/// Adds a table of numbers with a stack at the end of each line; nothing where there are no lines.
pub(crate) fn listing<const N: usize>(
    text: &mut String,
    headings: [&str; N],
    lines: Vec<([String; N], Vec<String>)>,
    width: usize,
) {
    let lines = lines.into_iter().map(|(cells, names)| Line {
        cells,
        share: None,
        names,
        responsible: None,
    });
    let lines: Vec<_> = lines.collect();
    table(text, headings, STACK, &lines, width);
}
