//! What realloc did to a block, from then until the allocation is counted: at the site of the new size, which
//! is found last. (A signal handler that calls realloc in these few instructions has its own counted alone.)
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

/// The last block of the thread that realloc made larger, and that was not counted yet. All zeros is none.
#[repr(C)]
pub(super) struct Grown {
    block: *mut c_void,
    /// Bytes that had to be copied.
    copied: u64,
    /// The thread's clock at that time.
    clock: u64,
}

impl Grown {
    /// Says it to the allocation that is counted next.
    pub(super) fn new(thread: &Thread, block: *mut c_void, copied: u64) -> Self {
        // SAFETY: the state is the calling thread's.
        let clock = unsafe { (*thread.live()).clock };
        Self {
            block,
            copied,
            clock,
        }
    }

    /// Returns whether it may be this block. (It is alive until it is counted, so that a signal
    /// handler cannot be given it.)
    #[inline(always)]
    pub(super) fn is(&self, block: *mut c_void) -> bool {
        self.block == block
    }
}

/// Counts it if it is this block, and forgets it.
///
/// # Safety
/// The state and the record are the calling thread's, and the thread's clock has counted the block.
pub(super) unsafe fn count(live: &mut LiveThread, block: *mut c_void, record: *mut SiteRecord) {
    if !live.grown.is(block) {
        return;
    }
    // One that the sample passed over is not the same block any more.
    if sample::is_on() && live.clock != live.grown.clock + 1 {
        live.grown.block = ptr::null_mut();
        return;
    }
    // SAFETY: as the caller promises.
    unsafe { count_block(live, record) }
}

/// Counts the one that there is, and forgets it.
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
