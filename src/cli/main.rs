//! `skip-heapprof`: runs programs under `libskipheap.so` and turns recordings into reports.
//!
//! A run's way: [`options`] → [`run`]: [`target`] (can it be profiled?), [`session`] (a folder for the
//! recordings), [`install`] (the library), [`signals`] (the program runs) → [`harvest`] (recordings
//! to CSV files, by [`load`] and [`output`]) → [`summary`]. [`reporting`] begins at the harvest.

#![deny(unsafe_code)]
// What a failing test prints is for its author.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod attach;
mod baseline_file;
mod baseline_name;
mod check;
mod check_files;
mod check_runs;
mod check_text;
mod completion;
mod config_file;
mod control;
mod copies;
mod dataset;
mod differences;
mod differences_table;
mod error;
mod following;
mod from_profile;
mod harvest;
mod held_files;
mod history;
#[cfg(test)]
mod hostile_profiles;
mod input_file;
mod inputs;
mod install;
mod labels;
#[cfg(test)]
mod large_report;
mod largest;
mod leak_gaps;
mod live;
mod load;
mod merging;
mod missing_files;
mod notes;
mod options;
mod others;
mod output;
mod owner;
mod plumbing;
mod programs;
mod push;
mod remaining;
mod reporting;
mod repository;
mod run;
mod scratch;
mod session;
mod shape;
mod sheet;
mod shell;
mod side;
mod signals;
mod snapshots;
mod stripped;
mod summary;
mod survey;
mod symbol_files;
mod sys;
mod target;
mod terminal;
#[cfg(test)]
mod testing;
mod top;
mod unreached;
mod values;
mod version;
mod whole;

use clap::Parser;
use error::{Code, Failure};
use options::{Cli, Verb};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use terminal::term;

/// The licence of the tool and the library.
const LICENCE: &str = include_str!("../../LICENSE");
/// Those of the crates that are linked into them: written by `scripts/notices`.
const THIRD_PARTY: &str = include_str!("../../docs/third-party.txt");

fn main() -> ExitCode {
    sys::survive_truncated_files();
    let mut words = std::env::args_os().skip(1);
    if words
        .next()
        .is_some_and(|word| word == completion::QUESTION)
    {
        let words: Vec<OsString> = words.collect();
        // A shell that has gone has no use for it.
        let _ = control::print(completion::answer(&words).as_bytes());
        return ExitCode::SUCCESS;
    }
    let cli = Cli::parse();
    let wanted = cli.report.clone();
    if let Some(columns) = wanted.look.width {
        term::set_width(columns);
    }
    let verb = cli.verb();
    match verb {
        Verb::Run { .. } | Verb::Check(_) => signals::watch(true),
        Verb::Completions { .. } | Verb::Licenses | Verb::Man => {}
        _ => signals::watch(false),
    }
    let done = match verb {
        Verb::Run { options, command } => run::run(&command, &options, &wanted),
        Verb::Report { recordings, trim } => {
            let mut wanted = wanted;
            wanted.look.plumbing.trim = trim;
            reporting::report(&recordings, &wanted)
        }
        Verb::Check(options) => check::check(*options, &wanted),
        Verb::Diff(options) => differences::differences(&options, &wanted),
        Verb::Merge(options) => merging::merge(&options, &wanted),
        Verb::Top(options) => top::top(&options),
        Verb::Snapshot { pid } => control::snapshot(pid, &wanted),
        Verb::Start { pid } => control::set_stopped(pid, false, &wanted),
        Verb::Stop { pid } => control::set_stopped(pid, true, &wanted),
        Verb::Library => library(),
        Verb::Completions { shell } => print(&shell::completions(shell)),
        Verb::Licenses => print(&[LICENCE, THIRD_PARTY].join("\n").into_bytes()),
        Verb::Man => shell::manual()
            .map_err(Failure::because(Code::Failed, "cannot write the manual"))
            .and_then(|page| print(&page)),
    };
    match done {
        Ok(status) => ExitCode::from(status),
        Err(Failure { code, error }) => {
            term::say(&format!("skip-heapprof: {error:#}\n"));
            ExitCode::from(code as u8)
        }
    }
}

/// Prints the path of the library.
fn library() -> Result<u8, Failure> {
    let failed = |error| {
        Failure::because(Code::Failed, "cannot place the library in the user's cache")(error)
    };
    let path = install::place_in_one_of(install::cache_folders()).map_err(failed)?;
    print(&[path.as_os_str().as_bytes(), b"\n"].concat())
}

fn print(bytes: &[u8]) -> Result<u8, Failure> {
    control::print(bytes).map(|()| 0).map_err(Failure::because(
        Code::Failed,
        "cannot print to standard output",
    ))
}
