//! The sites of a recording, summed from its records. Each thread has its own record of a site; a
//! thread number may have several if a later thread reused it.

use super::{Depth, Detail, Grouping, depth};
use crate::report::figures::{AllLifetimes, Figures, Rate};
use crate::report::handover::{Share, hand_over, owes};
use crate::report::leaked::LeaksBySite;
use crate::{NONE, Site};
use skipheap_format::reader::{FormatError, Recording, Site as Record};
use skipheap_symbolize::hash::FastMap;

/// What distinguishes sites, regardless of the thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    /// The innermost frames.
    pub(super) frames: [u32; 4],
    /// The stack, or 0 if only the innermost frames are needed or known.
    pub(super) node: u32,
    /// Size of each allocation in bytes.
    pub(super) size: u64,
    /// Index of the allocation function, or 0 if that does not matter.
    pub(super) function: u16,
}

impl Key {
    /// The full identity of a record's site, whatever part of its stack is needed.
    fn new(site: &Record, grouping: Grouping) -> Self {
        Self {
            frames: site.frames,
            node: site.node,
            size: site.size,
            function: match grouping {
                Grouping::Size => 0,
                Grouping::Origin => site.function,
            },
        }
    }

    /// Returns the part of the key that is needed.
    fn shown(mut self, recording: &Recording<'_>, detail: Detail) -> Self {
        if detail.stacks == Depth::CallSite {
            self.node = 0;
            let shown = depth(recording, detail) as usize;
            self.frames.iter_mut().skip(shown).for_each(|id| *id = 0);
        }
        self
    }

    /// The innermost frame.
    pub(super) fn innermost(&self) -> u32 {
        let [innermost, ..] = self.frames;
        innermost
    }

    /// The ids of the innermost `depth` frames of its stack, innermost first.
    pub(super) fn stack(
        &self,
        recording: &Recording<'_>,
        depth: u32,
    ) -> Result<Vec<u32>, FormatError> {
        let mut ids = match self.node {
            0 => self
                .frames
                .iter()
                .copied()
                .take_while(|&id| id != 0)
                .collect(),
            node => recording.stack_from(node)?,
        };
        ids.truncate(depth as usize);
        Ok(ids)
    }
}

/// The counts of a recording.
#[derive(Default)]
pub(super) struct Gathered {
    /// The key of each site.
    pub(super) keys: Vec<Key>,
    /// The sites, with the numbers of their threads, and without the names of frames and functions.
    pub(super) sites: Vec<Site>,
    /// Bytes by thread number, if sites have no thread.
    pub(super) thread_bytes: FastMap<u32, u64>,
    /// Ages of all freed blocks, if sites have none.
    pub(super) lifetimes: AllLifetimes,
}

impl Gathered {
    pub(super) fn new(recording: &Recording<'_>, detail: Detail) -> Self {
        let leaks = LeaksBySite::new(recording);
        let mut gathered = Self::default();
        match detail.sites {
            Grouping::Origin => gathered.by_origin(recording, detail, &leaks),
            Grouping::Size => gathered.by_size(recording, detail, &leaks),
        }
        gathered
    }

    fn push(&mut self, key: Key, thread: u32, figures: Figures) {
        self.keys.push(key);
        self.sites.push(Site {
            node: NONE,
            size: key.size,
            allocator: 0,
            thread,
            process: 0,
            figures,
            old: None,
        });
    }

    fn by_size(&mut self, recording: &Recording<'_>, detail: Detail, leaks: &LeaksBySite) {
        let rate = Rate::new(recording.sample_bytes());
        let mut indices: FastMap<Key, usize> = FastMap::default();
        for record in recording.sites() {
            let key = Key::new(&record, detail.sites).shown(recording, detail);
            let figures = Figures::of(&record, false, leaks.of(record.offset));
            let next = self.sites.len();
            let index = *indices.entry(key).or_insert(next);
            match self.sites.get_mut(index) {
                Some(site) => site.figures.add(&figures),
                None => self.push(key, NONE, figures),
            }
            if detail.totals {
                let bytes = rate.whole(record.count, record.size);
                let sum = self.thread_bytes.entry(record.thread).or_default();
                *sum = sum.saturating_add(bytes.saturating_mul(record.size));
                if let Some(live) = &record.live {
                    self.lifetimes.add_record(record.size, live);
                }
            }
        }
    }

    fn by_origin(&mut self, recording: &Recording<'_>, detail: Detail, leaks: &LeaksBySite) {
        let record = |site: Record| {
            let key = Key::new(&site, detail.sites);
            (key, site.thread, site.offset)
        };
        let mut records: Vec<(Key, u32, u64)> = recording.sites().map(record).collect();
        records.sort_unstable();
        let mut shares: Vec<(u32, Figures)> = Vec::new();
        let mut indices: FastMap<(Key, u32), usize> = FastMap::default();
        for of_site in records.chunk_by(|a, b| a.0 == b.0) {
            let Some(&(key, ..)) = of_site.first() else {
                continue;
            };
            for &(_, thread, offset) in of_site {
                let Some(site) = recording.site_at(offset) else {
                    continue;
                };
                let figures = Figures::of(&site, true, leaks.of(offset));
                match shares.last_mut() {
                    Some((last, sum)) if *last == thread => sum.add(&figures),
                    _ => shares.push((thread, figures)),
                }
            }
            settle(&mut shares);
            for (thread, mut figures) in shares.drain(..) {
                if let Some(live) = &mut figures.live {
                    live.forget_empty_lifetimes();
                }
                // Several stacks may have the same innermost frames.
                let key = key.shown(recording, detail);
                let next = self.sites.len();
                let index = match detail.stacks {
                    Depth::CallSite => *indices.entry((key, thread)).or_insert(next),
                    Depth::Shown | Depth::Whole => next,
                };
                match self.sites.get_mut(index) {
                    Some(site) => site.figures.add(&figures),
                    None => self.push(key, thread, figures),
                }
            }
        }
    }
}

/// Assigns frees and lost blocks to the threads that allocated.
fn settle(shares: &mut [(u32, Figures)]) {
    let owes = |figures: &Figures| figures.live.as_ref().is_some_and(owes);
    if shares.len() < 2 || !shares.iter().any(|(_, figures)| owes(figures)) {
        return;
    }
    let mut lives: Vec<Share> = shares
        .iter_mut()
        .map(|(thread, figures)| Share {
            thread: *thread,
            live: figures.live.take().unwrap_or_default(),
        })
        .collect();
    hand_over(&mut lives);
    for ((_, figures), share) in shares.iter_mut().zip(lives) {
        figures.live = Some(share.live);
    }
}
