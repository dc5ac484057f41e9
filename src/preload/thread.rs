//! What each thread has of its own, and the way of an allocation from the hook to its site.
//!
//! The thread's TLS word is 0 (nothing yet), [`BUSY`] (nothing to record now) or the address of
//! its [`Thread`]. Threads lie in memory that reads as zeros in a child of fork, so that the check
//! of the stack's bounds, which each allocation makes anyway, sends the child's first allocation to
//! the cold path.
//!
//! [`record_rest`] may run at any moment.

use crate::process;
use crate::record::layout::SiteRecord;
use crate::record::loss::Loss;
use crate::sites::Table;
use crate::unwind::{Frames, careful_walk, walk};
use crate::{arch, confined, control, lifecycle, patch, stack, sys, verify};
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering::*};

/// TLS word of a thread that is in a cold section: allocations meanwhile are the library's own
/// doing (through the C library) and are passed on without a look. So are those of a program that
/// is left out, whose threads keep this word.
const BUSY: usize = 1;

/// State of a thread. All zeros is that of a child of fork.
#[repr(C, align(64))]
pub(crate) struct Thread {
    /// Start and length of the thread's own stack; a length of 0 sends everything the cold way.
    stack_lo: usize,
    stack_len: usize,
    stack_hi: usize,
    /// Highest place of a frame record {rbp, return address}.
    stack_hi_16: usize,
    sites: UnsafeCell<Table>,
    /// Kernel's id of the thread that uses this state, 0 when free.
    owner: AtomicU32,
    /// From 1; what the recording knows the state by.
    number: u32,
    next: *const Thread,
}

/// Records one allocation of `size` bytes (with the function's index above, see
/// [`crate::record::layout::SIZE_BITS`]), where [`crate::hot`] does not. Hands `block` through,
/// which the hook returns.
///
/// # Safety
/// `entry` points at the return address of the call being recorded, `bp` is the caller's rbp.
pub(crate) unsafe extern "C" fn record_rest(
    size: u64,
    entry: *const u64,
    bp: u64,
    block: *mut c_void,
) -> *mut c_void {
    if control::is_stopped() {
        return block;
    }
    let word = arch::thread_word();
    if word > BUSY {
        // SAFETY: the word is the address of this thread's state, and the table is this thread's.
        // `entry` lies in the thread's own stack, which is readable from there to its end.
        unsafe {
            let thread = &*(word as *const Thread);
            if (entry as usize).wrapping_sub(thread.stack_lo) < thread.stack_len {
                let frames = walk::walk(entry, bp, thread.stack_hi as u64);
                count(thread, frames, size, block);
                return block;
            }
        }
    }
    // SAFETY: as the caller promises.
    unsafe { record_elsewhere(word, size, entry, bp, block) };
    block
}

/// The first allocation of a thread or of a child of fork, and those on foreign stacks.
#[cold]
#[inline(never)]
unsafe fn record_elsewhere(word: usize, size: u64, entry: *const u64, bp: u64, block: *mut c_void) {
    if word == BUSY {
        return;
    }
    if !lifecycle::is_recording() {
        if lifecycle::is_off() {
            // From now on the hot path returns at once.
            arch::set_thread_word(BUSY);
        }
        return;
    }
    if patch::leaves_out(size) {
        return;
    }
    let Some(process) = process::process() else {
        return;
    };
    if confined::is_confined() && (word == 0 || !process.is_ready()) {
        if process.is_ready() {
            process.recording.lose(Loss::Confined, 1);
        }
        return;
    }
    let mut thread = if word > BUSY && process.is_ready() {
        word as *const Thread
    } else {
        ptr::null()
    };
    if thread.is_null() {
        thread = cold_section(|| {
            process.begin();
            process.threads.acquire()
        })
        .flatten()
        .map_or(ptr::null(), |thread| {
            arch::set_thread_word(ptr::from_ref(thread) as usize);
            thread
        });
    }
    // SAFETY: null, or this thread's state.
    let Some(thread) = (unsafe { thread.as_ref() }) else {
        process.recording.lose(Loss::NoMemory, 1);
        return;
    };
    // SAFETY: `entry` is readable, as the caller promises; the state is this thread's.
    unsafe {
        let frames = if verify::is_on() {
            verify::walk(process, entry, bp)
        } else {
            if thread.stack_len == 0 {
                thread.find_stack(entry as usize);
            }
            careful_walk(entry, bp)
        };
        count(thread, frames, size, block);
    }
}

/// Counts an allocation of the site.
///
/// # Safety
/// The state is the calling thread's.
#[inline]
unsafe fn count(thread: &Thread, frames: Frames, size: u64, _block: *mut c_void) {
    // SAFETY: the table is this thread's, and so are the records that it finds.
    unsafe {
        let mut record = (*thread.sites.get()).find(frames, size);
        if record.is_null() {
            match new_site(thread, frames, size) {
                Some(new) => record = new,
                None => return,
            }
        }
        arch::increment_count(record);
    }
}

/// Makes the record of a site; where there is none to be had, counts the loss of an allocation.
#[cold]
#[inline(never)]
fn new_site(thread: &Thread, frames: Frames, size: u64) -> Option<*mut SiteRecord> {
    let process = process::process()?;
    let made = cold_section(|| {
        // SAFETY: the table is this thread's, signals are blocked, and nobody else uses it.
        unsafe { (*thread.sites.get()).insert(process, thread.number, frames, size) }
    });
    if let Some(Ok(record)) = made {
        return Some(record);
    }
    let why = if confined::is_strict() {
        Loss::Confined
    } else {
        Loss::RecordingFull
    };
    process.recording.lose(why, 1);
    None
}

// Where the assembly of the hot path finds the fields.
pub(crate) const OFFSET_STACK_LO: usize = offset_of!(Thread, stack_lo);
pub(crate) const OFFSET_STACK_LEN: usize = offset_of!(Thread, stack_len);
pub(crate) const OFFSET_STACK_HI: usize = offset_of!(Thread, stack_hi);
pub(crate) const OFFSET_STACK_HI_16: usize = offset_of!(Thread, stack_hi_16);
pub(crate) const OFFSET_INDEX: usize = offset_of!(Thread, sites) + Table::OFFSET_INDEX;
pub(crate) const OFFSET_INDEX_MASK: usize = offset_of!(Thread, sites) + Table::OFFSET_MASK;

/// Runs `f` with all signals blocked, the hooks of this thread passing through and errno restored;
/// a panic ends here and is counted. `None` after a panic, and where no signal can be blocked
/// ([`confined`])
pub(crate) fn cold_section<T>(f: impl FnOnce() -> T) -> Option<T> {
    if confined::is_strict() {
        return None;
    }
    let errno = sys::errno();
    let mask = sys::block_signals();
    let word = arch::thread_word();
    arch::set_thread_word(BUSY);
    let result = lifecycle::shielded(f);
    arch::set_thread_word(word);
    sys::restore_signals(mask);
    sys::set_errno(errno);
    result
}

/// Gives the calling thread a state until the guard is dropped, without the hooks' help.
#[cfg(test)]
pub(crate) fn state_for_tests(process: &process::Process) -> impl Drop {
    struct Guard(&'static Thread);
    impl Drop for Guard {
        fn drop(&mut self) {
            arch::set_thread_word(0);
            self.0.owner.store(0, Release);
        }
    }
    let state = cold_section(|| process.threads.acquire())
        .flatten()
        .unwrap();
    // SAFETY: the state is this thread's.
    unsafe { state.find_stack((&raw const state) as usize) };
    arch::set_thread_word(ptr::from_ref(state) as usize);
    Guard(state)
}

/// All states of the process's threads. All zeros is an empty pool.
#[repr(C)]
pub(crate) struct Pool {
    first: AtomicPtr<Thread>,
    /// States made so far.
    made: AtomicU32,
}

/// States made at once.
const SLAB: usize = 32;

impl Pool {
    fn states(&self) -> impl Iterator<Item = &'static Thread> {
        let mut next: *const Thread = self.first.load(Acquire);
        core::iter::from_fn(move || {
            // SAFETY: null, or a state of a slab that is never unmapped; `next` was set before the
            // slab was linked in.
            let thread = unsafe { next.as_ref() }?;
            next = thread.next;
            Some(thread)
        })
    }

    /// A state for the calling thread. Cold section.
    fn acquire(&self) -> Option<&'static Thread> {
        let tid = sys::tid();
        let take = |free: &'static Thread, was| {
            free.owner
                .compare_exchange(was, tid, AcqRel, Relaxed)
                .is_ok()
                .then_some(free)
        };
        let free = || {
            self.states()
                .find_map(|t| (t.owner.load(Relaxed) == 0).then(|| take(t, 0)).flatten())
        };
        // Threads that allocated after their last destructor did not give theirs back.
        let dead = || {
            self.states().find_map(|t| {
                let owner = t.owner.load(Relaxed);
                (owner == tid || sys::is_dead(owner))
                    .then(|| take(t, owner))
                    .flatten()
            })
        };
        let thread = free().or_else(dead).or_else(|| {
            self.add_slab()?;
            free()
        })?;
        // SAFETY: taking the ownership made the state this thread's.
        unsafe { thread.begin() }
    }

    #[cold]
    fn add_slab(&self) -> Option<()> {
        let slab: *mut Thread = sys::map_wiped_on_fork(SLAB * size_of::<Thread>()).cast();
        if slab.is_null() {
            return None;
        }
        let last = slab.wrapping_add(SLAB - 1);
        let first = self.made.fetch_add(SLAB as u32, Relaxed);
        for i in 0..SLAB {
            // SAFETY: within the fresh slab.
            unsafe { (*slab.add(i)).number = first + i as u32 + 1 };
        }
        for i in 0..SLAB - 1 {
            // SAFETY: within the fresh slab.
            unsafe { (*slab.add(i)).next = slab.add(i + 1) };
        }
        let mut head = self.first.load(Relaxed);
        loop {
            // SAFETY: within the fresh slab.
            unsafe { (*last).next = head };
            match self.first.compare_exchange(head, slab, Release, Relaxed) {
                Ok(_) => return Some(()),
                Err(now) => head = now,
            }
        }
    }
}

impl Thread {
    /// # Safety
    /// The calling thread owns the state.
    unsafe fn forget_stack(&self) {
        let this = ptr::from_ref(self).cast_mut();
        // SAFETY: as the caller promises.
        unsafe { (*this).stack_len = 0 };
    }

    /// Finds the bounds of the thread's stack, if `sp` is on it. (A thread's first allocation may
    /// be on another one.)
    ///
    /// # Safety
    /// The calling thread owns the state.
    unsafe fn find_stack(&self, sp: usize) {
        let this = ptr::from_ref(self).cast_mut();
        if let Some(bounds) = stack::own_bounds(sp) {
            // SAFETY: as the caller promises. The length comes last: it is what lets the hot path
            // use the others, should a signal handler come in between.
            unsafe {
                (*this).stack_lo = bounds.lo;
                (*this).stack_hi = bounds.hi;
                (*this).stack_hi_16 = bounds.hi - 16;
                (&raw mut (*this).stack_len).write_volatile(bounds.hi - bounds.lo);
            }
        }
    }

    /// Prepares the state for the calling thread.
    ///
    /// # Safety
    /// The calling thread owns the state.
    unsafe fn begin(&'static self) -> Option<&'static Self> {
        // SAFETY: nobody but the owner reads these fields.
        unsafe {
            self.forget_stack();
            if (*self.sites.get()).begin().is_err() {
                self.owner.store(0, Release);
                return None;
            }
        }
        lifecycle::announce_thread(ptr::from_ref(self).cast());
        Some(self)
    }
}

/// Gives a thread's state back: the destructor of the pthread key, called with the state's address.
///
/// The state of a forked parent's thread reads as zeros and is not the thread's word any more.
pub(crate) unsafe extern "C" fn release(state: *mut c_void) {
    if arch::thread_word() == state as usize
        && let Some(process) = process::process()
        && let Some(thread) = process
            .threads
            .states()
            .find(|t| ptr::eq(ptr::from_ref(*t), state.cast()))
    {
        arch::set_thread_word(0);
        thread.owner.store(0, Release);
    }
}
