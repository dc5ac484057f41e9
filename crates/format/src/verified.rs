//! What the stack verifier counts: stacks that were compared with a second unwinder, by outcome.

use super::layout::LOSS_SLOTS;

/// What came of a comparison. The value is the index into [`super::layout::Header::losses`], of
/// which the honesty counters use the first ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Verified {
    /// Both saw the same frames.
    Same = LOSS_SLOTS - 4,
    /// They disagree.
    Different = LOSS_SLOTS - 3,
    /// The recorded stack is marked as cut where the second unwinder went on.
    OursShorter = LOSS_SLOTS - 2,
    /// The second unwinder stopped, for want of unwind information, where the recorded stack goes
    /// on. Up to there they are the same.
    TheirsShorter = LOSS_SLOTS - 1,
}

impl Verified {
    /// Every outcome.
    pub const ALL: [Self; 4] = [
        Self::Same,
        Self::Different,
        Self::OursShorter,
        Self::TheirsShorter,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::Loss;

    #[test]
    fn the_counters_do_not_collide_with_those_of_losses() {
        for what in Verified::ALL {
            assert!((what as usize) < LOSS_SLOTS);
            assert!(Loss::counted().all(|loss| loss as usize != what as usize));
        }
    }
}
