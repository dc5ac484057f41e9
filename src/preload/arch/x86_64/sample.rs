//! What the hooks jump to when only a sample is recorded ([`crate::sample`]).
//!
//! May run at any moment.

use crate::thread::{
    OFFSET_CLOCK, OFFSET_COUNTDOWN, OFFSET_HOOKED_CALLS, OFFSET_LAST_OBJECT, record_rest,
};
use skipheap_format::layout::SIZE_BITS;

/// Replaces [`super::hot::record`]: returns at once unless the allocation is in the sample.
///
/// # Safety
/// Must be jumped to with rsp and rbp as the hook's caller left them.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn record() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "cmp dword ptr [rip + {control} + {word}], 0",
        "jne 4f",
        "mov rcx, qword ptr [rip + skipheap_thread_word@GOTTPOFF]",
        "mov rcx, qword ptr fs:[rcx]",
        "cmp rcx, 1",
        "jbe 2f",
        "mov rdx, rdi",
        "shl rdx, {function_bits}",
        "shr rdx, {function_bits}",
        // One of no bytes counts as one of one byte.
        "cmp rdx, 1",
        "adc rdx, 0",
        "mov rsi, qword ptr [rcx + {countdown}]",
        "sub rsi, rdx",
        "jb 3f",
        "mov qword ptr [rcx + {countdown}], rsi",
        "inc qword ptr [rcx + {clock}]",
        "ret",
        "2: je 4f",
        "3: lea rsi, [rsp]",
        "mov rdx, rbp",
        "mov rcx, rax",
        "jmp {rest}",
        "4: ret",
        ".cfi_endproc",
        function_bits = const u64::BITS - SIZE_BITS,
        countdown = const OFFSET_COUNTDOWN,
        clock = const OFFSET_CLOCK,
        rest = sym record_rest,
        control = sym crate::control::PAGE,
        word = const crate::control::WORD,
    )
}

/// In place of [`super::hot::record_at_entry`]: leaves every register but rdi and the flags as it
/// was, and returns to the trampoline at once, unless the call is to be recorded.
///
/// # Safety
/// Must be called by a trampoline that has pushed one word since the hooked function was entered.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn record_at_entry() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        ".cfi_def_cfa_offset 24",
        "cmp dword ptr [rip + {control} + {word}], 0",
        "jne 4f",
        "push rcx",
        ".cfi_adjust_cfa_offset 8",
        "push rdx",
        ".cfi_adjust_cfa_offset 8",
        "mov rcx, qword ptr [rip + skipheap_thread_word@GOTTPOFF]",
        "mov rcx, qword ptr fs:[rcx]",
        "cmp rcx, 1",
        "jbe 3f",
        "mov rdx, rdi",
        "shl rdx, {function_bits}",
        "shr rdx, {function_bits}",
        // One of no bytes counts as one of one byte.
        "cmp rdx, 1",
        "adc rdx, 0",
        // The carry says that the difference is not below zero.
        "neg rdx",
        "add rdx, qword ptr [rcx + {countdown}]",
        "jnc 3f",
        "mov qword ptr [rcx + {countdown}], rdx",
        "inc qword ptr [rcx + {hooked_calls}]",
        // It may have a page made.
        "mov qword ptr [rcx + {last_object}], {expected}",
        "pop rdx",
        ".cfi_adjust_cfa_offset -8",
        "pop rcx",
        ".cfi_adjust_cfa_offset -8",
        "ret",
        ".cfi_adjust_cfa_offset 16",
        "3: pop rdx",
        ".cfi_adjust_cfa_offset -8",
        "pop rcx",
        ".cfi_adjust_cfa_offset -8",
        "jmp {exact}",
        "4: ret",
        ".cfi_endproc",
        function_bits = const u64::BITS - SIZE_BITS,
        countdown = const OFFSET_COUNTDOWN,
        hooked_calls = const OFFSET_HOOKED_CALLS,
        last_object = const OFFSET_LAST_OBJECT,
        expected = const crate::live::regions::EXPECTED,
        exact = sym super::hot::record_at_entry,
        control = sym crate::control::PAGE,
        word = const crate::control::WORD,
    )
}
