//! System calls, and the processor's clock.
//!
//! May run at any moment.

use core::arch::asm;
use core::arch::x86_64::_rdtsc;
use core::ffi::c_int;

/// Makes a system call and returns the kernel's result, in which a negative number is an error.
///
/// # Safety
/// The arguments satisfy the contract of that call.
#[inline(always)]
pub(crate) unsafe fn call(number: i64, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result;
    // SAFETY: the kernel keeps all registers but these; what it does to memory the caller answers for.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            in("r8") e,
            in("r9") f,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// The processor's time stamp counter.
#[inline(always)]
pub(crate) fn ticks() -> u64 {
    // SAFETY: every x86-64 machine has the instruction.
    unsafe { _rdtsc() }
}

/// Returns whether the calling thread has a shadow stack, on which return addresses cannot be replaced.
pub(crate) fn has_shadow_stack() -> bool {
    /// `<asm/prctl.h>` since Linux 6.6.
    const ARCH_SHSTK_STATUS: c_int = 0x5005;
    let mut features = 0_u64;
    let request = [
        ARCH_SHSTK_STATUS as usize,
        &raw mut features as usize,
        0,
        0,
        0,
        0,
    ];
    // SAFETY: the kernel fills the word; kernels that do not know the request change nothing.
    let result = unsafe { call(libc::SYS_arch_prctl, request) };
    result == 0 && features & 1 != 0
}

/// Defines the functions of the C library that take paths and for which it has calls of its own here.
#[cfg(not(test))] // Unit tests are programs, with the C library's own functions.
macro_rules! path_calls {
    ($system_calls:ident) => {
        $system_calls! {
            "readlink" readlink = SYS_readlink(a, b, c);
            "rename" rename = SYS_rename(a, b);
            "unlink" unlink = SYS_unlink(a);
        }
    };
}
#[cfg(not(test))]
pub(crate) use path_calls;

/// System calls that give up rights, among those from [`FIRST_NUMBER`] on: bit N is for the Nth.
pub(super) const NUMBERS: u64 = bits(&crate::rights::CALLS);
/// The lowest number of [`NUMBERS`].
pub(super) const FIRST_NUMBER: i64 = libc::SYS_setuid;

const fn bits(numbers: &[i64]) -> u64 {
    let (mut bits, mut i) = (0, 0);
    while i < numbers.len() {
        let bit = numbers[i] - FIRST_NUMBER;
        assert!(bit >= 0 && bit < 64);
        bits |= 1 << bit;
        i += 1;
    }
    bits
}

/// What this program or this system has that the library cannot record with.
pub(crate) fn obstacle() -> Option<crate::arch::Obstacle> {
    None
}
