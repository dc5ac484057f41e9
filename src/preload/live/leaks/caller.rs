//! Where the program's own part of the exiting thread begins: at the caller of `exit` or `_exit`.
//!
//! The frames of `exit`, of the C library's functions that run the handlers and of the profiler lie where
//! frames of the program lay before. What they have not written yet are words of those, and would keep
//! blocks from being leaks.
//!
//! Runs in the cold section of the end.

use crate::{arch, elf, unwind};
use core::ffi::{c_int, c_void};
use core::ops::Range;

unsafe extern "C" {
    fn _Unwind_Backtrace(
        visit: unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int,
        data: *mut c_void,
    ) -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
    fn _Unwind_GetCFA(context: *mut c_void) -> usize;
    fn _Unwind_GetGR(context: *mut c_void, register: c_int) -> usize;
    fn _Unwind_GetRegionStart(context: *mut c_void) -> usize;
}

/// Goes on, or stops (`_URC_NO_REASON`, `_URC_NORMAL_STOP`).
const ON: c_int = 0;
const STOP: c_int = 4;
/// Most frames between the unwinder and the caller.
const MOST: u32 = 64;

/// The exiting thread, as its own code left it.
pub(super) struct Caller {
    /// Its stack is in use from there.
    pub(super) sp: usize,
    /// What it has in the registers that a call keeps.
    pub(super) registers: [u64; arch::KEPT_REGISTERS.len()],
}

struct View {
    /// Where `exit` and `quick_exit` begin; nothing where the process ends without handlers.
    exits: [usize; 2],
    own: Range<u64>,
    looked_at: u32,
    has_passed: bool,
    found: Option<Caller>,
}

/// Finds the caller of the function that ends the process. `sp`: its stack is in use from there at the
/// lowest. `handlers_run`: the function is `exit` or its like.
pub(super) fn find(sp: usize, handlers_run: bool) -> Caller {
    let exit = |name| match handlers_run {
        true => elf::definition_in_libc(name) as usize,
        false => 0,
    };
    let own = unwind::place_of(find as *const () as u64);
    let mut view = View {
        exits: [exit(c"exit"), exit(c"quick_exit")],
        own: own.map_or(0..0, |own| own.start..own.end),
        looked_at: 0,
        has_passed: false,
        found: None,
    };
    // SAFETY: `visit` keeps the contract of the callback, and `view` outlives the call.
    unsafe { _Unwind_Backtrace(visit, (&raw mut view).cast()) };
    // What the caller has in registers lies on the stack from `sp` on, too.
    let unknown = Caller {
        sp,
        registers: Default::default(),
    };
    view.found.filter(|found| found.sp >= sp).unwrap_or(unknown)
}

unsafe extern "C" fn visit(context: *mut c_void, view: *mut c_void) -> c_int {
    // SAFETY: the context is libgcc's own, and `view` is that of `find`.
    unsafe {
        let view = &mut *view.cast::<View>();
        let address = _Unwind_GetIP(context) as u64;
        let is_own = view.own.contains(&address);
        view.looked_at += 1;
        if view.has_passed && !is_own {
            view.found = Some(Caller {
                sp: _Unwind_GetCFA(context),
                registers: arch::KEPT_REGISTERS
                    .map(|register| _Unwind_GetGR(context, register) as u64),
            });
            return STOP;
        }
        // `_exit` is one of our own functions.
        view.has_passed |= match view.exits {
            [0, 0] => is_own,
            exits => exits.contains(&_Unwind_GetRegionStart(context)),
        };
        if view.looked_at < MOST { ON } else { STOP }
    }
}
