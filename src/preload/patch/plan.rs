//! Decides how a function's entry can be replaced: reads its machine code, finds the instructions
//! that make room for a jump, and refuses where a jump there would change what the function does.
//!
//! Reads bytes and touches nothing. Runs in cold sections.

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic};
use skipheap_format::note::Reason;

/// Length of `jmp rel32`.
const NEAR: u64 = 5;
/// Length of `jmp rel8`.
const SHORT: u64 = 2;

/// Room beside a function that nothing runs through: the padding up to the next function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Padding {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// A jump out of the function, which leaves no frame behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Where its 32-bit displacement lies; `None` when it has only eight bits.
    pub(crate) displacement: Option<u64>,
    /// First address behind it.
    pub(crate) next: u64,
    pub(crate) target: u64,
}

/// How to hook a function.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The function's first address, where callers arrive.
    pub(crate) entry: u64,
    /// Where the jump is written: the entry, or behind its `endbr64`.
    pub(crate) at: u64,
    /// Where the near jump goes when only a short one fits at `at`.
    pub(crate) relay: Option<u64>,
    /// The instructions that make room.
    pub(crate) displaced: Vec<Instruction>,
    /// The target of a call behind them that makes room too.
    pub(crate) call: Option<u64>,
    /// What follows them.
    pub(crate) resume: u64,
    /// The function's jumps to elsewhere, but for the displaced ones.
    pub(crate) tails: Vec<Tail>,
}

/// Plans the hook of the function whose code is `code`, at address `entry`.
///
/// `padding` lists what is free beside it; `is_code` tells whether an object holds code at an
/// address. With `move_calls`, a call may be moved with the first instructions (see
/// [`super::trampoline`]).
pub(crate) fn plan(
    code: &[u8],
    entry: u64,
    padding: &[Padding],
    move_calls: bool,
    is_code: impl Fn(u64) -> bool,
) -> Result<Plan, Reason> {
    let body = decode(code, entry)?;
    let mut rest = body.as_slice();
    if let [first, others @ ..] = rest
        && first.mnemonic() == Mnemonic::Endbr64
    {
        rest = others;
    }
    let first = rest.first().ok_or(Reason::TooShort)?;
    if first.mnemonic() == Mnemonic::Int3 {
        return Err(Reason::Breakpoint);
    }
    if first.code() == Code::Jmp_rel32_64 && !is_code(first.near_branch64()) {
        return Err(Reason::AlreadyReplaced);
    }
    let at = first.ip();
    let end = entry + code.len() as u64;
    let refusal = match displace(&body, rest, at, NEAR, false) {
        Ok(displaced) => return Ok(finish(&body, displaced, entry, at, end, None)),
        Err(refusal) => refusal,
    };
    if let Some(relay) = padding.iter().find_map(|room| relay_in(*room, at))
        && let Ok(displaced) = displace(&body, rest, at, SHORT, false)
    {
        return Ok(finish(&body, displaced, entry, at, end, Some(relay)));
    }
    if !move_calls {
        return Err(refusal);
    }
    let displaced = displace(&body, rest, at, NEAR, true)?;
    Ok(finish(&body, displaced, entry, at, end, None))
}

/// The instructions from one address on.
pub(crate) fn decode(code: &[u8], ip: u64) -> Result<Vec<Instruction>, Reason> {
    let mut all = Vec::new();
    for instruction in Decoder::with_ip(64, code, ip, DecoderOptions::NONE) {
        if instruction.is_invalid() {
            return Err(Reason::Undecodable);
        }
        all.push(instruction);
    }
    Ok(all)
}

/// The instructions from one address on, up to the first that cannot be decoded.
pub(crate) fn first_instructions(code: &[u8], ip: u64) -> impl Iterator<Item = Instruction> + '_ {
    let mut decoder = Decoder::with_ip(64, code, ip, DecoderOptions::NONE);
    core::iter::from_fn(move || decoder.can_decode().then(|| decoder.decode()))
        .take_while(|instruction| !instruction.is_invalid())
}

/// The bytes that the padding takes with which `code` begins: breakpoints, and the instructions that
/// do nothing with which assemblers fill.
///
/// Not by the decoder, whose tables take two million instructions to set up: every program asks this
/// of the loader's code at its start.
pub(crate) fn padding_len(code: &[u8]) -> u64 {
    let mut rest = code;
    while let Some(behind) = filler_behind(rest) {
        rest = behind;
    }
    (code.len() - rest.len()) as u64
}

/// What follows the instruction of padding with which `code` begins, if it begins with one.
fn filler_behind(code: &[u8]) -> Option<&[u8]> {
    const OPERAND_SIZE: u8 = 0x66;
    const CODE_SEGMENT: u8 = 0x2e;
    const REX_W: u8 = 0x48;
    const LONGEST: usize = 15;
    let mut rest = code;
    while let [OPERAND_SIZE | CODE_SEGMENT, behind @ ..] = rest {
        rest = behind;
    }
    let has_prefix = rest.len() != code.len();
    if let [REX_W, behind @ ..] = rest {
        rest = behind;
    }
    let behind = match rest {
        [0xcc, behind @ ..] if !has_prefix => behind,
        [0x90, behind @ ..] => behind,
        [0x0f, 0x1f, modrm, behind @ ..] if modrm >> 3 & 7 == 0 => {
            let (mode, base) = (modrm >> 6, modrm & 7);
            let has_index = mode != 3 && base == 4;
            let displacement = match (mode, base) {
                (1, _) => 1,
                (2, _) | (0, 5) => 4,
                (0, 4) if behind.first()? & 7 == 5 => 4,
                _ => 0,
            };
            behind.get(usize::from(has_index) + displacement..)?
        }
        _ => return None,
    };
    (code.len() - behind.len() <= LONGEST).then_some(behind)
}

/// A place for the near jump that the short one at `at` reaches.
fn relay_in(room: Padding, at: u64) -> Option<u64> {
    let from = at + SHORT;
    let lowest = room.start.max(from.saturating_sub(128));
    let highest = room.end.checked_sub(NEAR)?;
    (lowest <= highest && lowest <= from + 127).then_some(lowest)
}

fn displace(
    body: &[Instruction],
    rest: &[Instruction],
    at: u64,
    room: u64,
    move_calls: bool,
) -> Result<Vec<Instruction>, Reason> {
    let mut taken = Vec::new();
    let mut end = at;
    for instruction in rest {
        if end >= at + room {
            break;
        }
        match instruction.flow_control() {
            FlowControl::Call if move_calls => {}
            // It would return into the trampoline, which no unwind information covers.
            FlowControl::Call | FlowControl::IndirectCall => {
                return Err(Reason::CallAtStart);
            }
            FlowControl::XbeginXabortXend => {
                return Err(Reason::TransactionAtStart);
            }
            _ => {}
        }
        end = instruction.next_ip();
        taken.push(*instruction);
    }
    if end < at + room {
        return Err(Reason::TooShort);
    }
    for instruction in body {
        let Some(target) = target_of(instruction) else {
            continue;
        };
        if at < target && target < end {
            return Err(Reason::JumpsIntoStart);
        }
        // From behind the displaced bytes back to the start: a call of itself without a frame,
        // which must be led past the hook.
        let returns = target == at || target == rest_entry(body, at);
        let is_jump = instruction.flow_control() != FlowControl::Call;
        if returns && is_jump && instruction.ip() >= end && !is_near(instruction) {
            return Err(Reason::JumpsToStart);
        }
    }
    Ok(taken)
}

/// The function's first address.
fn rest_entry(body: &[Instruction], at: u64) -> u64 {
    body.first().map_or(at, Instruction::ip)
}

/// Where a direct jump or call leads.
fn target_of(instruction: &Instruction) -> Option<u64> {
    matches!(
        instruction.flow_control(),
        FlowControl::UnconditionalBranch
            | FlowControl::ConditionalBranch
            | FlowControl::Call
            | FlowControl::XbeginXabortXend
    )
    .then(|| instruction.near_branch64())
    .filter(|&target| target != 0)
}

/// Returns whether it is a jump with a displacement of 32 bits, the last four bytes of the instruction.
fn is_near(instruction: &Instruction) -> bool {
    instruction.is_jmp_near() || instruction.is_jcc_near()
}

/// The jumps in `body` that lead out of `inside`, or back to one of `starts`.
pub(crate) fn tails(
    body: &[Instruction],
    inside: core::ops::Range<u64>,
    starts: [u64; 2],
) -> Vec<Tail> {
    body.iter()
        .filter(|instruction| {
            instruction.is_jmp_short_or_near() || instruction.is_jcc_short_or_near()
        })
        .map(|instruction| Tail {
            displacement: is_near(instruction).then(|| instruction.next_ip() - 4),
            next: instruction.next_ip(),
            target: instruction.near_branch64(),
        })
        .filter(|tail| !inside.contains(&tail.target) || starts.contains(&tail.target))
        .collect()
}

fn finish(
    body: &[Instruction],
    displaced: Vec<Instruction>,
    entry: u64,
    at: u64,
    end: u64,
    relay: Option<u64>,
) -> Plan {
    let resume = displaced.last().map_or(at, Instruction::next_ip);
    // A call is the last of them, being as long as the room that is needed.
    let mut displaced = displaced;
    let call = displaced
        .pop_if(|last| last.flow_control() == FlowControl::Call)
        .map(|call| call.near_branch64());
    let behind = body.partition_point(|instruction| instruction.ip() < resume);
    Plan {
        entry,
        at,
        relay,
        tails: tails(body.get(behind..).unwrap_or(&[]), entry..end, [entry, at]),
        displaced,
        call,
        resume,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ENTRY: u64 = 0x40_1000;

    fn plan_of(code: &[u8]) -> Result<Plan, Reason> {
        plan(code, ENTRY, &[], false, |_| true)
    }

    #[test]
    fn whole_instructions_make_room() {
        // push rbx; mov rbx, rdi; sub rsp, 16; ret
        let plan = plan_of(b"\x53\x48\x89\xfb\x48\x83\xec\x10\xc3").unwrap();
        assert_eq!((plan.at, plan.resume), (ENTRY, ENTRY + 8));
        assert_eq!(plan.displaced.len(), 3);
    }

    #[test]
    fn the_landing_pad_stays_in_place() {
        // endbr64; lea rax, [rip + 0]; ret
        let plan = plan_of(b"\xf3\x0f\x1e\xfa\x48\x8d\x05\0\0\0\0\xc3").unwrap();
        assert_eq!(
            (plan.entry, plan.at, plan.resume),
            (ENTRY, ENTRY + 4, ENTRY + 11)
        );
    }

    #[test]
    fn what_cannot_be_replaced_is_refused() {
        for (code, reason) in [
            (&b"\x31\xc0\xc3"[..], Reason::TooShort),
            (b"\xf3\x0f\x1e\xfa\xc3", Reason::TooShort),
            (b"\xcc\x90\x90\x90\x90\xc3", Reason::Breakpoint),
            // sub rsp, 8; call; ret
            (b"\x48\x83\xec\x08\xe8\0\0\0\0\xc3", Reason::CallAtStart),
            // xor eax, eax; inc rax; cmp rax, rdi; jb to the inc; ret
            (
                b"\x31\xc0\x48\xff\xc0\x48\x39\xf8\x72\xf8\xc3",
                Reason::JumpsIntoStart,
            ),
            // inc rax; cmp rax, rdi; jb to the start; ret
            (
                b"\x48\xff\xc0\x48\x39\xf8\x72\xf8\xc3",
                Reason::JumpsToStart,
            ),
            (b"\x06\x90\x90\x90\x90\xc3", Reason::Undecodable),
        ] {
            assert_eq!(plan_of(code).unwrap_err(), reason);
        }
        let foreign = plan(b"\xe9\0\0\0\0", ENTRY, &[], true, |_| false);
        assert_eq!(foreign.unwrap_err(), Reason::AlreadyReplaced);
    }

    #[test]
    fn a_function_may_call_itself() {
        // sub rsp, 24; test edi, edi; call to the start; ret
        let code = b"\x48\x83\xec\x18\x85\xff\xe8\xf5\xff\xff\xff\xc3";
        assert_eq!(plan_of(code).unwrap().resume, ENTRY + 6);
    }

    #[test]
    fn a_short_jump_to_the_padding_helps_where_the_long_one_does_not_fit() {
        // sub rsp, 8; call; add rsp, 8; ret
        let code = b"\x48\x83\xec\x08\xe8\0\0\0\0\x48\x83\xc4\x08\xc3";
        let room = |start, end| [Padding { start, end }];
        let with = |padding: &[Padding]| plan(code, ENTRY, padding, false, |_| true);
        let plan = with(&room(ENTRY + 14, ENTRY + 32)).unwrap();
        assert_eq!((plan.relay, plan.resume), (Some(ENTRY + 14), ENTRY + 4));
        assert!(with(&room(ENTRY + 14, ENTRY + 18)).is_err());
        assert!(with(&room(ENTRY + 200, ENTRY + 300)).is_err());
        // Without room the call is moved, if that is allowed.
        let moved = super::plan(code, ENTRY, &[], true, |_| true).unwrap();
        assert_eq!((moved.call, moved.resume), (Some(ENTRY + 9), ENTRY + 9));
        assert_eq!(moved.displaced.len(), 1);
        let before = with(&room(ENTRY - 300, ENTRY)).unwrap();
        assert_eq!(before.relay, Some(ENTRY + 2 - 128));
    }

    #[test]
    fn jumps_out_of_the_function_are_found() {
        // test rdi, rdi; je +far; mov rax, rdi; jmp far; jmp short
        let code = b"\x48\x85\xff\x0f\x84\x00\x10\0\0\x48\x89\xf8\xe9\x00\x20\0\0\xeb\x70";
        let plan = plan_of(code).unwrap();
        // The first is displaced.
        assert_eq!(plan.resume, ENTRY + 9);
        assert_eq!(
            plan.tails,
            [
                Tail {
                    displacement: Some(ENTRY + 13),
                    next: ENTRY + 17,
                    target: ENTRY + 17 + 0x2000
                },
                Tail {
                    displacement: None,
                    next: ENTRY + 19,
                    target: ENTRY + 19 + 0x70
                },
            ]
        );
    }

    #[test]
    fn padding_is_told_from_code() {
        assert_eq!(padding_len(b"\x66\x0f\x1f\x44\0\0\x90\xcc\xc3\x90"), 8);
        assert_eq!(padding_len(b"\xc3"), 0);
        assert_eq!(
            padding_len(b"\x66\x66\x2e\x0f\x1f\x84\0\0\0\0\0\x0f\x1f\x40\0\xe8"),
            15
        );
        assert_eq!(padding_len(b"\x0f\x1f\x80\0\0"), 0);
    }

    fn by_the_decoder(code: &[u8]) -> u64 {
        Decoder::with_ip(64, code, ENTRY, DecoderOptions::NONE)
            .into_iter()
            .take_while(|instruction| {
                !instruction.is_invalid()
                    && matches!(instruction.mnemonic(), Mnemonic::Nop | Mnemonic::Int3)
            })
            .map(|instruction| instruction.len() as u64)
            .sum()
    }

    proptest! {
        #[test]
        fn what_is_padding_is_padding_to_the_decoder(
            code in prop::collection::vec(
                prop_oneof![
                    prop::sample::select(vec![0x66, 0x2e, 0x48, 0x90, 0x0f, 0x1f, 0xcc, 0, 0x44, 0x84]),
                    any::<u8>(),
                ],
                0..40,
            ),
        ) {
            let len = padding_len(&code) as usize;
            prop_assert_eq!(by_the_decoder(&code[..len]), len as u64);
        }
    }
}
