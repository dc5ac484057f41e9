//! What the hooks jump to when the pages of an ObStack are tracked ([`crate::live::regions`]).
//!
//! May run at any moment.

use super::hot::{call_rest, leave_frame};
use crate::live::regions::page_rest;
use crate::thread::OFFSET_LAST_OBJECT;

/// Replaces [`super::hot::record`] when malloc is not reported: the first block requested after an
/// object was requested may be a page.
///
/// # Safety
/// Must be jumped to like [`super::hot::record`].
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn record_page() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        ".cfi_def_cfa_offset 32\n .cfi_offset x29, -16\n .cfi_offset x30, -8",
        "hint #34", // bti c
        "adrp x2, :gottprel:skipheap_thread_word",
        "ldr x2, [x2, :gottprel_lo12:skipheap_thread_word]",
        "mrs x3, tpidr_el0",
        "ldr x2, [x3, x2]",
        "cmp x2, #1",
        "b.ls 2f",
        "ldr x3, [x2, #{last}]",
        "cbz x3, 2f",
        call_rest!(),
        "2:",
        leave_frame!(),
        ".cfi_endproc",
        last = const OFFSET_LAST_OBJECT,
        rest = sym page_rest,
    )
}
