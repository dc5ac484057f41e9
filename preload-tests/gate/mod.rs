//! `skip-heapprof diff` and `check` on real programs.

mod baselines;
mod differences;
mod judgements;
mod unfit;

use crate::support::{Outcome, Run, output_of, tool};
use std::fs;
use std::path::{Path, PathBuf};

pub(super) fn skip_heapprof() -> Run {
    Run::plain(tool())
}

/// The status that the tool ended with.
pub(super) fn status(outcome: &Outcome) -> i32 {
    outcome.status.code().expect("a status")
}

/// `check`, by a baseline.
pub(super) fn check_by(baseline: &Path) -> Run {
    skip_heapprof().args(&["check", "--baseline"]).arg(baseline)
}

/// The tool ended with this status, and said this.
#[track_caller]
pub(super) fn assert_ended(outcome: &Outcome, expected: i32, said: &str) {
    assert_eq!(status(outcome), expected, "{outcome:?}");
    assert!(outcome.stderr.contains(said), "{said}: {outcome:?}");
}

/// Runs a program and leaves its report in a folder.
pub(super) fn report(
    folder: &Path,
    name: &str,
    program: impl AsRef<std::ffi::OsStr>,
    args: &[&str],
) -> PathBuf {
    let path = folder.join(name);
    let run = skip_heapprof().args(&["-q", "-o"]).arg(&path);
    run.arg("--").arg(program).args(args).succeed();
    path
}

/// Builds a Rust program in a folder of its own.
pub(super) fn rust(folder: &Path, below: &str, version: &str, flags: &[&str]) -> PathBuf {
    let source = crate::support::fixture_dir().join(format!("{version}.rs"));
    let own = folder.join(below);
    fs::create_dir_all(&own).expect("a folder");
    let copy = own.join("program.rs");
    fs::copy(source, &copy).expect("copied");
    let program = own.join("program");
    let mut args = vec!["-Copt-level=2", "-o", program.to_str().expect("text")];
    args.extend(flags);
    args.push(copy.to_str().expect("text"));
    output_of("rustc", &args);
    program
}
