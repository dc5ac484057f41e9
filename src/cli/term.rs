//! Text for the terminal: widths, numbers, names.

use std::io::IsTerminal;

/// Columns where standard error is no terminal.
const DEFAULT_WIDTH: usize = 100;
/// Narrower windows get lines of this length, which they may wrap.
const LEAST_WIDTH: usize = 40;

/// Columns of the window that standard error goes to.
pub(crate) fn width() -> usize {
    let stderr = std::io::stderr();
    if !stderr.is_terminal() {
        return DEFAULT_WIDTH;
    }
    rustix::termios::tcgetwinsize(stderr)
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
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    let exact = counted(n, "byte", "bytes");
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
    if n < 1000 {
        return exact;
    }
    format!("{exact} ({scaled:.1} {unit})")
}

/// Cuts text to a number of columns; the last of them then shows that it was cut.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(columns.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Joins names in at most `columns` columns. Long names are cut so that every name shows something:
/// each gets an equal share, and what the short ones do not need goes to the long ones.
pub(crate) fn join(names: &[&str], separator: &str, columns: usize) -> String {
    let room = columns.saturating_sub(separator.chars().count() * names.len().saturating_sub(1));
    let share = fair_share(names, room);
    let cut: Vec<String> = names.iter().map(|name| cut(name, share)).collect();
    // Even then, a window may be too narrow for the separators alone.
    self::cut(&cut.join(separator), columns)
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
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
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
        let long = "x".repeat(100);
        assert_eq!(join(&["main"], " < ", 10), "main");
        assert_eq!(
            join(&[&long, "main"], " < ", 20),
            format!("{}… < main", "x".repeat(12))
        );
        assert_eq!(join(&["abcd", "efgh"], " < ", 9), "ab… < ef…");
        assert_eq!(join(&[], " < ", 9), "");
    }

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(
            printable("a\u{1b}[31mb\r\u{9b}"),
            "a\u{fffd}[31mb\u{fffd}\u{fffd}"
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
