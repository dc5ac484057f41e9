//! What the hooks jump to when only a sample is recorded ([`crate::sample`]).
//!
//! May run at any moment.

use super::hot::{call_rest, leave_frame};
use crate::thread::{OFFSET_CLOCK, OFFSET_COUNTDOWN, record_rest};
use skipheap_format::layout::SIZE_BITS;

/// Replaces [`super::hot::record`]: returns at once unless the allocation is in the sample.
///
/// # Safety
/// Must be jumped to like [`super::hot::record`].
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn record() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        ".cfi_def_cfa_offset 32\n .cfi_offset x29, -16\n .cfi_offset x30, -8",
        "hint #34", // bti c
        "adrp x2, {control} + {word}",
        "ldr w2, [x2, :lo12:{control} + {word}]",
        "cbnz w2, 4f",
        "adrp x2, :gottprel:skipheap_thread_word",
        "ldr x2, [x2, :gottprel_lo12:skipheap_thread_word]",
        "mrs x3, tpidr_el0",
        "ldr x2, [x3, x2]",
        "cmp x2, #1",
        "b.ls 2f",
        "ubfx x3, x1, #0, #{size_bits}",
        // One of no bytes counts as one of one byte.
        "cmp x3, #1",
        "csinc x3, x3, xzr, hs",
        "ldr x4, [x2, #{countdown}]",
        "subs x4, x4, x3",
        "b.lo 3f",
        "str x4, [x2, #{countdown}]",
        "add x5, x2, #{clock}",
        "5: ldxr x4, [x5]",
        "add x4, x4, #1",
        "stxr w6, x4, [x5]",
        "cbnz w6, 5b",
        "4:",
        leave_frame!(),
        ".cfi_def_cfa_offset 32\n .cfi_offset x29, -16\n .cfi_offset x30, -8",
        "2: b.eq 4b",
        "3:",
        call_rest!(),
        "b 4b",
        ".cfi_endproc",
        size_bits = const SIZE_BITS,
        countdown = const OFFSET_COUNTDOWN,
        clock = const OFFSET_CLOCK,
        rest = sym record_rest,
        control = sym crate::control::PAGE,
        word = const crate::control::WORD,
    )
}
