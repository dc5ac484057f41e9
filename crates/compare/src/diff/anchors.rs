//! Pairs that are certain: elements that occur once in each of two lists, in an order that both have. What
//! is uncertain lies between them, in pieces that are short enough to be compared with each other.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;

/// Index pairs, rising in both lists: as many as there can be.
pub(super) fn anchors<T: Hash + Eq>(old: &[T], new: &[T]) -> Vec<(usize, usize)> {
    let (of_old, of_new) = (unique(old), unique(new));
    let mut pairs: Vec<(usize, usize)> = of_old
        .iter()
        .filter_map(|(element, &i)| Some((i, *of_new.get(element)?)))
        .collect();
    pairs.sort_unstable();
    rising(&pairs)
}

/// Where each element is that occurs once.
fn unique<T: Hash + Eq>(list: &[T]) -> HashMap<&T, usize> {
    let mut places: HashMap<&T, Option<usize>> = HashMap::new();
    for (index, element) in list.iter().enumerate() {
        let place = places.entry(element).or_insert(Some(index));
        if *place != Some(index) {
            *place = None;
        }
    }
    let once = places
        .into_iter()
        .filter_map(|(element, place)| Some((element, place?)));
    once.collect()
}

/// The longest part of a list, rising in the first, that rises in the second as well.
fn rising(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    // For each length the part that ends lowest: the index of its last pair.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = vec![None; pairs.len()];
    for (index, &(_, j)) in pairs.iter().enumerate() {
        let length = ends.partition_point(|&end| pairs[end].1 < j);
        before[index] = length.checked_sub(1).map(|last| ends[last]);
        match ends.get_mut(length) {
            Some(end) => *end = index,
            None => ends.push(index),
        }
    }
    let mut longest = Vec::new();
    let mut next = ends.last().copied();
    while let Some(index) = next {
        longest.push(pairs[index]);
        next = before[index];
    }
    longest.reverse();
    longest
}

/// The pieces between pairs, and before and behind them.
pub(super) fn between(
    pairs: &[(usize, usize)],
    old: usize,
    new: usize,
) -> Vec<(Range<usize>, Range<usize>)> {
    let mut pieces = Vec::with_capacity(pairs.len() + 1);
    let (mut i, mut j) = (0, 0);
    for &(next_i, next_j) in pairs.iter().chain([&(old, new)]) {
        pieces.push((i..next_i, j..next_j));
        (i, j) = (next_i + 1, next_j + 1);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of_texts(old: &str, new: &str) -> Vec<(usize, usize)> {
        anchors(old.as_bytes(), new.as_bytes())
    }

    #[test]
    fn what_occurs_once_in_both_is_certain() {
        assert_eq!(of_texts("axbxc", "ayybc"), [(0, 0), (2, 3), (4, 4)]);
        assert_eq!(of_texts("abcd", "dabc"), [(0, 1), (1, 2), (2, 3)]);
        assert_eq!(of_texts("aa", "a"), []);
        let pieces = between(&[(0, 0), (2, 3)], 5, 4);
        assert_eq!(pieces, [(0..0, 0..0), (1..2, 1..3), (3..5, 4..4)]);
        assert_eq!(between(&[], 1, 2), [(0..1, 0..2)]);
    }

    proptest! {
        #[test]
        fn pairs_rise_and_pieces_cover_the_rest(old in "[a-h]{0,10}", new in "[a-h]{0,10}") {
            let pairs = of_texts(&old, &new);
            for &(i, j) in &pairs {
                prop_assert_eq!(old.as_bytes()[i], new.as_bytes()[j]);
            }
            let pieces = between(&pairs, old.len(), new.len());
            let covered: usize = pieces.iter().map(|piece| piece.0.len()).sum();
            prop_assert_eq!(covered + pairs.len(), old.len());
            let covered: usize = pieces.iter().map(|piece| piece.1.len()).sum();
            prop_assert_eq!(covered + pairs.len(), new.len());
        }
    }
}
