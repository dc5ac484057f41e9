//! The words that each thread has in static TLS, and the thread pointer.
//!
//! May run at any moment.

use core::arch::{asm, global_asm};
use core::ops::Range;

// Pointer-sized thread-locals in the initial-exec model. `thread_local!` in a shared library
// goes through the loader's address function, which may allocate. Eight bytes never exhaust the
// static TLS surplus, so the library can also be loaded by dlopen.
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

// std was compiled for dynamic TLS: its few thread-locals (panic count and the like) would call the
// loader's address function. That function is defined here instead, for this library alone. Our TLS
// block is in static TLS (the word above forces that), so the block's distance from the thread
// pointer is the same for all threads, and equals the word's offset from the thread pointer less
// its offset in the block. Argument in rdi: {module, offset}. May change rax, rcx, rdx, rsi, rdi,
// r8-r11 as any call may.
#[cfg(not(test))]
global_asm!(
    ".text",
    ".globl __tls_get_addr",
    ".hidden __tls_get_addr",
    ".type __tls_get_addr, @function",
    "__tls_get_addr:",
    "mov rax, qword ptr [rip + skipheap_thread_word@GOTTPOFF]",
    "add rax, qword ptr fs:[0]",
    "add rax, qword ptr [rdi + 8]",
    "mov rcx, qword ptr [rip + skipheap_thread_word_dtpoff]",
    "sub rax, rcx",
    "ret",
    ".size __tls_get_addr, . - __tls_get_addr",
    ".section .rodata",
    ".p2align 3",
    "skipheap_thread_word_dtpoff:",
    ".quad skipheap_thread_word@DTPOFF",
    ".text",
);

/// The calling thread's word; 0 in a new thread.
#[inline(always)]
pub(crate) fn thread_word() -> usize {
    let word: usize;
    // SAFETY: reads eight bytes of our own static TLS, which every thread has.
    unsafe {
        asm!(
            "mov {w}, qword ptr [rip + skipheap_thread_word@GOTTPOFF]",
            "mov {w}, qword ptr fs:[{w}]",
            w = out(reg) word,
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
            "mov {t}, qword ptr [rip + skipheap_thread_word@GOTTPOFF]",
            "mov qword ptr fs:[{t}], {w}",
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
            "mov {w}, qword ptr [rip + skipheap_thread_word@GOTTPOFF]",
            w = out(reg) offset,
            options(nostack, preserves_flags, readonly),
        );
    }
    tp.wrapping_add(offset)
}

/// The thread pointer, where glibc keeps the thread's descriptor.
#[inline(always)]
pub(crate) fn thread_pointer() -> usize {
    let tp: usize;
    // SAFETY: the x86-64 ABI keeps the thread pointer itself at fs:0.
    unsafe {
        asm!("mov {}, qword ptr fs:[0]", out(reg) tp, options(nostack, preserves_flags, readonly));
    }
    tp
}

/// Where glibc's thread descriptor may have the stack of its thread, from the thread pointer on. The
/// descriptor's size is about 0x900 in all versions so far.
pub(crate) const GLIBC_STACK_PLACES: Range<usize> = 0x100..0x800;

/// Where [`super::escape`] returns to: an address on the stack, or 0 if nothing catches it.
#[inline(always)]
pub(super) fn escape_word() -> *mut usize {
    let word: *mut usize;
    // SAFETY: computes the address of eight bytes of our own static TLS, which every thread has.
    unsafe {
        asm!(
            "mov {w}, qword ptr [rip + skipheap_escape_word@GOTTPOFF]",
            "add {w}, qword ptr fs:[0]",
            w = out(reg) word,
            options(nostack, readonly),
        );
    }
    word
}
