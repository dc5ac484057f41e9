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

/// How the note begins that shows a disagreement.
pub const EXAMPLE: &str = "first stack that the verifier disagrees with";

/// The result in words; the counts are in the order of [`Verified::ALL`].
pub fn sentence(counts: &[u64; 4]) -> String {
    let [_, different, ours, theirs] = counts;
    let all = counts.iter().fold(0_u64, |sum, &n| sum.saturating_add(n));
    format!(
        "stacks compared with libgcc's unwinder: {all}, disagreements: {different}, \
         followed farther by libgcc: {ours}, by us: {theirs}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::LOSSES;

    #[test]
    fn the_counters_do_not_collide_with_those_of_losses() {
        for what in Verified::ALL {
            assert!((what as usize) < LOSS_SLOTS);
            assert!(
                LOSSES
                    .iter()
                    .all(|text| text.loss as usize != what as usize)
            );
        }
    }

    #[test]
    fn the_sentence_adds_up() {
        assert!(sentence(&[5, 2, 1, 3]).contains(": 11, disagreements: 2,"));
    }
}
