//! The life of a process: how it ends, what allocates last, who else is preloaded.

use super::same_as_plain;
use crate::support::{Outcome, Report, Run, Source, is_musl, tool};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Calls of `ask` of every run: before the constructor of the library, and in main.
const EARLY: u64 = 13 + 100;
/// Calls of the destructor that runs behind all others.
const LAST: u64 = 11;

fn program() -> PathBuf {
    Source::c("torture_life").build()
}

fn life(how: &str) -> Outcome {
    same_as_plain(|run| run.arg(how), &program())
}

#[test]
fn what_allocates_last_is_counted() {
    for (how, late) in [
        ("return", 0),
        ("handlers-of-handlers", 5 + 7 + 9),
        ("main-thread-destructor", if is_musl() { 0 } else { 3 }),
        ("thread-destructor", 2 + 3),
    ] {
        let calls = life(how).report().calls_by("ask");
        assert_eq!(calls, EARLY + late + LAST, "{how}");
    }
}

#[test]
fn a_handler_of_a_fault_that_leaves_the_program_loses_nothing() {
    let calls = life("segv-handler").report().calls_by("ask");
    assert_eq!(calls, EARLY + 4);
}

#[test]
fn exit_while_threads_allocate_ends_as_before() {
    for _ in 0..10 {
        let calls = life("busy-exit").report().calls_by("ask");
        assert_eq!(calls, EARLY + LAST);
    }
}

/// Runs the program under the tool and reads its report.
fn under_tool(how: &[&Path]) -> (Outcome, Report) {
    let folder = tempfile::tempdir().expect("a folder");
    let csv = folder.path().join("out.csv");
    let run = Run::plain(tool()).arg("-o").arg(&csv).arg(program());
    let outcome = run.args(how).finish();
    (outcome, Report::read(&csv))
}

#[test]
fn fatal_signals_end_the_program_as_before_and_lose_nothing() {
    for how in ["abort", "term", "segv", "fpe"] {
        same_as_plain(|run| run.arg(how), &program());
        let (_, report) = under_tool(&[Path::new(how)]);
        assert_eq!(report.calls_by("ask"), EARLY, "{how}");
    }
}

/// The program counts its calls itself, in a file. At most the one that was under way may be in one
/// count and not in the other.
#[test]
fn a_kill_at_any_moment_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let counter = folder.path().join("count");
    let plain = program();
    for round in 0..100_u64 {
        fs::write(&counter, [0; 4096]).expect("the counter");
        let running = Run::preloaded(&plain)
            .env("SKIP_HEAP_KEEP", "1")
            .arg("count")
            .arg(&counter)
            .start();
        // From before the first allocation of all to well after the last new call site.
        std::thread::sleep(Duration::from_micros(round * round * 8));
        running.signal(libc::SIGKILL);
        let outcome = running.finish();
        let recordings: Vec<PathBuf> = fs::read_dir(outcome.tmp())
            .expect("the folder")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|end| end == "skipheap-rec"))
            .collect();
        let bytes = fs::read(&counter).expect("the counter");
        let done = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
        assert!(recordings.len() <= 1, "{recordings:?}");
        let counted = recordings.first().map_or(0, |recording| {
            let outcome = Run::plain(tool())
                .arg("report")
                .arg(recording)
                .args(&["-o", "-"])
                .finish();
            // A process that was killed before it had told its name has no report.
            if !outcome.status.success() {
                assert_eq!(done, 0, "{outcome:?}");
                return 0;
            }
            Report::parse(outcome.stdout)
                .by_size()
                .get(&1000)
                .copied()
                .unwrap_or(0)
        });
        assert!(
            (done..=done + 1).contains(&counted),
            "round {round}: {done} done, {counted} counted"
        );
    }
}

#[test]
fn a_library_that_prefers_its_own_symbols_does_no_harm() {
    let plugin = Source::c_library("plugin")
        .named("libtorture.so")
        .flags(&["-DNAME=torture", "-DROOM=16", "-DSIZE=77"])
        .build();
    // RTLD_DEEPBIND passes by preloaded libraries, and a namespace of its own has none.
    for how in ["deepbind", "namespace"] {
        let outcome = same_as_plain(|run| run.arg(how).arg(&plugin), &program());
        assert_eq!(outcome.report().calls_by("ask"), EARLY + LAST, "{how}");
        assert_eq!(outcome.status.code(), Some(0), "{outcome:?}");
    }
}

#[test]
fn binding_at_start_counts_the_same() {
    let outcome = same_as_plain(|run| run.env("LD_BIND_NOW", "1").arg("return"), &program());
    assert_eq!(outcome.report().calls_by("ask"), EARLY + LAST);
}

#[test]
fn listing_the_libraries_runs_nothing() {
    let list = |run: Run| run.env("LD_TRACE_LOADED_OBJECTS", "1").finish();
    let outcome = list(Run::preloaded(program()));
    assert!(outcome.status.success(), "{outcome:?}");
    assert_eq!(outcome.stderr, "");
    assert!(outcome.stdout.contains("libskipheap.so"), "{outcome:?}");
    assert!(outcome.report_paths().is_empty(), "{outcome:?}");
}

/// Allocators of Debian, preloaded too: they serve, and every call counts.
#[test]
fn preloaded_allocators_serve_and_every_call_counts() {
    for allocator in [
        "libjemalloc.so.2",
        "libtcmalloc_minimal.so.4",
        "libmimalloc.so.2",
    ] {
        let path = Path::new("/usr/lib/x86_64-linux-gnu").join(allocator);
        assert!(
            path.exists(),
            "{allocator} is not installed; scripts/test does that"
        );
        let also = |run: Run| run.also_preload(&path).arg("handlers-of-handlers");
        let outcome = same_as_plain(also, &program());
        let report = outcome.report();
        assert_eq!(report.calls_by("ask"), EARLY + 21 + LAST, "{allocator}");
    }
}
