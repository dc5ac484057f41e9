//! The terminal: its width, and what is said on standard error.

pub(crate) use skipheap_text::{
    bytes, columns_of, counted, cut, grouped, harmless, path, printable_text as printable, scaled,
};
use std::env;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;

/// Columns of a terminal that does not know its own.
const DEFAULT_WIDTH: usize = 100;
/// Narrower windows get lines of this length, which they may wrap.
pub(crate) const LEAST_WIDTH: usize = 40;
/// The variable that says how many columns there are.
const COLUMNS: &str = "COLUMNS";

/// Columns that the user asked for.
static WANTED: OnceLock<usize> = OnceLock::new();

/// Has all tables take so many columns, wherever they go.
pub(crate) fn set_width(columns: usize) {
    WANTED.get_or_init(|| columns);
}

/// Columns of what goes to standard error.
pub(crate) fn width() -> usize {
    width_of(std::io::stderr())
}

/// Columns of what goes to standard output.
pub(crate) fn width_of_stdout() -> usize {
    width_of(std::io::stdout())
}

/// Those that are wanted, those of the variable, those of the window; a file or a pipe has no end of lines.
fn width_of(stream: impl IsTerminal + AsFd) -> usize {
    let variable = || columns_in(&env::var(COLUMNS).ok()?);
    if let Some(columns) = WANTED.get().copied().or_else(variable) {
        return columns;
    }
    if !stream.is_terminal() {
        return usize::MAX;
    }
    rustix::termios::tcgetwinsize(stream)
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|&columns| columns > 0)
        .map_or(DEFAULT_WIDTH, |columns| columns.max(LEAST_WIDTH))
}

/// The value of the variable. What is no number says nothing, as everywhere.
fn columns_in(value: &str) -> Option<usize> {
    let columns: usize = value.trim().parse().ok()?;
    (columns > 0).then(|| columns.max(LEAST_WIDTH))
}

/// Writes text to standard error as [`harmless`] has it. There is nobody to tell if that fails.
pub(crate) fn say(text: &str) {
    let _ = io::stderr().write_all(harmless(text).as_bytes());
}

/// Adds a line; writing to a string cannot fail.
pub(crate) fn line(text: &mut String, args: std::fmt::Arguments<'_>) {
    let _ = std::fmt::Write::write_fmt(text, args);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_a_number_that_tables_can_have() {
        for (value, expected) in [
            ("120", Some(120)),
            (" 80 ", Some(80)),
            ("5", Some(LEAST_WIDTH)),
            ("0", None),
            ("", None),
            ("wide", None),
            ("-1", None),
        ] {
            assert_eq!(columns_in(value), expected, "{value:?}");
        }
    }
}
