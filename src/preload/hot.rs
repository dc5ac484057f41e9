//! The hot path: from the return of the real allocation function to the count of its site, where
//! everything is as it mostly is. About a hundred instructions in assembly; the compiler's best
//! version of the same took forty more, half of them to save registers.
//!
//! In Rust it would read:
//!
//! ```text
//! let thread = tls_word;                      // 0: no state; 1: a cold section, or not profiled
//! if rsp not in thread.stack { rest }
//! let (mut ra, mut sp, mut bp) = (*rsp, rsp + 8, rbp);
//! for i in 0..4 {
//!     let rule = rules[ra] or rest;
//!     ids[i] = rule.id;
//!     if i < 3 { step(ra, sp, bp, rule) }     // as walk::step, or rest
//! }
//! let site = index[hash(ids, size)] or rest;
//! site.count += 1;
//! ```
//!
//! `rest` is [`crate::thread::record_rest`], which starts over. What kind of rule was met is not
//! tested: a walk over anything but plain steps ends in frames that no site has
//! ([`crate::unwind`]'s rule says why).
//!
//! May run at any moment, also in a signal handler that interrupted it: it writes one count, in one
//! instruction.
//!
//! | register | holds |
//! |---|---|
//! | rax | the block to return |
//! | rdi | the size |
//! | rcx | the thread's state |
//! | rsi, rdx, r8 | sp, bp and return address of the walk |
//! | r10, r11 | the rules and their mask |
//! | r9 | the slot's index (in words), then the rule |
//! | xmm0, xmm1 | the rules met, whose high halves are the frame ids |

use crate::sites::HASH_FACTOR;
use crate::thread::{
    OFFSET_INDEX, OFFSET_INDEX_MASK, OFFSET_STACK_HI, OFFSET_STACK_HI_16, OFFSET_STACK_LEN,
    OFFSET_STACK_LO,
};
use crate::unwind::Rule;

// Labels are numbers: the tens say what, the units of which frame.
//   1n  the next slots        2n  the rule's slot is found
//   3n  a step with rbp       4n  the step is made: load the return address     5n  along rbp
//   6n  an allocation wrapper 8n  the site    98  nothing to do                 99  rest

/// Looks up the rule of the return address in r8: its slot's index goes to r9, the rule by `$keep`
/// into an xmm register.
#[rustfmt::skip]
macro_rules! lookup {
    ($n:literal, $keep:literal) => { concat!(
        "mov r9, r8\n",
        "and r9, r11\n",
        "cmp qword ptr [r10 + r9 * 8], r8\n",
        "jne 1", $n, "f\n",
        "2", $n, ": ", $keep, " qword ptr [r10 + r9 * 8 + 8]\n",
    ) };
}

/// The next slots, for a rule that is not in its own, until a free one.
#[rustfmt::skip]
macro_rules! look_further {
    ($n:literal) => { concat!(
        "1", $n, ": cmp qword ptr [r10 + r9 * 8], 0\n",
        "je 99f\n",
        "add r9, 2\n",
        "and r9, r11\n",
        "cmp qword ptr [r10 + r9 * 8], r8\n",
        "je 2", $n, "b\n",
        "jmp 1", $n, "b\n",
    ) };
}

/// Makes the step that the slot at r9 says, if it is from rsp without rbp (`$other` tests for all
/// else).
#[rustfmt::skip]
macro_rules! step {
    ($n:literal, $other:literal) => { concat!(
        "mov r9, qword ptr [r10 + r9 * 8 + 8]\n",
        $other, "\n",
        "jnz 3", $n, "f\n",
        "and r9d, 0xffff8\n",
        "add rsi, r9\n",
        "cmp rsi, qword ptr [rcx + {hi}]\n",
        "ja 99f\n",
        "4", $n, ": mov r8, qword ptr [rsi - 8]\n",
    ) };
}

/// The same where rbp has a part in it.
#[rustfmt::skip]
macro_rules! step_with_bp {
    ($n:literal) => { concat!(
        "test r9b, 2\n",
        "jnz 5", $n, "f\n",
        // CFA = rsp + offset, and rbp was saved.
        "mov edx, r9d\n",
        "and r9d, 0xffff8\n",
        "add rsi, r9\n",
        "cmp rsi, qword ptr [rcx + {hi}]\n",
        "ja 99f\n",
        "shr edx, 24\n",
        "neg rdx\n",
        "mov rdx, qword ptr [rsi + rdx * 8]\n",
        "jmp 4", $n, "b\n",
        // CFA = rbp + 16. rbp may hold anything, so it is compared with the end less 16, which
        // cannot wrap around.
        "5", $n, ": cmp rdx, rsi\n",
        "jb 99f\n",
        "cmp rdx, qword ptr [rcx + {hi_16}]\n",
        "ja 99f\n",
        "lea rsi, [rdx + 16]\n",
        "mov rdx, qword ptr [rdx]\n",
        "jmp 4", $n, "b\n",
    ) };
}

/// Records an allocation of rdi bytes (with the function's index above), returns the block in rax.
///
/// # Safety
/// To be jumped to with rsp and rbp as the caller of the hook left them.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn record() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "mov rcx, qword ptr [rip + skipheap_thread_word@GOTTPOFF]",
        "mov rcx, qword ptr fs:[rcx]",
        "cmp rcx, 1",
        "jbe 98f",
        "mov r8, rsp",
        "sub r8, qword ptr [rcx + {lo}]",
        "cmp r8, qword ptr [rcx + {len}]",
        "jae 99f",
        "mov r10, qword ptr [rip + {table}]",
        "mov r11, qword ptr [r10 - {head}]",
        "mov r8, qword ptr [rsp]",
        "lea rsi, [rsp + 8]",
        "mov rdx, rbp",
        "60:",
        lookup!("0", "movq xmm0,"),
        // Wrappers come innermost: `operator new` is the first frame of most C++ allocations.
        step!("0", "test r9d, {wrapper_or_bp}"),
        lookup!("1", "movhps xmm0,"),
        step!("1", "test r9b, 3"),
        lookup!("2", "movq xmm1,"),
        step!("2", "test r9b, 3"),
        lookup!("3", "movhps xmm1,"),
        // The four ids, then the same in rdx and rsi.
        "shufps xmm0, xmm1, 0xdd",
        "movq rdx, xmm0",
        "punpckhqdq xmm0, xmm0",
        "movq rsi, xmm0",
        // The hash, as sites::hash.
        "mov r9, {factor}",
        "mov r8, rdi",
        "imul r8, r9",
        "xor r8, rdx",
        "imul r8, r9",
        "xor r8, rsi",
        "imul r8, r9",
        "shr r8, 24",
        "mov r9, r8",
        "shr r9, 16",
        "or r8d, 1",
        "mov r10, qword ptr [rcx + {index}]",
        "80: and r9, qword ptr [rcx + {index_mask}]",
        "mov r11, qword ptr [r10 + r9 * 8]",
        "cmp r11w, r8w",
        "jne 81f",
        "shr r11, 16",
        "cmp qword ptr [r11], rdx",
        "jne 82f",
        "cmp qword ptr [r11 + 8], rsi",
        "jne 82f",
        "cmp qword ptr [r11 + 16], rdi",
        "jne 82f",
        "inc qword ptr [r11 + 24]",
        "ret",
        // Another site's word: the next one, unless the index ends the search with a free word.
        "81: test r11, r11",
        "jz 99f",
        "82: inc r9",
        "jmp 80b",
        look_further!("0"),
        look_further!("1"),
        look_further!("2"),
        look_further!("3"),
        "30: test r9d, {wrapper}",
        "jnz 61f",
        step_with_bp!("0"),
        "31:",
        step_with_bp!("1"),
        "32:",
        step_with_bp!("2"),
        // A wrapper: the step, and its caller is the first frame to look up.
        "61: test r9b, 2",
        "jnz 63f",
        "mov r8d, r9d",
        "and r8d, 0xffff8",
        "add rsi, r8",
        "cmp rsi, qword ptr [rcx + {hi}]",
        "ja 99f",
        "test r9b, 1",
        "jz 62f",
        "shr r9d, 24",
        "neg r9",
        "mov rdx, qword ptr [rsi + r9 * 8]",
        "62: mov r8, qword ptr [rsi - 8]",
        "jmp 60b",
        "63: cmp rdx, rsi",
        "jb 99f",
        "cmp rdx, qword ptr [rcx + {hi_16}]",
        "ja 99f",
        "lea rsi, [rdx + 16]",
        "mov rdx, qword ptr [rdx]",
        "jmp 62b",
        // A cold section, or a program that is left out: nothing to do.
        "98: jne 99f",
        "ret",
        // Start over: nothing that was changed is needed.
        "99: mov rsi, rsp",
        "mov rdx, rbp",
        "mov rcx, rax",
        "jmp {rest}",
        ".cfi_endproc",
        lo = const OFFSET_STACK_LO,
        len = const OFFSET_STACK_LEN,
        hi = const OFFSET_STACK_HI,
        hi_16 = const OFFSET_STACK_HI_16,
        index = const OFFSET_INDEX,
        index_mask = const OFFSET_INDEX_MASK,
        head = const crate::unwind::TABLE_HEAD,
        factor = const HASH_FACTOR,
        wrapper = const Rule::TRANSPARENT,
        wrapper_or_bp = const Rule::TRANSPARENT | 3,
        table = sym crate::unwind::TABLE,
        rest = sym crate::thread::record_rest,
    )
}
