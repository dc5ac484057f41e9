//! dlopen and dlclose: names are right on both sides of an unload.

use crate::support::{Outcome, Run, Source};
use std::path::PathBuf;

/// A plug-in whose functions begin with `name` and whose allocations have `size` bytes.
fn plugin(name: &str, room: u32, size: u64) -> PathBuf {
    Source::named_library("plugin", name, room, size)
}

fn load(rounds: u64, plugins: &[PathBuf]) -> Outcome {
    Run::preloaded(Source::c("loader").build())
        .arg(rounds.to_string())
        .args(plugins)
        .succeed()
}

fn assert_rows(outcome: &Outcome, name: &str, size: u64, calls: u64) {
    let report = outcome.report();
    let (ask, middle) = (format!("{name}_ask"), format!("{name}_middle"));
    report.assert_row([&ask, &middle, "plugin", "use"], size, calls);
    let constructor = format!("{name}_constructor");
    assert_eq!(report.calls_by(&constructor), calls, "{}", report.text);
    assert_eq!(report.calls_by(&ask), calls, "{}", report.text);
}

#[test]
fn a_library_that_was_closed_keeps_its_names() {
    let outcome = load(1, &[plugin("alpha", 16, 100)]);
    assert_rows(&outcome, "alpha", 100, 1);
}

#[test]
fn two_libraries_in_turn_at_the_same_address_keep_theirs() {
    // The frames differ in size: a rule of the one, used for the other, breaks the stack.
    // (Where they go is the kernel's choice, and what else is mapped meanwhile may take the place.)
    let used_again = (0..20).any(|_| {
        let outcome = load(3, &[plugin("alpha", 16, 100), plugin("beta", 4000, 200)]);
        assert_rows(&outcome, "alpha", 100, 3);
        assert_rows(&outcome, "beta", 200, 3);
        let pages: Vec<_> = outcome
            .stdout
            .lines()
            .take(2)
            .map(|address| address[..address.len() - 3].to_owned())
            .collect();
        pages[0] == pages[1]
    });
    assert!(
        used_again,
        "the loader did not use the address again, so this test shows nothing"
    );
}

#[test]
fn the_same_library_opened_twice_is_one_row() {
    let outcome = load(
        1,
        &[
            plugin("alpha", 16, 100),
            plugin("beta", 48, 200),
            plugin("alpha", 16, 100),
        ],
    );
    assert_rows(&outcome, "alpha", 100, 2);
    assert_rows(&outcome, "beta", 200, 1);
}

#[test]
fn opening_and_closing_two_thousand_times_grows_nothing() {
    let plugins = [plugin("alpha", 16, 100), plugin("beta", 4000, 200)];
    let few = load(10, &plugins);
    let many = load(1000, &plugins);
    assert_rows(&few, "alpha", 100, 10);
    assert_rows(&many, "alpha", 100, 1000);
    assert_rows(&many, "beta", 200, 1000);
    assert_eq!(few.report().rows.len(), many.report().rows.len());
    assert!(
        many.peak() < few.peak() + 8 * 1024,
        "{} kB after 10 rounds, {} kB after 1000",
        few.peak(),
        many.peak()
    );
}
