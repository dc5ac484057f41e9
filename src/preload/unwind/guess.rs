//! Whether the frame that rbp leads to is that of the caller, where no unwind information says so.
//!
//! Code without unwind information may keep a frame pointer, as most JIT compilers have it, or leave
//! rbp as some function farther out had it, as much hand-written assembly does. In the latter case
//! rbp leads past the functions in between. The frame is taken for the caller's where
//!
//! - its return address stands behind a call, and a call of a known function is one of the function
//!   that is left,
//! - and no word of the stack up to there can be that function's return address instead. A word that
//!   looks like one is an old one unless unwinding from there comes, frame by frame, to where rbp
//!   points.
//!
//! May run at any moment; rows are derived in cold sections of their own.

use super::call::{self, Call};
use super::registers::Registers;
use super::row::Fault;
use super::{cfi, modules, row_table};

/// Largest frame without unwind information: from rsp to where rbp points.
const LARGEST_FRAME: u64 = 1 << 16;

/// A step along the frame pointer, to be proved.
pub(super) struct Guess {
    /// An address in the function that is left.
    pub(super) address: u64,
    pub(super) sp: u64,
    pub(super) bp: u64,
    /// The return address behind the saved rbp.
    pub(super) caller: u64,
}

impl Guess {
    /// Returns whether the step leads to the caller. `read` reads words of the stack.
    pub(super) fn is_proved(&self, read: &mut dyn FnMut(u64) -> Option<u64>) -> bool {
        let Some(call) = call::before(self.caller) else {
            return false;
        };
        if self.bp - self.sp > LARGEST_FRAME || !self.may_have_called(call) {
            return false;
        }
        (self.sp..self.bp)
            .step_by(8)
            .all(|slot| read(slot).is_some_and(|word| !self.is_return_address(slot, word, read)))
    }

    /// Returns whether a call may have gone to the function that is left.
    fn may_have_called(&self, call: Call) -> bool {
        let target = match call {
            Call::Direct(target) => Some(target),
            Call::Through(slot) => call::word_at(slot),
            Call::Indirect => None,
        };
        let Some(target) = target else { return true };
        call::reached_from(target).any(|at| self.may_begin_at(at))
    }

    /// Returns whether the function that is left may begin at `at`, or be jumped to from there.
    /// A function with unwind information calls what it calls.
    fn may_begin_at(&self, at: u64) -> bool {
        let (Some(there), Some(here)) = (
            modules::find(at),
            modules::find(self.address.wrapping_sub(1)),
        ) else {
            // Made code jumps from one function to the next, and its functions' bounds are not known.
            return !is_covered(at);
        };
        if there != here {
            return !is_covered(at);
        }
        // No entry lies in between, nor around.
        let begins = modules::eh_frame_at(at).map(|eh| cfi::last_begin(&eh, self.address - 1));
        at < self.address && !is_covered(at) && begins.is_none_or(|begin| begin <= Some(at))
    }

    /// Returns whether a word of the stack may be the return address of the function that is left.
    fn is_return_address(
        &self,
        slot: u64,
        word: u64,
        read: &mut dyn FnMut(u64) -> Option<u64>,
    ) -> bool {
        let on_stack = self.sp.wrapping_sub(LARGEST_FRAME)..self.bp.wrapping_add(LARGEST_FRAME);
        if word < 1 << 12 || word >> 47 != 0 || on_stack.contains(&word) {
            return false;
        }
        // Made code keeps frame pointers.
        if modules::find(word - 1).is_none() {
            return false;
        }
        let Some(call) = call::before(word) else {
            return false;
        };
        if !is_covered(word - 1) {
            // Which of two functions without unwind information it was, only a direct call tells.
            return match call {
                Call::Direct(target) => self.begins_closer_at(target),
                _ => false,
            };
        }
        self.may_have_called(call) && self.leads_to_the_frame(slot, word, read)
    }

    /// Returns whether a call of `target` is a better explanation than the one found along rbp.
    fn begins_closer_at(&self, target: u64) -> bool {
        let found = match call::before(self.caller) {
            Some(Call::Direct(target)) => target,
            _ => return false,
        };
        let is_here = |at| modules::find(at) == modules::find(self.address.wrapping_sub(1));
        is_here(target)
            && is_here(found)
            && (found + 1..self.address).contains(&target)
            && self.may_begin_at(target)
    }

    /// Returns whether unwinding from a return address at `slot` comes to the frame where rbp points,
    /// or past it.
    fn leads_to_the_frame(
        &self,
        slot: u64,
        word: u64,
        read: &mut dyn FnMut(u64) -> Option<u64>,
    ) -> bool {
        const MOST_FRAMES: u32 = 64;
        let end = self.bp + 16;
        let mut regs = Registers::of_frame(word, slot + 8, self.bp);
        for _ in 0..MOST_FRAMES {
            let Some(row) = row_table::of(regs.ra()) else {
                // Another function without unwind information: nobody can tell.
                return true;
            };
            let caller = match row.caller(&regs, read) {
                Ok(caller) => caller,
                Err(Fault::UnknownRegister | Fault::Unsupported) => return true,
                Err(Fault::NoCaller | Fault::Unreadable) => return false,
            };
            if caller.sp() <= regs.sp() || !call::is_before(caller.ra()) {
                return false;
            }
            if caller.sp() >= end {
                return true;
            }
            regs = caller;
        }
        true
    }
}

/// Returns whether unwind information covers an address.
pub(crate) fn is_covered(address: u64) -> bool {
    row_table::of(address | super::EXACT).is_some()
}
