//! The fast version of [`count`], for nearly all blocks: those of glibc's malloc that are freed by
//! the thread that allocated them, when every block is tracked. It is straight-line code without
//! calls, so no register has to be saved. Unusual cases are detected before anything has changed
//! and passed to [`count`]; work that is rarely due comes last.
//!
//! See [`count`] for the order in which things change. May run at any moment.

use super::count::{self, Taken, behind, count_end, entry_of, in_record, keep_share, record_of};
use super::shadow::BLOCKS;
use super::{LiveThread, chunk, clock, grown};
use crate::process::{self, Process};
use crate::thread::{self, OFFSET_LIVE, Thread};
use crate::{arch, real, sample};
use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{Ordering::SeqCst, compiler_fence};
use skipheap_format::layout::*;

/// What the hot path jumps to when it has found the site: calls [`born`] and returns the block. The
/// third argument is unused, so that the thread's state is already in the right register.
///
/// # Safety
/// As [`born`].
pub(crate) unsafe extern "C" fn born_here(
    block: *mut c_void,
    record: *mut SiteRecord,
    _: u64,
    thread: *const Thread,
) -> *mut c_void {
    // SAFETY: as the caller promises.
    unsafe { born(&*thread, record, block) }
}

/// Counts an allocation of the site, tracks its block and returns the block.
///
/// # Safety
/// The state and the record are the calling thread's, and `block` is what the allocation returned.
#[inline(always)]
pub(crate) unsafe fn born(
    thread: &Thread,
    record: *mut SiteRecord,
    block: *mut c_void,
) -> *mut c_void {
    // SAFETY: as the caller promises. There is a process, for there is a state of a thread.
    unsafe {
        let size = (*record).size;
        // Not a custom block, nor one of a function hooked by name.
        if size < CUSTOM_FUNCTION << SIZE_BITS
            && let Some(usable) = chunk::usable_by_header(block)
            && let process = process::existing()
            && let Some(place) = BLOCKS.place(block as usize, usable)
            && let base = process.recording.base()
            && let Some(site) = entry_of(record)
            && !place.is_taken()
            && keep_share(record, process.total.epoch())
        {
            let (live, state) = (thread.live(), ptr::from_ref(thread).cast_mut());
            arch::increment_at::<{ OFFSET_LIVE + LiveThread::OFFSET_CLOCK }, _>(state);
            arch::increment_count(record);
            let bytes = size & ((1 << SIZE_BITS) - 1);
            arch::add_at::<{ in_record(offset_of!(LiveRecord, slack)) }, _>(
                record,
                usable.wrapping_sub(bytes),
            );
            let number = clock::number_of((*live).clock);
            place.put(block as usize, site | number);
            if process.recording.base() != base {
                return count::born_before_fork(&BLOCKS, block);
            }
            arch::add_at::<{ OFFSET_LIVE + LiveThread::OFFSET_BYTES }, _>(state, bytes);
            arch::increment_at::<{ OFFSET_LIVE + LiveThread::OFFSET_BLOCKS }, _>(state);
            if (*live).grown.is(block) {
                grown::count_block(&mut *live, record);
            }
            if clock::is_timed(number) || process.total.is_due_with_more(&*live) {
                return count::after_birth(thread, process, block, number);
            }
            return block;
        }
        count::born(thread, record, block)
    }
}

/// C's `free`, when all blocks are glibc malloc's.
///
/// # Safety
/// As the C function.
pub(super) unsafe extern "C" fn free(block: *mut c_void) {
    // SAFETY: the caller's own block.
    unsafe {
        let Some((process, thread)) = usual(block) else {
            return free_any(block);
        };
        let taken = take_from(process, block);
        if !taken.is_known() {
            return free_any(block);
        }
        let Some(death) = death(process, thread, taken) else {
            return free_taken(block, taken);
        };
        if death.is_full || process.total.is_due_with_less(&*thread.live()) {
            return free_after(block, thread, process, death.is_full);
        }
        real::free(block);
    }
}

/// Takes a block from its table.
///
/// # Safety
/// The block is the caller's own, and not null.
#[inline(always)]
pub(super) unsafe fn take(block: *mut c_void) -> Taken {
    let taken = match usual(block) {
        Some((process, _)) if chunk::is_known() => take_from(process, block),
        _ => Taken::NOTHING,
    };
    if taken.is_known() {
        taken
    } else {
        count::take(block)
    }
}

/// Counts the free of a block that was taken from its table. Returns its size if it was tracked.
///
/// # Safety
/// It was taken from the table of this process.
#[inline(always)]
pub(super) unsafe fn count_free(taken: Taken) -> Option<u64> {
    // SAFETY: as the caller promises. There is a process, for there is a state of a thread.
    unsafe {
        // (A sampled block stands for more bytes than it has.)
        if taken.is_known()
            && !sample::is_on()
            && let Some(thread) = thread::own_or_parents()
            && let process = process::existing()
            && let Some(death) = death(process, thread, taken)
        {
            if death.is_full || process.total.is_due_with_less(&*thread.live()) {
                count::after_death(thread, process, death.is_full);
            }
            return Some(death.bytes);
        }
        count::count_free(taken)
    }
}

#[inline(always)]
fn take_from(process: &Process, block: *mut c_void) -> Taken {
    let base = process.recording.base();
    compiler_fence(SeqCst);
    Taken::new(BLOCKS.take_aligned(block as usize), base)
}

/// The result of counting a free.
struct Death {
    /// Size of the block.
    bytes: u64,
    /// A counter of lifetimes was full.
    is_full: bool,
}

/// Counts the free of one of the calling thread's blocks whose age in time is not measured. Returns
/// `None` for any other block, and then counts nothing.
///
/// # Safety
/// The block is known, was taken from the table of this process and is none of a sample; the state is the calling
/// thread's or that of its parent's in a child of fork.
#[inline(always)]
unsafe fn death(process: &Process, thread: &Thread, taken: Taken) -> Option<Death> {
    // SAFETY: as the caller promises. The parent's state has no number, and so no record.
    unsafe {
        let number = taken.number();
        if clock::is_timed(number) {
            return None;
        }
        let record = record_of(process, taken)?;
        if (*behind(record)).thread != thread.number() {
            return None;
        }
        let live = &mut *thread.live();
        let age = clock::own_age(live.clock, number);
        let bytes = (*record).size & ((1 << SIZE_BITS) - 1);
        let is_full = count_end(process, live, record, (age, true), bytes);
        Some(Death { bytes, is_full })
    }
}

/// What counting the free of a usual block needs.
#[inline(always)]
fn usual(block: *mut c_void) -> Option<(&'static Process, &'static Thread)> {
    if block.is_null() {
        return None;
    }
    let thread = thread::own_or_parents()?;
    // SAFETY: a thread has its state from the process.
    Some((unsafe { process::existing() }, thread))
}

/// C's `free`, for any block.
///
/// # Safety
/// As [`free`].
pub(super) unsafe extern "C" fn free_any(block: *mut c_void) {
    // SAFETY: as the caller promises.
    unsafe {
        if !block.is_null() {
            count::died(block);
        }
        real::free(block);
    }
}

/// Of a block that was taken from its table.
///
/// # Safety
/// As [`free`].
#[inline(never)]
unsafe fn free_taken(block: *mut c_void, taken: Taken) {
    // SAFETY: as the caller promises.
    unsafe {
        count::count_free(taken);
        real::free(block);
    }
}

/// After the free was counted.
///
/// # Safety
/// As [`free`]; the state is the calling thread's.
#[inline(never)]
unsafe fn free_after(block: *mut c_void, thread: &Thread, process: &Process, is_full: bool) {
    // SAFETY: as the caller promises.
    unsafe {
        count::after_death(thread, process, is_full);
        real::free(block);
    }
}
