//! Keeps what realloc did to a block until the allocation is counted at the site of the new size,
//! which is found last. If a signal handler calls realloc in between, only its own call is counted.
//!
//! May run at any moment.

use super::LiveThread;
use super::count::behind;
use crate::thread::Thread;
use crate::{arch, sample};
use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr;
use skipheap_format::layout::{LiveRecord, SiteRecord};

/// The thread's last block that realloc has grown and that was not counted yet. All zeros means
/// none.
#[repr(C)]
pub(super) struct Grown {
    block: *mut c_void,
    /// Bytes that had to be copied.
    copied: u64,
    /// The thread's clock at the time of the call.
    clock: u64,
}

impl Grown {
    /// Stores it for the next allocation that is counted.
    pub(super) fn new(thread: &Thread, block: *mut c_void, copied: u64) -> Self {
        // SAFETY: the state is the calling thread's.
        let clock = unsafe { (*thread.live()).clock };
        Self {
            block,
            copied,
            clock,
        }
    }

    /// Returns whether it may be this block. The block is alive until it is counted, so a signal
    /// handler cannot get the same address.
    #[inline(always)]
    pub(super) fn is(&self, block: *mut c_void) -> bool {
        self.block == block
    }
}

/// Counts the grown block if it is this block, and forgets it.
///
/// # Safety
/// The state and the record are the calling thread's, and the thread's clock has counted the block.
pub(super) unsafe fn count(live: &mut LiveThread, block: *mut c_void, record: *mut SiteRecord) {
    if !live.grown.is(block) {
        return;
    }
    // If the sample skipped the grown block, this is another block at its address.
    if sample::is_on() && live.clock != live.grown.clock + 1 {
        live.grown.block = ptr::null_mut();
        return;
    }
    // SAFETY: as the caller promises.
    unsafe { count_block(live, record) }
}

/// Counts the grown block that is stored, and forgets it.
///
/// # Safety
/// As [`count`].
#[inline(always)]
pub(super) unsafe fn count_block(live: &mut LiveThread, record: *mut SiteRecord) {
    live.grown.block = ptr::null_mut();
    // SAFETY: as the caller promises.
    unsafe {
        arch::increment_at::<{ offset_of!(LiveRecord, grown) }, _>(behind(record));
        arch::add_at::<{ offset_of!(LiveRecord, copied) }, _>(behind(record), live.grown.copied);
    }
}
