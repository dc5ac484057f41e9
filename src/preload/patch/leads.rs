//! Where the calls and jumps of an object's code lead, through stubs of the procedure linkage table
//! too.
//!
//! A stub loads the function's address from a slot that the loader fills, at the latest when it is
//! first used. The relocation of the slot names the function at any time.
//!
//! Runs in cold sections.

use super::plan;
use crate::elf::{LinkMap, function_in, relocation_symbol};
use crate::unwind::is_code;
use core::ffi::CStr;
use iced_x86::{Code, FlowControl, Instruction, OpKind, Register};

/// A function that code leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lead {
    /// By its address.
    To(u64),
    /// By the name that the loader looks up.
    Named(&'static CStr),
}

impl Lead {
    /// Returns the address of the function, if it lies in the object itself.
    pub(super) fn address(self, object: &LinkMap) -> Option<u64> {
        match self {
            Self::To(address) => Some(address),
            Self::Named(name) => function_in(object, name).map(|address| address as u64),
        }
    }
}

/// Returns where a call or a jump leads; `None` for one that only the running program can tell, and
/// for any other instruction.
pub(super) fn lead_of(object: &LinkMap, instruction: &Instruction) -> Option<Lead> {
    match instruction.flow_control() {
        FlowControl::Call | FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => {
            let target = instruction.near_branch64();
            let is_stub_of = |slot| relocation_symbol(object, slot).map(Lead::Named);
            (target != 0).then(|| {
                slot_of_stub(target)
                    .and_then(is_stub_of)
                    .unwrap_or(Lead::To(target))
            })
        }
        FlowControl::IndirectCall | FlowControl::IndirectBranch => {
            let slot = slot_of(instruction)?;
            relocation_symbol(object, slot as usize).map(Lead::Named)
        }
        _ => None,
    }
}

/// The slot from which a stub jumps: `[endbr64] [bnd] jmp [rip + distance]`.
fn slot_of_stub(at: u64) -> Option<usize> {
    const LONGEST: u64 = 11;
    let code = code_at(at, LONGEST)?;
    let jump = plan::first_instructions(code, at)
        .find(|instruction| instruction.code() != Code::Endbr64)?;
    (jump.flow_control() == FlowControl::IndirectBranch)
        .then(|| slot_of(&jump))?
        .map(|slot| slot as usize)
}

/// The address of the operand in memory of an indirect call or jump, if it is relative to the
/// instruction.
fn slot_of(instruction: &Instruction) -> Option<u64> {
    let in_memory = instruction.op0_kind() == OpKind::Memory;
    (in_memory && instruction.memory_base() == Register::RIP)
        .then(|| instruction.memory_displacement64())
}

/// The machine code of a range, if an executable segment holds all of it.
pub(super) fn code_at(start: u64, size: u64) -> Option<&'static [u8]> {
    let end = start.checked_add(size).filter(|&end| end > start)?;
    // SAFETY: the range lies in a mapped, readable segment. It is read while nobody writes.
    is_code(start, end)
        .then(|| unsafe { core::slice::from_raw_parts(start as *const u8, size as usize) })
}
