//! Sizes of one stack that changed: a struct that grew is one site with another size, not one that is gone
//! and one that is new.
//!
//! The rule: of the sizes of one stack that only one of the runs has, an old and a new one are paired when
//! the numbers of calls are equal, or else differ by a tenth at most; the nearest sizes first. What is
//! left is gone, and new.

/// A size that only one of the runs has, and its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lone {
    /// Size of each allocation in bytes.
    pub(super) size: u64,
    /// Number of allocations.
    pub(super) calls: u64,
}

/// Most sizes of a stack that are compared with each other. Buffers that have thousands are not structs.
const MOST: usize = 500;

/// Index pairs of old and new sizes.
pub(super) fn pairs(old: &[Lone], new: &[Lone]) -> Vec<(usize, usize)> {
    if old.len() > MOST || new.len() > MOST {
        return Vec::new();
    }
    let mut candidates: Vec<(bool, u64, u64, u64, usize, usize)> = Vec::new();
    for (i, a) in old.iter().enumerate() {
        for (j, b) in new.iter().enumerate() {
            let apart = a.calls.abs_diff(b.calls);
            if apart.saturating_mul(10) <= a.calls.max(b.calls) {
                let distance = a.size.abs_diff(b.size);
                candidates.push((apart != 0, distance, apart, a.size, i, j));
            }
        }
    }
    candidates.sort_unstable();
    let (mut of_old, mut of_new) = (vec![false; old.len()], vec![false; new.len()]);
    let mut pairs = Vec::new();
    for (_, _, _, _, i, j) in candidates {
        if !of_old[i] && !of_new[j] {
            (of_old[i], of_new[j]) = (true, true);
            pairs.push((i, j));
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lone(sizes: &[(u64, u64)]) -> Vec<Lone> {
        let lone = |&(size, calls)| Lone { size, calls };
        sizes.iter().map(lone).collect()
    }

    #[test]
    fn a_struct_that_grew_is_one_site() {
        assert_eq!(pairs(&lone(&[(48, 1000)]), &lone(&[(56, 1000)])), [(0, 0)]);
        assert_eq!(pairs(&lone(&[(48, 1000)]), &lone(&[(56, 1090)])), [(0, 0)]);
        assert_eq!(pairs(&lone(&[(48, 1000)]), &lone(&[(56, 1200)])), []);
        assert_eq!(pairs(&[], &lone(&[(56, 1200)])), []);
    }

    #[test]
    fn equal_calls_come_before_near_sizes() {
        let old = lone(&[(16, 100), (32, 7)]);
        let new = lone(&[(17, 95), (40, 100), (48, 7)]);
        assert_eq!(pairs(&old, &new), [(1, 2), (0, 1)]);
    }

    #[test]
    fn the_nearest_of_equals_are_paired() {
        let old = lone(&[(16, 1), (64, 1)]);
        let new = lone(&[(72, 1), (24, 1)]);
        assert_eq!(pairs(&old, &new), [(0, 1), (1, 0)]);
    }
}
