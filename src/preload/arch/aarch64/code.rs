//! What machine code says about calls and returns.

use crate::unwind::call::{Call, code_at, word_at};
use crate::unwind::registers::COUNT;
use crate::unwind::{Rule, Special};

/// The code that a signal handler returns to in the kernel's vDSO and in C libraries: `mov x8,
/// #139; svc #0`.
pub(crate) const SIGNAL_RETURN: [u8; 8] = [0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4];

/// Where the registers are in the kernel's signal frame (`struct rt_sigframe` of
/// arch/arm64/kernel/signal.c), from the stack pointer at the return from the handler on: after 128
/// bytes of information on the signal, the 168 bytes of a ucontext before its registers (which are
/// aligned to 16), and the fault address.
pub(crate) const SIGNAL_REGISTERS: u64 = 128 + 176 + 8;
/// The registers in that order, by number: x0 to x30, sp and pc.
pub(crate) const SIGNAL_ORDER: [u8; COUNT] = {
    let mut order = [0; COUNT];
    let mut i = 0;
    while i < COUNT {
        order[i] = i as u8;
        i += 1;
    }
    order
};

/// Whether the place of a frame record says where its frame ends: the record {x29, x30} may lie anywhere
/// in the frame.
pub(crate) const RECORD_ENDS_FRAME: bool = false;

/// Returns whether a function calls no other. AArch64 has no red zone, so the answer is never
/// needed.
pub(crate) fn calls_nothing(_: u64, _: &[u8]) -> bool {
    true
}

/// Bytes of a call.
pub(crate) const LONGEST_CALL: u64 = 4;

/// The four bytes before `address`, if they may be a call.
pub(crate) fn call_in(bytes: [u8; LONGEST_CALL as usize], address: u64) -> Option<Call> {
    let instruction = u32::from_le_bytes(bytes);
    match instruction {
        _ if !address.is_multiple_of(4) => None,
        // bl
        _ if instruction >> 26 == 0b10_0101 => Some(Call::Direct(branch_target(
            instruction,
            address.wrapping_sub(4),
        ))),
        // blr, and blraa, blraaz, blrab and blrabz, which check a signature
        _ if instruction & 0xffff_fc1f == 0xd63f_0000 => Some(Call::Indirect),
        _ if instruction & 0xfeff_f800 == 0xd63f_0800 => Some(Call::Indirect),
        _ => None,
    }
}

/// Where `b` or `bl` at an address leads.
fn branch_target(instruction: u32, at: u64) -> u64 {
    let words = i64::from((instruction << 6) as i32 >> 6);
    at.wrapping_add_signed(words * 4)
}

/// Where the code at an address jumps immediately: with `b`, or to the address that a procedure
/// linkage table loads (`adrp x16; ldr x17, [x16]; add x16; br x17`).
pub(crate) fn jump_at(mut at: u64) -> Option<u64> {
    /// `bti c`
    const BTI_C: u32 = 0xd503_245f;
    let instruction = |at| code_at::<4>(at).map(u32::from_le_bytes);
    if instruction(at)? == BTI_C {
        at += 4;
    }
    let first = instruction(at)?;
    if first >> 26 == 0b00_0101 {
        return Some(branch_target(first, at));
    }
    let load = instruction(at + 4)?;
    // adrp x16, and ldr x17, [x16, #offset]
    if first & 0x9f00_001f != 0x9000_0010 || load & 0xffc0_03ff != 0xf940_0211 {
        return None;
    }
    let pages = i64::from((first << 8) as i32 >> 13 << 2 | (first >> 29 & 3) as i32);
    let offset = u64::from(load >> 10 & 0xfff) * 8;
    word_at((at & !0xfff).wrapping_add_signed(pages << 12) + offset)
}

/// The rule for code of an object file that no unwind information covers. Its instructions are not
/// followed on this architecture.
pub(crate) fn rule_of_object_code(_: u64) -> Rule {
    Rule::special(Special::Guess)
}

/// The rule for code that was made at run time.
pub(crate) fn rule_of_made_code(_: u64, _exact: bool) -> Rule {
    Rule::special(Special::Guess)
}

/// Returns whether the code at an address ends the process, where the first function of a
/// Boost.Context coroutine returns to (`finish` of `make_fcontext`): `mov x0, #0; bl _exit`.
pub(crate) fn ends_the_process(address: u64) -> bool {
    let instruction = |at| code_at::<4>(at).map(u32::from_le_bytes);
    let is_call = |call: u32| call >> 26 == 0b10_0101;
    instruction(address) == Some(0xd280_0000) && instruction(address + 4).is_some_and(is_call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_by_their_form() {
        let call = |code: u32| call_in(code.to_le_bytes(), 0x1004);
        assert_eq!(call(0x9400_0004), Some(Call::Direct(0x1010)));
        assert_eq!(call(0x97ff_ffff), Some(Call::Direct(0xffc)));
        // blr x8, blraaz x8, blrab x8, x9
        for code in [0xd63f_0100, 0xd63f_091f, 0xd73f_0d09] {
            assert_eq!(call(code), Some(Call::Indirect), "{code:x}");
        }
        // b, br x8, ret, nop, bl in front of an address that no instruction has
        for code in [0x1400_0004, 0xd61f_0100, 0xd65f_03c0, 0xd503_201f] {
            assert_eq!(call(code), None, "{code:x}");
        }
        assert_eq!(call_in(0x9400_0004_u32.to_le_bytes(), 0x1006), None);
    }

    #[test]
    fn jumps_are_followed_to_the_function() {
        // A page that a table's first instruction may name.
        let page = vec![0_u64; 1024];
        let start = (page.as_ptr() as u64).next_multiple_of(4096);
        let write = |at: u64, code: &[u32]| {
            for (i, &code) in code.iter().enumerate() {
                // SAFETY: within the vector, whose words nobody else uses.
                unsafe { ((start + at) as *mut u32).add(i).write(code) };
            }
        };
        // bti c; b +8
        write(0, &[0xd503_245f, 0x1400_0002]);
        assert_eq!(jump_at(start), Some(start + 12));
        // adrp x16, this page; ldr x17, [x16, #256]; add x16, x16, #256; br x17
        write(32, &[0x9000_0010, 0xf940_8211, 0x9104_0210, 0xd61f_0220]);
        write(256, &[0x1234, 0]);
        assert_eq!(jump_at(start + 32), Some(0x1234));
        write(64, &[0xd65f_03c0]);
        assert_eq!(jump_at(start + 64), None);
        assert_eq!(page.len(), 1024);
    }
}
