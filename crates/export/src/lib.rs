//! A profile in every format that is not a table of rows: one file for each, all behind [`write()`].

#![deny(unsafe_code)]
// What a failing test prints is for its author.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod columns;
mod data;
mod dhat;
mod firefox;
mod html;
mod json;
mod leaks;
mod markdown;
pub mod parquet;
mod pprof;
mod pprof_messages;
mod site_columns;
mod speedscope;
mod svg;

use skipheap_profile::report::collapsed::Style;
use skipheap_profile::{Profile, file};
use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The formats of profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Everything that was recorded, in one file for `report`, `diff`, `merge` and `check`.
    Skipheap,
    /// Sites with their stacks, for scripts.
    Json,
    /// One page for a browser; needs no network.
    Html,
    /// For `go tool pprof`, Pyroscope and Parca.
    Pprof,
    /// A flame graph.
    Svg,
    /// For speedscope.app.
    Speedscope,
    /// For the viewer of valgrind's DHAT.
    Dhat,
    /// For profiler.firefox.com.
    Firefox,
    /// For DuckDB, pandas and Spark: a table of all sites.
    Parquet,
    /// The largest sites as a table, for the description of a change.
    Markdown,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 10] = [
        Self::Skipheap,
        Self::Json,
        Self::Html,
        Self::Pprof,
        Self::Svg,
        Self::Speedscope,
        Self::Dhat,
        Self::Firefox,
        Self::Parquet,
        Self::Markdown,
    ];

    /// What the user calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Skipheap => "skipheap",
            Self::Json => "json",
            Self::Html => "html",
            Self::Pprof => "pprof",
            Self::Svg => "svg",
            Self::Speedscope => "speedscope",
            Self::Dhat => "dhat",
            Self::Firefox => "firefox",
            Self::Parquet => "parquet",
            Self::Markdown => "markdown",
        }
    }

    /// What it is for.
    pub fn about(self) -> &'static str {
        match self {
            Self::Skipheap => {
                "Everything that was recorded, in one file for `report`, `diff`, `merge` and `check`"
            }
            Self::Json => "Sites with their stacks, for scripts",
            Self::Html => "One page for a browser; needs no network",
            Self::Pprof => "For `go tool pprof`, Pyroscope and Parca",
            Self::Svg => "A flame graph",
            Self::Speedscope => "For speedscope.app",
            Self::Dhat => "For the viewer of valgrind's DHAT",
            Self::Firefox => "For profiler.firefox.com",
            Self::Parquet => "For DuckDB, pandas and Spark: a table of all sites",
            Self::Markdown => "The largest sites as a table, for the description of a change",
        }
    }

    /// What names of such files end with; the first is the usual one.
    fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Skipheap => &[file::EXTENSION],
            Self::Json => &["json"],
            Self::Html => &["html", "htm"],
            Self::Pprof => &["pb.gz", "pprof"],
            Self::Svg => &["svg"],
            Self::Speedscope => &["speedscope.json"],
            Self::Dhat => &["dhat.json"],
            Self::Firefox => &["firefox.json", "profile.json"],
            Self::Parquet => &["parquet"],
            Self::Markdown => &["md", "markdown"],
        }
    }

    /// What the name of a fresh file ends with.
    pub fn extension(self) -> &'static str {
        self.endings()[0]
    }

    /// The format that a file's name asks for.
    pub fn of_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.as_bytes();
        // As valgrind calls them.
        let is_dhat = name
            .strip_prefix(b"dhat.out.")
            .is_some_and(|id| !id.is_empty());
        let by_ending = Self::and_ending(path).map(|(format, _)| format);
        by_ending.or(is_dhat.then_some(Self::Dhat))
    }

    /// The format that a file's name asks for, whatever the case, and the ending that says so. Of
    /// several endings that fit the longest counts: `.speedscope.json` is no `.json`.
    fn and_ending(path: &Path) -> Option<(Self, &'static str)> {
        let name = path.file_name()?.to_string_lossy().to_lowercase();
        let fits = |ending: &str| {
            let stem = name.strip_suffix(ending);
            stem.is_some_and(|stem| stem.len() > 1 && stem.ends_with('.'))
        };
        Self::ALL
            .into_iter()
            .flat_map(|format| format.endings().iter().map(move |ending| (format, *ending)))
            .filter(|(_, ending)| fits(ending))
            .max_by_key(|(_, ending)| ending.len())
    }

    /// What stands before the last dot of a file's name, and what behind it; of an ending with
    /// several dots before the first of these.
    pub fn split_name(path: &Path) -> (&OsStr, &OsStr) {
        let name = path.file_name().unwrap_or_default();
        match Self::and_ending(path) {
            Some((_, ending)) => {
                let (stem, dot) = name.as_bytes().split_at(name.len() - ending.len() - 1);
                (OsStr::from_bytes(stem), OsStr::from_bytes(&dot[1..]))
            }
            None => (
                path.file_stem().unwrap_or_default(),
                path.extension().unwrap_or_default(),
            ),
        }
    }

    /// Returns whether it is about whole stacks, so that a run records them.
    pub fn needs_whole_stacks(self) -> bool {
        self != Self::Markdown
    }

    /// Returns whether it is about the lifetimes of blocks, so that a run follows them.
    ///
    /// A `.skipheap` holds what the run was told to record, and costs what that costs; JSON,
    /// Parquet and Markdown have the figures where they are known.
    pub fn needs_live(self) -> bool {
        match self {
            Self::Html | Self::Pprof | Self::Speedscope | Self::Dhat | Self::Firefox => true,
            Self::Skipheap | Self::Json | Self::Svg | Self::Parquet | Self::Markdown => false,
        }
    }

    /// Returns whether it has one number for each stack, which `--value` chooses.
    pub fn has_one_value(self) -> bool {
        self == Self::Svg
    }
}

/// Writes a profile. The style is for formats with one number for each stack.
///
/// # Errors
/// Those of `out`, and what the format cannot hold.
pub fn write(
    profile: &Profile,
    format: Format,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    if format == Format::Skipheap {
        return file::write(profile, out);
    }
    let profile = &*profile.estimated();
    // Sums over processes have what lived at one peak; the others say of each figure whose it is.
    let one_peak = match format {
        Format::Pprof | Format::Svg | Format::Speedscope | Format::Dhat => profile.with_one_peak(),
        _ => Cow::Borrowed(profile),
    };
    let profile = &*one_peak;
    match format {
        Format::Skipheap => Ok(()),
        Format::Json => json::write(profile, out),
        Format::Html => html::write(profile, out),
        Format::Pprof => pprof::write(profile, out),
        Format::Svg => svg::write(profile, style, out),
        Format::Speedscope => speedscope::write(profile, out),
        Format::Dhat => dhat::write(profile, out),
        Format::Firefox => firefox::write(profile, out),
        Format::Parquet => parquet::write(profile, out),
        Format::Markdown => markdown::write(profile, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_names_the_format() {
        for format in Format::ALL {
            for ending in format.endings() {
                let name = format!("a.b.{ending}");
                assert_eq!(Format::of_name(Path::new(&name)), Some(format), "{name}");
                assert_eq!(
                    Format::of_name(Path::new(&name.to_uppercase())),
                    Some(format)
                );
            }
        }
        assert_eq!(
            Format::of_name(Path::new("a/dhat.out.12")),
            Some(Format::Dhat)
        );
        for name in ["dhat.out.", "json", ".json", "a.csv", "a.jsonx", "a", ""] {
            assert_eq!(Format::of_name(Path::new(name)), None, "{name}");
        }
    }

    #[test]
    fn a_profile_of_nothing_can_be_written_in_every_format() {
        for format in Format::ALL {
            let mut out = Vec::new();
            let written = write(&Profile::default(), format, Style::default(), &mut out);
            assert!(
                written.is_ok() && !out.is_empty(),
                "{format:?}: {written:?}"
            );
        }
    }
}
