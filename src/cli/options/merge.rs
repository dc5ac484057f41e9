//! Options of `merge`.

use super::ReportOptions;
use super::local_path::local_path;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Options of `merge` alone.
#[derive(Args, Debug, Default, Clone)]
pub(crate) struct MergeOptions {
    /// Profiles (*.skipheap), recordings (*.skipheap-rec), or folders of profiles, which are
    /// searched recursively. With --parquet, also datasets written by an earlier merge,
    /// which are then compacted.
    #[arg(value_name = "INPUT", required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// Skip inputs that cannot be read, and report how many there were.
    #[arg(long)]
    pub(crate) skip_damaged: bool,
    /// Do not combine runs that differ in build id (`build`) or `host`, or calls that differ in
    /// their source line (`line`).
    ///
    /// Separate several with commas. Without `line`, a frame only has a source line if all runs agree on
    /// it.
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub(crate) by: Vec<Apart>,
    /// Write a Parquet dataset to FOLDER, partitioned by date and program. The merged profile is
    /// written only with --output or --push.
    ///
    /// There is one file per profile. If a profile is written again, its file is replaced. If
    /// INPUT is a dataset, it is compacted into FOLDER: one file per date and program with the sums
    /// over its runs. Later calls add new data. fleet/query.sql (DuckDB) and fleet/spark_job.py read
    /// datasets of both kinds.
    #[arg(long, value_name = "FOLDER", value_parser = local_path())]
    pub(crate) parquet: Option<PathBuf>,
}

impl MergeOptions {
    /// Returns whether nothing but a dataset is wanted.
    pub(crate) fn has_no_sum(&self, wanted: &ReportOptions) -> bool {
        let is_named = wanted.output.is_some() || wanted.shape.format.is_some();
        self.parquet.is_some() && !is_named && !wanted.push.is_wanted()
    }
}

/// The values of `--by`.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Apart {
    /// The build id of the executable.
    Build,
    /// The machine's name.
    Host,
    /// The source line.
    Line,
}
