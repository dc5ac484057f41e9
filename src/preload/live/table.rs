//! A three-level table from addresses to entries, like a page table: the address's upper bits
//! select a branch, the next bits a leaf, and the lower bits the place of a granule. Leaves are
//! small, so the table takes address space only where there are blocks.
//!
//! No two blocks in one table start in the same granule. But a block that is not in the table may
//! start in the granule of one that is, so a place also says where in the granule its block starts.
//! Granules have up to 512 bytes, and blocks in granules of more than 64 bytes start at a multiple
//! of 16.
//!
//! A place belongs to the thread that owns its block: the allocator passes an address between
//! threads with all the ordering that is needed, so plain loads and stores suffice.
//!
//! May run at any moment, except for code that creates a branch or a leaf, which is a cold section.

use crate::thread::cold_section;
use crate::{confined, sys};
use core::hint::select_unpredictable;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering::*};

/// log2 of the bytes that a leaf covers.
pub(super) const LEAF: u32 = 22;
/// log2 of the bytes that a branch covers.
const BRANCH: u32 = 35;
/// Bits of an address of the lower half, where programs live.
const ADDRESS: u32 = 47;
/// Branches of a table.
const BRANCHES: usize = 1 << (ADDRESS - BRANCH);
/// Leaves of a branch.
const LEAVES: usize = 1 << (BRANCH - LEAF);
/// Bits of an entry; above them a place has where its block begins.
pub(super) const ENTRY_BITS: u32 = 59;
/// log2 of what all blocks are aligned to.
const ALIGNMENT: u32 = 3;
/// log2 of the largest granule in which blocks may begin anywhere, and of those in the larger ones.
const DENSE: u32 = 6;
pub(super) const SPARSE_ALIGNMENT: u32 = 4;

pub(super) type Leaf = AtomicPtr<AtomicU64>;
pub(super) type Branches = [AtomicPtr<Leaf>; BRANCHES];

/// A table with granules of `1 << GRANULE` bytes.
pub(super) struct Table<const GRANULE: u32> {
    /// Invariant: each is null, or `LEAVES` words, each null or a leaf of `1 << (LEAF - GRANULE)` places.
    /// Neither is ever unmapped.
    branches: Branches,
}

/// Where an entry lies.
#[derive(Clone, Copy)]
pub(super) struct Place<'t> {
    /// The entry, and above [`ENTRY_BITS`] where in its granule the block begins.
    entry: &'t AtomicU64,
}

impl Place<'_> {
    /// Tells apart where in a granule a block may begin, above [`ENTRY_BITS`]: bits 4 to 8 of the address,
    /// and where blocks are aligned to eight bytes only, bit 3 in the highest of these, which is that of
    /// the place.
    #[inline(always)]
    fn offset(address: usize) -> u64 {
        (address ^ address << 5) as u64 >> SPARSE_ALIGNMENT << ENTRY_BITS
    }

    /// Sets the entry of a block, which is not 0.
    #[inline(always)]
    pub(super) fn put(self, address: usize, entry: u64) {
        self.entry.store(entry | Self::offset(address), Relaxed);
    }

    /// Returns whether an entry is here. A block that lies where a new one begins was freed in a way that is not seen.
    #[inline(always)]
    pub(super) fn is_taken(self) -> bool {
        self.entry.load(Relaxed) != 0
    }

    /// Takes the entry of the block that starts in this granule and returns it, or 0 if there is
    /// none.
    fn take_any(self) -> u64 {
        let entry = self.entry.load(Relaxed) & ((1 << ENTRY_BITS) - 1);
        self.entry.store(0, Relaxed);
        entry
    }

    /// The entry of a block, or what is none ([`is_entry`]).
    #[inline(always)]
    fn look(self, address: usize) -> u64 {
        self.entry.load(Relaxed) ^ Self::offset(address)
    }

    /// Takes the entry of a block and returns it, or 0 if it has none.
    #[inline(always)]
    fn take(self, address: usize) -> u64 {
        let entry = self.look(address);
        if !is_entry(entry) {
            return 0;
        }
        self.entry.store(0, Relaxed);
        entry
    }
}

/// The word of a branch that covers `address`.
#[inline(always)]
fn leaf_word(branches: &Branches, address: usize) -> Option<&Leaf> {
    let branch = branches.get(address >> BRANCH)?.load(Acquire);
    if branch.is_null() {
        return None;
    }
    // SAFETY: by the invariant, for the bits between those of the branch and of the leaf.
    Some(unsafe { &*branch.add(address >> LEAF & (LEAVES - 1)) })
}

/// Where in a leaf the entry of a block lies; `None` where there is no leaf.
///
/// # Safety
/// Null, or a leaf of a table with granules of this size.
#[inline(always)]
unsafe fn place_in<'l>(leaf: *mut AtomicU64, granule: u32, address: usize) -> Option<Place<'l>> {
    let at = (address & ((1 << LEAF) - 1)) >> granule;
    // SAFETY: by the invariant of tables, the leaf has so many places.
    (!leaf.is_null()).then(|| unsafe {
        Place {
            entry: &*leaf.add(at),
        }
    })
}

/// The place of a block's entry in one of two tables, or `None` if there is no leaf. The code does
/// not branch on the table, because a program's sizes are often unpredictable.
#[inline(always)]
pub(super) fn place_in_either<'t, const FIRST: u32, const SECOND: u32>(
    is_first: bool,
    first: &'t Table<FIRST>,
    second: &'t Table<SECOND>,
    address: usize,
) -> Option<Place<'t>> {
    let branches = select_unpredictable(is_first, &first.branches, &second.branches);
    let granule = select_unpredictable(is_first, FIRST, SECOND);
    let leaf = leaf_word(branches, address)?.load(Acquire);
    // SAFETY: a leaf of the table that was chosen with this granule.
    unsafe { place_in(leaf, granule, address) }
}

/// Takes the entry of a block from one of two tables and returns it, or 0 if neither has one. The
/// first table is always read, the second only if the first has no entry. The code does not branch
/// on the table, because a program's sizes are often unpredictable.
#[inline(always)]
pub(super) fn take_from_either<const FIRST: u32, const SECOND: u32>(
    first: &Table<FIRST>,
    second: &Table<SECOND>,
    address: usize,
) -> u64 {
    let (first, second) = match (first.place(address), second.place(address)) {
        (Some(first), Some(second)) => (first, second),
        (Some(only), None) | (None, Some(only)) => return only.take(address),
        (None, None) => return 0,
    };
    let is_first = is_entry(first.look(address));
    let place = Place {
        entry: select_unpredictable(is_first, first.entry, second.entry),
    };
    place.take(address)
}

/// Returns whether it is the entry of the block that was looked for: neither none nor one of a block that
/// begins elsewhere.
#[inline(always)]
fn is_entry(looked_at: u64) -> bool {
    looked_at.wrapping_sub(1) < (1 << ENTRY_BITS) - 1
}

impl<const GRANULE: u32> Table<GRANULE> {
    /// An entry has room to tell the places in a granule from each other.
    const VALID: () = assert!(GRANULE <= SPARSE_ALIGNMENT + u64::BITS - ENTRY_BITS);
    const LEAF_LEN: usize = size_of::<u64>() << (LEAF - GRANULE);
    /// Bytes between two places at which a block may begin.
    const STEP: usize = if GRANULE <= DENSE {
        1 << ALIGNMENT
    } else {
        1 << SPARSE_ALIGNMENT
    };

    pub(super) const fn new() -> Self {
        let () = Self::VALID;
        Self {
            branches: [const { AtomicPtr::new(ptr::null_mut()) }; BRANCHES],
        }
    }

    #[inline(always)]
    fn place_in<'l>(leaf: *mut AtomicU64, address: usize) -> Option<Place<'l>> {
        // SAFETY: the leaf is one of this table's.
        unsafe { place_in(leaf, GRANULE, address) }
    }

    /// Where the entry of a block lies; `None` where there is no leaf.
    #[inline(always)]
    fn place(&self, address: usize) -> Option<Place<'_>> {
        Self::place_in(leaf_word(&self.branches, address)?.load(Acquire), address)
    }

    /// Sets the entry of a block, which is not 0, and returns the one that was there; `None` when there is no memory
    /// for it.
    #[inline(always)]
    pub(super) fn put(&self, address: usize, entry: u64) -> Option<u64> {
        let place = self.place(address).or_else(|| self.make(address))?;
        let before = place.take_any();
        place.put(address, entry);
        Some(before)
    }

    /// Takes the entry of a block and returns it, or 0 if it has none.
    #[inline(always)]
    pub(super) fn take(&self, address: usize) -> u64 {
        self.place(address).map_or(0, |place| place.take(address))
    }

    #[cold]
    #[inline(never)]
    fn make(&self, address: usize) -> Option<Place<'_>> {
        // A child of fork finds the leaves where they were, and nothing in them.
        const BRANCH_LEN: usize = LEAVES * size_of::<Leaf>();
        let branch = self.branches.get(address >> BRANCH)?;
        // A branch without a leaf is of no use.
        make(branch, BRANCH_LEN, Self::LEAF_LEN, sys::map_private);
        let word = leaf_word(&self.branches, address)?;
        make(word, Self::LEAF_LEN, 0, sys::map_wiped_on_fork);
        self.place(address)
    }

    /// Calls `f` with each block's address and entry. Other threads may change them meanwhile.
    pub(super) fn each(&self, f: &mut impl FnMut(usize, u64)) {
        for branch in (0..BRANCHES).map(|branch| branch << BRANCH) {
            for region in (branch..).step_by(1 << LEAF).take(LEAVES) {
                // Without a branch there is none of its leaves.
                let Some(word) = leaf_word(&self.branches, region) else {
                    break;
                };
                Self::each_in(word.load(Acquire), region, f);
            }
        }
    }

    fn each_in(leaf: *mut AtomicU64, region: usize, f: &mut impl FnMut(usize, u64)) {
        for granule in 0..1_usize << (LEAF - GRANULE) {
            let start = region + (granule << GRANULE);
            let Some(place) = Self::place_in(leaf, start) else {
                return;
            };
            let word = place.entry.load(Relaxed);
            if word == 0 {
                continue;
            }
            let begins = |address: &usize| (word ^ Place::offset(*address)) >> ENTRY_BITS == 0;
            let mut inside = (start..start + (1 << GRANULE)).step_by(Self::STEP);
            if let Some(address) = inside.find(begins) {
                f(address, word & ((1 << ENTRY_BITS) - 1));
            }
        }
    }
}

/// What part of a limited address space tables may take.
const SHARE: u64 = 16;
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

/// Returns whether tables may take so much more. What they take the program cannot have. Cold section.
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
        let table = Table::<5>::new();
        assert_eq!(table.take(4096), 0);
        assert_eq!(
            [1 << 47, usize::MAX & !7].map(|address| table.put(address, 1)),
            [None; 2]
        );
        assert_eq!(table.take(usize::MAX), 0);
    }

    #[test]
    fn another_block_of_the_same_granule_is_not_taken() {
        let _ = crate::testing::process();
        let (small, large) = (Table::<5>::new(), Table::<9>::new());
        assert_eq!(
            (small.put(4096 + 16, 7), large.put(8192 + 512, 8)),
            (Some(0), Some(0))
        );
        for address in [4096, 4096 + 8, 4096 + 24] {
            assert_eq!(small.take(address), 0);
        }
        for address in (8192..8192 + 1024)
            .step_by(16)
            .filter(|&at| at != 8192 + 512)
        {
            assert_eq!(large.take(address), 0);
        }
        assert_eq!((small.take(4096 + 16), large.take(8192 + 512)), (7, 8));
        assert_eq!((small.take(4096 + 16), large.take(8192 + 512)), (0, 0));
    }

    #[test]
    fn each_place_in_a_granule_is_found_again() {
        let _ = crate::testing::process();
        let (tiny, small, large) = (Table::<3>::new(), Table::<5>::new(), Table::<9>::new());
        for address in (1 << 31..(1 << 31) + 2048).step_by(8) {
            let mut found = Vec::new();
            let mut note = |address, entry| found.push((address, entry));
            assert_eq!(
                (tiny.put(address, 7), small.put(address, 8)),
                (Some(0), Some(0))
            );
            tiny.each(&mut note);
            small.each(&mut note);
            if address.is_multiple_of(16) {
                assert_eq!(large.put(address, 9), Some(0));
                large.each(&mut note);
                assert_eq!(large.take(address), 9);
            } else {
                note(address, 9);
            }
            assert_eq!(found, [7, 8, 9].map(|entry| (address, entry)));
            assert_eq!((tiny.take(address), small.take(address)), (7, 8));
        }
    }

    #[test]
    fn an_entry_that_was_left_behind_is_handed_out_with_the_next() {
        let _ = crate::testing::process();
        let (small, large) = (Table::<5>::new(), Table::<9>::new());
        for (first, second) in [(16, 16), (8, 24), (0, 8)] {
            assert_eq!(small.put(1 << 30 | first, 7), Some(0));
            assert_eq!(small.put(1 << 30 | second, 8), Some(7));
            assert_eq!(small.take(1 << 30 | second), 8);
            assert_eq!(large.put((1 << 30) | (first * 16), 7), Some(0));
            assert_eq!(large.put((1 << 30) | (second * 16), 8), Some(7));
            assert_eq!(large.take((1 << 30) | (second * 16)), 8);
        }
    }
}
