//! Options of `top`.

use clap::Args;
use std::time::Duration;

/// What is watched, and how.
#[derive(Args, Debug, Clone)]
pub(crate) struct TopOptions {
    /// Process id [default: the only process that is being profiled; if there are several, a list].
    pub(crate) pid: Option<u32>,
    /// Print one snapshot as JSON, and exit.
    ///
    /// Rates are measured over one interval.
    #[arg(long)]
    pub(crate) json: bool,
    /// Seconds between two updates.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    pub(crate) interval: Duration,
    /// Column to sort by [default: bytes].
    ///
    /// `leaky` lists suspected leaks first: live bytes, weighted by the fraction of blocks not
    /// freed.
    // A text, since the summary has an option of this name with other values.
    #[arg(long, value_name = "COLUMN", value_parser = ["bytes", "calls", "live", "rate", "peak", "leaky"])]
    pub(crate) sort: Option<String>,
    /// Number of sites and functions to print with --json.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) rows: usize,
}

fn interval(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.1..=3600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("must be from 0.1 to 3600 seconds".to_owned())
    }
}
