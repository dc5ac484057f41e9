//! The rows of one run by stable names: what is compared.

use super::figures::Figures;
use super::names::{Parts, Told, parts, stable};
use skipheap_profile::report::rows::{NAMES, Row};
use std::collections::HashMap;
use std::rc::Rc;

/// Number of a [`Name`]; 0 is a missing frame.
pub(super) type NameId = u32;

/// A stable name, as far as it is looked into.
pub(super) struct Name {
    /// Number of the name without positions, shared by all that differ by position alone.
    pub(super) family: u32,
    /// The positions.
    pub(super) numbers: Vec<u64>,
    /// What they mean.
    pub(super) told: Told,
}

/// All names of both runs by number.
#[derive(Default)]
pub(super) struct Names {
    /// By number less one.
    names: Vec<Name>,
    by_text: HashMap<Rc<str>, NameId>,
    by_stable: HashMap<Rc<str>, NameId>,
    families: HashMap<String, u32>,
}

impl Names {
    /// The number of a name as a report has it.
    pub(super) fn number(&mut self, name: Option<&Rc<str>>) -> NameId {
        let Some(name) = name else { return 0 };
        if let Some(&known) = self.by_text.get(name) {
            return known;
        }
        let id = self.of_stable(stable(name).into());
        self.by_text.insert(Rc::clone(name), id);
        id
    }

    fn of_stable(&mut self, stable: Rc<str>) -> NameId {
        if let Some(&known) = self.by_stable.get(&stable) {
            return known;
        }
        let Parts {
            name,
            numbers,
            told,
        } = parts(&stable);
        let next = self.families.len() as u32;
        let family = *self.families.entry(name).or_insert(next);
        self.names.push(Name {
            family,
            numbers,
            told,
        });
        let id = self.names.len() as NameId;
        self.by_stable.insert(stable, id);
        id
    }

    /// A name by its number; `None` of a missing frame.
    pub(super) fn get(&self, id: NameId) -> Option<&Name> {
        self.names.get((id as usize).checked_sub(1)?)
    }

    /// The family of a name; a number of its own for a missing frame.
    pub(super) fn family(&self, id: NameId) -> u32 {
        self.get(id).map_or(u32::MAX, |name| name.family)
    }
}

/// Four names.
pub(super) type Stack = [NameId; NAMES];

/// A site: a stack and a size, and the figures of all rows that have these.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) stack: Stack,
    pub(super) size: u64,
    pub(super) figures: Figures,
    /// Indices of the rows.
    pub(super) rows: Vec<usize>,
}

/// The sites of one run, each once, in the order of their first rows.
pub(super) fn sites(rows: &[Row], names: &mut Names) -> Vec<Site> {
    let mut sites: Vec<Site> = Vec::new();
    let mut known: HashMap<(Stack, u64), usize> = HashMap::new();
    for (index, row) in rows.iter().enumerate() {
        let stack = [0, 1, 2, 3].map(|i: usize| names.number(row.names[i].as_ref()));
        let at = *known.entry((stack, row.size)).or_insert(sites.len());
        if at == sites.len() {
            sites.push(Site {
                stack,
                size: row.size,
                figures: Figures::default(),
                rows: Vec::new(),
            });
        }
        let site = &mut sites[at];
        site.figures.add(&Figures::of(row));
        site.rows.push(index);
    }
    sites
}
