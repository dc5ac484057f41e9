//! The mean of a program's processes: what a merged profile is compared with a single run by.

use super::Profile;
use super::sum::{By, Refusal, Sum, runs};
use crate::report::figures::{Figures, Lifetimes, LiveSums};
use crate::report::leaked::Leaked;

impl Profile {
    /// Returns how many runs the profile is the sum of: the most that any of its processes stands for; 1 if it was
    /// not merged.
    pub fn merged_runs(&self) -> u64 {
        self.processes.iter().map(runs).max().unwrap_or(1)
    }

    /// Returns the mean of the processes of each program, as one process per program. Samples become estimates
    /// first, and each figure is rounded.
    ///
    /// # Errors
    /// When it is a comparison of two runs.
    pub fn mean_of_processes(&self) -> Result<Self, Refusal> {
        // The sum first: means of single processes would be rounded to nothing.
        let mut sum = Sum::new(By::default());
        sum.add(self)?;
        let mut mean = sum.finish().estimated().into_owned();
        for site in &mut mean.sites {
            let process = mean.processes.get(site.process as usize);
            let runs = process.map_or(1, runs);
            site.figures.divide(runs);
        }
        Ok(mean)
    }
}

impl Figures {
    /// Divides figures of the whole by a number of runs. They must not be those of a sample any more.
    fn divide(&mut self, runs: u64) {
        self.calls = divided(self.calls, runs);
        // That some are estimates is told by a difference.
        self.samples = match self.variance > 0.0 {
            true => divided(self.samples, runs),
            false => self.calls,
        };
        self.variance /= (runs.max(1) as f64).powi(2);
        if let Some(live) = &mut self.live {
            live.divide(runs);
        }
    }
}

impl LiveSums {
    fn divide(&mut self, runs: u64) {
        let Self {
            followed,
            frees,
            temporary,
            // That of one run already, the one with the highest peak.
            at_peak: _,
            grown,
            copied,
            slack,
            leaked,
            lifetimes,
        } = self;
        // What is left is rounded as a number of its own, so that a leak of one block per run stays one.
        let left = divided(followed.saturating_sub(*frees), runs);
        *followed = divided(*followed, runs);
        *frees = followed.saturating_sub(left);
        for figure in [temporary, grown, copied, slack] {
            *figure = divided(*figure, runs);
        }
        if let Some(Leaked { direct, indirect }) = leaked {
            *direct = divided(*direct, runs);
            *indirect = divided(*indirect, runs);
        }
        if let Some(lifetimes) = lifetimes {
            let Lifetimes { ages, times } = &mut **lifetimes;
            for figure in ages.iter_mut().chain(times) {
                *figure = divided(*figure, runs);
            }
        }
    }
}

/// The quotient, rounded to the nearest.
fn divided(sum: u64, by: u64) -> u64 {
    let by = by.max(1);
    (sum / by).saturating_add(u64::from(
        sum % by >= by.div_ceil(2) && !sum.is_multiple_of(by),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::rows;
    use crate::sum::testing::Fleet;

    #[test]
    fn quotients_are_rounded_to_the_nearest() {
        for (sum, by, expected) in [
            (0, 3, 0),
            (1, 3, 0),
            (2, 3, 1),
            (5, 2, 3),
            (7, 1, 7),
            (7, 0, 7),
            (u64::MAX, 1, u64::MAX),
        ] {
            assert_eq!(divided(sum, by), expected, "{sum} / {by}");
        }
    }

    #[test]
    fn the_mean_of_equal_runs_is_the_run() {
        let fleet = Fleet {
            sites: 100,
            live: true,
        };
        let one = fleet.run(1);
        let mut sum = Sum::new(By::default());
        for _ in 0..5 {
            sum.add(&one).expect("a run");
        }
        let sum = sum.finish();
        assert_eq!((sum.merged_runs(), one.merged_runs()), (5, 1));
        let mean = sum.mean_of_processes().expect("a profile");
        let figures = |profile: &Profile| -> Vec<(u64, u64, Option<[u64; 2]>)> {
            let live = |live: &LiveSums| [live.live(), live.peak()];
            rows(profile, false)
                .iter()
                .map(|row| (row.size, row.calls, row.live.as_ref().map(live)))
                .collect()
        };
        assert_eq!(figures(&mean), figures(&one));
        assert_ne!(figures(&mean), figures(&sum));
    }

    #[test]
    fn processes_that_are_alone_with_a_site_are_summed_before_they_are_divided() {
        let fleet = Fleet {
            sites: 100,
            live: false,
        };
        // Runs of one program that have most sites in common.
        let mut sum = Sum::new(By::default());
        for run in [0, 4, 8, 12] {
            sum.add(&fleet.run(run)).expect("a run");
        }
        let sum = sum.finish();
        let bytes = |profile: &Profile| -> u64 {
            rows(profile, false)
                .iter()
                .map(|row| row.size * row.calls)
                .sum()
        };
        let mean = bytes(&sum.mean_of_processes().expect("a profile"));
        let exact = bytes(&sum) / 4;
        assert!(mean.abs_diff(exact) < exact / 1000, "{mean} {exact}");
    }
}
