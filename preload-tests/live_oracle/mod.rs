//! The live heap, compared figure by figure with the event log of the same run.
//!
//! `programs/live_oracle.c` stands between a program and the library and logs every call in the order in
//! which it happened, so that one run gives both the log and the recording: their figures have to be
//! equal. It is an ordinary frame to the library, which sees it as the innermost one of each stack.
//!
//! | file | purpose |
//! |---|---|
//! | [`log`] | reads the event log |
//! | [`replay`] | computes every figure from it |
//! | [`recorded`] | reads the same figures from the recording |
//! | [`columns`] | reads them from the CSV with all columns |
//! | [`figures`] | what is compared |
//! | [`programs`] | random programs and real ones |
//! | [`life`] | blocks that outlive their thread, or are inherited |
//! | [`races`] | blocks that threads pass to each other, without the oracle, whose mutex would keep order |
//! | [`memory`] | what following blocks costs in memory, and that it does not move them |
//!
//! Their long form: `scripts/oracle`.

mod columns;
mod edges;
mod fates;
mod figures;
mod life;
mod log;
mod memory;
mod programs;
mod races;
mod recorded;
mod replay;

use crate::support::{Outcome, Run, Source, library, read_recording, recordings};
use figures::{Figures, Key, Sites, live_bytes, pooled, total};
use recorded::Recorded;
use replay::Replay;
use skipheap_format::layout::{AGES, TIMES};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use tempfile::TempDir;

/// What a run may make inexact.
#[derive(Clone, Copy, Default)]
struct Allowed {
    /// Callers differ where allocation functions of the program itself are left out of its stacks: such
    /// calls are compared by function and size alone.
    wrappers: bool,
    /// A thread takes over the state of one that has ended, and its clock: blocks of ended threads go
    /// on ageing.
    ended_threads: bool,
    /// The recording alone is compared, not the CSV that is made of it: many runs of one kind.
    no_columns: bool,
}

/// The second where `scripts/oracle` asks for the long form: minutes, and gigabytes of logs.
fn at_length<T>(short: T, long: T) -> T {
    if std::env::var_os("PRELOAD_TESTS_LONG").is_some() {
        long
    } else {
        short
    }
}

/// Blocks are followed, and the recordings lie in `folder`.
fn followed(run: Run, folder: &Path) -> Run {
    run.env("SKIP_HEAP_LIVE", "1")
        .env("SKIP_HEAP_SESSION", folder)
}

/// A run under both, about to be started.
struct Observed {
    folder: TempDir,
}

impl Observed {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder }
    }

    fn arrange(&self, run: Run) -> Run {
        followed(run, self.folder.path())
            .env("LD_PRELOAD", Source::c_library("live_oracle").build())
            .also_preload(library())
            .env("ORACLE_LOG", self.folder.path().join("log"))
    }

    /// Compares everything. At least `least` allocations were made.
    fn compare(&self, least: u64, allowed: Allowed) {
        let events = log::read(&self.folder.path().join("log"));
        let replay = replay::replay(&events);
        let [path] = &recordings(self.folder.path())[..] else {
            panic!("one recording of one process");
        };
        let recorded = recorded::read(&read_recording(path));
        assert_eq!(recorded.losses, [""; 0]);
        let calls = total(&replay.sites).calls;
        assert!(calls >= least, "the program made only {calls} allocations");
        compare_sites(&replay.sites, &recorded.sites, allowed);
        compare_totals(&replay, &recorded, allowed);
        compare_peaks(&events, &replay, &recorded, allowed);
        if !allowed.no_columns {
            columns::compare(path, &replay, &recorded, allowed);
        }
    }
}

/// Runs a program under both and compares everything.
fn compare(run: Run, least: u64, allowed: Allowed) -> Outcome {
    let observed = Observed::new();
    let outcome = observed.arrange(run).succeed();
    observed.compare(least, allowed);
    outcome
}

/// Callers that both sides have.
fn common_callers<'a, T: 'a, U: 'a>(
    ours: impl IntoIterator<Item = (&'a Key, T)>,
    theirs: impl IntoIterator<Item = (&'a Key, U)>,
) -> BTreeSet<u64> {
    let ours: BTreeSet<u64> = ours.into_iter().map(|(key, _)| key.caller).collect();
    let theirs: BTreeSet<u64> = theirs.into_iter().map(|(key, _)| key.caller).collect();
    &ours & &theirs
}

fn compare_sites(wanted: &Sites, found: &Sites, allowed: Allowed) {
    let common = common_callers(wanted, found);
    let keep = |caller| !allowed.wrappers || common.contains(&caller);
    let comparable = |sites| {
        let mut sites = pooled(sites, keep);
        if allowed.ended_threads {
            for figures in sites.values_mut() {
                figures.ages = [figures.ages.iter().sum(); AGES];
            }
        }
        sites
    };
    let (wanted, found) = (comparable(wanted), comparable(found));
    let keys: BTreeSet<&Key> = wanted.keys().chain(found.keys()).collect();
    let none = Figures::default();
    let differences: Vec<String> = keys
        .iter()
        .map(|&key| {
            let of = |sites: &'_ Sites| sites.get(key).unwrap_or(&none).clone();
            (key, of(&wanted), of(&found))
        })
        .filter(|(_, wanted, found)| wanted != found)
        .map(|(key, wanted, found)| format!("{key:x?}\nwanted {wanted:?}\nfound  {found:?}"))
        .collect();
    assert!(
        differences.is_empty(),
        "{} of {} sites differ:\n{}",
        differences.len(),
        keys.len(),
        differences[..differences.len().min(8)].join("\n")
    );
}

fn compare_totals(replay: &Replay, recorded: &Recorded, allowed: Allowed) {
    let wanted = total(&replay.sites);
    compare_times(&replay.times, &recorded.times);
    assert_eq!(recorded.totals.unknown_frees, replay.unknown_frees);
    let totals = &recorded.totals;
    assert_eq!(totals.bytes, live_bytes(&replay.sites), "live bytes");
    assert_eq!(totals.blocks, wanted.live(), "live blocks");
    if !allowed.ended_threads {
        compare_threads(&recorded.by_thread, &replay.by_thread);
    }
}

/// The calls of each thread that runs to the end; of all that have ended, which have one name, the sum.
fn compare_threads(found: &[u64], wanted: &[u64]) {
    let mut ended = wanted.to_vec();
    let mut sums = Vec::new();
    for calls in found {
        match ended.iter().position(|wanted| wanted == calls) {
            Some(at) => {
                ended.remove(at);
            }
            None => sums.push(*calls),
        }
    }
    let rest: u64 = ended.iter().sum();
    let expected: &[u64] = if ended.is_empty() { &[] } else { &[rest] };
    assert_eq!(sums, expected, "{found:?} of {wanted:?}");
}

/// Lifetimes in time are of one block in sixteen, and of a clock of their own: at the end of each bucket,
/// so many blocks are counted as by the log in the bucket before to the one behind, five standard
/// deviations of such a sample more or less. No block is older than the oldest.
fn compare_times(wanted: &[u64; TIMES], found: &[u64; TIMES]) {
    const ONE_IN: f64 = 16.0;
    let last = |times: &[u64; TIMES]| times.iter().rposition(|&count| count != 0);
    assert!(
        last(found) <= last(wanted).map(|last| last + 1),
        "wanted {wanted:?}\nfound {found:?}"
    );
    let up_to = |end: usize| wanted.iter().take(end).sum::<u64>() as f64 / ONE_IN;
    for end in 1..=TIMES {
        let counted = found.iter().take(end).sum::<u64>() as f64;
        let (least, most) = (up_to(end - 1), up_to((end + 1).min(TIMES)));
        let least = if end == TIMES { up_to(TIMES) } else { least };
        let (least, most) = (
            least - 5.0 * least.sqrt() - 2.0,
            most + 5.0 * most.sqrt() + 2.0,
        );
        assert!(
            (least..=most).contains(&counted),
            "{counted} in the first {end}, not {least} to {most}\nwanted {wanted:?}\nfound {found:?}"
        );
    }
}

/// The peak is within a hundredth of the true one, and its shares are those of a moment at which that
/// much was live.
fn compare_peaks(events: &[log::Event], replay: &Replay, recorded: &Recorded, allowed: Allowed) {
    let (peak, found) = (replay.peak_bytes, recorded.totals.peak_bytes);
    assert!(
        found.abs_diff(peak) <= peak / 100,
        "peak of {peak} bytes, found {found}"
    );
    let at_peak: BTreeMap<&Key, i64> = recorded.at_peak.iter().map(|(k, &n)| (k, n)).collect();
    let shares: i128 = at_peak
        .iter()
        .map(|(key, &blocks)| i128::from(key.size) * i128::from(blocks))
        .sum();
    // With threads the header lags behind by what they have not handed in yet.
    let late = match replay.by_thread.len() {
        1 => 0,
        _ => peak / 128,
    };
    let shares = u64::try_from(shares).expect("not below zero");
    assert!(
        shares.abs_diff(found) <= late,
        "the shares add up to {shares}, not {found}"
    );
    if allowed.wrappers {
        return;
    }
    let shares: HashMap<Key, i64> = recorded.at_peak.clone();
    let off = replay::distance(events, peak - peak / 100, &shares).expect("there is a peak");
    assert_eq!(off, 0, "bytes of other sites than at any peak, of {peak}");
}
