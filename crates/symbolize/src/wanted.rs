//! Sorted addresses, made to be asked half a million times which of them lie in a range.

use std::ops::Range;

/// Buckets for each address: most ranges that hold none end at an empty bucket.
const BUCKETS_EACH: usize = 4;
/// Most buckets: 256 KiB of them.
const MOST_BUCKETS: usize = 1 << 16;

/// Sorted addresses, with an index over equal parts of their range.
pub struct Wanted<'a> {
    addresses: &'a [u64],
    /// For each part and the end: how many addresses lie before it.
    before: Vec<u32>,
    /// Log of the length of a part.
    shift: u32,
}

impl<'a> Wanted<'a> {
    /// The addresses are sorted, and fewer than 2^32.
    pub fn new(addresses: &'a [u64]) -> Self {
        let (Some(first), Some(last)) = (addresses.first(), addresses.last()) else {
            return Self {
                addresses,
                before: Vec::new(),
                shift: 0,
            };
        };
        let buckets = (addresses.len() * BUCKETS_EACH)
            .next_power_of_two()
            .min(MOST_BUCKETS);
        let span = last.saturating_sub(*first);
        let shift = (u64::BITS - span.leading_zeros()).saturating_sub(buckets.ilog2());
        let mut before = Vec::with_capacity(buckets + 1);
        for (i, address) in (0_u32..).zip(addresses) {
            let part = (address.saturating_sub(*first) >> shift) as usize;
            while before.len() <= part {
                before.push(i);
            }
        }
        before.push(addresses.len() as u32);
        Self {
            addresses,
            before,
            shift,
        }
    }

    /// All of them.
    pub fn addresses(&self) -> &'a [u64] {
        self.addresses
    }

    /// The index of the first one that is not below `address`; their number if there is none.
    pub fn from(&self, address: u64) -> usize {
        let first = self.addresses.first().copied().unwrap_or(0);
        let part = (address.saturating_sub(first) >> self.shift) as usize;
        let bounds = part
            .checked_add(1)
            .and_then(|next| Some((*self.before.get(part)?, *self.before.get(next)?)));
        let Some((start, end)) = bounds else {
            return self.addresses.len();
        };
        let part = self.addresses.get(start as usize..end as usize);
        start as usize + part.map_or(0, |part| part.partition_point(|&other| other < address))
    }

    /// The indices of those in a range of addresses.
    pub fn within(&self, start: u64, end: u64) -> Range<usize> {
        let first = self.from(start);
        if self.addresses.get(first).is_none_or(|&next| next >= end) {
            return first..first;
        }
        first..self.from(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn none_are_found_among_none() {
        assert_eq!(Wanted::new(&[]).within(0, u64::MAX), 0..0);
        assert_eq!(Wanted::new(&[7]).within(8, u64::MAX), 1..1);
    }

    proptest! {
        #[test]
        fn the_index_says_what_a_search_says(
            near in prop::collection::btree_set(0x1000_u64..0x1400, 0..60),
            far in prop::collection::btree_set(any::<u64>(), 0..4),
            start in prop_oneof![0xff0_u64..0x1410, any::<u64>(), Just(u64::MAX)],
            len in 0_u64..100,
        ) {
            let addresses: Vec<u64> = near.union(&far).copied().collect();
            let wanted = Wanted::new(&addresses);
            let end = start.saturating_add(len);
            let index = |bound: u64| addresses.partition_point(|&address| address < bound);
            prop_assert_eq!(wanted.from(start), index(start));
            prop_assert_eq!(wanted.within(start, end), index(start)..index(end));
        }
    }
}
