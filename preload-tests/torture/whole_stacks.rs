//! Whole stacks, of programs that try to have one taken for another: what is recorded must be what the
//! program says, and what a second unwinder sees.

use crate::support::{Outcome, Run, Source, is_emulated, read_recording, recordings};
use skipheap_format::reader::Recording;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How the fixture is built: each changes where frames and their registers lie.
fn builds() -> [&'static [&'static str]; 4] {
    [
        &["-O0"],
        &["-O2", "-fomit-frame-pointer"],
        &["-O2", "-fno-omit-frame-pointer"],
        match is_emulated() {
            true => &["-O2", "-mbranch-protection=standard"],
            false => &["-O2", "-mavx2", "-fcf-protection=full"],
        },
    ]
}

const CASES: [&str; 14] = [
    "same-slots",
    "root",
    "recursion",
    "sized",
    "coroutines",
    "coroutines-here",
    "jumps",
    "tails",
    "signals",
    "signals-apart",
    "signals-nested",
    "threads",
    "turns",
    "random",
];

fn whole(program: PathBuf, case: &str) -> Run {
    let run = Run::preloaded(program)
        .arg(case)
        .env("SKIP_HEAP_STACK_DEPTH", "full")
        .env("SKIP_HEAP_KEEP", "1");
    match case.starts_with("signals") {
        // The C library's malloc may not be interrupted by a handler that calls it; this one may. And the loader's
        // lazy binding cannot be unwound at each instruction.
        true => run
            .also_preload(&Source::c_library("other_allocator").build())
            .env("LD_BIND_NOW", "1"),
        false => run,
    }
}

/// For each size the calls of each stack that asked for it, in rising order.
fn calls_by_size(bytes: &[u8]) -> BTreeMap<u64, Vec<u64>> {
    let recording = Recording::parse(bytes).expect("a recording");
    assert!(recording.has_whole_stacks());
    let mut by_stack: BTreeMap<(u64, Vec<u32>), u64> = BTreeMap::new();
    for site in recording.sites() {
        let stack = recording.stack(&site).expect("a stack");
        assert!(!stack.is_empty());
        *by_stack.entry((site.size, stack)).or_default() += site.count;
    }
    let mut calls: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for ((size, _), count) in by_stack {
        calls.entry(size).or_default().push(count);
    }
    for counts in calls.values_mut() {
        counts.sort_unstable();
    }
    calls
}

/// Compares the recording with what the program printed: of each size the calls of each stack, or behind
/// a star those of all its stacks.
fn assert_exact(outcome: &Outcome, case: &str) {
    let recordings = recordings(&outcome.tmp());
    assert_eq!(recordings.len(), 1, "{outcome:?}");
    let recorded = calls_by_size(&read_recording(&recordings[0]));
    let mut sizes = 0;
    for line in outcome.stdout.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let size: u64 = words.next().and_then(|word| word.parse().ok()).expect(line);
        let found = recorded.get(&size).map_or(&[][..], Vec::as_slice);
        let expected: Vec<&str> = words.collect();
        if let ["*", total] = expected[..] {
            let all: u64 = found.iter().sum();
            assert_eq!(all.to_string(), total, "{case}: {size}");
        } else {
            let found: Vec<String> = found.iter().map(u64::to_string).collect();
            assert_eq!(found, expected, "{case}: {size}");
        }
        sizes += 1;
    }
    assert!(sizes > 0, "{outcome:?}");
}

#[test]
fn no_stack_is_taken_for_another() {
    for flags in builds() {
        let program = Source::c("whole_stacks").flags(flags).build();
        for case in CASES {
            let outcome = whole(program.clone(), case).succeed();
            assert_exact(&outcome, case);
        }
    }
}

#[test]
fn a_second_unwinder_sees_the_same_stacks() {
    for flags in builds() {
        let program = Source::c("whole_stacks").flags(flags).build();
        for case in CASES {
            // Each costs as much as hundreds of allocations.
            let one_in = match case {
                "root" | "recursion" | "random" | "threads" | "turns" => "1/7",
                _ => "1/1",
            };
            let outcome = whole(program.clone(), case)
                .env("SKIP_HEAP_VERIFY", one_in)
                .succeed();
            let verdict = outcome
                .stderr
                .lines()
                .find_map(|line| line.split_once("stacks compared with libgcc's unwinder: "))
                .map(|(_, verdict)| verdict.to_owned())
                .unwrap_or_else(|| panic!("{outcome:?}"));
            let (numbers, by_us) = verdict.rsplit_once(", by us: ").expect(&verdict);
            let agrees = numbers.ends_with(", disagreements: 0, followed farther by libgcc: 0");
            assert!(
                agrees && !numbers.starts_with("0,"),
                "{flags:?} {case}: {outcome:?}"
            );
            // The first frame of a coroutine says nothing about its caller, nor does some of the code that a
            // handler interrupts. A frame pointer that leads on is followed by us alone.
            let followed = case == "coroutines" || case.starts_with("signals");
            assert!(by_us == "0" || followed, "{flags:?} {case}: {outcome:?}");
            assert_exact(&outcome, case);
        }
    }
}
