//! Which call a return address belongs to, and where that call goes.
//!
//! May run at any moment.

use super::modules;
use crate::{confined, sys};

/// Longest form of a call that is known here: `FF /2` with a SIB byte and 32 bits of displacement.
const LONGEST_CALL: u64 = 7;
/// `E8 rel32`
const DIRECT: u64 = 5;

/// What the bytes in front of a return address may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Call {
    /// A call of this address, and nothing else.
    Direct(u64),
    /// A call of what the word at this address says, and nothing else.
    Through(u64),
    /// A call of a register or of some word in memory.
    Indirect,
}

/// Returns whether the word at an address can be read; false where the kernel may not be asked.
pub(super) fn is_readable(address: u64) -> bool {
    !confined::is_strict() && sys::is_readable(address as usize)
}

/// Returns whether there is a call instruction that returns to this address.
pub(super) fn is_before(address: u64) -> bool {
    before(address).is_some()
}

/// The call that returns to this address; `None` where there is none.
pub(super) fn before(address: u64) -> Option<Call> {
    let start = address.checked_sub(LONGEST_CALL)?;
    // Of code that was made at run time: it may have been unmade since the address was left on the
    // stack.
    let is_code = match modules::find(start) {
        Some(_) => modules::is_code(start, address),
        None => [start & !7, (address - 1) & !7]
            .into_iter()
            .all(is_readable),
    };
    if !is_code {
        return None;
    }
    // SAFETY: the seven bytes in front of the address were just found readable.
    let bytes = unsafe { *(start as *const [u8; LONGEST_CALL as usize]) };
    call_in(bytes, address)
}

/// What seven bytes in front of `address` may be.
fn call_in(bytes: [u8; LONGEST_CALL as usize], address: u64) -> Option<Call> {
    let [_, _, opcode, a, b, c, d] = bytes;
    let relative = address.wrapping_add_signed(i64::from(i32::from_le_bytes([a, b, c, d])));
    let direct = (opcode == 0xe8).then_some(Call::Direct(relative));
    // FF /2: with ModRM 15 the word at rip + disp32.
    let through = (bytes[1] == 0xff && opcode == 0x15).then_some(Call::Through(relative));
    let indirect = (2..=LONGEST_CALL as usize)
        .filter(|len| bytes.get(bytes.len() - len) == Some(&0xff))
        .filter_map(|len| Some((len, *bytes.get(bytes.len() - len + 1)?)))
        .any(|(len, modrm)| {
            let length = match (modrm >> 6, modrm & 7) {
                (0, 4) | (1, 0..=3 | 5..) => 3,
                (0, 5) | (2, 0..=3 | 5..) => 6,
                (1, 4) => 4,
                (2, _) => 7,
                _ => 2,
            };
            // With a SIB byte whose base is 5 there is a displacement.
            let sib_with_displacement = modrm & 0xc7 == 4 && len == 7;
            modrm >> 3 & 7 == 2 && modrm != 0x15 && (length == len || sib_with_displacement)
        });
    match (direct, through, indirect) {
        (Some(call), None, false) | (None, Some(call), false) => Some(call),
        (None, None, false) => None,
        _ => Some(Call::Indirect),
    }
}

/// Most jumps in a row that are followed.
const MOST_JUMPS: usize = 4;

/// The addresses that a call of `target` comes to by nothing but jumps: itself, what a procedure
/// linkage table or a thunk leads to.
pub(super) fn reached_from(target: u64) -> impl Iterator<Item = u64> {
    core::iter::successors(Some(target), |&at| jump_at(at)).take(MOST_JUMPS)
}

/// Where the code at an address jumps to at once.
fn jump_at(mut at: u64) -> Option<u64> {
    const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
    /// In front of jumps of programs that were built for MPX.
    const BND: u8 = 0xf2;
    if code_at::<4>(at)? == ENDBR64 {
        at += 4;
    }
    if code_at::<1>(at)? == [BND] {
        at += 1;
    }
    let relative =
        |end: u64, bytes: [u8; 4]| end.wrapping_add_signed(i64::from(i32::from_le_bytes(bytes)));
    match code_at::<6>(at)? {
        [0xff, 0x25, a, b, c, d] => word_at(relative(at + 6, [a, b, c, d])),
        [0xe9, a, b, c, d, _] => Some(relative(at + 5, [a, b, c, d])),
        [0xeb, a, ..] => Some((at + 2).wrapping_add_signed(i64::from(a as i8))),
        _ => None,
    }
}

/// Bytes of code, where it is known to be there.
fn code_at<const N: usize>(at: u64) -> Option<[u8; N]> {
    let end = at.checked_add(N as u64)?;
    let is_code = match modules::find(at) {
        Some(_) => modules::is_code(at, end),
        None => [at & !7, (end - 1) & !7].into_iter().all(is_readable),
    };
    // SAFETY: the bytes were just found readable.
    is_code.then(|| unsafe { *(at as *const [u8; N]) })
}

/// The word at an address, where it can be read.
pub(super) fn word_at(address: u64) -> Option<u64> {
    let last = address.checked_add(7)?;
    (is_readable(address & !7) && is_readable(last & !7))
        // SAFETY: it was just found readable.
        .then(|| unsafe { (address as *const u64).read_unaligned() })
}

const _: () = assert!(DIRECT < LONGEST_CALL);

#[cfg(test)]
mod tests {
    use super::*;

    fn call(code: &[u8]) -> Option<Call> {
        let mut bytes = [0x90; 7];
        bytes[7 - code.len()..].copy_from_slice(code);
        call_in(bytes, 0x1000)
    }

    #[test]
    fn calls_are_told_by_their_form() {
        assert_eq!(call(&[0xe8, 0x10, 0, 0, 0]), Some(Call::Direct(0x1010)));
        assert_eq!(
            call(&[0xff, 0x15, 0xf0, 0xff, 0xff, 0xff]),
            Some(Call::Through(0xff0))
        );
        for code in [
            &[0xff, 0xd0][..],                  // call rax
            &[0x41, 0xff, 0xd4],                // call r12
            &[0xff, 0x10],                      // call [rax]
            &[0xff, 0x50, 8],                   // call [rax + 8]
            &[0xff, 0x54, 0x24, 8],             // call [rsp + 8]
            &[0xff, 0x14, 0xc8],                // call [rax + rcx * 8]
            &[0xff, 0x90, 0, 1, 0, 0],          // call [rax + 256]
            &[0xff, 0x94, 0x24, 0, 1, 0, 0],    // call [rsp + 256]
            &[0xff, 0x14, 0xc5, 0, 0x10, 0, 0], // call [rax * 8 + 4096]
            &[0xe8, 0, 0, 0xff, 0xd0],          // either
        ] {
            assert_eq!(call(code), Some(Call::Indirect), "{code:x?}");
        }
        for code in [
            &[0x90][..],
            &[0xff, 0xe0], // jmp rax
            &[0xff, 0x50], // two bytes of three
            &[0x0f, 0x1f, 0x80, 0, 0, 0, 0],
        ] {
            assert_eq!(call(code), None, "{code:x?}");
        }
    }

    #[test]
    fn jumps_are_followed_to_the_function() {
        // jmp +0; endbr64; jmp +3
        static CODE: [u8; 32] = [
            0xeb, 0, 0xf3, 0x0f, 0x1e, 0xfa, 0xe9, 3, 0, 0, 0, 0x90, 0x90, 0x90, 0xc3, 0x90, 0x90,
            0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
            0x90,
        ];
        let mut copy = vec![0_u64; 8];
        let start = copy.as_mut_ptr().cast::<u8>();
        // SAFETY: there is room for 32 bytes.
        unsafe { start.copy_from(CODE.as_ptr(), CODE.len()) };
        let start = start as u64;
        let reached: Vec<u64> = reached_from(start).map(|at| at - start).collect();
        assert_eq!(reached, [0, 2, 14]);
    }
}
