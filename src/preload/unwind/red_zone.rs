//! Whether an interrupted function may have something below its stack pointer.
//!
//! The ABI gives each function the 128 bytes there, the red zone. Compilers use them only in functions that
//! call nothing: a call would overwrite them. Everywhere else, what lies there is left of functions that
//! have returned.

use super::{cfi, modules};
use iced_x86::{Decoder, DecoderOptions, FlowControl};

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

fn calls_nothing(start: u64, code: &[u8]) -> bool {
    let mut decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
    !decoder.iter().any(|instruction| {
        matches!(
            instruction.flow_control(),
            FlowControl::Call | FlowControl::IndirectCall
        ) && !instruction.is_invalid()
            // A system call overwrites nothing.
            && instruction.mnemonic() != iced_x86::Mnemonic::Syscall
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_calls_has_no_red_zone() {
        // mov [rsp - 8], rdi; mov eax, 39; syscall; ret
        let leaf = b"\x48\x89\x7c\x24\xf8\xb8\x27\0\0\0\x0f\x05\xc3";
        assert!(calls_nothing(0x1000, leaf));
        // push rbx; call rel32; pop rbx; ret
        assert!(!calls_nothing(0x1000, b"\x53\xe8\0\0\0\0\x5b\xc3"));
        // call [rip + 0]
        assert!(!calls_nothing(0x1000, b"\xff\x15\0\0\0\0\xc3"));
    }

    #[test]
    fn code_that_is_not_known_may_use_it() {
        let _ = crate::testing::process();
        assert!(may_be_used(0x1234));
        #[inline(never)]
        fn calls(n: u32) -> String {
            format!("{n}")
        }
        let address = std::hint::black_box(calls as fn(u32) -> String) as usize as u64;
        assert!(!may_be_used(address + 1));
    }
}
