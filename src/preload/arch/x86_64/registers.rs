//! The registers: their numbers in unwind information, how the kernel reports them, and the
//! floating-point registers.

use core::arch::asm;
use core::ffi::c_int;
use core::ops::Range;
use gimli::Vendor;

/// How many registers unwinding follows: those of general purpose and the return address.
pub(crate) const COUNT: usize = 17;
/// The vendor whose instructions unwind information may contain.
pub(crate) const VENDOR: Vendor = Vendor::Default;
/// A set of registers, one bit for each.
pub(crate) type RegisterSet = u32;
/// The frame pointer, rbp, by its number in unwind information (System V ABI), as all of these.
pub(crate) const FP: u8 = 6;
/// The stack pointer, rsp.
pub(crate) const SP: u8 = 7;
/// The return address, or the address of the interrupted instruction.
pub(crate) const RA: u8 = 16;
/// The column of unwind information that has the return address.
pub(crate) const RETURN_COLUMN: u8 = RA;
/// The register that a call leaves the return address in; it leaves it on the stack.
pub(crate) const LINK_REGISTER: Option<u8> = None;
/// What [`capture`] writes: the registers that a call preserves, and the return address.
pub(crate) const CAPTURED: [u8; 8] = [3, FP, SP, 12, 13, 14, 15, RA];

/// Returns whether an operand-less unwind instruction specific to this architecture does not affect
/// where registers are saved.
pub(crate) fn says_nothing_of_places(_: u8) -> bool {
    false
}

/// Returns whether a letter of a CIE's augmentation specific to this architecture does not affect
/// how its entries are encoded, and has no data.
pub(crate) fn says_nothing_of_entries(_: u8) -> bool {
    false
}

/// The callee-saved registers, by their numbers in unwind information: rbx, rbp, r12 to r15.
pub(crate) const KEPT_REGISTERS: [i32; 6] = [3, 6, 12, 13, 14, 15];

/// Words of `struct user_regs_struct` of `<sys/user.h>`, which the kernel returns for
/// `NT_PRSTATUS`.
pub(crate) const REGISTERS: usize = 27;
/// The kernel's sets of registers that [`REGISTERS`] are read from, and which words each has.
pub(crate) const REGISTER_SETS: [(c_int, Range<usize>); 1] = [(libc::NT_PRSTATUS, 0..REGISTERS)];
/// The kernel's set of the registers that may hold addresses besides those (`NT_X86_XSTATE`).
pub(crate) const OTHER_REGISTERS: i32 = 0x202;

/// The index of the program counter in these registers.
pub(crate) fn ip_of(registers: &[u64; REGISTERS]) -> u64 {
    registers[16]
}

/// The index of the stack pointer in these registers.
pub(crate) fn sp_of(registers: &[u64; REGISTERS]) -> usize {
    registers[19] as usize
}

/// The index of the thread pointer in these registers.
pub(crate) fn tp_of(registers: &[u64; REGISTERS]) -> usize {
    registers[21] as usize
}

/// Bytes below the stack pointer that a function may use without moving it.
pub(crate) const RED_ZONE: usize = 128;

/// Bytes that hold the vector registers as XSAVE lays them out, in its standard form.
pub(crate) const VECTORS_LEN: usize = 2752;

/// What is saved of them: x87, SSE, AVX and the three parts of AVX-512; the parts that the machine does
/// not have are passed over.
const VECTOR_PARTS: u32 = 0xe7;

/// Saves all vector and mask registers in their full width.
///
/// # Safety
/// [`VECTORS_LEN`] bytes at `room`, aligned to 64, can be written.
pub(crate) unsafe fn save_vectors(room: usize) {
    /// Where the header lies, of which the instruction writes a part; the rest has to be zero.
    const HEADER: usize = 512;
    // SAFETY: as the caller promises.
    unsafe {
        ((room + HEADER) as *mut [u64; 8]).write([0; 8]);
        asm!("xsave64 [{}]", in(reg) room, in("eax") VECTOR_PARTS, in("edx") 0,
            options(nostack, preserves_flags));
    }
}

/// Restores what [`save_vectors`] saved.
///
/// # Safety
/// [`save_vectors`] has saved them at `room`.
pub(crate) unsafe fn restore_vectors(room: usize) {
    // SAFETY: as the caller promises. To the compiler all these registers are changed.
    unsafe {
        asm!("xrstor64 [{}]", in(reg) room, in("eax") VECTOR_PARTS, in("edx") 0,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
            options(nostack, preserves_flags));
    }
}

/// Sets the calling thread's floating-point environment to that of a new program, in which no
/// exception traps. Returns the previous control and status words (`fenv.h`) for
/// [`restore_floats`].
#[inline(always)]
pub(crate) fn plain_floats() -> u32 {
    let plain = 0x1f80_u32;
    let mut before = 0_u32;
    // SAFETY: stores the register, and sets it to what Rust expects it to be.
    unsafe {
        asm!("stmxcsr dword ptr [{}]", in(reg) &raw mut before, options(nostack, preserves_flags));
        asm!("ldmxcsr dword ptr [{}]", in(reg) &raw const plain, options(nostack, preserves_flags));
    }
    before
}

/// Restores what [`plain_floats`] returned.
#[inline(always)]
pub(crate) fn restore_floats(before: u32) {
    // SAFETY: the value was in the register before.
    unsafe {
        asm!("ldmxcsr dword ptr [{}]", in(reg) &raw const before, options(nostack, preserves_flags));
    }
}

/// Writes the callee-saved registers and the return address, as they are after this function
/// returns.
///
/// # Safety
/// `values` can be written.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn capture(values: *mut [u64; COUNT]) {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "mov qword ptr [rdi + 3 * 8], rbx",
        "mov qword ptr [rdi + 6 * 8], rbp",
        "lea rax, [rsp + 8]",
        "mov qword ptr [rdi + 7 * 8], rax",
        "mov qword ptr [rdi + 12 * 8], r12",
        "mov qword ptr [rdi + 13 * 8], r13",
        "mov qword ptr [rdi + 14 * 8], r14",
        "mov qword ptr [rdi + 15 * 8], r15",
        "mov rax, qword ptr [rsp]",
        "mov qword ptr [rdi + 16 * 8], rax",
        "ret",
        ".cfi_endproc",
    )
}
