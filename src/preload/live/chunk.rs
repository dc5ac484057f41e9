//! The size of a block. For glibc's malloc it is read from the chunk's header, because a call of
//! `malloc_usable_size` would cost a quarter of tracking the block.
//!
//! The layout is that of `struct malloc_chunk` in glibc's malloc/malloc.c: the word in front of a
//! block has the chunk's size, this word included, with three flags in its low bits. The layout has
//! been stable since 1996 but is not guaranteed. The first blocks are therefore measured both ways,
//! and headers are not used again if one was wrong.
//!
//! May run at any moment.

use crate::{elf, hooks, real, thread};
use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// Index of `reallocarray` among the functions.
const REALLOCARRAY: usize = 3;
/// Bytes of a chunk that the program cannot use.
const OVERHEAD: u64 = 8;

/// [`STATE`]: headers must not be used.
const NEVER: u32 = 0;
/// [`STATE`]: headers are correct.
const KNOWN: u32 = 1;
/// [`STATE`]: the number of blocks that are still to be measured both ways, counted down.
const TRIALS: u32 = KNOWN + 64;
/// [`STATE`]: the owner of the functions has not been determined yet.
const NOT_BEGUN: u32 = u32::MAX;
/// Kept across fork: the allocator is the same.
static STATE: AtomicU32 = AtomicU32::new(NOT_BEGUN);

/// Bit i: blocks of function i (see [`FUNCTION_NAMES`](skipheap_format::layout::FUNCTION_NAMES)) are not those of malloc's
/// library, which would look in front of them for what is not there.
static FOREIGN: AtomicU32 = AtomicU32::new(0);

/// The allocator has been asked for the size of a block before. Kept across fork.
static WAS_ASKED: AtomicBool = AtomicBool::new(false);

/// The size of a chunk by the second word of its head; `None` of one that is a mapping of its own, which has two words in
/// front of the block that are not the program's.
#[inline(always)]
pub(super) fn size_of_chunk(word: u64) -> Option<u64> {
    const IS_MMAPPED: u64 = 2;
    const FLAGS: u64 = 7;
    (word & IS_MMAPPED == 0).then_some(word & !FLAGS)
}

/// Looks at whose functions they are, once. `is_glibc`: malloc is glibc's, and all blocks are followed. Cold section.
pub(super) fn begin(is_glibc: bool) {
    if STATE.load(Relaxed) != NOT_BEGUN {
        return;
    }
    let mut foreign = 0;
    for (function, (name, _)) in hooks::ENTRIES.iter().enumerate() {
        let next = elf::next_definition(name);
        // `reallocarray` calls the next `realloc`.
        let is_called = function != REALLOCARRAY && !next.is_null();
        if is_called && next != elf::definition_beside(c"malloc", name) {
            foreign |= 1 << function;
        }
    }
    FOREIGN.store(foreign, Relaxed);
    WAS_ASKED.store(is_glibc, Relaxed);
    let state = if is_glibc && foreign == 0 {
        TRIALS
    } else {
        NEVER
    };
    STATE.store(state, Relaxed);
}

/// Returns whether headers may be used, now or later.
pub(super) fn is_on_trial() -> bool {
    STATE.load(Relaxed) != NEVER
}

/// Returns whether all blocks are glibc malloc's and their headers are correct.
#[inline(always)]
pub(super) fn is_known() -> bool {
    STATE.load(Relaxed) == KNOWN
}

/// Usable bytes according to the block's header, or `None` if the allocator has to be asked.
///
/// # Safety
/// The block is the caller's, and is not freed.
#[inline(always)]
pub(super) unsafe fn usable_by_header(block: *const c_void) -> Option<u64> {
    if !is_known() {
        return None;
    }
    // SAFETY: a block of glibc's malloc, which reads that word too when it is freed.
    unsafe { by_header(block) }
}

/// # Safety
/// As [`usable_by_header`], and the allocator is glibc's.
#[inline(always)]
unsafe fn by_header(block: *const c_void) -> Option<u64> {
    // SAFETY: as the caller promises.
    let word = unsafe { block.cast::<u64>().sub(1).read_volatile() };
    Some(size_of_chunk(word)?.wrapping_sub(OVERHEAD))
}

/// Asks a foreign allocator for the first time. tcmalloc allocates then, which is not to be counted as
/// the program's doing. (Asking about anything but a block that it gave, null too, is no way out:
/// LeakSanitizer's allocator crashes.)
#[cold]
fn ask_first(block: *mut c_void) -> u64 {
    // SAFETY: the caller of `usable` owns the block, which this allocator gave.
    let ask = || unsafe { real::malloc_usable_size(block) as u64 };
    match thread::cold_section(ask) {
        Some(usable) => {
            WAS_ASKED.store(true, Relaxed);
            usable
        }
        // No section can be entered any more.
        None => ask(),
    }
}

/// Usable bytes of the block, as the allocator says; 0 where it must not be asked. `function` has given it (its index in
/// [`FUNCTION_NAMES`](skipheap_format::layout::FUNCTION_NAMES)).
///
/// # Safety
/// The block is the caller's, and is not freed.
pub(super) unsafe fn usable(block: *mut c_void, function: u64) -> u64 {
    if FOREIGN.load(Relaxed) >> function & 1 != 0 {
        return 0;
    }
    let usable = if WAS_ASKED.load(Relaxed) {
        // SAFETY: the caller's own block, given by the allocator whose function this is.
        unsafe { real::malloc_usable_size(block) as u64 }
    } else {
        ask_first(block)
    };
    let state = STATE.load(Relaxed);
    if state > KNOWN && !block.is_null() {
        // SAFETY: as the caller promises; in this state the allocator is glibc's.
        let next = match unsafe { by_header(block) } {
            None => state,
            Some(header) if header == usable => state - 1,
            Some(_) => NEVER,
        };
        let _ = STATE.compare_exchange(state, next, Relaxed, Relaxed);
    }
    usable
}
