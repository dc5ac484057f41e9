//! The budget of instructions for one allocation, counted by callgrind: repeatable on any machine,
//! so that the hot path cannot rot unseen.

use crate::support::{Outcome, Source, instructions, library};
use std::path::Path;

/// Most instructions that the library may add to an allocation, four frames recorded.
const BUDGET: u64 = 120;

/// Variables and their values.
type Variables = &'static [(&'static str, &'static str)];

/// Most that it may add to a pair of malloc and free sixteen frames below main, by what is recorded.
const DEPTHS: [(&str, Variables, u64); 4] = [
    ("whole stacks", &[("SKIP_HEAP_STACK_DEPTH", "full")], 150),
    ("the live heap", &[("SKIP_HEAP_LIVE", "1")], 355),
    (
        "whole stacks and the live heap",
        &[("SKIP_HEAP_STACK_DEPTH", "full"), ("SKIP_HEAP_LIVE", "1")],
        392,
    ),
    (
        // Of which nothing is taken.
        "a sample of both",
        &[
            ("SKIP_HEAP_STACK_DEPTH", "full"),
            ("SKIP_HEAP_LIVE", "1"),
            ("SKIP_HEAP_SAMPLE", "1G"),
        ],
        120,
    ),
];

/// Numbers of pairs; their difference leaves start and end of the process out.
const FEW: u64 = 1_000;
const MANY: u64 = 11_000;

/// Most instructions that it may add where the program is left out.
const LEFT_OUT_BUDGET: u64 = 20;

/// How the fixture runs.
#[derive(Clone, Copy, PartialEq)]
enum How {
    Plain,
    Profiled,
    LeftOut,
    With(Variables),
}

/// A run of the fixture, and its instructions.
fn counted(program: &Path, pairs: u64, how: How) -> (Outcome, u64) {
    instructions(|mut run| {
        run = run.arg(program).arg(pairs.to_string());
        if how != How::Plain {
            run = run.env("LD_PRELOAD", library());
        }
        if how == How::LeftOut {
            run = run.env("SKIP_HEAP_PROGRAMS", "!pairs");
        }
        if let How::With(variables) = how {
            for (name, value) in variables {
                run = run.env(name, value);
            }
        }
        run
    })
}

/// Instructions of a run of the fixture.
fn of_a_run(program: &Path, pairs: u64, how: How) -> u64 {
    let (outcome, total) = counted(program, pairs, how);
    if how == How::Profiled {
        let report = outcome.reports();
        assert_eq!(report.len(), 1, "{outcome:?}");
        report[0].assert_row(["bottom", "f14", "f13", "f12"], 48, pairs);
    }
    total
}

/// Instructions for each pair of malloc and free.
fn for_each_pair(program: &Path, how: How) -> u64 {
    let difference = of_a_run(program, MANY, how) - of_a_run(program, FEW, how);
    difference / (MANY - FEW)
}

#[test]
fn an_allocation_stays_within_the_budget() {
    for flag in ["-fomit-frame-pointer", "-fno-omit-frame-pointer"] {
        let program = Source::c("pairs").flags(&[flag]).build();
        let plain = for_each_pair(&program, How::Plain);
        let profiled = for_each_pair(&program, How::Profiled);
        let added = profiled - plain;
        println!("{flag}: {plain} instructions plain, {profiled} profiled, {added} added");
        assert!(plain > 10, "callgrind saw no malloc: {plain}");
        assert!(added > 10, "the library did not run: {added}");
        assert!(
            added <= BUDGET,
            "{flag}: {added} instructions, budget {BUDGET}"
        );
    }
}

/// Stacks of fewer than four frames end with their root, which the hot path must find as it finds
/// any other frame: the fixture's flags, and the frames from the innermost on.
const SHALLOW: [(&[&str], &[&str]); 4] = [
    (&["-O2"], &["worker", "start_thread"]),
    (&["-nostartfiles", "-DOWN_START=1"], &["_start"]),
    (&["-nostartfiles", "-DOWN_START=2"], &["pairs", "_start"]),
    (&["-DCONSTRUCTOR"], &["construct"]),
];

#[test]
fn short_stacks_stay_within_the_budget() {
    for (flags, names) in SHALLOW {
        let program = Source::c("shallow").flags(flags).build();
        let plain = of_a_run(&program, MANY, How::Plain) - of_a_run(&program, FEW, How::Plain);
        let with = |pairs| {
            let (outcome, total) = counted(&program, pairs, How::With(&[]));
            let report = outcome.reports().remove(0);
            let rows = report.rows.iter().filter(|row| row.size == 48);
            let of_pairs: Vec<_> = rows.filter(|row| row.calls == pairs).collect();
            assert_eq!(of_pairs.len(), 1, "{flags:?}: {}", report.text);
            let row = of_pairs[0];
            assert_eq!(
                row.frames[..names.len()],
                *names,
                "{flags:?}: {}",
                report.text
            );
            // Behind the root there is nothing.
            let own_start = names.contains(&"_start");
            assert!(!own_start || row.frames[names.len()..].iter().all(|name| name == "-"));
            total
        };
        let added = (with(MANY) - with(FEW) - plain) / (MANY - FEW);
        println!("{names:?}: {added} instructions added");
        assert!(added > 10, "the library did not run: {added}");
        assert!(
            added <= BUDGET,
            "{names:?}: {added} instructions, budget {BUDGET}"
        );
    }
}

#[test]
fn whole_stacks_and_the_live_heap_stay_within_their_budgets() {
    let program = Source::c("pairs").build();
    let plain = for_each_pair(&program, How::Plain);
    let four = for_each_pair(&program, How::Profiled);
    for (what, variables, budget) in DEPTHS {
        let added = for_each_pair(&program, How::With(variables)) - plain;
        println!(
            "{what}: {added} instructions added, {} with four frames",
            four - plain
        );
        assert!(
            added <= budget,
            "{what}: {added} instructions, budget {budget}"
        );
        let is_sample = variables.len() == 3;
        assert!(
            is_sample || added > four - plain + 20,
            "{what} was not recorded: {added}"
        );
    }
}

/// Most that whole stacks may add to a pair of malloc and free whose stack is another one than the
/// last: by how the fixture's stacks change, which are 10 to 30 frames deep.
const ALTERNATING: [(&str, u64); 4] = [
    ("one", 190),
    ("two", 160),
    ("four", 170),
    ("recursion", 182),
];

#[test]
fn stacks_that_take_turns_stay_within_their_budgets() {
    let program = Source::c("alternate").build();
    for (how, budget) in ALTERNATING {
        let count = |pairs: u64, variables: Variables| {
            let (outcome, total) = instructions(|mut run| {
                run = run.arg(&program).arg(pairs.to_string()).arg(how);
                if !variables.is_empty() {
                    run = run.env("LD_PRELOAD", library());
                }
                for (name, value) in variables {
                    run = run.env(name, value);
                }
                run
            });
            if !variables.is_empty() {
                let report = outcome.reports().remove(0);
                let rows = report.rows.iter().filter(|row| row.size == 48);
                assert_eq!(rows.map(|row| row.calls).sum::<u64>(), pairs, "{how}");
            }
            total
        };
        let whole: Variables = &[("SKIP_HEAP_STACK_DEPTH", "full")];
        let plain = count(MANY, &[]) - count(FEW, &[]);
        let added = (count(MANY, whole) - count(FEW, whole) - plain) / (MANY - FEW);
        println!("{how}: {added} instructions added");
        assert!(added > 100, "{how} was not recorded: {added}");
        assert!(
            added <= budget,
            "{how}: {added} instructions, budget {budget}"
        );
    }
}

#[test]
fn a_program_that_is_left_out_pays_next_to_nothing() {
    let program = Source::c("pairs").build();
    let plain = for_each_pair(&program, How::Plain);
    let left_out = for_each_pair(&program, How::LeftOut);
    let added = left_out - plain;
    println!("{plain} instructions plain, {left_out} left out, {added} added");
    assert!(added > 0, "the library was not loaded");
    assert!(added <= LEFT_OUT_BUDGET, "{added} instructions");
}

/// Most instructions that the library may add to an allocation of a program in which every second
/// allocation is of a new stack, by what is recorded; the report at exit included.
const NEW_STACKS: [(Variables, u64); 2] =
    [(&[], 125), (&[("SKIP_HEAP_STACK_DEPTH", "full")], 2_700)];

#[test]
fn new_stacks_and_sites_stay_within_their_budgets() {
    let program = Source::c("many_stacks").flags(&["-O2"]).build();
    let (few, many) = (2_000, 12_000);
    let run = |how| counted(&program, many, how).1 - counted(&program, few, how).1;
    let allocations = (many - few) * 10;
    let plain = run(How::Plain);
    for (variables, budget) in NEW_STACKS {
        let added = (run(How::With(variables)) - plain) / allocations;
        println!("{variables:?}: {added} instructions added");
        assert!(added > 50, "the library did not run: {added}");
        assert!(added <= budget, "{added} instructions, budget {budget}");
    }
}

/// Most instructions that the library may add to a program that allocates nothing, in a session of
/// the tool.
const START_BUDGET: u64 = 250_000;
/// Most that it may add to an allocation from a place that it has not met before.
const NEW_CALL_SITE_BUDGET: u64 = 3_000;

#[test]
fn short_processes_stay_within_their_budgets() {
    let program = Source::c("many_sites").build();
    let session = tempfile::tempdir().expect("a folder");
    let run = |hundreds: u32, profiled: bool| {
        let (_, total) = instructions(|mut run| {
            run = run.arg(&program).arg(hundreds.to_string());
            if profiled {
                run = run
                    .env("LD_PRELOAD", library())
                    .env("SKIP_HEAP_SESSION", session.path());
            }
            run
        });
        total
    };
    let added = [0, 10, 20].map(|hundreds| run(hundreds, true) - run(hundreds, false));
    let each = (added[2] - added[1]) / 1000;
    println!(
        "{} instructions at start and end, {each} for each call site",
        added[0]
    );
    assert!(
        added[0] > 10_000 && each > 100,
        "the library did not run: {added:?}"
    );
    assert!(added[0] <= START_BUDGET, "{added:?}, budget {START_BUDGET}");
    assert!(
        each <= NEW_CALL_SITE_BUDGET,
        "{each} instructions, budget {NEW_CALL_SITE_BUDGET}"
    );
}
