//! Functions of the C library that this library defines for itself ([`crate::own_libc`]).

#![cfg(not(test))] // Unit tests are programs, with the C library's own functions.

use core::arch::global_asm;

/// Defines a C library function for this library alone, which jumps to one of its own functions.
macro_rules! define_as {
    ($name:literal, $function:path) => {
        core::arch::global_asm!(
            ".text",
            concat!(".globl ", $name),
            concat!(".hidden ", $name),
            concat!(".type ", $name, ", @function"),
            concat!($name, ":"),
            "endbr64",
            "jmp {function}",
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
            concat!(".globl ", $name),
            concat!(".hidden ", $name),
            concat!(".type ", $name, ", @function"),
            concat!($name, ":"),
            "endbr64",
            "jmp qword ptr [rip + {slot}]",
            concat!(".size ", $name, ", . - ", $name),
            slot = sym $slot,
        );
    };
}
pub(crate) use define_by_slot;

// Blocks of memory, until the C library's functions may be used: byte by byte, in assembly, which no compiler turns
// into a call of the very function.
global_asm!(
    ".text",
    ".globl skipheap_memcpy\n .hidden skipheap_memcpy\n skipheap_memcpy: mov rax, rdi\n mov rcx, rdx\n rep movsb\n ret",
    ".globl skipheap_memmove\n .hidden skipheap_memmove\n skipheap_memmove: mov rax, rdi\n mov rcx, rdx\n mov r8, rdi\n sub r8, rsi\n cmp r8, rdx\n jb 2f",
    "rep movsb\n ret",
    "2: lea rdi, [rdi + rcx - 1]\n lea rsi, [rsi + rcx - 1]\n std\n rep movsb\n cld\n ret",
    ".globl skipheap_memset\n .hidden skipheap_memset\n skipheap_memset: mov r8, rdi\n mov eax, esi\n mov rcx, rdx\n rep stosb\n mov rax, r8\n ret",
    ".globl skipheap_memcmp\n .hidden skipheap_memcmp\n skipheap_memcmp: mov rcx, rdx\n xor eax, eax\n cmp eax, eax\n repe cmpsb\n je 3f",
    "movzx eax, byte ptr [rdi - 1]\n movzx ecx, byte ptr [rsi - 1]\n sub eax, ecx",
    "3: ret",
    ".globl skipheap_strlen\n .hidden skipheap_strlen\n skipheap_strlen: xor eax, eax",
    "4: cmp byte ptr [rdi + rax], 0\n je 5f\n inc rax\n jmp 4b",
    "5: ret",
);

unsafe extern "C" {
    pub(crate) safe fn skipheap_memcpy();
    pub(crate) safe fn skipheap_memmove();
    pub(crate) safe fn skipheap_memset();
    pub(crate) safe fn skipheap_memcmp();
    pub(crate) safe fn skipheap_strlen();
}
