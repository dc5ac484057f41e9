//! System calls without the C library: a program, or another library, may define `syscall` and the rest itself.
//!
//! May run at any moment. errno changes as it does for the C library's functions.

use crate::sys;
use core::arch::asm;

/// The largest error number that the kernel returns, negated.
const LARGEST_ERROR: isize = 4095;

/// Makes a system call; the kernel's own result, in which an error is a negative number.
///
/// # Safety
/// The arguments keep the contract of that call.
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

/// The result as the C library's functions give it: -1 with errno for an error.
#[inline(always)]
pub(crate) fn with_errno(result: isize) -> isize {
    if (-LARGEST_ERROR..0).contains(&result) {
        sys::set_errno(-result as i32);
        -1
    } else {
        result
    }
}

/// `syscall` of the C library, by the instruction itself. (Miri knows the function alone.)
macro_rules! syscall {
    ($number:expr $(, $argument:expr)* $(,)?) => {{
        #[cfg(miri)]
        let result = libc::syscall($number $(, $argument)*);
        #[cfg(not(miri))]
        let result = {
            let given: &[usize] = &[$($argument as usize),*];
            let mut arguments = [0; 6];
            for (argument, &value) in arguments.iter_mut().zip(given) {
                *argument = value;
            }
            $crate::kernel::with_errno($crate::kernel::call($number, arguments)) as libc::c_long
        };
        result
    }};
}
pub(crate) use syscall;
