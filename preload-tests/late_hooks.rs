//! Hooks by name on functions of libraries that `dlopen` brings.

use crate::support::{Report, Run, Source, tool};
use std::path::PathBuf;

/// A library whose functions begin with `name` and whose allocations have `size` bytes.
fn pool(name: &str, room: u32, size: u64) -> PathBuf {
    Source::named_library("late_pool", name, room, size)
}

const HOOKS: &str = "*_take(size=arg0); *_take_array(size=arg0*arg1)";
const THREADS: u64 = 3;
const CALLS: u64 = 50;

/// The program that loads `libraries`, with its arguments.
fn late(run: Run, rounds: i64, libraries: &[PathBuf]) -> Run {
    run.arg(rounds.to_string())
        .arg(THREADS.to_string())
        .arg(CALLS.to_string())
        .args(libraries)
}

fn load(rounds: i64, libraries: &[PathBuf]) -> Run {
    late(Run::preloaded(Source::c("late").build()), rounds, libraries).env("SKIP_HEAP_HOOKS", HOOKS)
}

fn assert_rows(report: &Report, name: &str, size: u64, rounds: u64) {
    let take = format!("{name}_take");
    for (caller, size, calls) in [
        (format!("{name}_start"), 5, rounds),
        (format!("{name}_end"), 6, rounds),
        ("work".to_owned(), size, rounds * THREADS * CALLS),
        ("work".to_owned(), 3 * size, rounds * THREADS * CALLS),
    ] {
        let rows = report.rows_by(&caller);
        let found: u64 = rows
            .iter()
            .filter(|r| r.size == size)
            .map(|r| r.calls)
            .sum();
        assert_eq!(found, calls, "{caller} {size}\n{}", report.text);
    }
    // The nested call is no allocation of its own.
    assert_eq!(
        report.calls_by(&format!("{take}_array")),
        0,
        "{}",
        report.text
    );
}

#[test]
fn functions_of_a_library_that_comes_later_are_hooked_while_threads_run() {
    let outcome = load(1, &[pool("alpha", 16, 100)]).succeed();
    assert_rows(&outcome.reports()[0], "alpha", 100, 1);
}

#[test]
fn two_libraries_in_turn_at_the_same_address_are_told_apart() {
    // Where libraries go is the kernel's choice, and what else is mapped meanwhile may take the place.
    let used_again = (0..20).any(|_| {
        let outcome = load(5, &[pool("alpha", 16, 100), pool("beta", 16, 2000)]).succeed();
        assert_rows(&outcome.reports()[0], "alpha", 100, 5);
        assert_rows(&outcome.reports()[0], "beta", 2000, 5);
        let addresses: Vec<&str> = outcome.stdout.lines().take(2).collect();
        addresses[0] == addresses[1]
    });
    assert!(
        used_again,
        "the loader did not use the address again, so this test shows nothing"
    );
}

#[test]
fn hooking_and_unloading_a_thousand_times_grows_nothing() {
    let libraries = [pool("alpha", 16, 100), pool("beta", 4000, 200)];
    let few = load(10, &libraries).succeed();
    let many = load(500, &libraries).succeed();
    assert_rows(&many.reports()[0], "alpha", 100, 500);
    assert_rows(&many.reports()[0], "beta", 200, 500);
    assert!(
        many.peak() < few.peak() + 8 * 1024,
        "{} kB after 10 rounds, {} kB after 500",
        few.peak(),
        many.peak()
    );
}

#[test]
fn a_child_of_fork_hooks_what_it_loads() {
    let outcome = load(-20, &[pool("alpha", 16, 100), pool("beta", 16, 2000)]).succeed();
    let reports = outcome.reports();
    let child = reports
        .iter()
        .find(|report| report.calls_by("work") != 0)
        .expect("the child's report");
    assert_rows(child, "alpha", 100, 20);
    assert_rows(child, "beta", 2000, 20);
}

#[test]
fn the_summary_says_what_was_hooked_later_and_not_that_it_was_missing() {
    let run = Run::plain(tool()).args(&["--hook", HOOKS, "-o", "-"]);
    let run = run.args(&["--hook", "nowhere(size=1)"]);
    let run = run.arg(Source::c("late").build());
    let outcome = late(run, 3, &[pool("alpha", 16, 100)]).succeed();
    assert!(
        outcome.stderr.contains("hooked alpha_take in libalpha.so"),
        "{outcome:?}"
    );
    assert!(
        !outcome.stderr.contains("_take\": no function"),
        "{outcome:?}"
    );
    assert!(
        outcome.stderr.contains("hook \"nowhere\": no function"),
        "{outcome:?}"
    );
}
