//! What an allocation and a free change in the records of their site.
//!
//! A record has one writer, but a signal handler of the same thread may interrupt it anywhere. Each
//! counter therefore changes in a single instruction. A handler in between can only affect whether
//! a few blocks count towards a peak.
//!
//! This handles any block; [`super::quick`] handles most.
//!
//! May run at any moment.

use super::numbers::Numbers;
use super::shadow::{BLOCKS, CUSTOM, Shadow};
use super::{LiveThread, chunk, clock, grown, is_followed, regions};
use crate::process::{self, Process};
use crate::thread::{self, Thread};
use crate::unwind::Frames;
use crate::{arch, sample};
use core::ffi::c_void;
use core::mem::offset_of;
use core::sync::atomic::{Ordering::SeqCst, compiler_fence};
use skipheap_format::layout::*;
use skipheap_format::loss::Loss;

/// The live record that follows a site's record.
#[inline(always)]
pub(super) fn behind(record: *mut SiteRecord) -> *mut LiveRecord {
    record.wrapping_add(1).cast()
}

/// Converts an offset in a [`LiveRecord`] to an offset from its site's record.
pub(super) const fn in_record(offset: usize) -> usize {
    size_of::<SiteRecord>() + offset
}

/// Saves a site's share of a peak before the first change after it. Returns false and saves nothing
/// if the site's calls are nested and therefore not counted.
///
/// # Safety
/// The calling thread counts in the record.
#[inline(always)]
pub(super) unsafe fn keep_share(record: *mut SiteRecord, epoch: u32) -> bool {
    let live = behind(record);
    // SAFETY: as the caller promises.
    unsafe {
        if (*live).epoch != epoch {
            if (*live).epoch == NESTED_EPOCH {
                return false;
            }
            (*live).at_peak = (*record).count.wrapping_sub((*live).frees) as i64;
            (*live).epoch = epoch;
        }
    }
    true
}

/// Returns whether the calls of a site are nested: its blocks are tracked but not counted.
///
/// # Safety
/// The record is one of this process's recording.
#[inline(always)]
pub(super) unsafe fn is_nested(record: *mut SiteRecord) -> bool {
    // SAFETY: the record is mapped, as the caller promises, and its thread never changes.
    unsafe { (*behind(record)).thread == NESTED_THREAD }
}

/// Returns the shadow entry of a block of this site, without the number of the allocation. Returns
/// `None` if the record does not belong to this process: a child that a handler forked continues
/// with its parent's record, and finds zeros there.
///
/// # Safety
/// The calling thread counts in the record.
#[inline(always)]
pub(super) unsafe fn entry_of(record: *mut SiteRecord) -> Option<u64> {
    // SAFETY: the record is mapped, since the caller counts in it. A number never changes.
    let number = unsafe { (&raw const (*behind(record)).number).read_volatile() };
    (number != 0).then_some(u64::from(number) << clock::NUMBER_BITS)
}

/// Counts an allocation of the site, tracks its block and returns the block.
///
/// # Safety
/// The state and the record are the calling thread's, and `block` is what the allocation returned.
#[inline(never)]
pub(super) unsafe fn born(
    thread: &Thread,
    record: *mut SiteRecord,
    block: *mut c_void,
) -> *mut c_void {
    let Some(process) = process::process() else {
        return block;
    };
    // SAFETY: as the caller promises; see the top of the file for signal handlers.
    unsafe {
        let size = (*record).size;
        if is_nested(record) {
            return born_nested(thread, process, record, block);
        }
        pass(thread, size);
        if !is_followed(size) {
            if regions::has(size) {
                regions::on_call(thread, process, record);
            }
            arch::increment_count(record);
            return block;
        }
        keep_share(record, process.total.epoch());
        arch::increment_count(record);
        let bytes = size & ((1 << SIZE_BITS) - 1);
        let (table, usable) = table_of(size, block);
        // The usable size is 0 if it is not known.
        arch::add_at::<{ offset_of!(LiveRecord, slack) }, _>(
            behind(record),
            usable.saturating_sub(bytes),
        );
        let live = thread.live();
        grown::count(&mut *live, block, record);
        let number = clock::number_of((*live).clock);
        let base = process.recording.base();
        let Some(site) = entry_of(record) else {
            return block;
        };
        let entry = table.put(block as usize, usable, site | number);
        if process.recording.base() != base {
            return born_before_fork(table, block);
        }
        match entry {
            None => {
                // The block must not look like one that is never freed.
                arch::increment_at::<{ offset_of!(LiveRecord, frees) }, _>(behind(record));
                process.recording.lose(Loss::NotFollowed, 1);
                return block;
            }
            Some(0) => {}
            Some(entry) => {
                count_free(Taken { entry, base });
            }
        }
        arch::add_at::<{ LiveThread::OFFSET_BYTES }, _>(live, sample::weight(bytes));
        arch::increment_at::<{ LiveThread::OFFSET_BLOCKS }, _>(live);
        after_birth(thread, process, block, number)
    }
}

/// The table for a block that a function returned, and the block's usable bytes if they are known.
///
/// # Safety
/// The block is the caller's, and the function, which stands above `size`, has given it.
#[inline(always)]
unsafe fn table_of(size: u64, block: *mut c_void) -> (&'static Shadow, u64) {
    match size >> SIZE_BITS {
        // The layout of the program's own blocks is not known.
        CUSTOM_FUNCTION => (&CUSTOM, 0),
        // SAFETY: as the caller promises.
        function => (&BLOCKS, unsafe { chunk::usable(block, function) }),
    }
}

/// Counts a nested call in its site's record, which readers leave out, tracks its block and returns
/// the block. The leak check can then search it, and its free is not that of an unknown block.
///
/// # Safety
/// As [`born`], of a site whose calls are nested.
#[inline(never)]
unsafe fn born_nested(
    thread: &Thread,
    process: &Process,
    record: *mut SiteRecord,
    block: *mut c_void,
) -> *mut c_void {
    // SAFETY: as the caller promises.
    unsafe {
        arch::increment_count(record);
        let size = (*record).size;
        if sample::is_on() {
            // No stack is walked for those that are not taken, so nested ones are among them.
            pass(thread, size);
        }
        if !is_followed(size) {
            return block;
        }
        let live = thread.live();
        grown::count(&mut *live, block, record);
        let base = process.recording.base();
        let Some(site) = entry_of(record) else {
            return block;
        };
        let (table, usable) = table_of(size, block);
        let entry = table.put(
            block as usize,
            usable,
            site | clock::number_of((*live).clock),
        );
        if process.recording.base() != base {
            return born_before_fork(table, block);
        }
        if let Some(entry) = entry.filter(|&entry| entry != 0) {
            count_free(Taken { entry, base });
        }
        block
    }
}

/// Called in a child that a signal handler forked while the allocation was being counted: the
/// block's entry is its parent's. Returns the block.
#[cold]
#[inline(never)]
pub(super) fn born_before_fork(table: &Shadow, block: *mut c_void) -> *mut c_void {
    table.take(block as usize);
    block
}

/// Does what is due from time to time, after allocation `number` of the thread. Returns the block.
///
/// # Safety
/// The state is the calling thread's.
#[inline(never)]
pub(super) unsafe fn after_birth(
    thread: &Thread,
    process: &Process,
    block: *mut c_void,
    number: u64,
) -> *mut c_void {
    // SAFETY: as the caller promises; a child of a handler that forked finds no stamps.
    unsafe {
        let live = &mut *thread.live();
        let is_timed = clock::is_timed(number);
        let is_due = process.total.is_due_with_more(live)
            || is_timed && process.total.is_due_in_time(live, number);
        let is_stamped = is_timed || sample::is_on();
        if !is_due && !is_stamped {
            return block;
        }
        let now = clock::ticks();
        if is_due {
            process.total.hand_in(live, process, now);
        }
        if is_stamped && let Some(now) = now {
            if let Some(stamps) = live.stamps.as_ref() {
                if sample::is_on() {
                    stamps.catch_up(number, now);
                }
                if is_timed {
                    stamps.set(number, now);
                }
            }
            if process.timeline.is_due(now) {
                process.timeline.tick(process, now, 0);
            } else {
                process.timeline.see(now);
            }
        }
        block
    }
}

/// Advances the thread's clock by one allocation, or counts a call of a hooked function.
///
/// # Safety
/// The state is the calling thread's.
#[inline(always)]
pub(crate) unsafe fn pass(thread: &Thread, size: u64) {
    let live = thread.live();
    // SAFETY: as the caller promises.
    unsafe {
        if is_followed(size) {
            arch::increment_at::<{ LiveThread::OFFSET_CLOCK }, _>(live);
        } else {
            arch::increment_at::<{ LiveThread::OFFSET_HOOKED_CALLS }, _>(live);
        }
    }
}

/// Takes a block that is about to be freed, or was freed, from its table and counts the free.
/// Returns the size of the block if it was tracked.
///
/// # Safety
/// The block is the caller's to free.
#[inline(always)]
pub(super) unsafe fn died(block: *mut c_void) -> Option<u64> {
    // SAFETY: as the caller promises.
    unsafe { died_in(&BLOCKS, block) }
}

/// # Safety
/// As [`died`].
#[inline(always)]
unsafe fn died_in(shadow: &Shadow, block: *mut c_void) -> Option<u64> {
    // SAFETY: as the caller promises.
    unsafe { count_free(take_from(shadow, block)) }
}

/// The table entry that was taken for a block.
#[derive(Clone, Copy)]
pub(super) struct Taken {
    /// 0: nothing.
    entry: u64,
    /// The address of the process's recording. A child that a handler forks continues with the
    /// entry that its parent took, but has another recording.
    base: *mut u8,
}

impl Taken {
    /// Of no block.
    pub(super) const NOTHING: Self = Self {
        entry: 0,
        base: core::ptr::null_mut(),
    };

    pub(super) fn new(entry: u64, base: *mut u8) -> Self {
        Self { entry, base }
    }

    /// The number of its allocation.
    #[inline(always)]
    pub(super) fn number(self) -> u64 {
        clock::number_of(self.entry)
    }

    /// Returns whether the block was tracked.
    pub(super) fn is_known(self) -> bool {
        self.entry != 0
    }

    /// Returns whether this is still the process that it was taken in.
    #[inline(always)]
    pub(super) fn is_of(self, process: &Process) -> bool {
        !self.base.is_null() && process.recording.base() == self.base
    }
}

/// Takes a block from its table, and hands it to [`put_back`] or [`count_free`].
#[inline(never)]
pub(super) fn take(block: *mut c_void) -> Taken {
    take_from(&BLOCKS, block)
}

#[inline(always)]
fn take_from(shadow: &Shadow, block: *mut c_void) -> Taken {
    let Some(process) = process::process() else {
        return Taken::NOTHING;
    };
    let base = process.recording.base();
    compiler_fence(SeqCst);
    let entry = shadow.take(block as usize);
    Taken { entry, base }
}

/// Puts back a block that was not freed after all.
///
/// # Safety
/// The block is the caller's.
pub(super) unsafe fn put_back(block: *mut c_void, taken: Taken) {
    if taken.is_known() {
        // SAFETY: as the caller promises.
        let usable = unsafe { chunk::usable(block, 2) };
        BLOCKS.put(block as usize, usable, taken.entry);
        if !process::process().is_some_and(|process| taken.is_of(process)) {
            BLOCKS.take(block as usize);
        }
    }
}

/// Returns the record of the block's site, or `None` if the block was not taken in this process.
/// After this, a child that a handler forks finds zeros in the record's place.
///
/// # Safety
/// The block is known.
#[inline(always)]
pub(super) unsafe fn record_of(process: &Process, taken: Taken) -> Option<*mut SiteRecord> {
    // In this order: a child that is forked in between and has begun its own recording has another array.
    let array = process.numbers.array();
    compiler_fence(SeqCst);
    if !taken.is_of(process) {
        return None;
    }
    // SAFETY: the number is of a record of the process in which the block was taken, and so is the array.
    Some(unsafe { Numbers::record(array, taken.entry >> clock::NUMBER_BITS) })
}

/// Counts the free of a block by its table entry. Returns the block's size if there was an entry.
///
/// # Safety
/// It was taken from the table of this process.
#[inline(never)]
pub(super) unsafe fn count_free(taken: Taken) -> Option<u64> {
    let thread = thread::own();
    let entry = taken.entry;
    if entry == 0 {
        match thread {
            // SAFETY: the state is this thread's.
            Some(thread) => unsafe {
                arch::increment_at::<{ LiveThread::OFFSET_UNKNOWN_FREES }, _>(thread.live());
            },
            None => thread::unknown_free(),
        }
        return None;
    }
    let process = process::process()?;
    // SAFETY: the block is known.
    let record = unsafe { record_of(process, taken) }?;
    let number = taken.number();
    // SAFETY: it is a record of this process's recording, which stays mapped.
    unsafe {
        let size = (*record).size & ((1 << SIZE_BITS) - 1);
        if is_nested(record) {
            return Some(size);
        }
        match thread {
            Some(thread) => freed_by(thread, process, record, number, size),
            None => thread::with_orphan(process, |thread| {
                freed_by(thread, process, record, number, size);
            }),
        }
        Some(size)
    }
}

/// Returns the offset of the record that an entry refers to, or `None` if the record's calls are
/// nested, and the size of its blocks.
pub(super) fn site_of(process: &Process, entry: u64) -> (Option<u64>, u64) {
    // SAFETY: an entry has the number of a record of this process's recording, which stays mapped.
    let (record, size, is_nested) = unsafe {
        let record = Numbers::record(process.numbers.array(), entry >> clock::NUMBER_BITS);
        (record, (*record).size, is_nested(record))
    };
    let offset = process.recording.offset_of(record.cast());
    let offset = offset.filter(|_| !is_nested);
    (offset, size & ((1 << SIZE_BITS) - 1))
}

/// # Safety
/// The state is the calling thread's, `owner` a record of this process.
#[inline(always)]
unsafe fn freed_by(
    thread: &Thread,
    process: &Process,
    owner: *mut SiteRecord,
    number: u64,
    bytes: u64,
) {
    // SAFETY: as the caller promises; what belongs to another thread is only read.
    unsafe {
        let live = &mut *thread.live();
        let of = (*behind(owner)).thread;
        let (record, clock, stamps) = if of == thread.number() {
            (owner, live.clock, live.stamps)
        } else {
            let Some((record, other)) = mirror(thread, process, owner, of) else {
                process.recording.lose(Loss::NotFollowed, 1);
                return;
            };
            (
                record,
                (&raw const (*other).clock).read_volatile(),
                (*other).stamps,
            )
        };
        let age = clock::age(clock, number);
        let is_own = record == owner;
        let mut full = count_end(process, live, record, (age, is_own), sample::weight(bytes));
        if clock::is_timed(number)
            && let Some(stamps) = stamps.as_ref()
            && let Some(now) = clock::ticks()
        {
            let passed = now.saturating_sub(stamps.get(number, age));
            let bucket = time_bucket(clock::nanoseconds(passed));
            full |= arch::increment_saturating(&raw mut (*behind(record)).times[bucket]);
        }
        if full || process.total.is_due_with_less(live) {
            after_death(thread, process, full);
        }
    }
}

/// Counts the free of a block with this age in allocations, allocated by this thread or another, in
/// the record, and reduces what the thread holds. Returns whether a counter of lifetimes was full.
///
/// # Safety
/// The state and the record are the calling thread's.
#[inline(always)]
pub(super) unsafe fn count_end(
    process: &Process,
    live: &mut LiveThread,
    record: *mut SiteRecord,
    (age, is_own): (u64, bool),
    weight: u64,
) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        keep_share(record, process.total.epoch());
        arch::increment_at::<{ in_record(offset_of!(LiveRecord, frees)) }, _>(record);
        if age == 0 && is_own && live.has_allocated() {
            arch::increment_at::<{ in_record(offset_of!(LiveRecord, temporary)) }, _>(record);
        }
        let is_full = arch::increment_saturating(&raw mut (*behind(record)).ages[age_bucket(age)]);
        arch::add_at::<{ LiveThread::OFFSET_BYTES }, _>(live, weight.wrapping_neg());
        arch::decrement_at::<{ LiveThread::OFFSET_BLOCKS }, _>(live);
        is_full
    }
}

/// What is due now and then, after a free. `is_full`: a counter of lifetimes was.
///
/// # Safety
/// The state is the calling thread's.
#[inline(never)]
pub(super) unsafe fn after_death(thread: &Thread, process: &Process, is_full: bool) {
    if is_full {
        process.recording.lose(Loss::LifetimesFull, 1);
    }
    // SAFETY: as the caller promises.
    let live = unsafe { &mut *thread.live() };
    if process.total.is_due_with_less(live) {
        process.total.hand_in(live, process, clock::ticks());
    }
}

/// The calling thread's own record of another thread's site, and the other's state.
///
/// # Safety
/// As [`freed_by`].
#[inline(never)]
unsafe fn mirror(
    thread: &Thread,
    process: &Process,
    owner: *mut SiteRecord,
    of: u32,
) -> Option<(*mut SiteRecord, *const LiveThread)> {
    // SAFETY: as the caller promises; a record's key never changes.
    unsafe {
        let key = owner.cast::<u64>();
        let frames = Frames {
            first: *key,
            second: *key.add(1),
        };
        let record = thread::record_of(thread, process, frames, (*owner).size)?;
        let other = process.threads.by_number(of)?;
        Some((record, other.live()))
    }
}

/// The bucket of [`LiveRecord::ages`].
#[inline(always)]
fn age_bucket(age: u64) -> usize {
    // The 1 below makes 0 a number with a logarithm; an age has fewer than 64 bits.
    ((age << 1 | 1).ilog2() as usize).min(AGES - 1)
}

/// The bucket of [`LiveRecord::times`].
#[inline(always)]
fn time_bucket(ns: u64) -> usize {
    ((u64::BITS - (ns >> SHORTEST_TIME_LOG2).leading_zeros()) as usize).min(TIMES - 1)
}

/// The block of the program's own allocator is about to be freed.
///
/// # Safety
/// As [`died`].
pub(crate) unsafe fn died_custom(block: *mut c_void) {
    // SAFETY: as the caller promises.
    unsafe {
        died_in(&CUSTOM, block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_powers_of_two() {
        assert_eq!([0, 1, 2, 3, 4, 7, 8].map(age_bucket), [0, 1, 2, 2, 3, 3, 4]);
        assert_eq!(age_bucket((1 << 24) - 1), 24);
        assert_eq!([1 << 24, u64::MAX >> 1].map(age_bucket), [25, 25]);
        assert_eq!(
            [0, 1023, 1024, 2047, 2048].map(time_bucket),
            [0, 0, 1, 1, 2]
        );
        assert_eq!([1 << 39, u64::MAX].map(time_bucket), [TIMES - 1; 2]);
    }
}
