//! `free` and its kin, and `realloc`, where blocks are followed.
//!
//! A block leaves its table before the real function gets it: once that has freed it, its address may
//! belong to another thread, and be in the table again.
//!
//! May run at any moment.

use super::count::{Growth, Taken, count_free, put_back, take};
use super::quick::free;
use crate::record::layout::SIZE_BITS;
use crate::thread::{self, Given};
use crate::{arch, hooks, real, sample};
use core::ffi::c_void;
use core::sync::atomic::Ordering::Relaxed;

/// Has the exported functions lead here. Cold section.
pub(super) fn begin() {
    hooks::FREE.store(free as *mut c_void, Relaxed);
    hooks::REALLOC.store(arch::realloc_followed as *mut c_void, Relaxed);
}

/// Do they?
#[inline(always)]
pub(crate) fn are_in_place() -> bool {
    hooks::FREE.load(Relaxed) == free as *mut c_void
}

/// `realloc` of C. `size` has the function's index above.
///
/// # Safety
/// As the C function; `entry` points at the return address of the call, `bp` is the caller's rbp.
pub(crate) unsafe extern "C" fn realloc(
    old: *mut c_void,
    size: u64,
    entry: *const u64,
    bp: u64,
) -> *mut c_void {
    // SAFETY: the caller's own arguments.
    unsafe {
        let bytes = size & ((1 << SIZE_BITS) - 1);
        let known = if old.is_null() {
            Taken::NOTHING
        } else {
            take(old)
        };
        // Whether a block grew must not depend on whether it had been sampled: of all of them it is told by what was usable.
        let usable = if sample::is_on() && !old.is_null() {
            // 0 where the allocator does not say.
            Some(real::malloc_usable_size(old) as u64).filter(|&usable| usable != 0)
        } else {
            None
        };
        let block = real::realloc(old, bytes as usize);
        if block.is_null() && (bytes != 0 || old.is_null()) {
            put_back(old, known);
            return block;
        }
        let old_bytes = if old.is_null() {
            None
        } else {
            count_free(known)
        };
        if block.is_null() {
            // Of size 0: it was freed.
            return block;
        }
        let growth = match usable.or(old_bytes).filter(|&old_bytes| bytes > old_bytes) {
            Some(_) if block == old => Growth::by_copying(0),
            Some(old_bytes) => Growth::by_copying(old_bytes),
            None => Growth::NONE,
        };
        thread::record(size, entry, bp, Given { block, growth });
        block
    }
}
