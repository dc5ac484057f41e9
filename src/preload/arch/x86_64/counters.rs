//! Updates of a word that a signal handler of the same thread sees either whole or not at all.
//!
//! May run at any moment.

use core::arch::asm;
use core::mem::offset_of;
use skipheap_format::layout::SiteRecord;

/// Adds one to a site's count in a single instruction. A signal handler of the same thread that
/// counts there too runs before or after the update, never within it.
///
/// # Safety
/// `record` points to a site record that no other thread counts in.
#[inline(always)]
pub(crate) unsafe fn increment_count(record: *mut SiteRecord) {
    // SAFETY: as the caller promises.
    unsafe { increment_at::<{ offset_of!(SiteRecord, count) }, _>(record) };
}

/// Adds to the counter at this offset of a structure in a single instruction, like
/// [`increment_count`].
///
/// # Safety
/// A counter of 64 bits is at this offset, and no other thread changes it.
#[inline(always)]
pub(crate) unsafe fn add_at<const OFFSET: usize, T>(structure: *mut T, n: u64) {
    // SAFETY: as the caller promises.
    unsafe {
        asm!("add qword ptr [{structure} + {offset}], {n}", structure = in(reg) structure, n = in(reg) n,
            offset = const OFFSET, options(nostack));
    }
}

/// Adds one to a counter, like [`add_at`].
///
/// # Safety
/// As [`add_at`].
#[inline(always)]
pub(crate) unsafe fn increment_at<const OFFSET: usize, T>(structure: *mut T) {
    // SAFETY: as the caller promises.
    unsafe {
        asm!("inc qword ptr [{structure} + {offset}]", structure = in(reg) structure,
            offset = const OFFSET, options(nostack));
    }
}

/// Subtracts one from a counter, like [`add_at`].
///
/// # Safety
/// As [`add_at`].
#[inline(always)]
pub(crate) unsafe fn decrement_at<const OFFSET: usize, T>(structure: *mut T) {
    // SAFETY: as the caller promises.
    unsafe {
        asm!("dec qword ptr [{structure} + {offset}]", structure = in(reg) structure,
            offset = const OFFSET, options(nostack));
    }
}

/// Prefetches the cache line of this address. Any address is allowed, because a prefetch never
/// faults.
#[inline(always)]
pub(crate) fn prefetch(address: usize) {
    // SAFETY: a hint, which faults nowhere.
    unsafe {
        asm!("prefetcht0 byte ptr [{address}]", address = in(reg) address,
            options(nostack, preserves_flags, readonly));
    }
}

/// Replaces `old` with `new` in a single instruction, like [`increment_count`]. Returns false and
/// changes nothing if the word has another value.
///
/// # Safety
/// `word` is a word that no other thread changes.
#[inline(always)]
pub(crate) unsafe fn replace(word: *mut usize, old: usize, new: usize) -> bool {
    let found: usize;
    // SAFETY: as the caller promises. Without a lock prefix it is whole for signal handlers alone.
    unsafe {
        asm!("cmpxchg qword ptr [{word}], {new}", word = in(reg) word, new = in(reg) new,
            inout("rax") old => found, options(nostack));
    }
    found == old
}

/// Adds one to a saturating counter. Returns true if it is at its maximum. A signal handler that
/// runs between the two instructions at that moment sees it one too small.
///
/// # Safety
/// As [`add_at`], of 32 bits.
#[inline(always)]
pub(crate) unsafe fn increment_saturating(counter: *mut u32) -> bool {
    let full: u8;
    // SAFETY: as the caller promises.
    unsafe {
        asm!(
            "add dword ptr [{counter}], 1",
            "jnc 2f",
            "mov dword ptr [{counter}], -1",
            "stc",
            "2: setc {full}",
            counter = in(reg) counter,
            full = out(reg_byte) full,
            options(nostack),
        );
    }
    full != 0
}
