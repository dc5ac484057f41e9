//! Many profiles as one: the sums over all runs of each program.
//!
//! Sites are one when they have the same stack by names, size, allocation function and name of thread. So
//! memory follows the distinct sites, whatever the number of runs. What cannot be summed is left out:
//!
//! | of a run | in the sum |
//! |---|---|
//! | calls, bytes, frees, blocks that are left, ages | sums |
//! | a site's blocks at the peak | those of the run with the highest peak |
//! | peak of the process | the highest of any run, and when that was |
//! | timeline, phases | none: those of different runs have no common clock |
//! | command, path, machine, process id, labels | where all runs agree, else none; see [`Merged`] |
//! | source line of a function in a stack | where all agree, else none |
//! | address, object file | those of the first run that had the stack |
//! | notes of the library | the first `processes::MOST_NOTES` different ones |
//!
//! A program with a single run keeps everything. Runs that were sampled at different rates are apart,
//! because estimates are made of sums.
//!
//! [`Merged`]: super::Merged

mod processes;
mod stacks;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use super::intern::Tables;
use super::{NONE, Process, Profile, Site, Str};
use crate::report::figures::Figures;
use processes::{Added, Processes};
pub use processes::{hex, identity};
use skipheap_symbolize::hash::FastMap;
use stacks::Stacks;

/// What else than the program keeps runs apart.
#[derive(Clone, Copy, Debug, Default)]
pub struct By {
    /// The build id of the executable.
    pub build: bool,
    /// The machine.
    pub host: bool,
    /// Source lines, in stacks.
    pub line: bool,
}

/// Why a profile cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is a comparison of two runs.
    Comparison,
    /// It holds sums over what is to be kept apart.
    Summed,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Comparison => "a comparison of two runs: merge the profiles that it was made of",
            Self::Summed => {
                "a merged profile of several builds or hosts, which cannot be told apart any more: merge the \
                 profiles that it was made of, or leave out --by"
            }
        })
    }
}

impl std::error::Error for Refusal {}

/// Step of a stack, size, allocation function, thread, process.
type SiteKey = (u32, u64, Str, u32, u32);

fn key_of(site: &Site) -> SiteKey {
    let &Site {
        node,
        size,
        allocator,
        thread,
        process,
        ..
    } = site;
    (node, size, allocator, thread, process)
}

/// The sum so far.
pub struct Sum {
    tables: Tables,
    stacks: Stacks,
    processes: Processes,
    sites: FastMap<SiteKey, u32>,
    /// Of each site of the sum, the number of the run whose peak it has blocks of; see [`Added::peak`].
    peaks: Vec<u32>,
}

impl Sum {
    /// Nothing yet.
    pub fn new(by: By) -> Self {
        Self {
            tables: Tables::default(),
            stacks: Stacks::new(by.line),
            processes: Processes::new(by),
            sites: FastMap::default(),
            peaks: Vec::new(),
        }
    }

    /// Adds all processes of a profile, or nothing.
    ///
    /// # Errors
    /// When it is no profile of runs, or holds sums over what is to be kept apart.
    pub fn add(&mut self, other: &Profile) -> Result<(), Refusal> {
        if other.compared_with.is_some() || other.scaled {
            return Err(Refusal::Comparison);
        }
        self.processes.check(other)?;
        let mut texts = Texts::new(other);
        let steps = self.stacks.add(&mut self.tables, &mut texts);
        let added = self.processes.add(&mut self.tables, &mut texts);
        let threads: Vec<u32> = other
            .threads
            .iter()
            .map(|&name| self.tables.thread(other.text(name)))
            .collect();
        let mut guess = 0;
        for site in &other.sites {
            let allocator = texts.get(&mut self.tables, site.allocator);
            let or_none = |table: &[u32], index: u32| table.get(index as usize).copied();
            let node = or_none(&steps, site.node).unwrap_or(NONE);
            let thread = or_none(&threads, site.thread).unwrap_or(NONE);
            let Added {
                place: process,
                peak,
                is_highest,
            } = added[site.process as usize];
            let key = (node, site.size, allocator, thread, process);
            let sums = &mut self.tables.profile.sites;
            let next = sums.len() as u32;
            // As with the steps of stacks.
            let place = match sums
                .get(guess as usize)
                .is_some_and(|sum| key_of(sum) == key)
            {
                true => guess,
                false => *self.sites.entry(key).or_insert(next),
            };
            if place == next {
                sums.push(Site {
                    node,
                    size: site.size,
                    allocator,
                    thread,
                    process,
                    figures: Figures::default(),
                    old: None,
                });
                self.peaks.push(0);
            }
            let sum = &mut sums[place as usize];
            let of_run = &mut self.peaks[place as usize];
            if is_highest && *of_run != peak {
                // What it holds is of a run with a lower peak.
                *of_run = peak;
                if let Some(live) = &mut sum.figures.live {
                    live.forget_peak();
                }
            }
            sum.figures.add_process(&site.figures, is_highest);
            guess = place + 1;
        }
        Ok(())
    }

    /// Processes that were added more than once: the inputs have copies.
    pub fn repeated(&self) -> u64 {
        self.processes.repeated
    }

    /// The sum, with processes in the order in which the first run of each began.
    pub fn finish(self) -> Profile {
        let mut tables = self.tables;
        drop(self.sites);
        let nodes = self.stacks.finish(&mut tables);
        let highest = self.processes.highest();
        let processes = self.processes.finish(&mut tables);
        let mut profile = tables.profile;
        for (site, of_run) in profile.sites.iter_mut().zip(self.peaks) {
            if let Some(live) = &mut site.figures.live
                && of_run != highest[site.process as usize]
            {
                live.forget_peak();
            }
            site.node = nodes.get(site.node as usize).copied().unwrap_or(NONE);
            site.process = processes[site.process as usize];
            // Of runs of which some were not checked, the others' leaks are no figure of the sum.
            let process = &profile.processes[site.process as usize];
            let is_checked = process.live.as_ref().is_some_and(|live| live.leak_checked);
            if let (Some(live), false) = (&mut site.figures.live, is_checked) {
                live.leaked = None;
            }
        }
        profile
    }
}

/// The texts of a profile that is added, each looked up when it is needed first.
struct Texts<'p> {
    profile: &'p Profile,
    known: Vec<Str>,
}

impl<'p> Texts<'p> {
    fn new(profile: &'p Profile) -> Self {
        Self {
            profile,
            known: vec![NONE; profile.strings.len()],
        }
    }

    fn get(&mut self, tables: &mut Tables, index: Str) -> Str {
        let known = &mut self.known[index as usize];
        if *known == NONE {
            *known = tables.string(&self.profile.strings[index as usize]);
        }
        *known
    }
}

/// How many runs a process stands for.
pub fn runs(process: &Process) -> u64 {
    process.merged.as_ref().map_or(1, |merged| merged.runs)
}

#[cfg(test)]
mod tests;
