//! The hot path in assembly. [`crate::hot`] describes what it does.
//!
//! It changes one count, in a loop that is atomic with respect to signal handlers
//! ([`super::increment_at`]).
//!
//! | register | holds |
//! |---|---|
//! | x0 | the block to return |
//! | x1 | the size |
//! | x2 | the thread's state |
//! | x3, x4, x5 | sp, x29 and return address of the walk |
//! | x6, x7 | the rules and their mask |
//! | x8, x9 | the slot and its key |
//! | x10 | the end of the stack |
//! | x11, x12 | of a step |
//! | x13 to x16 | the rules met, whose high halves are the frame ids |
//!
//! The rules and the index are read by plain loads, so another thread's stores may become visible
//! in any order. If a slot's key is visible before its rule, the rule reads as none, and Rust looks
//! it up again with an acquire load of the key. All other loads read what this thread has written,
//! or depend on the address of the table, which keeps them in order.

use crate::live;
use crate::sites::{HASH_FACTOR, SIZE_FACTOR};
use crate::thread::{OFFSET_INDEX, OFFSET_STACK_HI, OFFSET_STACK_LO};
use crate::unwind::Rule;

// Labels are numbers: the tens say what, the units of which frame.
//   1n  the next slots        2n  the rule's slot is found
//   3n  a step of another kind 4n  the step is made
//   60  an allocation wrapper 7n  the root 79 all ids are there 8n  the site
//   97, 98  nothing to do     99  rest

/// Removes the hook's frame, with the block in x0.
macro_rules! leave_frame {
    () => {
        "ldp x29, x30, [sp, #16]\n add sp, sp, #32\n ret\n"
    };
}
pub(crate) use leave_frame;

/// Calls `{rest}` with what [`crate::thread::record_rest`] is told: the size, where the return address
/// lies, the caller's x29, and the block, which it returns.
macro_rules! call_rest {
    () => {
        "mov x3, x0\n mov x0, x1\n add x1, sp, #24\n ldr x2, [sp, #16]\n bl {rest}\n"
    };
}
pub(crate) use call_rest;

/// Looks up the rule of the return address in x5 and puts it into `$rule`.
#[rustfmt::skip]
macro_rules! lookup {
    ($n:literal, $rule:literal) => { concat!(
        "and x8, x5, x7\n",
        "add x8, x6, x8, lsl #3\n",
        "ldp x9, ", $rule, ", [x8]\n",
        "cmp x9, x5\n",
        "b.ne 1", $n, "f\n",
        "2", $n, ":\n",
    ) };
}

/// Searches the next slots for a rule that is not in its own, up to a free slot.
#[rustfmt::skip]
macro_rules! look_further {
    ($n:literal, $rule:literal) => { concat!(
        "1", $n, ": cbz x9, 99f\n",
        "sub x8, x8, x6\n",
        "add x8, x8, #16\n",
        "and x8, x8, x7, lsl #3\n",
        "add x8, x8, x6\n",
        "ldp x9, ", $rule, ", [x8]\n",
        "cmp x9, x5\n",
        "b.eq 2", $n, "b\n",
        "b 1", $n, "b\n",
    ) };
}

/// Steps by `$rule` if it is the plain step of a frame that saved x29 and whose CFA is relative to
/// sp.
#[rustfmt::skip]
macro_rules! step {
    ($n:literal, $rule:literal, $rule32:literal) => { concat!(
        "and w11, ", $rule32, ", #7\n",
        "cmp w11, #{usual}\n",
        "b.ne 3", $n, "f\n",
        "and x11, ", $rule, ", #0xffff0\n",
        "ubfx x12, ", $rule, ", #{place}, #11\n",
        "add x12, x3, x12, lsl #3\n",
        "add x3, x3, x11\n",
        "cmp x3, x10\n",
        "b.hi 99f\n",
        "ldp x4, x5, [x12, #-8]\n",
        "4", $n, ": and x5, x5, #{address}\n",
    ) };
}

/// A plain step of another kind.
#[rustfmt::skip]
macro_rules! other_step {
    ($n:literal, $rule:literal, $rule32:literal, $next:literal) => { concat!(
        // The base: no less than sp, and no more than the end of the stack. (An offset cannot wrap around.)
        "tst ", $rule32, ", #2\n",
        "csel x12, x4, x3, ne\n",
        "cmp x12, x3\n",
        "b.lo 99f\n",
        "cmp x12, x10\n",
        "b.hi 99f\n",
        "and x11, ", $rule, ", #0xffff0\n",
        "add x3, x12, x11\n",
        "cmp x3, x10\n",
        "b.hi 99f\n",
        "ubfx x11, ", $rule, ", #{place}, #11\n",
        "ldr x5, [x12, x11, lsl #3]\n",
        "tbz ", $rule32, ", #0, ", $next, "\n",
        "add x12, x12, x11, lsl #3\n",
        "ldur x4, [x12, #-8]\n",
        "b ", $next, "\n",
    ) };
}

/// Adds one to the count of the site whose record is in x11, which stays there.
macro_rules! count {
    () => {
        "add x8, x11, #24\n\
         83: ldxr x9, [x8]\n add x9, x9, #1\n stxr w12, x9, [x8]\n cbnz w12, 83b\n"
    };
}
pub(crate) use count;

/// The whole path. `$count` updates the site's record in x11, and `$done` follows it.
#[rustfmt::skip]
macro_rules! path {
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
        "ldp x4, x5, [x2, #{lo}]\n",
        "ldr x10, [x2, #{hi}]\n",
        "mov x3, sp\n",
        "sub x4, x3, x4\n",
        "cmp x4, x5\n",
        "b.hs 99f\n",
        "adrp x6, {table}\n",
        "ldr x6, [x6, :lo12:{table}]\n",
        "ldur x7, [x6, #-{head}]\n",
        "ldp x4, x5, [sp, #16]\n",
        "add x3, sp, #32\n",
        "60:\n",
        lookup!("0", "x13"),
        step!("0", "x13", "w13"),
        lookup!("1", "x14"),
        step!("1", "x14", "w14"),
        lookup!("2", "x15"),
        step!("2", "x15", "w15"),
        lookup!("3", "x16"),
        // The four ids, in x14 and x16.
        "79: bfxil x14, x13, #32, #32\n",
        "bfxil x16, x15, #32, #32\n",
        // The hash, as sites::hash.
        "movz w8, #{size_factor0}\n",
        "movk w8, #{size_factor1}, lsl #16\n",
        "mul x8, x1, x8\n",
        "movz x9, #{factor0}\n",
        "movk x9, #{factor1}, lsl #16\n",
        "movk x9, #{factor2}, lsl #32\n",
        "movk x9, #{factor3}, lsl #48\n",
        "eor x8, x8, x14\n",
        "mul x8, x8, x9\n",
        "eor x8, x8, x16\n",
        "mul x8, x8, x9\n",
        "ldr x10, [x2, #{index}]\n",
        // None in a child that was forked in a signal handler which interrupted this.
        "cbz x10, 99f\n",
        "ldur x12, [x10, #-{index_head}]\n",
        "lsr x9, x8, #40\n",
        "ubfx x8, x8, #24, #16\n",
        "orr x8, x8, #1\n",
        "80: and x9, x9, x12\n",
        // The first word of the pair that has the 16 bits of the hash, else the second.
        "add x3, x10, x9, lsl #3\n",
        "ldp x11, x4, [x3]\n",
        "eor x3, x8, x11\n",
        "tst x3, #0xffff\n",
        "csel x11, x11, x4, eq\n",
        "eor x3, x8, x11\n",
        "tst x3, #0xffff\n",
        "b.ne 81f\n",
        "lsr x11, x11, #16\n",
        "ldp x3, x4, [x11]\n",
        "ldr x5, [x11, #16]\n",
        "cmp x3, x14\n",
        "ccmp x4, x16, #0, eq\n",
        "ccmp x5, x1, #0, eq\n",
        "b.ne 82f\n",
        $count,
        $done,
        // Words of other sites: the next pair, unless a free word ends the search.
        "81: cbz x11, 99f\n",
        "82: add x9, x9, #2\n",
        "b 80b\n",
        look_further!("0", "x13"),
        look_further!("1", "x14"),
        look_further!("2", "x15"),
        look_further!("3", "x16"),
        // Wrappers come innermost: `operator new` is the first frame of most C++ allocations. Its caller is
        // the first frame to look up.
        "30: tbnz w13, #{plain_bit}, 50f\n",
        "tbz w13, #{wrapper_bit}, 70f\n",
        other_step!("0", "x13", "w13", "61f"),
        "61: and x5, x5, #{address}\n",
        "b 60b\n",
        "50:\n",
        other_step!("0", "x13", "w13", "40b"),
        "31: tbz w14, #{plain_bit}, 71f\n",
        other_step!("1", "x14", "w14", "41b"),
        "32: tbz w15, #{plain_bit}, 72f\n",
        other_step!("2", "x15", "w15", "42b"),
        // The root, whose id fills the rest; or what else is no step.
        "70: movz w11, #{end_low}\n movk w11, #{end_high}, lsl #16\n cmp w13, w11\n b.ne 99f\n",
        "mov x14, x13\n mov x15, x13\n mov x16, x13\n b 79b\n",
        "71: movz w11, #{end_low}\n movk w11, #{end_high}, lsl #16\n cmp w14, w11\n b.ne 99f\n",
        "mov x15, x14\n mov x16, x14\n b 79b\n",
        "72: movz w11, #{end_low}\n movk w11, #{end_high}, lsl #16\n cmp w15, w11\n b.ne 99f\n",
        "mov x16, x15\n b 79b\n",
        // A cold section, or a program that is left out: nothing to do.
        "98: b.ne 99f\n",
        // (Recording is stopped.)
        "97:\n",
        leave_frame!(),
        // Start over: nothing that was changed is needed.
        "99:\n",
        call_rest!(),
        leave_frame!(),
    ) };
}

/// Half a word of an immediate.
pub(super) const fn part(value: u64, number: u32) -> u64 {
    value >> (16 * number) & 0xffff
}

/// The rule of the root of a stack.
const END: u64 = Rule::END.0;

/// The body of a naked function: the given lines, with the operands that [`path!`] names.
macro_rules! body {
    ($($line:expr),+; $($operand:ident = $kind:tt $value:expr),* $(,)?) => {
        core::arch::naked_asm!(
            ".cfi_startproc",
            ".cfi_def_cfa_offset 32\n .cfi_offset x29, -16\n .cfi_offset x30, -8",
            "hint #34", // bti c
            $($line,)+
            ".cfi_endproc",
            lo = const OFFSET_STACK_LO,
            hi = const OFFSET_STACK_HI,
            index = const OFFSET_INDEX,
            index_head = const crate::sites::INDEX_HEAD,
            head = const crate::unwind::TABLE_HEAD,
            size_factor0 = const part(SIZE_FACTOR, 0),
            size_factor1 = const part(SIZE_FACTOR, 1),
            factor0 = const part(HASH_FACTOR, 0),
            factor1 = const part(HASH_FACTOR, 1),
            factor2 = const part(HASH_FACTOR, 2),
            factor3 = const part(HASH_FACTOR, 3),
            usual = const Rule::PLAIN | Rule::SAVES_BP,
            plain_bit = const Rule::PLAIN.ilog2(),
            wrapper_bit = const Rule::TRANSPARENT.ilog2(),
            end_low = const part(END, 0),
            end_high = const part(END, 1),
            place = const super::rule::PLACE_SHIFT,
            address = const super::rule::ADDRESS,
            table = sym crate::unwind::TABLE,
            control = sym crate::control::PAGE,
            word = const crate::control::WORD,
            rest = sym crate::thread::record_rest,
            $($operand = $kind $value,)*
        )
    };
}
const _: () = assert!(SIZE_FACTOR >> 32 == 0);
const _: () = assert!(crate::thread::OFFSET_STACK_LEN == OFFSET_STACK_LO + 8);
const _: () = assert!(END >> 32 == 0 && END & (Rule::PLAIN | Rule::TRANSPARENT) == 0);

/// Records an allocation of x1 bytes (with the function's index in the upper bits) and returns the
/// block in x0.
///
/// # Safety
/// Must be jumped to with a hook's frame ([`super::hooks`]), which it removes.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn record() {
    body!(path!(count!(), leave_frame!());)
}

/// Records an allocation of x1 bytes and lets [`crate::live`] track its block in x0.
///
/// # Safety
/// Must be jumped to with a hook's frame ([`super::hooks`]), which it removes.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn record_and_follow() {
    body!(
        path!(
            "mov x1, x11\n mov x3, x2\n",
            "ldp x29, x30, [sp, #16]\n add sp, sp, #32\n b {born}\n"
        );
        born = sym live::born_here,
    )
}

#[cfg(test)]
mod tests {
    use super::super::deep_hot;

    /// Instructions from the start of a path to where it returns when everything is as it mostly is.
    fn length(path: unsafe extern "C" fn()) -> usize {
        const RET: u32 = 0xd65f_03c0;
        let code = path as *const () as *const u32;
        // SAFETY: the path's own code, up to its first return.
        (1..)
            .find(|&len| unsafe { *code.add(len - 1) } == RET)
            .unwrap()
    }

    /// In addition, a hook has 14.
    #[test]
    fn the_hot_paths_are_short() {
        assert!(length(super::record) <= 120, "{}", length(super::record));
        let whole = length(deep_hot::record);
        assert!(whole <= 85, "{whole}");
    }
}
