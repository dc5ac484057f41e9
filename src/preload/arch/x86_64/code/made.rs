//! Steps out of code that was made at run time and has no unwind information.
//!
//! Where the code behind a call does nothing but return, it says itself where the return address
//! is. That is so in the trampolines that Python makes for perf (one for each function, around a
//! call of the interpreter), which keep no frame pointer.
//!
//! Runs in cold sections.

use crate::sys;
use crate::unwind::Rule;

/// The rule of a return address if the code there is `add rsp, N; ret`.
pub(super) fn rule(address: u64) -> Option<Rule> {
    if !sys::is_readable(address as usize) {
        return None;
    }
    // SAFETY: eight bytes were just found readable. (Who unmapped the code that is about to be
    // returned to would crash the program.)
    let code = unsafe { *(address as *const [u8; 8]) };
    rule_of(code)
}

/// Returns whether the code at an address ends the process: `xor rdi, rdi; call; hlt`.
///
/// Boost.Context has the first function of a coroutine return to such code (`finish` of
/// `make_fcontext`).
pub(crate) fn ends_the_process(address: u64) -> bool {
    if !sys::is_readable(address as usize) || !sys::is_readable(address as usize + 8) {
        return false;
    }
    // SAFETY: the bytes were just found readable.
    ends(unsafe { *(address as *const [u8; 9]) })
}

fn ends(code: [u8; 9]) -> bool {
    matches!(
        code,
        [0x48, 0x31, 0xff, 0xe8, .., 0xf4] | [0x31, 0xff, 0xe8, _, _, _, _, 0xf4, _]
    )
}

fn rule_of(code: [u8; 8]) -> Option<Rule> {
    match code {
        [0x48, 0x83, 0xc4, room @ 0..0x80, 0xc3, ..] => Rule::from_sp(u64::from(room) + 8, None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_only_returns_tells_where_to() {
        let rule = |code: &[u8]| {
            let mut bytes = [0xcc; 8];
            bytes[..code.len()].copy_from_slice(code);
            rule_of(bytes)
        };
        assert_eq!(rule(&[0x48, 0x83, 0xc4, 8, 0xc3]), Rule::from_sp(16, None));
        assert_eq!(
            rule(&[0x48, 0x83, 0xc4, 0x78, 0xc3]),
            Rule::from_sp(128, None)
        );
        // Not a multiple of eight; a negative number; something else before the return.
        for code in [
            [0x48, 0x83, 0xc4, 4, 0xc3],
            [0x48, 0x83, 0xc4, 0xf8, 0xc3],
            [0x48, 0x83, 0xc4, 8, 0x5d],
        ] {
            assert_eq!(rule(&code), None, "{code:x?}");
        }
    }

    #[test]
    fn code_that_ends_the_process_is_known() {
        assert!(ends([0x48, 0x31, 0xff, 0xe8, 1, 2, 3, 4, 0xf4]));
        assert!(ends([0x31, 0xff, 0xe8, 1, 2, 3, 4, 0xf4, 0x90]));
        assert!(!ends([0x48, 0x31, 0xff, 0xe8, 1, 2, 3, 4, 0xc3]));
    }

    #[test]
    fn an_address_without_memory_is_survived() {
        assert_eq!(super::rule(16), None);
    }
}
