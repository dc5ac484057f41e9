//! The rows of a recording that grows: what changed since the last time is added.

use super::names::{NO_NAME, Names};
use skipheap_format::layout::FUNCTION_NAMES;
use skipheap_format::reader::{Recording, Site};
use skipheap_symbolize::hash::FastMap;

/// What is counted of some allocations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) calls: u64,
    pub(crate) bytes: u64,
    /// Blocks that are alive, and their bytes.
    pub(crate) live: u64,
    pub(crate) live_bytes: u64,
    /// Bytes that lived at the peak of the process, where that was asked for.
    pub(crate) peak_bytes: u64,
    /// Bytes since the last time.
    pub(crate) recent_bytes: u64,
}

impl Figures {
    /// Adds others.
    pub(crate) fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.calls, other.calls),
            (&mut self.bytes, other.bytes),
            (&mut self.live, other.live),
            (&mut self.live_bytes, other.live_bytes),
            (&mut self.peak_bytes, other.peak_bytes),
            (&mut self.recent_bytes, other.recent_bytes),
        ];
        for (sum, number) in pairs {
            *sum = sum.saturating_add(number);
        }
    }

    /// How much these allocations look like a leak: bytes that are alive, times the part of all blocks
    /// that is. What is freed now and then counts less than what only grows.
    pub(crate) fn leakiness(&self) -> u64 {
        let kept = u128::from(self.live_bytes) * u128::from(self.live);
        u64::try_from(kept / u128::from(self.calls.max(1))).unwrap_or(u64::MAX)
    }
}

/// All allocations of one size from functions of these names.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Numbers of the names, innermost first.
    pub(crate) names: [u32; 4],
    /// Size of each allocation in bytes.
    pub(crate) size: u64,
    /// Allocations; of a sample what it stands for.
    pub(crate) calls: u64,
    /// Blocks that are alive, where they are followed; likewise.
    pub(crate) live: u64,
    /// Allocations since the last time.
    pub(crate) recent: u64,
    /// What was recorded: all, or samples.
    recorded: u64,
    /// Of these, what is followed, less what was freed. Below zero for a moment.
    unfreed: i64,
    /// Blocks that lived at the peak, where that was asked for.
    at_peak: i64,
}

impl Row {
    /// Bytes of all allocations.
    pub(crate) fn bytes(&self) -> u64 {
        self.size.saturating_mul(self.calls)
    }

    /// All figures.
    pub(crate) fn figures(&self) -> Figures {
        let at_peak = u64::try_from(self.at_peak).unwrap_or(0);
        Figures {
            calls: self.calls,
            bytes: self.bytes(),
            live: self.live,
            live_bytes: self.live_bytes(),
            peak_bytes: self.size.saturating_mul(at_peak),
            recent_bytes: self.recent_bytes(),
        }
    }

    /// Bytes that are alive.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.size.saturating_mul(self.live)
    }

    /// Bytes since the last time.
    pub(crate) fn recent_bytes(&self) -> u64 {
        self.size.saturating_mul(self.recent)
    }
}

/// What is known of a place for a site.
#[derive(Clone, Copy)]
struct Place {
    state: State,
    count: u64,
    frees: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Not in use.
    Free,
    /// In use since the last time, so that its key is complete now.
    Seen,
    /// Not reported.
    LeftOut,
    /// Counted in a row, with or without the blocks' lives.
    In { row: u32, is_followed: bool },
}

/// Rows, and which record counts in which.
#[derive(Default)]
pub(crate) struct Rows {
    rows: Vec<Row>,
    by_key: FastMap<([u32; 4], u64), u32>,
    /// By the chunk's place.
    places: FastMap<usize, Vec<Place>>,
    waiting: usize,
}

impl Rows {
    /// All rows.
    pub(crate) fn all(&self) -> &[Row] {
        &self.rows
    }

    /// Sites that have no names yet.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Takes over what the recording has by now. A record that is new counts from the next time on: it
    /// may not be complete.
    pub(crate) fn update(&mut self, recording: &Recording<'_>, names: &mut Names) {
        for row in &mut self.rows {
            row.recent = 0;
        }
        let mut new: Vec<(usize, usize, Site)> = Vec::new();
        let mean = recording.sample_bytes();
        for (chunk, tallies) in recording.tallies() {
            let places = self.places.entry(chunk).or_default();
            for (i, tally) in tallies.enumerate() {
                if places.len() <= i {
                    places.push(Place {
                        state: State::Free,
                        count: 0,
                        frees: 0,
                    });
                }
                let place = &mut places[i];
                match place.state {
                    State::In { row, is_followed } => {
                        let calls = tally.count.wrapping_sub(place.count);
                        let frees = tally.frees.wrapping_sub(place.frees);
                        (place.count, place.frees) = (tally.count, tally.frees);
                        if calls != 0 || frees != 0 {
                            self.rows[row as usize].add(calls, frees, is_followed, mean);
                        }
                    }
                    State::LeftOut => {}
                    State::Free if tally.count == 0 && tally.frees == 0 => {}
                    State::Free => place.state = State::Seen,
                    State::Seen => match recording.site_at(tally.offset) {
                        Some(site) => new.push((chunk, i, site)),
                        None => place.state = State::LeftOut,
                    },
                }
            }
        }
        self.waiting = new.len();
        if new.is_empty() || !names.is_time() {
            return;
        }
        names.look_up(recording, new.iter().flat_map(|(_, _, site)| site.frames));
        for (chunk, i, site) in new {
            self.begin((chunk, i), &site, names, mean);
        }
    }

    /// Has a site that is new count in its row.
    fn begin(&mut self, (chunk, i): (usize, usize), site: &Site, names: &Names, mean: u64) {
        let mut key = [NO_NAME; 4];
        for (number, &frame) in key.iter_mut().zip(&site.frames) {
            match names.number(frame) {
                Some(known) => *number = known,
                // The copy does not have the frame yet.
                None => return,
            }
        }
        let rows = &mut self.rows;
        let row = *self.by_key.entry((key, site.size)).or_insert_with(|| {
            rows.push(Row {
                names: key,
                size: site.size,
                calls: 0,
                live: 0,
                recent: 0,
                recorded: 0,
                unfreed: 0,
                at_peak: 0,
            });
            rows.len() as u32 - 1
        });
        // Blocks of functions hooked by name have no end that is seen.
        let is_followed = usize::from(site.function) < FUNCTION_NAMES.len();
        let frees = site.live.map_or(0, |live| live.frees);
        self.rows[row as usize].add(site.count, frees, is_followed, mean);
        self.waiting -= 1;
        if let Some(place) = self.places.get_mut(&chunk).and_then(|all| all.get_mut(i)) {
            *place = Place {
                state: State::In { row, is_followed },
                count: site.count,
                frees,
            };
        }
    }

    /// Finds out what lived at the peak of the process, of which every record has to be read.
    pub(crate) fn read_peaks(&mut self, recording: &Recording<'_>) {
        for row in &mut self.rows {
            row.at_peak = 0;
        }
        let mean = recording.sample_bytes();
        for (chunk, tallies) in recording.tallies() {
            let Some(places) = self.places.get(&chunk) else {
                continue;
            };
            for (tally, place) in tallies.zip(places) {
                if let State::In { row, .. } = place.state
                    && let Some(live) = recording.site_at(tally.offset).and_then(|site| site.live)
                    && let Some(row) = self.rows.get_mut(row as usize)
                {
                    row.at_peak = row.at_peak.saturating_add(live.at_peak);
                }
            }
        }
        for row in &mut self.rows {
            let blocks = u64::try_from(row.at_peak).unwrap_or(0);
            row.at_peak = i64::try_from(stands_for(blocks, row.size, mean)).unwrap_or(i64::MAX);
        }
    }

    /// The sites that count in these rows.
    pub(crate) fn sites_of(&self, wanted: &[u32], recording: &Recording<'_>) -> Vec<Site> {
        let is_wanted =
            |place: &Place| matches!(place.state, State::In { row, .. } if wanted.contains(&row));
        let mut sites = Vec::new();
        for (chunk, tallies) in recording.tallies() {
            let Some(places) = self.places.get(&chunk) else {
                continue;
            };
            let tallies = tallies.zip(places).filter(|(_, place)| is_wanted(place));
            sites.extend(tallies.filter_map(|(tally, _)| recording.site_at(tally.offset)));
        }
        sites
    }
}

impl Row {
    /// A row of so many allocations, for tests.
    #[cfg(test)]
    pub(crate) fn of(names: [u32; 4], size: u64, calls: u64) -> Self {
        Self {
            names,
            size,
            calls,
            live: 0,
            recent: 0,
            recorded: calls,
            unfreed: 0,
            at_peak: 0,
        }
    }

    /// Adds allocations and frees. `mean` is the mean distance of samples in bytes.
    fn add(&mut self, calls: u64, frees: u64, is_followed: bool, mean: u64) {
        // Of a thread that ends, one record loses what another gets, perhaps in the next look.
        let before = self.calls;
        self.recorded = self.recorded.wrapping_add(calls);
        self.calls = stands_for(self.recorded, self.size, mean);
        let change = self.calls.wrapping_sub(before) as i64;
        self.recent = self.recent.saturating_add_signed(change);
        if is_followed {
            let change = calls.wrapping_sub(frees) as i64;
            self.unfreed = self.unfreed.wrapping_add(change);
            let blocks = u64::try_from(self.unfreed).unwrap_or(0);
            self.live = stands_for(blocks, self.size, mean);
        }
    }
}

/// How many allocations a number of samples stands for: each is taken with a chance that follows from
/// its size.
fn stands_for(samples: u64, size: u64, mean: u64) -> u64 {
    if mean == 0 {
        return samples;
    }
    let chance = -(-(size.max(1) as f64) / mean as f64).exp_m1();
    (samples as f64 / chance).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::recording;

    fn update(rows: &mut Rows, names: &mut Names, sites: &[(u64, u64)]) {
        let bytes = recording(1, 1, sites);
        let recording = Recording::parse(&bytes).expect("a recording");
        rows.update(&recording, names);
    }

    fn of_size(rows: &Rows, size: u64) -> (u64, u64) {
        let row = rows.all().iter().find(|row| row.size == size);
        row.map_or((0, 0), |row| (row.calls, row.recent))
    }

    #[test]
    fn what_changed_is_added() {
        let (mut rows, mut names) = (Rows::default(), Names::new(None));
        update(&mut rows, &mut names, &[(8, 3), (16, 1)]);
        assert!(rows.all().is_empty(), "they may not be complete");
        update(&mut rows, &mut names, &[(8, 4), (16, 1), (8, 10)]);
        assert_eq!((of_size(&rows, 8), of_size(&rows, 16)), ((4, 4), (1, 1)));
        update(&mut rows, &mut names, &[(8, 4), (16, 7), (8, 10)]);
        // The third record is another thread's, of the same row.
        assert_eq!((of_size(&rows, 8), of_size(&rows, 16)), ((14, 10), (7, 6)));
        update(&mut rows, &mut names, &[(8, 4), (16, 7), (8, 10)]);
        assert_eq!((of_size(&rows, 8), of_size(&rows, 16)), ((14, 0), (7, 0)));
        let bytes = recording(1, 1, &[(8, 4), (16, 7), (8, 10)]);
        let recording = Recording::parse(&bytes).expect("a recording");
        let row = rows.all().iter().position(|row| row.size == 8).expect("it");
        let counts = rows.sites_of(&[row as u32], &recording);
        let counts: Vec<u64> = counts.iter().map(|site| site.count).collect();
        assert_eq!(counts, [4, 10]);
    }

    #[test]
    fn what_only_grows_looks_more_like_a_leak_than_what_is_freed_too() {
        let figures = |calls, live| Figures {
            calls,
            live,
            live_bytes: 100 * live,
            ..Figures::default()
        };
        assert_eq!(figures(10, 10).leakiness(), 1000);
        assert_eq!(figures(1000, 20).leakiness(), 40);
        assert_eq!(figures(0, 0).leakiness(), 0);
    }

    #[test]
    fn samples_stand_for_more() {
        assert_eq!(stands_for(7, 100, 0), 7);
        assert_eq!(stands_for(10, 1, 1000), 10_005);
        assert_eq!(stands_for(10, 1 << 30, 1000), 10);
        assert_eq!(stands_for(3, 0, 1000), stands_for(3, 1, 1000));
    }
}
