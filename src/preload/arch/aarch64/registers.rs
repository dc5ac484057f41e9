//! The registers: their numbers in unwind information, how the kernel reports them, and the
//! floating-point registers.

use core::arch::asm;
use core::ffi::c_int;
use core::ops::Range;
use gimli::Vendor;

/// How many registers unwinding follows: x0 to x30, the stack pointer and the return address.
pub(crate) const COUNT: usize = 33;
/// The vendor whose instructions unwind information may contain: those that say that return
/// addresses are signed.
pub(crate) const VENDOR: Vendor = Vendor::AArch64;
/// A set of registers, one bit for each.
pub(crate) type RegisterSet = u64;
/// The frame pointer, x29, by its number in unwind information (AADWARF64), as all of these.
pub(crate) const FP: u8 = 29;
/// The stack pointer.
pub(crate) const SP: u8 = 31;
/// The return address, or the address of the interrupted instruction: pc.
pub(crate) const RA: u8 = 32;
/// The column of unwind information that has the return address.
pub(crate) const RETURN_COLUMN: u8 = 30;
/// The register that a call leaves the return address in: x30.
pub(crate) const LINK_REGISTER: Option<u8> = Some(30);
/// What [`capture`] writes: the registers that a call preserves, and the return address.
pub(crate) const CAPTURED: [u8; 13] = [19, 20, 21, 22, 23, 24, 25, 26, 27, 28, FP, SP, RA];

/// Returns whether an operand-less unwind instruction specific to this architecture does not affect
/// where registers are saved.
pub(crate) fn says_nothing_of_places(instruction: u8) -> bool {
    /// `DW_CFA_AARCH64_negate_ra_state`: from here on the return address is signed, or no longer. A
    /// signature is taken off wherever a return address is read ([`super::rule::strip`]).
    const NEGATE_RA_STATE: u8 = 0x2d;
    instruction == NEGATE_RA_STATE
}

/// Returns whether a letter of a CIE's augmentation specific to this architecture does not affect
/// how its entries are encoded, and has no data: `B`, return addresses are signed with the second
/// key, and `G`, the stack is tagged.
pub(crate) fn says_nothing_of_entries(letter: u8) -> bool {
    matches!(letter, b'B' | b'G')
}

/// The callee-saved registers, by their numbers in unwind information: x19 to x29.
pub(crate) const KEPT_REGISTERS: [i32; 11] = [19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29];

/// Words of `struct user_pt_regs` of `<asm/ptrace.h>`, which the kernel returns for `NT_PRSTATUS`:
/// x0 to x30, sp, pc and pstate.
const GENERAL: usize = 34;
/// Words of the registers of a stopped thread: those, and the thread pointer.
pub(crate) const REGISTERS: usize = GENERAL + 1;
/// The kernel's sets of registers that [`REGISTERS`] are read from, and which words each has.
pub(crate) const REGISTER_SETS: [(c_int, Range<usize>); 2] = [
    (libc::NT_PRSTATUS, 0..GENERAL),
    (NT_ARM_TLS, GENERAL..REGISTERS),
];
/// The set of the thread pointer.
const NT_ARM_TLS: c_int = 0x401;
/// The kernel's set of the registers that may hold addresses besides those (`NT_FPREGSET`).
pub(crate) const OTHER_REGISTERS: i32 = 2;

/// The index of the program counter in these registers.
pub(crate) fn ip_of(registers: &[u64; REGISTERS]) -> u64 {
    registers[32]
}

/// The index of the stack pointer in these registers.
pub(crate) fn sp_of(registers: &[u64; REGISTERS]) -> usize {
    registers[31] as usize
}

/// The index of the thread pointer in these registers.
pub(crate) fn tp_of(registers: &[u64; REGISTERS]) -> usize {
    registers[GENERAL] as usize
}

/// Bytes below the stack pointer that a function may use without moving it.
pub(crate) const RED_ZONE: usize = 0;

/// Bytes that hold the vector registers v0 to v31.
pub(crate) const VECTORS_LEN: usize = 512;

/// Saves all vector registers, in the width that every processor has.
///
/// # Safety
/// [`VECTORS_LEN`] bytes at `room`, aligned to 64, can be written.
pub(crate) unsafe fn save_vectors(room: usize) {
    // SAFETY: the caller's room is long enough.
    unsafe {
        asm!(
            "stp q0, q1, [{0}, #0]\n stp q2, q3, [{0}, #32]\n stp q4, q5, [{0}, #64]\n stp q6, q7, [{0}, #96]",
            "stp q8, q9, [{0}, #128]\n stp q10, q11, [{0}, #160]\n stp q12, q13, [{0}, #192]\n stp q14, q15, [{0}, #224]",
            "stp q16, q17, [{0}, #256]\n stp q18, q19, [{0}, #288]\n stp q20, q21, [{0}, #320]\n stp q22, q23, [{0}, #352]",
            "stp q24, q25, [{0}, #384]\n stp q26, q27, [{0}, #416]\n stp q28, q29, [{0}, #448]\n stp q30, q31, [{0}, #480]",
            in(reg) room,
            options(nostack, preserves_flags),
        );
    }
}

/// Restores what [`save_vectors`] saved.
///
/// # Safety
/// [`save_vectors`] has saved them at `room`.
pub(crate) unsafe fn restore_vectors(room: usize) {
    // SAFETY: the caller's room holds them. To the compiler all these registers are changed.
    unsafe {
        asm!(
            "ldp q0, q1, [{0}, #0]\n ldp q2, q3, [{0}, #32]\n ldp q4, q5, [{0}, #64]\n ldp q6, q7, [{0}, #96]",
            "ldp q8, q9, [{0}, #128]\n ldp q10, q11, [{0}, #160]\n ldp q12, q13, [{0}, #192]\n ldp q14, q15, [{0}, #224]",
            "ldp q16, q17, [{0}, #256]\n ldp q18, q19, [{0}, #288]\n ldp q20, q21, [{0}, #320]\n ldp q22, q23, [{0}, #352]",
            "ldp q24, q25, [{0}, #384]\n ldp q26, q27, [{0}, #416]\n ldp q28, q29, [{0}, #448]\n ldp q30, q31, [{0}, #480]",
            in(reg) room,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _, out("v22") _, out("v23") _,
            out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _, out("v29") _, out("v30") _, out("v31") _,
            options(nostack, preserves_flags),
        );
    }
}

/// Sets the calling thread's floating-point environment to that of a new program, in which no
/// exception traps. Returns the previous control (FPCR) and status (FPSR) registers for
/// [`restore_floats`].
#[inline(always)]
pub(crate) fn plain_floats() -> [u64; 2] {
    let (mode, noted);
    // SAFETY: reads the registers, and sets the first to what Rust expects it to be.
    unsafe {
        asm!(
            "mrs {mode}, fpcr",
            "mrs {noted}, fpsr",
            "msr fpcr, xzr",
            mode = out(reg) mode,
            noted = out(reg) noted,
            options(nostack, preserves_flags),
        );
    }
    [mode, noted]
}

/// Restores what [`plain_floats`] returned.
#[inline(always)]
pub(crate) fn restore_floats([mode, noted]: [u64; 2]) {
    // SAFETY: the values were in the registers before.
    unsafe {
        asm!(
            "msr fpcr, {mode}",
            "msr fpsr, {noted}",
            mode = in(reg) mode,
            noted = in(reg) noted,
            options(nostack, preserves_flags),
        );
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
        "hint #34", // bti c
        "stp x19, x20, [x0, #19 * 8]",
        "stp x21, x22, [x0, #21 * 8]",
        "stp x23, x24, [x0, #23 * 8]",
        "stp x25, x26, [x0, #25 * 8]",
        "stp x27, x28, [x0, #27 * 8]",
        "str x29, [x0, #29 * 8]",
        "mov x1, sp",
        "stp x1, x30, [x0, #31 * 8]",
        "ret",
        ".cfi_endproc",
    )
}
