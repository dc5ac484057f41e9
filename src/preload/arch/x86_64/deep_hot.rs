//! The hot path when whole stacks are recorded: it finds a recently recorded call with the same
//! stack ([`crate::deep::calls`]).
//!
//! In Rust it would read:
//!
//! ```text
//! if control != 0 { return }                  // recording is stopped
//! let thread = tls_word;                      // 0: no state; 1: a cold section, or not profiled
//! let last = thread.last_stack or rest;       // null in a child of fork
//! last.walker = entry;                        // a signal handler leaves its own mark
//! for call in last.calls.set_of(entry, *entry, size) {
//!     if call is (entry, *entry, size), (rbp, if it is used), rules
//!         && call.words.all(|word| *word.address == word.value)
//!         && last.walker == entry
//!     { call.record.count += 1; return }
//! }
//! rest
//! ```
//!
//! `rest` is [`crate::deep::record_call`], which walks. It need not test whether the call is on the
//! thread's own stack, because other calls are never kept.
//!
//! May run at any moment, also in a signal handler that interrupted it, like [`super::hot`], whose
//! registers it uses. r9 holds the call that is examined.

use super::hot::{
    after_call, before_call, before_call_body, call_with_all_saved, count, leave, pop, push,
};
use crate::deep::Last;
use crate::deep::calls::{
    CALL_LEN, Call, ENTRY_FACTOR, HASH_SHIFT, RA_FACTOR, SET_SHIFT, SIZE_FACTOR,
};
use crate::hot::{SITE_EPOCH, SITE_THREAD};
use crate::thread::{
    OFFSET_GENERATION, OFFSET_HOOKED_CALLS, OFFSET_LAST_OBJECT, OFFSET_LAST_STACK,
};

/// Compares a word of the call, to which r11 points.
#[rustfmt::skip]
macro_rules! word {
    ($at:literal) => { concat!(
        "mov r8, qword ptr [r11 + {words} + 16 * ", $at, "]\n",
        "mov rdx, qword ptr [r11 + {words} + 16 * ", $at, " + 8]\n",
        "cmp qword ptr [r8], rdx\n",
        "jne 82f\n",
    ) };
}

/// The path as a whole, with the arguments of that of [`crate::hot`].
#[rustfmt::skip]
macro_rules! known_call {
    ($entry:literal, $count:expr, $done:expr, $rest:expr) => { concat!(
        "cmp dword ptr [rip + {control} + {word}], 0\n",
        "jne 97f\n",
        "mov rcx, qword ptr [rip + skipheap_thread_word@GOTTPOFF]\n",
        "mov rcx, qword ptr fs:[rcx]\n",
        "cmp rcx, 1\n",
        "jbe 98f\n",
        "mov r10, qword ptr [rcx + {last_stack}]\n",
        "test r10, r10\n",
        "jz 99f\n",
        "lea rsi, [rsp + ", $entry, "]\n",
        "mov r8, qword ptr [rsi]\n",
        "imul r9d, esi, {entry_factor}\n",
        "imul r11d, r8d, {ra_factor}\n",
        "imul edx, edi, {size_factor}\n",
        "add r9d, r11d\n",
        "add r9d, edx\n",
        "shr r9d, {hash_shift}\n",
        "shl r9d, {set_shift}\n",
        "lea r9, [r10 + r9 + {calls}]\n",
        "mov qword ptr [r10 + {walker}], rsi\n",
        "80: cmp qword ptr [r9 + {call_entry}], rsi\n",
        "jne 81f\n",
        "cmp qword ptr [r9 + {call_ra}], r8\n",
        "jne 81f\n",
        "cmp qword ptr [r9 + {call_size}], rdi\n",
        "jne 81f\n",
        "mov rdx, qword ptr [r9 + {call_bp}]\n",
        "xor rdx, rbp\n",
        "test rdx, qword ptr [r9 + {call_bp_mask}]\n",
        "jnz 81f\n",
        "mov rdx, qword ptr [rip + {rules}]\n",
        "cmp qword ptr [r9 + {call_rules}], rdx\n",
        "jne 99f\n",
        "mov rsi, qword ptr [r9 + {call_len}]\n",
        "mov r11, r9\n",
        "add rsi, r9\n",
        "70:\n",
        word!("0"),
        word!("1"),
        word!("2"),
        word!("3"),
        "add r11, 64\n",
        "cmp r11, rsi\n",
        "jb 70b\n",
        "mov r11, qword ptr [r9 + {call_record}]\n",
        "lea rsi, [rsp + ", $entry, "]\n",
        "cmp qword ptr [r10 + {walker}], rsi\n",
        "jne 99f\n",
        $count,
        $done,
        // Another stack, of which the first words were the same.
        "82: lea rsi, [rsp + ", $entry, "]\n",
        "mov r8, qword ptr [rsi]\n",
        // The other call of the set.
        "81: test r9d, {call_len_of_all}\n",
        "jnz 99f\n",
        "add r9, {call_len_of_all}\n",
        "jmp 80b\n",
        // A cold section, or a program that is left out: nothing to do.
        "98: jne 99f\n",
        // (Recording is stopped.)
        "97:\n",
        $done,
        // Nothing that was changed is needed.
        "99: lea rsi, [rsp + ", $entry, "]\n",
        "mov rdx, rbp\n",
        "mov rcx, rax\n",
        $rest,
    ) };
}

/// The body of a naked function: the given lines, with the operands that [`known_call!`] names.
macro_rules! body {
    ($($line:expr),+; $($operand:ident = $kind:tt $value:expr),* $(,)?) => {
        core::arch::naked_asm!(
            ".cfi_startproc",
            $($line,)+
            ".cfi_endproc",
            last_stack = const OFFSET_LAST_STACK,
            walker = const Last::OFFSET_WALKER,
            calls = const Last::OFFSET_CALLS,
            entry_factor = const ENTRY_FACTOR as i32,
            ra_factor = const RA_FACTOR as i32,
            size_factor = const SIZE_FACTOR as i32,
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

after_call!(body, known_call, "jmp {rest}\n");
before_call!(body, known_call);
