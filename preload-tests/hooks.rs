//! Hooks on functions by name: statically linked allocators, the ObStack of Skip programs, what
//! cannot be hooked and what is said about it.

use crate::support::{Outcome, Report, Row, Run, Source, instructions, library, tool};
use skipheap_format::messages;
use skipheap_format::reader::Recording;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Returns whether a recording that a run with `SKIP_HEAP_KEEP=1` left behind has this note.
fn has_note(outcome: &Outcome, note: &str) -> bool {
    let recordings: Vec<PathBuf> = fs::read_dir(outcome.tmp())
        .expect("the folder of the run")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "skipheap-rec"))
        .collect();
    assert!(!recordings.is_empty(), "no recording was kept: {outcome:?}");
    recordings.iter().any(|path| {
        // The file is long and sparse; what is written at start stands near its beginning.
        let file = fs::File::open(path).expect("the recording");
        let mut bytes = Vec::new();
        file.take(1 << 20)
            .read_to_end(&mut bytes)
            .expect("the recording");
        let recording = Recording::parse(&bytes).expect("a recording");
        let mut notes = recording.notes().map(|one| messages::note(&one));
        notes.any(|text| text.contains(note))
    })
}

fn assert_note(outcome: &Outcome, note: &str) {
    assert!(has_note(outcome, note), "no note {note:?}: {outcome:?}");
}

fn kept(program: &Path) -> Run {
    Run::preloaded(program).env("SKIP_HEAP_KEEP", "1")
}

/// The Skip program with its runtime linked statically: no dynamic symbol names the allocator.
fn skip_program(flags: &[&str]) -> PathBuf {
    Source::c("skip_program")
        .flags(&["skip_runtime.c", "-fomit-frame-pointer"])
        .flags(flags)
        .build()
}

#[test]
fn a_skip_program_reports_its_obstack_calls_alone() {
    for flags in [
        &[][..],
        // Allocators that call each other, or leave by a jump to each other.
        &["-fno-inline"],
        &["-fno-inline", "-fno-optimize-sibling-calls"],
        &["-fcf-protection=full"],
        &["-no-pie"],
        &["-O1"],
        &["-O3", "-march=x86-64-v2"],
        &["-fno-omit-frame-pointer"],
        // Nothing says where the calls between them lead.
        &["-DINDIRECT"],
        &["-DINDIRECT", "-fno-optimize-sibling-calls"],
    ] {
        let outcome = kept(&skip_program(flags)).succeed();
        outcome.report().assert_is("skip_program.csv");
        assert_note(
            &outcome,
            "skip_program has the Skip runtime's ObStack: 5 of 5 entry points hooked",
        );
    }
}

#[test]
fn a_runtime_that_is_a_shared_library_reports_the_same() {
    for flag in ["-fcf-protection=none", "-fno-plt", "-fno-inline"] {
        let runtime = Source::c_library("skip_runtime").flags(&[flag]).build();
        let folder = runtime.parent().expect("the folder of the library");
        let program = Source::c("skip_program")
            .flags(&[
                flag.to_owned(),
                runtime.display().to_string(),
                format!("-Wl,-rpath,{}", folder.display()),
            ])
            .build();
        Run::preloaded(program)
            .succeed()
            .report()
            .assert_is("skip_program.csv");
    }
}

#[test]
fn other_allocators_of_a_skip_program_are_reported_when_asked_for() {
    let program = skip_program(&[]);
    let with = |allocators| {
        Run::preloaded(&program)
            .env("SKIP_HEAP_ALLOCATORS", allocators)
            .succeed()
            .report()
    };
    let obstack = with("obstack");
    obstack.assert_is("skip_program.csv");
    let all = with("all");
    all.assert_row(["other", "middle", "skip_main", "main"], 77, 2);
    assert_eq!(all.calls_by("leaf"), obstack.calls_by("leaf"));
    // The pages of the arena are no allocations of the program.
    assert!(!all.text.contains("SKIP_Obstack"), "{}", all.text);
    let malloc = with("malloc");
    malloc.assert_row(["other", "middle", "skip_main", "main"], 77, 2);
    assert_eq!(malloc.calls_by("leaf"), 0, "{}", malloc.text);
}

/// The rows of `ask`, by size.
fn asked(report: &Report) -> Vec<(u64, u64)> {
    let mut rows: Vec<_> = report
        .rows_by("ask")
        .iter()
        .map(|row| (row.size, row.calls))
        .collect();
    rows.sort_unstable();
    rows
}

const ARENA_HOOKS: &str = "pool_take(size=arg1);pool_array(size=arg0*arg1);pool_many(size=arg5);\
    pool_fixed(size=64); pool_deep(size=arg1);pool_jump(size=arg1);pool_grow(size=arg0);\
    *_first(size=arg0); jump_back(size=arg0);tiny(size=2*arg0);nothing(size=arg0)";

#[test]
fn functions_of_every_shape_are_hooked_and_behave_as_before() {
    for flags in [
        &["-O2"][..],
        &["-O0"],
        &["-O2", "-fcf-protection=full", "-no-pie"],
    ] {
        let program = Source::c("arena").flags(flags).build();
        let plain = Run::plain(&program).succeed();
        let outcome = kept(&program).env("SKIP_HEAP_HOOKS", ARENA_HOOKS).succeed();
        assert_eq!(outcome.stdout, plain.stdout);
        // Recursion, calls by a jump and malloc below a hooked function count once; a product that
        // overflows not at all.
        let sizes = [0, 42, 64, 66, 100, 200, 300, 400, 500, 601, 603, 604, 1204];
        let wanted: Vec<_> = sizes.map(|size| (size, 3)).to_vec();
        let report = outcome.reports().remove(0);
        assert_eq!(asked(&report), wanted, "{flags:?}\n{}", report.text);
        assert!(!report.text.contains("pool_"), "{}", report.text);
        assert_note(&outcome, "hooked relative_first in arena");
        assert_note(
            &outcome,
            "cannot hook jump_back in arena: it jumps into its first bytes",
        );
        assert_note(
            &outcome,
            "cannot hook nothing in arena: it is shorter than a jump",
        );
    }
}

#[test]
fn every_call_counts_where_that_is_asked_for() {
    let report = Run::preloaded(Source::c("arena").build())
        .env("SKIP_HEAP_HOOKS", "pool_deep(size=arg1,nested=all)")
        .succeed()
        .report();
    let deep: u64 = report
        .rows
        .iter()
        .filter(|row| row.size == 200)
        .map(|row| row.calls)
        .sum();
    assert_eq!(deep, 3 * 6, "{}", report.text);
}

#[test]
fn what_cannot_be_read_or_found_is_said_in_one_line_and_the_program_runs_on() {
    let outcome = kept(&Source::c("arena").build())
        .env(
            "SKIP_HEAP_HOOKS",
            "pool_fixed(size=64);bad(size;nowhere(size=arg0)",
        )
        .env("SKIP_HEAP_ALLOCATORS", "lots")
        .succeed();
    let said: Vec<&str> = outcome
        .stderr
        .lines()
        .filter_map(|line| line.strip_prefix("heap profiler: "))
        .filter(|line| !line.starts_with("wrote"))
        .collect();
    assert_eq!(said.len(), 4, "{outcome:?}");
    assert_eq!(said[0], "enabled!");
    assert!(
        said[1].starts_with("SKIP_HEAP_ALLOCATORS must be one of: auto"),
        "{said:?}"
    );
    assert_eq!(
        said[2],
        "hook \"bad(size\": expected \"(size=...)\" behind the name at column 9"
    );
    assert!(
        said[3].starts_with("hook \"nowhere\": no function of that name"),
        "{said:?}"
    );
    assert_note(&outcome, "hook \"nowhere\": no function of that name");
    outcome.reports()[0].assert_row(["ask", "main", "libc", "libc"], 64, 3);
}

#[test]
fn names_of_cpp_are_written_as_people_write_them_and_life_goes_on_around_the_hook() {
    let program = Source::cpp("pool_life").build();
    let spec = "pool_take(unsigned long)(size=arg0)";
    let outcome = Run::preloaded(program)
        .env("SKIP_HEAP_HOOKS", spec)
        .succeed();
    let numbers = outcome.numbers();
    let (caught, runs, writable_code) = (numbers[0], numbers[1], numbers[2]);
    assert_eq!((caught, writable_code), (50, 0), "{outcome:?}");
    // The child's report comes first.
    let reports = outcome.reports();
    assert_eq!(reports.len(), 2, "{outcome:?}");
    assert_eq!(reports[0].calls_by("in_child()"), 77, "{}", reports[0].text);
    let report = &reports[1];
    assert_eq!(report.calls_by("in_vain()"), 50, "{}", report.text);
    assert_eq!(report.calls_by("in_thread()"), 200_000, "{}", report.text);
    assert_eq!(
        report.calls_by("interrupted()"),
        2_000_000,
        "{}",
        report.text
    );
    let by_handler = report.by_size().get(&9).copied().unwrap_or(0);
    assert!(by_handler <= runs, "{by_handler} of {runs}");
    // A handler that interrupts the making of a new site is not recorded.
    assert!(
        by_handler * 10 >= runs * 9,
        "{by_handler} of {runs}: {}",
        report.text
    );
}

#[test]
fn a_malloc_of_the_executables_own_is_hooked() {
    let program = Source::c("served_by")
        .flags(&["other_allocator.c", "-rdynamic"])
        .build();
    let outcome = kept(&program).succeed();
    let report = outcome.report();
    assert_eq!(report.calls_by("ask"), 1000, "{}", report.text);
    assert_note(
        &outcome,
        "served_by has its own malloc: 3 of 3 entry points hooked",
    );
}

#[test]
fn operator_new_of_an_allocator_that_is_a_library_is_hooked() {
    let program = Source::cpp("other_new").build();
    for name in [
        "libjemalloc.so.2",
        "libmimalloc.so.2",
        "libtcmalloc_minimal.so.4",
    ] {
        let allocator = PathBuf::from(format!("/usr/lib/x86_64-linux-gnu/{name}"));
        for live in ["0", "1"] {
            let outcome = kept(&program)
                .also_preload(&allocator)
                .env("SKIP_HEAP_LIVE", live)
                .succeed();
            let report = outcome.report();
            for (function, size) in [("one()", 777), ("many()", 555), ("aligned()", 640)] {
                let rows: Vec<_> = report
                    .rows_by(function)
                    .iter()
                    .map(|row| (row.size, row.calls))
                    .collect();
                assert_eq!(rows, [(size, 1000)], "{name} {live}: {}", report.text);
            }
            assert_eq!(report.calls_by("MallocExtension::instance()"), 0);
            assert_note(&outcome, "an operator new of its own: ");
        }
    }
    // That of libstdc++ asks malloc.
    let outcome = kept(&program).succeed();
    assert_eq!(outcome.report().calls_by("one()"), 1000);
    assert!(!has_note(&outcome, "hooked"), "{outcome:?}");
}

#[test]
fn an_ordinary_program_has_nothing_to_note() {
    let outcome = kept(&Source::c("pattern").build()).succeed();
    outcome.report().assert_is("pattern.csv");
    for word in ["hook", "malloc, "] {
        assert!(!has_note(&outcome, word), "{outcome:?}");
    }
}

#[test]
fn an_allocator_is_known_by_any_part_of_it() {
    let outcome = kept(&Source::c("part_of_mimalloc").build()).succeed();
    let report = outcome.report();
    assert_eq!(asked(&report), [(40, 5)], "{}", report.text);
    assert_note(
        &outcome,
        "part_of_mimalloc has mimalloc: 1 of 1 entry points hooked",
    );
}

#[test]
fn the_tool_passes_hooks_on_and_says_what_came_of_them() {
    let program = Source::c("arena").build();
    let run = |hooks: &[&str]| {
        let mut run = Run::plain(tool());
        for hook in hooks {
            run = run.args(&["--hook", hook]);
        }
        run.args(&["--allocators", "none", "-o", "-"])
            .arg(&program)
            .succeed()
    };
    let outcome = run(&["pool_take(size=arg1)", "missing(size=arg0)"]);
    for line in [
        "note: hooked pool_take in arena",
        "note: hook \"missing\": no function of that name, or only hooked ones",
    ] {
        assert!(outcome.stderr.contains(line), "{line}: {outcome:?}");
    }
    assert!(outcome.stderr.starts_with("skip-heapprof: "), "{outcome:?}");
    let (_, csv) = outcome.stdout.split_once("pc0,").expect("a CSV");
    assert!(csv.lines().count() > 1, "{outcome:?}");
}

/// What is recorded, the variables that ask for it, and a number of instructions.
type Budget = (&'static str, &'static [(&'static str, &'static str)], u64);

/// Most instructions that a hook may add to a call, by what is recorded.
const BUDGETS: [Budget; 6] = [
    ("four frames", &[], 130),
    ("the live heap", &[("SKIP_HEAP_LIVE", "1")], 135),
    ("whole stacks", &[("SKIP_HEAP_STACK_DEPTH", "full")], 100),
    (
        "whole stacks and the live heap",
        &[("SKIP_HEAP_STACK_DEPTH", "full"), ("SKIP_HEAP_LIVE", "1")],
        105,
    ),
    // Of which nothing is taken: the trampoline, and what an allocation of malloc costs then.
    ("a sample", &[("SKIP_HEAP_SAMPLE", "1G")], 32),
    (
        "a sample of whole stacks and the live heap",
        &[
            ("SKIP_HEAP_SAMPLE", "1G"),
            ("SKIP_HEAP_STACK_DEPTH", "full"),
            ("SKIP_HEAP_LIVE", "1"),
        ],
        32,
    ),
];

#[test]
fn a_hooked_call_stays_within_the_budget_of_instructions() {
    let program = skip_program(&[]);
    let instructions = |calls: u64, variables: Option<&[(&str, &str)]>| -> u64 {
        let (outcome, total) = instructions(|run| {
            let run = run.arg(&program).arg(calls.to_string());
            let Some(variables) = variables else {
                return run;
            };
            variables
                .iter()
                .fold(run.env("LD_PRELOAD", library()), |run, (name, value)| {
                    run.env(name, value)
                })
        });
        if variables
            .is_some_and(|variables| variables.first().is_none_or(|v| v.0 != "SKIP_HEAP_SAMPLE"))
        {
            assert_eq!(outcome.reports()[0].calls_by("leaf"), calls);
        }
        total
    };
    let each =
        |variables| (instructions(11_000, variables) - instructions(1_000, variables)) / 10_000;
    let plain = each(None);
    for (what, variables, budget) in BUDGETS {
        let added = each(Some(variables)) - plain;
        println!("{what}: {added} instructions added");
        assert!(added > 10, "{what}: the hook did not run: {added}");
        assert!(
            added <= budget,
            "{what}: {added} instructions, budget {budget}"
        );
    }
}

/// The handler interrupts the trampoline at each of its instructions, and what it jumps to.
#[test]
fn a_handler_that_interrupts_a_hooked_call_has_its_whole_stack() {
    for flag in ["-fomit-frame-pointer", "-fno-omit-frame-pointer"] {
        let program = Source::c("interrupted").flags(&["-DHOOKED", flag]).build();
        let outcome = Run::preloaded(program)
            .env("SKIP_HEAP_HOOKS", "pool_take(size=arg0)")
            .succeed();
        let numbers = outcome.numbers();
        let report = outcome.report();
        let taken: u64 = report.rows_by("main").iter().map(|row| row.calls).sum();
        assert_eq!(taken, numbers[0], "{}", report.text);
        assert_eq!(report.calls_by("in_handler"), numbers[1], "{}", report.text);
        let rows = report.rows_by("in_handler");
        assert!(
            rows.iter().all(|row| is_whole(row)),
            "{flag}: {}",
            report.text
        );
    }
}

/// Where the library itself was interrupted, main may be farther away than four frames.
fn is_whole(row: &Row) -> bool {
    row.frames.iter().any(|frame| frame == "main") || row.frames[3].starts_with("libskipheap.so")
}

/// In a sample nearly all calls of the pool are passed over, and most of the handler's are so too.
#[test]
fn a_handler_that_interrupts_a_hooked_call_of_a_sample_has_its_whole_stack() {
    let program = Source::c("interrupted")
        .flags(&["-DHOOKED", "-fomit-frame-pointer"])
        .build();
    let report = Run::preloaded(program)
        .env("SKIP_HEAP_HOOKS", "pool_take(size=0)")
        .env("SKIP_HEAP_SAMPLE", "1K")
        .succeed()
        .reports()
        .remove(0);
    let rows = report.rows_by("in_handler");
    let calls = |rows: &[&Row]| -> u64 { rows.iter().map(|row| row.calls).sum() };
    let whole: Vec<&Row> = rows.iter().copied().filter(|row| is_whole(row)).collect();
    // (One in a thousand is recorded on the longer way, which is cut where it is interrupted.)
    assert!(calls(&rows) > 0, "{}", report.text);
    assert!(calls(&whole) * 10 >= calls(&rows) * 9, "{}", report.text);
}
