//! Text for the terminal: widths, numbers, names.

use std::borrow::Cow;
use std::env;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

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

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 site`, `1,234 sites`.
pub(crate) fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(n), if n == 1 { one } else { many })
}

/// Bytes in words: `12 bytes`, `1,234,567 bytes (1.2 MB)`.
pub(crate) fn bytes(n: u64) -> String {
    let exact = counted(n, "byte", "bytes");
    match n {
        0..1000 => exact,
        _ => format!("{exact} ({})", scaled(n)),
    }
}

/// Bytes in short: `12 B`, `1.2 MB`.
pub(crate) fn scaled(n: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let mut scaled = n as f64 / 1000.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        // What would be printed as 1000.0 is 1.0 of the next one.
        if scaled < 999.95 {
            break;
        }
        scaled /= 1000.0;
        unit = larger;
    }
    format!("{scaled:.1} {unit}")
}

/// Columns that text takes.
pub(crate) fn columns_of(text: &str) -> usize {
    text.width()
}

/// Cuts text to a number of columns, in the middle: `module+0x1234` and `path::to::function` are
/// told apart by their ends.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if columns_of(text) <= columns {
        return text.to_owned();
    }
    let end = columns.saturating_sub(1) / 2;
    let start = columns.saturating_sub(1 + end);
    let first = within(text.chars(), start);
    let last: String = within(text.chars().rev(), end).chars().rev().collect();
    match columns {
        0 => String::new(),
        _ => format!("{first}…{last}"),
    }
}

/// The first characters, in at most so many columns.
fn within(text: impl Iterator<Item = char>, columns: usize) -> String {
    let mut taken = 0;
    text.take_while(|c| {
        taken += c.width().unwrap_or(0);
        taken <= columns
    })
    .collect()
}

/// Text from a file, without anything that a terminal could take for a command.
pub(crate) fn printable(text: &str) -> String {
    crate::symbolize::demangle::printable(text.as_bytes())
}

/// A path, without anything that a terminal could take for a command.
pub(crate) fn path(path: &Path) -> String {
    crate::symbolize::demangle::printable(path.as_os_str().as_bytes())
}

/// Writes text to standard error as [`harmless`] has it. There is nobody to tell if that fails.
pub(crate) fn say(text: &str) {
    let _ = io::stderr().write_all(harmless(text).as_bytes());
}

/// Makes text harmless whatever it is made of: control characters but line feeds, tabs and colours
/// (`ESC [ … m`) are escaped, and so is what a CI runner would take for a command
/// (`::…` at the start of a line in GitHub's format, `##[…]` and `##vso[…]` anywhere in Azure's).
///
/// This is the last gate before the terminal. Text from outside has passed [`printable`] before; what
/// has slipped by, such as the message of a library about a file, ends here.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    let commands = text.contains("::") || text.contains("##");
    if !commands && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        let indent = line.len() - line.trim_start().len();
        if line[indent..].starts_with("::") {
            out.push_str(&line[..indent]);
            out.push_str("\\x3a");
            rest = &line[indent + 1..];
        }
        while let Some(c) = rest.chars().next() {
            let colour = colour(rest);
            if colour > 0 {
                out.push_str(&rest[..colour]);
                rest = &rest[colour..];
                continue;
            }
            if rest.starts_with("##[") || rest.starts_with("##vso[") {
                out.push_str("\\x23");
            } else if is_plain(c) {
                out.push(c);
            } else {
                out.push_str(&printable(c.encode_utf8(&mut [0; 4])));
            }
            rest = &rest[c.len_utf8()..];
        }
    }
    Cow::Owned(out)
}

/// Returns the length in bytes of the colour that the text starts with; 0 where it starts with none.
fn colour(text: &str) -> usize {
    let Some(body) = text.strip_prefix("\u{1b}[") else {
        return 0;
    };
    let digits = body
        .bytes()
        .take_while(|b| b.is_ascii_digit() || *b == b';');
    let len = digits.count();
    match body.as_bytes().get(len) {
        Some(b'm') => 2 + len + 1,
        _ => 0,
    }
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

    #[test]
    fn numbers_are_grouped() {
        let grouped: Vec<String> = [0, 999, 1000, 123_456, 1_234_567].map(grouped).to_vec();
        assert_eq!(grouped, ["0", "999", "1,000", "123,456", "1,234,567"]);
        assert_eq!(counted(1, "site", "sites"), "1 site");
        assert_eq!(counted(2000, "site", "sites"), "2,000 sites");
    }

    #[test]
    fn bytes_have_a_unit() {
        assert_eq!(
            [scaled(0), scaled(999), scaled(1000)],
            ["0 B", "999 B", "1.0 kB"]
        );
        assert_eq!(bytes(1), "1 byte");
        assert_eq!(bytes(999), "999 bytes");
        assert_eq!(bytes(1000), "1,000 bytes (1.0 kB)");
        assert_eq!(bytes(999_949), "999,949 bytes (999.9 kB)");
        assert_eq!(bytes(999_999), "999,999 bytes (1.0 MB)");
        assert_eq!(bytes(1_234_567_890), "1,234,567,890 bytes (1.2 GB)");
        assert!(bytes(u64::MAX).ends_with("(18.4 EB)"));
    }

    #[test]
    fn long_names_are_cut_and_short_ones_are_not() {
        let long = "abcdefghijklmnopqrstuvwxyz".repeat(2);
        assert_eq!(cut(&long, 9), "abcd…wxyz");
        assert_eq!(cut("short", 5), "short");
        assert_eq!(
            [cut("漢字漢字", 6), cut("漢字", 1), cut("ab", 0)],
            ["漢…字", "…", ""]
        );
    }

    #[test]
    fn whatever_reaches_the_last_gate_is_harmless() {
        for (text, expected) in [
            ("plain\n\tindented\n", "plain\n\tindented\n"),
            ("\u{1b}[1mbold\u{1b}[0m", "\u{1b}[1mbold\u{1b}[0m"),
            ("a\u{1b}]0;title\u{7}b\r", "a\\x1b]0;title\\x07b\\x0d"),
            ("\u{1b}[2Ja", "\\x1b[2Ja"),
            (
                "::error::x\n  ::set-output::\n",
                "\\x3a:error::x\n  \\x3a:set-output::\n",
            ),
            ("a::b ::c", "a::b ::c"),
            (
                "x ##[error]y ##vso[task]z",
                "x \\x23#[error]y \\x23#vso[task]z",
            ),
            ("## title", "## title"),
        ] {
            assert_eq!(harmless(text), expected, "{text:?}");
        }
    }

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(
            printable("a\u{1b}[31mb\r\u{9b}"),
            "a\\x1b[31mb\\x0d\\xc2\\x9b"
        );
    }
}
