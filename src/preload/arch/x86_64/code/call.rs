//! Calls in front of return addresses, and jumps.

use crate::unwind::call::{Call, code_at, word_at};

/// Longest form of a call that is known here: `FF /2` with a SIB byte and 32 bits of displacement.
pub(crate) const LONGEST_CALL: u64 = 7;
/// `E8 rel32`
const DIRECT: u64 = 5;

/// What seven bytes in front of `address` may be.
pub(crate) fn call_in(bytes: [u8; LONGEST_CALL as usize], address: u64) -> Option<Call> {
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

/// Where the code at an address jumps to at once.
pub(crate) fn jump_at(mut at: u64) -> Option<u64> {
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

const _: () = assert!(DIRECT < LONGEST_CALL);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unwind::call::reached_from;

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
