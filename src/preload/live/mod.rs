//! The live heap: follows each block from its allocation until it is freed.
//!
//! Off by default; then nothing of it is on the way of an allocation, and `free` costs one jump more.
//!
//! - [`shadow`]: from a block's address to its site and the moment of its birth. No byte of the block
//!   itself is used.
//! - [`count`]: what an allocation and a free change in the site's record; [`quick`]: the same for the usual
//!   ones, in a straight line.
//! - [`chunk`]: how large the blocks of glibc's malloc are.
//! - [`clock`]: the moments, in allocations of the thread and in time.
//! - [`numbers`]: from the number of a site to its record.
//! - [`total`]: live bytes of the whole process and their peak.
//! - [`timeline`]: how these changed as the program ran, and [`resident`] memory; [`course`]: which points
//!   of that are kept.
//! - [`hooks`]: `free` and `realloc`; [`grown`]: what the latter did to a block.
//! - [`moved`]: what becomes of the counts of a thread that ends.
//! - [`leaks`]: which blocks the program can still reach at its end.
//!
//! Every counter has one writer: the thread that owns the record. A thread that frees a block of
//! another's site counts that in a record of its own for the same site, and readers add them up. So
//! nothing here needs an atomic read-modify-write, but for the total of the process, now and then.
//!
//! May run at any moment, but for what is said to be a cold section.

mod chunk;
mod clock;
mod count;
mod course;
mod grown;
pub(crate) mod hooks;
mod leaks;
mod moved;
mod numbers;
mod quick;
pub(crate) mod regions;
mod resident;
mod shadow;
mod table;
mod timeline;
mod total;

pub(crate) use count::{died_custom, pass};
pub(crate) use leaks::Unreached;
pub(crate) use moved::{has_counted, move_counts, set_thread};
pub(crate) use numbers::Numbers;
pub(crate) use quick::{born, born_here};
pub(crate) use timeline::Timeline;
pub(crate) use total::Total;

use crate::process::Process;
use crate::settings::settings;
use crate::thread::Thread;
use clock::Stamps;
use core::mem::offset_of;
use grown::Grown;
use skipheap_format::layout::{FUNCTION_NAMES, SIZE_BITS};
use total::HandedIn;

/// What a thread's state has for this. All zeros is that of a child of fork.
#[repr(C)]
pub(crate) struct LiveThread {
    /// Allocations of the thread so far; of all threads that used the state, one after another.
    clock: u64,
    /// The clock when the thread that has the state now took it.
    taken_at: u64,
    /// Bytes that it allocated less those that it freed. May be below zero.
    bytes: i64,
    /// Blocks that it allocated less those that it freed. May be below zero.
    blocks: i64,
    handed_in: HandedIn,
    /// Invariant: null, or a mapping that is never unmapped.
    stamps: *mut Stamps,
    grown: Grown,
    /// Frees of blocks that were not followed.
    unknown_frees: u64,
    /// Calls of functions hooked by name, nested ones left out. They are no part of the clock, by
    /// which blocks age.
    hooked_calls: u64,
    /// What [`regions`] has of the thread: raised when its page changes.
    generation: u32,
    /// The thread that has the state now has noted nothing yet.
    is_new: u32,
    /// The record of the last object's site, [`regions::EXPECTED`], or 0 when no page is to come.
    last_object: u64,
}

/// Sums over all threads.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sums {
    pub(crate) allocations: u64,
    pub(crate) bytes: i64,
    pub(crate) blocks: i64,
    pub(crate) unknown_frees: u64,
}

impl LiveThread {
    /// Where the thread's clock lies, and what else is counted in single instructions.
    pub(crate) const OFFSET_CLOCK: usize = offset_of!(Self, clock);
    /// Where calls of hooked functions are counted, in single instructions too.
    pub(crate) const OFFSET_HOOKED_CALLS: usize = offset_of!(Self, hooked_calls);
    pub(crate) const OFFSET_GENERATION: usize = offset_of!(Self, generation);
    pub(crate) const OFFSET_LAST_OBJECT: usize = offset_of!(Self, last_object);
    const OFFSET_BYTES: usize = offset_of!(Self, bytes);
    const OFFSET_BLOCKS: usize = offset_of!(Self, blocks);
    const OFFSET_UNKNOWN_FREES: usize = offset_of!(Self, unknown_frees);

    /// Another thread has the state now, and its clock needs its memory. Cold section.
    pub(crate) fn begin(&mut self) {
        self.taken_at = self.clock;
        self.handed_in.begin();
        self.generation += 1;
        self.is_new = 1;
        self.last_object = 0;
        if settings().live && self.stamps.is_null() {
            let stamps = Stamps::map();
            // SAFETY: null, or a mapping that nobody else has seen.
            if let Some(stamps) = unsafe { stamps.as_ref() }
                && let Some(now) = clock::ticks()
            {
                stamps.start(now);
            }
            self.stamps = stamps;
        }
    }

    /// Returns whether the thread that has the state now has allocated. If not, the last allocation
    /// was another thread's.
    #[inline(always)]
    fn has_allocated(&self) -> bool {
        self.clock != self.taken_at
    }

    /// Adds what a thread has counted.
    ///
    /// # Safety
    /// `thread` can be read. Its thread may go on counting.
    pub(crate) unsafe fn add_to(thread: *const Self, sums: &mut Sums) {
        // SAFETY: as the caller promises; words are read whole.
        unsafe {
            sums.allocations += (&raw const (*thread).clock).read_volatile();
            sums.allocations += (&raw const (*thread).hooked_calls).read_volatile();
            sums.bytes += (&raw const (*thread).bytes).read_volatile();
            sums.blocks += (&raw const (*thread).blocks).read_volatile();
            sums.unknown_frees += (&raw const (*thread).unknown_frees).read_volatile();
        }
    }
}

/// Returns whether blocks are followed. Call it only in a program that is profiled.
#[inline(always)]
pub(crate) fn is_on() -> bool {
    settings().live
}

/// Returns whether a block of this function (see [`SIZE_BITS`]) is followed. Those of functions hooked by name are not:
/// the call is recorded before it is made.
#[inline(always)]
fn is_followed(size: u64) -> bool {
    ((size >> SIZE_BITS) as usize) < FUNCTION_NAMES.len()
}

/// Prepares a process, before its first allocation is recorded. Cold section.
pub(crate) fn begin(process: &Process) {
    if !is_on() {
        return;
    }
    clock::calibrate();
    shadow::begin();
    resident::begin();
    process.timeline.begin();
    if regions::is_on() {
        regions::take_over();
    } else {
        hooks::begin();
    }
}

/// A thread that counted in this state ends. Cold section.
///
/// # Safety
/// The state is the calling thread's.
pub(crate) unsafe fn end_thread(process: &Process, thread: &Thread) {
    if is_on() {
        // SAFETY: as the caller promises.
        let live = unsafe { &mut *thread.live() };
        process.total.hand_in(live, process, clock::ticks());
    }
}

/// Writes how things stand into the header. Cold section.
pub(crate) fn sum_up(process: &Process) {
    if is_on() {
        regions::settle_all(process);
        let sums = process.live_sums();
        process.recording.set_live_sums(&sums);
    }
}

/// Writes what is known at the end. `sp`: the program's stack is in use from there. `handlers_run`: the
/// process ends by `exit` or its like. Cold section.
pub(crate) fn finish(process: &Process, sp: usize, handlers_run: bool) {
    if is_on() {
        regions::settle_all(process);
        process.total.end(process.live_sums().bytes, process);
        process.timeline.last(process);
    }
    if settings().leak_check {
        leaks::check(process, sp, handlers_run);
    }
}
