//! From sites of return addresses to rows of names: the aggregation behind every report.

use crate::record::layout::FIRST_FRAME_ID;
use crate::record::reader::{FormatError, Frame, Module, Recording};
use crate::symbolize::Symbolizer;
use crate::symbolize::hash::FastMap;
use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::rc::Rc;

/// All allocations of one size from functions of these names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Innermost first; `None` where the stack was shorter, or was cut.
    pub(crate) names: [Option<Rc<str>>; 4],
    /// Size of each allocation in bytes.
    pub(crate) size: u64,
    /// Number of allocations.
    pub(crate) calls: u64,
    /// Bytes of all of them.
    pub(crate) total: u64,
}

/// Sums over all rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Allocations.
    pub(crate) calls: u64,
    /// Bytes.
    pub(crate) bytes: u64,
    /// Rows.
    pub(crate) sites: usize,
}

/// Sums rows up.
pub(crate) fn totals(rows: &[Row]) -> Totals {
    rows.iter().fold(Totals::default(), |sum, row| Totals {
        calls: sum.calls.saturating_add(row.calls),
        bytes: sum.bytes.saturating_add(row.total),
        sites: sum.sites + 1,
    })
}

/// Names by number, so that sites are added up by numbers.
#[derive(Default)]
struct Interner {
    numbers: FastMap<Rc<str>, u32>,
    names: Vec<Rc<str>>,
}

impl Interner {
    /// The number of a name, from 1; 0 is no name.
    fn number(&mut self, name: &Rc<str>) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        self.names.push(Rc::clone(name));
        let number = self.names.len() as u32;
        self.numbers.insert(Rc::clone(name), number);
        number
    }

    fn name(&self, number: u32) -> Option<Rc<str>> {
        self.names.get((number as usize).checked_sub(1)?).cloned()
    }

    /// By number, the rank of each name in the order of the alphabet; that of no name is 0, the
    /// first.
    fn ranks(&self) -> Vec<u32> {
        let mut order: Vec<(&str, u32)> = self.names.iter().map(|name| &**name).zip(1..).collect();
        order.sort_unstable();
        let mut ranks = vec![0; order.len() + 1];
        for ((_, number), rank) in order.into_iter().zip(1..) {
            if let Some(slot) = ranks.get_mut(number as usize) {
                *slot = rank;
            }
        }
        ranks
    }
}

/// The rows of some recordings, taken together: sites with the same four names and the same size
/// are one row. Sorted by total bytes, then calls, both falling, then names and size, rising.
///
/// # Errors
/// When a recording refers to a frame or a module that it does not hold.
pub(crate) fn rows(
    recordings: &[&Recording<'_>],
    symbolizer: &mut Symbolizer,
) -> Result<Vec<Row>, FormatError> {
    let mut interner = Interner::default();
    let mut sums: FastMap<([u32; 4], u64), u64> = FastMap::default();
    for recording in recordings {
        let mut frames = FrameNames::new(recording);
        frames.prepare(symbolizer)?;
        for site in recording.sites() {
            let mut key = [0; 4];
            for (number, &frame) in key.iter_mut().zip(&site.frames) {
                *number = frames.number(frame, symbolizer, &mut interner)?;
            }
            let calls = sums.entry((key, site.size)).or_insert(0);
            *calls = calls.saturating_add(site.count);
        }
    }
    let ranks = interner.ranks();
    let rank = |number: u32| ranks.get(number as usize).copied().unwrap_or(0);
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_unstable_by_key(|&((key, size), calls)| {
        (
            Reverse(size.saturating_mul(calls)),
            Reverse(calls),
            key.map(rank),
            size,
        )
    });
    Ok(sums
        .into_iter()
        .map(|((key, size), calls)| Row {
            names: key.map(|number| interner.name(number)),
            size,
            calls,
            total: size.saturating_mul(calls),
        })
        .collect())
}

/// Puts rows in the order of every report, which is also that of [`rows`].
pub(crate) fn sort(rows: &mut [Row]) {
    rows.sort_unstable_by(|a, b| {
        b.total
            .cmp(&a.total)
            .then_with(|| b.calls.cmp(&a.calls))
            .then_with(|| a.names.cmp(&b.names))
            .then_with(|| a.size.cmp(&b.size))
    });
}

/// The address to look a frame's name up by: the call before a return address may be the last
/// instruction of its function.
fn lookup(frame: &Frame) -> u64 {
    if frame.exact {
        frame.address
    } else {
        frame.address.wrapping_sub(1)
    }
}

/// Names of one recording's frames, each looked up once.
struct FrameNames<'r, 'b> {
    recording: &'r Recording<'b>,
    modules: FastMap<u32, Module<'b>>,
    numbers: FastMap<u32, u32>,
}

impl<'r, 'b> FrameNames<'r, 'b> {
    fn new(recording: &'r Recording<'b>) -> Self {
        Self {
            recording,
            modules: FastMap::default(),
            numbers: FastMap::default(),
        }
    }

    /// Has the names of all functions that occur in sites looked up, by module.
    fn prepare(&mut self, symbolizer: &mut Symbolizer) -> Result<(), FormatError> {
        let mut seen: FastMap<u32, ()> = FastMap::default();
        let mut lookups: FastMap<u32, Vec<u64>> = FastMap::default();
        for id in self.recording.sites().flat_map(|site| site.frames) {
            if id < FIRST_FRAME_ID || seen.insert(id, ()).is_some() {
                continue;
            }
            let frame = self.recording.frame(id)?;
            if frame.module != 0 {
                lookups
                    .entry(frame.module)
                    .or_default()
                    .push(lookup(&frame));
            }
        }
        for (module, lookups) in lookups {
            symbolizer.prepare(&self.recording.module(module)?, lookups);
        }
        Ok(())
    }

    fn number(
        &mut self,
        id: u32,
        symbolizer: &mut Symbolizer,
        interner: &mut Interner,
    ) -> Result<u32, FormatError> {
        if id < FIRST_FRAME_ID {
            return Ok(0);
        }
        if let Some(&number) = self.numbers.get(&id) {
            return Ok(number);
        }
        let frame = self.recording.frame(id)?;
        let lookup = lookup(&frame);
        let name = if frame.module == 0 {
            symbolizer.made_at_run_time(self.recording.pid(), lookup)
        } else {
            let module = match self.modules.entry(frame.module) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(self.recording.module(frame.module)?),
            };
            symbolizer.function(module, lookup)
        };
        let number = interner.number(&name);
        self.numbers.insert(id, number);
        Ok(number)
    }
}
