//! The second opinion: the frames of a stack as libgcc's unwinder sees them.
//!
//! It is the unwinder of the library's own panics, linked statically, so it is there in every
//! program. It interprets the unwind information anew at each frame, trusts it, and neither guesses
//! nor bounds its reads.
//!
//! Runs in cold sections.

use super::rule::Special;
use super::{EXACT, LONGEST_WALK, registry, row_table, table};
use crate::process::Process;
use core::ffi::{c_int, c_void};
use core::ptr;
use skipheap_format::layout::MOST_FRAMES;

unsafe extern "C" {
    fn _Unwind_Backtrace(
        visit: unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int,
        data: *mut c_void,
    ) -> c_int;
    fn _Unwind_GetIPInfo(context: *mut c_void, exact: *mut c_int) -> usize;
    fn _Unwind_GetCFA(context: *mut c_void) -> usize;
}

/// Goes on, or stops (`_URC_NO_REASON`, `_URC_NORMAL_STOP`).
const ON: c_int = 0;
const STOP: c_int = 4;
/// Most frames of our own between the unwinder and the recorded call.
const MOST_OWN: u32 = 64;

/// What libgcc saw, reduced as a walk reduces it: no wrappers, and where four frames are recorded, recursion collapsed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Frame ids, innermost first.
    pub(crate) ids: Vec<u32>,
    /// The stack ends behind them: libgcc came to the root, or to a return address that is the start
    /// of a function, which ends a stack that was made by hand. Elsewhere it stops at code without
    /// unwind information.
    pub(crate) at_root: bool,
    /// The recorded call was found.
    pub(crate) found: bool,
}

struct View<'p> {
    process: &'p Process,
    /// rsp after the return from the recorded call.
    sp: u64,
    last: u64,
    looked_at: u32,
    wanted: Wanted,
    seen: Seen,
}

/// How much of a stack is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    /// The innermost four frames.
    Four,
    /// All up to the root.
    Whole,
}

impl Wanted {
    /// Most frames of the result, and most that are looked at.
    pub(crate) fn most(self) -> (usize, u32) {
        match self {
            Self::Four => (4, LONGEST_WALK),
            Self::Whole => (MOST_FRAMES as usize, MOST_FRAMES),
        }
    }
}

/// The frames of the stack on which a call returns with rsp at `sp`. To be called below that call.
pub(crate) fn frames(process: &Process, sp: u64, wanted: Wanted) -> Seen {
    let mut view = View {
        process,
        sp,
        last: 0,
        looked_at: 0,
        wanted,
        seen: Seen::default(),
    };
    // SAFETY: `visit` keeps the contract of the callback.
    unsafe { _Unwind_Backtrace(visit, (&raw mut view).cast()) };
    view.seen.at_root |= starts_a_function(view.last);
    view.seen
}

/// Returns whether unwind information covers a return address, but not the code in front of it.
fn starts_a_function(key: u64) -> bool {
    key & EXACT == 0 && row_table::of(key).is_none() && row_table::of(key | EXACT).is_some()
}

unsafe extern "C" fn visit(context: *mut c_void, view: *mut c_void) -> c_int {
    let mut exact = 0;
    // SAFETY: the context is libgcc's own, and `view` is that of `frames`.
    let (view, address, sp) = unsafe {
        let address = _Unwind_GetIPInfo(context, ptr::from_mut(&mut exact)) as u64;
        let sp = _Unwind_GetCFA(context) as u64;
        (&mut *view.cast::<View<'_>>(), address, sp)
    };
    if view.look(address, exact != 0, sp) {
        ON
    } else {
        STOP
    }
}

impl View<'_> {
    /// Looks at the next frame; false when no other is wanted.
    fn look(&mut self, address: u64, exact: bool, sp: u64) -> bool {
        self.looked_at += 1;
        if !self.seen.found {
            if sp != self.sp {
                return self.looked_at < MOST_OWN;
            }
            self.seen.found = true;
            self.looked_at = 1;
        }
        if address == 0 {
            self.seen.at_root = true;
            return false;
        }
        let key = if exact { address | EXACT } else { address };
        let rule = table::lookup_anywhere(key)
            .or_else(|| Some(registry(self.process)?.derive(self.process, key)));
        let Some(rule) = rule else { return false };
        let repeats = key == self.last && self.wanted == Wanted::Four;
        let counts = !rule.is_transparent() && rule.kind() != Some(Special::Signal) && !repeats;
        self.last = key;
        let (most, looked_at) = self.wanted.most();
        if counts && self.seen.ids.len() < most {
            self.seen.ids.push(rule.frame() as u32);
        }
        self.seen.ids.len() < most && self.looked_at < looked_at
    }
}
