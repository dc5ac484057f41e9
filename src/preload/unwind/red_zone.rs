//! Whether an interrupted function may have something below its stack pointer.
//!
//! The ABI of x86-64 gives each function the 128 bytes there, the red zone. Compilers use them only in functions that
//! call nothing: a call would overwrite them. Everywhere else, what lies there is left of functions that
//! have returned.

use super::{cfi, modules};
use crate::arch::code::calls_nothing;

/// Longest function that is looked at, in bytes.
const LONGEST: u64 = 1 << 16;

/// Returns whether the function that was interrupted at `address` may use its red zone: it calls nothing, or
/// its code is not known. Takes no lock of the loader's, which a thread that is held may have.
pub(crate) fn may_be_used(address: u64) -> bool {
    function_around(address).is_none_or(|(start, code)| calls_nothing(start, code))
}

/// Where the function that contains an address begins, and its code.
fn function_around(address: u64) -> Option<(u64, &'static [u8])> {
    let eh = modules::eh_frame_without_lock(address)?;
    let range = cfi::function_around(&eh, address)?;
    if range.end - range.start > LONGEST {
        return None;
    }
    // SAFETY: the unwind information of a mapped object describes its own code, in which a thread is.
    let code = unsafe {
        core::slice::from_raw_parts(range.start as *const u8, (range.end - range.start) as usize)
    };
    Some((range.start, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_is_not_known_may_use_it() {
        let _ = crate::testing::process();
        assert!(may_be_used(0x1234));
    }

    // AArch64 has no red zone.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_function_that_calls_leaves_it_alone() {
        let _ = crate::testing::process();
        #[inline(never)]
        fn calls(n: u32) -> String {
            format!("{n}")
        }
        let address = std::hint::black_box(calls as fn(u32) -> String) as usize as u64;
        assert!(!may_be_used(address + 1));
    }
}
