//! Totals, peak, timeline, rows and leaks are sums of the same allocations, in every mode: also
//! where functions hooked by name ask malloc for their memory, which no row shows.

use crate::support::{Run, Source, read_recording, recordings, tool};
use skipheap_format::reader::{Recording, Site};
use skipheap_format::sampled::probability;
use std::collections::HashMap;
use std::path::Path;

/// The functions of the pool.
const POOL: &str = "pool_*(size=arg0)";

/// Settings of a mode.
type Variables = &'static [(&'static str, &'static str)];

const FOUR: Variables = &[("SKIP_HEAP_LIVE", "1")];
const WHOLE: Variables = &[("SKIP_HEAP_LIVE", "1"), ("SKIP_HEAP_STACK_DEPTH", "full")];
const LEAKS: Variables = &[
    ("SKIP_HEAP_LEAK_CHECK", "1"),
    ("SKIP_HEAP_STACK_DEPTH", "full"),
];
const SAMPLE: Variables = &[("SKIP_HEAP_LIVE", "1"), ("SKIP_HEAP_SAMPLE", "16K")];
const SAMPLE_OF_WHOLE: Variables = &[
    ("SKIP_HEAP_LIVE", "1"),
    ("SKIP_HEAP_SAMPLE", "16K"),
    ("SKIP_HEAP_STACK_DEPTH", "full"),
];

/// Frames, node, size and function of a site.
type Key = ([u32; 4], u32, u64, u16);

fn key(site: &Site) -> Key {
    (site.frames, site.node, site.size, site.function)
}

/// What the sites of a recording add up to.
#[derive(Debug, Default)]
struct Sums {
    calls: u64,
    live_blocks: i64,
    live_bytes: i64,
    bytes_at_peak: i64,
    /// Blocks that live, by site: what ended threads have counted is moved to a record of another
    /// thread, and what they leaked is not.
    live_by_site: HashMap<Key, i64>,
}

impl Sums {
    fn of(recording: &Recording<'_>) -> Self {
        let mut sums = Self::default();
        for site in recording.sites() {
            sums.calls += site.count;
            let Some(live) = site.live else { continue };
            let blocks = site.count as i64 - live.frees as i64;
            // A sampled block stands for more bytes than it has.
            let bytes = match recording.sample_bytes() {
                0 => site.size as f64,
                mean => (site.size as f64 / probability(site.size, mean)).floor(),
            };
            sums.live_blocks += blocks;
            sums.live_bytes += blocks * bytes as i64;
            sums.bytes_at_peak += live.at_peak * bytes as i64;
            *sums.live_by_site.entry(key(&site)).or_default() += blocks;
        }
        sums
    }
}

/// Runs the fixture in a mode and hands its recording to `check`.
fn recorded(variables: Variables, hooks: &str, stop: bool, check: impl Fn(&Recording<'_>)) {
    let program = Source::c("sums").flags(&["-pthread"]).build();
    let session = tempfile::tempdir().expect("a folder");
    let mut run = Run::preloaded(program)
        .env("SKIP_HEAP_SESSION", session.path())
        .env("SKIP_HEAP_HOOKS", hooks);
    for (name, value) in variables {
        run = run.env(name, value);
    }
    if stop {
        run = run.arg("stop");
    }
    run.succeed();
    let [path] = &recordings(session.path())[..] else {
        panic!("one recording");
    };
    let bytes = read_recording(path);
    check(&Recording::parse(&bytes).expect("a recording"));
}

/// Totals, the last point of the timeline, the peak and the leaks are those of the rows.
fn assert_same_sums(recording: &Recording<'_>) {
    let sums = Sums::of(recording);
    let totals = recording.live_totals().expect("blocks were followed");
    let last = *recording.timeline().last().expect("a timeline");
    assert_eq!(totals.bytes as i64, sums.live_bytes, "{sums:?} {totals:?}");
    assert_eq!(
        totals.blocks as i64, sums.live_blocks,
        "{sums:?} {totals:?}"
    );
    assert_eq!(last.live_bytes as i64, sums.live_bytes, "{last:?} {sums:?}");
    assert_eq!(
        last.live_blocks as i64, sums.live_blocks,
        "{last:?} {sums:?}"
    );
    if recording.sample_bytes() == 0 {
        assert_eq!(last.allocations, sums.calls, "{last:?} {sums:?}");
    }
    // (The share of a site is that at its first change after the peak, which is noted late.)
    let peak = totals.peak_bytes as i64;
    let off = (sums.bytes_at_peak - peak).abs();
    assert!(off <= peak / 64 + 4096, "{sums:?} {totals:?}");
    for leak in recording.leaks().into_iter().flatten() {
        let mut sites = recording.sites();
        let site = sites.find(|site| site.offset == leak.site);
        let site = site.expect("a leak's site");
        let live = sums.live_by_site[&key(&site)];
        assert!(live >= leak.blocks as i64, "{} {site:?}", leak.blocks);
    }
}

#[test]
fn the_memory_of_a_hooked_pool_counts_nowhere_and_its_calls_everywhere() {
    for variables in [FOUR, WHOLE, LEAKS, SAMPLE, SAMPLE_OF_WHOLE] {
        for stop in [false, true] {
            recorded(variables, POOL, stop, |recording| {
                assert_same_sums(recording);
                assert!(recording.nested_calls() > 0, "{variables:?}");
                let totals = recording.live_totals().expect("blocks were followed");
                // The pool took nine chunks of a megabyte.
                assert!(totals.peak_bytes < 1_000_000, "{variables:?} {totals:?}");
                // Nor are their frees those of unknown blocks.
                if !stop && recording.sample_bytes() == 0 {
                    assert_eq!(totals.unknown_frees, 0, "{variables:?}");
                }
            });
        }
    }
}

#[test]
fn without_hooks_it_is_the_memory_that_counts() {
    for variables in [FOUR, WHOLE, LEAKS, SAMPLE, SAMPLE_OF_WHOLE] {
        for stop in [false, true] {
            recorded(variables, "", stop, |recording| {
                assert_same_sums(recording);
                let totals = recording.live_totals().expect("blocks were followed");
                assert!(totals.peak_bytes > 6_000_000, "{variables:?} {totals:?}");
            });
        }
    }
}

/// What a thread may have held back when the peak was noted, and what else lives in the process.
const LEEWAY: i64 = 4096;
const OTHER: i64 = 16 * 1024;

#[test]
fn the_peak_of_a_crowd_of_threads_is_known() {
    let program = Source::c("crowd").flags(&["-O2", "-pthread"]).build();
    for threads in [2, 8, 64] {
        for rounds in ["0", "20000"] {
            let session = tempfile::tempdir().expect("a folder");
            Run::preloaded(&program)
                .args(&[&threads.to_string(), rounds])
                .env("SKIP_HEAP_SESSION", session.path())
                .env("SKIP_HEAP_LIVE", "1")
                .succeed();
            let [path] = &recordings(session.path())[..] else {
                panic!("one recording");
            };
            let bytes = read_recording(path);
            let recording = Recording::parse(&bytes).expect("a recording");
            let totals = recording.live_totals().expect("blocks were followed");
            let found = totals.peak_bytes as i64;
            let kept = threads * 100 * 500;
            let least = kept - kept / 100 - threads * LEEWAY;
            let most = kept + kept / 100 + threads * LEEWAY + OTHER;
            assert!(
                (least..most).contains(&found),
                "{threads}: {found} of {kept}"
            );
            let shares = Sums::of(&recording).bytes_at_peak;
            let off = (shares - found).abs();
            assert!(
                off <= kept / 100 + threads * LEEWAY,
                "{threads}: {shares} of {found}"
            );
        }
    }
}

/// The sums of the rows of a CSV with all columns: calls, live bytes, bytes at the peak.
fn of_rows(path: &Path) -> [u64; 3] {
    let mut reader = ::csv::Reader::from_path(path).expect("a report");
    let header = reader.headers().expect("a header").clone();
    let mut sums = [0; 3];
    for record in reader.records() {
        let record = record.expect("a row");
        for (sum, column) in sums
            .iter_mut()
            .zip(["call count", "live bytes", "peak bytes"])
        {
            let at = header.iter().position(|name| name == column);
            // A hooked function's row has no live bytes.
            *sum += record[at.expect("the column")].parse().unwrap_or(0);
        }
    }
    sums
}

#[test]
fn reports_of_trees_add_up_what_their_processes_have() {
    let program = Source::c("sums").flags(&["-pthread"]).build();
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("all.csv");
    let with = |options: &[&str], program: &[&str]| {
        let outcome = Run::plain(tool())
            .args(&["--live", "--hook", POOL, "--columns", "all", "-o"])
            .arg(&report)
            .args(options)
            .args(program)
            .succeed();
        assert!(!outcome.stderr.contains("1,048,576"), "{outcome:?}");
        of_rows(&report)
    };
    let program = program.to_str().expect("text");
    let one = with(&["--timeline", "/dev/null"], &[program]);
    assert!(
        one[0] > 1300 && one[1] > 100_000 && one[2] < 1_000_000,
        "{one:?}"
    );
    let script = format!("{program}; {program}");
    let two = with(&["--programs", "sums", "--merge"], &["sh", "-c", &script]);
    assert_eq!(two[..2], [2 * one[0], 2 * one[1]], "{two:?}");
}
