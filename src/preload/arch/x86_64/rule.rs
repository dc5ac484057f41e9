//! The plain step of a rule, and the rows that it can express.
//!
//! ```text
//! bit  0      SAVES_BP     the frame saved rbp; the caller's is at CFA - 8 * slot
//! bit  1      BP_BASED     CFA = rbp + 16 and the caller's rbp at *rbp, else CFA = rsp + offset
//! bits 3-19   offset       in bytes, a multiple of 8 (so that masking yields it)
//! bits 24-31  slot         where rbp was saved
//! ```
//!
//! The return address is always at CFA - 8. A step by a rule of which all these bits are 0 stays where it
//! is and finds the same frame again.
//!
//! [`step`] may run at any moment.

use crate::unwind::registers::{FP, SP};
use crate::unwind::row::{Cfa, ENCODING, Saved};
use crate::unwind::{Astray, Regs, Rule, Special};
use gimli::{EndianSlice, Expression, LittleEndian, Operation, OperationIter, X86_64};

const OFFSET: u64 = 0x000f_fff8;
const SLOT_SHIFT: u32 = 24;
const SLOT_LIMIT: u64 = 1 << 8;

impl Rule {
    const SAVES_BP: u64 = 1;
    const BP_BASED: u64 = 2;

    /// A step from rsp; `None` when the numbers do not fit.
    ///
    /// `offset`: the CFA less rsp, in bytes. `saved_bp`: how far below the CFA the caller's rbp was
    /// saved, in bytes.
    pub(crate) fn from_sp(offset: u64, saved_bp: Option<u64>) -> Option<Self> {
        if offset == 0 || offset & !OFFSET != 0 {
            return None;
        }
        let saved = match saved_bp {
            None => 0,
            Some(below) => {
                let slot = below / 8;
                // A slot below the frame's own rsp could be overwritten at any time.
                if !below.is_multiple_of(8) || !(2..SLOT_LIMIT).contains(&slot) || below > offset {
                    return None;
                }
                slot << SLOT_SHIFT | Self::SAVES_BP
            }
        };
        Some(Self(offset | saved | Self::PLAIN))
    }

    /// A step along the frame pointer: CFA = rbp + 16, the caller's rbp at *rbp.
    pub(crate) fn from_bp() -> Self {
        Self(16 | 2 << SLOT_SHIFT | Self::PLAIN | Self::SAVES_BP | Self::BP_BASED)
    }

    /// The caller's rbp has to be loaded.
    #[inline(always)]
    pub(crate) fn saves_bp(self) -> bool {
        self.0 & Self::SAVES_BP != 0
    }

    /// The CFA is found from rbp.
    #[inline(always)]
    pub(crate) fn is_bp_based(self) -> bool {
        self.0 & Self::BP_BASED != 0
    }

    /// Bytes from the base register to the CFA.
    #[inline(always)]
    pub(crate) fn offset(self) -> u64 {
        self.0 & OFFSET
    }

    /// How far below the CFA the caller's rbp was saved, in bytes.
    #[inline(always)]
    pub(crate) fn saved_bp_below_cfa(self) -> u64 {
        (self.0 >> SLOT_SHIFT & (SLOT_LIMIT - 1)) * 8
    }

    /// The CFA of a plain step.
    pub(crate) fn cfa(self, sp: u64, bp: u64) -> u64 {
        let base = if self.is_bp_based() { bp } else { sp };
        base.wrapping_add(self.offset())
    }

    /// Where a plain step, which leads to `cfa`, reads the return address and the caller's rbp, the
    /// latter only if that was saved.
    #[inline(always)]
    pub(crate) fn places(self, _: Regs, cfa: u64) -> (u64, u64) {
        let bp_at = cfa.wrapping_sub(self.saved_bp_below_cfa());
        (cfa.wrapping_sub(8), bp_at)
    }
}

/// The word of memory from which a step read the return address `ra`.
///
/// # Safety
/// The step read it at `place`.
#[inline(always)]
pub(crate) unsafe fn word_of_ra(_place: u64, ra: u64) -> u64 {
    ra
}

/// The return address that a word of memory or a register holds.
#[inline(always)]
pub(crate) fn strip(word: u64) -> u64 {
    word
}

/// Makes a plain step.
///
/// # Safety
/// `16 <= regs.sp <= hi`, and the memory from `regs.sp - 8` to `hi` is readable.
#[inline(always)]
pub(crate) unsafe fn step(regs: &mut Regs, rule: Rule, hi: u64) -> Result<(), Astray> {
    if rule.is_bp_based() {
        let frame = regs.bp;
        if frame < regs.sp || frame > hi - 16 {
            return Err(Astray);
        }
        // SAFETY: sp <= frame and frame + 16 <= hi, as just checked.
        unsafe {
            regs.ra = *((frame + 8) as *const u64);
            regs.bp = *(frame as *const u64);
        }
        regs.sp = frame + 16;
    } else {
        let cfa = regs.sp + rule.offset();
        if cfa > hi {
            return Err(Astray);
        }
        if rule.saves_bp() {
            // SAFETY: a rule from rsp saves rbp within its frame: sp <= cfa - below < hi.
            regs.bp = unsafe { *((cfa - rule.saved_bp_below_cfa()) as *const u64) };
        }
        // SAFETY: sp - 8 <= cfa - 8 < hi. (The offset is 8 at least, but 0 in the special rules
        // that the hot path steps over.)
        regs.ra = unsafe { *((cfa - 8) as *const u64) };
        regs.sp = cfa;
    }
    Ok(())
}

/// Returns the rule for a row, given its CFA and where it saves the return address, rbp and rsp, or
/// [`Special::Row`] if one word cannot express the row.
pub(crate) fn rule_of(cfa: &Cfa, ra: &Saved, bp: &Saved, sp: &Saved) -> Rule {
    if *ra == Saved::Undefined {
        return Rule::special(Special::End);
    }
    let rule = match (cfa, ra) {
        _ if *sp != Saved::Same => None,
        (&Cfa::Register(SP, offset), Saved::At(-8)) if offset > 0 => {
            let saved = match *bp {
                Saved::Same | Saved::Undefined => Some(None),
                // A slot below rsp is no longer the frame's: an epilogue has restored rbp already,
                // and the table does not tell.
                Saved::At(at) if -at > offset => Some(None),
                Saved::At(at) if at < 0 => Some(Some(at.unsigned_abs())),
                _ => None,
            };
            saved.and_then(|saved| Rule::from_sp(offset as u64, saved))
        }
        (&Cfa::Register(FP, 16), Saved::At(-8)) if *bp == Saved::At(-16) => Some(Rule::from_bp()),
        (&Cfa::Register(FP, offset), Saved::At(-8)) if *bp == Saved::At(-16) => {
            Rule::with_operand(Special::LateBp(offset))
        }
        (Cfa::Expression(expression), Saved::At(-8)) if is_at_bp(bp) => {
            word_at_bp(expression).and_then(|offset| Rule::with_operand(Special::Deref(offset)))
        }
        _ => None,
    };
    rule.unwrap_or(Rule::special(Special::Row))
}

/// The offset from rbp if the expression is the word there, as in GCC's realigning prologues.
fn word_at_bp(expression: &[u8]) -> Option<i64> {
    let mut operations = operations(expression);
    let mut next = || operations.next().ok().flatten();
    let Operation::RegisterOffset {
        register, offset, ..
    } = next()?
    else {
        return None;
    };
    let Operation::Deref {
        size: 8,
        space: false,
        ..
    } = next()?
    else {
        return None;
    };
    (register == X86_64::RBP && next().is_none()).then_some(offset)
}

/// Returns whether the caller's rbp was saved where rbp points, as realigning prologues do.
fn is_at_bp(saved: &Saved) -> bool {
    let Saved::AtExpression(expression) = saved else {
        return false;
    };
    let mut operations = operations(expression);
    matches!(
        operations.next(),
        Ok(Some(Operation::RegisterOffset { register, offset: 0, .. })) if register == X86_64::RBP
    ) && matches!(operations.next(), Ok(None))
}

fn operations(expression: &[u8]) -> OperationIter<EndianSlice<'_, LittleEndian>> {
    Expression(EndianSlice::new(expression, LittleEndian)).operations(ENCODING)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_rule_says_what_it_was_made_of(
            offset in 1_u64..0x1_ffff,
            saved in proptest::option::of(2_u64..255),
            id: u32,
        ) {
            let (offset, saved) = (offset * 8, saved.map(|slot| slot * 8));
            if let Some(rule) = Rule::from_sp(offset, saved) {
                for rule in [rule.with_frame(id), rule.transparent().with_frame(id)] {
                    prop_assert_eq!(rule.offset(), offset);
                    prop_assert_eq!(rule.saves_bp().then(|| rule.saved_bp_below_cfa()), saved);
                    prop_assert!(!rule.is_bp_based());
                    prop_assert_eq!(rule.frame(), u64::from(id));
                    prop_assert_eq!(rule.kind(), None);
                }
                prop_assert!(!rule.is_special());
                prop_assert!(rule.transparent().is_special() && rule.transparent().is_transparent());
            } else {
                prop_assert!(saved.is_some_and(|below| below > offset));
            }
        }

    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(Rule::from_sp(12, None), None);
        assert_eq!(Rule::from_sp(0, None), None);
        assert_eq!(Rule::from_sp(1 << 20, None), None);
        assert_eq!(Rule::from_sp(64, Some(72)), None);
    }
}
