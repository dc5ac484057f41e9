//! What the hooks jump to when the pages of an ObStack are tracked ([`crate::live::regions`]).
//!
//! May run at any moment.

use crate::live::regions::page_rest;
use crate::thread::OFFSET_LAST_OBJECT;

/// Replaces [`super::hot::record`] when malloc is not reported: the first block requested after an
/// object was requested may be a page.
///
/// # Safety
/// Must be jumped to with rsp and rbp as the hook's caller left them.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn record_page() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "mov rcx, qword ptr [rip + skipheap_thread_word@GOTTPOFF]",
        "mov rcx, qword ptr fs:[rcx]",
        "cmp rcx, 1",
        "jbe 2f",
        "cmp qword ptr [rcx + {last}], 0",
        "je 2f",
        "lea rsi, [rsp]",
        "mov rdx, rbp",
        "mov rcx, rax",
        "jmp {rest}",
        "2: ret",
        ".cfi_endproc",
        last = const OFFSET_LAST_OBJECT,
        rest = sym page_rest,
    )
}
