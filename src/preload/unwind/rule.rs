//! An unwind rule: how to get from a frame to its caller, in one word.
//!
//! Pure data; may be used anywhere.

/// How to step from the frame of a return address to its caller, and which frame that is.
///
/// ```text
/// bit  0      SAVES_BP     the frame saved rbp; the caller's is at CFA - 8 * slot
/// bit  1      BP_BASED     CFA = rbp + 16 and the caller's rbp at *rbp, else CFA = rsp + offset
/// bit  2      PLAIN        a plain step that counts as a frame; else TRANSPARENT or a Special
/// bits 3-19   offset       in bytes, a multiple of 8 (so that masking yields it)
/// bit  20     TRANSPARENT  a plain step, but the function is an allocation wrapper
/// bits 21-23               with neither PLAIN nor TRANSPARENT, the Special
/// bits 24-31  slot         where rbp was saved; of a Special, the operand
/// bits 32-63  frame id     in the recording
/// ```
///
/// The return address is always at CFA - 8, and rsp is the CFA after the step. 0 is "no rule", and
/// not plain.
///
/// The hot path relies on this: of a Special, bits 0-19 are 0, so that a step by it stays where it
/// is and finds the same frame again; of a TRANSPARENT rule the frame id is 0. A site has the same
/// frame twice in a row only where that is the root of the stack ([`Special::End`]), and never a 0
/// in front of a frame. So a walk that went over anything but plain steps and a root finds no site
/// and is done again the longer way, without a test at each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule(pub(crate) u64);

/// What a rule that is not a plain step asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    /// The last frame of the stack.
    End,
    /// No unwind information covers the address; the frame pointer may lead on, where it proves
    /// itself.
    Guess,
    /// No unwind information covers the address, but the code returns by way of its frame pointer.
    FramePointer,
    /// CFA = *(rbp + operand): an over-aligned frame; the caller's rbp is at *rbp.
    Deref(i64),
    /// The kernel's signal frame.
    Signal,
    /// CFA = rbp + operand, the caller's rbp at CFA - 16: a frame pointer that was set up late.
    LateBp(i64),
    /// Unwind information that one word cannot express: the step is that of its row
    /// ([`super::row`]).
    Row,
    /// Unwind information that cannot be read, or of a kind that is not followed.
    Cut,
}

const OFFSET: u64 = 0x000f_fff8;
const SLOT_SHIFT: u32 = 24;
const SLOT_LIMIT: u64 = 1 << 8;
const CODE_SHIFT: u32 = 21;
/// Added to operands in units of eight bytes, which have eight bits.
const OPERAND_BIAS: i64 = 128;

impl Rule {
    const SAVES_BP: u64 = 1;
    const BP_BASED: u64 = 2;
    const PLAIN: u64 = 4;
    pub(crate) const TRANSPARENT: u64 = 1 << 20;

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

    /// A step of another kind; [`Special::Cut`] when its operand does not fit.
    pub(crate) fn special(what: Special) -> Self {
        Self::with_operand(what).unwrap_or(Self(0))
    }

    /// A step of another kind; `None` when its operand does not fit.
    pub(crate) fn with_operand(what: Special) -> Option<Self> {
        let (code, operand) = match what {
            Special::Cut => (0, 0),
            Special::End => (1, 0),
            Special::Guess => (2, 0),
            Special::Signal => (3, 0),
            Special::Deref(operand) => (4, operand),
            Special::LateBp(operand) => (5, operand),
            Special::Row => (6, 0),
            Special::FramePointer => (7, 0),
        };
        let fits = operand % 8 == 0 && (-1024..1024).contains(&operand);
        fits.then(|| Self(code << CODE_SHIFT | ((operand / 8 + OPERAND_BIAS) as u64) << SLOT_SHIFT))
    }

    /// Returns this step as one out of an allocation wrapper, which is not counted as a frame. Only plain
    /// steps can be transparent; others stay as they are.
    pub(crate) fn transparent(self) -> Self {
        if self.is_special() {
            self
        } else {
            Self(self.0 & !Self::PLAIN | Self::TRANSPARENT)
        }
    }

    /// The rule with its frame id.
    pub(crate) fn with_frame(self, id: u32) -> Self {
        Self(self.0 & 0xffff_ffff | u64::from(id) << 32)
    }

    /// The frame's id.
    #[inline(always)]
    pub(crate) fn frame(self) -> u64 {
        self.0 >> 32
    }

    /// Needs more than a plain counted step.
    #[inline(always)]
    pub(crate) fn is_special(self) -> bool {
        self.0 & Self::PLAIN == 0
    }

    /// Steps plainly but does not count as a frame.
    #[inline(always)]
    pub(crate) fn is_transparent(self) -> bool {
        self.0 & Self::TRANSPARENT != 0
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

    /// Which kind of special step this is; `None` for plain ones, transparent or not.
    pub(crate) fn kind(self) -> Option<Special> {
        if !self.is_special() || self.is_transparent() {
            return None;
        }
        let operand = ((self.0 >> SLOT_SHIFT & (SLOT_LIMIT - 1)) as i64 - OPERAND_BIAS) * 8;
        Some(match self.0 >> CODE_SHIFT & 7 {
            1 => Special::End,
            2 => Special::Guess,
            3 => Special::Signal,
            4 => Special::Deref(operand),
            5 => Special::LateBp(operand),
            6 => Special::Row,
            7 => Special::FramePointer,
            _ => Special::Cut,
        })
    }
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

        #[test]
        fn a_special_rule_keeps_its_operand_and_takes_no_step(operand in -128_i64..128, id: u32) {
            for what in [Special::Deref(operand * 8), Special::LateBp(operand * 8)] {
                let rule = Rule::special(what).with_frame(id);
                prop_assert_eq!(rule.kind(), Some(what));
                prop_assert_eq!(rule.0 & 0xf_ffff, 0);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(Rule::from_sp(12, None), None);
        assert_eq!(Rule::from_sp(0, None), None);
        assert_eq!(Rule::from_sp(1 << 20, None), None);
        assert_eq!(Rule::from_sp(64, Some(72)), None);
        assert_eq!(
            Rule::special(Special::Deref(4096)).kind(),
            Some(Special::Cut)
        );
        assert_eq!(Rule::special(Special::Deref(12)).kind(), Some(Special::Cut));
        assert_eq!(Rule(0).kind(), Some(Special::Cut));
    }
}
