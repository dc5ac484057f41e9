//! What the library knows about this process, all in one mapping that a child of fork finds zeroed
//! (`MADV_WIPEONFORK`). A child made by any means, raw `clone` included, thus starts anew and never
//! writes into its parent's recording, and no lock that was held at the time of the fork stays
//! held. Handlers of `pthread_atfork` would miss the raw calls.
//!
//! May run at any moment.

use crate::cold_stack::ColdStacks;
use crate::deep::Nodes;
use crate::heap::{Heap, SpinLock};
use crate::live::regions::Regions;
use crate::live::{self, Numbers, Sums, Timeline, Total};
use crate::recording::Recording;
use crate::thread::Pool;
use crate::unwind::Registry;
use crate::{patch, recording, sys, unwind};
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// The state of one process. All zeros is the state before anything happened.
#[repr(C)]
pub(crate) struct Process {
    state: AtomicU32,
    /// Id of this process; a child of vfork runs in the same memory under another one.
    pub(crate) pid: AtomicU32,
    /// Set by the first end-of-process event, so that the report is written once.
    pub(crate) ended: AtomicBool,
    /// Set when there was no memory for a cold section: no other is entered.
    pub(crate) gave_up: AtomicBool,
    /// What `patch` keeps lies in this process's heap, not in that of the one it was forked from.
    pub(crate) owns_hooks: AtomicBool,
    pub(crate) cold_stacks: ColdStacks,
    pub(crate) heap: Heap,
    pub(crate) recording: Recording,
    pub(crate) nodes: Nodes,
    pub(crate) threads: Pool,
    pub(crate) registry: AtomicPtr<Registry>,
    pub(crate) rules_lock: SpinLock,
    pub(crate) total: Total,
    pub(crate) numbers: Numbers,
    pub(crate) timeline: Timeline,
    pub(crate) regions: Regions,
}

const ABSENT: u32 = 0;
const STARTING: u32 = 1;
const READY: u32 = 2;

/// Invariant: null, or a mapping of a `Process` that is never unmapped.
pub(crate) static PROCESS: AtomicPtr<Process> = AtomicPtr::new(ptr::null_mut());
/// Some process with this memory image was ready once. Not wiped: tells a child of fork.
static BEGAN_BEFORE: AtomicBool = AtomicBool::new(false);

/// The process's state; maps it on the first call. `None` when there is no memory for it.
pub(crate) fn process() -> Option<&'static Process> {
    let known = PROCESS.load(Acquire);
    // SAFETY: by the invariant of PROCESS; the fields are atomics or behind locks.
    unsafe { known.as_ref() }.or_else(map)
}

/// The process's state, where it is known that there is one.
///
/// # Safety
/// [`process`] has returned it before.
#[inline(always)]
pub(crate) unsafe fn existing() -> &'static Process {
    // SAFETY: by the invariant of PROCESS, and it never becomes null again.
    unsafe { &*PROCESS.load(Acquire) }
}

#[cold]
fn map() -> Option<&'static Process> {
    let fresh: *mut Process = sys::map_wiped_on_fork(size_of::<Process>()).cast();
    if fresh.is_null() {
        return None;
    }
    match PROCESS.compare_exchange(ptr::null_mut(), fresh, AcqRel, Acquire) {
        // SAFETY: the mapping is large enough, is never unmapped from now on, and zeroed memory is a valid
        // Process.
        Ok(_) => unsafe { fresh.as_ref() },
        Err(other) => {
            // SAFETY: `fresh` is a mapping of our own that nobody else has seen.
            unsafe {
                sys::unmap(fresh.cast(), size_of::<Process>());
                other.as_ref()
            }
        }
    }
}

impl Process {
    /// Where the number of the last peak lies.
    pub(crate) const OFFSET_EPOCH: usize = offset_of!(Self, total) + Total::OFFSET_EPOCH;

    /// What all threads have counted of the live heap.
    pub(crate) fn live_sums(&self) -> Sums {
        let mut sums = self.threads.live_sums();
        self.regions.add_to(&mut sums);
        sums
    }

    /// Returns whether this very process has begun to record.
    pub(crate) fn is_ready(&self) -> bool {
        self.state.load(Acquire) == READY
    }

    /// Begins to record, unless that has happened. Call it in a cold section.
    pub(crate) fn begin(&self) {
        loop {
            match self
                .state
                .compare_exchange(ABSENT, STARTING, Acquire, Acquire)
            {
                Ok(_) => break,
                Err(READY) => return,
                Err(_) => sys::yield_now(),
            }
        }
        let forked = BEGAN_BEFORE.swap(true, Relaxed);
        if forked {
            recording::give_up_parents();
        }
        self.pid.store(sys::pid(), Relaxed);
        self.threads.begin(sys::pid());
        unwind::begin(self);
        self.recording.create(forked);
        patch::describe(self);
        live::begin(self);
        self.state.store(READY, Release);
    }
}
