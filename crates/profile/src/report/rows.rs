//! The rows of the CSV, and their order.

use super::figures::{Figures, LiveSums};
use super::origin::Origin;
use std::rc::Rc;

/// Names that a row has at most.
pub const NAMES: usize = 4;

/// All allocations of one size from functions of these names; where all columns are wanted, of one
/// [`Origin`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Innermost first; `None` where the stack was shorter, or was cut.
    pub names: [Option<Rc<str>>; NAMES],
    /// Size of each allocation in bytes.
    pub size: u64,
    /// Number of allocations.
    pub calls: u64,
    /// Bytes of all of them.
    pub total: u64,
    /// Where all columns are wanted.
    pub origin: Option<Rc<Origin>>,
    /// Allocations that were recorded: all, or a sample.
    pub samples: u64,
    /// Square of the standard error of `total`.
    pub variance: f64,
    /// What became of the blocks; `None` where they were not followed.
    pub live: Option<LiveSums>,
}

/// Sums over all rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Allocations.
    pub calls: u64,
    /// Bytes.
    pub bytes: u64,
    /// Rows.
    pub sites: usize,
}

/// Sums rows up.
pub fn totals(rows: &[Row]) -> Totals {
    rows.iter().fold(Totals::default(), |sum, row| Totals {
        calls: sum.calls.saturating_add(row.calls),
        bytes: sum.bytes.saturating_add(row.total),
        sites: sum.sites + 1,
    })
}

impl Row {
    /// A row with these figures.
    pub fn new(
        names: [Option<Rc<str>>; NAMES],
        size: u64,
        origin: Option<Rc<Origin>>,
        figures: Figures,
    ) -> Self {
        let mut row = Self {
            names,
            size,
            origin,
            ..Self::default()
        };
        row.set(figures);
        row
    }

    /// Adds the figures of a row of the same names, size and origin.
    pub fn add(&mut self, other: &Self) {
        self.add_process(other, true);
    }

    /// Adds a row of another process, as [`Figures::add_process`].
    pub fn add_process(&mut self, other: &Self, has_peak: bool) {
        let mut figures = Figures {
            calls: self.calls,
            samples: self.samples,
            variance: self.variance,
            live: self.live.take(),
        };
        let of_other = Figures {
            calls: other.calls,
            samples: other.samples,
            variance: other.variance,
            live: other.live.clone(),
        };
        figures.add_process(&of_other, has_peak);
        self.set(figures);
    }

    fn set(&mut self, figures: Figures) {
        self.calls = figures.calls;
        self.total = self.size.saturating_mul(figures.calls);
        self.samples = figures.samples;
        self.variance = figures.variance;
        self.live = figures.live;
    }
}

/// Puts rows in the order of every report: by total bytes, then calls, both falling, then names, size and
/// origin, rising.
pub fn sort(rows: &mut [Row]) {
    rows.sort_unstable_by(|a, b| {
        b.total
            .cmp(&a.total)
            .then_with(|| b.calls.cmp(&a.calls))
            .then_with(|| a.names.cmp(&b.names))
            .then_with(|| a.size.cmp(&b.size))
            .then_with(|| a.origin.cmp(&b.origin))
    });
}
