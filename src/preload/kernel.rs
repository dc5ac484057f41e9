//! System calls without the C library: a program, or another library, may define `syscall` and the rest itself.
//!
//! May run at any moment. errno changes as it does for the C library's functions.

pub(crate) use crate::arch::call;
use crate::sys;

/// The largest error number that the kernel returns, negated.
const LARGEST_ERROR: isize = 4095;

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
