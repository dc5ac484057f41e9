//! What machine code says about calls and returns.

mod call;
mod leaf;
mod made;
mod path;

pub(crate) use call::{LONGEST_CALL, call_in, jump_at};
pub(crate) use leaf::calls_nothing;
pub(crate) use made::ends_the_process;

use crate::unwind::registers::{COUNT, FP, RA, SP};
use crate::unwind::{Rule, Special};
use path::Exit;

/// What C libraries have a signal handler return to: `mov $15, %rax; syscall`.
pub(crate) const SIGNAL_RETURN: [u8; 9] = [0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05];

/// Where the registers lie in the kernel's signal frame (`struct rt_sigframe` of
/// arch/x86/include/asm/sigframe.h), from the stack pointer at the return from the handler on. That points
/// at the ucontext.
pub(crate) const SIGNAL_REGISTERS: u64 = 40;
/// The registers in the order in which they lie there, by number: r8 comes first.
pub(crate) const SIGNAL_ORDER: [u8; COUNT] =
    [8, 9, 10, 11, 12, 13, 14, 15, 5, 4, FP, 3, 1, 0, 2, SP, RA];

/// Whether the place of a frame record says where its frame ends: the record {rbp, return address} lies
/// at the end.
pub(crate) const RECORD_ENDS_FRAME: bool = true;

/// The rule for code of an object file that no unwind information covers.
pub(crate) fn rule_of_object_code(address: u64) -> Rule {
    let exit = path::exit_at(address);
    exit.rule().unwrap_or_else(|| by_frame_pointer(exit))
}

/// The rule for code that was made at run time. `exact`: the address was interrupted.
pub(crate) fn rule_of_made_code(address: u64, exact: bool) -> Rule {
    made::rule(address)
        .filter(|_| !exact)
        .unwrap_or_else(|| by_frame_pointer(path::exit_at(address)))
}

/// The rule that follows rbp. That made code moves is no matter to it.
fn by_frame_pointer(exit: Exit) -> Rule {
    Rule::special(match exit {
        Exit::FramePointer => Special::FramePointer,
        _ => Special::Guess,
    })
}
