//! Which function of the new run is which of the old one, where positions or addresses tell functions of one
//! name apart.
//!
//! A closure that is added in front of others changes the numbers of all behind it, and a new build moves
//! every function without a symbol. The functions of one name are put in order on both sides and paired
//! so that the order is kept and paired functions allocate alike: the same sizes, from and for the same
//! callers, about as often. Those that are unmistakable come first. Nothing is paired on the order alone.

use super::align::{MOST, align};
use super::anchors::{anchors, between};
use super::names::Told;
use super::side::{NameId, Names, Site};
use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

/// What an unchanged number is worth beside how alike two functions are, which is 1 at most. Small: of a
/// closure that was added in front, the number says nothing.
const SAME_NUMBER: f64 = 0.2;
/// How alike two functions at different addresses have to be.
const ALIKE: f64 = 0.5;

/// What was found out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Renames {
    /// Names of the new run by those of the old one that they stand for, where they differ.
    pub(super) to_old: HashMap<NameId, NameId>,
    /// Functions without symbols that were paired by order and by what they allocate.
    pub(super) by_order: usize,
    /// Those of the new run that have no counterpart in a module of which the old run has some.
    pub(super) unmatched: usize,
}

/// What a function allocates: a weight for each (place in the stack, families of the others, size).
type Signature = HashMap<([u32; 4], usize, u64), f64>;

/// Compares the functions of both runs.
pub(super) fn renames(old: &[Site], new: &[Site], names: &Names) -> Renames {
    let (old, new) = (Functions::of(old, names), Functions::of(new, names));
    let mut renames = Renames::default();
    for (family, of_new) in &new.families {
        let Some(of_old) = old.families.get(family) else {
            continue;
        };
        let pairs = pairs(&old, of_old, &new, of_new, names);
        let is_told_by_address = |id: &NameId| {
            let name = names.get(*id);
            name.is_some_and(|name| name.told == Told::Address)
        };
        if of_new.iter().any(is_told_by_address) {
            let by_order = pairs.iter().filter(|(old, new)| old != new);
            renames.by_order += by_order.count();
            renames.unmatched += of_new.len() - pairs.len();
        }
        renames.separate(of_old, of_new, &pairs);
    }
    renames
}

impl Renames {
    /// Notes the pairs of a family, and that its other functions are no functions of the old run, whatever
    /// their numbers say.
    fn separate(&mut self, of_old: &[NameId], of_new: &[NameId], pairs: &[(NameId, NameId)]) {
        let taken: BTreeSet<NameId> = of_old.iter().copied().collect();
        let paired: BTreeSet<NameId> = pairs.iter().map(|&(_, new)| new).collect();
        let moved = pairs.iter().filter(|(old, new)| old != new);
        self.to_old.extend(moved.map(|&(old, new)| (new, old)));
        for &id in of_new {
            if !paired.contains(&id) && taken.contains(&id) {
                self.to_old.insert(id, NameId::MAX - id);
            }
        }
    }
}

/// The functions of one run whose names are not theirs alone.
struct Functions {
    /// By family, in order of position.
    families: HashMap<u32, Vec<NameId>>,
    signatures: HashMap<NameId, Signature>,
}

impl Functions {
    fn of(sites: &[Site], names: &Names) -> Self {
        let mut signatures: HashMap<NameId, Signature> = HashMap::new();
        for site in sites {
            let families = site.stack.map(|id| names.family(id));
            for (at, &id) in site.stack.iter().enumerate() {
                let is_shared = names.get(id).is_some_and(|name| name.told != Told::Name);
                if is_shared {
                    let weight = signatures
                        .entry(id)
                        .or_default()
                        .entry((families, at, site.size))
                        .or_default();
                    *weight += (site.figures.calls as f64).ln_1p();
                }
            }
        }
        let mut families: HashMap<u32, Vec<NameId>> = HashMap::new();
        for &id in signatures.keys() {
            families.entry(names.family(id)).or_default().push(id);
        }
        for ids in families.values_mut() {
            ids.sort_unstable_by_key(|&id| (names.get(id).map(|name| &name.numbers), id));
        }
        Self {
            families,
            signatures,
        }
    }
}

impl Functions {
    /// For each function a number that those have which allocate the same sizes from and for the same
    /// callers, however often.
    fn prints(&self, ids: &[NameId]) -> Vec<u64> {
        let print = |id: &NameId| {
            let features = self.signatures.get(id).into_iter().flat_map(HashMap::keys);
            let mut features: Vec<_> = features.collect();
            features.sort_unstable();
            let mut hasher = DefaultHasher::new();
            features.hash(&mut hasher);
            hasher.finish()
        };
        ids.iter().map(print).collect()
    }
}

/// Pairs the functions of one family.
fn pairs(
    old: &Functions,
    of_old: &[NameId],
    new: &Functions,
    of_new: &[NameId],
    names: &Names,
) -> Vec<(NameId, NameId)> {
    let known: BTreeSet<NameId> = of_old.iter().copied().collect();
    let common: Vec<NameId> = of_new
        .iter()
        .copied()
        .filter(|id| known.contains(id))
        .collect();
    let unchanged = || common.iter().map(|&id| (id, id)).collect();
    let fewer = of_old.len().min(of_new.len());
    let is_told_by_address = common
        .first()
        .or(of_old.first())
        .and_then(|&id| names.get(id))
        .is_some_and(|name| name.told == Told::Address);
    // Most addresses are those of the other run: the same build, and another input.
    let is_same_build = is_told_by_address && 2 * common.len() >= fewer;
    let is_all = common.len() == of_old.len() && common.len() == of_new.len();
    if is_all || is_same_build {
        return unchanged();
    }
    let score = |i: usize, j: usize| {
        let (a, b) = (of_old[i], of_new[j]);
        let (Some(first), Some(second)) = (old.signatures.get(&a), new.signatures.get(&b)) else {
            return 0.0;
        };
        let alike = alike(first, second);
        match is_told_by_address {
            true if alike < ALIKE => 0.0,
            true => alike,
            false if a == b => alike + SAME_NUMBER,
            false => alike,
        }
    };
    let mut pairs = anchors(&old.prints(of_old), &new.prints(of_new));
    let pieces = between(&pairs, of_old.len(), of_new.len());
    for (in_old, in_new) in pieces {
        if in_old.len().saturating_mul(in_new.len()) <= MOST {
            let of_piece = align(in_old.len(), in_new.len(), |i, j| {
                score(in_old.start + i, in_new.start + j)
            });
            pairs.extend(
                of_piece
                    .into_iter()
                    .map(|(i, j)| (in_old.start + i, in_new.start + j)),
            );
        }
    }
    pairs
        .into_iter()
        .map(|(i, j)| (of_old[i], of_new[j]))
        .collect()
}

/// From 0, nothing in common, to 1, the same: the weights that both have by those that either has.
fn alike(a: &Signature, b: &Signature) -> f64 {
    let of = |signature: &Signature, feature| signature.get(feature).copied().unwrap_or(0.0);
    let both: f64 = a.iter().map(|(feature, &n)| n.min(of(b, feature))).sum();
    let either = a.values().sum::<f64>() + b.values().sum::<f64>() - both;
    if either > 0.0 { both / either } else { 0.0 }
}
