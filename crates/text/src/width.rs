//! Columns that text takes in a terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns that text takes.
pub fn columns_of(text: &str) -> usize {
    text.width()
}

/// Cuts text to a number of columns, in the middle: `module+0x1234` and `path::to::function` are
/// told apart by their ends.
pub fn cut(text: &str, columns: usize) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
