//! Functions of the C library that this library defines for itself ([`crate::own_libc`]).

#![cfg(not(test))] // Unit tests are programs, with the C library's own functions.

use core::arch::global_asm;

/// Defines a C library function for this library alone, which jumps to one of its own functions.
macro_rules! define_as {
    ($name:literal, $function:path) => {
        core::arch::global_asm!(
            ".text",
            ".p2align 2",
            concat!(".globl ", $name),
            concat!(".hidden ", $name),
            concat!(".type ", $name, ", @function"),
            concat!($name, ":"),
            "hint #34", // bti c
            "b {function}",
            concat!(".size ", $name, ", . - ", $name),
            function = sym $function,
        );
    };
}
pub(crate) use define_as;

/// Defines a function for this library alone that jumps to the address in a slot.
macro_rules! define_by_slot {
    ($name:literal, $slot:path) => {
        core::arch::global_asm!(
            ".text",
            ".p2align 2",
            concat!(".globl ", $name),
            concat!(".hidden ", $name),
            concat!(".type ", $name, ", @function"),
            concat!($name, ":"),
            "hint #34", // bti c
            "adrp x16, {slot}",
            "ldr x16, [x16, :lo12:{slot}]",
            "br x16",
            concat!(".size ", $name, ", . - ", $name),
            slot = sym $slot,
        );
    };
}
pub(crate) use define_by_slot;

// Blocks of memory, until the C library's functions may be used: byte by byte, in assembly, which no
// compiler turns into a call of the very function.
global_asm!(
    ".text",
    ".p2align 2",
    ".globl skipheap_memcpy\n .hidden skipheap_memcpy\n skipheap_memcpy: hint #34",
    "mov x3, x0",
    "2: cbz x2, 3f\n ldrb w4, [x1], #1\n strb w4, [x3], #1\n sub x2, x2, #1\n b 2b",
    "3: ret",
    ".globl skipheap_memmove\n .hidden skipheap_memmove\n skipheap_memmove: hint #34",
    "sub x3, x0, x1\n cmp x3, x2\n b.hs skipheap_memcpy",
    "4: cbz x2, 5f\n sub x2, x2, #1\n ldrb w4, [x1, x2]\n strb w4, [x0, x2]\n b 4b",
    "5: ret",
    ".globl skipheap_memset\n .hidden skipheap_memset\n skipheap_memset: hint #34",
    "mov x3, x0",
    "6: cbz x2, 7f\n strb w1, [x3], #1\n sub x2, x2, #1\n b 6b",
    "7: ret",
    ".globl skipheap_memcmp\n .hidden skipheap_memcmp\n skipheap_memcmp: hint #34",
    "8: cbz x2, 9f\n ldrb w3, [x0], #1\n ldrb w4, [x1], #1\n sub x2, x2, #1\n cmp w3, w4\n b.eq 8b",
    "sub w0, w3, w4\n ret",
    "9: mov w0, #0\n ret",
    ".globl skipheap_strlen\n .hidden skipheap_strlen\n skipheap_strlen: hint #34",
    "mov x1, x0",
    "20: ldrb w2, [x1]\n cbz w2, 21f\n add x1, x1, #1\n b 20b",
    "21: sub x0, x1, x0\n ret",
);

unsafe extern "C" {
    pub(crate) safe fn skipheap_memcpy();
    pub(crate) safe fn skipheap_memmove();
    pub(crate) safe fn skipheap_memset();
    pub(crate) safe fn skipheap_memcmp();
    pub(crate) safe fn skipheap_strlen();
}
