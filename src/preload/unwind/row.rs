//! A row of unwind information in full: where each register of the caller is found.
//!
//! [`Rule`](super::Rule) has what nearly all frames need, in one word. A row has the rest: CFAs from
//! any register or by an expression, return addresses and registers that were moved elsewhere.
//!
//! [`Row::caller`] may run at any moment.

use super::registers::{COUNT, FP, RA, Registers, SP};
use crate::arch::LINK_REGISTER;
use crate::arch::rule::strip;
use gimli::{
    CfaRule, EhFrame, Encoding, EndianSlice, Evaluation, EvaluationResult, EvaluationStorage,
    Format, LittleEndian, Location, Piece, Reader, RegisterRule, UnwindExpression, UnwindTableRow,
    Value,
};

type Bytes<'b> = EndianSlice<'b, LittleEndian>;

/// How expressions of `.eh_frame` are encoded.
pub(crate) const ENCODING: Encoding = Encoding {
    address_size: 8,
    format: Format::Dwarf32,
    version: 4,
};

/// How the CFA is found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cfa {
    /// A register's value and so many bytes.
    Register(u8, i64),
    /// The value of a DWARF expression.
    Expression(Box<[u8]>),
}

/// Where the caller's value of a register is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Saved {
    /// In the register itself.
    Same,
    /// Nowhere.
    Undefined,
    /// In memory, so many bytes from the CFA.
    At(i64),
    /// It is the CFA and so many bytes.
    Value(i64),
    /// In another register.
    Register(u8),
    /// In memory, where a DWARF expression says.
    AtExpression(Box<[u8]>),
    /// It is the value of a DWARF expression.
    Expression(Box<[u8]>),
}

/// How to get from a frame to its caller.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) cfa: Cfa,
    /// By DWARF number.
    pub(crate) saved: [Saved; COUNT],
}

/// Where the return address is, by where the caller's value of the link register is: unwind information
/// knows that register alone.
pub(super) fn through_link(link: &Saved) -> Saved {
    match (link, LINK_REGISTER) {
        (Saved::Same, Some(register)) => Saved::Register(register),
        _ => link.clone(),
    }
}

/// Why a row does not lead to the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// There is no caller: the return address is undefined.
    NoCaller,
    /// It needs a register whose value is not known.
    UnknownRegister,
    /// It needs memory that cannot be read.
    Unreadable,
    /// An expression asks for what no stack has.
    Unsupported,
}

/// Evaluates expressions without allocating.
struct OnStack;

impl<R: Reader> EvaluationStorage<R> for OnStack {
    type Stack = [Value; 64];
    type ExpressionStack = [(R, R); 1];
    type Result = [Piece<R>; 1];
}

impl Row {
    /// Copies what gimli found; `None` for a kind of rule that this type cannot express.
    pub(crate) fn new(
        section: &EhFrame<Bytes<'static>>,
        row: &UnwindTableRow<usize>,
    ) -> Option<Self> {
        let bytes = |expression: UnwindExpression<usize>| -> Option<Box<[u8]>> {
            Some(expression.get(section).ok()?.0.slice().into())
        };
        let number = |register: gimli::Register| {
            u8::try_from(register.0)
                .ok()
                .filter(|&number| usize::from(number) < COUNT)
        };
        let cfa = match *row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => {
                Cfa::Register(number(register)?, offset)
            }
            CfaRule::Expression(expression) => Cfa::Expression(bytes(expression)?),
        };
        let mut saved = [const { Saved::Same }; COUNT];
        if LINK_REGISTER.is_none() {
            saved[RA as usize] = Saved::Undefined;
        }
        for (register, rule) in row.registers() {
            let Some(place) = saved.get_mut(usize::from(register.0)) else {
                // Vector registers and the like.
                continue;
            };
            *place = match *rule {
                RegisterRule::Undefined => Saved::Undefined,
                RegisterRule::SameValue => Saved::Same,
                RegisterRule::Offset(offset) => Saved::At(offset),
                RegisterRule::ValOffset(offset) => Saved::Value(offset),
                RegisterRule::Register(other) => Saved::Register(number(other)?),
                RegisterRule::Expression(expression) => Saved::AtExpression(bytes(expression)?),
                RegisterRule::ValExpression(expression) => Saved::Expression(bytes(expression)?),
                _ => return None,
            };
        }
        if let Some(register) = LINK_REGISTER {
            saved[RA as usize] = through_link(&saved[register as usize]);
        }
        Some(Self { cfa, saved })
    }

    /// Returns whether the stack pointer and words of the frame suffice to step.
    pub(crate) fn is_from_sp(&self) -> bool {
        let in_frame = |saved: &Saved| matches!(saved, Saved::Same | Saved::At(..0));
        matches!(self.cfa, Cfa::Register(SP, _))
            && matches!(self.saved[RA as usize], Saved::At(..0))
            && self.saved[SP as usize] == Saved::Same
            && in_frame(&self.saved[FP as usize])
    }

    /// The registers of the caller. `read` reads a word of memory, at any address.
    pub(crate) fn caller(
        &self,
        regs: &Registers,
        read: &mut dyn FnMut(u64) -> Option<u64>,
    ) -> Result<Registers, Fault> {
        let cfa = match &self.cfa {
            Cfa::Register(register, offset) => regs
                .get(*register)
                .ok_or(Fault::UnknownRegister)?
                .wrapping_add_signed(*offset),
            Cfa::Expression(expression) => evaluate(expression, None, regs, read)?,
        };
        // A slot below rsp is no longer the frame's: an epilogue has restored the register already,
        // which GCC does not state.
        let live = match self.cfa {
            Cfa::Register(SP, _) => regs.sp(),
            _ => 0,
        };
        let mut caller = Registers::NONE;
        for (number, saved) in (0_u8..).zip(&self.saved) {
            let value = match saved {
                Saved::Same if number == SP => Ok(cfa),
                Saved::Same => regs.get(number).ok_or(Fault::UnknownRegister),
                Saved::Undefined => Err(Fault::NoCaller),
                Saved::At(offset) => {
                    let at = cfa.wrapping_add_signed(*offset);
                    if at < live && number != RA {
                        regs.get(number).ok_or(Fault::UnknownRegister)
                    } else {
                        read(at).ok_or(Fault::Unreadable)
                    }
                }
                Saved::Value(offset) => Ok(cfa.wrapping_add_signed(*offset)),
                Saved::Register(other) => regs.get(*other).ok_or(Fault::UnknownRegister),
                Saved::AtExpression(expression) => evaluate(expression, Some(cfa), regs, read)
                    .and_then(|at| read(at).ok_or(Fault::Unreadable)),
                Saved::Expression(expression) => evaluate(expression, Some(cfa), regs, read),
            };
            match value {
                Ok(value) if number == RA => caller.set(RA, strip(value)),
                Ok(value) => caller.set(number, value),
                // Without these there is no caller; others may not be needed.
                Err(fault) if number == RA || number == SP => return Err(fault),
                Err(_) => {}
            }
        }
        Ok(caller)
    }
}

/// The value of an expression; `initial` is what lies on its stack at the start.
#[inline(never)]
fn evaluate(
    expression: &[u8],
    initial: Option<u64>,
    regs: &Registers,
    read: &mut dyn FnMut(u64) -> Option<u64>,
) -> Result<u64, Fault> {
    const MOST_STEPS: u32 = 1000;
    let bytes = EndianSlice::new(expression, LittleEndian);
    let mut evaluation = Evaluation::<Bytes<'_>, OnStack>::new_in(bytes, ENCODING);
    evaluation.set_max_iterations(MOST_STEPS);
    if let Some(initial) = initial {
        evaluation.set_initial_value(initial);
    }
    let mut state = evaluation.evaluate();
    loop {
        state = match state.map_err(|_| Fault::Unsupported)? {
            EvaluationResult::Complete => break,
            EvaluationResult::RequiresMemory { address, size, .. } => {
                let word = read(address).ok_or(Fault::Unreadable)?;
                let kept = u64::MAX >> (64 - 8 * u32::from(size).clamp(1, 8));
                evaluation.resume_with_memory(Value::Generic(word & kept))
            }
            EvaluationResult::RequiresRegister { register, .. } => {
                let number = u8::try_from(register.0).map_err(|_| Fault::Unsupported)?;
                let value = regs.get(number).ok_or(Fault::UnknownRegister)?;
                evaluation.resume_with_register(Value::Generic(value))
            }
            _ => return Err(Fault::Unsupported),
        };
    }
    match evaluation.as_result() {
        [
            Piece {
                location: Location::Address { address },
                ..
            },
        ] => Ok(*address),
        [
            Piece {
                location: Location::Value { value },
                ..
            },
        ] => value.to_u64(u64::MAX).map_err(|_| Fault::Unsupported),
        _ => Err(Fault::Unsupported),
    }
}

#[cfg(all(test, target_arch = "x86_64"))] // By its numbers of registers.
mod tests {
    use super::*;

    /// A register that a call preserves: rbx on x86-64.
    const RBX: u8 = 3;

    const DW_OP_DEREF: u8 = 0x06;
    const DW_OP_AND: u8 = 0x1a;
    const DW_OP_PLUS: u8 = 0x22;
    const DW_OP_SHL: u8 = 0x24;
    const DW_OP_GE: u8 = 0x2a;
    const DW_OP_LIT0: u8 = 0x30;
    const DW_OP_BREG0: u8 = 0x70;

    fn row(cfa: Cfa) -> Row {
        let mut saved = [const { Saved::Same }; COUNT];
        saved[RA as usize] = Saved::At(-8);
        Row { cfa, saved }
    }

    fn regs(sp: u64) -> Registers {
        Registers::of_frame(0x40_0007, sp, 0x7000)
    }

    #[test]
    fn a_procedure_linkage_table_finds_its_caller_at_each_instruction() {
        let plt = [
            DW_OP_BREG0 + SP,
            8,
            DW_OP_BREG0 + RA,
            0,
            DW_OP_LIT0 + 15,
            DW_OP_AND,
            DW_OP_LIT0 + 11,
            DW_OP_GE,
            DW_OP_LIT0 + 3,
            DW_OP_SHL,
            DW_OP_PLUS,
        ];
        let row = row(Cfa::Expression(plt.into()));
        for (pc, cfa) in [(0x1000, 0x8008), (0x100a, 0x8008), (0x100b, 0x8010)] {
            let regs = Registers::of_frame(pc, 0x8000, 0x7000);
            let caller = row.caller(&regs, &mut |at| Some(at + 1)).expect("a caller");
            assert_eq!(
                (caller.sp(), caller.ra(), caller.get(FP)),
                (cfa, cfa - 7, Some(0x7000))
            );
        }
    }

    #[test]
    fn a_row_says_what_it_lacks() {
        let from_rbx = row(Cfa::Register(RBX, 16));
        let read = &mut |_| Some(1);
        assert_eq!(
            from_rbx.caller(&regs(0x8000), read).err(),
            Some(Fault::UnknownRegister)
        );
        let mut known = regs(0x8000);
        known.set(RBX, 0x9000);
        assert_eq!(
            from_rbx.caller(&known, read).map(|regs| regs.sp()),
            Ok(0x9010)
        );
        assert_eq!(
            from_rbx.caller(&known, &mut |_| None).err(),
            Some(Fault::Unreadable)
        );
        let mut last = row(Cfa::Register(SP, 8));
        last.saved[RA as usize] = Saved::Undefined;
        assert_eq!(last.caller(&known, read).err(), Some(Fault::NoCaller));
        let endless = row(Cfa::Expression([DW_OP_LIT0, 0x2f, 0xfd, 0xff].into()));
        assert_eq!(endless.caller(&known, read).err(), Some(Fault::Unsupported));
    }

    #[test]
    fn registers_are_found_wherever_they_were_moved() {
        let mut moved = row(Cfa::Register(SP, 0x40));
        moved.saved[FP as usize] = Saved::Register(12);
        moved.saved[RA as usize] = Saved::At(-24);
        moved.saved[RBX as usize] = Saved::AtExpression([DW_OP_BREG0 + FP, 8].into());
        moved.saved[13] = Saved::Value(-8);
        moved.saved[14] = Saved::Expression([DW_OP_BREG0 + FP, 16, DW_OP_DEREF].into());
        // Restored already, as the slot is below rsp.
        moved.saved[15] = Saved::At(-0x48);
        let mut known = regs(0x8000);
        known.set(12, 0x12);
        known.set(15, 0x15);
        let caller = moved
            .caller(&known, &mut |at| Some(at | 1 << 32))
            .expect("a caller");
        let got = [RBX, FP, SP, 13, 14, 15, RA].map(|n| caller.get(n).expect("known"));
        let expected = [
            0x1_0000_7008,
            0x12,
            0x8040,
            0x8038,
            0x1_0000_7010,
            0x15,
            0x1_0000_8028,
        ];
        assert_eq!(got, expected);
    }
}
