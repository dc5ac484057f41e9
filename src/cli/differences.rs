//! `skip-heapprof diff`: what a run allocates more or less than another.

use crate::args::ReportOptions;
use crate::diff::out::{Named, csv, json, markdown, table};
use crate::diff::{Kind, compare};
use crate::error::{Code, Failure};
use crate::output::Output;
use crate::{side, term};
use clap::Args;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Options of `diff`.
#[derive(Args, Debug)]
pub(crate) struct DiffOptions {
    /// The run to compare with: a CSV, a recording, or a folder of recordings.
    pub(crate) old: PathBuf,
    /// The run that is compared.
    pub(crate) new: PathBuf,
    /// Sites to list where people read: the table, Markdown.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) top: usize,
    /// Show sites without a difference too.
    #[arg(long)]
    pub(crate) all: bool,
    /// End with status 1 when there is a difference.
    #[arg(long)]
    pub(crate) exit_code: bool,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Table,
    Csv,
    Json,
    Markdown,
}

impl Form {
    /// By the ending of the file's name.
    fn of(output: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = output else {
            return Ok(Self::Table);
        };
        let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        match extension {
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            "md" | "markdown" => Ok(Self::Markdown),
            "txt" => Ok(Self::Table),
            _ if path == Path::new("-") => Ok(Self::Table),
            _ => Err(Failure {
                code: Code::Unusable,
                error: anyhow::anyhow!(
                    "{}: a difference is written as .csv, .json, .md or .txt",
                    term::path(path)
                ),
            }),
        }
    }
}

/// Compares two runs and writes the difference. Returns the exit status.
///
/// # Errors
/// When a side cannot be read, or the difference not be written.
pub(crate) fn differences(options: &DiffOptions, wanted: &ReportOptions) -> Result<u8, Failure> {
    let output = wanted.output.as_deref();
    let form = Form::of(output)?;
    let (old, new) = side::both(&options.old, &options.new)?;
    let diff = compare(&old.rows, &new.rows);
    let named = Named {
        diff: &diff,
        old: &old.name,
        new: &new.name,
        all: options.all,
        listed: options.top,
    };
    let write = |out: &mut dyn Write| -> io::Result<()> {
        match form {
            Form::Table => out.write_all(table::write(&named, term::width_of_stdout()).as_bytes()),
            Form::Csv => csv::write(&named, out),
            Form::Json => json::write(&named, out),
            Form::Markdown => out.write_all(markdown::write(&named).as_bytes()),
        }
    };
    let path = output.unwrap_or(Path::new("-"));
    Output::new(Some(path))
        .write_main(write)
        .map_err(Failure::because(
            Code::Failed,
            "cannot write the difference",
        ))?;
    let is_equal = diff
        .changes
        .iter()
        .all(|change| change.kind() == Kind::Same);
    Ok(u8::from(options.exit_code && !is_equal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::csv::HEADER;
    use std::fs;

    #[test]
    fn the_ending_of_the_file_says_the_format() {
        let form = |path: &str| Form::of(Some(path.as_ref())).ok();
        assert_eq!(form("a.csv"), Some(Form::Csv));
        assert_eq!(form("a.b/x.json"), Some(Form::Json));
        assert_eq!(form("x.md"), Some(Form::Markdown));
        assert_eq!(form("-"), Some(Form::Table));
        assert_eq!(form("x.svgz"), None);
    }

    #[test]
    fn the_status_says_whether_there_is_a_difference() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, rows: &str| {
            let path = folder.path().join(name);
            fs::write(&path, format!("{}\n{rows}", HEADER.join(","))).expect("written");
            path
        };
        let (old, new) = (
            file("a.csv", "f,-,-,-,8,1,8\n"),
            file("b.csv", "f,-,-,-,8,2,16\n"),
        );
        let out = folder.path().join("out.json");
        let wanted = ReportOptions {
            output: Some(out.clone()),
            ..ReportOptions::default()
        };
        let status = |old: &PathBuf, new: &PathBuf, exit_code| {
            let options = DiffOptions {
                old: old.clone(),
                new: new.clone(),
                top: 1,
                all: false,
                exit_code,
            };
            differences(&options, &wanted).expect("compared")
        };
        assert_eq!(status(&old, &new, true), 1);
        assert_eq!(status(&old, &new, false), 0);
        assert_eq!(status(&new, &new, true), 0);
        let value: serde_json::Value =
            serde_json::from_slice(&fs::read(out).expect("written")).expect("JSON");
        assert_eq!(value["sites"].as_array().map(Vec::len), Some(0));
    }
}
