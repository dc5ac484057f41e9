//! Text from outside, without what a terminal would obey.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Longest text that is printed, in bytes.
pub const LONGEST: usize = 1 << 16;

/// Text that is safe in a terminal and a file: bytes that are not UTF-8, characters that control a
/// terminal and characters that cannot be seen are written as `\xNN`, and an overlong name ends with
/// an ellipsis.
pub fn printable(bytes: &[u8]) -> String {
    let (bytes, cut) = match bytes.get(..LONGEST) {
        Some(start) if bytes.len() > LONGEST => (start, true),
        _ => (bytes, false),
    };
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || is_invisible(c) {
                let mut utf8 = [0; 4];
                for byte in c.encode_utf8(&mut utf8).bytes() {
                    let _ = write!(text, "\\x{byte:02x}");
                }
            } else {
                text.push(c);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    if cut {
        text.push('…');
    }
    text
}

/// Returns whether a character has no width and no ink of its own, so that two texts which differ in
/// it look the same: the property `Default_Ignorable_Code_Point` of Unicode 16
/// (<https://www.unicode.org/Public/16.0.0/ucd/DerivedCoreProperties.txt>), the separators of lines
/// and paragraphs, and the interlinear annotation marks.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Text from a file, without anything that a terminal could take for a command.
pub fn printable_text(text: &str) -> String {
    printable(text.as_bytes())
}

/// A path, without anything that a terminal could take for a command.
pub fn path(path: &Path) -> String {
    printable(path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_cannot_be_seen_are_escaped() {
        for (text, expected) in [
            ("a\u{200b}b", "a\\xe2\\x80\\x8bb"),
            ("\u{feff}a", "\\xef\\xbb\\xbfa"),
            ("a\u{2060}", "a\\xe2\\x81\\xa0"),
            ("a\u{e0041}", "a\\xf3\\xa0\\x81\\x81"),
            ("naïve 漢字", "naïve 漢字"),
        ] {
            assert_eq!(printable(text.as_bytes()), expected);
        }
    }

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(
            printable_text("a\u{1b}[31mb\r\u{9b}"),
            "a\\x1b[31mb\\x0d\\xc2\\x9b"
        );
    }

    #[test]
    fn directions_of_writing_are_escaped() {
        assert_eq!(printable("\u{202e}x".as_bytes()), "\\xe2\\x80\\xaex");
    }
}
