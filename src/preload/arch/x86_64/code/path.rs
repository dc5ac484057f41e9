//! Where code without unwind information returns to, by its own instructions.
//!
//! The instructions behind a call are followed to where the function returns. They take down what its
//! beginning has built up, so that their sum says how far above rsp the return address lies, or that
//! the function keeps a frame pointer. Of branches that depend on a condition any way will do: a frame
//! is as large on both.
//!
//! Runs in cold sections.

use crate::unwind::{Rule, call, guess, modules};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

/// How a function returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Exit {
    /// So many bytes above rsp lies the caller's frame; the caller's rbp may have been saved, so many
    /// bytes above rsp.
    FromSp { cfa: i64, saved_bp: Option<i64> },
    /// By way of rbp, as functions do that keep a frame pointer.
    FramePointer,
    /// The instructions do not tell.
    Unknown,
}

impl Exit {
    /// The rule that steps so, where one can.
    pub(super) fn rule(self) -> Option<Rule> {
        let Self::FromSp { cfa, saved_bp } = self else {
            return None;
        };
        let below = saved_bp.map(|at| u64::try_from(cfa - at));
        Rule::from_sp(u64::try_from(cfa).ok()?, below.transpose().ok()?)
    }
}

/// How the code at an address returns.
pub(super) fn exit_at(address: u64) -> Exit {
    let code = match modules::code_around(address) {
        Some(code) => Some(code),
        None if modules::find(address).is_none() => made_code_at(address),
        None => None,
    };
    code.map_or(Exit::Unknown, |(start, code)| {
        follow(address, start, code, |at| {
            modules::find(at).is_none() || !guess::is_covered(at)
        })
    })
}

/// Code of no object file, as far as it is known to be there.
fn made_code_at(address: u64) -> Option<(u64, &'static [u8])> {
    const PAGE: u64 = 4096;
    if !call::is_readable(address & !7) {
        return None;
    }
    let next = (address | (PAGE - 1)) + 1;
    let end = if call::is_readable(next) {
        next + PAGE
    } else {
        next
    };
    // SAFETY: the pages were just found readable. (Who unmapped the code that is about to be returned
    // to would crash the program.)
    Some((address, unsafe {
        core::slice::from_raw_parts(address as *const u8, (end - address) as usize)
    }))
}

/// What the instructions so far have done.
#[derive(Clone, Copy, Default)]
struct Path {
    /// rsp, less what it was at the beginning.
    sp: i64,
    /// Where rbp was loaded from, less rsp at the beginning.
    saved_bp: Option<i64>,
    /// rbp is not what it was.
    has_new_bp: bool,
}

/// Follows code that is mapped from `start` on. `is_same` says whether a jump to an address stays
/// among code without unwind information: another one is a call in the place of a return.
///
/// A way that does not return, as behind the call of a function that throws, is given up for one that
/// branched off before.
fn follow(address: u64, start: u64, code: &[u8], is_same: impl Fn(u64) -> bool) -> Exit {
    const MOST_INSTRUCTIONS: u32 = 2000;
    const MOST_BRANCHES: usize = 64;
    let mut decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
    let mut path = Path::default();
    let mut at = address;
    let mut instruction = Instruction::default();
    let mut branches: Vec<(u64, Path)> = Vec::new();
    let mut taken = 0;
    for _ in 0..MOST_INSTRUCTIONS {
        let offset = at
            .checked_sub(start)
            .and_then(|at| usize::try_from(at).ok());
        let is_there = offset
            .is_some_and(|offset| offset < code.len() && decoder.set_position(offset).is_ok());
        let mut exit = Some(Exit::Unknown);
        if is_there {
            decoder.set_ip(at);
            decoder.decode_out(&mut instruction);
            at = instruction.next_ip();
            exit = match instruction.flow_control() {
                _ if instruction.is_invalid() => Some(Exit::Unknown),
                FlowControl::Next => path.pass(&instruction),
                FlowControl::Return => Some(path.returns()),
                FlowControl::UnconditionalBranch => {
                    at = instruction.near_branch_target();
                    (!is_same(at)).then(|| path.returns())
                }
                FlowControl::ConditionalBranch => {
                    let target = instruction.near_branch_target();
                    if is_same(target)
                        && branches.len() < MOST_BRANCHES
                        && !branches.iter().any(|(known, _)| *known == target)
                    {
                        branches.push((target, path));
                    }
                    None
                }
                FlowControl::Call | FlowControl::IndirectCall => None,
                _ => Some(Exit::Unknown),
            };
        }
        match exit {
            None => {}
            Some(Exit::Unknown) => {
                let Some(&branch) = branches.get(taken) else {
                    return Exit::Unknown;
                };
                taken += 1;
                (at, path) = branch;
            }
            Some(exit) => return exit,
        }
    }
    Exit::Unknown
}

impl Path {
    /// The function returns here.
    fn returns(&self) -> Exit {
        if self.has_new_bp && self.saved_bp.is_none() {
            return Exit::Unknown;
        }
        Exit::FromSp {
            cfa: self.sp + 8,
            saved_bp: self.saved_bp,
        }
    }

    /// Passes an instruction that goes on to the next; an answer where that decides it.
    fn pass(&mut self, instruction: &Instruction) -> Option<Exit> {
        const RSP: Register = Register::RSP;
        const RBP: Register = Register::RBP;
        let by_bp = if self.has_new_bp {
            Exit::Unknown
        } else {
            Exit::FramePointer
        };
        let to = match instruction.op0_kind() {
            OpKind::Register => instruction.op0_register().full_register(),
            _ => Register::None,
        };
        let in_memory = instruction.op1_kind() == OpKind::Memory;
        let base = instruction.memory_base();
        let displacement = instruction.memory_displacement64() as i64;
        let is_indexed = instruction.memory_index() != Register::None;
        let immediate = match instruction.op1_kind() {
            OpKind::Immediate8to64 | OpKind::Immediate32to64 => {
                Some(instruction.immediate(1) as i64)
            }
            _ => None,
        };
        match (instruction.mnemonic(), to) {
            (Mnemonic::Leave, _) => return Some(by_bp),
            (Mnemonic::Mov, RSP) if instruction.op1_register() == RBP => return Some(by_bp),
            (Mnemonic::Lea, RSP) if base == RBP && !is_indexed => return Some(by_bp),
            (Mnemonic::Lea, RSP) if base == RSP && !is_indexed => self.sp += displacement,
            (Mnemonic::Add, RSP) => self.sp += immediate?,
            (Mnemonic::Sub, RSP) => self.sp -= immediate?,
            (Mnemonic::Pop, RSP) => return Some(Exit::Unknown),
            (Mnemonic::Pop, register) => {
                if register == RBP {
                    self.has_new_bp = true;
                    self.saved_bp = Some(self.sp);
                }
                self.sp += instruction.stack_pointer_increment() as i64;
            }
            (Mnemonic::Mov, RBP) if in_memory && base == RSP && !is_indexed => {
                self.has_new_bp = true;
                self.saved_bp = Some(self.sp + displacement);
            }
            (Mnemonic::Cmp | Mnemonic::Test, _) => {}
            (_, RSP) => return Some(Exit::Unknown),
            // What it is for the caller is not known unless it is loaded later.
            (_, RBP) if instruction.mnemonic() != Mnemonic::Push => {
                self.has_new_bp = true;
                self.saved_bp = None;
            }
            _ => self.sp += i64::from(instruction.stack_pointer_increment()),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(code: &[u8]) -> Exit {
        follow(0x1000, 0x1000, code, |at| at < 0x2000)
    }

    fn from_sp(cfa: i64, saved_bp: Option<i64>) -> Exit {
        Exit::FromSp { cfa, saved_bp }
    }

    #[test]
    fn what_is_taken_down_was_built_up() {
        // add rsp, 8; ret
        assert_eq!(exit(&[0x48, 0x83, 0xc4, 8, 0xc3]), from_sp(16, None));
        // pop rbx; pop rbp; pop r12; ret
        assert_eq!(exit(&[0x5b, 0x5d, 0x41, 0x5c, 0xc3]), from_sp(32, Some(8)));
        // mov rbp, [rsp + 16]; lea rsp, [rsp + 32]; ret
        let code = [0x48, 0x8b, 0x6c, 0x24, 16, 0x48, 0x8d, 0x64, 0x24, 32, 0xc3];
        assert_eq!(exit(&code), from_sp(40, Some(16)));
        // test eax, eax; je +2; call rax; push 1; pop rcx; jmp +1; int3; ret
        let code = [
            0x85, 0xc0, 0x74, 2, 0xff, 0xd0, 0x6a, 1, 0x59, 0xeb, 1, 0xcc, 0xc3,
        ];
        assert_eq!(exit(&code), from_sp(8, None));
        // add rsp, 8; jmp to a function that has unwind information
        assert_eq!(
            exit(&[0x48, 0x83, 0xc4, 8, 0xe9, 0, 0x10, 0, 0]),
            from_sp(16, None)
        );
    }

    #[test]
    fn a_frame_pointer_shows_at_the_end() {
        // leave; ret
        assert_eq!(exit(&[0xc9, 0xc3]), Exit::FramePointer);
        // lea rsp, [rbp - 40]; pop rbx; ...
        assert_eq!(exit(&[0x48, 0x8d, 0x65, 0xd8, 0x5b]), Exit::FramePointer);
        // mov rsp, rbp; pop rbp; ret 8
        assert_eq!(
            exit(&[0x48, 0x89, 0xec, 0x5d, 0xc2, 8, 0]),
            Exit::FramePointer
        );
    }

    #[test]
    fn a_way_that_does_not_return_is_given_up() {
        // je +3; call rax; int3; add rsp, 24; ret
        let code = [0x74, 3, 0xff, 0xd0, 0xcc, 0x48, 0x83, 0xc4, 24, 0xc3];
        assert_eq!(exit(&code), from_sp(32, None));
        // je to itself; int3
        assert_eq!(exit(&[0x74, 0xfe, 0xcc]), Exit::Unknown);
    }

    #[test]
    fn what_cannot_be_followed_tells_nothing() {
        for code in [
            // ud2; jmp rax; mov rsp, rax; and rsp, -16; nothing; mov ebp, 1 and ret
            &[0x0f, 0x0b][..],
            &[0xff, 0xe0],
            &[0x48, 0x89, 0xc4, 0xc3],
            &[0x48, 0x83, 0xe4, 0xf0, 0xc3],
            &[],
            &[0xbd, 1, 0, 0, 0, 0xc3],
            // mov ebp, 1; leave
            &[0xbd, 1, 0, 0, 0, 0xc9, 0xc3],
            // jmp to itself
            &[0xeb, 0xfe],
        ] {
            assert_eq!(exit(code), Exit::Unknown, "{code:x?}");
        }
    }
}
