//! The live heap of Skip programs: objects of the ObStack die with their page.

use crate::support::{Run, Source, instructions, library, read_recording, recordings, tool};
use skipheap_format::reader::Recording;
use std::collections::BTreeMap;
use std::path::PathBuf;

fn program(flags: &[&str]) -> PathBuf {
    Source::c("regions")
        .flags(&["region_runtime.c", "-pthread"])
        .flags(flags)
        .build()
}

/// Objects by size: allocated, alive at the end, alive at the peak.
const OBJECTS: [(u64, [i64; 3]); 6] = [
    // Those of a value that outlives its region, five, are copies.
    (24, [5005, 5, 0]),
    (40, [100, 100, 100]),
    (56, [2000, 2000, 0]),
    (64, [3000, 0, 0]),
    (100, [15030, 0, 5010]),
    (300_000, [3, 0, 1]),
];
const LIVE_BYTES: u64 = 5 * 24 + 100 * 40 + 2000 * 56;
const PEAK_BYTES: u64 = 5010 * 100 + 300_000 + 100 * 40;

#[test]
fn objects_die_with_their_page_and_the_peak_is_known_by_site() {
    for (flags, depth) in [
        (&[][..], "4"),
        (&["-O0"], "4"),
        (&["-O1"], "full"),
        (&["-O3"], "full"),
        (&["-fno-inline", "-fno-omit-frame-pointer"], "4"),
        (&["-fcf-protection=full"], "4"),
        (&["-no-pie"], "4"),
    ] {
        let session = tempfile::tempdir().expect("a folder");
        Run::preloaded(program(flags))
            .env("SKIP_HEAP_SESSION", session.path())
            .env("SKIP_HEAP_STACK_DEPTH", depth)
            .env("SKIP_HEAP_LIVE", "1")
            .succeed();
        let [path] = &recordings(session.path())[..] else {
            panic!("one recording");
        };
        let bytes = read_recording(path);
        let recording = Recording::parse(&bytes).expect("a recording");
        let mut objects: BTreeMap<u64, [i64; 3]> = BTreeMap::new();
        for site in recording.sites() {
            let live = site.live.expect("objects are followed");
            let of_size = objects.entry(site.size).or_default();
            of_size[0] += site.count as i64;
            of_size[1] += site.count as i64 - live.frees as i64;
            of_size[2] += live.at_peak;
        }
        let objects: Vec<_> = objects.into_iter().collect();
        assert_eq!(objects, OBJECTS, "{flags:?} {depth}");
        let totals = recording.live_totals().expect("blocks were followed");
        assert_eq!(totals.bytes, LIVE_BYTES, "{flags:?} {depth}");
        assert_eq!(totals.peak_bytes, PEAK_BYTES, "{flags:?} {depth}");
        assert_eq!(totals.unknown_frees, 0, "{flags:?} {depth}");
        let last = *recording.timeline().last().expect("a timeline");
        let calls: i64 = OBJECTS.iter().map(|(_, counts)| counts[0]).sum();
        assert_eq!(last.live_bytes, LIVE_BYTES, "{flags:?} {depth}");
        assert_eq!(last.allocations as i64, calls, "{flags:?} {depth}");
    }
}

#[test]
fn a_sample_of_objects_lives_and_dies_with_their_pages_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("all.csv");
    Run::plain(tool())
        .args(&["--live", "--sample", "2K", "--columns", "all", "-o"])
        .arg(&report)
        .arg(program(&[]))
        .succeed();
    let mut reader = ::csv::Reader::from_path(&report).expect("a report");
    let header = reader.headers().expect("a header").clone();
    let at = |name| header.iter().position(|column| column == name).expect("it");
    let mut live = 0;
    for record in reader.records() {
        let record = record.expect("a row");
        if &record[0] == "passing" {
            let left: u64 = record[at("live blocks")].parse().expect("a number");
            // (Of one that has a page made, the page may be taken for that of the object before it.)
            assert!(left < 100, "{record:?}");
        }
        live += record[at("live bytes")].parse::<u64>().expect("a number");
    }
    let off = live.abs_diff(LIVE_BYTES);
    assert!(off < LIVE_BYTES / 2, "{live}");
}

#[test]
fn the_report_says_what_lives_and_what_does_not_apply() {
    let said = |options: &[&str], program: PathBuf| {
        Run::plain(tool())
            .args(&["-o", "/dev/null"])
            .args(options)
            .arg(program)
            .succeed()
            .stderr
    };
    let leaks = "note: the leak check does not apply to the ObStack";
    let unknown = "note: live bytes of the ObStack are not known";
    let text = said(&["--live"], program(&[]));
    assert!(text.contains("peak of live bytes: 805,000 bytes"), "{text}");
    assert!(!text.contains(unknown) && !text.contains(leaks), "{text}");
    let text = said(&["--leak-check"], program(&[]));
    assert!(text.contains(leaks) && !text.contains(unknown), "{text}");
    // malloc is reported besides.
    let text = said(&["--live", "--allocators", "all"], program(&[]));
    assert!(text.contains(unknown), "{text}");
    // A runtime without regions.
    let text = said(&["--live"], Source::c("persistent").build());
    assert!(text.contains(unknown), "{text}");
    assert!(!said(&[], program(&[])).contains("note: live"));
}

/// Most instructions that following adds to a call that allocates an object.
const BUDGET: u64 = 140;

#[test]
fn following_an_object_stays_within_the_budget_of_instructions() {
    let program = Source::c("region_calls")
        .flags(&["region_runtime.c"])
        .build();
    let of = |calls: u64, live: bool| {
        let (_, total) = instructions(|run| {
            let run = run.arg(&program).arg(calls.to_string());
            match live {
                true => run.env("LD_PRELOAD", library()).env("SKIP_HEAP_LIVE", "1"),
                false => run,
            }
        });
        total
    };
    let each = |live| (of(11_000, live) - of(1_000, live)) / 10_000;
    let added = each(true) - each(false);
    println!("{added} instructions added");
    assert!(added > 20, "nothing was followed: {added}");
    assert!(added <= BUDGET, "{added} instructions, budget {BUDGET}");
}
