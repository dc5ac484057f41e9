//! `free` and its kin, and `realloc`, where blocks are followed.
//!
//! A block leaves its table before the real function gets it: once that has freed it, its address may
//! belong to another thread, and be in the table again.
//!
//! May run at any moment.

use super::chunk;
use super::count::{Taken, put_back};
use super::grown::Grown;
use super::quick::{count_free, free, free_any, take};
use crate::thread;
use crate::{arch, control, hooks, real, sample};
use core::ffi::c_void;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// Has the exported functions lead here. Cold section.
pub(super) fn begin() {
    let free: unsafe extern "C" fn(*mut c_void) =
        if chunk::is_on_trial() { free } else { free_any };
    hooks::FREE.store(free as *mut c_void, Relaxed);
    hooks::REALLOC.store(arch::realloc_followed as *mut c_void, Relaxed);
}

/// Returns whether `free` and `realloc` are those that follow blocks.
#[inline(always)]
pub(crate) fn are_in_place() -> bool {
    hooks::REALLOC.load(Relaxed) == arch::realloc_followed as *mut c_void
}

/// What the hook of `realloc` calls.
pub(crate) static REAL_REALLOC: AtomicPtr<c_void> = AtomicPtr::new(realloc as *mut c_void);

/// `realloc` of C; the recording of what it gave is still to come.
///
/// # Safety
/// As the C function.
pub(crate) unsafe extern "C" fn realloc(old: *mut c_void, bytes: usize) -> *mut c_void {
    // SAFETY: the caller's own arguments.
    unsafe {
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
        let block = real::realloc(old, bytes);
        if block.is_null() && (bytes != 0 || old.is_null()) {
            put_back(old, known);
            return block;
        }
        let old_bytes = if old.is_null() {
            None
        } else {
            count_free(known)
        };
        // (A null one was of size 0: it was freed.)
        if let Some(old_bytes) = usable.or(old_bytes)
            && old_bytes < bytes as u64
            && !block.is_null()
            && !control::is_stopped()
            && let Some(thread) = thread::own_or_new()
        {
            let copied = if block == old { 0 } else { old_bytes };
            (*thread.live()).grown = Grown::new(thread, block, copied);
        }
        block
    }
}
