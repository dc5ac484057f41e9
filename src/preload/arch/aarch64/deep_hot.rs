//! The path where whole stacks are recorded: to [`crate::deep::record_call`], which walks.
//!
//! The search for a call that was recorded lately with the same stack ([`crate::deep::calls`]), which
//! x86-64 makes here in assembly, is not made on this architecture.
//!
//! May run at any moment.

use super::hot::{call_rest, leave_frame};

/// Records an allocation of x1 bytes, as [`super::hot::record`], with its whole stack, and follows its
/// block where blocks are followed.
///
/// # Safety
/// To be jumped to with the frame of a hook ([`super::hooks`]), which it leaves.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn record() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        ".cfi_def_cfa_offset 32\n .cfi_offset x29, -16\n .cfi_offset x30, -8",
        "hint #34", // bti c
        call_rest!(),
        leave_frame!(),
        ".cfi_endproc",
        rest = sym crate::deep::record_call,
    )
}

pub(crate) use record as record_and_follow;
