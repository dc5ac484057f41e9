//! The machine code of trampolines: what a hooked function's entry jumps to.
//!
//! ```text
//!     push rdi
//!     mov  rdi, the size               each argument below 2^48, no overflow, else: skip
//!     or   rdi, [the function's index << 48]
//!     call [record_at_entry]
//! skip:
//!     pop  rdi
//! bypass:
//!     the displaced instructions
//!     jmp  the rest of the function
//! ```
//!
//! A size of 2^48 or more is one that no allocation can have: the call is going to fail, and is not
//! recorded. Nothing here is reached by an indirect jump, so no landing pads are needed, and each
//! call returns, as shadow stacks want; but for a call among the displaced instructions
//! ([`moved_call`]), which stays where it is if there are such stacks.

use super::clone_size::Words;
use super::plan::Plan;
use super::wanted::Bytes;
use iced_x86::{
    BlockEncoder, BlockEncoderOptions, Code, Decoder, DecoderOptions, FlowControl, Instruction,
    InstructionBlock,
};
use skipheap_config::hook_spec::SizeOf;
use skipheap_format::layout::SIZE_BITS;
use skipheap_format::note::Reason;

/// Bytes at the start of a region of trampolines: the mask of what no size has, and the addresses of
/// the functions that are told of a call, in the order of [`Told`].
pub(crate) const SHARED: usize = 32;
/// Bytes of a trampoline, of which the first eight are the function's index.
pub(crate) const SLOT: usize = 256;
const INDEX: usize = 8;

/// Who is told of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    /// Records it.
    Recorder = 1,
    /// Records it and follows the object ([`crate::live::regions`]).
    ObjectRecorder = 2,
    /// Hears what the runtime does with its pages.
    Listener = 3,
}

/// The shared constants; `told` has a function for each of [`Told`].
pub(crate) fn shared(told: [u64; 3]) -> [u8; SHARED] {
    let mask = !((1_u64 << SIZE_BITS) - 1);
    let mut bytes = [0; SHARED];
    for (place, word) in bytes
        .chunks_exact_mut(8)
        .zip([mask].into_iter().chain(told))
    {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// Register numbers of the integer arguments: rdi, rsi, rdx, rcx, r8, r9.
const REGISTERS: [u8; 6] = [7, 6, 2, 1, 8, 9];
const RDI: u8 = 7;

/// Machine code as it is put together.
struct Assembler {
    code: Vec<u8>,
    /// Address of the first byte.
    start: u64,
    /// Where to write the distance to `skip`, each one byte.
    skips: Vec<usize>,
}

impl Assembler {
    fn emit(&mut self, bytes: &[u8]) {
        self.code.extend_from_slice(bytes);
    }

    /// A displacement from behind itself to an address in the same region.
    fn relative(&mut self, target: u64) {
        let next = self.start + self.code.len() as u64 + 4;
        self.emit(&(target.wrapping_sub(next) as i32).to_le_bytes());
    }

    fn skip_if(&mut self, opcode: u8) {
        self.emit(&[opcode, 0]);
        self.skips.push(self.code.len() - 1);
    }

    /// `test [mask], register` and the way out if any of those bits is set.
    fn skip_unless_size(&mut self, register: u8, mask: u64) {
        self.emit(&[0x48 | register >> 3 << 2, 0x85, (register & 7) << 3 | 5]);
        self.relative(mask);
        self.skip_if(0x75);
    }

    /// Puts the size into rdi.
    fn size_of(&mut self, size: &SizeOf, region: u64) {
        let mut checked = [false; 6];
        for &arg in &size.args {
            if let (Some(done), Some(&register)) = (
                checked.get_mut(usize::from(arg)),
                REGISTERS.get(usize::from(arg)),
            ) && !core::mem::replace(done, true)
            {
                self.skip_unless_size(register, region);
            }
        }
        let mut args = size.args.iter().copied();
        match args.next() {
            // mov rdi, imm32
            None => {
                self.emit(&[0x48, 0xc7, 0xc7]);
                self.emit(&size.factor.to_le_bytes());
            }
            // They are sorted, so the first is arg0 if any is.
            Some(0) => {}
            // mov rdi, register
            Some(arg) => {
                let register = REGISTERS.get(usize::from(arg)).copied().unwrap_or(RDI);
                self.emit(&[
                    0x48 | register >> 3 << 2,
                    0x89,
                    0xc0 | (register & 7) << 3 | RDI,
                ]);
            }
        }
        for arg in args {
            match REGISTERS.get(usize::from(arg)) {
                // imul rdi, [rsp]: rdi itself has changed by now.
                Some(&RDI) | None => self.emit(&[0x48, 0x0f, 0xaf, 0x3c, 0x24]),
                // imul rdi, register
                Some(&register) => {
                    self.emit(&[
                        0x48 | register >> 3,
                        0x0f,
                        0xaf,
                        0xc0 | RDI << 3 | register & 7,
                    ]);
                }
            }
            // Signed, which is right for factors below 2^48 and a product that was.
            self.skip_if(0x70);
        }
        if !size.args.is_empty() && size.factor != 1 {
            // imul rdi, rdi, imm32
            self.emit(&[0x48, 0x69, 0xff]);
            self.emit(&size.factor.to_le_bytes());
            self.skip_if(0x70);
        }
        if size.more != 0 {
            // add rdi, imm32
            self.emit(&[0x48, 0x81, 0xc7]);
            self.emit(&size.more.to_le_bytes());
        }
        let is_argument = size.args.len() == 1 && size.factor == 1 && size.more == 0;
        if !is_argument && !size.args.is_empty() {
            self.skip_unless_size(RDI, region);
        }
    }

    /// Puts into rdi what the type of the object in rsi says: its user bytes and the words in front of
    /// the object. The hooked function is about to read the same memory.
    fn size_of_type(&mut self, words: Words, region: u64) {
        // mov rdi, [rsi - 8]; mov rdi, [rdi + 8]
        self.emit(&[0x48, 0x8b, 0x7e, 0xf8, 0x48, 0x8b, 0x7f, 0x08]);
        match words {
            // cmp byte ptr [rdi + 1], 1
            Words::Kind => self.emit(&[0x80, 0x7f, 0x01, 0x01]),
            // cmp word ptr [rdi + 4], 16
            Words::Length => self.emit(&[0x66, 0x83, 0x7f, 0x04, 0x10]),
        }
        // mov rdi, [rdi + 8]; jne over the next; add rdi, 8; add rdi, 8
        self.emit(&[0x48, 0x8b, 0x7f, 0x08, 0x75, 0x04]);
        self.emit(&[0x48, 0x83, 0xc7, 0x08, 0x48, 0x83, 0xc7, 0x08]);
        self.skip_unless_size(RDI, region);
    }
}

/// What comes in front of the displaced instructions, for a trampoline at `slot` in a region at
/// `region`. Its length depends on nothing but the size's form.
pub(crate) fn head(size: &Bytes, told: Told, index: u16, region: u64, slot: u64) -> Vec<u8> {
    let mut a = Assembler {
        code: (u64::from(index) << SIZE_BITS).to_le_bytes().to_vec(),
        start: slot,
        skips: Vec::new(),
    };
    debug_assert_eq!(a.code.len(), INDEX);
    // push rdi
    a.emit(&[0x57]);
    match size {
        Bytes::Of(size) => a.size_of(size, region),
        Bytes::OfType(words) => a.size_of_type(*words, region),
    }
    // or rdi, [index]
    a.emit(&[0x48, 0x0b, 0x3d]);
    a.relative(slot);
    // call [record_at_entry], or another one
    a.emit(&[0xff, 0x15]);
    a.relative(region + 8 * told as u64);
    let skip = a.code.len();
    for at in core::mem::take(&mut a.skips) {
        let distance = skip - at - 1;
        debug_assert!(distance < 128);
        if let Some(byte) = a.code.get_mut(at) {
            *byte = distance as u8;
        }
    }
    // pop rdi
    a.emit(&[0x5f]);
    a.code
}

/// How to unwind from a trampoline, which has no unwind information.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unwinding {
    /// The CFA of the hooked function's call lies so many bytes above rsp.
    Cfa(u64),
    /// As the hooked function itself says for this address of its own.
    AsAt(u64),
}

/// Where a trampoline at `slot` is about to run the instruction at `address`. `originals` are the old
/// addresses of the displaced instructions, and the one behind them.
pub(crate) fn unwinding_at(
    code: &[u8],
    slot: u64,
    originals: &[u64],
    address: u64,
) -> Option<Unwinding> {
    let before = Decoder::with_ip(64, code.get(INDEX..)?, entrance(slot), DecoderOptions::NONE)
        .into_iter()
        .take_while(|instruction| instruction.ip() < address && !instruction.is_invalid());
    let mut offset = 8;
    let mut displaced = None;
    for instruction in before {
        match instruction.code() {
            Code::Push_r64 if offset == 8 => offset = 16,
            Code::Pop_r64 if displaced.is_none() => displaced = Some(0),
            _ => displaced = displaced.map(|number: usize| number + 1),
        }
    }
    match displaced {
        None => Some(Unwinding::Cfa(offset)),
        Some(number) => originals.get(number).copied().map(Unwinding::AsAt),
    }
}

/// Where the entry of the function jumps to.
pub(crate) fn entrance(slot: u64) -> u64 {
    slot + INDEX as u64
}

/// The displaced instructions and the way back, for address `at`. Jumps to hooked functions lead
/// past their hooks, by `bypass`.
pub(crate) fn tail(
    plan: &Plan,
    at: u64,
    bypass: impl Fn(u64) -> Option<u64>,
) -> Result<Vec<u8>, Reason> {
    let mut code: Vec<Instruction> = plan.displaced.clone();
    for instruction in &mut code {
        if matches!(
            instruction.flow_control(),
            FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch
        ) && let Some(target) = bypass(instruction.near_branch64())
            && target != at
        {
            instruction.set_near_branch64(target);
        }
    }
    let goes_on = plan.call.is_none()
        && code.last().is_none_or(|last| {
            !matches!(
                last.flow_control(),
                FlowControl::UnconditionalBranch
                    | FlowControl::IndirectBranch
                    | FlowControl::Return
            )
        });
    if goes_on {
        code.push(
            Instruction::with_branch(Code::Jmp_rel32_64, plan.resume)
                .map_err(|_| Reason::NoWayBack)?,
        );
    }
    let mut bytes = if code.is_empty() {
        Vec::new()
    } else {
        BlockEncoder::encode(
            64,
            InstructionBlock::new(&code, at),
            BlockEncoderOptions::NONE,
        )
        .map(|result| result.code_buffer)
        .map_err(|_| Reason::NotMovable)?
    };
    if let Some(target) = plan.call {
        let target = bypass(target).unwrap_or(target);
        moved_call(&mut bytes, at, target, plan.resume)?;
    }
    Ok(bytes)
}

/// A call that returns not here but to where it returned before it was moved, so that unwinding
/// finds the function and not a trampoline without unwind information.
///
/// A call of the instructions behind puts the return address on the stack, there to be replaced:
/// the processor's own stack of return addresses stays balanced, and its prediction is wrong once.
/// Shadow stacks do not allow it.
fn moved_call(bytes: &mut Vec<u8>, at: u64, target: u64, returns_to: u64) -> Result<(), Reason> {
    let [low, high] = [returns_to as u32, (returns_to >> 32) as u32].map(u32::to_le_bytes);
    // call over the next byte (a call of the very next one would not count as a call); int3
    bytes.extend_from_slice(&[0xe8, 1, 0, 0, 0, 0xcc]);
    // mov dword ptr [rsp], low; mov dword ptr [rsp + 4], high
    bytes.extend_from_slice(&[0xc7, 0x04, 0x24]);
    bytes.extend_from_slice(&low);
    bytes.extend_from_slice(&[0xc7, 0x44, 0x24, 0x04]);
    bytes.extend_from_slice(&high);
    // jmp target
    let next = at + bytes.len() as u64 + 5;
    let distance = target.wrapping_sub(next) as i64;
    let distance = i32::try_from(distance).map_err(|_| Reason::CalleeTooFar)?;
    bytes.push(0xe9);
    bytes.extend_from_slice(&distance.to_le_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::plan::{decode, plan};
    use skipheap_config::hook_spec;

    fn text(code: &[u8], ip: u64) -> Vec<Code> {
        decode(code, ip)
            .unwrap()
            .iter()
            .map(Instruction::code)
            .collect()
    }

    fn size(expression: &str) -> Bytes {
        let spec = format!("f(size={expression})");
        Bytes::Of(hook_spec::parse(&spec).next().unwrap().unwrap().size)
    }

    #[test]
    fn the_plain_size_takes_one_test() {
        let code = head(&size("arg0"), Told::Recorder, 9, 0x1000, 0x1010);
        assert_eq!(code[..8], (9_u64 << 48).to_le_bytes());
        assert_eq!(
            text(&code[8..], 0x1018),
            [
                Code::Push_r64,
                Code::Test_rm64_r64,
                Code::Jne_rel8_64,
                Code::Or_r64_rm64,
                Code::Call_rm64,
                Code::Pop_r64,
            ]
        );
        let code = decode(&code[8..], 0x1018).unwrap();
        assert_eq!(code[1].ip_rel_memory_address(), 0x1000);
        assert_eq!(code[2].near_branch64(), code[5].ip());
        assert_eq!(code[3].ip_rel_memory_address(), 0x1010);
        assert_eq!(code[4].ip_rel_memory_address(), 0x1008);
    }

    #[test]
    fn every_form_of_a_size_decodes_and_skips_to_the_end() {
        for expression in [
            "0",
            "64",
            "arg5",
            "arg0*arg0",
            "arg1*arg2",
            "8*arg4",
            "arg0*arg1*arg2*arg3*arg4*arg5",
            "arg0+8",
            "arg1*arg2*24+16",
            "of its type, by kind",
            "of its type, by length",
        ] {
            let size = match expression {
                "of its type, by kind" => Bytes::OfType(Words::Kind),
                "of its type, by length" => Bytes::OfType(Words::Length),
                term => size(term),
            };
            let code = head(&size, Told::Recorder, 10, 0x1000, 0x1010);
            assert!(code.len() < 170, "{expression}: {}", code.len());
            let code = decode(&code[8..], 0x1018).unwrap();
            let last = code.last().unwrap();
            assert_eq!(last.code(), Code::Pop_r64);
            let over_one = |branch: &Instruction| branch.next_ip() + 4;
            for branch in code.iter().filter(|i| i.is_jcc_short_or_near()) {
                let target = branch.near_branch64();
                let is_of_type = matches!(size, Bytes::OfType(_));
                let is_right = target == last.ip() || is_of_type && target == over_one(branch);
                assert!(is_right, "{expression}");
            }
        }
    }

    #[test]
    fn every_instruction_can_be_unwound_from() {
        let code = head(&size("arg0*arg1"), Told::Recorder, 9, 0x1000, 0x1010);
        let all = decode(&code[INDEX..], 0x1018).unwrap();
        let at = |code: &[u8], address| unwinding_at(code, 0x1010, &[0x5000, 0x5001], address);
        assert_eq!(at(&code, 0x1018), Some(Unwinding::Cfa(8)));
        for instruction in &all[1..] {
            assert_eq!(at(&code, instruction.ip()), Some(Unwinding::Cfa(16)));
        }
        // push rbp; pop r12; nop
        let bypass = all.last().unwrap().next_ip();
        let code = [&code[..], b"\x55\x41\x5c\x90"].concat();
        assert_eq!(at(&code, bypass), Some(Unwinding::AsAt(0x5000)));
        assert_eq!(at(&code, bypass + 1), Some(Unwinding::AsAt(0x5001)));
        assert_eq!(at(&code, bypass + 3), None);
    }

    #[test]
    fn moved_instructions_mean_what_they_meant() {
        // mov rax, [rip + 0x100]; jmp back
        let body = b"\x48\x8b\x05\x00\x01\0\0\xc3";
        let plan = plan(body, 0x40_0000, &[], true, |_| true).unwrap();
        let moved = tail(&plan, 0x10_0000, |_| None).unwrap();
        let moved = decode(&moved, 0x10_0000).unwrap();
        assert_eq!(moved[0].ip_rel_memory_address(), 0x40_0107);
        assert_eq!(moved[1].near_branch64(), 0x40_0007);
    }

    #[test]
    fn a_moved_call_returns_to_its_old_place() {
        // sub rsp, 8; call
        let plan = plan(
            b"\x48\x83\xec\x08\xe8\x00\x01\0\0",
            0x1_0040_0000,
            &[],
            true,
            |_| true,
        )
        .unwrap();
        let moved = tail(&plan, 0x1_0010_0000, |_| None).unwrap();
        let moved = decode(&moved, 0x1_0010_0000).unwrap();
        assert_eq!(moved[1].near_branch64(), moved[3].ip());
        assert_eq!(moved[3].immediate32(), 0x40_0009);
        assert_eq!(moved[4].immediate32(), 1);
        assert_eq!(moved[5].near_branch64(), 0x1_0040_0109);
    }

    #[test]
    fn a_thunk_leads_past_the_hook_of_its_target() {
        let plan = plan(b"\xe9\x00\x01\0\0", 0x40_0000, &[], true, |_| true).unwrap();
        let moved = tail(&plan, 0x10_0000, |target| {
            (target == 0x40_0105).then_some(0x20_0000)
        });
        let moved = decode(&moved.unwrap(), 0x10_0000).unwrap();
        assert_eq!(moved.len(), 1);
        assert_eq!(moved[0].near_branch64(), 0x20_0000);
    }
}
