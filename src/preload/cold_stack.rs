//! Stacks for the cold sections: the program's own may be a few kilobytes long (coroutines, alternate
//! signal stacks), and demanglers need more.
//!
//! Runs at the edge of cold sections, with signals blocked. Must not allocate.

use crate::sys;
use core::sync::atomic::{AtomicUsize, Ordering::*};

/// Bytes of a stack, of which only what is used becomes real. The deepest section seen (names of
/// C++ templates, unwinding tables) needs a fifth of it.
const LEN: usize = 512 << 10;
/// Left unmapped below each stack.
const GUARD: usize = 4096;
/// Stacks that are kept for the next section; more are made where more threads are cold at once.
const KEPT: usize = 4;

/// Stacks that are free, by their ends. All zeros is none.
#[repr(transparent)]
pub(crate) struct ColdStacks([AtomicUsize; KEPT]);

impl ColdStacks {
    /// A stack, by its end; 0 when there is no memory for one.
    pub(crate) fn take(&self) -> usize {
        let free = self
            .0
            .iter()
            .map(|kept| kept.swap(0, Acquire))
            .find(|&end| end != 0);
        free.unwrap_or_else(|| sys::map_stack(LEN, GUARD))
    }

    /// Gives a stack back.
    pub(crate) fn put(&self, end: usize) {
        let keep = |kept: &AtomicUsize| kept.compare_exchange(0, end, Release, Relaxed).is_ok();
        if end != 0 && !self.0.iter().any(keep) {
            sys::unmap_stack(end, LEN);
        }
    }
}
