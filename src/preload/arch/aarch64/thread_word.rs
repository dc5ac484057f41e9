//! The words that each thread has in static TLS, and the thread pointer.
//!
//! May run at any moment.

use core::arch::{asm, global_asm};
use core::ops::Range;

// Pointer-sized thread-locals in the initial-exec model. `thread_local!` in a shared library goes
// through a TLS descriptor, whose function the loader chooses. Because of these words the library has
// to have its TLS block among the static ones, so that the loader chooses the function that returns a
// constant for all of the library's own thread-locals, those of std included.
global_asm!(
    ".section .tbss,\"awT\",@nobits",
    ".globl skipheap_thread_word",
    ".hidden skipheap_thread_word",
    ".type skipheap_thread_word, @object",
    ".size skipheap_thread_word, 8",
    ".p2align 3",
    "skipheap_thread_word:",
    ".zero 8",
    ".globl skipheap_escape_word",
    ".hidden skipheap_escape_word",
    ".type skipheap_escape_word, @object",
    ".size skipheap_escape_word, 8",
    "skipheap_escape_word:",
    ".zero 8",
    ".text",
);

/// The calling thread's word; 0 in a new thread.
#[inline(always)]
pub(crate) fn thread_word() -> usize {
    let word: usize;
    // SAFETY: reads eight bytes of our own static TLS, which every thread has.
    unsafe {
        asm!(
            "adrp {w}, :gottprel:skipheap_thread_word",
            "ldr {w}, [{w}, :gottprel_lo12:skipheap_thread_word]",
            "mrs {t}, tpidr_el0",
            "ldr {w}, [{t}, {w}]",
            w = out(reg) word,
            t = out(reg) _,
            options(nostack, preserves_flags, readonly),
        );
    }
    word
}

/// Sets the calling thread's word.
#[inline(always)]
pub(crate) fn set_thread_word(word: usize) {
    // SAFETY: writes eight bytes of our own static TLS, which every thread has.
    unsafe {
        asm!(
            "adrp {o}, :gottprel:skipheap_thread_word",
            "ldr {o}, [{o}, :gottprel_lo12:skipheap_thread_word]",
            "mrs {t}, tpidr_el0",
            "str {w}, [{t}, {o}]",
            o = out(reg) _,
            t = out(reg) _,
            w = in(reg) word,
            options(nostack, preserves_flags),
        );
    }
}

/// The address of the word of the thread with this thread pointer.
pub(crate) fn thread_word_of(tp: usize) -> usize {
    let offset: usize;
    // SAFETY: reads the word's distance from the thread pointer, the same for all threads.
    unsafe {
        asm!(
            "adrp {w}, :gottprel:skipheap_thread_word",
            "ldr {w}, [{w}, :gottprel_lo12:skipheap_thread_word]",
            w = out(reg) offset,
            options(nostack, preserves_flags, readonly),
        );
    }
    tp.wrapping_add(offset)
}

/// The thread pointer, below which glibc keeps the thread's descriptor.
#[inline(always)]
pub(crate) fn thread_pointer() -> usize {
    let tp: usize;
    // SAFETY: reads the register that the ABI reserves for the thread pointer.
    unsafe {
        asm!("mrs {}, tpidr_el0", out(reg) tp, options(nomem, nostack, preserves_flags));
    }
    tp
}

/// Offsets from the thread pointer at which glibc's thread descriptor may hold the stack of its
/// thread (modulo 2^64: the descriptor is below the pointer). glibc has 0x700 bytes or more there
/// in all versions so far.
pub(crate) const GLIBC_STACK_PLACES: Range<usize> =
    0_usize.wrapping_sub(0x600)..0_usize.wrapping_sub(0x100);

/// Where [`super::escape`] returns to: an address on the stack, or 0 if nothing catches it.
#[inline(always)]
pub(super) fn escape_word() -> *mut usize {
    let word: *mut usize;
    // SAFETY: computes the address of eight bytes of our own static TLS, which every thread has.
    unsafe {
        asm!(
            "adrp {w}, :gottprel:skipheap_escape_word",
            "ldr {w}, [{w}, :gottprel_lo12:skipheap_escape_word]",
            "mrs {t}, tpidr_el0",
            "add {w}, {t}, {w}",
            w = out(reg) word,
            t = out(reg) _,
            options(nostack, preserves_flags, readonly),
        );
    }
    word
}
