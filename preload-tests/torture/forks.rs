//! Processes that make processes: fork wherever it is allowed, vfork, clone, spawn, daemons, exec.

use super::same_as_plain;
use crate::support::{Outcome, Report, Run, Source, tool};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The fixture.
fn program() -> PathBuf {
    Source::c("torture_forks").build()
}

/// The fixture with an allocator that may be called in a signal handler, whatever that interrupted.
fn with_reentrant_allocator() -> PathBuf {
    let allocator = Source::c_library("other_allocator").build();
    let folder = allocator.parent().expect("the folder of the library");
    Source::c("torture_forks")
        .flags(&[
            "-Wl,--no-as-needed".to_owned(),
            allocator.display().to_string(),
            format!("-Wl,-rpath,{}", folder.display()),
        ])
        .build()
}

/// The reports of a run: of the process that ran `main`, and of all others.
fn parent_and_others(outcome: &Outcome) -> (Report, Vec<Report>) {
    let of_parent = |report: &Report| report.calls_by("work") + report.calls_by("ask") >= 100;
    let (mut parents, others): (Vec<_>, Vec<_>) =
        outcome.reports().into_iter().partition(of_parent);
    assert_eq!(parents.len(), 1, "{outcome:?}");
    (parents.remove(0), others)
}

/// How often the program says that it asked.
fn asked(outcome: &Outcome) -> u64 {
    let text = fs::read_to_string(outcome.tmp().join("asked")).expect("the program's own count");
    text.trim().parse().expect("a number")
}

/// Runs the fixture plain and profiled; the parent's count must be what it says itself, and each of
/// the `children` must have asked `each` times.
fn forked(program: &Path, arguments: &[&str], children: usize, each: u64) -> Outcome {
    let outcome = same_as_plain(|run| run.args(arguments), program);
    assert_eq!(outcome.status.code(), Some(7), "{outcome:?}");
    let (parent, others) = parent_and_others(&outcome);
    assert_eq!(parent.calls_by("ask"), asked(&outcome), "{arguments:?}");
    assert_eq!(parent.calls_by("child_ask"), 0, "{arguments:?}");
    assert_eq!(others.len(), children, "{outcome:?}");
    for child in others {
        assert_eq!(child.calls_by("child_ask"), each, "{}", child.text);
    }
    outcome
}

/// The files of a folder whose names end so.
fn with_suffix(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("TMPDIR");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .filter(|path| path.extension().is_some_and(|e| e == suffix))
        .collect()
}

/// What a recording says that was left behind.
fn of_recording(recording: &Path) -> Report {
    let run = Run::plain(tool()).args(&["report", "-q", "-o", "-"]);
    Report::parse(run.arg(recording).succeed().stdout)
}

/// Waits for what a process that outlives the run is about to do.
fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn each_fork_from_one_of_many_allocating_threads_is_counted_exactly() {
    forked(&program(), &["threads", "100"], 100, 10);
}

/// A thousand forks under the tool, which sums up.
#[test]
fn a_thousand_forks_from_one_of_many_allocating_threads_are_counted_exactly() {
    let folder = tempfile::tempdir().expect("a folder");
    let csv = folder.path().join("all.csv");
    let outcome = Run::plain(tool())
        .args(&["--merge", "-o"])
        .arg(&csv)
        .arg(program())
        .args(&["threads", "1000"])
        .finish();
    assert_eq!(outcome.status.code(), Some(7), "{outcome:?}");
    let report = Report::read(&csv);
    assert_eq!(report.calls_by("ask"), asked(&outcome), "{outcome:?}");
    assert_eq!(report.calls_by("child_ask"), 10_000, "{outcome:?}");
}

#[test]
fn forks_in_a_signal_handler_are_counted_exactly() {
    forked(&with_reentrant_allocator(), &["handler", "200"], 200, 3);
}

/// The child leaves the handler and goes on in the middle of the allocation that was interrupted,
/// although nothing is left of what the profiler knew about the parent's threads.
#[test]
fn a_child_that_was_forked_in_a_handler_may_go_on_where_that_interrupted() {
    forked(
        &with_reentrant_allocator(),
        &["handler-goes-on", "300"],
        300,
        5,
    );
}

#[test]
fn it_may_do_so_without_an_allocation_of_its_own_before() {
    forked(
        &with_reentrant_allocator(),
        &["handler-goes-on-at-once", "300"],
        300,
        2,
    );
}

#[test]
fn two_hundred_children_of_vfork_from_one_of_many_threads_are_counted_exactly() {
    forked(&program(), &["threads-vfork", "200"], 200, 5);
}

#[test]
fn spawned_programs_are_counted_exactly() {
    forked(&program(), &["spawn", "30"], 30, 5);
}

#[test]
fn raw_system_calls_that_fork_are_seen() {
    forked(&program(), &["raw-clone"], 1, 10);
}

/// The function returns into the C library's `clone`, which ends the process by a system call:
/// nothing of ours runs, so the child's recording stays, with the exact count.
#[test]
fn a_child_of_clone_that_ends_without_the_c_library_leaves_its_recording() {
    let outcome = forked(&program(), &["clone"], 0, 0);
    let left = with_suffix(&outcome.tmp(), "skipheap-rec");
    assert_eq!(left.len(), 1, "{left:?}");
    let report = of_recording(&left[0]);
    assert_eq!(report.calls_by("child_ask"), 10, "{}", report.text);
    assert_eq!(report.calls(), 10, "{}", report.text);
}

/// A child that shares its parent's memory counts there: it cannot be told from a thread.
#[test]
fn a_child_in_the_same_memory_counts_in_its_parent() {
    for how in ["vfork", "clone-vm", "clone-vm-vfork"] {
        let outcome = same_as_plain(|run| run.arg(how), &program());
        let report = outcome.report();
        assert_eq!(report.calls_by("ask"), 100, "{how}: {}", report.text);
        assert_eq!(report.calls_by("child_ask"), 10, "{how}: {}", report.text);
    }
}

/// Waits until there are `count` reports in the folder and no recording is left, and reads them.
fn reports_in_time(folder: &Path, count: usize) -> Vec<Report> {
    until("the reports", || {
        let reports = with_suffix(folder, "csv");
        let done = with_suffix(folder, "skipheap-rec").is_empty() && reports.len() == count;
        done.then(|| reports.iter().map(|path| Report::read(path)).collect())
    })
}

#[test]
fn a_daemon_that_closes_all_descriptors_is_counted_and_keeps_its_log_clean() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let outcome = same_as_plain(|run| run.arg("daemon").arg(&log), &program());
    // The process that was started, the one between, and the daemon; the one between asked for
    // nothing.
    let reports = reports_in_time(&outcome.tmp(), 2);
    let calls = |name| -> Vec<u64> { reports.iter().map(|r| r.calls_by(name)).collect() };
    assert_eq!(calls("ask").iter().sum::<u64>(), 100, "{reports:?}");
    assert_eq!(calls("child_ask").iter().sum::<u64>(), 100, "{reports:?}");
    assert!(!calls("ask").contains(&200), "{reports:?}");
    // Of the plain run, whose daemon may be the last, and of this one, and not a line of ours.
    let wanted = ["the daemon's own line\n"; 2].concat();
    let found = until("the daemons' lines", || {
        let text = fs::read_to_string(&log).expect("the log");
        (text.len() >= wanted.len()).then_some(text)
    });
    assert_eq!(found, wanted);
}

/// `daemon` ends its caller inside the C library, where nothing of ours runs: the recording stays.
#[test]
fn a_daemon_of_the_c_library_is_counted_and_its_parents_recording_stays() {
    let outcome = same_as_plain(|run| run.arg("daemon-of-libc"), &program());
    let path = until("the daemon's end", || {
        let reports = with_suffix(&outcome.tmp(), "csv");
        let ended = with_suffix(&outcome.tmp(), "skipheap-rec").len() == 1;
        reports.first().filter(|_| ended).cloned()
    });
    let daemon = Report::read(&path);
    assert_eq!(daemon.calls_by("child_ask"), 100, "{}", daemon.text);
    let left = with_suffix(&outcome.tmp(), "skipheap-rec");
    assert_eq!(of_recording(&left[0]).calls_by("ask"), 100);
}

#[test]
fn a_child_that_outlives_its_parent_is_counted_to_its_end() {
    let outcome = same_as_plain(|run| run.arg("outlived"), &program());
    let reports = reports_in_time(&outcome.tmp(), 2);
    let child = reports.iter().find(|r| r.calls_by("child_ask") > 0);
    assert_eq!(child.expect("the child's").calls_by("child_ask"), 107);
}

#[test]
fn an_exec_that_fails_changes_nothing() {
    let outcome = same_as_plain(|run| run.arg("exec-fails"), &program());
    let report = outcome.report();
    assert_eq!(report.calls_by("ask"), 200, "{}", report.text);
}

/// Without the library's name in its environment a program is not profiled, and the one before it
/// leaves its recording.
#[test]
fn an_exec_with_a_scrubbed_environment_leaves_the_recording() {
    for how in ["scrubbed", "cleared"] {
        let outcome = forked(&program(), &[how], 0, 0);
        let left = with_suffix(&outcome.tmp(), "skipheap-rec");
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(of_recording(&left[0]).calls_by("child_ask"), 10);
    }
}

/// The tool says that there is one whose end it did not see.
#[test]
fn the_tool_names_the_process_that_it_lost_by_a_scrubbed_environment() {
    let folder = tempfile::tempdir().expect("a folder");
    let csv = folder.path().join("all.csv");
    let run = Run::plain(tool()).args(&["--merge", "-o"]).arg(&csv);
    let outcome = run.arg(program()).arg("scrubbed").finish();
    assert_eq!(outcome.status.code(), Some(7), "{outcome:?}");
    let report = Report::read(&csv);
    assert_eq!(report.calls_by("ask"), 100, "{}", report.text);
    assert_eq!(report.calls_by("child_ask"), 10, "{}", report.text);
    let note = "note: the end of 1 process (torture_forks ";
    assert!(outcome.stderr.contains(note), "{outcome:?}");
}

#[test]
fn a_chain_of_programs_is_counted_to_its_end() {
    let outcome = same_as_plain(|run| run.args(&["chain", "20"]), &program());
    assert_eq!(outcome.status.code(), Some(3), "{outcome:?}");
    let counts: Vec<u64> = outcome
        .reports()
        .iter()
        .map(|report| report.calls_by("child_ask"))
        .collect();
    assert_eq!(counts, [1; 21], "{outcome:?}");
}

#[test]
fn an_exec_with_an_edited_environment_is_profiled_by_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let other = folder.path().to_string_lossy().into_owned();
    // Plain, there is no LD_PRELOAD to hand on.
    let outcome = same_as_plain(
        |run| run.env("ZZ", "").args(&["edited", &other]),
        &program(),
    );
    let successor = reports_in_time(folder.path(), 1).remove(0);
    assert_eq!(successor.calls_by("child_ask"), 5, "{outcome:?}");
}

/// The settings were read at the start, and are kept.
#[test]
fn a_program_that_clears_its_own_environment_is_still_reported() {
    forked(&program(), &["own-environment-cleared"], 1, 10);
}

#[test]
fn an_exec_by_a_thread_is_reported_by_its_successor() {
    let outcome = same_as_plain(|run| run.arg("exec-in-thread"), &program());
    assert_eq!(outcome.status.code(), Some(3), "{outcome:?}");
    let calls: Vec<(u64, u64)> = outcome
        .reports()
        .iter()
        .map(|report| (report.calls_by("ask"), report.calls_by("child_ask")))
        .collect();
    assert_eq!(calls, [(110, 0), (0, 5)], "{outcome:?}");
}

#[test]
fn handlers_of_atfork_are_counted_on_their_side() {
    let outcome = forked(&program(), &["atfork"], 10, 10);
    let (parent, others) = parent_and_others(&outcome);
    assert_eq!(parent.calls_by("handler_ask"), 30, "{}", parent.text);
    for child in others {
        assert_eq!(child.calls_by("handler_ask"), 3, "{}", child.text);
    }
}

/// Each generation is forked by the one before. Memory does not add up: the limit leaves room for a
/// few recordings, not for forty.
#[test]
fn forty_generations_are_counted_exactly() {
    let outcome = same_as_plain(
        |run| {
            run.args(&["generations", "40"])
                .limit(libc::RLIMIT_AS, 256 << 20)
        },
        &program(),
    );
    let mut counts: Vec<u64> = outcome
        .reports()
        .iter()
        .map(|report| report.calls_by("child_ask"))
        .collect();
    counts.sort_unstable();
    assert_eq!(counts[..1], [1], "{counts:?}");
    assert_eq!(counts[1..], [2; 40], "{counts:?}");
}
