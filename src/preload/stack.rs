//! The bounds of the calling thread's own stack, without a lock or an allocation, and without a system call
//! that a confined program might not make.
//!
//! `pthread_getattr_np` would take the thread's lock and allocate: a program that calls it itself
//! (every Rust program does at start) allocates while it holds that lock, and would wait for
//! itself.
//!
//! May run at any moment.

use crate::{arch, sys};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Addresses of a stack: from `lo`, inclusive, to `hi`, exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) lo: usize,
    pub(crate) hi: usize,
}

unsafe extern "C" {
    /// Where the kernel left the argument count for the process, exported by the loader.
    static __libc_stack_end: *const usize;
}

/// The kernel keeps at least this much free below the main thread's stack (`MIN_GAP` of
/// arch/x86/mm/mmap.c): what lies there can be nothing but that stack.
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
    // SAFETY: set by the loader before any library runs.
    let hi = unsafe { __libc_stack_end } as usize;
    let room = match MAIN_ROOM.load(Relaxed) {
        0 => MAIN_GAP,
        known => known,
    };
    (hi != 0).then(|| Bounds {
        lo: hi.saturating_sub(room),
        hi,
    })
}

/// Byte offset of the stack's start in glibc's thread descriptor, once it was found; the size
/// follows.
static STACK_OFFSET: AtomicUsize = AtomicUsize::new(0);

/// How far in front of the stack's start glibc's thread descriptor may have the function that the
/// thread started with (`start_routine` of `struct pthread`): in all versions so far the same fields
/// lie in between, with eight bytes to align one of them (0x58 in 2.36) or none. In the latter case
/// the first place has numbers.
const START_BEFORE_STACK: [usize; 2] = [0x58, 0x50];

/// What lies where the calling thread, which is not the main one, may keep the function that it
/// started with.
pub(crate) fn start_functions() -> Option<[u64; 2]> {
    let tp = arch::thread_pointer();
    // The descriptor lies at the top of the stack.
    thread_bounds(tp - 1, tp)?;
    let stack = tp + STACK_OFFSET.load(Relaxed);
    // SAFETY: within the thread's own descriptor, which starts at the thread pointer, 0x100 bytes
    // or more in front of where it keeps its stack.
    Some(START_BEFORE_STACK.map(|before| unsafe { *((stack - before) as *const u64) }))
}

/// glibc puts the thread descriptor at the top of the stack that it made, or that the program gave,
/// and keeps that stack's address and size in it, at an offset that differs between versions (0x690
/// in 2.36). The pair is told by what it must satisfy: it encloses both sp and the descriptor and
/// ends just behind the latter.
fn thread_bounds(sp: usize, tp: usize) -> Option<Bounds> {
    /// The descriptor's size is about 0x900 in all versions so far.
    const DESCRIPTOR: usize = 0x800;
    /// The descriptor and static TLS of the initial libraries lie between the stack's end and tp.
    const FARTHEST_END: usize = 1 << 16;
    if sp >= tp {
        return None;
    }
    let pair_at = |offset: usize| {
        // SAFETY: the descriptor starts at the thread pointer and is longer than DESCRIPTOR + 8.
        let (start, size) = unsafe {
            let word = (tp + offset) as *const usize;
            (*word, *word.add(1))
        };
        let end = start.checked_add(size)?;
        (start <= sp && start % 4096 == 0 && size < 1 << 40 && end > tp && end - tp <= FARTHEST_END)
            .then_some(Bounds { lo: start, hi: tp })
    };
    let known = STACK_OFFSET.load(Relaxed);
    if known != 0 {
        return pair_at(known);
    }
    let found = (0x100..DESCRIPTOR)
        .step_by(8)
        .find(|&offset| pair_at(offset).is_some())?;
    STACK_OFFSET.store(found, Relaxed);
    pair_at(found)
}
