//! The hot path in assembly. [`crate::hot`] describes what it does.
//!
//! It writes one count, in one instruction, so that a signal handler of the same thread runs either
//! before or after it.
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

use crate::hot::{SITE_EPOCH, SITE_THREAD};
use crate::live;
use crate::sites::{HASH_FACTOR, SIZE_FACTOR};
use crate::thread::{
    OFFSET_GENERATION, OFFSET_HOOKED_CALLS, OFFSET_INDEX, OFFSET_LAST_OBJECT, OFFSET_STACK_HI,
    OFFSET_STACK_HI_16, OFFSET_STACK_LEN, OFFSET_STACK_LO,
};
use crate::unwind::Rule;

// Labels are numbers: the tens say what, the units of which frame.
//   1n  the next slots        2n  the rule's slot is found
//   3n  a step with rbp       4n  the step is made: load the return address     5n  along rbp
//   6n  an allocation wrapper 8n  the site    97, 98  nothing to do             99  rest

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

/// Searches the next slots for a rule that is not in its own, up to a free slot.
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

/// A step to the caller's frame by a rule in which rbp has a part.
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

/// The path as a whole. `$entry` is how far above rsp the return address of the recorded call lies,
/// `$count` what is done with the site's record in r11, `$done` what follows, also where there is
/// nothing to do, `$rest` what is done where anything is out of the ordinary.
#[rustfmt::skip]
macro_rules! path {
    ($entry:literal, $count:expr, $done:expr, $rest:expr) => { concat!(
        "cmp dword ptr [rip + {control} + {word}], 0\n",
        "jne 97f\n",
        "mov rcx, qword ptr [rip + skipheap_thread_word@GOTTPOFF]\n",
        "mov rcx, qword ptr fs:[rcx]\n",
        "cmp rcx, 1\n",
        "jbe 98f\n",
        "mov r8, rsp\n",
        "sub r8, qword ptr [rcx + {lo}]\n",
        "cmp r8, qword ptr [rcx + {len}]\n",
        "jae 99f\n",
        "mov r10, qword ptr [rip + {table}]\n",
        "mov r11, qword ptr [r10 - {head}]\n",
        "mov r8, qword ptr [rsp + ", $entry, "]\n",
        "lea rsi, [rsp + ", $entry, " + 8]\n",
        "mov rdx, rbp\n",
        "60:\n",
        lookup!("0", "movq xmm0,"),
        // Wrappers come innermost: `operator new` is the first frame of most C++ allocations.
        step!("0", "test r9d, {wrapper_or_bp}"),
        lookup!("1", "movhps xmm0,"),
        step!("1", "test r9b, 3"),
        lookup!("2", "movq xmm1,"),
        step!("2", "test r9b, 3"),
        lookup!("3", "movhps xmm1,"),
        // The four ids, then the same in rdx and rsi.
        "shufps xmm0, xmm1, 0xdd\n",
        "movq rdx, xmm0\n",
        "punpckhqdq xmm0, xmm0\n",
        "movq rsi, xmm0\n",
        // The hash, as sites::hash.
        "imul r8, rdi, {size_factor}\n",
        "mov r9, {factor}\n",
        "xor r8, rdx\n",
        "imul r8, r9\n",
        "xor r8, rsi\n",
        "imul r8, r9\n",
        "shr r8, 24\n",
        "mov r9, r8\n",
        "shr r9, 16\n",
        "or r8d, 1\n",
        "mov r10, qword ptr [rcx + {index}]\n",
        // None in a child that was forked in a signal handler which interrupted this.
        "test r10, r10\n",
        "jz 99f\n",
        "80: and r9, qword ptr [r10 - {index_head}]\n",
        "mov r11, qword ptr [r10 + r9 * 8]\n",
        "cmp r11w, r8w\n",
        "cmovne r11, qword ptr [r10 + r9 * 8 + 8]\n",
        "cmp r11w, r8w\n",
        "jne 81f\n",
        "shr r11, 16\n",
        "cmp qword ptr [r11], rdx\n",
        "jne 82f\n",
        "cmp qword ptr [r11 + 8], rsi\n",
        "jne 82f\n",
        "cmp qword ptr [r11 + 16], rdi\n",
        "jne 82f\n",
        $count,
        $done,
        // Words of other sites: the next pair, unless a free word ends the search.
        "81: test r11, r11\n",
        "jz 99f\n",
        "82: add r9, 2\n",
        "jmp 80b\n",
        look_further!("0"),
        look_further!("1"),
        look_further!("2"),
        look_further!("3"),
        "30: test r9d, {wrapper}\n",
        "jnz 61f\n",
        step_with_bp!("0"),
        "31:\n",
        step_with_bp!("1"),
        "32:\n",
        step_with_bp!("2"),
        // A wrapper: the step, and its caller is the first frame to look up.
        "61: test r9b, 2\n",
        "jnz 63f\n",
        "mov r8d, r9d\n",
        "and r8d, 0xffff8\n",
        "add rsi, r8\n",
        "cmp rsi, qword ptr [rcx + {hi}]\n",
        "ja 99f\n",
        "test r9b, 1\n",
        "jz 62f\n",
        "shr r9d, 24\n",
        "neg r9\n",
        "mov rdx, qword ptr [rsi + r9 * 8]\n",
        "62: mov r8, qword ptr [rsi - 8]\n",
        "jmp 60b\n",
        "63: cmp rdx, rsi\n",
        "jb 99f\n",
        "cmp rdx, qword ptr [rcx + {hi_16}]\n",
        "ja 99f\n",
        "lea rsi, [rdx + 16]\n",
        "mov rdx, qword ptr [rdx]\n",
        "jmp 62b\n",
        // A cold section, or a program that is left out: nothing to do.
        "98: jne 99f\n",
        // (Recording is stopped.)
        "97:\n",
        $done,
        // Start over: nothing that was changed is needed.
        "99: lea rsi, [rsp + ", $entry, "]\n",
        "mov rdx, rbp\n",
        "mov rcx, rax\n",
        $rest,
    ) };
}

/// Counts in the site's record.
macro_rules! count {
    () => {
        "inc qword ptr [r11 + 24]\n"
    };
}
pub(crate) use count;

/// The body of a naked function: the given lines, with the operands that [`path!`] names.
macro_rules! body {
    ($($line:expr),+; $($operand:ident = $kind:tt $value:expr),* $(,)?) => {
        core::arch::naked_asm!(
            ".cfi_startproc",
            $($line,)+
            ".cfi_endproc",
            lo = const OFFSET_STACK_LO,
            len = const OFFSET_STACK_LEN,
            hi = const OFFSET_STACK_HI,
            hi_16 = const OFFSET_STACK_HI_16,
            index = const OFFSET_INDEX,
            index_head = const crate::sites::INDEX_HEAD,
            head = const crate::unwind::TABLE_HEAD,
            factor = const HASH_FACTOR,
            size_factor = const SIZE_FACTOR,
            wrapper = const Rule::TRANSPARENT,
            wrapper_or_bp = const Rule::TRANSPARENT | 3,
            table = sym crate::unwind::TABLE,
            control = sym crate::control::PAGE,
            word = const crate::control::WORD,
            rest = sym crate::thread::record_rest,
            $($operand = $kind $value,)*
        )
    };
}

/// The functions that the hooks of allocation functions jump to, of a path: `$path` with the
/// operands of `$body`, and `$rest` where it leads nowhere.
macro_rules! after_call {
    ($body:ident, $path:ident, $rest:literal) => {
        /// Records an allocation of rdi bytes (with the function's index in the upper bits) and
        /// returns the block in rax.
        ///
        /// # Safety
        /// Must be jumped to with rsp and rbp as the hook's caller left them.
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn record() {
            $body!($path!("0", count!(), "ret\n", $rest);)
        }

        /// Records an allocation of rdi bytes and lets [`crate::live`] track its block in rax.
        ///
        /// # Safety
        /// Must be jumped to with rsp and rbp as the hook's caller left them.
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn record_and_follow() {
            $body!(
                $path!(
                    "0",
                    "mov rdi, rax\n mov rsi, r11\n jmp {born}\n",
                    "ret\n",
                    $rest
                );
                born = sym crate::live::born_here,
            )
        }
    };
}
pub(crate) use after_call;
after_call!(body, path, "jmp {rest}\n");

/// A push or pop of a register with the unwind rule that follows from it. They are exact at each
/// instruction: a signal handler that allocates may interrupt any.
macro_rules! push {
    ($register:literal) => {
        concat!("push ", $register, "\n .cfi_adjust_cfa_offset 8\n")
    };
}
pub(crate) use push;
macro_rules! pop {
    ($register:literal) => {
        concat!("pop ", $register, "\n .cfi_adjust_cfa_offset -8\n")
    };
}
pub(crate) use pop;

/// Puts back what [`record_at_entry`] saved and returns to the trampoline.
macro_rules! leave {
    () => {
        concat!(
            ".cfi_remember_state\n",
            "movups xmm1, xmmword ptr [rsp + 16]\n",
            "movups xmm0, xmmword ptr [rsp]\n",
            "add rsp, 32\n",
            ".cfi_adjust_cfa_offset -32\n",
            pop!("r11"),
            pop!("r10"),
            pop!("r9"),
            pop!("r8"),
            pop!("rcx"),
            pop!("rdx"),
            pop!("rsi"),
            "ret\n",
            // The assembler's own idea of the offset is not restored.
            ".cfi_restore_state\n .cfi_def_cfa_offset 112\n",
        )
    };
}
pub(crate) use leave;

/// Calls `{rest}` with what else it may change saved, and leaves.
#[rustfmt::skip]
macro_rules! call_with_all_saved {
    () => {
        // Fourteen more vector registers, and two words to align the stack.
            concat!(
                push!("rax"),
                push!("rbx"),
                ".cfi_rel_offset rbx, 0\n",
                "mov rbx, rsp\n",
                ".cfi_def_cfa rbx, 128\n",
                "sub rsp, 224\n and rsp, -16\n",
                "movups xmmword ptr [rsp], xmm2\n",
                "movups xmmword ptr [rsp + 16], xmm3\n",
                "movups xmmword ptr [rsp + 32], xmm4\n",
                "movups xmmword ptr [rsp + 48], xmm5\n",
                "movups xmmword ptr [rsp + 64], xmm6\n",
                "movups xmmword ptr [rsp + 80], xmm7\n",
                "movups xmmword ptr [rsp + 96], xmm8\n",
                "movups xmmword ptr [rsp + 112], xmm9\n",
                "movups xmmword ptr [rsp + 128], xmm10\n",
                "movups xmmword ptr [rsp + 144], xmm11\n",
                "movups xmmword ptr [rsp + 160], xmm12\n",
                "movups xmmword ptr [rsp + 176], xmm13\n",
                "movups xmmword ptr [rsp + 192], xmm14\n",
                "movups xmmword ptr [rsp + 208], xmm15\n",
                "call {rest}\n",
                "movups xmm2, xmmword ptr [rsp]\n",
                "movups xmm3, xmmword ptr [rsp + 16]\n",
                "movups xmm4, xmmword ptr [rsp + 32]\n",
                "movups xmm5, xmmword ptr [rsp + 48]\n",
                "movups xmm6, xmmword ptr [rsp + 64]\n",
                "movups xmm7, xmmword ptr [rsp + 80]\n",
                "movups xmm8, xmmword ptr [rsp + 96]\n",
                "movups xmm9, xmmword ptr [rsp + 112]\n",
                "movups xmm10, xmmword ptr [rsp + 128]\n",
                "movups xmm11, xmmword ptr [rsp + 144]\n",
                "movups xmm12, xmmword ptr [rsp + 160]\n",
                "movups xmm13, xmmword ptr [rsp + 176]\n",
                "movups xmm14, xmmword ptr [rsp + 192]\n",
                "movups xmm15, xmmword ptr [rsp + 208]\n",
                "mov rsp, rbx\n",
                ".cfi_def_cfa rsp, 128\n",
                pop!("rbx"),
                ".cfi_restore rbx\n",
                pop!("rax"),
                leave!(),
            )
    };
}
pub(crate) use call_with_all_saved;

/// The body of a function of `before_call!`; `$count` as in [`path!`].
#[rustfmt::skip]
macro_rules! before_call_body {
    ($body:ident, $path:ident, $count:expr; $($operands:tt)*) => { $body!(
        ".cfi_def_cfa_offset 24",
        push!("rsi"),
        push!("rdx"),
        push!("rcx"),
        push!("r8"),
        push!("r9"),
        push!("r10"),
        push!("r11"),
        "sub rsp, 32",
        ".cfi_adjust_cfa_offset 32",
        "movups xmmword ptr [rsp], xmm0",
        "movups xmmword ptr [rsp + 16], xmm1",
        $path!(
            "104",
            $count,
            leave!(),
            call_with_all_saved!()
        );
        $($operands)*
    ) };
}
pub(crate) use before_call_body;

/// The functions that trampolines call, of a path: as [`after_call!`].
#[rustfmt::skip]
macro_rules! before_call {
    ($body:ident, $path:ident) => {
        /// Records a call of rdi bytes (with the function's index above) that is about to be made, and
        /// leaves every register but rdi and the flags as it was.
        ///
        /// Every register, not only those of arguments: the compiler knows which ones a function of the
        /// same file leaves alone, and keeps values in them across the call (GCC's `-fipa-ra`). The upper
        /// parts of the vector registers are left alone here and in [`crate::thread::record_rest`], and
        /// saved by cold sections, which call into the C library.
        ///
        /// The stated unwind rules lead straight to the caller of the hooked function: the trampoline has
        /// none, and no frame of its own.
        ///
        /// # Safety
        /// Must be called by a trampoline that has pushed one word since the hooked function was
        /// entered.
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn record_at_entry() {
            before_call_body!($body, $path, count!();)
        }

        /// Records a call of rdi bytes that is about to be made, and counts it for the thread unless it
        /// is nested: where the live heap is recorded, the timeline states the number of allocations.
        ///
        /// # Safety
        /// Must be called by a trampoline that has pushed one word since the hooked function was
        /// entered.
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn record_at_entry_and_sum_up() {
            before_call_body!(
                $body,
                $path,
                concat!(
                    "cmp dword ptr [r11 + {site_thread}], -1\n",
                    "je 83f\n",
                    "inc qword ptr [rcx + {hooked_calls}]\n",
                    "83:\n",
                    count!(),
                );
                site_thread = const SITE_THREAD,
                hooked_calls = const OFFSET_HOOKED_CALLS,
            )
        }

        /// Records the allocation of an object of rdi bytes that [`crate::live::regions`] follows, and
        /// counts it for the thread unless it is nested.
        ///
        /// # Safety
        /// Must be called by a trampoline that has pushed one word since the hooked function was
        /// entered.
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn record_object_at_entry() {
            before_call_body!(
                $body,
                $path,
                concat!(
                    "cmp dword ptr [r11 + {site_thread}], -1\n",
                    "je 83f\n",
                    // A peak, or a page, is new since the site's last object: the longer way.
                    "mov rdx, qword ptr [rip + {process}]\n",
                    "mov edx, dword ptr [rdx + {epoch}]\n",
                    "cmp dword ptr [r11 + {site_epoch}], edx\n",
                    "jne 99f\n",
                    "mov edx, dword ptr [rcx + {generation}]\n",
                    "cmp dword ptr [r11 + {site_generation}], edx\n",
                    "jne 99f\n",
                    "mov qword ptr [rcx + {last_object}], r11\n",
                    "inc qword ptr [rcx + {hooked_calls}]\n",
                    "83:\n",
                    count!(),
                );
                site_thread = const SITE_THREAD,
                site_epoch = const SITE_EPOCH,
                site_generation = const crate::live::regions::SITE_GENERATION,
                hooked_calls = const OFFSET_HOOKED_CALLS,
                generation = const OFFSET_GENERATION,
                last_object = const OFFSET_LAST_OBJECT,
                process = sym crate::process::PROCESS,
                epoch = const crate::process::Process::OFFSET_EPOCH,
            )
        }
    };
}
pub(crate) use before_call;
before_call!(body, path);

/// Tells [`live::regions::event`] that a function is called, and leaves every register but rdi and
/// the flags as it was.
///
/// # Safety
/// Must be called by a trampoline that has pushed one word since the hooked function was entered.
#[unsafe(naked)]
#[rustfmt::skip]
pub(crate) unsafe extern "C" fn tell_at_entry() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        ".cfi_def_cfa_offset 24",
        push!("rsi"),
        push!("rdx"),
        push!("rcx"),
        push!("r8"),
        push!("r9"),
        push!("r10"),
        push!("r11"),
        "sub rsp, 32",
        ".cfi_adjust_cfa_offset 32",
        "movups xmmword ptr [rsp], xmm0",
        "movups xmmword ptr [rsp + 16], xmm1",
        call_with_all_saved!(),
        ".cfi_endproc",
        rest = sym live::regions::event,
    )
}
