//! Options about what a report looks like: its format, its columns, and what goes beside it.

use crate::following::Needs;
use crate::input_file;
use crate::terminal::term;
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use skipheap_config::settings::{COLUMNS, SUPPRESSIONS};
use skipheap_export as export;
use skipheap_profile::report::collapsed::{Style, Value};
use skipheap_profile::report::suppressions::{self, Suppression};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::{env, io};

/// For `run` and `report`.
#[derive(Args, Debug, Default, Clone)]
#[command(next_help_heading = "Report")]
pub(crate) struct Shape {
    /// Columns of the CSV (SKIP_HEAP_COLUMNS).
    ///
    /// `all` distinguishes source lines, object files, allocation functions and threads, and adds the
    /// lifetimes of blocks, for which a run turns --live on.
    #[arg(long, value_name = "WHICH", global = true)]
    pub(crate) columns: Option<Columns>,
    /// Format of the report [default: that of the extension of --output, or csv].
    ///
    /// All formats but csv and markdown contain whole stacks with inlined functions. A run that
    /// writes them records whole stacks.
    #[arg(long, value_name = "FORMAT", global = true)]
    pub(crate) format: Option<Format>,
    /// Value to show in trees, flame graphs and collapsed stacks [default: bytes].
    #[arg(long, value_name = "WHAT", global = true)]
    pub(crate) value: Option<Figure>,
    /// In trees, flame graphs and collapsed stacks, collapse recursive calls into one frame.
    #[arg(long, global = true)]
    pub(crate) fold_recursion: bool,
    /// Add file and line to functions in the summary, trees, flame graphs and collapsed stacks.
    #[arg(long, global = true)]
    pub(crate) lines: bool,
    /// Write live bytes, live blocks and RSS over time to FILE, as CSV.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) timeline: Option<PathBuf>,
    /// Leave known leaks out of the report (SKIP_HEAP_SUPPRESSIONS).
    ///
    /// FILE has lines `leak:PATTERN`, the format of LeakSanitizer. A leak is known if PATTERN
    /// matches a function, source file or object file in its stack.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) suppressions: Option<PathBuf>,
    /// Print lines for --suppressions that leave out the leaks that were found.
    ///
    /// For a run, implies --leak-check.
    #[arg(long, global = true)]
    pub(crate) gen_suppressions: bool,
    /// Exit with status N if there are leaks that are not suppressed [default: the program's
    /// status].
    ///
    /// If none are found, but leaks could not be looked for (a malloc of the program's own, memory
    /// that cannot be read), the status is 125. For a run, implies --leak-check.
    #[arg(long, value_name = "N", global = true)]
    pub(crate) leak_exit_code: Option<u8>,
}

/// The values of `--columns`.
#[derive(ValueEnum, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Columns {
    /// The seven columns of the original profiler.
    #[default]
    Seed,
    /// Every column.
    All,
}

/// The values of `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// A table.
    Csv,
    /// Stacks.
    Collapsed,
    /// A format of profiles.
    Export(export::Format),
}

impl Format {
    /// The format that a file's name asks for, whatever the case.
    pub(crate) fn of_name(path: &Path) -> Option<Self> {
        let extension = path.extension().unwrap_or_default();
        let is = |ending: &str| extension.eq_ignore_ascii_case(ending);
        if is("csv") {
            return Some(Self::Csv);
        }
        if is("folded") || is("collapsed") {
            return Some(Self::Collapsed);
        }
        export::Format::of_name(path).map(Self::Export)
    }

    /// What names of such files usually end with.
    fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Collapsed => "folded",
            Self::Export(format) => format.extension(),
        }
    }
}

impl ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        static ALL: LazyLock<Vec<Format>> = LazyLock::new(|| {
            let exports = export::Format::ALL.into_iter().map(Format::Export);
            [Format::Csv, Format::Collapsed]
                .into_iter()
                .chain(exports)
                .collect()
        });
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Csv => Some(
                PossibleValue::new("csv")
                    .help("Comma-separated values, for spreadsheets and databases"),
            ),
            Self::Collapsed => {
                Some(PossibleValue::new("collapsed").help("One stack per line, for flame graphs"))
            }
            Self::Export(format) => Some(PossibleValue::new(format.name()).help(format.about())),
        }
    }
}

/// The values of `--value`.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Bytes of all allocations.
    Bytes,
    /// Allocations.
    Calls,
    /// Bytes that were not freed.
    Live,
    /// Blocks that were not freed.
    LiveBlocks,
    /// Bytes that were live at the peak.
    Peak,
    /// Allocations that were freed before the thread's next one.
    Temporary,
}

impl From<Figure> for Value {
    fn from(figure: Figure) -> Self {
        match figure {
            Figure::Bytes => Self::Bytes,
            Figure::Calls => Self::Calls,
            Figure::Live => Self::Live,
            Figure::LiveBlocks => Self::LiveBlocks,
            Figure::Peak => Self::Peak,
            Figure::Temporary => Self::Temporary,
        }
    }
}

/// What the main file of a report is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A CSV.
    Csv(Columns),
    /// Collapsed stacks.
    Collapsed(Style),
    /// A profile in another format.
    Export(export::Format, Style),
}

impl Kind {
    /// What the names of its files end with.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Csv(_) => Format::Csv.ending(),
            Self::Collapsed(_) => Format::Collapsed.ending(),
            Self::Export(format, _) => Format::Export(format).ending(),
        }
    }

    /// Returns whether it is about the lifetimes of blocks, so that it is empty where these are not known.
    pub(crate) fn needs_live(self) -> bool {
        match self {
            Self::Csv(_) => false,
            Self::Collapsed(style) => style.value.needs_live(),
            Self::Export(format, style) => format.has_one_value() && style.value.needs_live(),
        }
    }
}

impl Shape {
    /// What a report to `output` is; a CSV where the name does not say.
    pub(crate) fn kind(&self, output: Option<&Path>) -> Kind {
        let by_name = || output.and_then(Format::of_name).unwrap_or(Format::Csv);
        let style = self.style();
        match self.format.unwrap_or_else(by_name) {
            Format::Csv => Kind::Csv(self.columns()),
            Format::Collapsed => Kind::Collapsed(style),
            Format::Export(format) => Kind::Export(format, style),
        }
    }

    /// Checks that the format of a report to `output` is clear. A name without an ending is that of a CSV.
    ///
    /// # Errors
    /// An ending that stands for no format, where --format does not say more.
    pub(crate) fn check_ending(&self, output: Option<&Path>) -> Result<(), String> {
        let Some(path) = output.filter(|_| self.format.is_none()) else {
            return Ok(());
        };
        let has_ending = path.extension().is_some_and(|ending| !ending.is_empty());
        if !has_ending || Format::of_name(path).is_some() {
            return Ok(());
        }
        let known: Vec<&str> = Format::value_variants()
            .iter()
            .map(|format| format.ending())
            .collect();
        Err(format!(
            "{}: unknown extension: use .{}, or name the format with --format",
            term::path(path),
            known.join(", .")
        ))
    }

    /// How stacks are written.
    pub(crate) fn style(&self) -> Style {
        Style {
            value: self.value.map_or(Value::default(), Value::from),
            fold_recursion: self.fold_recursion,
            lines: self.lines,
        }
    }

    fn columns(&self) -> Columns {
        let of_variable = || match env::var_os(COLUMNS) {
            Some(value) if value == "all" => Columns::All,
            _ => Columns::Seed,
        };
        self.columns.unwrap_or_else(of_variable)
    }

    /// What is wrong with the options together.
    pub(crate) fn conflict(&self, output: Option<&Path>, has_tree: bool) -> Option<&'static str> {
        let kind = self.kind(output);
        let has_value = match kind {
            Kind::Csv(_) => false,
            Kind::Collapsed(_) => true,
            Kind::Export(format, _) => format.has_one_value(),
        };
        let of_stacks = self.value.is_some() || self.fold_recursion;
        if of_stacks && !has_value && !has_tree {
            return Some(
                "--value and --fold-recursion need --tree, or a format with one number per stack: \
                 -o FILE.folded or FILE.svg, or --format",
            );
        }
        let is_csv = matches!(kind, Kind::Csv(_));
        (!is_csv && self.columns.is_some()).then_some("--columns needs the CSV format")
    }

    /// What a run has to record for such a report.
    pub(crate) fn needs(&self, output: Option<&Path>) -> Needs {
        let of_file = match self.kind(output) {
            Kind::Csv(columns) => Needs {
                whole_stacks: false,
                live: columns == Columns::All,
            },
            Kind::Collapsed(style) => Needs {
                whole_stacks: true,
                live: style.value.needs_live(),
            },
            kind @ Kind::Export(format, _) => Needs {
                whole_stacks: format.needs_whole_stacks(),
                live: format.needs_live() || kind.needs_live(),
            },
        };
        let known_leaks = self.suppressions.is_some() || self.gen_suppressions;
        Needs {
            whole_stacks: of_file.whole_stacks || known_leaks,
            live: of_file.live || known_leaks || self.timeline.is_some(),
        }
    }

    /// Reads the suppressions.
    ///
    /// # Errors
    /// When the file cannot be read, or has a line that is none; with its name.
    pub(crate) fn suppressions(&self) -> io::Result<Vec<Suppression>> {
        let of_variable = || {
            let value = env::var_os(SUPPRESSIONS)?;
            (!value.is_empty()).then(|| value.into())
        };
        let Some(path) = self.suppressions.clone().or_else(of_variable) else {
            return Ok(Vec::new());
        };
        let read = || {
            let text = input_file::text(&path)?;
            suppressions::parse(&text)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        };
        read().map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", term::path(&path)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn out(name: &str) -> Option<&Path> {
        Some(Path::new(name))
    }

    #[test]
    fn the_extension_names_the_format_and_the_option_has_the_last_word() {
        let plain = Shape::default();
        for name in ["a.folded", "b/c.collapsed"] {
            assert!(
                matches!(plain.kind(out(name)), Kind::Collapsed(_)),
                "{name}"
            );
            assert_eq!(
                plain.needs(out(name)),
                Needs {
                    whole_stacks: true,
                    live: false
                }
            );
        }
        assert_eq!(plain.kind(None), Kind::Csv(Columns::Seed));
        assert_eq!(plain.needs(out("folded")), Needs::default());
        let csv = Shape {
            format: Some(Format::Csv),
            ..Shape::default()
        };
        assert_eq!(csv.kind(out("a.folded")), Kind::Csv(Columns::Seed));
        let peak = Shape {
            value: Some(Figure::Peak),
            ..Shape::default()
        };
        assert!(peak.needs(out("a.folded")).live);
        assert!(peak.conflict(out("a.folded"), false).is_none());
        assert!(peak.conflict(None, false).is_some() && peak.conflict(None, true).is_none());
    }

    #[test]
    fn an_ending_that_is_none_of_a_format_is_refused() {
        let plain = Shape::default();
        for name in [
            "a.FOLDED",
            "a.Collapsed",
            "a.CSV",
            "a.HTML",
            "a.markdown",
            "x.dhat.JSON",
        ] {
            assert_eq!(plain.check_ending(out(name)), Ok(()), "{name}");
        }
        assert!(matches!(plain.kind(out("a.FOLDED")), Kind::Collapsed(_)));
        for name in ["-", "a", "b.c/a", ".csv", "/dev/stdout", "a."] {
            assert_eq!(plain.check_ending(out(name)), Ok(()), "{name}");
            assert_eq!(plain.kind(out(name)), Kind::Csv(Columns::Seed), "{name}");
        }
        let csv = Shape {
            format: Some(Format::Csv),
            ..Shape::default()
        };
        for name in [
            "a.pb",
            "a.json.gz",
            "a.txt",
            "a.skipheap.gz",
            "a.csv.1",
            "a.\u{1b}",
        ] {
            let said = plain.check_ending(out(name)).unwrap_err();
            assert!(said.contains(".csv, .folded, .skipheap, .json, "), "{said}");
            assert!(!said.contains('\u{1b}'), "{said}");
            assert_eq!(csv.check_ending(out(name)), Ok(()), "{name}");
        }
    }

    #[test]
    fn a_bad_line_of_suppressions_is_named_with_its_file() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let shape = Shape {
            suppressions: Some(file.path().to_owned()),
            ..Shape::default()
        };
        fs::write(file.path(), "# known\nleak:a\n").expect("written");
        assert_eq!(shape.suppressions().expect("read").len(), 1);
        fs::write(file.path(), "leak:a\nb\n").expect("written");
        let said = shape.suppressions().unwrap_err().to_string();
        let expected = format!("{}: line 2: expected leak:PATTERN", file.path().display());
        assert!(said.starts_with(&expected), "{said}");
        assert!(shape.needs(None).live && shape.needs(None).whole_stacks);
    }
}
