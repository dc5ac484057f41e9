//! The walk up the thread's own stack. [`crate::hot`] has its most frequent case in assembly.
//!
//! A step loads the return address's rule (one slot of a shared table, read without a lock), finds
//! the CFA from rsp or rbp, reloads rbp where the frame saved it, and loads the next return
//! address. Every read lies between the current frame and the end of the stack, and each step leads
//! towards the root, whatever a register or a slot holds.
//!
//! May run at any moment, also in a signal handler that interrupted it: it writes nothing.

use super::table;
use super::{Frames, LONGEST_WALK, careful};
use crate::arch::rule::step;
use skipheap_format::layout::CUT_TOO_DEEP;

/// The registers of a frame, as far as unwinding needs them: those after the return to `ra`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Regs {
    pub(crate) ra: u64,
    pub(crate) sp: u64,
    pub(crate) bp: u64,
}

/// The next frame would lie outside the thread's own stack, or not towards its root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Astray;

/// The innermost four frames of a walk on the thread's own stack: direct recursion collapses into
/// one frame, allocation wrappers are passed over, and what is not a plain step is left to
/// [`careful`].
///
/// `entry` points at the return address into the caller, `bp` is its frame pointer.
///
/// # Safety
/// The memory from `entry` to `hi`, the end of the stack, is readable, and `entry < hi`.
#[inline]
pub(crate) unsafe fn walk(entry: *const u64, bp: u64, hi: u64) -> Frames {
    let table = table::view();
    // SAFETY: `entry` is readable, as the caller promises.
    let ra = unsafe { *entry };
    let mut regs = Regs {
        ra,
        sp: entry as u64 + 8,
        bp,
    };
    let mut ids = [0_u64; 4];
    let mut taken = 0;
    let mut last = 0;
    for _ in 0..LONGEST_WALK {
        let rule = match table.lookup(regs.ra) {
            Some(rule) => rule,
            None => careful::rule_for(regs.ra),
        };
        if rule.is_special() && !rule.is_transparent() {
            if regs.ra == 0 {
                // Some start routines push a return address of zero as the end of the stack.
                return pack(ids);
            }
            return careful::go_on(regs, entry, hi, ids, taken, last);
        }
        if regs.ra != last {
            last = regs.ra;
            if !rule.is_special() {
                ids[taken & 3] = rule.frame();
                taken += 1;
                if taken == ids.len() {
                    return pack(ids);
                }
            }
        }
        // SAFETY: as the caller promises; steps keep sp <= hi.
        if unsafe { step(&mut regs, rule, hi) }.is_err() {
            // The frame may be on another stack.
            return careful::go_on(regs, entry, hi, ids, taken, last);
        }
    }
    cut(ids, taken)
}

/// The ids in the record's layout.
#[inline(always)]
pub(crate) fn pack(ids: [u64; 4]) -> Frames {
    Frames {
        first: ids[0] | ids[1] << 32,
        second: ids[2] | ids[3] << 32,
    }
}

/// Ends a walk in which one return address came again and again: the stack is marked as too deep.
#[cold]
fn cut(mut ids: [u64; 4], taken: usize) -> Frames {
    if let Some(slot) = ids.get_mut(taken) {
        *slot = u64::from(CUT_TOO_DEEP);
    }
    pack(ids)
}
