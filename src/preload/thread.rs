//! What each thread has of its own, and the way of an allocation from the hook to its site.
//!
//! The thread's TLS word is 0 (nothing yet), [`BUSY`] (nothing to record now) or the address of
//! its [`Thread`]. Threads lie in memory that reads as zeros in a child of fork, so that the check
//! of the stack's bounds, which each allocation makes anyway, sends the child's first allocation to
//! the cold path.
//!
//! [`record_rest`] may run at any moment.

use crate::ended::{Ended, Label};
use crate::heap::SpinLock;
use crate::live::LiveThread;
use crate::names::Name;
use crate::process;
use crate::process::Process;
use crate::recording::Full;
use crate::sample::Sampler;
use crate::sites::Table;
use crate::unwind::{Frames, careful_walk, walk};
use crate::{
    arch, c_library, confined, control, deep, lifecycle, live, names, patch, sample, stack, sys,
    unwind, verify,
};
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
use skipheap_format::layout::{SiteRecord, THREAD_NUMBERED, THREAD_STARTED, ThreadRecord};
use skipheap_format::loss::Loss;

/// TLS word of a thread that is in a cold section: allocations meanwhile are the library's own
/// doing (through the C library) and are passed on without a look. So are those of a program that
/// is left out, whose threads keep this word.
pub(crate) const BUSY: usize = 1;

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
    live: UnsafeCell<LiveThread>,
    sampler: UnsafeCell<Sampler>,
    /// What the recording says of the state; null when there was no room.
    record: *mut ThreadRecord,
    /// What the thread's calls are reported under. Changes under the lock of [`Pool::ended`].
    label: UnsafeCell<Label>,
    /// The C library's handle of the thread.
    handle: AtomicUsize,
    next: *const Thread,
    /// Where whole stacks are recorded; the bounds of the stack are in there then, and not above.
    last_stack: *mut deep::Last,
}

/// Records one allocation of `size` bytes (with the function's index above, see
/// [`skipheap_format::layout::SIZE_BITS`]), where [`crate::hot`] does not. Hands `block` through,
/// which the hook returns.
///
/// # Safety
/// `entry` points at the return address of the call being recorded, `bp` is the caller's rbp.
pub(crate) unsafe extern "C-unwind" fn record_rest(
    size: u64,
    entry: *const u64,
    bp: u64,
    block: *mut c_void,
) -> *mut c_void {
    if control::is_stopped() {
        return block;
    }
    // SAFETY: as the caller promises; of the state, see below.
    unsafe {
        if live::regions::is_on() && patch::leaves_out(size) {
            return live::regions::page_rest(size, entry, bp, block);
        }
        if deep::is_on() {
            return deep::record_call(size, entry, bp, block);
        }
        let word = arch::thread_word();
        if word > BUSY && !sample::is_on() {
            // The word is the address of this thread's state, and the table is this thread's.
            // `entry` lies in the thread's own stack, which is readable from there to its end.
            let thread = &*(word as *const Thread);
            if (entry as usize).wrapping_sub(thread.stack_lo) < thread.stack_len {
                let frames = walk::walk(entry, bp, thread.stack_hi as u64);
                count(thread, frames, size, block);
                return block;
            }
        }
        record_elsewhere(size, entry, bp, block);
    }
    block
}

/// The first allocation of a thread or of a child of fork, and those on foreign stacks.
///
/// # Safety
/// As [`record_rest`].
#[cold]
#[inline(never)]
pub(crate) unsafe fn record_elsewhere(size: u64, entry: *const u64, bp: u64, block: *mut c_void) {
    let word = arch::thread_word();
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
    let mut thread = own().filter(|_| process.is_ready());
    if confined::is_confined() && thread.is_none() {
        if process.is_ready() {
            process.recording.lose(Loss::Confined, 1);
        }
        return;
    }
    if thread.is_none() {
        thread = new_state(process);
    }
    let Some(thread) = thread else {
        process.recording.lose(Loss::NoMemory, 1);
        return;
    };
    // SAFETY: `entry` is readable, as the caller promises; the state is this thread's.
    unsafe {
        if sample::is_on() && !(*thread.sampler.get()).takes(size) {
            live::pass(thread, size);
            return;
        }
        if deep::is_on() {
            deep::record_rest(thread, size, entry, bp, block);
            return;
        }
        let frames = if verify::is_on() {
            verify::walk(process, entry, bp)
        } else {
            // Where only a sample is recorded, each allocation leaves the hot path at its first test.
            if thread.stack_len == 0 && !sample::is_on() {
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
/// The state is the calling thread's, and `block` is what the allocation gave.
#[inline]
unsafe fn count(thread: &Thread, frames: Frames, size: u64, block: *mut c_void) {
    // SAFETY: the table is this thread's, and so are the records that it finds.
    unsafe {
        let mut record = (*thread.sites.get()).find(frames, size);
        if record.is_null() {
            let Some(process) = process::process() else {
                return;
            };
            match new_site(thread, process, frames, size) {
                Ok(new) => record = new,
                Err(why) => {
                    process.recording.lose(why, 1);
                    return;
                }
            }
        }
        count_at(thread, record, block);
    }
}

/// Counts an allocation of the site whose record this is.
///
/// # Safety
/// The state is the calling thread's, and the record one of its table; `block` is what the allocation gave.
#[inline(always)]
pub(crate) unsafe fn count_at(thread: &Thread, record: *mut SiteRecord, block: *mut c_void) {
    // SAFETY: as the caller promises.
    unsafe {
        if live::is_on() {
            live::born(thread, record, block);
        } else {
            arch::increment_count(record);
        }
    }
}

/// Makes the record of a site, in a cold section where the table has no room for it. Error: what is
/// lost where there is none to be had.
#[cold]
#[inline(never)]
fn new_site(
    thread: &Thread,
    process: &Process,
    frames: Frames,
    size: u64,
) -> Result<*mut SiteRecord, Loss> {
    // SAFETY: the table is this thread's.
    match unsafe { Table::add(thread.sites.get(), thread.number, frames, size) } {
        Some(record) => Ok(record),
        None => new_site_with_room(thread, process, frames, size),
    }
}

/// Makes the record of a site in a cold section, which first makes room for it.
#[cold]
#[inline(never)]
fn new_site_with_room(
    thread: &Thread,
    process: &Process,
    frames: Frames,
    size: u64,
) -> Result<*mut SiteRecord, Loss> {
    let insert = || {
        // SAFETY: the table is this thread's, signals are blocked, and nobody else uses it.
        unsafe { (*thread.sites.get()).insert(process, thread.number, frames, size) }
    };
    // The orphan's records are made in the midst of a cold section.
    let made = if arch::thread_word() == BUSY {
        Some(insert())
    } else {
        cold_section(insert)
    };
    made.ok_or_else(why_not_cold)?.map_err(Full::loss)
}

/// What is lost where no cold section can be entered.
pub(crate) fn why_not_cold() -> Loss {
    if confined::is_strict() {
        Loss::Confined
    } else {
        Loss::NoMemory
    }
}

/// The thread's record of a site, which is made where there is none.
///
/// # Safety
/// The state is the calling thread's, or the orphan's for the moment.
pub(crate) unsafe fn record_of(
    thread: &Thread,
    process: &Process,
    frames: Frames,
    size: u64,
) -> Option<*mut SiteRecord> {
    // SAFETY: as the caller promises.
    let record = unsafe { (*thread.sites.get()).find_known(frames, size) };
    if record.is_null() {
        new_site(thread, process, frames, size).ok()
    } else {
        Some(record)
    }
}

/// The calling thread's state, if it has one and is in no cold section.
#[inline(always)]
pub(crate) fn own() -> Option<&'static Thread> {
    own_or_parents().filter(|thread| thread.number != 0)
}

/// The calling thread's state, if it has one and is in no cold section. In a child of fork it may be that of
/// its parent's thread: all zeros, and nobody's.
#[inline(always)]
pub(crate) fn own_or_parents() -> Option<&'static Thread> {
    let word = arch::thread_word();
    // SAFETY: another value is the address of a state, which is never unmapped.
    (word > BUSY).then(|| unsafe { &*(word as *const Thread) })
}

/// The calling thread's state, which it gets now if it has none and is to have one.
pub(crate) fn own_or_new() -> Option<&'static Thread> {
    let process = || process::process().filter(|process| process.is_ready());
    own().filter(|_| process().is_some()).or_else(|| {
        let is_out =
            arch::thread_word() == BUSY || !lifecycle::is_recording() || confined::is_confined();
        if is_out {
            None
        } else {
            new_state(process::process()?)
        }
    })
}

/// Gives the calling thread a state.
#[cold]
fn new_state(process: &'static Process) -> Option<&'static Thread> {
    let thread = cold_section(|| {
        process.begin();
        process.threads.acquire(process)
    })
    .flatten()?;
    arch::set_thread_word(ptr::from_ref(thread) as usize);
    Some(thread)
}

/// Counts that a thread without a state has freed a block that was not followed.
#[cold]
pub(crate) fn unknown_free() {
    // What a cold section frees is not the program's.
    if arch::thread_word() != BUSY
        && let Some(process) = process::process()
    {
        process.threads.unknown_frees.fetch_add(1, Relaxed);
    }
}

/// Runs `f` with the state that belongs to no thread: for frees by threads that have none, since they
/// did not allocate yet, or are at their end. `f` runs in a cold section.
#[cold]
#[inline(never)]
pub(crate) fn with_orphan(process: &Process, f: impl FnOnce(&Thread)) {
    let done = if confined::is_confined() {
        None
    } else {
        cold_section(|| {
            let _guard = process.threads.orphan_lock.lock();
            let orphan = process.threads.orphan(process)?;
            f(orphan);
            Some(())
        })
        .flatten()
    };
    if done.is_none() {
        process.recording.lose(Loss::NotFollowed, 1);
    }
}

// Where the assembly of the hot path finds the fields.
pub(crate) const OFFSET_STACK_LO: usize = offset_of!(Thread, stack_lo);
pub(crate) const OFFSET_STACK_LEN: usize = offset_of!(Thread, stack_len);
pub(crate) const OFFSET_STACK_HI: usize = offset_of!(Thread, stack_hi);
pub(crate) const OFFSET_STACK_HI_16: usize = offset_of!(Thread, stack_hi_16);
pub(crate) const OFFSET_LAST_STACK: usize = offset_of!(Thread, last_stack);
pub(crate) const OFFSET_COUNTDOWN: usize =
    offset_of!(Thread, sampler) + offset_of!(Sampler, countdown);
pub(crate) const OFFSET_LIVE: usize = offset_of!(Thread, live);
pub(crate) const OFFSET_CLOCK: usize = offset_of!(Thread, live) + LiveThread::OFFSET_CLOCK;
pub(crate) const OFFSET_HOOKED_CALLS: usize =
    offset_of!(Thread, live) + LiveThread::OFFSET_HOOKED_CALLS;
pub(crate) const OFFSET_GENERATION: usize =
    offset_of!(Thread, live) + LiveThread::OFFSET_GENERATION;
pub(crate) const OFFSET_LAST_OBJECT: usize =
    offset_of!(Thread, live) + LiveThread::OFFSET_LAST_OBJECT;
pub(crate) const OFFSET_INDEX: usize = offset_of!(Thread, sites) + Table::OFFSET_INDEX;

/// Runs `f` with all signals blocked, the hooks of this thread passing through, errno and the state of
/// floating-point numbers restored; a panic ends here and is counted. `None` after a panic, and where no signal can be blocked
/// ([`confined`]).
pub(crate) fn cold_section<T>(f: impl FnOnce() -> T) -> Option<T> {
    if confined::is_strict() {
        return None;
    }
    let errno = sys::errno();
    // Files are opened and read, where a thread that is to be cancelled would end: with locks held.
    let cancellation = sys::disable_cancellation();
    let mask = sys::block_signals();
    let floats = arch::plain_floats();
    let word = arch::thread_word();
    arch::set_thread_word(BUSY);
    let result = lifecycle::shielded(f);
    arch::set_thread_word(word);
    arch::restore_floats(floats);
    sys::restore_signals(mask);
    sys::restore_cancellation(cancellation);
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
    let state = cold_section(|| process.threads.acquire(process))
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
    orphan_lock: SpinLock,
    /// Null, or a state of the pool.
    orphan: AtomicPtr<Thread>,
    /// Frees of blocks that were not followed, by threads without a state.
    unknown_frees: AtomicU64,
    /// What threads have counted that are no more.
    pub(crate) ended: Ended,
    /// The first name of the main thread and its last one, which threads inherit.
    main_names: [[AtomicU64; 2]; 2],
}

/// Keeps a name, word by word.
fn store_name(slot: &[AtomicU64; 2], name: Name) {
    let (words, _) = name.as_chunks::<8>();
    for (slot, word) in slot.iter().zip(words) {
        slot.store(u64::from_ne_bytes(*word), Relaxed);
    }
}

/// Owner of the orphan: no thread has this id, and it is never found dead.
const NOBODY: u32 = u32::MAX;

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
    fn acquire(&self, process: &Process) -> Option<&'static Thread> {
        let thread = self.take(process, sys::tid())?;
        lifecycle::announce_thread(ptr::from_ref(thread).cast());
        Some(thread)
    }

    /// The state that belongs to no thread. Cold section, with its lock held.
    fn orphan(&self, process: &Process) -> Option<&'static Thread> {
        // SAFETY: null, or a state of a slab that is never unmapped.
        let known = unsafe { self.orphan.load(Relaxed).as_ref() };
        known.or_else(|| {
            let orphan = self.take(process, NOBODY)?;
            self.orphan.store(ptr::from_ref(orphan).cast_mut(), Relaxed);
            Some(orphan)
        })
    }

    /// The state of this number, if it was used. A slab's states have numbers in a row.
    pub(crate) fn by_number(&self, number: u32) -> Option<&'static Thread> {
        let mut slab: *const Thread = self.first.load(Acquire);
        while !slab.is_null() {
            // SAFETY: a slab that is linked in is never unmapped, and these fields do not change any more.
            unsafe {
                let at = number.wrapping_sub((*slab).number) as usize;
                if at < SLAB {
                    return slab.add(at).as_ref();
                }
                slab = (*slab.add(SLAB - 1)).next;
            }
        }
        None
    }

    /// What all threads have counted of the live heap.
    pub(crate) fn live_sums(&self) -> live::Sums {
        let mut sums = live::Sums {
            unknown_frees: self.unknown_frees.load(Relaxed),
            ..live::Sums::default()
        };
        for thread in self.states() {
            // SAFETY: states are never unmapped.
            unsafe { LiveThread::add_to(thread.live.get(), &mut sums) };
        }
        sums
    }

    /// Writes the names that running threads have now, which may have changed unseen. Cold section.
    pub(crate) fn name_all(&self) {
        for thread in self.states() {
            let tid = thread.owner.load(Relaxed);
            if tid != 0 && tid != NOBODY {
                let name = sys::name_of_thread(tid);
                let _guard = self.ended.lock();
                if thread.owner.load(Relaxed) == tid {
                    thread.note_name(name);
                }
            }
        }
    }

    /// Starts in a process that has just begun. Cold section.
    pub(crate) fn begin(&self, pid: u32) {
        let name = if sys::tid() == pid {
            sys::own_name()
        } else {
            sys::name_of_thread(pid)
        };
        for slot in &self.main_names {
            store_name(slot, name);
        }
    }

    /// If it is the main thread that has this name now, others may inherit it.
    pub(crate) fn note_main_name(&self, thread: &Thread, name: Name) {
        if thread.owner.load(Relaxed) == sys::pid()
            && let Some(last) = self.main_names.last()
        {
            store_name(last, name);
        }
    }

    /// Returns whether this is a name that the main thread has or had at the start.
    pub(crate) fn is_name_of_main(&self, name: Name) -> bool {
        self.main_names.iter().any(|slot| {
            let words = [0, 1].map(|i: usize| slot[i].load(Relaxed).to_ne_bytes());
            words.as_flattened() == name
        })
    }

    /// The state of the running thread with this handle of the C library.
    pub(crate) fn by_handle(&self, handle: usize) -> Option<&'static Thread> {
        self.states().find(|thread| {
            let owner = thread.owner.load(Acquire);
            owner != 0 && owner != NOBODY && thread.handle.load(Relaxed) == handle
        })
    }

    fn take(&self, process: &Process, tid: u32) -> Option<&'static Thread> {
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
        unsafe { thread.begin(process, tid) }
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
    /// The last stack that the thread walked; null where four frames are recorded, and in a child of fork that goes
    /// on with its parent's state.
    #[inline(always)]
    pub(crate) fn last_stack(&self) -> *mut deep::Last {
        // SAFETY: a field of our own; volatile, since a fork in a signal handler clears it.
        unsafe { (&raw const self.last_stack).read_volatile() }
    }

    /// The thread's table.
    #[inline(always)]
    pub(crate) fn sites(&self) -> *mut Table {
        self.sites.get()
    }

    /// Has a last stack ready where whole ones are recorded; `None` when there is no memory for it.
    ///
    /// # Safety
    /// The calling thread owns the state.
    unsafe fn begin_last_stack(&self) -> Option<()> {
        if !deep::is_on() {
            return Some(());
        }
        // SAFETY: as the caller promises.
        unsafe {
            let place = (&raw const self.last_stack).cast_mut();
            if (*place).is_null() {
                *place = deep::Last::map();
            }
            deep::Last::begin((*place).as_mut()?);
        }
        Some(())
    }

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
    unsafe fn begin(&'static self, process: &Process, tid: u32) -> Option<&'static Self> {
        // SAFETY: nobody but the owner reads these fields.
        unsafe {
            self.forget_stack();
            if (*self.sites.get()).begin().is_err() || self.begin_last_stack().is_none() {
                self.owner.store(0, Release);
                return None;
            }
            let this = ptr::from_ref(self).cast_mut();
            (*self.live.get()).begin();
            let is_new = self.record.is_null();
            if is_new {
                process.total.add_thread();
            }
            let is_orphan = tid == NOBODY;
            let label = if is_orphan {
                Label::named(*b"(exiting threads")
            } else {
                let is_main = tid == process.pid.load(Relaxed);
                names::at_start(process, self, sys::own_name(), is_main)
            };
            let handle = if is_orphan { 0 } else { arch::thread_pointer() };
            let _guard = process.threads.ended.lock();
            // Of a thread that ended without giving its state back.
            process
                .threads
                .ended
                .take(process, &*self.sites.get(), self.label());
            if is_new {
                (*this).record = process.recording.add_thread(self.number, label);
            }
            if let Some(record) = self.record.as_mut() {
                record.tid = if is_orphan { 0 } else { tid };
            }
            self.set_label(label);
            self.handle.store(handle, Relaxed);
        }
        Some(self)
    }

    /// What tells the calling thread, which has no name of its own, apart. Cold section.
    pub(crate) fn without_name(&self, process: &Process, name: Name) -> Label {
        let starts = c_library::start_functions(arch::thread_pointer())
            .into_iter()
            .flatten();
        let start = starts
            .filter_map(|start| unwind::function(process, start))
            .next();
        Label {
            name,
            start: start.unwrap_or(self.number),
            how: if start.is_some() {
                THREAD_STARTED
            } else {
                THREAD_NUMBERED
            },
        }
    }

    /// What the thread's calls are reported under.
    pub(crate) fn label(&self) -> Label {
        // SAFETY: it changes under the lock of `Pool::ended`, which the caller holds.
        unsafe { *self.label.get() }
    }

    /// Has the thread's calls reported under a label, those in its table included. With the lock of
    /// [`Pool::ended`] held.
    pub(crate) fn set_label(&self, label: Label) {
        // SAFETY: the caller holds the lock under which the label changes. The record is null or one of this process's recording, which
        // is never unmapped; a reader may see a part of the old name and a part of the new one.
        unsafe {
            *self.label.get() = label;
            if let Some(record) = self.record.as_mut() {
                record.name = label.name;
                record.start = label.start;
                record.how = label.how;
            }
        }
    }

    /// The thread has this name, however it got it. With the lock of [`Pool::ended`] held.
    fn note_name(&self, name: Name) {
        let label = self.label();
        if label.how != 0 && label.name != name && name[0] != 0 {
            self.set_label(Label::named(name));
        }
    }

    /// What the state has for the live heap.
    #[inline(always)]
    pub(crate) fn live(&self) -> *mut LiveThread {
        self.live.get()
    }

    /// What the recording knows the state by.
    #[inline(always)]
    pub(crate) fn number(&self) -> u32 {
        self.number
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
        let give_back = || {
            arch::set_thread_word(0);
            thread.owner.store(0, Release);
        };
        if confined::is_confined() {
            // A filter may kill for any call.
            give_back();
            return;
        }
        let errno = sys::errno();
        // A handler that allocates between these steps would take the same state again.
        let mask = sys::block_signals();
        let moved = cold_section(|| {
            // A point of the timeline may be due: others are not to wait for that.
            // SAFETY: the state is the calling thread's, and signals are blocked.
            unsafe { live::end_thread(process, thread) };
            let ended = &process.threads.ended;
            let _guard = ended.lock();
            thread.note_name(sys::own_name());
            // SAFETY: the table is the calling thread's, and signals are blocked.
            unsafe { ended.take(process, &*thread.sites(), thread.label()) };
            thread.set_label(Label::NONE);
        });
        if moved.is_some() {
            give_back();
        } else {
            // The state stays this thread's, with its name.
            arch::set_thread_word(0);
        }
        sys::restore_signals(mask);
        sys::set_errno(errno);
    }
}
