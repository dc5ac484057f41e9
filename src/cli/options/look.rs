//! Options about what the terminal shows.

use super::tree::TreeOptions;
use crate::plumbing::PlumbingOptions;
use crate::terminal::paint::When;
use crate::terminal::term;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use skipheap_profile::report::collapsed::Value;

/// For `run` and `report`.
#[derive(Args, Debug, Default, Clone)]
#[command(next_help_heading = "Terminal")]
pub(crate) struct Look {
    /// Number of sites, processes and programs in the summary [default: 10].
    #[arg(long, value_name = "N", global = true)]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub(crate) top: Option<usize>,
    /// Sort sites by bytes, calls, live bytes, bytes at the peak, or temporary blocks
    /// [possible values: bytes, calls, live, peak, temporary; default: bytes].
    // A text, since the command `top` has an option of this name with other values.
    #[arg(long, value_name = "WHAT", global = true, hide_possible_values = true)]
    #[arg(value_parser = ["bytes", "calls", "live", "peak", "temporary"])]
    pub(crate) sort: Option<String>,
    /// List call sites, one for each size, instead of responsible functions.
    #[arg(long, global = true)]
    pub(crate) sites: bool,
    /// Width of tables in columns [default: COLUMNS, or the terminal's; unlimited in a file or a
    /// pipe].
    #[arg(long, value_name = "N", global = true)]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(term::LEAST_WIDTH as u64..))]
    pub(crate) width: Option<usize>,
    /// Colours: auto (on a terminal, unless NO_COLOR is set), always, or never.
    #[arg(long, value_name = "WHEN", global = true, hide_possible_values = true)]
    pub(crate) color: Option<When>,
    #[command(flatten)]
    pub(crate) plumbing: PlumbingOptions,
    #[command(flatten)]
    pub(crate) tree: TreeOptions,
}

impl Look {
    /// By what the sites of the summary are sorted.
    pub(crate) fn sort(&self) -> Value {
        match self.sort.as_deref() {
            Some("calls") => Value::Calls,
            Some("live") => Value::Live,
            Some("peak") => Value::Peak,
            Some("temporary") => Value::Temporary,
            _ => Value::Bytes,
        }
    }
}
