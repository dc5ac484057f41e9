//! Pairs two ordered lists so that no two pairs cross, with the greatest sum of scores.

/// Products of lengths beyond which lists are not aligned: it would take a second.
pub(super) const MOST: usize = 400_000;

/// Index pairs, rising in both lists. A pair with a score of 0 or less is not made.
///
/// Of equally good ways the one is taken that pairs the first elements.
pub(super) fn align(
    old: usize,
    new: usize,
    score: impl Fn(usize, usize) -> f64,
) -> Vec<(usize, usize)> {
    let width = new + 1;
    // The best sum for the lists from i and j on.
    let mut best = vec![0.0_f64; (old + 1) * width];
    let mut scores = vec![0.0_f64; old * new];
    for i in (0..old).rev() {
        for j in (0..new).rev() {
            let of_pair = score(i, j);
            scores[i * new + j] = of_pair;
            let skipped = best[(i + 1) * width + j].max(best[i * width + j + 1]);
            let paired = match of_pair > 0.0 {
                true => best[(i + 1) * width + j + 1] + of_pair,
                false => 0.0,
            };
            best[i * width + j] = skipped.max(paired);
        }
    }
    let mut pairs = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < old && j < new {
        let here = best[i * width + j];
        let of_pair = scores[i * new + j];
        // The same operands as above, so that equality is exact.
        if of_pair > 0.0 && here == best[(i + 1) * width + j + 1] + of_pair {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if here == best[i * width + j + 1] {
            j += 1;
        } else {
            i += 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of_texts(old: &str, new: &str) -> Vec<(usize, usize)> {
        let (old, new) = (old.as_bytes(), new.as_bytes());
        align(old.len(), new.len(), |i, j| f64::from(old[i] == new[j]))
    }

    #[test]
    fn what_was_added_shifts_the_rest() {
        assert_eq!(of_texts("abc", "xabyc"), [(0, 1), (1, 2), (2, 4)]);
        assert_eq!(of_texts("abc", "ac"), [(0, 0), (2, 1)]);
        assert_eq!(of_texts("ab", "ba").len(), 1);
        assert_eq!(of_texts("", "ab"), []);
    }

    /// The best sum by trying all.
    fn most(old: &[u8], new: &[u8]) -> usize {
        match (old, new) {
            ([a, old_rest @ ..], [b, new_rest @ ..]) => {
                let paired = if a == b {
                    1 + most(old_rest, new_rest)
                } else {
                    0
                };
                paired.max(most(old_rest, new)).max(most(old, new_rest))
            }
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn pairs_do_not_cross_and_are_the_best(old in "[abc]{0,6}", new in "[abc]{0,6}") {
            let pairs = of_texts(&old, &new);
            prop_assert!(pairs.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 < two[1].1));
            prop_assert_eq!(pairs.len(), most(old.as_bytes(), new.as_bytes()));
        }
    }
}
