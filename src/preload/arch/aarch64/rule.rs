//! The plain step of a rule, and the rows that it can express.
//!
//! ```text
//! bit  0      SAVES_BP     the caller's x29 was saved, in front of the return address
//! bit  1      BP_BASED     the base is x29, else sp
//! bits 4-19   offset       from the base to the CFA, in bytes, a multiple of 16 (as sp is)
//! bits 21-31  place        from the base to the return address, in words of 8 bytes
//! ```
//!
//! Functions nearly always save x29 and x30 side by side, at either end of the frame. A return
//! address may be signed (pointer authentication): the signature is above the 48 bits of a
//! program's addresses, and is stripped.
//!
//! Unlike on x86-64, a step by the bits of a special rule would read an arbitrary word, so
//! [`super::hot`] tests whether a rule is plain before it steps.
//!
//! [`step`] may run at any moment.

use crate::unwind::registers::{FP, SP};
use crate::unwind::row::{Cfa, Saved};
use crate::unwind::{Astray, Regs, Rule, Special};

const OFFSET: u64 = 0x000f_fff0;
pub(super) const PLACE_SHIFT: u32 = 21;
const PLACE_LIMIT: u64 = 1 << 11;

/// The bits of an address of a program. (A program gets longer ones only where it asks the kernel for
/// them by a hint, which nobody does for code.)
pub(super) const ADDRESS: u64 = (1 << 48) - 1;

impl Rule {
    pub(super) const SAVES_BP: u64 = 1;
    const BP_BASED: u64 = 2;

    /// A step from sp, or from x29 where `from_bp`; `None` when the numbers do not fit.
    ///
    /// `offset`: the CFA less the base, in bytes. `place`: how far above the base the return address
    /// lies, in bytes. `saves_bp`: the caller's x29 lies in front of it.
    pub(crate) fn plain(from_bp: bool, offset: u64, place: u64, saves_bp: bool) -> Option<Self> {
        let lowest = if saves_bp { 8 } else { 0 };
        let fits = offset != 0
            && offset & !OFFSET == 0
            && place.is_multiple_of(8)
            && place >= lowest
            && place < offset
            && place / 8 < PLACE_LIMIT;
        let base = if from_bp { Self::BP_BASED } else { 0 };
        let saves = if saves_bp { Self::SAVES_BP } else { 0 };
        fits.then_some(Self(
            offset | (place / 8) << PLACE_SHIFT | base | saves | Self::PLAIN,
        ))
    }

    /// The caller's x29 has to be loaded.
    #[inline(always)]
    pub(crate) fn saves_bp(self) -> bool {
        self.0 & Self::SAVES_BP != 0
    }

    /// The CFA is found from x29.
    #[inline(always)]
    pub(crate) fn is_bp_based(self) -> bool {
        self.0 & Self::BP_BASED != 0
    }

    /// Bytes from the base register to the CFA.
    #[inline(always)]
    pub(crate) fn offset(self) -> u64 {
        self.0 & OFFSET
    }

    /// Bytes from the base register to the return address.
    #[inline(always)]
    fn place(self) -> u64 {
        (self.0 >> PLACE_SHIFT & (PLACE_LIMIT - 1)) * 8
    }

    #[inline(always)]
    fn base(self, sp: u64, bp: u64) -> u64 {
        if self.is_bp_based() { bp } else { sp }
    }

    /// The CFA of a plain step.
    pub(crate) fn cfa(self, sp: u64, bp: u64) -> u64 {
        self.base(sp, bp).wrapping_add(self.offset())
    }

    /// Where a plain step from these registers reads the return address and the caller's x29, the latter
    /// only if that was saved.
    #[inline(always)]
    pub(crate) fn places(self, regs: Regs, _: u64) -> (u64, u64) {
        let ra_at = self.base(regs.sp, regs.bp).wrapping_add(self.place());
        (ra_at, ra_at.wrapping_sub(8))
    }
}

/// The word of memory from which a step read the return address `_ra`: with its signature, if it has one.
///
/// # Safety
/// The step read it at `place`, which is readable.
#[inline(always)]
pub(crate) unsafe fn word_of_ra(place: u64, _ra: u64) -> u64 {
    // SAFETY: the step has just read the word.
    unsafe { (place as *const u64).read_unaligned() }
}

/// The return address that a word of memory or a register holds.
#[inline(always)]
pub(crate) fn strip(word: u64) -> u64 {
    word & ADDRESS
}

/// Makes a plain step.
///
/// # Safety
/// `regs.sp <= hi`, and the memory from `regs.sp` to `hi` is readable.
#[inline(always)]
pub(crate) unsafe fn step(regs: &mut Regs, rule: Rule, hi: u64) -> Result<(), Astray> {
    let base = rule.base(regs.sp, regs.bp);
    // (A base up to hi and an offset of 20 bits cannot wrap around.)
    if base < regs.sp || base > hi || base + rule.offset() > hi {
        return Err(Astray);
    }
    let (ra_at, bp_at) = rule.places(*regs, 0);
    let cfa = base + rule.offset();
    // SAFETY: sp <= base <= both places < cfa <= hi, as `Rule::plain` sees to.
    unsafe {
        if rule.saves_bp() {
            regs.bp = (bp_at as *const u64).read_unaligned();
        }
        regs.ra = strip((ra_at as *const u64).read_unaligned());
    }
    regs.sp = cfa;
    Ok(())
}

/// Returns the rule for a row, given its CFA and where it saves the return address, x29 and sp, or
/// [`Special::Row`] if one word cannot express the row.
pub(crate) fn rule_of(cfa: &Cfa, ra: &Saved, bp: &Saved, sp: &Saved) -> Rule {
    if *ra == Saved::Undefined {
        return Rule::special(Special::End);
    }
    let (&Cfa::Register(base @ (SP | FP), offset), &Saved::At(ra_at)) = (cfa, ra) else {
        return Rule::special(Special::Row);
    };
    let saves_bp = match *bp {
        Saved::Same | Saved::Undefined => Some(false),
        // A slot below sp is no longer the frame's: an epilogue has restored x29 already, and the table
        // does not tell.
        Saved::At(at) if base == SP && -at > offset => Some(false),
        Saved::At(at) if at == ra_at - 8 => Some(true),
        _ => None,
    };
    let place = u64::try_from(offset + ra_at);
    let rule = match (saves_bp, place, u64::try_from(offset)) {
        (Some(saves_bp), Ok(place), Ok(offset)) if *sp == Saved::Same => {
            Rule::plain(base == FP, offset, place, saves_bp)
        }
        _ => None,
    };
    rule.unwrap_or(Rule::special(Special::Row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_rule_says_what_it_was_made_of(
            from_bp: bool, offset in 1_u64..0x1_0000, place in 0_u64..0x900, saves_bp: bool, id: u32,
        ) {
            let (offset, place) = (offset * 16, place * 8);
            let rule = Rule::plain(from_bp, offset, place, saves_bp);
            let lowest = if saves_bp { 8 } else { 0 };
            let fits = offset <= OFFSET && (lowest..offset).contains(&place) && place < 0x4000;
            prop_assert_eq!(rule.is_some(), fits);
            for rule in rule.into_iter().flat_map(|rule| [rule, rule.transparent()]) {
                let rule = rule.with_frame(id);
                prop_assert_eq!(rule.offset(), offset);
                prop_assert_eq!(rule.place(), place);
                prop_assert_eq!(rule.saves_bp(), saves_bp);
                prop_assert_eq!(rule.is_bp_based(), from_bp);
                prop_assert_eq!(rule.frame(), u64::from(id));
                prop_assert_eq!(rule.kind(), None);
            }
        }
    }

    #[test]
    fn a_step_finds_the_frame_record_at_either_end_of_the_frame() {
        let signed = 0xaa00_0000_0040_0010_u64 | 0x0055 << 48;
        let stack = [1_u64, 2, 0x7000, signed, 5, 6, 0x8000, 0x40_0020, 9, 10];
        let at = |i: usize| (&raw const stack[i]) as u64;
        let hi = at(0) + 80;
        let go = |rule: Option<Rule>, bp| {
            let mut regs = Regs {
                ra: 0,
                sp: at(0),
                bp,
            };
            // SAFETY: the words up to `hi` are this function's own.
            unsafe { step(&mut regs, rule.unwrap(), hi) }
                .is_ok()
                .then_some((regs.ra, regs.sp, regs.bp))
        };
        let top = Rule::plain(false, 32, 24, true);
        assert_eq!(go(top, 7), Some((0x40_0010, at(4), 0x7000)));
        let bottom = Rule::plain(false, 64, 24, true);
        assert_eq!(go(bottom, 7), Some((0x40_0010, at(8), 0x7000)));
        let alone = Rule::plain(false, 64, 56, false);
        assert_eq!(go(alone, 7), Some((0x40_0020, at(8), 7)));
        let from_bp = Rule::plain(true, 16, 8, true);
        assert_eq!(go(from_bp, at(6)), Some((0x40_0020, at(8), 0x8000)));
        for wild in [0, at(0) - 8, hi, hi - 8, u64::MAX, u64::MAX - 15] {
            assert_eq!(go(from_bp, wild), None);
        }
        assert_eq!(go(Rule::plain(false, 96, 8, true), 7), None);
    }

    #[test]
    fn rows_become_rules_where_one_word_can_say_them() {
        let rule = |cfa, ra, bp| rule_of(&cfa, &ra, &bp, &Saved::Same);
        let at = Saved::At;
        let sp = |offset| Cfa::Register(SP, offset);
        assert_eq!(
            Some(rule(sp(48), at(-40), at(-48))),
            Rule::plain(false, 48, 8, true)
        );
        assert_eq!(
            Some(rule(sp(48), at(-8), at(-16))),
            Rule::plain(false, 48, 40, true)
        );
        assert_eq!(
            Some(rule(sp(16), at(-16), Saved::Same)),
            Rule::plain(false, 16, 0, false)
        );
        assert_eq!(
            Some(rule(Cfa::Register(FP, 16), at(-8), at(-16))),
            Rule::plain(true, 16, 8, true)
        );
        for (cfa, ra, bp) in [
            (sp(48), at(-8), at(-32)),
            (sp(0), Saved::Register(30), Saved::Same),
            (sp(40_000), at(-40), at(-48)),
            (Cfa::Register(19, 16), at(-8), at(-16)),
            (sp(16), at(-40), Saved::Same),
        ] {
            assert_eq!(rule(cfa, ra, bp).kind(), Some(Special::Row));
        }
        assert_eq!(
            rule(sp(0), Saved::Undefined, Saved::Same).kind(),
            Some(Special::End)
        );
    }
}
