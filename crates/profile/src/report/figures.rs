//! What is counted of a row besides its calls, and how it is added up and scaled.
//!
//! Of a sampled recording an allocation of s bytes is in the sample with a probability p = 1 - exp(-s/R),
//! where R is the mean number of bytes between samples: figures are the sample's divided by p, and the standard
//! error of n samples is √(n(1-p))/p allocations.

use super::leaked::Leaked;
use skipheap_format::layout::{AGES, TIMES};
use skipheap_format::reader::{Live, Site};
use skipheap_format::sampled::probability;
use skipheap_symbolize::hash::FastMap;

/// Freed blocks by their age.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "profiles", derive(serde::Serialize, serde::Deserialize))]
pub struct Lifetimes {
    /// In allocations, as [`Live::ages`].
    pub ages: [u64; AGES],
    /// In time, as [`Live::times`].
    pub times: [u64; TIMES],
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            ages: [0; AGES],
            times: [0; TIMES],
        }
    }
}

impl Lifetimes {
    /// Adds those of others.
    pub fn add(&mut self, other: &Self) {
        let add = |sum: &mut u64, n: &u64| *sum = sum.saturating_add(*n);
        self.ages
            .iter_mut()
            .zip(&other.ages)
            .for_each(|(sum, n)| add(sum, n));
        self.times
            .iter_mut()
            .zip(&other.times)
            .for_each(|(sum, n)| add(sum, n));
    }

    fn scale(&mut self, p: f64) {
        for number in self.all() {
            *number = scaled(*number, p);
        }
    }

    /// All of both kinds.
    fn all(&mut self) -> impl Iterator<Item = &mut u64> {
        self.ages.iter_mut().chain(&mut self.times)
    }
}

/// What became of the blocks of a row, as far as they were followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "profiles", derive(serde::Serialize, serde::Deserialize))]
pub struct LiveSums {
    /// Blocks that were followed.
    pub followed: u64,
    /// Of these, freed.
    pub frees: u64,
    /// Of these, by the thread that allocated them, before its next allocation.
    pub temporary: u64,
    /// Blocks that lived at the peak of the process; of a single thread it may be less than none.
    pub at_peak: i64,
    /// Blocks that realloc made of smaller ones.
    pub grown: u64,
    /// Bytes that it copied for these.
    pub copied: u64,
    /// Usable less requested bytes.
    pub slack: u64,
    /// Those that are lost; `None` where no leak check was made.
    pub leaked: Option<Leaked>,
    /// Where they are wanted.
    pub lifetimes: Option<Box<Lifetimes>>,
}

impl LiveSums {
    /// Those of one record of a site.
    pub(super) fn of(
        count: u64,
        live: &Live,
        with_lifetimes: bool,
        leaked: Option<Leaked>,
    ) -> Self {
        let lifetimes = || {
            Box::new(Lifetimes {
                ages: live.ages.map(u64::from),
                times: live.times.map(u64::from),
            })
        };
        Self {
            followed: count,
            frees: live.frees,
            temporary: live.temporary,
            at_peak: live.at_peak,
            grown: live.grown,
            copied: live.copied,
            slack: live.slack,
            leaked,
            lifetimes: with_lifetimes.then(lifetimes),
        }
    }

    /// Blocks that are still there.
    pub fn live(&self) -> u64 {
        self.followed.saturating_sub(self.frees)
    }

    /// Blocks that are directly lost.
    pub fn directly_leaked(&self) -> u64 {
        self.leaked.map_or(0, |leaked| leaked.direct)
    }

    /// Blocks that are indirectly lost.
    pub fn indirectly_leaked(&self) -> u64 {
        self.leaked.map_or(0, |leaked| leaked.indirect)
    }

    /// Blocks that were there at the peak.
    pub fn peak(&self) -> u64 {
        u64::try_from(self.at_peak).unwrap_or(0)
    }

    /// Leaves out what lived at the peak: that was another process's.
    pub fn forget_peak(&mut self) {
        self.at_peak = 0;
    }

    /// Adds those of others.
    pub fn add(&mut self, other: &Self) {
        let others = [
            other.followed,
            other.frees,
            other.temporary,
            other.grown,
            other.copied,
            other.slack,
        ];
        for (sum, n) in self.numbers().into_iter().zip(others) {
            *sum = sum.saturating_add(n);
        }
        self.at_peak = self.at_peak.saturating_add(other.at_peak);
        if let Some(leaked) = other.leaked {
            self.leaked.get_or_insert_default().add(leaked);
        }
        if let Some(lifetimes) = &other.lifetimes {
            self.lifetimes.get_or_insert_default().add(lifetimes);
        }
    }

    /// Leaves out lifetimes of no block.
    pub fn forget_empty_lifetimes(&mut self) {
        self.lifetimes
            .take_if(|lifetimes| lifetimes.all().all(|number| *number == 0));
    }

    /// As [`Figures::scale`].
    pub fn scale(&mut self, rate: Rate, size: u64) {
        let Some(p) = rate.probability(size) else {
            return;
        };
        for number in self.numbers() {
            *number = scaled(*number, p);
        }
        self.at_peak = (self.at_peak as f64 / p).round() as i64;
        if let Some(leaked) = &mut self.leaked {
            leaked.scale(rate, size);
        }
        if let Some(lifetimes) = &mut self.lifetimes {
            lifetimes.scale(p);
        }
    }

    /// All but the share in the peak, which has a sign.
    fn numbers(&mut self) -> [&mut u64; 6] {
        [
            &mut self.followed,
            &mut self.frees,
            &mut self.temporary,
            &mut self.grown,
            &mut self.copied,
            &mut self.slack,
        ]
    }
}

/// Everything that is counted of a row.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "profiles", derive(serde::Serialize, serde::Deserialize))]
pub struct Figures {
    /// Allocations.
    pub calls: u64,
    /// Allocations that were recorded: all, or a sample.
    pub samples: u64,
    /// Square of the standard error of the number of bytes.
    pub variance: f64,
    /// `None` where no block was followed.
    pub live: Option<LiveSums>,
}

impl Figures {
    /// Those of one record of a site, not scaled, of whose blocks these are lost.
    pub fn of(site: &Site, with_lifetimes: bool, leaked: Option<Leaked>) -> Self {
        Self {
            calls: site.count,
            samples: site.count,
            variance: 0.0,
            live: site
                .live
                .map(|live| LiveSums::of(site.count, &live, with_lifetimes, leaked)),
        }
    }

    /// Returns the figures without lifetimes.
    pub fn without_lifetimes(&self) -> Self {
        let plain = |live: &LiveSums| LiveSums {
            lifetimes: None,
            ..*live
        };
        Self {
            live: self.live.as_ref().map(plain),
            ..*self
        }
    }

    /// Adds those of another process, whose share in its own peak does not count here unless `has_peak`: processes
    /// reach their peaks at different times.
    pub fn add_process(&mut self, other: &Self, has_peak: bool) {
        let at_peak = self.live.as_ref().map_or(0, |live| live.at_peak);
        self.add(other);
        if let Some(live) = self.live.as_mut().filter(|_| !has_peak) {
            live.at_peak = at_peak;
        }
    }

    /// Adds those of others.
    pub fn add(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.samples = self.samples.saturating_add(other.samples);
        self.variance += other.variance;
        if let Some(live) = &other.live {
            self.live.get_or_insert_default().add(live);
        }
    }

    /// From figures of a sample to those of the whole; exact ones stay as they are.
    pub fn scale(&mut self, rate: Rate, size: u64) {
        let Some(p) = rate.probability(size) else {
            return;
        };
        self.variance = rate.variance(self.samples as f64, size);
        self.calls = scaled(self.samples, p);
        if let Some(live) = &mut self.live {
            live.scale(rate, size);
        }
    }
}

/// Ages of freed blocks by size: estimates are made of sums, since they are rounded.
#[derive(Default)]
pub struct AllLifetimes(FastMap<u64, Lifetimes>);

impl AllLifetimes {
    /// Adds those of blocks of this size.
    pub fn add(&mut self, size: u64, lifetimes: &Lifetimes) {
        self.0.entry(size).or_default().add(lifetimes);
    }

    /// Adds those of a record.
    pub fn add_record(&mut self, size: u64, live: &Live) {
        let add = |sum: &mut u64, n: &u32| *sum = sum.saturating_add(u64::from(*n));
        let sums = self.0.entry(size).or_default();
        sums.ages
            .iter_mut()
            .zip(&live.ages)
            .for_each(|(sum, n)| add(sum, n));
        sums.times
            .iter_mut()
            .zip(&live.times)
            .for_each(|(sum, n)| add(sum, n));
    }

    /// The sum of all sizes: of a sample an estimate.
    pub fn sum(self, rate: Rate) -> Lifetimes {
        let mut sum = Lifetimes::default();
        for (size, mut lifetimes) in self.0 {
            if let Some(p) = rate.probability(size) {
                lifetimes.scale(p);
            }
            sum.add(&lifetimes);
        }
        sum
    }
}

/// From a number in a sample to an estimate of the whole.
fn scaled(n: u64, p: f64) -> u64 {
    (n as f64 / p).round() as u64
}

/// How many allocations are in the sample.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    bytes: u64,
}

impl Rate {
    /// One in about so many bytes; of 0 all.
    pub fn new(bytes: u64) -> Self {
        Self { bytes }
    }

    /// From a number of blocks in a sample to an estimate of the whole.
    pub fn whole(self, n: u64, size: u64) -> u64 {
        self.probability(size).map_or(n, |p| scaled(n, p))
    }

    /// Square of the standard error, in bytes, of the estimate that `n` blocks in a sample give.
    pub fn variance(self, n: f64, size: u64) -> f64 {
        self.probability(size).map_or(0.0, |p| {
            let bytes = size as f64 / p;
            bytes * bytes * n * (1.0 - p)
        })
    }

    /// From an estimate of the whole to the number of blocks in the sample.
    pub fn sample(self, n: f64, size: u64) -> f64 {
        self.probability(size).map_or(n, |p| n * p)
    }

    /// With which an allocation is in the sample; `None` when it surely is.
    fn probability(self, size: u64) -> Option<f64> {
        (self.bytes != 0).then(|| probability(size, self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_scaled_by_their_probability() {
        let mut figures = Figures {
            calls: 3,
            samples: 3,
            variance: 0.0,
            live: Some(LiveSums {
                followed: 3,
                frees: 1,
                at_peak: -1,
                ..LiveSums::default()
            }),
        };
        let exact = figures.clone();
        figures.scale(Rate::new(0), 100);
        assert_eq!(figures, exact);
        // p = 1 - 1/e^0.1 = 0.0951626
        figures.scale(Rate::new(1000), 100);
        let live = figures.live.clone().expect("followed");
        assert_eq!((figures.calls, figures.samples), (32, 3));
        assert_eq!((live.followed, live.frees, live.at_peak), (32, 11, -11));
        let error = figures.variance.sqrt();
        assert!(
            (error - 100.0 * (3.0_f64 * 0.904_837).sqrt() / 0.095_163).abs() < 0.1,
            "{error}"
        );
        let mut empty = Figures {
            calls: 2,
            samples: 2,
            ..Figures::default()
        };
        empty.scale(Rate::new(1000), 0);
        assert_eq!(
            empty.calls, 2001,
            "counted as one byte: 2 / (1 - exp(-1/1000))"
        );
        assert_eq!(empty.variance, 0.0);
    }

    #[test]
    fn the_estimate_is_right_on_average() {
        // Of n allocations with probability p each, the mean estimate is n and its spread the
        // standard error that is stated.
        let (size, calls, rounds) = (400_u64, 500_u64, 400_u64);
        let rate = Rate::new(1000);
        let p = rate.probability(size).expect("a sample");
        let mut state = 88172645463325252_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let (mut sum, mut squares, mut stated) = (0.0, 0.0, 0.0);
        for _ in 0..rounds {
            let samples = (0..calls).filter(|_| next() < p).count() as u64;
            let mut figures = Figures {
                calls: samples,
                samples,
                ..Figures::default()
            };
            figures.scale(rate, size);
            let bytes = (figures.calls * size) as f64;
            sum += bytes;
            squares += (bytes - (calls * size) as f64).powi(2);
            stated += figures.variance;
        }
        let mean = sum / rounds as f64 / (calls * size) as f64;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        let spread = squares / stated;
        assert!((0.8..1.25).contains(&spread), "{spread}");
    }
}
