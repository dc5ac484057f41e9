//! The last gate before a terminal.

use crate::printable::printable_text;
use std::borrow::Cow;

/// Makes text harmless whatever it is made of: control characters but line feeds, tabs and colours
/// (`ESC [ … m`) are escaped, and so is what a CI runner would take for a command
/// (`::…` at the start of a line in GitHub's format, `##[…]` and `##vso[…]` anywhere in Azure's).
///
/// This is the last gate before the terminal. Text from outside has passed [`printable_text`] before; what
/// has slipped by, such as the message of a library about a file, ends here.
pub fn harmless(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    let commands = text.contains("::") || text.contains("##");
    if !commands && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        let command = line.trim_start();
        let command = command.starts_with("::").then_some(command.len());
        while let Some(c) = rest.chars().next() {
            let colour = colour(rest);
            if colour > 0 {
                out.push_str(&rest[..colour]);
                rest = &rest[colour..];
                continue;
            }
            if command == Some(rest.len()) {
                out.push_str("\\x3a");
            } else if rest.starts_with("##[") || rest.starts_with("##vso[") {
                out.push_str("\\x23");
            } else if is_plain(c) {
                out.push(c);
            } else {
                out.push_str(&printable_text(c.encode_utf8(&mut [0; 4])));
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
            ("\u{b}::a", "\\x0b\\x3a:a"),
            (" \r::a", " \\x0d\\x3a:a"),
            (
                "x ##[error]y ##vso[task]z",
                "x \\x23#[error]y \\x23#vso[task]z",
            ),
            ("## title", "## title"),
        ] {
            assert_eq!(harmless(text), expected, "{text:?}");
        }
    }
}
