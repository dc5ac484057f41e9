//! The leak check: what can still be reached at the end is no leak, and everything else is.

use crate::support::{Outcome, Run, Source, library, output_of, read_recording, recordings, tool};
use skipheap_format::reader::Recording;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What the fixture leaks: sizes, and how many blocks.
const LEAKED: [(u64, u64); 5] = [(1001, 10), (1002, 20), (1003, 2), (1004, 1), (300_000, 1)];

fn fixture(flag: &str) -> PathBuf {
    Source::c("leaks").flags(&["-g", "-pthread", flag]).build()
}

/// A run of the tool with a file of suppressions.
fn checked(suppressions: Option<&str>) -> (Run, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut run = Run::plain(tool()).arg("--leak-check").arg("-o");
    run = run.arg(folder.path().join("out.csv"));
    if let Some(text) = suppressions {
        let file = folder.path().join("known");
        fs::write(&file, text).expect("written");
        run = run.arg("--suppressions").arg(file);
    }
    (run, folder)
}

/// Unreachable blocks by size, directly and indirectly lost ones, of the only recording in a folder.
fn unreachable(folder: &Path) -> BTreeMap<u64, [u64; 2]> {
    let recordings = recordings(folder);
    let [path] = &recordings[..] else {
        panic!("one recording: {recordings:?}");
    };
    let bytes = read_recording(path);
    let recording = Recording::parse(&bytes).expect("a recording");
    let mut sizes = BTreeMap::new();
    for site in recording.sites() {
        sizes.insert(site.offset, site.size);
    }
    let mut found: BTreeMap<u64, [u64; 2]> = BTreeMap::new();
    for leak in recording.leaks().expect("the check was made") {
        let [direct, indirect] = found.entry(sizes[&leak.site]).or_default();
        *direct += leak.blocks - leak.indirect;
        *indirect += leak.indirect;
    }
    found
}

#[test]
fn every_way_to_a_block_is_found_and_what_nothing_points_to_is_a_leak() {
    for flag in ["-O0", "-O1", "-O2"] {
        for depth in ["4", "full"] {
            let folder = tempfile::tempdir().expect("a folder");
            Run::preloaded(fixture(flag))
                .env("SKIP_HEAP_LEAK_CHECK", "1")
                .env("SKIP_HEAP_STACK_DEPTH", depth)
                .env("SKIP_HEAP_SESSION", folder.path())
                .succeed();
            let found = unreachable(folder.path()).into_iter();
            let found = found.map(|(size, [direct, indirect])| (size, direct + indirect));
            assert_eq!(found.collect::<Vec<_>>(), LEAKED, "{flag} {depth}");
        }
    }
}

const ALL_LEAKS: &str =
    "leaked (unreachable): 333,060 bytes (333.1 kB) in 34 blocks from 6 stacks\n";

#[test]
fn leaks_are_listed_and_give_the_exit_status_that_was_asked_for() {
    let (run, _folder) = checked(None);
    let outcome = run
        .args(&["--leak-exit-code", "23"])
        .arg(fixture("-O1"))
        .finish();
    assert_eq!(outcome.status.code(), Some(23), "{outcome:?}");
    for part in [
        ALL_LEAKS,
        " leak (leaks.c:49) ← main ← ",
        " 300.0 kB       1           -       -  leak",
    ] {
        assert!(outcome.stderr.contains(part), "{part}: {outcome:?}");
    }
    // Without that it is the program's.
    let (run, _folder) = checked(None);
    let outcome = run.arg(fixture("-O1")).succeed();
    assert!(outcome.stderr.contains(ALL_LEAKS), "{outcome:?}");
}

#[test]
fn a_status_for_leaks_implies_the_check_and_asks_reports_for_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let run = |options: &[&str], name: &str| {
        let run = Run::plain(tool()).args(&["-q"]).args(options).arg("-o");
        run.arg(path(name)).arg(fixture("-O1")).finish()
    };
    let report = |name: &str| {
        let run = Run::plain(tool()).args(&["report", "-q", "--leak-exit-code", "23", "-o"]);
        run.arg(path("out.csv")).arg(path(name)).finish()
    };
    let outcome = run(&["--leak-exit-code", "23"], "checked.skipheap");
    assert_eq!(outcome.status.code(), Some(23), "{outcome:?}");
    assert_eq!(report("checked.skipheap").status.code(), Some(23));
    assert_eq!(run(&["--live"], "live.skipheap").status.code(), Some(0));
    let outcome = report("live.skipheap");
    assert_eq!(outcome.status.code(), Some(2), "{outcome:?}");
    assert!(
        outcome.stderr.contains("recorded without a leak check"),
        "{outcome:?}"
    );
}

#[test]
fn what_is_suppressed_is_no_leak() {
    let (run, _folder) = checked(Some("leak:chain\nleak:programs/leaks.c\n"));
    let outcome = run
        .args(&["--leak-exit-code", "23"])
        .arg(fixture("-O1"))
        .succeed();
    for part in [
        "leaked (unreachable): 0 bytes in 0 blocks from 0 stacks\n",
        "suppressed by leak:chain: 20,040 bytes (20.0 kB) in 20 blocks\n",
        "suppressed by leak:programs/leaks.c: 313,020 bytes (313.0 kB) in 14 blocks\n",
    ] {
        assert!(outcome.stderr.contains(part), "{part}: {outcome:?}");
    }
    let (run, _folder) = checked(Some("leak:^chain$\n"));
    let outcome = run
        .args(&["--leak-exit-code", "23"])
        .arg(fixture("-O1"))
        .finish();
    assert_eq!(outcome.status.code(), Some(23), "{outcome:?}");
}

#[test]
fn the_library_alone_lists_leaks_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("known");
    fs::write(&file, "leak:chain\n").expect("written");
    let outcome = Run::preloaded(fixture("-O1"))
        .env("SKIP_HEAP_LEAK_CHECK", "1")
        .env("SKIP_HEAP_SUPPRESSIONS", &file)
        .succeed();
    for line in [
        "heap profiler: leaked (unreachable): 313020 bytes in 14 blocks from 5 stacks",
        "heap profiler: suppressed by leak:chain: 20040 bytes in 20 blocks",
    ] {
        assert!(
            outcome.stderr.lines().any(|said| said == line),
            "{outcome:?}"
        );
    }
    assert!(
        outcome
            .stderr
            .contains("  300000 bytes in 1 block: leak < main < "),
        "{outcome:?}"
    );
}

/// Bytes and blocks that are lost directly, and those that are lost indirectly.
type Lost = [(u64, u64); 2];

/// What valgrind finds lost.
fn lost_by_valgrind(program: &str, arguments: &[&str]) -> Lost {
    let outcome = Run::plain("/usr/bin/valgrind")
        .args(&["--leak-check=full", "--show-leak-kinds=none"])
        .arg(program)
        .args(arguments)
        .succeed();
    let of = |kind: &str| {
        let line = outcome.stderr.lines().find(|line| line.contains(kind));
        let digits = |word: &str| word.replace(',', "").parse::<u64>().ok();
        // Without the number of the process in front.
        let line = line.map_or("0 0", |line| {
            line.split_once("lost:").map_or("", |parts| parts.1)
        });
        let numbers: Vec<u64> = line.split_whitespace().filter_map(digits).collect();
        let &[bytes, blocks] = &numbers[..] else {
            panic!("{line}: {outcome:?}");
        };
        (bytes, blocks)
    };
    assert!(outcome.stderr.contains("HEAP SUMMARY"), "{outcome:?}");
    [of("definitely lost:"), of("indirectly lost:")]
}

/// Blocks that are directly and indirectly lost, as the leak check finds them.
fn lost(program: &str, arguments: &[&str]) -> (Lost, Outcome) {
    let folder = tempfile::tempdir().expect("a folder");
    let outcome = Run::preloaded(program)
        .args(arguments)
        .env("SKIP_HEAP_LEAK_CHECK", "1")
        .env("SKIP_HEAP_SESSION", folder.path())
        .succeed();
    let mut sums = Lost::default();
    for (size, blocks) in unreachable(folder.path()) {
        for (sum, blocks) in sums.iter_mut().zip(blocks) {
            sum.0 += size * blocks;
            sum.1 += blocks;
        }
    }
    (sums, outcome)
}

/// What we find of these situations, and valgrind does not or cannot: nothing is lost in them.
const NOTHING_IS_LOST: [&str; 4] = [
    // valgrind looks at no memory that cannot be written.
    "protected",
    // valgrind takes the address behind a block for none of its own.
    "no_elements",
    // It runs one thread at a time, and these never wait.
    "in_a_register",
    "moving_threads",
];

#[test]
fn valgrind_finds_the_same_leaks_in_each_situation() {
    for flag in ["-O0", "-O2"] {
        let program = Source::c("lost")
            .flags(&["-g", "-pthread", "-fno-builtin", flag])
            .build();
        let program = program.to_str().expect("text");
        let names = Run::plain(program).succeed().stdout;
        assert!(names.lines().count() >= 28, "{names}");
        for name in names.lines() {
            let expected = match NOTHING_IS_LOST.contains(&name) {
                true => Lost::default(),
                false => lost_by_valgrind(program, &[name]),
            };
            let (found, outcome) = lost(program, &[name]);
            assert_eq!(found, expected, "{flag} {name}: {outcome:?}");
        }
    }
}

#[test]
fn words_below_the_stack_pointers_of_waiting_threads_hide_no_leaks() {
    for flag in ["-O0", "-O1", "-O2"] {
        let flags = ["-g", "-pthread", "-fno-builtin", flag];
        let program = Source::c("lost").flags(&flags).build();
        for depth in ["4", "full"] {
            let folder = tempfile::tempdir().expect("a folder");
            Run::preloaded(&program)
                .arg("waiting_threads")
                .env("SKIP_HEAP_LEAK_CHECK", "1")
                .env("SKIP_HEAP_STACK_DEPTH", depth)
                .env("SKIP_HEAP_SESSION", folder.path())
                .succeed();
            let lost = unreachable(folder.path()).into_values();
            let blocks: u64 = lost.map(|[direct, _]| direct).sum();
            assert_eq!(blocks, 60, "{flag} {depth}");
        }
    }
}

#[test]
fn what_threads_hold_that_run_on_is_found_or_it_is_said() {
    let program = Source::c("lost")
        .flags(&["-g", "-pthread", "-fno-builtin", "-O1"])
        .build();
    // Under a tracer nobody else may stop the threads.
    let outcome = Run::plain(Source::c("tracer").build())
        .env("SKIP_HEAP_LEAK_CHECK", "1")
        .arg(library())
        .arg(&program)
        .arg("moving_threads")
        .succeed();
    let said = "leak check: the program's other threads kept running";
    assert!(outcome.stderr.contains(said), "{outcome:?}");
    assert!(
        outcome.stderr.contains(": 0 bytes in 0 blocks"),
        "{outcome:?}"
    );
}

/// What the library alone says of a program's leaks.
fn said_of(program: &Path) -> String {
    let run = Run::preloaded(program).env("SKIP_HEAP_LEAK_CHECK", "1");
    run.succeed().stderr
}

#[test]
fn what_is_allocated_and_freed_unseen_is_known_by_the_heap() {
    let program = Source::c("unseen")
        .flags(&["-g", "-O1", "-fno-builtin"])
        .build();
    let said = said_of(&program);
    // One block of the program's own is lost, and nothing else.
    assert!(
        said.contains(": 333 bytes in 1 block from 1 stack"),
        "{said}"
    );
}

#[test]
fn a_malloc_of_the_program_s_own_is_not_passed_over_in_silence() {
    let program = Source::c("own_malloc")
        .flags(&["-g", "-O1", "-fno-builtin"])
        .build();
    let said = said_of(&program);
    let note = "leak check: blocks from functions that are hooked by name are not checked";
    assert!(said.contains(note), "{said}");
}

#[test]
fn a_check_that_cannot_work_does_not_pass() {
    let own = Source::c("own_malloc")
        .flags(&["-g", "-O1", "-fno-builtin"])
        .build();
    let (run, _folder) = checked(None);
    let outcome = run
        .args(&["-q", "--leak-exit-code", "23"])
        .arg(own)
        .finish();
    assert_eq!(outcome.status.code(), Some(125), "{outcome:?}");
    let said = "--leak-exit-code: no leaks were found, but they could not all be looked for";
    assert!(outcome.stderr.contains(said), "{outcome:?}");
    // Here all blocks can be found.
    let clean = Source::c("unleaky").flags(&["-g", "-O1"]).build();
    let (run, _folder) = checked(None);
    let outcome = run
        .args(&["-q", "--leak-exit-code", "23"])
        .arg(&clean)
        .succeed();
    assert!(!outcome.stderr.contains("leak"), "{outcome:?}");
    let jemalloc = Path::new("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2");
    if jemalloc.exists() {
        let (run, _folder) = checked(None);
        let outcome = run
            .env("LD_PRELOAD", jemalloc)
            .args(&["-q"])
            .arg(&clean)
            .succeed();
        let said = "leaks may have been missed: ";
        assert!(outcome.stderr.contains(said), "{outcome:?}");
    }
}

/// The leaks of the fixture in a format, as `[direct bytes, direct blocks, indirect bytes, indirect blocks]`.
fn leaks_in(folder: &Path, name: &str, sum: &str) -> Vec<u64> {
    let script = format!("import csv,json,sys\npath=sys.argv[1]\nprint(*({sum}))");
    let path = folder.join(name);
    let path = path.to_str().expect("text");
    let text = output_of("python3", &["-c", &script, path]);
    let numbers = text.split_whitespace();
    numbers.map(|n| n.parse().expect("a number")).collect()
}

#[test]
fn every_format_has_the_same_leaks() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    Run::plain(tool())
        .args(&["-q", "--leak-check", "-o"])
        .arg(path("run.skipheap"))
        .arg(fixture("-O1"))
        .succeed();
    let report = |options: &[&str], name: &str, input: &str| {
        Run::plain(tool())
            .args(&["report", "-q"])
            .args(options)
            .arg("-o")
            .arg(path(name))
            .arg(path(input))
            .succeed();
    };
    // The sum of one run is that run.
    Run::plain(tool())
        .args(&["merge", "-q", "-o"])
        .arg(path("merged.skipheap"))
        .arg(path("run.skipheap"))
        .succeed();
    report(&[], "out.json", "run.skipheap");
    report(&[], "merged.json", "merged.skipheap");
    report(&["--columns", "all"], "out.csv", "run.skipheap");
    let names = [
        "direct_bytes",
        "direct_blocks",
        "indirect_bytes",
        "indirect_blocks",
    ];
    let names = format!("{names:?}");
    let of_json = format!("[sum(l[k] for l in json.load(open(path))['leaks']) for k in {names}]");
    let in_json = leaks_in(folder.path(), "out.json", &of_json);
    assert_eq!(in_json[0] + in_json[2], 333_060, "{in_json:?}");
    assert_eq!(in_json[1] + in_json[3], 34, "{in_json:?}");
    assert!(in_json[3] > 0, "{in_json:?}");
    assert_eq!(leaks_in(folder.path(), "merged.json", &of_json), in_json);
    let columns = [
        "directly leaked bytes",
        "directly leaked blocks",
        "indirectly leaked bytes",
        "indirectly leaked blocks",
    ];
    let of_csv =
        format!("[sum(int(r[k]) for r in csv.DictReader(open(path))) for k in {columns:?}]");
    assert_eq!(leaks_in(folder.path(), "out.csv", &of_csv), in_json);
    // What is known is in no report.
    let known = path("known");
    fs::write(&known, "leak:programs/leaks.c\n").expect("written");
    let known = known.to_str().expect("text").to_owned();
    report(&["--suppressions", &known], "known.json", "run.skipheap");
    assert_eq!(leaks_in(folder.path(), "known.json", &of_json), [0; 4]);
    report(
        &["--suppressions", &known, "--columns", "all"],
        "known.csv",
        "run.skipheap",
    );
    assert_eq!(leaks_in(folder.path(), "known.csv", &of_csv), [0; 4]);
}

#[test]
fn suppressions_that_are_printed_leave_out_all_leaks() {
    let (run, folder) = checked(None);
    let outcome = run
        .args(&["-q", "--gen-suppressions"])
        .arg(fixture("-O1"))
        .succeed();
    assert!(outcome.stderr.contains("\nleak:^"), "{outcome:?}");
    let known = folder.path().join("generated");
    fs::write(&known, &outcome.stderr).expect("written");
    Run::plain(tool())
        .args(&["--leak-exit-code", "23", "--suppressions"])
        .arg(&known)
        .arg(fixture("-O1"))
        .succeed();
}

#[test]
fn as_many_stacks_are_listed_as_are_wanted() {
    let (run, _folder) = checked(None);
    let outcome = run.args(&["--top", "2"]).arg(fixture("-O1")).succeed();
    assert!(
        outcome.stderr.contains("… and 4 more stacks\n"),
        "{outcome:?}"
    );
}

#[test]
fn valgrind_finds_the_same_leaks_in_real_programs() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (source, assembly, object) = (path("a.cpp"), path("a.s"), path("a.o"));
    let text = "#include <map>\n#include <string>\n\
                int f(int n) { std::map<std::string, int> m; m[std::to_string(n)] = n; return m.size(); }\n";
    fs::write(&source, text).expect("written");
    output_of("g++", &["-O1", "-S", "-o", &assembly, &source]);
    let script =
        "my %h; $h{$_ % 1000} .= 'x' x ($_ % 50) for 1..20000; print scalar(keys %h), \"\\n\"";
    let mut all = 0;
    for (program, arguments) in [
        ("/usr/bin/as", &["-o", &object, &assembly][..]),
        ("/usr/bin/perl", &["-e", script]),
        (
            "/usr/bin/sqlite3",
            &[":memory:", "create table t(a); insert into t values(1);"],
        ),
        (
            "/usr/bin/jq",
            &["-n", "[range(3000)] | map(tostring) | length"],
        ),
    ] {
        let expected = lost_by_valgrind(program, arguments);
        let (found, outcome) = lost(program, arguments);
        assert_eq!(found, expected, "{program}: {outcome:?}");
        let [(_, direct), (_, indirect)] = found;
        all += direct + indirect;
    }
    assert!(all > 100, "{all} leaks in all are no test");
}
