//! Which functions call others.

use iced_x86::{Decoder, DecoderOptions, FlowControl};

/// Returns whether the function whose code this is, and begins at `start`, calls no other.
pub(crate) fn calls_nothing(start: u64, code: &[u8]) -> bool {
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
}
