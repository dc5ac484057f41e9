//! The hot path when whole stacks are recorded: it finds a recently recorded call with the same
//! stack ([`crate::deep::calls`]).
//!
//! It does the same as that of x86-64, whose file shows it in Rust. It looks for a kept call with
//! the same address and value of the return address, size, x29 (if the walk used it) and state of
//! the rules, and compares each word that its walk has read. If one differs,
//! [`crate::deep::record_call`] walks.
//!
//! | register | holds |
//! |---|---|
//! | x0, x1 | the block to return, the size |
//! | x2 | the thread's state |
//! | x3, x5 | the address of the return address, and its value |
//! | x4 | the caller's x29 |
//! | x6 | the thread's last stack |
//! | x9 | the call that is examined |
//! | x10, x11 | the end of its words, and those that are compared |
//! | x7, x8, x12 | what is compared |
//!
//! May run at any moment, also in a signal handler that interrupted it.

use super::hot::{call_rest, count, leave_frame, part};
use crate::deep::Last;
use crate::deep::calls::{
    CALL_LEN, Call, ENTRY_FACTOR, HASH_SHIFT, RA_FACTOR, SET_SHIFT, SIZE_FACTOR,
};
use crate::live;
use crate::thread::OFFSET_LAST_STACK;

/// Compares a word of the call, to which x11 points.
#[rustfmt::skip]
macro_rules! word {
    ($at:literal) => { concat!(
        "ldp x7, x8, [x11, #{words} + 16 * ", $at, "]\n",
        "ldr x7, [x7]\n",
        "cmp x7, x8\n",
        "b.ne 81f\n",
    ) };
}

/// The whole path. `$count` updates the site's record in x11, and `$done` follows it.
#[rustfmt::skip]
macro_rules! known_call {
    ($count:expr, $done:expr) => { concat!(
        "adrp x2, {control} + {word}\n",
        "ldr w2, [x2, :lo12:{control} + {word}]\n",
        "cbnz w2, 97f\n",
        "adrp x2, :gottprel:skipheap_thread_word\n",
        "ldr x2, [x2, :gottprel_lo12:skipheap_thread_word]\n",
        "mrs x3, tpidr_el0\n",
        "ldr x2, [x3, x2]\n",
        "cmp x2, #1\n",
        "b.ls 98f\n",
        "ldr x6, [x2, #{last_stack}]\n",
        "cbz x6, 99f\n",
        "add x3, sp, #24\n",
        "ldp x4, x5, [sp, #16]\n",
        "movz w7, #{entry_factor0}\n movk w7, #{entry_factor1}, lsl #16\n",
        "mul w9, w3, w7\n",
        "movz w7, #{ra_factor0}\n movk w7, #{ra_factor1}, lsl #16\n",
        "madd w9, w5, w7, w9\n",
        "movz w7, #{size_factor0}\n movk w7, #{size_factor1}, lsl #16\n",
        "madd w9, w1, w7, w9\n",
        "lsr w9, w9, #{hash_shift}\n",
        "add x9, x6, x9, lsl #{set_shift}\n",
        "movz x7, #{calls0}\n movk x7, #{calls1}, lsl #16\n",
        "add x9, x9, x7\n",
        "movz x12, #{walker0}\n movk x12, #{walker1}, lsl #16\n",
        "str x3, [x6, x12]\n",
        "80: ldr x7, [x9, #{call_entry}]\n",
        "ldr x8, [x9, #{call_ra}]\n",
        "cmp x7, x3\n",
        "ldr x7, [x9, #{call_size}]\n",
        "ccmp x8, x5, #0, eq\n",
        "ccmp x7, x1, #0, eq\n",
        "b.ne 81f\n",
        "ldr x7, [x9, #{call_bp}]\n",
        "ldr x8, [x9, #{call_bp_mask}]\n",
        "eor x7, x7, x4\n",
        "tst x7, x8\n",
        "b.ne 81f\n",
        "adrp x7, {rules}\n",
        "ldr x7, [x7, :lo12:{rules}]\n",
        "ldr x8, [x9, #{call_rules}]\n",
        "cmp x7, x8\n",
        "b.ne 99f\n",
        "ldr x10, [x9, #{call_len}]\n",
        "mov x11, x9\n",
        "add x10, x9, x10\n",
        "70:\n",
        word!("0"),
        word!("1"),
        word!("2"),
        word!("3"),
        "add x11, x11, #64\n",
        "cmp x11, x10\n",
        "b.lo 70b\n",
        "ldr x11, [x9, #{call_record}]\n",
        "ldr x7, [x6, x12]\n",
        "cmp x7, x3\n",
        "b.ne 99f\n",
        $count,
        $done,
        // The other call of the set.
        "81: tst w9, #{call_len_of_all}\n",
        "b.ne 99f\n",
        "add x9, x9, #{call_len_of_all}\n",
        "b 80b\n",
        // A cold section, or a program that is left out: nothing to do.
        "98: b.ne 99f\n",
        // (Recording is stopped.)
        "97:\n",
        leave_frame!(),
        // Nothing that was changed is needed.
        "99:\n",
        call_rest!(),
        leave_frame!(),
    ) };
}

/// The body of a naked function: the given lines, with the operands that [`known_call!`] names.
macro_rules! body {
    ($($line:expr),+; $($operand:ident = $kind:tt $value:expr),* $(,)?) => {
        core::arch::naked_asm!(
            ".cfi_startproc",
            ".cfi_def_cfa_offset 32\n .cfi_offset x29, -16\n .cfi_offset x30, -8",
            "hint #34", // bti c
            $($line,)+
            ".cfi_endproc",
            last_stack = const OFFSET_LAST_STACK,
            walker0 = const part(Last::OFFSET_WALKER as u64, 0),
            walker1 = const part(Last::OFFSET_WALKER as u64, 1),
            calls0 = const part(Last::OFFSET_CALLS as u64, 0),
            calls1 = const part(Last::OFFSET_CALLS as u64, 1),
            entry_factor0 = const part(ENTRY_FACTOR as u64, 0),
            entry_factor1 = const part(ENTRY_FACTOR as u64, 1),
            ra_factor0 = const part(RA_FACTOR as u64, 0),
            ra_factor1 = const part(RA_FACTOR as u64, 1),
            size_factor0 = const part(SIZE_FACTOR as u64, 0),
            size_factor1 = const part(SIZE_FACTOR as u64, 1),
            hash_shift = const HASH_SHIFT,
            set_shift = const SET_SHIFT,
            call_len_of_all = const CALL_LEN,
            call_entry = const Call::OFFSET_ENTRY,
            call_ra = const Call::OFFSET_RA,
            call_size = const Call::OFFSET_SIZE,
            call_bp = const Call::OFFSET_BP,
            call_bp_mask = const Call::OFFSET_BP_MASK,
            call_rules = const Call::OFFSET_RULES,
            call_record = const Call::OFFSET_RECORD,
            call_len = const Call::OFFSET_LEN,
            words = const Call::OFFSET_WORDS,
            rules = sym crate::unwind::GENERATION,
            control = sym crate::control::PAGE,
            word = const crate::control::WORD,
            rest = sym crate::deep::record_call,
            $($operand = $kind $value,)*
        )
    };
}

/// Records an allocation of x1 bytes, as [`super::hot::record`], with its whole stack.
///
/// # Safety
/// Must be jumped to with a hook's frame ([`super::hooks`]), which it removes.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn record() {
    body!(known_call!(count!(), leave_frame!());)
}

/// Records an allocation of x1 bytes with its whole stack and lets [`crate::live`] track its block
/// in x0.
///
/// # Safety
/// Must be jumped to with a hook's frame ([`super::hooks`]), which it removes.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn record_and_follow() {
    body!(
        known_call!(
            "mov x1, x11\n mov x3, x2\n",
            "ldp x29, x30, [sp, #16]\n add sp, sp, #32\n b {born}\n"
        );
        born = sym live::born_here,
    )
}
