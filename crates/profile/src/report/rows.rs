//! From sites of return addresses to rows of names: the aggregation behind every report.

use super::figures::{Figures, LiveSums, Rate};
use super::frames::FrameNames;
use super::handover::{Share, hand_over, owes};
use super::interner::Interner;
use super::leaked::LeaksBySite;
use super::origin::{Origin, Origins, OriginsOf};
use super::threads::thread_names;
use skipheap_format::reader::{FormatError, Recording, Site};
use skipheap_symbolize::Symbolizer;
use skipheap_symbolize::hash::FastMap;
use skipheap_symbolize::places::Places;
use std::cmp::Reverse;
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

/// Numbers of a row's names, its size, and the number of its origin: 0 where all are one.
type Key = ([u32; NAMES], u64, u32);

/// The rows of some recordings, taken together: sites with the same four names and the same size
/// are one row. Sorted by total bytes, then calls, both falling, then names and size, rising.
///
/// # Errors
/// When a recording refers to a frame or a module that it does not hold.
pub fn rows(
    recordings: &[&Recording<'_>],
    symbolizer: &mut Symbolizer,
) -> Result<Vec<Row>, FormatError> {
    aggregate(recordings, symbolizer, None)
}

/// As [`rows`], with a row for each [`Origin`].
///
/// # Errors
/// As [`rows`].
pub fn rows_by_origin(
    recordings: &[&Recording<'_>],
    symbolizer: &mut Symbolizer,
    places: &mut Places,
) -> Result<Vec<Row>, FormatError> {
    aggregate(recordings, symbolizer, Some(places))
}

fn aggregate(
    recordings: &[&Recording<'_>],
    symbolizer: &mut Symbolizer,
    mut places: Option<&mut Places>,
) -> Result<Vec<Row>, FormatError> {
    let mut interner = Interner::default();
    let mut origins = Origins::default();
    let mut sums: FastMap<Key, Figures> = FastMap::default();
    for recording in recordings {
        let mut own = match &mut places {
            None => by_names(recording, symbolizer, &mut interner)?,
            Some(places) => {
                Sites::new(recording, symbolizer, &mut interner, &mut origins).by_origin(places)?
            }
        };
        let rate = Rate::new(recording.sample_bytes());
        own.iter_mut()
            .for_each(|(key, figures)| figures.scale(rate, key.1));
        if sums.is_empty() {
            sums = own;
        } else {
            for (key, figures) in own {
                sums.entry(key).or_default().add(&figures);
            }
        }
    }
    // Of a thread that only freed there may be a row without allocations.
    sums.retain(|_, figures| figures.calls > 0);
    Ok(sorted(sums, &interner, &origins, places.is_some()))
}

fn sorted(
    sums: FastMap<Key, Figures>,
    interner: &Interner,
    origins: &Origins,
    with_origin: bool,
) -> Vec<Row> {
    let ranks = interner.ranks();
    let origins = origins.all();
    let rank = |number: u32| ranks.get(number as usize).copied().unwrap_or(0);
    let mut sums: Vec<_> = sums.into_iter().collect();
    let origin = |number: u32| {
        let origin = origins.get(number as usize);
        origin.filter(|_| with_origin)
    };
    sums.sort_unstable_by_key(|((names, size, number), figures)| {
        (
            Reverse(size.saturating_mul(figures.calls)),
            Reverse(figures.calls),
            names.map(rank),
            *size,
            origin(*number),
        )
    });
    sums.into_iter()
        .map(|((names, size, number), figures)| {
            let names = names.map(|number| interner.name(number));
            Row::new(names, size, origin(number).cloned(), figures)
        })
        .collect()
}

/// Puts rows in the order of every report, which is also that of [`rows`].
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

/// How many frames of each stack a report shows.
fn shown(recording: &Recording<'_>) -> usize {
    match recording.stack_depth() as usize {
        depth @ 1..NAMES => depth,
        _ => NAMES,
    }
}

fn by_names(
    recording: &Recording<'_>,
    symbolizer: &mut Symbolizer,
    interner: &mut Interner,
) -> Result<FastMap<Key, Figures>, FormatError> {
    let mut sums: FastMap<Key, Figures> = FastMap::default();
    let mut frames = FrameNames::new(recording);
    let ids = recording.sites().flat_map(|site| site.frames);
    frames.prepare(ids, symbolizer, None)?;
    let shown = shown(recording);
    let leaks = LeaksBySite::new(recording);
    for site in recording.sites() {
        let mut names = [0; NAMES];
        for (number, &frame) in names.iter_mut().zip(&site.frames).take(shown) {
            *number = frames.number(frame, symbolizer, interner)?;
        }
        let sum = sums.entry((names, site.size, 0)).or_default();
        sum.add(&Figures::of(&site, false, leaks.of(site.offset)));
    }
    Ok(sums)
}

/// A stack, a size and a function: the same in each thread's records.
type SiteKey = ([u32; 4], u32, u64, u16);

fn key_of(site: &Site) -> SiteKey {
    (site.frames, site.node, site.size, site.function)
}

/// The sites of a recording on their way to rows by origin.
struct Sites<'a, 'r, 'b> {
    recording: &'r Recording<'b>,
    symbolizer: &'a mut Symbolizer,
    interner: &'a mut Interner,
    origins: &'a mut Origins,
    frames: FrameNames<'r, 'b>,
    sums: FastMap<Key, Figures>,
}

impl<'a, 'r, 'b> Sites<'a, 'r, 'b> {
    fn new(
        recording: &'r Recording<'b>,
        symbolizer: &'a mut Symbolizer,
        interner: &'a mut Interner,
        origins: &'a mut Origins,
    ) -> Self {
        Self {
            recording,
            symbolizer,
            interner,
            origins,
            frames: FrameNames::new(recording),
            sums: FastMap::default(),
        }
    }

    fn by_origin(mut self, places: &mut Places) -> Result<FastMap<Key, Figures>, FormatError> {
        let recording = self.recording;
        let innermost = recording.sites().map(|site| {
            let [innermost, ..] = site.frames;
            innermost
        });
        self.frames
            .prepare(innermost, self.symbolizer, Some(places))?;
        let others = recording.sites().flat_map(|site| site.frames);
        self.frames.prepare(others, self.symbolizer, None)?;
        let threads = thread_names(recording, &mut self.frames, self.symbolizer)?;
        let mut of = OriginsOf::new(recording, threads, self.origins);
        let leaks = LeaksBySite::new(recording);
        // Shares of the sites where a thread has freed or lost others' blocks.
        let owing = recording
            .sites()
            .filter(|site| {
                let leaked = leaks.of(site.offset);
                site.live
                    .is_some_and(|live| owes(&LiveSums::of(site.count, &live, false, leaked)))
            })
            .map(|site| (key_of(&site), Vec::new()));
        let mut owing: FastMap<SiteKey, Vec<(Site, Share)>> = owing.collect();
        for site in recording.sites() {
            let mut figures = Figures::of(&site, true, leaks.of(site.offset));
            if let Some(shares) = owing.get_mut(&key_of(&site))
                && let Some(live) = figures.live.take()
            {
                let thread = site.thread;
                shares.push((site, Share { thread, live }));
            }
            self.add(&site, &figures, &mut of, places)?;
        }
        for shares in owing.into_values() {
            self.settle(shares, &mut of, places)?;
        }
        Ok(self.sums)
    }

    /// Adds the shares of the threads in a site, frees with those that allocated.
    fn settle(
        &mut self,
        shares: Vec<(Site, Share)>,
        of: &mut OriginsOf<'r, 'b>,
        places: &Places,
    ) -> Result<(), FormatError> {
        // A thread number has several records where a later thread took it over.
        let Some(&(site, _)) = shares.first() else {
            return Ok(());
        };
        let mut shares: Vec<Share> = shares.into_iter().map(|(_, share)| share).collect();
        hand_over(&mut shares);
        for share in shares {
            let figures = Figures {
                live: Some(share.live),
                ..Figures::default()
            };
            let site = Site {
                thread: share.thread,
                ..site
            };
            self.add(&site, &figures, of, places)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        site: &Site,
        figures: &Figures,
        of: &mut OriginsOf<'r, 'b>,
        places: &Places,
    ) -> Result<(), FormatError> {
        let mut names = [0; NAMES];
        let shown = shown(self.recording);
        for (number, &frame) in names.iter_mut().zip(&site.frames).take(shown) {
            *number = self.frames.number(frame, self.symbolizer, self.interner)?;
        }
        let origin = of.number(site, &mut self.frames, places, self.origins)?;
        let sum = self.sums.entry((names, site.size, origin)).or_default();
        sum.add(figures);
        Ok(())
    }
}
