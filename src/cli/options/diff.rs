//! Options of `diff`.

use clap::Args;
use std::path::PathBuf;

/// Options of `diff`.
#[derive(Args, Debug)]
pub(crate) struct DiffOptions {
    /// The old run: a CSV, a profile (.skipheap), a recording, or a folder of recordings.
    pub(crate) old: PathBuf,
    /// The new run.
    pub(crate) new: PathBuf,
    /// Number of sites in the table and in Markdown.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) top: usize,
    /// Also show sites without a difference; list every site in Markdown. CSV and JSON always have
    /// all.
    #[arg(long)]
    pub(crate) all: bool,
    /// Exit with status 1 if there is a difference.
    #[arg(long)]
    pub(crate) exit_code: bool,
}
