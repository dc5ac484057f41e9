//! From a block's address to its entry: site and birth in eight bytes.
//!
//! A table in two levels, as page tables are: the address's upper bits find a leaf, its lower ones the
//! entry, of which there is one for each granule. With glibc's malloc a granule is 32 bytes, since no two
//! of its blocks begin closer to each other: a quarter of the heap's size at most, for the smallest blocks,
//! and one page for each large one. Other allocators pack blocks of 8 bytes, and so do the program's own: there
//! a granule is 8 bytes.
//!
//! An entry belongs to whom the block belongs: the allocator hands an address from thread to thread
//! with all the ordering that is needed. So plain loads and stores do.
//!
//! A child of fork finds the tables empty: the blocks that it inherits were allocated before its
//! recording began.
//!
//! May run at any moment, but for [`begin`] and [`Shadow::put`]'s making of a leaf, which are cold
//! sections.

use crate::thread::cold_section;
use crate::{elf, real, sys};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering::*};

/// log2 of the bytes that a leaf covers.
const LEAF: u32 = 24;
/// Bits of an address of the lower half, where programs live.
const ADDRESS: u32 = 47;
/// log2 of the distance between two blocks of glibc's malloc: its smallest chunk.
const GLIBC_GRANULE: u32 = 5;
/// log2 of the smallest distance between two blocks of any allocator.
const SMALLEST_GRANULE: u32 = 3;

/// A shadow table.
pub(super) struct Shadow {
    /// Invariant: null, or `1 << (ADDRESS - LEAF)` words, each null or a leaf of `1 << (LEAF - granule)` entries. Neither
    /// is ever unmapped.
    root: AtomicPtr<AtomicPtr<AtomicU64>>,
    granule: AtomicU32,
}

/// The blocks of malloc. Kept across fork, its content is not.
pub(super) static BLOCKS: Shadow = Shadow::new();
/// Those that the program reports: they lie within blocks of malloc.
pub(super) static CUSTOM: Shadow = Shadow::new();

/// Makes the tables. Cold section.
pub(super) fn begin() {
    let granule = match elf::is_malloc_of_libc(real::MALLOC.load(Relaxed) as usize) {
        true => GLIBC_GRANULE,
        false => SMALLEST_GRANULE,
    };
    BLOCKS.begin(granule);
    CUSTOM.begin(SMALLEST_GRANULE);
}

impl Shadow {
    const fn new() -> Self {
        Self {
            root: AtomicPtr::new(ptr::null_mut()),
            granule: AtomicU32::new(SMALLEST_GRANULE),
        }
    }

    fn begin(&self, granule: u32) {
        if self.root.load(Acquire).is_null() {
            self.granule.store(granule, Relaxed);
            let root = sys::map_wiped_on_fork(size_of::<usize>() << (ADDRESS - LEAF));
            self.root.store(root.cast(), Release);
        }
    }

    /// The word of the root that covers `address`.
    #[inline(always)]
    fn leaf_word(&self, address: usize) -> Option<&AtomicPtr<AtomicU64>> {
        let root = self.root.load(Relaxed);
        if root.is_null() || address >> ADDRESS != 0 {
            return None;
        }
        // SAFETY: by the invariant, for an address of that many bits.
        Some(unsafe { &*root.add(address >> LEAF) })
    }

    #[inline(always)]
    fn entry_in<'l>(&self, leaf: *mut AtomicU64, address: usize) -> Option<&'l AtomicU64> {
        let at = (address & ((1 << LEAF) - 1)) >> (self.granule.load(Relaxed) & 31);
        // SAFETY: by the invariant.
        (!leaf.is_null()).then(|| unsafe { &*leaf.add(at) })
    }

    #[inline(always)]
    fn entry(&self, address: usize) -> Option<&AtomicU64> {
        self.entry_in(self.leaf_word(address)?.load(Relaxed), address)
    }

    /// Sets the entry of a block; false when there is no memory for it.
    #[inline(always)]
    pub(super) fn put(&self, address: usize, entry: u64) -> bool {
        match self.entry(address).or_else(|| self.make(address)) {
            Some(place) => {
                place.store(entry, Relaxed);
                true
            }
            None => false,
        }
    }

    /// Takes the entry of a block; 0 when it has none.
    #[inline(always)]
    pub(super) fn take(&self, address: usize) -> u64 {
        let Some(place) = self.entry(address) else {
            return 0;
        };
        let entry = place.load(Relaxed);
        if entry != 0 {
            place.store(0, Relaxed);
        }
        entry
    }

    #[cold]
    #[inline(never)]
    fn make(&self, address: usize) -> Option<&AtomicU64> {
        let word = self.leaf_word(address)?;
        let len = size_of::<u64>() << (LEAF - self.granule.load(Relaxed));
        cold_section(|| {
            let fresh: *mut AtomicU64 = sys::map_wiped_on_fork(len).cast();
            if !fresh.is_null()
                && word
                    .compare_exchange(ptr::null_mut(), fresh, AcqRel, Acquire)
                    .is_err()
            {
                // SAFETY: our own mapping, which nobody else has seen.
                unsafe { sys::unmap(fresh.cast(), len) };
            }
        })?;
        self.entry_in(word.load(Acquire), address)
    }

    /// Hands each entry with its block's address to `f`. Other threads may change them meanwhile.
    pub(super) fn each(&self, mut f: impl FnMut(usize, u64)) {
        let granule = self.granule.load(Relaxed);
        for region in 0..1_usize << (ADDRESS - LEAF) {
            let Some(word) = self.leaf_word(region << LEAF) else {
                return;
            };
            let leaf = word.load(Acquire);
            for at in 0..1_usize << (LEAF - granule) {
                let address = (region << LEAF) + (at << granule);
                let entry = self.entry_in(leaf, address).map_or(0, |e| e.load(Relaxed));
                if entry != 0 {
                    f(address, entry);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]

        #[test]
        fn entries_are_those_of_their_blocks(
            steps in prop::collection::vec((0_usize..1 << 42, any::<bool>(), 1_u64..), 1..300)
        ) {
            let _ = crate::testing::process();
            for granule in [GLIBC_GRANULE, SMALLEST_GRANULE] {
                let shadow = Shadow::new();
                shadow.begin(granule);
                let mut model = HashMap::new();
                for &(at, put, entry) in &steps {
                    // Few regions, so that leaves are met again.
                    let address = (at % 5000 << granule) + (at >> 38 << LEAF);
                    if put {
                        prop_assert!(shadow.put(address, entry));
                        model.insert(address, entry);
                    } else {
                        let known = model.remove(&address).unwrap_or(0);
                        prop_assert_eq!(shadow.take(address), known);
                    }
                }
            }
        }
    }

    #[test]
    fn addresses_beyond_those_of_programs_have_no_entry() {
        let shadow = Shadow::new();
        assert!(!shadow.put(4096, 1));
        shadow.begin(5);
        assert!(!shadow.put(1 << 47, 1) && !shadow.put(usize::MAX, 1));
        assert_eq!(shadow.take(usize::MAX), 0);
    }
}
