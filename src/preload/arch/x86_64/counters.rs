//! Changes of a word that a signal handler of the same thread can only come before or after.
//!
//! May run at any moment.

use core::arch::asm;
use core::mem::offset_of;
use skipheap_format::layout::SiteRecord;

/// Adds one to a site's count, in a single instruction, so that a signal handler of the same thread
/// that counts there too can come before or after it but not in its middle.
///
/// # Safety
/// `record` points to a site record that no other thread counts in.
#[inline(always)]
pub(crate) unsafe fn increment_count(record: *mut SiteRecord) {
    // SAFETY: as the caller promises.
    unsafe { increment_at::<{ offset_of!(SiteRecord, count) }, _>(record) };
}

/// Adds to the counter at this offset of a structure in a single instruction, as [`increment_count`].
///
/// # Safety
/// There is a counter of 64 bits, and no other thread counts there.
#[inline(always)]
pub(crate) unsafe fn add_at<const OFFSET: usize, T>(structure: *mut T, n: u64) {
    // SAFETY: as the caller promises.
    unsafe {
        asm!("add qword ptr [{structure} + {offset}], {n}", structure = in(reg) structure, n = in(reg) n,
            offset = const OFFSET, options(nostack));
    }
}

/// As [`add_at`], of one.
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

/// As [`add_at`], less one.
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

/// Has the cache line of this address fetched, if there is memory. No access: any address will do.
#[inline(always)]
pub(crate) fn prefetch(address: usize) {
    // SAFETY: a hint, which faults nowhere.
    unsafe {
        asm!("prefetcht0 byte ptr [{address}]", address = in(reg) address,
            options(nostack, preserves_flags, readonly));
    }
}

/// Puts `new` in the place of `old` in a single instruction, as [`increment_count`]; false, and nothing
/// else, where there is another value.
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

/// Adds one to a counter that stays at its end once it is there; true then. A signal handler that comes in
/// between two instructions at that moment finds it one too small.
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
