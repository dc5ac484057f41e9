//! Beginnings and ends that are no ordinary ones: exit in a handler, by a system call alone, anew from
//! an exit handler; allocators of the program's own.

use super::same_as_plain;
use crate::support::{Outcome, Report, Run, Source, library, tool};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The fixture.
fn program() -> PathBuf {
    Source::c("torture_ends").build()
}

/// The fixture with an allocator that may be called in a signal handler, whatever that interrupted.
fn with_reentrant_allocator() -> PathBuf {
    let allocator = Source::c_library("other_allocator").build();
    let folder = allocator.parent().expect("the folder of the library");
    Source::c("torture_ends")
        .flags(&[
            "-Wl,--no-as-needed".to_owned(),
            allocator.display().to_string(),
            format!("-Wl,-rpath,{}", folder.display()),
        ])
        .build()
}

/// Runs the fixture plain and profiled; it must end with its own status.
fn ended(how: &str) -> Outcome {
    let outcome = same_as_plain(|run| run.arg(how), &program());
    assert_eq!(outcome.status.code(), Some(7), "{outcome:?}");
    outcome
}

/// A page in which the program counts.
fn counter(folder: &Path) -> PathBuf {
    let path = folder.join("count");
    fs::write(&path, [0; 4096]).expect("the counter");
    path
}

/// What it has counted.
fn counted(path: &Path) -> u64 {
    let bytes = fs::read(path).expect("the counter");
    u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
}

/// The only recording that a run has left behind, as a report.
fn left_recording(folder: &Path) -> Report {
    let names: Vec<PathBuf> = fs::read_dir(folder)
        .expect("TMPDIR")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "skipheap-rec"))
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
    let run = Run::plain(tool()).args(&["report", "-q", "-o", "-"]);
    Report::parse(run.arg(&names[0]).succeed().stdout)
}

/// Before the C library is ready, nobody can know whether the program is to be profiled.
#[test]
fn what_allocates_before_all_constructors_is_said_to_be_missing() {
    let outcome = same_as_plain(
        |run| run.arg("return"),
        &Source::c("torture_ends").flags(&["-DPREINIT"]).build(),
    );
    let report = outcome.reports().remove(0);
    assert_eq!(report.calls_by("early"), 0, "{}", report.text);
    assert_eq!(report.calls_by("ask"), 100, "{}", report.text);
    let line = "heap profiler: 2 allocations not recorded: made before the C library was ready";
    assert!(outcome.stderr.lines().any(|l| l == line), "{outcome:?}");
}

/// The handler interrupts an allocation at any instruction. The one that it interrupts may be
/// counted or not.
#[test]
fn an_exit_in_a_signal_handler_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = with_reentrant_allocator();
    for (how, at_exit) in [("exit-in-handler", 3), ("_exit-in-handler", 0)] {
        for round in 1..=30 {
            let path = counter(folder.path());
            let time = (round * 137).to_string();
            let outcome = Run::preloaded(&program)
                .args(&[how, &time])
                .arg(&path)
                .finish();
            assert_eq!(outcome.status.code(), Some(7), "{outcome:?}");
            let (report, done) = (outcome.report(), 100 + counted(&path));
            let asked = report.calls_by("ask");
            assert!((done..=done + 1).contains(&asked), "{done}, {asked}");
            assert_eq!(report.calls_by("late"), at_exit, "{}", report.text);
        }
    }
}

#[test]
fn an_exit_handler_that_exits_anew_is_counted() {
    let outcome = same_as_plain(|run| run.arg("exit-in-exit"), &program());
    assert_eq!(outcome.status.code(), Some(9), "{outcome:?}");
    let report = outcome.report();
    assert_eq!(report.calls_by("ask"), 100, "{}", report.text);
    assert_eq!(report.calls_by("late"), 3, "{}", report.text);
}

/// Nothing of ours runs: the recording stays, and the tool reads it.
#[test]
fn an_end_by_a_system_call_leaves_the_recording() {
    let outcome = ended("exit_group");
    assert!(outcome.report_paths().is_empty(), "{outcome:?}");
    assert_eq!(left_recording(&outcome.tmp()).calls_by("ask"), 100);
}

#[test]
fn a_process_whose_first_thread_has_ended_is_recorded_to_its_end() {
    let outcome = same_as_plain(|run| run.arg("main-exits-alone"), &program());
    let report = left_recording(&outcome.tmp());
    assert!(report.calls_by("ask") > 100, "{}", report.text);
}

#[test]
fn an_abort_that_is_jumped_out_of_changes_nothing() {
    assert_eq!(ended("abort-and-on").report().calls_by("ask"), 110);
}

#[test]
fn a_stopped_process_goes_on() {
    for preloaded in [false, true] {
        let run = if preloaded {
            Run::preloaded
        } else {
            Run::plain
        };
        let mut running = run(program()).arg("stop").start();
        running.wait_for_output("ready");
        // It stops itself a moment later; a process that is not stopped yet ignores the signal, so
        // it is sent until the end.
        let stat = format!("/proc/{}/stat", running.pid());
        let stopped = || fs::read_to_string(&stat).is_ok_and(|text| text.contains(") T "));
        let deadline = Instant::now() + Duration::from_secs(60);
        while !stopped() {
            assert!(Instant::now() < deadline, "it does not stop itself");
            std::thread::yield_now();
        }
        running.signal(libc::SIGCONT);
        let outcome = running.finish();
        assert_eq!(outcome.status.code(), Some(7), "{outcome:?}");
        if preloaded {
            assert_eq!(outcome.report().calls_by("ask"), 110, "{outcome:?}");
        }
    }
}

/// The executable's own `malloc` comes before ours; it is hooked at its entry.
#[test]
fn a_program_that_defines_malloc_itself_is_counted_whatever_its_end() {
    let program = Source::c("torture_ends")
        .flags(&["other_allocator.c"])
        .named("torture_own_malloc")
        .build();
    for (how, status, late) in [("return", 7, 0), ("exit-in-exit", 9, 3)] {
        let outcome = same_as_plain(|run| run.arg(how), &program);
        assert_eq!(outcome.status.code(), Some(status), "{outcome:?}");
        let report = outcome.report();
        assert_eq!(report.calls_by("ask"), 100, "{}", report.text);
        assert_eq!(report.calls_by("late"), late, "{}", report.text);
    }
}

/// Preloaded twice by the same name it is one library.
#[test]
fn preloaded_twice_it_counts_once() {
    let outcome = same_as_plain(
        |run| {
            let twice = format!("{0}:{0}", library().display());
            run.env("LD_PRELOAD", twice).arg("return")
        },
        &program(),
    );
    assert_eq!(outcome.report().calls_by("ask"), 100, "{outcome:?}");
}
