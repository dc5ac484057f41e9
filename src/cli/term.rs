//! Text for the terminal: widths, numbers, names.

use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Columns where standard error is no terminal.
const DEFAULT_WIDTH: usize = 100;
/// Narrower windows get lines of this length, which they may wrap.
const LEAST_WIDTH: usize = 40;
/// Names cut to fewer columns say nothing.
const LEAST_NAME: usize = 15;

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

/// Cuts text to a number of columns, in the middle: `module+0x1234` and `path::to::function` are
/// told apart by their ends.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    let len = text.chars().count();
    if len <= columns {
        return text.to_owned();
    }
    let end = columns.saturating_sub(1) / 2;
    let start = columns.saturating_sub(1 + end);
    let shown = |from, n| text.chars().skip(from).take(n).collect::<String>();
    format!("{}…{}", shown(0, start), shown(len - end, end))
}

/// Joins names, most important first, in at most `columns` columns.
///
/// Each gets an equal share of the room, and what the short ones do not need goes to the long ones.
/// Names are left out at the end before the share falls below [`LEAST_NAME`].
pub(crate) fn join(names: &[&str], separator: &str, columns: usize) -> String {
    const REST: &str = "…";
    let len = |text: &str| text.chars().count();
    for n in (1..=names.len()).rev() {
        let mut shown = names[..n].to_vec();
        let is_all = n == names.len();
        let rest = if is_all {
            0
        } else {
            len(separator) + len(REST)
        };
        let room = columns.saturating_sub(len(separator) * (n - 1) + rest);
        let share = fair_share(&shown, room);
        if share < LEAST_NAME && shown.iter().any(|name| len(name) > share) && n > 1 {
            continue;
        }
        let cut: Vec<String> = shown.iter().map(|name| cut(name, share)).collect();
        shown = cut.iter().map(String::as_str).collect();
        if !is_all {
            shown.push(REST);
        }
        // A window may be too narrow for even that.
        return self::cut(&shown.join(separator), columns);
    }
    String::new()
}

/// The largest length to which all names can be cut to fit together into `room`.
fn fair_share(names: &[&str], mut room: usize) -> usize {
    let mut lengths: Vec<usize> = names.iter().map(|name| name.chars().count()).collect();
    lengths.sort_unstable();
    for (i, &length) in lengths.iter().enumerate() {
        let share = room / (lengths.len() - i);
        if length > share {
            return share;
        }
        room -= length;
    }
    lengths.last().copied().unwrap_or(0)
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
    use proptest::prelude::*;

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
        assert_eq!(join(&["main"], " < ", 10), "main");
        assert_eq!(
            join(&[&long, "main"], " < ", 30),
            "abcdefghijk…pqrstuvwxyz < main"
        );
        assert_eq!(
            join(&[&long, &long, "main"], " < ", 28),
            "abcdefghijkl…pqrstuvwxyz < …"
        );
        assert_eq!(join(&["abcd", "efgh"], " < ", 9), "abcd < …");
        assert_eq!(join(&[], " < ", 9), "");
    }

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(
            printable("a\u{1b}[31mb\r\u{9b}"),
            "a\\x1b[31mb\\x0d\\xc2\\x9b"
        );
    }

    proptest! {
        #[test]
        fn joined_names_fit(names in proptest::collection::vec("[a-zä]{0,30}", 0..5), columns in 1_usize..80) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let joined = join(&names, " ← ", columns);
            prop_assert!(joined.chars().count() <= columns);
            if names.join(" ← ").chars().count() <= columns {
                prop_assert_eq!(joined, names.join(" ← "));
            }
        }
    }
}
