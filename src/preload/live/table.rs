//! A table from addresses to entries, in two levels, as page tables are: the address's upper bits find a
//! leaf, its lower ones the place, of which there is one for each granule.
//!
//! No two blocks in one table begin in the same granule. But a block that is in no table, or in another
//! one, may begin in the granule of one that is: so a place knows where in it its block begins.
//!
//! A place belongs to whom its block belongs: the allocator hands an address from thread to thread
//! with all the ordering that is needed. So plain loads and stores do.
//!
//! May run at any moment, but for what makes a root or a leaf, which is a cold section.

use crate::thread::cold_section;
use crate::{confined, sys};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering::*};

/// log2 of the bytes that a leaf covers.
pub(super) const LEAF: u32 = 26;
/// Bits of an address of the lower half, where programs live.
const ADDRESS: u32 = 47;
/// Leaves that a root has room for.
const LEAVES: usize = 1 << (ADDRESS - LEAF);
/// Bits of an entry; above them a place of one word has where its block begins.
pub(super) const ENTRY_BITS: u32 = 62;
/// log2 of what all blocks are aligned to.
const ALIGNMENT: u32 = 3;

type Leaf = AtomicPtr<AtomicU64>;

/// A table with granules of `1 << GRANULE` bytes and places of `WORDS` words: the entry, and of two the
/// block's address.
pub(super) struct Table<const GRANULE: u32, const WORDS: usize> {
    /// Invariant: null, or `LEAVES` words, each null or a leaf of `1 << (LEAF - GRANULE)` places. Neither
    /// is ever unmapped.
    root: AtomicPtr<Leaf>,
}

impl<const GRANULE: u32, const WORDS: usize> Table<GRANULE, WORDS> {
    /// One word has room to tell four places in a granule from each other.
    const VALID: () = assert!(WORDS == 2 || GRANULE - ALIGNMENT <= u64::BITS - ENTRY_BITS);
    const LEAF_LEN: usize = (WORDS * size_of::<u64>()) << (LEAF - GRANULE);

    pub(super) const fn new() -> Self {
        let () = Self::VALID;
        Self {
            root: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// The word of the root that covers `address`.
    #[inline(always)]
    fn leaf_word(&self, address: usize) -> Option<&Leaf> {
        let root = self.root.load(Acquire);
        if root.is_null() || address >> ADDRESS != 0 {
            return None;
        }
        // SAFETY: by the invariant, for an address of that many bits.
        Some(unsafe { &*root.add(address >> LEAF) })
    }

    /// The words of a place; one of `WORDS` 1 twice.
    #[inline(always)]
    fn place_in<'l>(
        leaf: *mut AtomicU64,
        address: usize,
    ) -> Option<(&'l AtomicU64, &'l AtomicU64)> {
        let at = (address & ((1 << LEAF) - 1)) >> GRANULE;
        // SAFETY: by the invariant.
        (!leaf.is_null()).then(|| unsafe {
            let first = leaf.add(at * WORDS);
            (&*first, &*first.add(WORDS - 1))
        })
    }

    #[inline(always)]
    fn place(&self, address: usize) -> Option<(&AtomicU64, &AtomicU64)> {
        Self::place_in(self.leaf_word(address)?.load(Acquire), address)
    }

    /// Where in its granule a block begins, above [`ENTRY_BITS`]. (And more of its address, where there
    /// are fewer places.)
    #[inline(always)]
    fn offset(address: usize) -> u64 {
        (address as u64 >> ALIGNMENT) << ENTRY_BITS
    }

    /// Sets the entry of a block, which is not 0; false when there is no memory for it.
    #[inline(always)]
    pub(super) fn put(&self, address: usize, entry: u64) -> bool {
        let Some((first, second)) = self.place(address).or_else(|| self.make(address)) else {
            return false;
        };
        if WORDS == 1 {
            first.store(entry | Self::offset(address), Relaxed);
        } else {
            first.store(entry, Relaxed);
            second.store(address as u64, Relaxed);
        }
        true
    }

    /// Takes the entry of a block; 0 when it has none.
    #[inline(always)]
    pub(super) fn take(&self, address: usize) -> u64 {
        let Some((first, second)) = self.place(address) else {
            return 0;
        };
        let mut entry = first.load(Relaxed);
        let is_of_block = if WORDS == 1 {
            entry ^= Self::offset(address);
            entry >> ENTRY_BITS == 0
        } else {
            second.load(Relaxed) == address as u64
        };
        if entry == 0 || !is_of_block {
            return 0;
        }
        second.store(0, Relaxed);
        entry
    }

    #[cold]
    #[inline(never)]
    fn make(&self, address: usize) -> Option<(&AtomicU64, &AtomicU64)> {
        if address >> ADDRESS != 0 {
            return None;
        }
        // A child of fork finds the leaves where they were, and nothing in them.
        const ROOT_LEN: usize = LEAVES * size_of::<Leaf>();
        // A root without a leaf is of no use.
        make(&self.root, ROOT_LEN, Self::LEAF_LEN, sys::map_private);
        let word = self.leaf_word(address)?;
        make(word, Self::LEAF_LEN, 0, sys::map_wiped_on_fork);
        self.place(address)
    }

    /// Hands each block's address and entry to `f`. Other threads may change them meanwhile.
    pub(super) fn each(&self, f: &mut impl FnMut(usize, u64)) {
        for region in 0..LEAVES {
            let Some(word) = self.leaf_word(region << LEAF) else {
                return;
            };
            let leaf = word.load(Acquire);
            for granule in 0..1_usize << (LEAF - GRANULE) {
                let start = (region << LEAF) + (granule << GRANULE);
                let Some((first, second)) = Self::place_in(leaf, start) else {
                    break;
                };
                let word = first.load(Relaxed);
                let offset = (word >> ENTRY_BITS << ALIGNMENT) as usize % (1 << GRANULE);
                let address = match WORDS {
                    1 => start + offset,
                    _ => second.load(Relaxed) as usize,
                };
                if word != 0 && address != 0 {
                    f(address, word & ((1 << ENTRY_BITS) - 1));
                }
            }
        }
    }
}

/// What part of a limited address space tables may take.
const SHARE: u64 = 8;
/// Bytes of the address space that tables take. Kept across fork, as the mappings are.
static MAPPED: AtomicU64 = AtomicU64::new(0);
/// The limit on the address space, once it was asked for. Kept across fork.
static LIMIT: AtomicU64 = AtomicU64::new(u64::MAX);
/// There was no room within the limit: nobody asks again.
static IS_FULL: AtomicBool = AtomicBool::new(false);

/// Asks how much room there is. Cold section.
pub(super) fn begin() {
    let limit = sys::soft_limit(libc::RLIMIT_AS).min(sys::soft_limit(libc::RLIMIT_DATA));
    LIMIT.store(limit, Relaxed);
}

/// May tables take so much more? What they take the program cannot have. Cold section.
fn is_within_limit(len: usize) -> bool {
    if !confined::is_confined() {
        // The program may have changed it.
        begin();
    }
    let limit = LIMIT.load(Relaxed);
    limit == u64::MAX || MAPPED.load(Relaxed) + len as u64 <= limit / SHARE
}

/// Has `word` point at `len` bytes of zeros from `map`, unless it points at some, or there is no memory for
/// them and `more` to come.
fn make<T>(word: &AtomicPtr<T>, len: usize, more: usize, map: impl Fn(usize) -> *mut u8) {
    if !word.load(Acquire).is_null() || IS_FULL.load(Relaxed) {
        return;
    }
    cold_section(|| {
        if !is_within_limit(len + more) {
            IS_FULL.store(true, Relaxed);
            return;
        }
        let fresh: *mut T = map(len).cast();
        if fresh.is_null() {
            return;
        }
        if word
            .compare_exchange(ptr::null_mut(), fresh, AcqRel, Acquire)
            .is_ok()
        {
            MAPPED.fetch_add(len as u64, Relaxed);
        } else {
            // SAFETY: our own mapping, which nobody else has seen.
            unsafe { sys::unmap(fresh.cast(), len) };
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_beyond_those_of_programs_have_no_entry() {
        let _ = crate::testing::process();
        let table = Table::<5, 1>::new();
        assert_eq!(table.take(4096), 0);
        assert!(!table.put(1 << 47, 1) && !table.put(usize::MAX & !7, 1));
        assert_eq!(table.take(usize::MAX), 0);
    }

    #[test]
    fn another_block_of_the_same_granule_is_not_taken() {
        let _ = crate::testing::process();
        let (small, large) = (Table::<5, 1>::new(), Table::<10, 2>::new());
        assert!(small.put(4096 + 16, 7) && large.put(8192 + 512, 8));
        for address in [4096, 4096 + 8, 4096 + 24] {
            assert_eq!(small.take(address), 0);
        }
        for address in [8192, 8192 + 528, 8192 + 1016] {
            assert_eq!(large.take(address), 0);
        }
        assert_eq!((small.take(4096 + 16), large.take(8192 + 512)), (7, 8));
        assert_eq!((small.take(4096 + 16), large.take(8192 + 512)), (0, 0));
    }
}
