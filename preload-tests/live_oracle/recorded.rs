//! The figures of a log as a recording has them.

use super::figures::{Key, Sites};
use skipheap_format::layout::{AGES, TIMES};
use skipheap_format::loss::Loss;
use skipheap_format::messages;
use skipheap_format::reader::{LiveTotals, Recording, Site};
use std::collections::{BTreeMap, HashMap};

/// A recording's outcome.
pub(crate) struct Recorded {
    pub(crate) sites: Sites,
    /// Blocks that were live at the peak.
    pub(crate) at_peak: HashMap<Key, i64>,
    pub(crate) totals: LiveTotals,
    /// Allocations by thread, in rising order of the counts.
    pub(crate) by_thread: Vec<u64>,
    /// Freed blocks by age in time, of one block in sixteen.
    pub(crate) times: [u64; TIMES],
    /// Honesty counters that are not 0, in words.
    pub(crate) losses: Vec<String>,
}

/// Reads a finished recording that was made with the oracle in front.
pub(crate) fn read(bytes: &[u8]) -> Recorded {
    let recording = Recording::parse(bytes).expect("a recording");
    assert!(recording.finished(), "the end of the process was not seen");
    let totals = recording.live_totals().expect("blocks were followed");
    let mut sites = Sites::new();
    let mut at_peak = HashMap::new();
    let mut by_thread: BTreeMap<u32, u64> = BTreeMap::new();
    let mut times = [0; TIMES];
    for site in recording.sites() {
        let key = key(&recording, &site);
        let live = site.live.expect("blocks were followed");
        let figures = sites.entry(key).or_default();
        figures.calls += site.count;
        figures.frees += live.frees;
        figures.temporary += live.temporary;
        figures.grown += live.grown;
        figures.copied += live.copied;
        figures.slack += live.slack;
        for (age, more) in figures.ages.iter_mut().zip::<[u32; AGES]>(live.ages) {
            *age += u64::from(more);
        }
        *at_peak.entry(key).or_default() += live.at_peak;
        *by_thread.entry(site.thread).or_default() += site.count;
        for (time, more) in times.iter_mut().zip(live.times) {
            *time += u64::from(more);
        }
    }
    let mut by_thread: Vec<u64> = by_thread.into_values().filter(|&calls| calls > 0).collect();
    by_thread.sort_unstable();
    let losses = Loss::counted().filter(|loss| recording.loss(*loss) > 0);
    Recorded {
        sites,
        at_peak,
        totals,
        by_thread,
        times,
        losses: losses
            .map(|loss| format!("{} {}", recording.loss(loss), messages::known_loss(loss)))
            .collect(),
    }
}

/// The innermost frame is the oracle's own, the next one its caller.
fn key(recording: &Recording, site: &Site) -> Key {
    let [own, caller, ..] = site.frames.map(|id| {
        let frame = recording.frame(id).ok()?;
        Some((frame, recording.module(frame.module).ok()))
    });
    let path = own.and_then(|(_, module)| module).map(|module| module.path);
    assert!(
        path.is_some_and(|path| path.ends_with(b"/liblive_oracle.so")),
        "called from elsewhere than the oracle: {site:?}"
    );
    let address = caller.map(|(frame, module)| {
        let bias = module.map_or(0, |module| module.bias);
        frame.address.wrapping_add(bias)
    });
    Key {
        function: u32::from(site.function),
        caller: address.unwrap_or(0),
        size: site.size,
    }
}
