//! Updates of a word that a signal handler of the same thread sees either whole or not at all.
//!
//! Each update is an exclusive load and store. A signal between them, or anything else that enters
//! the kernel, makes the store fail, and both are repeated. No other thread writes to the word, so
//! neither needs an ordering.
//!
//! May run at any moment.

use core::arch::asm;
use core::mem::offset_of;
use skipheap_format::layout::SiteRecord;

/// Adds one to a site's count. A signal handler of the same thread that counts there too runs
/// before or after the update, never within it.
///
/// # Safety
/// `record` points to a site record that no other thread counts in.
#[inline(always)]
pub(crate) unsafe fn increment_count(record: *mut SiteRecord) {
    // SAFETY: the caller's record has a count there that no other thread writes.
    unsafe { increment_at::<{ offset_of!(SiteRecord, count) }, _>(record) };
}

/// Adds to the counter at this offset of a structure, atomically with respect to signal handlers
/// like [`increment_count`].
///
/// # Safety
/// A counter of 64 bits is at this offset, and no other thread changes it.
#[inline(always)]
pub(crate) unsafe fn add_at<const OFFSET: usize, T>(structure: *mut T, n: u64) {
    // SAFETY: the caller's counter lies there, aligned as its type is.
    unsafe {
        asm!(
            "2: ldxr {old}, [{counter}]",
            "add {old}, {old}, {n}",
            "stxr {failed:w}, {old}, [{counter}]",
            "cbnz {failed:w}, 2b",
            counter = in(reg) structure.wrapping_byte_add(OFFSET),
            n = in(reg) n,
            old = out(reg) _,
            failed = out(reg) _,
            options(nostack, preserves_flags),
        );
    }
}

/// Adds one to a counter, like [`add_at`].
///
/// # Safety
/// A counter of 64 bits is at this offset, and no other thread changes it.
#[inline(always)]
pub(crate) unsafe fn increment_at<const OFFSET: usize, T>(structure: *mut T) {
    // SAFETY: the caller's counter is one that `add_at` may change.
    unsafe { add_at::<OFFSET, T>(structure, 1) };
}

/// Subtracts one from a counter, like [`add_at`].
///
/// # Safety
/// A counter of 64 bits is at this offset, and no other thread changes it.
#[inline(always)]
pub(crate) unsafe fn decrement_at<const OFFSET: usize, T>(structure: *mut T) {
    // SAFETY: the caller's counter is one that `add_at` may change.
    unsafe { add_at::<OFFSET, T>(structure, u64::MAX) };
}

/// Prefetches the cache line of this address. Any address is allowed, because a prefetch never
/// faults.
#[inline(always)]
pub(crate) fn prefetch(address: usize) {
    // SAFETY: a hint, which faults nowhere.
    unsafe {
        asm!("prfm pldl1keep, [{address}]", address = in(reg) address,
            options(nostack, preserves_flags, readonly));
    }
}

/// Replaces `old` with `new`, atomically with respect to signal handlers like [`increment_count`].
/// Returns false and changes nothing if the word has another value.
///
/// # Safety
/// `word` is a word that no other thread changes.
#[inline(always)]
pub(crate) unsafe fn replace(word: *mut usize, old: usize, new: usize) -> bool {
    let found: usize;
    // SAFETY: the caller's word lies there, aligned as its type is.
    unsafe {
        asm!(
            "2: ldxr {found}, [{word}]",
            "cmp {found}, {old}",
            "b.ne 3f",
            "stxr {failed:w}, {new}, [{word}]",
            "cbnz {failed:w}, 2b",
            "3:",
            word = in(reg) word,
            old = in(reg) old,
            new = in(reg) new,
            found = out(reg) found,
            failed = out(reg) _,
            options(nostack),
        );
    }
    found == old
}

/// Adds one to a saturating counter. Returns true if it is at its maximum.
///
/// # Safety
/// There is a counter of 32 bits, and no other thread counts there.
#[inline(always)]
pub(crate) unsafe fn increment_saturating(counter: *mut u32) -> bool {
    let old: u32;
    // SAFETY: the caller's counter lies there, aligned as its type is.
    unsafe {
        asm!(
            "2: ldxr {old:w}, [{counter}]",
            "cmn {old:w}, #1",
            "b.eq 3f",
            "add {new:w}, {old:w}, #1",
            "stxr {failed:w}, {new:w}, [{counter}]",
            "cbnz {failed:w}, 2b",
            "3:",
            counter = in(reg) counter,
            old = out(reg) old,
            new = out(reg) _,
            failed = out(reg) _,
            options(nostack),
        );
    }
    old == u32::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_count() {
        let mut words = [5_u64, 7];
        // SAFETY: two words of this function's own.
        unsafe {
            add_at::<8, _>(words.as_mut_ptr(), 3);
            increment_at::<0, _>(words.as_mut_ptr());
            decrement_at::<8, _>(words.as_mut_ptr());
        }
        assert_eq!(words, [6, 9]);
    }

    #[test]
    fn a_word_is_replaced_only_where_it_is_the_expected_one() {
        let mut word = 5;
        // SAFETY: a word of this function's own.
        unsafe {
            assert!(!replace(&raw mut word, 4, 6));
            assert!(replace(&raw mut word, 5, 6));
        }
        assert_eq!(word, 6);
    }

    #[test]
    fn a_full_counter_stays_full() {
        let mut counter = u32::MAX - 1;
        // SAFETY: a counter of this function's own.
        let full = [(); 3].map(|()| unsafe { increment_saturating(&raw mut counter) });
        assert_eq!((counter, full), (u32::MAX, [false, true, true]));
    }
}
