//! What is compared: the figures of a site, and of a run.

use skipheap_format::layout::AGES;
use std::collections::BTreeMap;

/// What both sides can tell allocations apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// Number of the allocation function.
    pub(crate) function: u32,
    /// Address that the call returns to.
    pub(crate) caller: u64,
    /// Size that was asked for.
    pub(crate) size: u64,
}

/// What became of the blocks of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) calls: u64,
    pub(crate) frees: u64,
    /// Freed by their own thread before its next allocation.
    pub(crate) temporary: u64,
    /// Made out of smaller ones by realloc.
    pub(crate) grown: u64,
    /// Bytes that were copied for that.
    pub(crate) copied: u64,
    /// Usable less requested bytes.
    pub(crate) slack: u64,
    /// Freed ones by age in allocations of the thread that allocated them.
    pub(crate) ages: [u64; AGES],
}

impl Figures {
    pub(super) fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.frees += other.frees;
        self.temporary += other.temporary;
        self.grown += other.grown;
        self.copied += other.copied;
        self.slack += other.slack;
        for (age, more) in self.ages.iter_mut().zip(other.ages) {
            *age += more;
        }
    }

    /// Blocks that were never freed.
    pub(crate) fn live(&self) -> u64 {
        self.calls - self.frees
    }
}

/// All keys with their figures.
pub(crate) type Sites = BTreeMap<Key, Figures>;

/// The sum over all keys.
pub(crate) fn total(sites: &Sites) -> Figures {
    let mut total = Figures::default();
    for figures in sites.values() {
        total.add(figures);
    }
    total
}

/// The sites by function and size, where the callers that `keep` denies are put together.
pub(crate) fn pooled(sites: &Sites, keep: impl Fn(u64) -> bool) -> Sites {
    let mut pooled = Sites::new();
    for (key, figures) in sites {
        let caller = if keep(key.caller) { key.caller } else { 0 };
        let key = Key { caller, ..*key };
        pooled.entry(key).or_default().add(figures);
    }
    pooled
}

/// Bytes that live blocks of all sites have.
pub(crate) fn live_bytes(sites: &Sites) -> u64 {
    sites
        .iter()
        .map(|(key, figures)| key.size * figures.live())
        .sum()
}
