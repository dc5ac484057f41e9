//! Options of the tree.

use clap::{Args, ValueEnum};
use skipheap_profile::report::collapsed::Value;
use skipheap_profile::tree::Wish;

/// Options of the tree.
#[derive(Args, Debug, Default, Clone)]
pub(crate) struct TreeOptions {
    /// Print the call tree from the roots of the stacks; with `=callers`, from the allocating
    /// functions to their callers.
    ///
    /// --value selects the numbers, which are given inclusive and exclusive of callees. `report` prints the
    /// tree on standard output, and writes a file only with -o. A run prints it with the summary.
    #[arg(long, value_name = "FROM", global = true, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "roots", hide_possible_values = true)]
    pub(crate) tree: Option<From>,
    /// Hide branches of the tree below this share of the total [default: 1%].
    #[arg(long, value_name = "SHARE", global = true, value_parser = share)]
    pub(crate) min_share: Option<f64>,
    /// Show at most this many levels of the tree.
    #[arg(long, value_name = "LEVELS", global = true)]
    pub(crate) depth: Option<usize>,
}

/// Where a tree begins.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// At the roots of the stacks.
    Roots,
    /// At the functions that allocate.
    Callers,
}

/// `1%`, `0.5 %` or `0.01`.
fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.trim_end().strip_suffix('%') {
        Some(number) => (number.trim_end(), 100.0),
        None => (text, 1.0),
    };
    let share = number.parse::<f64>().map(|number| number / unit);
    let share = share.ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "must be a share, such as 1% or 0.01".to_owned())
}

impl TreeOptions {
    /// What is to be shown, if it is a tree.
    pub(crate) fn wish(&self, value: Value, fold_recursion: bool, lines: bool) -> Option<Wish> {
        Some(Wish {
            value,
            callers: self.tree? == From::Callers,
            fold_recursion,
            lines,
            least: self.min_share.unwrap_or(0.01),
            depth: self.depth.unwrap_or(usize::MAX),
        })
    }

    /// Returns whether options of a tree are given without `--tree`.
    pub(crate) fn is_idle(&self) -> bool {
        self.tree.is_none() && (self.min_share.is_some() || self.depth.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percentages_or_parts() {
        assert_eq!(
            [share("1%"), share("0.5 %"), share("0.25")],
            [Ok(0.01), Ok(0.005), Ok(0.25)]
        );
        for bad in ["", "x", "-1%", "101%", "2", "nan"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }
}
