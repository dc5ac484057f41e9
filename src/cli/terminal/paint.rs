//! Colours. Texts for the terminal are made with them, and they are taken out where they are not wanted: where
//! the stream is no terminal or a dumb one, with `NO_COLOR`, and as `--color` says.

use anstream::{AutoStream, ColorChoice, stream::RawStream};
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use std::fmt::Display;
use std::io;

/// The first line.
pub(crate) const TITLE: Style = Style::new().bold();
/// Headings, separators, and what matters less.
pub(crate) const QUIET: Style = Style::new().dimmed();
/// Bars.
pub(crate) const BAR: Style = AnsiColor::Cyan.on_default();
/// What is missing from the figures.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default();
/// Large shares.
pub(crate) const HOT: Style = AnsiColor::Red.on_default().bold();
/// Shares that are worth a look.
pub(crate) const WARM: Style = AnsiColor::Yellow.on_default();

/// The values of `--color`.
#[derive(ValueEnum, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum When {
    /// On a terminal that can, unless `NO_COLOR` is set; with `CLICOLOR_FORCE` anywhere.
    #[default]
    Auto,
    /// Anywhere.
    Always,
    /// Nowhere.
    Never,
}

/// The text in a style.
pub(crate) fn painted(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Writes text, with its colours where they are wanted.
///
/// # Errors
/// Those of the stream.
pub(crate) fn write<S: RawStream>(stream: S, text: &str, when: When) -> io::Result<()> {
    let choice = match when {
        When::Auto => AutoStream::choice(&stream),
        When::Always => ColorChoice::Always,
        When::Never => ColorChoice::Never,
    };
    let text = &*crate::terminal::term::harmless(text);
    // At once: other processes may write to the terminal too.
    let plain = || anstream::adapter::strip_str(text).to_string();
    let mut stream = stream;
    match choice {
        ColorChoice::Never => stream.write_all(plain().as_bytes()),
        _ => stream.write_all(text.as_bytes()),
    }?;
    stream.flush()
}

/// The text without colours.
pub(crate) fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_written_where_they_are_wanted() {
        let text = painted(TITLE, "a") + "b";
        assert_eq!(text, "\u{1b}[1ma\u{1b}[0mb");
        let written = |when| {
            let mut out: Vec<u8> = Vec::new();
            write(&mut out as &mut Vec<u8>, &text, when).expect("written");
            String::from_utf8(out).expect("text")
        };
        assert_eq!(written(When::Always), text);
        assert_eq!([written(When::Never), plain(&text)], ["ab", "ab"]);
    }
}
