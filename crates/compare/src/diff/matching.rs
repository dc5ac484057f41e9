//! Matches the rows of two reports.

use super::figures::{Delta, Figures, Totals};
use super::names::Told;
use super::rename::{Renames, renames};
use super::side::{NameId, Names, Site, Stack, sites};
use super::sizes::{self, Lone};
use skipheap_profile::report::rows::{NAMES, Row};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::rc::Rc;

/// All differences between two runs.
#[derive(Debug, Default)]
pub struct Diff {
    /// Every site of either run once; those with the largest difference in bytes first.
    pub changes: Vec<Change>,
    /// Sums of the old run.
    pub old: Totals,
    /// Sums of the new run.
    pub new: Totals,
    /// Functions without symbols that were matched by their order and by what they allocate.
    pub by_order: usize,
    /// Functions without symbols of the new run that could not be matched.
    pub unmatched: usize,
}

/// A site in both runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// As the new run has them, or the old one where the site is gone.
    pub names: [Option<Rc<str>>; NAMES],
    /// Size of each allocation in the old run; `None` where it has no such site.
    pub old_size: Option<u64>,
    /// In the new run.
    pub new_size: Option<u64>,
    /// Figures of the old run.
    pub old: Figures,
    /// Figures of the new run.
    pub new: Figures,
    /// What is more in the new one.
    pub delta: Delta,
    /// How the two were found to be one.
    pub matched: Match,
    /// Sites with the same number have the same stack, which both runs may name differently.
    pub stack: usize,
    /// Source file and line, where the report has them.
    pub place: Option<(Rc<str>, u32)>,
    /// Indices of the rows of the old run.
    pub old_rows: Vec<usize>,
    /// Indices of the rows of the new run.
    pub new_rows: Vec<usize>,
}

/// How two sites were found to be one; the weaker ones last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Match {
    /// By names, or not at all.
    #[default]
    Names,
    /// The number of a closure, a lambda or a line is another one.
    Position,
    /// A function without a symbol is at another address.
    Order,
}

/// What became of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Only the new run has it.
    New,
    /// Only the old run has it.
    Gone,
    /// More bytes; or as many, and more calls; or as many of both, and more live bytes.
    Grown,
    /// Less.
    Shrunk,
    /// All figures are equal.
    Same,
}

impl Kind {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Gone => "gone",
            Self::Grown => "grown",
            Self::Shrunk => "shrunk",
            Self::Same => "same",
        }
    }
}

impl Match {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Names => "names",
            Self::Position => "position",
            Self::Order => "order",
        }
    }
}

impl Change {
    /// What became of the site.
    pub fn kind(&self) -> Kind {
        match (self.old_size, self.new_size) {
            (None, _) => return Kind::New,
            (_, None) => return Kind::Gone,
            _ => {}
        }
        let Delta { calls, bytes, live } = self.delta;
        let [blocks, live_bytes, peak] = live.unwrap_or_default();
        let of_size = self.new_size.cmp(&self.old_size) as i128;
        let first = [bytes, calls, live_bytes, blocks, peak, of_size];
        match first.into_iter().find(|&n| n != 0) {
            None => Kind::Same,
            Some(1..) => Kind::Grown,
            Some(_) => Kind::Shrunk,
        }
    }
}

impl Diff {
    /// The difference of the totals.
    pub fn delta(&self) -> Delta {
        self.old.to(&self.new)
    }

    /// Returns whether a figure of either side is an estimate.
    pub fn is_estimate(&self) -> bool {
        self.old.variance > 0.0 || self.new.variance > 0.0
    }

    /// Changes of a kind, and how much they are together.
    pub fn sum(&self, kind: Kind) -> (usize, Delta) {
        let mut sum = (0, Delta::default());
        for change in self.changes.iter().filter(|change| change.kind() == kind) {
            sum.0 += 1;
            sum.1.add(&change.delta);
        }
        sum
    }
}

/// Compares the rows of two reports. Rows with the same names and size, once what builds change is taken
/// out, are one site.
pub fn compare(old_rows: &[Row], new_rows: &[Row]) -> Diff {
    let mut names = Names::default();
    let old = sites(old_rows, &mut names);
    let new = sites(new_rows, &mut names);
    let renames = renames(&old, &new, &names);
    let totals = (Totals::of(old_rows), Totals::of(new_rows));
    let maker = Maker {
        old_rows,
        new_rows,
        names: &names,
        renames: &renames,
        with_live: totals.0.live.is_some() && totals.1.live.is_some(),
    };
    let mut changes = maker.changes(&old, &new);
    changes.sort_by(|a, b| {
        let rank = |change: &Change| {
            let Delta { bytes, calls, .. } = change.delta;
            (Reverse(bytes.unsigned_abs()), Reverse(calls.unsigned_abs()))
        };
        rank(a)
            .cmp(&rank(b))
            .then_with(|| a.names.cmp(&b.names))
            .then_with(|| (a.old_size, a.new_size).cmp(&(b.old_size, b.new_size)))
    });
    Diff {
        changes,
        old: totals.0,
        new: totals.1,
        by_order: renames.by_order,
        unmatched: renames.unmatched,
    }
}

/// Makes changes of sites.
struct Maker<'a> {
    old_rows: &'a [Row],
    new_rows: &'a [Row],
    names: &'a Names,
    renames: &'a Renames,
    with_live: bool,
}

/// The sites of one stack that are in one of the runs only.
type Lonely<'a> = (Vec<&'a Site>, Vec<&'a Site>);

impl Maker<'_> {
    fn changes(&self, old: &[Site], new: &[Site]) -> Vec<Change> {
        let by_site: HashMap<(Stack, u64), &Site> = old
            .iter()
            .map(|site| ((site.stack, site.size), site))
            .collect();
        let mut found: HashMap<(Stack, u64), ()> = HashMap::new();
        let mut lonely: HashMap<Stack, Lonely<'_>> = HashMap::new();
        let mut stacks: HashMap<Stack, usize> = HashMap::new();
        let mut changes = Vec::new();
        for site in new {
            let stack = self.old_names(site.stack);
            let key = (stack, site.size);
            match by_site.get(&key) {
                // Two new stacks may stand for one old one only if they are the same.
                Some(of_old) if found.insert(key, ()).is_none() => {
                    let next = stacks.len();
                    let number = *stacks.entry(stack).or_insert(next);
                    changes.push(self.change(Some(of_old), Some(site), number));
                }
                _ => lonely.entry(stack).or_default().1.push(site),
            }
        }
        for site in old {
            if !found.contains_key(&(site.stack, site.size)) {
                lonely.entry(site.stack).or_default().0.push(site);
            }
        }
        for (stack, (old, new)) in lonely {
            let next = stacks.len();
            let number = *stacks.entry(stack).or_insert(next);
            self.by_size(&old, &new, number, &mut changes);
        }
        changes
    }

    /// Pairs sizes of one stack.
    fn by_size(&self, old: &[&Site], new: &[&Site], stack: usize, changes: &mut Vec<Change>) {
        let lone = |sites: &[&Site]| -> Vec<Lone> {
            let lone = |site: &&Site| Lone {
                size: site.size,
                calls: site.figures.calls,
            };
            sites.iter().map(lone).collect()
        };
        let pairs = sizes::pairs(&lone(old), &lone(new));
        for (i, site) in old.iter().enumerate() {
            let partner = pairs
                .iter()
                .find(|pair| pair.0 == i)
                .map(|pair| new[pair.1]);
            changes.push(self.change(Some(site), partner, stack));
        }
        for (j, site) in new.iter().enumerate() {
            if !pairs.iter().any(|pair| pair.1 == j) {
                changes.push(self.change(None, Some(site), stack));
            }
        }
    }

    /// The names of the old run for a stack of the new one.
    fn old_names(&self, stack: Stack) -> Stack {
        stack.map(|id| self.renames.to_old.get(&id).copied().unwrap_or(id))
    }

    fn change(&self, old: Option<&Site>, new: Option<&Site>, stack: usize) -> Change {
        let figures = |site: Option<&Site>| site.map(|site| site.figures).unwrap_or_default();
        let (of_old, of_new) = (figures(old), figures(new));
        let (rows, site) = match (old, new) {
            (_, Some(site)) => (self.new_rows, Some(site)),
            (site, None) => (self.old_rows, site),
        };
        let own_rows = site.map_or(&[][..], |site| &site.rows);
        let place = own_rows.iter().find_map(|&row| {
            let origin = rows[row].origin.as_deref()?;
            Some((origin.file.clone()?, origin.line?))
        });
        let first = own_rows.first();
        let rows_of = |site: Option<&Site>| site.map(|site| site.rows.clone()).unwrap_or_default();
        Change {
            names: first.map_or([const { None }; NAMES], |&row| rows[row].names.clone()),
            old_size: old.map(|site| site.size),
            new_size: new.map(|site| site.size),
            old: of_old,
            new: of_new,
            delta: Delta::between(&of_old, &of_new, self.with_live),
            matched: match (old, new) {
                (Some(old), Some(new)) => self.matched(old.stack, new.stack),
                _ => Match::Names,
            },
            stack,
            place,
            old_rows: rows_of(old),
            new_rows: rows_of(new),
        }
    }

    /// How two stacks were matched: by the weakest of their names.
    fn matched(&self, old: Stack, new: Stack) -> Match {
        let by = |(old, new): (NameId, NameId)| {
            let name = self.names.get(new).filter(|_| old != new);
            match name.map(|name| name.told) {
                None | Some(Told::Name) => Match::Names,
                Some(Told::Position) => Match::Position,
                Some(Told::Address) => Match::Order,
            }
        };
        old.into_iter().zip(new).map(by).max().unwrap_or_default()
    }
}
