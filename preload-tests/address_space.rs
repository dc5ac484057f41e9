//! The library's share of the address space: it follows what the library uses, and gives way where the
//! program has set itself a limit.

use crate::support::{Outcome, Report, Run, Source, library, tool};
use std::path::PathBuf;

/// Variables and their values.
type Variables = &'static [(&'static str, &'static str)];

const LIVE: (&str, &str) = ("SKIP_HEAP_LIVE", "1");
const WHOLE: (&str, &str) = ("SKIP_HEAP_STACK_DEPTH", "full");

const MODES: [Variables; 7] = [
    &[],
    &[WHOLE],
    &[LIVE],
    &[LIVE, WHOLE],
    &[("SKIP_HEAP_HOOKS", "ask_for_sizes(size=arg0)")],
    &[("SKIP_HEAP_VERIFY", "1/3")],
    &[LIVE, WHOLE, ("SKIP_HEAP_SAMPLE", "512K")],
];

const MIB: i64 = 1 << 20;
/// Most that the library adds when the program begins.
const AT_START: i64 = 16 * MIB;

fn program() -> PathBuf {
    Source::c("address_space").flags(&["-pthread"]).build()
}

fn with(run: Run, variables: Variables) -> Run {
    let set = |run: Run, (name, value): &(&str, &str)| run.env(name, value);
    variables.iter().fold(run, set)
}

/// The number that the program prints, and what else came of it. `None` where the case is not
/// permitted here.
fn number(run: Run, args: &[&str]) -> Option<(i64, Outcome)> {
    let outcome = run.args(args).finish();
    if outcome.status.code() == Some(77) {
        eprintln!("{args:?}: not permitted here: {}", outcome.stderr);
        return None;
    }
    assert!(outcome.status.success(), "{args:?}: {outcome:?}");
    let number = outcome.stdout.trim().parse().expect("a number");
    Some((number, outcome))
}

/// The report of the process, or where it had no memory for one, that of the recording which it left
/// behind and named.
fn report_of(outcome: &Outcome) -> Report {
    if let Some(report) = outcome.reports().pop() {
        return report;
    }
    let line = outcome
        .stderr
        .lines()
        .find(|line| line.ends_with(".skipheap-rec"));
    let path = line.and_then(|line| line.rsplit(' ').next());
    let path = path.unwrap_or_else(|| panic!("no recording is named: {outcome:?}"));
    let made = Run::plain(tool())
        .args(&["report", path, "-o", "-"])
        .succeed();
    Report::parse(made.stdout)
}

/// A mode, the number that the program printed in it, and the run.
type InMode = (Variables, i64, Outcome);

/// What the program prints without the library and in each mode.
fn in_each_mode(args: &[&str]) -> Option<(i64, Vec<InMode>)> {
    let plain = number(Run::plain(program()), args)?.0;
    let profiled = |variables: Variables| {
        let run = with(Run::preloaded(program()), variables);
        number(run, args).map(|(number, outcome)| (variables, number, outcome))
    };
    Some((plain, MODES.into_iter().filter_map(profiled).collect()))
}

#[test]
fn at_the_start_the_program_has_little_more_in_every_mode() {
    let (plain, modes) = in_each_mode(&["start"]).expect("permitted");
    for (variables, size, _) in modes {
        let added = size - plain;
        println!("{variables:?}: {} KiB", added >> 10);
        assert!(added <= AT_START, "{variables:?}: {added} bytes");
    }
}

#[test]
fn memory_can_be_locked_in_every_mode() {
    const SITES: i64 = 20_000;
    let args = ["lock", &SITES.to_string()];
    let Some((plain, modes)) = in_each_mode(&args) else {
        return;
    };
    for (variables, locked, outcome) in modes {
        // A site takes 320 bytes in the recording at most, and half as much in tables.
        let most = AT_START + SITES * 512;
        let added = locked - plain;
        assert!(added <= most, "{variables:?}: {added} bytes locked");
        let lost = outcome.stderr.contains("not recorded");
        assert!(!lost, "{variables:?}: {outcome:?}");
    }
}

/// The program gets what it gets without the library, less what the library has.
#[test]
fn a_limit_that_the_program_sets_itself_leaves_it_its_memory() {
    for (limit, block) in [(64, 1 << 20), (64, 4000), (1024, 1 << 20)] {
        let limit = limit * MIB;
        let args = ["limit", &limit.to_string(), &format!("{block}")];
        let (plain, modes) = in_each_mode(&args).expect("permitted");
        for (variables, got, outcome) in modes {
            // Each block that is followed takes a word or two; no more than a sixteenth of the limit.
            let tables = if variables.contains(&LIVE) {
                limit / 16
            } else {
                0
            };
            let least = plain - AT_START / 2 - tables;
            assert!(
                got >= least,
                "{variables:?}, {limit}, {block}: {got} bytes, {plain} without the library"
            );
            let is_sample = variables.len() == 3;
            if !is_sample {
                let report = report_of(&outcome);
                assert_eq!(
                    report.calls_by("ask"),
                    10 + 20,
                    "{variables:?}: {outcome:?}"
                );
            }
        }
    }
}

/// Every site is there, and the address space holds little more than the recording. (`PRELOAD_TESTS_LONG`: of
/// so many sites that the recording is longer than its file was made, and than a shadow once had
/// numbers for.)
#[test]
fn a_recording_grows_as_far_as_there_is_disk() {
    let is_long = std::env::var_os("PRELOAD_TESTS_LONG").is_some();
    let sites: i64 = if is_long { 2_100_000 } else { 40_000 };
    let args = ["sites", &sites.to_string()];
    let run = with(Run::preloaded(program()), &[LIVE]);
    let run = run.time_out(std::time::Duration::from_secs(3600));
    let (size, outcome) = number(run, &args).expect("permitted");
    let plain = number(Run::plain(program()), &args).expect("permitted").0;
    let report = &outcome.reports()[0];
    assert_eq!(report.calls_by("ask_for_sizes"), 2 * sites as u64);
    assert!(!outcome.stderr.contains("not recorded"), "{outcome:?}");
    let taken = 2 * sites * 320;
    let added = size - plain;
    assert!(
        added < AT_START + 72 * MIB.min(sites * 100) + taken * 3 / 2,
        "{added} bytes for {taken}"
    );
}

#[test]
fn a_filter_leaves_the_recording_room_to_grow() {
    let modes: [Variables; 2] = [&[], &[LIVE]];
    for variables in modes {
        let run = with(Run::preloaded(program()), variables);
        let Some((_, outcome)) = number(run, &["confined", "90000"]) else {
            return;
        };
        let report = report_of(&outcome);
        assert_eq!(report.calls_by("ask_for_sizes"), 90_000, "{outcome:?}");
    }
}

/// Runs the program under the library where the kernel knows neither of the two advices that the library
/// wants. `None` where that is not permitted.
fn on_an_old_kernel(variables: Variables, args: &[&str]) -> Option<Outcome> {
    let program = program();
    let mut preload = std::ffi::OsString::from("LD_PRELOAD=");
    preload.push(library());
    let run = with(Run::plain(&program), variables)
        .args(&["old-kernel", "env"])
        .arg(preload)
        .arg(&program)
        .args(args)
        .finish();
    if run.status.code() == Some(77) {
        eprintln!("a filter is not permitted here");
        return None;
    }
    assert!(run.status.success(), "{run:?}");
    Some(run)
}

#[test]
fn kernels_that_lack_two_advices_record_everything() {
    let modes: [Variables; 3] = [&[], &[WHOLE], &[LIVE]];
    for variables in modes {
        let Some(outcome) = on_an_old_kernel(variables, &["sites", "20000"]) else {
            return;
        };
        let report = &outcome.reports()[0];
        assert_eq!(report.calls_by("ask"), 10, "{outcome:?}");
        assert_eq!(report.calls_by("ask_for_sizes"), 40_000, "{outcome:?}");
        assert!(!outcome.stderr.contains("not recorded"), "{outcome:?}");
        assert!(!outcome.stderr.contains("not tracked"), "{outcome:?}");
    }
}

#[test]
fn on_such_kernels_a_child_of_fork_has_a_recording_of_its_own() {
    let modes: [Variables; 3] = [&[], &[WHOLE], &[LIVE]];
    for variables in modes {
        let Some(outcome) = on_an_old_kernel(variables, &["fork", "3000"]) else {
            return;
        };
        let reports = outcome.reports();
        let calls = |of: &str| {
            let mut calls: Vec<u64> = reports
                .iter()
                .map(|report: &Report| report.calls_by(of))
                .collect();
            calls.sort_unstable();
            calls
        };
        assert_eq!(calls("ask"), [7, 15], "{variables:?}: {outcome:?}");
        assert_eq!(
            calls("ask_for_sizes"),
            [3000, 3000],
            "{variables:?}: {outcome:?}"
        );
    }
}

#[test]
fn on_such_kernels_there_is_no_leak_check_and_that_is_said() {
    let variables: Variables = &[LIVE, ("SKIP_HEAP_LEAK_CHECK", "1")];
    if let Some(outcome) = on_an_old_kernel(variables, &["start"]) {
        assert!(outcome.stderr.contains("no leak check: "), "{outcome:?}");
        assert!(
            outcome.stderr.contains("the kernel does not show"),
            "{outcome:?}"
        );
    }
}
