//! What the runs show, site by site, beside what the baseline says.

use super::baseline::Baseline;
use super::places::{Place, Places};
use crate::diff::names::without_addresses;
use crate::diff::{Change, Diff, compare};
use skipheap_profile::report::rows::{NAMES, Row};
use std::collections::HashMap;
use std::rc::Rc;

/// Four names.
pub type Names = [Option<Rc<str>>; NAMES];

/// Figures of a site in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Allocations.
    pub calls: u64,
    /// Bytes.
    pub bytes: u64,
    /// Bytes at the peak.
    pub peak: u64,
    /// Bytes that were not freed.
    pub left: u64,
    /// Whether some blocks were not tracked. The last two figures lack these.
    pub untold: bool,
}

impl Sum {
    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.peak = self.peak.saturating_add(other.peak);
        self.left = self.left.saturating_add(other.left);
        self.untold |= other.untold;
    }

    /// Least of each figure over some runs.
    pub fn least(runs: &[Self]) -> Self {
        let least = |of: fn(&Self) -> u64| runs.iter().map(of).min().unwrap_or(0);
        Self {
            calls: least(|sum| sum.calls),
            bytes: least(|sum| sum.bytes),
            peak: least(|sum| sum.peak),
            left: least(|sum| sum.left),
            // The run that tells less would be the least.
            untold: runs.iter().any(|sum| sum.untold),
        }
    }
}

/// Four names in the baseline and in each run, all sizes together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Site {
    /// As the baseline has them, or else the runs.
    pub names: Names,
    /// What the baseline says: calls and bytes, at most where it knows a spread. `None` for a new site.
    pub base: Option<(u64, u64)>,
    /// Figures of each run; zero where a run does not have the site.
    pub runs: Vec<Sum>,
    /// Source file and line of a call in it.
    pub place: Option<Place>,
    /// The first line of the baseline that is about it.
    pub base_line: Option<u64>,
    /// Sizes with a difference: old, new, and the difference in bytes. Of the run that has the least bytes.
    pub sizes: Vec<(Option<u64>, Option<u64>, i128)>,
}

impl Site {
    /// Returns whether it varies between the runs.
    pub fn varies(&self) -> bool {
        let figures = |sum: &Sum| (sum.calls, sum.bytes);
        self.runs
            .windows(2)
            .any(|two| figures(&two[0]) != figures(&two[1]))
    }

    /// Least and most bytes over the runs.
    pub fn range(&self) -> (u64, u64) {
        let bytes = || self.runs.iter().map(|sum| sum.bytes);
        (bytes().min().unwrap_or(0), bytes().max().unwrap_or(0))
    }
}

/// All sites, and the runs compared with the baseline.
#[derive(Debug, Default)]
pub struct Evidence {
    /// Those of the baseline and those of any run.
    pub sites: Vec<Site>,
    /// The difference of each run to the baseline.
    pub diffs: Vec<Diff>,
    /// Calls and bytes of the whole baseline, at most where it knows a spread.
    pub base: (u128, u128),
    /// Names of functions without symbols in the runs, taken together by object file.
    pub without_symbols: bool,
}

impl Evidence {
    /// Compares runs with a baseline.
    pub fn new(baseline: &Baseline, runs: &[Vec<Row>]) -> Self {
        let mut known: HashMap<(Names, bool), usize> = HashMap::new();
        let mut evidence = Self {
            base: baseline.most_of_all(),
            ..Self::default()
        };
        for (run, rows) in runs.iter().enumerate() {
            let rows = comparable(rows);
            evidence.without_symbols |= has_no_symbols(&rows);
            let diff = compare(&baseline.rows, &rows);
            let mut groups: HashMap<usize, Vec<&Change>> = HashMap::new();
            for change in &diff.changes {
                groups.entry(change.stack).or_default().push(change);
            }
            for group in groups.into_values() {
                let seen = Seen {
                    run,
                    runs: runs.len(),
                    rows: &rows,
                };
                evidence.add(&seen, &group, baseline, &mut known);
            }
            evidence.diffs.push(diff);
        }
        evidence.sites.sort_by(|a, b| a.names.cmp(&b.names));
        evidence
    }

    /// Adds what a run shows of a stack.
    fn add(
        &mut self,
        seen: &Seen<'_>,
        group: &[&Change],
        baseline: &Baseline,
        known: &mut HashMap<(Names, bool), usize>,
    ) {
        let old_rows = || {
            group
                .iter()
                .flat_map(|change| change.old_rows.iter().copied())
        };
        let run = seen.run;
        let first = old_rows().min();
        let names = match (first, group.first()) {
            (Some(row), _) => baseline.rows[row].names.clone(),
            (None, Some(change)) => change.names.clone(),
            (None, None) => return,
        };
        let next = self.sites.len();
        let index = *known
            .entry((names.clone(), first.is_some()))
            .or_insert(next);
        if index == next {
            self.sites.push(Site {
                base: first.map(|_| baseline.most(old_rows())),
                base_line: first.and_then(|row| baseline.lines.get(row).copied()),
                runs: vec![Sum::default(); seen.runs],
                names,
                ..Site::default()
            });
        }
        let site = &mut self.sites[index];
        let mut sum = Sum::default();
        for change in group {
            let live = change.new.live.unwrap_or_default();
            let rows = change.new_rows.iter().map(|&row| &seen.rows[row]);
            sum.add(&Sum {
                calls: change.new.calls,
                bytes: change.new.bytes,
                peak: live.peak,
                left: live.bytes,
                // A row, since one of two under a name may be told and the other not.
                untold: rows
                    .into_iter()
                    .any(|row| row.calls > 0 && row.live.is_none()),
            });
        }
        let is_least = site.runs[..run]
            .iter()
            .all(|other| other.bytes >= sum.bytes);
        if run == 0 || is_least {
            let changed = group.iter().filter(|change| change.delta.bytes != 0);
            let mut sizes: Vec<_> = changed
                .map(|change| (change.old_size, change.new_size, change.delta.bytes))
                .collect();
            sizes.sort_by_key(|&(old, new, bytes)| (std::cmp::Reverse(bytes), old, new));
            site.sizes = sizes;
        }
        site.runs[run].add(&sum);
        if site.place.is_none() {
            let mut by_bytes: Vec<&&Change> = group.iter().collect();
            by_bytes.sort_by_key(|change| std::cmp::Reverse(change.delta.bytes));
            let new = by_bytes.iter().filter(|change| change.new_size.is_some());
            let places = new.filter_map(|change| change.place.clone());
            let of_row = |(file, line)| Place {
                file,
                line,
                function: None,
            };
            site.place = places.map(of_row).next();
        }
    }

    /// Puts sites at places in the source of the project, where they are known.
    pub fn put(&mut self, places: &Places) {
        for site in &mut self.sites {
            if let Some(place) = places.get(&site.names) {
                site.place = Some(place.clone());
            }
        }
    }

    /// Bytes of the baseline at sites that a run has too, and all of them.
    pub fn in_common(&self) -> (u128, u128) {
        let mut sums = (0, 0);
        for site in &self.sites {
            let bytes = site.base.map_or(0, |(_, bytes)| u128::from(bytes));
            sums.1 += bytes;
            if site.runs.iter().any(|run| run.calls > 0) {
                sums.0 += bytes;
            }
        }
        sums
    }
}

/// One of the runs.
struct Seen<'a> {
    run: usize,
    /// How many there are.
    runs: usize,
    /// Its rows, under the names of [`comparable`].
    rows: &'a [Row],
}

/// Rows under names that do not change with a build; see [`without_addresses`].
pub fn comparable(rows: &[Row]) -> Vec<Row> {
    let mut known: HashMap<Rc<str>, Rc<str>> = HashMap::new();
    let mut name = |name: &Rc<str>| match known.get(name) {
        Some(stable) => Rc::clone(stable),
        None => {
            let stable: Rc<str> = without_addresses(name).into();
            known.insert(Rc::clone(name), Rc::clone(&stable));
            stable
        }
    };
    let rows = rows.iter().map(|row| {
        let mut row = row.clone();
        for slot in row.names.iter_mut().flatten() {
            *slot = name(slot);
        }
        row
    });
    rows.collect()
}

fn has_no_symbols(rows: &[Row]) -> bool {
    let mut names = rows.iter().flat_map(|row| row.names.iter().flatten());
    names.any(|name| crate::diff::names::is_without_symbol(name))
}
