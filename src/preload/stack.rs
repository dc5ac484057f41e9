//! The bounds of the calling thread's own stack, without a lock or an allocation, and without a system call
//! that a confined program might not make.
//!
//! `pthread_getattr_np` would take the thread's lock and allocate: a program that calls it itself
//! (every Rust program does at start) allocates while it holds that lock, and would wait for
//! itself.
//!
//! May run at any moment.

use crate::{arch, c_library, sys};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Addresses of a stack: from `lo`, inclusive, to `hi`, exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) lo: usize,
    pub(crate) hi: usize,
}

/// The kernel keeps at least this much free below the main thread's stack (`MIN_GAP` of
/// arch/x86/mm/mmap.c and mm/util.c): what lies there can be nothing but that stack.
const MAIN_GAP: usize = 128 << 20;

/// The bounds of the stack that `sp` is on, if it is this thread's own; `None` on an alternate
/// signal stack, a coroutine's stack and the like.
pub(crate) fn own_bounds(sp: usize) -> Option<Bounds> {
    let in_main = main_bounds().filter(|b| b.lo <= sp && sp < b.hi);
    in_main.or_else(|| thread_bounds(sp, arch::thread_pointer()))
}

/// Bytes that the main thread's stack may have, once they are known. Kept across fork.
static MAIN_ROOM: AtomicUsize = AtomicUsize::new(0);

/// Asks how long the main thread's stack may become: at the start, since it is the limit of that moment by
/// which the kernel has kept room. (What the program sets later only says when the stack may not grow
/// further; other mappings may be there.)
pub(crate) fn begin() {
    let limit = sys::soft_limit(libc::RLIMIT_STACK);
    let room = usize::try_from(limit).map_or(MAIN_GAP, |limit| {
        if limit > 1 << 40 {
            MAIN_GAP
        } else {
            limit.max(MAIN_GAP)
        }
    });
    MAIN_ROOM.store(room, Relaxed);
}

fn main_bounds() -> Option<Bounds> {
    let hi = c_library::main_stack_end();
    let room = match MAIN_ROOM.load(Relaxed) {
        0 => MAIN_GAP,
        known => known,
    };
    (hi != 0).then(|| Bounds {
        lo: hi.saturating_sub(room),
        hi,
    })
}

/// Byte offset of the stack in the thread descriptor from the thread pointer on, once it was found.
static STACK_OFFSET: AtomicUsize = AtomicUsize::new(0);

fn thread_bounds(sp: usize, tp: usize) -> Option<Bounds> {
    let offset = place_in_descriptor(tp, sp)?;
    // SAFETY: the place lies in the descriptor.
    unsafe { c_library::stack_at(tp, offset, sp) }
}

/// Byte offset from the thread pointer (modulo 2^64) at which the descriptor has the stack that `sp` is on, if it has. It
/// differs between versions of the C library: it is where numbers satisfy what those of a stack must.
pub(crate) fn place_in_descriptor(tp: usize, sp: usize) -> Option<usize> {
    // SAFETY: all these places lie in the descriptor.
    let is_at = |&offset: &usize| unsafe { c_library::stack_at(tp, offset, sp) }.is_some();
    let known = STACK_OFFSET.load(Relaxed);
    if known != 0 {
        return Some(known).filter(is_at);
    }
    let found = c_library::stack_places().step_by(8).find(is_at)?;
    STACK_OFFSET.store(found, Relaxed);
    Some(found)
}
