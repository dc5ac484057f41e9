//! An unwind rule: how to get from a frame to its caller, in one word.
//!
//! Pure data; may be used anywhere.

/// How to step from the frame of a return address to its caller, and which frame that is.
///
/// ```text
/// bit  2      PLAIN        a plain step that counts as a frame; else TRANSPARENT or a Special
/// bit  20     TRANSPARENT  a plain step, but the function is an allocation wrapper
/// bits 21-23               with neither PLAIN nor TRANSPARENT, the Special
/// bits 24-31               of a Special, the operand
/// bits 32-63  frame id     in the recording
/// ```
///
/// In a plain step, bits 0, 1, 3-19 and 21-31 describe the step itself: where the CFA, the return
/// address and the saved frame pointer are. Each architecture has its own encoding, documented at the top
/// of its `arch/*/rule.rs`. After the step, the stack pointer is the CFA. 0 means "no rule", and is not
/// plain.
///
/// The hot path relies on this: of a Special, bits 0-19 are 0; of a TRANSPARENT rule the frame id is 0.
/// A site has the same frame twice in a row only where that is the root of the stack
/// ([`Special::End`]), and never a 0 in front of a frame. So a walk that went over anything but plain
/// steps and a root finds no site and is done again the longer way.
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

const OPERAND_SHIFT: u32 = 24;
const OPERAND_LIMIT: u64 = 1 << 8;
const CODE_SHIFT: u32 = 21;
/// Added to operands in units of eight bytes, which have eight bits.
const OPERAND_BIAS: i64 = 128;

impl Rule {
    /// The rule of the root of a stack, without its frame.
    #[cfg_attr(target_arch = "x86_64", allow(dead_code))] // Of use to hot paths that look at it.
    pub(crate) const END: Self = Self(1 << CODE_SHIFT | (OPERAND_BIAS as u64) << OPERAND_SHIFT);
    pub(crate) const PLAIN: u64 = 4;
    pub(crate) const TRANSPARENT: u64 = 1 << 20;

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
        fits.then(|| {
            Self(code << CODE_SHIFT | ((operand / 8 + OPERAND_BIAS) as u64) << OPERAND_SHIFT)
        })
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

    /// Which kind of special step this is; `None` for plain ones, transparent or not.
    pub(crate) fn kind(self) -> Option<Special> {
        if !self.is_special() || self.is_transparent() {
            return None;
        }
        let operand = ((self.0 >> OPERAND_SHIFT & (OPERAND_LIMIT - 1)) as i64 - OPERAND_BIAS) * 8;
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
        fn a_special_rule_keeps_its_operand_and_takes_no_step(operand in -128_i64..128, id: u32) {
            for what in [Special::Deref(operand * 8), Special::LateBp(operand * 8)] {
                let rule = Rule::special(what).with_frame(id);
                prop_assert_eq!(rule.kind(), Some(what));
                prop_assert_eq!(rule.0 & 0xf_ffff, 0);
            }
        }
    }

    #[test]
    fn an_operand_that_does_not_fit_is_refused() {
        assert_eq!(
            Rule::special(Special::Deref(4096)).kind(),
            Some(Special::Cut)
        );
        assert_eq!(Rule::special(Special::Deref(12)).kind(), Some(Special::Cut));
        assert_eq!(Rule(0).kind(), Some(Special::Cut));
        assert_eq!(Rule::special(Special::End), Rule::END);
    }
}
