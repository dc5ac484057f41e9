//! `skip-heapprof diff`: what a run allocates more or less than another.

use crate::differences_table as table;
use crate::error::{Code, Failure};
use crate::harvest::HarvestError;
use crate::options::ReportOptions;
use crate::options::diff::DiffOptions;
use crate::output::Output;
use crate::shape::{Format, Kind};
use crate::side::Side;
use crate::summary;
use crate::terminal::term;
use crate::{inputs, side};
use skipheap_compare::diff::functions::{Sums, by_function};
use skipheap_compare::diff::out::{Named, collapsed, csv, json, markdown};
use skipheap_compare::diff::{self, compare, profiles};
use skipheap_export as export;
use skipheap_profile::Profile;
use skipheap_profile::functions::StackSums;
use skipheap_profile::report::collapsed::Style;
use std::io::{self, Write};
use std::path::Path;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Table,
    Csv,
    Json,
    Markdown,
    /// Collapsed stacks with two numbers.
    Collapsed(Style),
    /// A profile with the figures of both.
    Profile(export::Format, Style),
}

impl Form {
    /// By --format, or the ending of the file's name.
    fn of(wanted: &ReportOptions) -> Result<Self, Failure> {
        let output = wanted.output_file();
        if wanted.shape.format.is_none() {
            let Some(path) = output else {
                return Ok(Self::Table);
            };
            if path
                .extension()
                .is_some_and(|ending| ending.eq_ignore_ascii_case("txt"))
            {
                return Ok(Self::Table);
            }
            if Format::of_name(path).is_none() {
                return Err(Failure::unusable(format_args!(
                    "{}: unknown extension: use .csv, .json, .md, .txt, .folded or .skipheap, or \
                     name the format with --format",
                    term::path(path)
                )));
            }
        }
        Ok(match wanted.shape.kind(output) {
            Kind::Csv(_) => Self::Csv,
            Kind::Collapsed(style) => Self::Collapsed(style),
            Kind::Export(export::Format::Json, _) => Self::Json,
            Kind::Export(export::Format::Markdown, _) => Self::Markdown,
            Kind::Export(format, style) => Self::Profile(format, style),
        })
    }
}

/// Compares two runs and writes the difference. Returns the exit status.
///
/// # Errors
/// When a side cannot be read, or the difference not be written.
pub(crate) fn differences(options: &DiffOptions, wanted: &ReportOptions) -> Result<u8, Failure> {
    let form = Form::of(wanted)?;
    inputs::spare(
        &[options.old.clone(), options.new.clone()],
        wanted.output_file().as_slice(),
    )
    .map_err(HarvestError::from)?;
    let (old, new) = side::both(&options.old, &options.new)?;
    for side in [&old, &new] {
        for gap in side
            .harvest
            .iter()
            .flat_map(|harvest| summary::gaps(harvest, |_| true))
        {
            // What is said of one recording begins with its path.
            let whose = match gap.starts_with(&side.name) {
                true => String::new(),
                false => format!("{}: ", side.name),
            };
            term::say(&format!("warning: {whose}{gap}\n"));
        }
    }
    let both = match form {
        Form::Collapsed(_) | Form::Profile(..) => Some(joined(&old, &new)?),
        _ => None,
    };
    let diff = compare(&old.rows, &new.rows);
    let functions = match wanted.look.sites {
        true => None,
        false => {
            let plumbing = wanted.look.plumbing.read()?;
            let (old, new) = (sums(&old), sums(&new));
            Some(by_function(&diff, old, &new, &plumbing))
        }
    };
    let named = Named {
        diff: &diff,
        old: &old.name,
        new: &new.name,
        all: options.all,
        functions: functions.as_deref(),
        listed: options.top,
    };
    let write = |out: &mut dyn Write| -> io::Result<()> {
        match form {
            Form::Table => out.write_all(table::write(&named, term::width_of_stdout()).as_bytes()),
            Form::Csv => csv::write(&named, out),
            Form::Json => json::write(&named, out),
            Form::Markdown => out.write_all(markdown::write(&named).as_bytes()),
            Form::Collapsed(style) => match &both {
                Some(both) => collapsed::write(both, style, out),
                None => Ok(()),
            },
            Form::Profile(format, style) => match &both {
                Some(both) => export::write(both, format, style, out),
                None => Ok(()),
            },
        }
    };
    let path = wanted.output.as_deref().unwrap_or(Path::new("-"));
    Output::new(Some(path))
        .write_main(write)
        .map_err(Failure::because(
            Code::Failed,
            "cannot write the difference",
        ))?;
    let is_equal = diff
        .changes
        .iter()
        .all(|change| change.kind() == diff::Kind::Same);
    Ok(u8::from(options.exit_code && !is_equal))
}

/// A side by stacks, whole ones where it has them.
fn sums(side: &Side) -> Sums<'_> {
    Sums {
        rows: &side.rows,
        stacks: match &side.profile {
            Some(profile) => StackSums::of_profile(profile),
            None => StackSums::of_rows(&side.rows),
        },
    }
}

/// Both sides in one profile.
fn joined(old: &Side, new: &Side) -> Result<Profile, Failure> {
    let profile = |side: &Side| match &side.profile {
        Some(profile) => Ok((profile.clone(), side.name.clone())),
        None => Err(Failure::unusable(format_args!(
            "{}: a CSV has only four frames of each stack, and this format needs whole stacks: compare \
             profiles (.skipheap) or recordings",
            side.name
        ))),
    };
    let ((old, name), (new, _)) = (profile(old)?, profile(new)?);
    let has_whole =
        |profile: &Profile| profile.processes.iter().all(|process| process.whole_stacks);
    if has_whole(&old) != has_whole(&new) {
        return Err(Failure::unusable(
            "one side has whole stacks and the other only four frames, so that no stacks match; record \
             both with --stack-depth full",
        ));
    }
    Ok(profiles::compare(&old, &new, &name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use skipheap_profile::report::csv::HEADER;
    use std::fs;
    use std::path::PathBuf;

    #[test]
    fn the_ending_of_the_file_says_the_format() {
        let form = |path: &str| {
            let wanted = ReportOptions {
                output: Some(path.into()),
                ..ReportOptions::default()
            };
            Form::of(&wanted).ok()
        };
        assert_eq!(form("a.csv"), Some(Form::Csv));
        assert_eq!(form("a.b/x.json"), Some(Form::Json));
        assert_eq!(form("x.md"), Some(Form::Markdown));
        assert_eq!(form("x.CSV"), Some(Form::Csv));
        assert_eq!(form("-"), Some(Form::Table));
        assert_eq!(form("x.txt"), Some(Form::Table));
        assert_eq!(form("x.folded"), Some(Form::Collapsed(Style::default())));
        let profile = Form::Profile(export::Format::Skipheap, Style::default());
        assert_eq!(form("x.skipheap"), Some(profile));
        assert_eq!(form("x.odd"), None);
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
        // Sites without a difference are there all the same.
        assert_eq!(value["sites"].as_array().map(Vec::len), Some(1));
        assert_eq!(value["sites"][0]["change"], "same");
    }
}
