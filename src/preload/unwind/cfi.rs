//! What the unwind information says about an address, as far as framehop needs help.
//!
//! framehop follows a frame pointer where no entry covers an address, stops at signal frames and
//! takes over-aligned frames (CFA = *(rbp + offset), GCC's dynamic realignment) for ordinary ones.
//! None of that can be told from its answer, so the entry is classified first.
//!
//! Runs in cold sections.

use super::modules::EhFrame;
use gimli::{
    BaseAddresses, CallFrameInstruction as Op, CfaRule, EhFrame as Section, EhFrameHdr,
    EndianSlice, FrameDescriptionEntry, LittleEndian, Operation, RegisterRule, UnwindContext,
    UnwindSection, X86_64,
};

type Bytes = EndianSlice<'static, LittleEndian>;
type Fde = FrameDescriptionEntry<Bytes>;

/// Which treatment an address needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// No entry covers the address.
    Uncovered,
    /// The kernel's signal frame.
    Signal,
    /// CFA = *(rbp + offset), the caller's rbp = *rbp.
    Deref(i64),
    /// framehop's rule is right.
    Ordinary,
    /// Neither framehop nor we follow this.
    Unsupported,
}

struct Unwind {
    section: Section<Bytes>,
    bases: BaseAddresses,
}

/// Classifies the entry for `lookup`, the address in memory to look up.
pub(crate) fn classify(eh: &EhFrame, lookup: u64) -> Class {
    let unwind = Unwind {
        section: Section::new(eh.frame, LittleEndian),
        bases: BaseAddresses::default()
            .set_eh_frame_hdr(eh.hdr_address)
            .set_eh_frame(eh.frame_address),
    };
    let Some(fde) = unwind.entry(eh, lookup) else {
        return Class::Uncovered;
    };
    if fde.is_signal_trampoline() {
        return Class::Signal;
    }
    if unwind.is_ordinary(&fde) {
        Class::Ordinary
    } else {
        unwind.evaluate(&fde, lookup)
    }
}

impl Unwind {
    fn entry(&self, eh: &EhFrame, lookup: u64) -> Option<Fde> {
        let hdr = EhFrameHdr::new(eh.hdr, LittleEndian)
            .parse(&self.bases, 8)
            .ok()?;
        let pointer = hdr.table()?.lookup(lookup, &self.bases).ok()?;
        let gimli::Pointer::Direct(address) = pointer else {
            return None;
        };
        let offset = address.checked_sub(self.bases.eh_frame.section?)?;
        let cie = |section: &Section<Bytes>, bases: &BaseAddresses, at| {
            section.cie_from_offset(bases, at)
        };
        let fde = self
            .section
            .fde_from_offset(&self.bases, gimli::EhFrameOffset(offset as usize), cie)
            .ok()?;
        fde.contains(lookup).then_some(fde)
    }

    /// Is the entry free of expressions and of CFAs from other registers than rsp and rbp?
    fn is_ordinary(&self, fde: &Fde) -> bool {
        let stack_register = |r| r == X86_64::RSP || r == X86_64::RBP;
        let plain = |op: &Op<usize>| match *op {
            Op::DefCfa { register, .. }
            | Op::DefCfaSf { register, .. }
            | Op::DefCfaRegister { register } => stack_register(register),
            Op::DefCfaExpression { .. } => false,
            Op::Expression { register, .. } | Op::ValExpression { register, .. } => {
                register != X86_64::RBP && register != X86_64::RA
            }
            _ => true,
        };
        let mut initial = fde.cie().instructions(&self.section, &self.bases);
        let mut own = fde.instructions(&self.section, &self.bases);
        for instructions in [&mut initial, &mut own] {
            loop {
                match instructions.next() {
                    Ok(Some(op)) if plain(&op) => {}
                    Ok(Some(_)) | Err(_) => return false,
                    Ok(None) => break,
                }
            }
        }
        true
    }

    /// Works the row for the address out.
    fn evaluate(&self, fde: &Fde, lookup: u64) -> Class {
        let mut context = UnwindContext::new();
        let Ok(row) = fde.unwind_info_for_address(&self.section, &self.bases, &mut context, lookup)
        else {
            return Class::Unsupported;
        };
        let ra_at_cfa = matches!(row.register(X86_64::RA), Some(RegisterRule::Offset(-8)));
        match row.cfa() {
            CfaRule::RegisterAndOffset { register, .. }
                if *register == X86_64::RSP || *register == X86_64::RBP =>
            {
                match row.register(X86_64::RBP) {
                    Some(RegisterRule::Expression(_) | RegisterRule::ValExpression(_)) => {
                        Class::Unsupported
                    }
                    _ => Class::Ordinary,
                }
            }
            CfaRule::Expression(expression) if ra_at_cfa => {
                let Ok(expression) = expression.get(&self.section) else {
                    return Class::Unsupported;
                };
                let mut ops = expression.operations(fde.cie().encoding());
                let (first, second, end) = (ops.next(), ops.next(), ops.next());
                let (Ok(Some(first)), Ok(Some(second)), Ok(None)) = (first, second, end) else {
                    return Class::Unsupported;
                };
                match (first, second) {
                    (
                        Operation::RegisterOffset {
                            register, offset, ..
                        },
                        Operation::Deref {
                            size: 8,
                            space: false,
                            ..
                        },
                    ) if register == X86_64::RBP
                        && self.bp_is_at_bp(row.register(X86_64::RBP), fde) =>
                    {
                        Class::Deref(offset)
                    }
                    _ => Class::Unsupported,
                }
            }
            _ => Class::Unsupported,
        }
    }

    /// Was the caller's rbp saved where rbp points, as realigning prologues do?
    fn bp_is_at_bp(&self, rule: Option<RegisterRule<usize>>, fde: &Fde) -> bool {
        let Some(RegisterRule::Expression(expression)) = rule else {
            return false;
        };
        let Ok(expression) = expression.get(&self.section) else {
            return false;
        };
        let mut ops = expression.operations(fde.cie().encoding());
        matches!(
            ops.next(),
            Ok(Some(Operation::RegisterOffset { register, offset: 0, .. })) if register == X86_64::RBP
        ) && matches!(ops.next(), Ok(None))
    }
}
