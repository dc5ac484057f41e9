//! `skipheap.toml`: limits and budgets that are kept with the source.
//!
//! ```toml
//! [limits]
//! max-growth = "1%"
//!
//! [budgets]
//! "parser::*" = { calls = 10_000, bytes = "2MiB", leaks = 0 }
//! ```

use super::limit::{Amount, Limit};
use serde::Deserialize;
use skipheap_text::printable_text as printable;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use toml::Spanned;

/// Its name in the current folder.
pub const NAME: &str = "skipheap.toml";

/// How often a program may be run. More runs than this are a slip of the pen.
pub const REPEATS: RangeInclusive<u32> = 1..=1000;

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    limits: Written,
    #[serde(default)]
    plumbing: WrittenPlumbing,
    #[serde(default)]
    budgets: BTreeMap<Spanned<String>, Amounts>,
}

/// Corrections of what is responsible for its allocations.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct WrittenPlumbing {
    /// Globs of names of further plumbing.
    #[serde(default)]
    pub add: Vec<String>,
    /// Globs of names that are none.
    #[serde(default)]
    pub remove: Vec<String>,
}

/// Limits that the file or the command line sets.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Written {
    /// Growth of bytes: of all sites, and of each.
    pub max_growth: Option<Limit>,
    /// Growth of calls: of all sites, and of each.
    pub max_calls_growth: Option<Limit>,
    /// Bytes that a site may have that the baseline does not have, and that a known one may grow by.
    pub max_new_site: Option<Limit>,
    /// Calls of such a site.
    pub max_new_calls: Option<Limit>,
    /// Runs.
    pub repeat: Option<u32>,
}

impl Written {
    /// The names of the limits that are switched off.
    pub fn switched_off(&self) -> Vec<&'static str> {
        [
            ("max-growth", self.max_growth),
            ("max-calls-growth", self.max_calls_growth),
            ("max-new-site", self.max_new_site),
            ("max-new-calls", self.max_new_calls),
        ]
        .into_iter()
        .filter(|(_, limit)| *limit == Some(Limit::Off))
        .map(|(name, _)| name)
        .collect()
    }

    /// These, and those of `other` where they are silent.
    pub fn or(self, other: Self) -> Self {
        Self {
            max_growth: self.max_growth.or(other.max_growth),
            max_calls_growth: self.max_calls_growth.or(other.max_calls_growth),
            max_new_site: self.max_new_site.or(other.max_new_site),
            max_new_calls: self.max_new_calls.or(other.max_new_calls),
            repeat: self.repeat.or(other.repeat),
        }
    }
}

/// What some functions may have at most.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Amounts {
    /// Allocations.
    pub calls: Option<Amount>,
    /// Bytes.
    pub bytes: Option<Amount>,
    /// Bytes at the peak of the process.
    pub peak: Option<Amount>,
    /// Bytes that are not freed at the end.
    pub leaks: Option<Amount>,
}

/// A budget as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenBudget {
    /// Names of functions.
    pub glob: String,
    /// Its line in the file.
    pub line: usize,
    /// What they may have.
    pub amounts: Amounts,
}

/// What a file says.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The file, if there is one.
    pub path: Option<PathBuf>,
    /// Its limits.
    pub limits: Written,
    /// Its budgets, in the order of the file.
    pub budgets: Vec<WrittenBudget>,
    /// Its corrections of what is plumbing.
    pub plumbing: WrittenPlumbing,
}

impl Config {
    /// Returns whether its budgets are about blocks that are freed or not.
    pub fn needs_live(&self) -> bool {
        let needs = |amounts: &Amounts| amounts.peak.is_some() || amounts.leaks.is_some();
        self.budgets.iter().any(|budget| needs(&budget.amounts))
    }
}

/// The line that an offset is in, from 1.
fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    before.filter(|&&byte| byte == b'\n').count() + 1
}

/// Reads the text of a configuration.
///
/// # Errors
/// The line and what is wrong with it.
pub fn parse(text: &str) -> Result<Config, String> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line = line_of(text, error.span().map_or(0, |span| span.start));
        let message = error.message().replace('\n', " ");
        format!("line {line}: {}", printable(&message))
    })?;
    let mut budgets = Vec::new();
    for (glob, amounts) in file.budgets {
        let line = line_of(text, glob.span().start);
        if amounts == Amounts::default() {
            return Err(format!(
                "line {line}: the budget of `{}` sets nothing: give calls, bytes, peak or leaks",
                printable(glob.get_ref())
            ));
        }
        let glob = glob.into_inner();
        budgets.push(WrittenBudget {
            glob,
            line,
            amounts,
        });
    }
    if let Some(repeat) = file.limits.repeat
        && !REPEATS.contains(&repeat)
    {
        let (least, most) = (REPEATS.start(), REPEATS.end());
        return Err(format!("repeat is {repeat}; it must be {least} to {most}"));
    }
    budgets.sort_by_key(|budget| budget.line);
    Ok(Config {
        path: None,
        limits: file.limits,
        budgets,
        plumbing: file.plumbing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_budgets_are_read() {
        let config = parse(
            "[limits]\nmax-growth = \"2%\"\nmax-new-site = 100\nrepeat = 3\n\n[budgets]\n\"z::*\" = { calls = \
             10_000, bytes = \"2MiB\" }\n\"parser::*\" = { leaks = 0 }\n",
        )
        .expect("read");
        assert_eq!(config.limits.max_growth, Some(Limit::Percent(2.0)));
        assert_eq!(config.limits.max_new_site, Some(Limit::Number(100)));
        assert_eq!(config.limits.repeat, Some(3));
        let budgets: Vec<(&str, usize)> = config
            .budgets
            .iter()
            .map(|budget| (budget.glob.as_str(), budget.line))
            .collect();
        assert_eq!(budgets, [("z::*", 7), ("parser::*", 8)]);
        assert_eq!(config.budgets[0].amounts.bytes, Some(Amount(2 << 20)));
        assert!(config.needs_live());
    }

    #[test]
    fn mistakes_are_said_with_their_line() {
        for (text, expected) in [
            ("[limit]\n", "line 1: unknown field `limit`"),
            (
                "[limits]\nmax-grwth = \"1%\"\n",
                "line 2: unknown field `max-grwth`",
            ),
            (
                "[limits]\nmax-growth = \"lots\"\n",
                "line 2: `lots` is not a limit",
            ),
            (
                "[limits]\nmax-growth = -1\n",
                "line 2: it must not be negative",
            ),
            (
                "[budgets]\n\n\"a\" = { cals = 1 }\n",
                "line 3: unknown field `cals`",
            ),
            (
                "[budgets]\n\"a\" = {}\n",
                "line 2: the budget of `a` sets nothing",
            ),
            ("[budgets\n", "line 1: "),
            (
                "[limits]\nrepeat = 0\n",
                "repeat is 0; it must be 1 to 1000",
            ),
            (
                "[limits]\nrepeat = 4000000000\n",
                "repeat is 4000000000; it must be",
            ),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.starts_with(expected), "{text}: {said}");
        }
    }
}
