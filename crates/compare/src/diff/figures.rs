//! Figures of one side of a difference, and sums of them without a limit.

use skipheap_profile::report::rows::Row;

/// What was counted at a site in one of the two runs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Allocations.
    pub calls: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// What became of the blocks, where they were followed.
    pub live: Option<Live>,
    /// Square of the standard error of the bytes: above 0 of a sample.
    pub variance: f64,
}

/// What became of the blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Blocks that were not freed.
    pub blocks: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Bytes that lived at the peak of the process.
    pub peak: u64,
}

impl Figures {
    /// Those of a row.
    pub fn of(row: &Row) -> Self {
        let live = row.live.as_ref().map(|live| Live {
            blocks: live.live(),
            bytes: row.size.saturating_mul(live.live()),
            peak: row.size.saturating_mul(live.peak()),
        });
        Self {
            calls: row.calls,
            bytes: row.total,
            live,
            variance: row.variance,
        }
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.variance += other.variance;
        if let Some(other) = other.live {
            let live = self.live.get_or_insert_default();
            live.blocks = live.blocks.saturating_add(other.blocks);
            live.bytes = live.bytes.saturating_add(other.bytes);
            live.peak = live.peak.saturating_add(other.peak);
        }
    }
}

/// How much more there is of each figure in the new run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Allocations.
    pub calls: i128,
    /// Bytes.
    pub bytes: i128,
    /// Live blocks, live bytes and bytes at the peak, where both runs have them.
    pub live: Option<[i128; 3]>,
}

impl Delta {
    /// Between two figures of one site. Where a side has no such site, its figures are zero.
    pub fn between(old: &Figures, new: &Figures, with_live: bool) -> Self {
        let less = |new: u64, old: u64| i128::from(new) - i128::from(old);
        let live = || {
            let (old, new) = (old.live.unwrap_or_default(), new.live.unwrap_or_default());
            [
                less(new.blocks, old.blocks),
                less(new.bytes, old.bytes),
                less(new.peak, old.peak),
            ]
        };
        Self {
            calls: less(new.calls, old.calls),
            bytes: less(new.bytes, old.bytes),
            live: with_live.then(live),
        }
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.bytes += other.bytes;
        if let Some(other) = other.live {
            let live = self.live.get_or_insert_default();
            live.iter_mut().zip(other).for_each(|(sum, n)| *sum += n);
        }
    }
}

/// Sums over all rows of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Allocations.
    pub calls: u128,
    /// Bytes.
    pub bytes: u128,
    /// Live blocks, live bytes and bytes at the peak.
    pub live: Option<[u128; 3]>,
    /// Rows.
    pub rows: usize,
    /// Square of the standard error of the bytes.
    pub variance: f64,
}

impl Totals {
    /// Those of rows.
    pub fn of(rows: &[Row]) -> Self {
        let mut totals = Self::default();
        for row in rows {
            let figures = Figures::of(row);
            totals.rows += 1;
            totals.calls += u128::from(figures.calls);
            totals.bytes += u128::from(figures.bytes);
            totals.variance += figures.variance;
            if let Some(live) = figures.live {
                let sums = totals.live.get_or_insert_default();
                let numbers = [live.blocks, live.bytes, live.peak];
                sums.iter_mut()
                    .zip(numbers)
                    .for_each(|(sum, n)| *sum += u128::from(n));
            }
        }
        totals
    }

    /// How much more there is in `new`; live figures where both have them.
    pub fn to(&self, new: &Self) -> Delta {
        let less = |new: u128, old: u128| new as i128 - old as i128;
        let live = match (self.live, new.live) {
            (Some(old), Some(new)) => Some([0, 1, 2].map(|i: usize| less(new[i], old[i]))),
            _ => None,
        };
        Delta {
            calls: less(new.calls, self.calls),
            bytes: less(new.bytes, self.bytes),
            live,
        }
    }
}
