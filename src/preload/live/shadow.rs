//! Maps a block's address to its entry: its site and allocation number in eight bytes, without
//! touching the block.
//!
//! Blocks of n bytes start at least n bytes apart, so the tables have granules of three sizes: 512
//! bytes for blocks of at least that size, whose entries take at most a sixty-fourth of the heap;
//! 32 bytes for smaller ones (the minimum chunk of glibc's malloc), whose entries take at most a
//! quarter; and 8 bytes for blocks that other allocators pack more densely.
//!
//! A child of fork finds the tables empty: the blocks that it inherits were allocated before its
//! recording began.
//!
//! May run at any moment.

use super::chunk;
use super::table::{self, Place, SPARSE_ALIGNMENT, Table};
use crate::c_library::{self, Malloc};
use crate::{real, sample};
use core::sync::atomic::{AtomicU64, Ordering::*};

/// log2 of the granules' sizes.
const TINY: u32 = 3;
const SMALL: u32 = 5;
const LARGE: u32 = 9;
/// Usable bytes of the smallest block of glibc's malloc, none of which begins closer to another than
/// the small granule.
const GLIBC_SMALLEST: u64 = 24;

/// A shadow table.
pub(super) struct Shadow {
    small: Table<SMALL>,
    large: Table<LARGE>,
    tiny: Table<TINY>,
    /// Blocks of fewer usable bytes are tiny.
    tiny_below: AtomicU64,
}

/// The blocks of malloc. The table is kept across fork, its contents are not.
pub(super) static BLOCKS: Shadow = Shadow::new();
/// The blocks that the program reports, which lie within blocks of malloc.
pub(super) static CUSTOM: Shadow = Shadow::new();

/// Determines which allocator the blocks belong to. Cold section.
pub(super) fn begin() {
    table::begin();
    let is_glibc = c_library::owner_of_malloc(real::MALLOC.load(Relaxed) as usize) == Malloc::Glibc;
    if is_glibc {
        BLOCKS.tiny_below.store(GLIBC_SMALLEST, Relaxed);
    }
    chunk::begin(is_glibc && !sample::is_on());
}

impl Shadow {
    const fn new() -> Self {
        Self {
            small: Table::new(),
            large: Table::new(),
            tiny: Table::new(),
            tiny_below: AtomicU64::new(1 << SMALL),
        }
    }

    /// Where the entry of a block of glibc's malloc lies, of so many usable bytes. `None` when no block near it had
    /// one yet.
    #[inline(always)]
    pub(super) fn place(&self, address: usize, usable: u64) -> Option<Place<'_>> {
        table::place_in_either(usable >= 1 << LARGE, &self.large, &self.small, address)
    }

    /// Sets the entry of a block of so many usable bytes, and returns that of one that lay there and was freed by a way
    /// that is not seen, or 0; `None` when there is no memory for it.
    #[inline(always)]
    pub(super) fn put(&self, address: usize, usable: u64, entry: u64) -> Option<u64> {
        if usable >= 1 << LARGE && may_be_large(address) {
            self.large.put(address, entry)
        } else if usable >= self.tiny_below.load(Relaxed) {
            self.small.put(address, entry)
        } else {
            self.tiny.put(address, entry)
        }
    }

    /// Takes the entry of a block and returns it, or 0 if it has none.
    #[inline(always)]
    pub(super) fn take(&self, address: usize) -> u64 {
        match self.small.take(address) {
            0 => self.take_other(address),
            entry => entry,
        }
    }

    /// Takes the entry of a block that is aligned as those of glibc's malloc are, without asking how
    /// large it is; 0 when it has none among such blocks. Nothing waits for the block's header, which the
    /// processor may have to fetch. The table of large blocks is so small that it is mostly at hand.
    #[inline(always)]
    pub(super) fn take_aligned(&self, address: usize) -> u64 {
        table::take_from_either(&self.large, &self.small, address)
    }

    #[inline(never)]
    fn take_other(&self, address: usize) -> u64 {
        let large = if may_be_large(address) {
            self.large.take(address)
        } else {
            0
        };
        match large {
            0 => self.tiny.take(address),
            entry => entry,
        }
    }

    /// Calls `f` with each block's address and entry, in no particular order. Other threads may
    /// change them meanwhile.
    pub(super) fn each(&self, mut f: impl FnMut(usize, u64)) {
        self.small.each(&mut f);
        self.large.each(&mut f);
        self.tiny.each(&mut f);
    }
}

/// Returns whether the table of large blocks has places for this address. It has one for each block of
/// glibc's malloc and, as C demands, of any other malloc.
#[inline(always)]
fn may_be_large(address: usize) -> bool {
    address.is_multiple_of(1 << SPARSE_ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        /// As an allocator would: blocks do not overlap, and lie as close as they may.
        #[test]
        fn entries_are_those_of_their_blocks(
            steps in prop::collection::vec((0_u64..4000, any::<bool>(), 1_u64..1 << 59), 1..400),
            glibc in any::<bool>(),
        ) {
            let _ = crate::testing::process();
            let shadow = Shadow::new();
            // Usable bytes of the smallest block, and what each needs besides.
            let (smallest, header) = if glibc { (GLIBC_SMALLEST, 8) } else { (8, 0) };
            if glibc {
                shadow.tiny_below.store(GLIBC_SMALLEST, Relaxed);
            }
            let take = |address| match glibc {
                true => shadow.take_aligned(address),
                false => shadow.take(address),
            };
            let mut next = 1 << 33;
            let mut model = BTreeMap::new();
            for &(number, put, entry) in &steps {
                if put {
                    let usable = match number % 4 {
                        0 => 1000 + number,
                        _ => number % 80,
                    };
                    let usable = (usable.max(smallest) + header).next_multiple_of(8 + header) - header;
                    prop_assert_eq!(take(next), 0);
                    prop_assert_eq!(shadow.put(next, usable, entry), Some(0));
                    model.insert(next, entry);
                    next += (usable + header) as usize;
                } else if let Some(&address) = model.keys().nth(number as usize % model.len().max(1)) {
                    prop_assert_eq!(Some(take(address)), model.remove(&address));
                    prop_assert_eq!(take(address), 0);
                }
            }
            let mut found = BTreeMap::new();
            shadow.each(|address, entry| assert_eq!(found.insert(address, entry), None));
            prop_assert_eq!(found, model);
        }
    }
}
