//! Text for the terminal: widths, numbers, names.

use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns where standard error is no terminal.
const DEFAULT_WIDTH: usize = 100;
/// Narrower windows get lines of this length, which they may wrap.
const LEAST_WIDTH: usize = 40;

/// Columns of the window that standard error goes to.
pub(crate) fn width() -> usize {
    width_of(std::io::stderr())
}

/// Columns of the window that standard output goes to.
pub(crate) fn width_of_stdout() -> usize {
    width_of(std::io::stdout())
}

fn width_of(stream: impl IsTerminal + AsFd) -> usize {
    if !stream.is_terminal() {
        return DEFAULT_WIDTH;
    }
    rustix::termios::tcgetwinsize(stream)
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|&columns| columns > 0)
        .map_or(DEFAULT_WIDTH, |columns| columns.max(LEAST_WIDTH))
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(
            printable("a\u{1b}[31mb\r\u{9b}"),
            "a\\x1b[31mb\\x0d\\xc2\\x9b"
        );
    }
}
