//! Options of `check`.

use super::RunOptions;
use clap::Args;
use skipheap_compare::gate::config::{REPEATS, Written};
use skipheap_compare::gate::limit::Limit;
use std::ffi::OsString;
use std::path::PathBuf;

/// Options of `check`.
#[derive(Args, Debug)]
pub(crate) struct CheckOptions {
    /// Baseline: a CSV that --update wrote, any report, or a folder with the profiles
    /// (*.skipheap) of earlier runs. `{program}` stands for the program's name, `{test}` for the
    /// name of the test, if it runs exactly one.
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// If the baseline is a folder of profiles, use the N most recently started runs
    /// [default: 20].
    #[arg(long, value_name = "N", requires = "baseline", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) last: Option<u32>,
    /// Write the baseline, accepting the current state.
    #[arg(long, requires = "baseline")]
    pub(crate) update: bool,
    /// File with limits and budgets [default: skipheap.toml in the current folder, if it exists].
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Run the program N times, so that variation between runs does not count as a
    /// regression.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(i64::from(*REPEATS.start())..=i64::from(*REPEATS.end())))]
    pub(crate) repeat: Option<u32>,
    /// How much the bytes of all sites, and of each, may grow: 1%, 64KiB, off [default: 1%].
    #[arg(long, value_name = "LIMIT")]
    pub(crate) max_growth: Option<Limit>,
    /// How much the calls of all sites, and of each, may grow [default: 1%].
    #[arg(long, value_name = "LIMIT")]
    pub(crate) max_calls_growth: Option<Limit>,
    /// Bytes that a new site may allocate, and by which a known one may always grow [default:
    /// 64KiB].
    #[arg(long, value_name = "LIMIT")]
    pub(crate) max_new_site: Option<Limit>,
    /// Calls that a new site may make, and by which those of a known one may always grow [default:
    /// 1000].
    #[arg(long, value_name = "LIMIT")]
    pub(crate) max_new_calls: Option<Limit>,
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) run: RunOptions,
    /// Reports to check instead of running a program; each must cover a single run.
    #[arg(value_name = "REPORT", conflicts_with = "command")]
    pub(crate) reports: Vec<PathBuf>,
    /// The program to run and its arguments.
    #[arg(value_name = "PROGRAM", last = true)]
    pub(crate) command: Vec<OsString>,
}

impl CheckOptions {
    pub(crate) fn limits(&self) -> Written {
        Written {
            max_growth: self.max_growth,
            max_calls_growth: self.max_calls_growth,
            max_new_site: self.max_new_site,
            max_new_calls: self.max_new_calls,
            repeat: self.repeat,
        }
    }
}

/// Files that a check writes.
#[derive(Args, Debug, Default)]
pub(crate) struct Files {
    /// Write the result to FILE as Markdown. In a GitHub job, it is also appended to the job
    /// summary.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Write the result to FILE as JUnit XML.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Write the result to FILE as a GitLab code quality report.
    #[arg(long, value_name = "FILE")]
    pub(crate) gitlab: Option<PathBuf>,
    /// Print GitHub annotations on standard output [default: only in GitHub jobs].
    #[arg(long)]
    pub(crate) annotations: bool,
}
