//! Exact counts with threads, and memory with many of them.

use crate::support::{Outcome, Run, Source, tool};
use std::collections::BTreeMap;
use std::path::Path;

fn arguments(how: &str, threads: u64, allocations: u64) -> [String; 3] {
    [how.to_owned(), threads.to_string(), allocations.to_string()]
}

/// Runs the fixture and checks the count.
fn counted(how: &str, threads: u64, allocations: u64) -> Outcome {
    let outcome = Run::preloaded(Source::c("threads").build())
        .args(&arguments(how, threads, allocations))
        .succeed();
    let report = outcome.report();
    assert_eq!(
        report.calls_by("ask"),
        threads * allocations,
        "{how} {threads}: {}",
        report.text
    );
    // All threads in one row: the same four functions, whichever thread ran them.
    assert_eq!(report.rows_by("ask").len(), 1, "{}", report.text);
    outcome
}

#[test]
fn threads_that_allocate_at_the_same_time_are_counted_exactly() {
    for (threads, allocations) in [(1, 100_000), (2, 200_000), (8, 50_000), (200, 2000)] {
        counted("together", threads, allocations);
    }
}

#[test]
fn threads_that_end_by_pthread_exit_are_counted_exactly() {
    counted("pthread_exit", 50, 1000);
}

#[test]
fn detached_threads_are_counted_exactly() {
    counted("detached", 50, 1000);
}

#[test]
fn threads_that_still_run_at_exit_are_counted() {
    counted("endless", 20, 1000);
}

#[test]
fn threads_that_still_allocate_at_exit_do_no_harm() {
    for _ in 0..20 {
        let outcome = Run::preloaded(Source::c("threads").build())
            .args(&arguments("busy", 4, 1000))
            .succeed();
        let report = outcome.reports().remove(0);
        assert_eq!(report.calls_by("ask"), 4000, "{outcome:?}");
        assert!(report.calls_by("ask_for_ever") > 0, "{outcome:?}");
    }
}

#[test]
fn ten_thousand_threads_in_turn_are_counted_exactly_in_bounded_memory() {
    let profiled = counted("in-turn", 10_000, 10);
    let plain = Run::plain(Source::c("threads").build())
        .args(&arguments("in-turn", 10_000, 10))
        .succeed();
    let (with, without) = (profiled.peak(), plain.peak());
    assert!(with < without + 30 * 1024, "{with} kB, plain {without} kB");
}

#[test]
fn the_profilers_memory_follows_the_threads_alive() {
    // Two hundred at once are allowed more than one, but each only a small part.
    let profiled = counted("together", 200, 10);
    let plain = Run::plain(Source::c("threads").build())
        .args(&arguments("together", 200, 10))
        .succeed();
    let (with, without) = (profiled.peak(), plain.peak());
    assert!(
        with < without + 30 * 1024 + 200 * 300,
        "{with} kB, plain {without} kB"
    );
}

#[test]
fn allocations_of_key_destructors_are_counted() {
    // glibc calls a destructor that sets its key again PTHREAD_DESTRUCTOR_ITERATIONS times.
    let outcome = counted("key", 100, 10);
    assert_eq!(outcome.report().calls_by("at_thread_end"), 400);
}

#[test]
fn allocations_of_thread_local_objects_are_counted() {
    let report = Run::preloaded(Source::cpp("thread_local").build())
        .succeed()
        .report();
    assert_eq!(report.calls_by("Object::Object()"), 50, "{}", report.text);
    assert_eq!(report.calls_by("Object::~Object()"), 50, "{}", report.text);
}

/// The calls of `take` by the name of the thread, as the CSV with all columns has them.
fn by_name(csv: &Path) -> BTreeMap<String, u64> {
    let mut reader = ::csv::Reader::from_path(csv).expect("a report");
    let headers = reader.headers().expect("its columns").clone();
    let column = |name: &str| {
        headers
            .iter()
            .position(|header| header == name)
            .expect(name)
    };
    let [function, calls, thread] = ["pc0", "call count", "thread"].map(column);
    let mut names = BTreeMap::new();
    for record in reader.records() {
        let record = record.expect("a row");
        if &record[function] == "take" {
            let calls: u64 = record[calls].parse().expect("a number");
            *names.entry(record[thread].to_owned()).or_default() += calls;
        }
    }
    names
}

/// Runs the fixture with the tool and these options; the calls of `take` by the name of the thread.
fn named_with(options: &[&str], arguments: &[&str]) -> BTreeMap<String, u64> {
    let folder = tempfile::tempdir().expect("a folder");
    let csv = folder.path().join("report.csv");
    let program = Source::c("thread_names").build();
    Run::plain(tool())
        .args(&["-q", "--columns", "all", "-o"])
        .arg(&csv)
        .args(options)
        .arg(program)
        .args(arguments)
        .finish();
    by_name(&csv)
}

/// What is recorded in each of the ways that keep counts of their own kind.
const WAYS: [&[&str]; 3] = [&[], &["--live"], &["--live", "--stack-depth", "full"]];

fn calls(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
    of.iter().map(|&(name, n)| (name.to_owned(), n)).collect()
}

#[test]
fn each_call_has_the_name_of_its_thread() {
    let wanted = calls(&[("alpha", 10), ("beta", 100), ("gamma", 1000)]);
    for how in ["in-turn", "by-others", "renamed", "raw", "killed", "leaks"] {
        for way in WAYS {
            assert_eq!(named_with(way, &[how]), wanted, "{how} {way:?}");
        }
    }
    // The report at exit, without the tool.
    let outcome = Run::preloaded(Source::c("thread_names").build())
        .arg("in-turn")
        .env("SKIP_HEAP_COLUMNS", "all")
        .succeed();
    assert_eq!(by_name(&outcome.report_paths()[0]), wanted);
}

#[test]
fn threads_of_one_name_are_one_and_those_without_a_name_are_told_apart() {
    for way in WAYS {
        assert_eq!(named_with(way, &["pool"]), calls(&[("worker", 80)]));
        let of_functions = [("first_function", 40), ("second_function", 600)];
        let wanted = of_functions.map(|(name, n)| (format!("thread_names ({name})"), n));
        assert_eq!(named_with(way, &["unnamed"]), wanted.into());
    }
}

#[test]
fn a_child_of_fork_has_the_name_of_the_thread_that_forked() {
    assert_eq!(
        named_with(&["--merge"], &["fork"]),
        calls(&[("alpha", 110)])
    );
}

#[test]
fn names_of_threads_are_the_same_in_a_profile() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("report.json");
    Run::plain(tool())
        .args(&["-q", "--live", "-o"])
        .arg(&json)
        .arg(Source::c("thread_names").build())
        .arg("in-turn")
        .succeed();
    let text = std::fs::read_to_string(json).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut found = BTreeMap::new();
    for site in report["sites"].as_array().expect("sites") {
        if site["names"][0] == "take" {
            let thread = site["thread"].as_str().expect("a name");
            let [calls, frees] = ["calls", "frees"].map(|name| site[name].as_u64().expect(name));
            assert_eq!(calls, frees, "{thread}");
            *found.entry(thread.to_owned()).or_default() += calls;
        }
    }
    let wanted = calls(&[("alpha", 10), ("beta", 100), ("gamma", 1000)]);
    assert_eq!(found, wanted);
}

#[test]
fn memory_follows_the_names_and_not_the_threads_that_had_them() {
    let program = Source::c("thread_names").build();
    let peak = |run: Run, how: &str| run.args(&[how, "10000"]).succeed().peak();
    let plain = peak(Run::plain(&program), "distinct");
    for (how, most) in [("same", 8 * 1024), ("distinct", 8 * 1024 + 10_000)] {
        let live = peak(Run::preloaded(&program).env("SKIP_HEAP_LIVE", "1"), how);
        assert!(live < plain + most, "{how}: {live} kB, plain {plain} kB");
    }
    let names = named_with(&[], &["distinct", "10000"]);
    assert_eq!(names.len(), 10_000);
    assert!(names.values().all(|&calls| calls == 10));
    assert_eq!(
        named_with(&[], &["same", "10000"]),
        calls(&[("test-0", 100_000)])
    );
}
