//! Frames that rsp and rbp alone do not lead out of, and stacks whose first frame nobody called.
//!
//! Each case is recorded with four frames, with whole stacks, and with these and the live heap.

use crate::support::{Outcome, Run, Source, fixture_dir, is_musl, is_system_frame, tool};
use std::fs;
use std::path::{Path, PathBuf};

/// How stacks are recorded.
const WAYS: [&[(&str, &str)]; 3] = [
    &[("SKIP_HEAP_STACK_DEPTH", "4")],
    &[],
    &[("SKIP_HEAP_LIVE", "1")],
];

/// The stacks of a run of the tool, innermost frame first, with their calls; and the run.
fn stacks(program: &Path, arg: &str, way: &[(&str, &str)]) -> (Vec<(Vec<String>, u64)>, Outcome) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("stacks.collapsed");
    let mut run = Run::plain(tool())
        .args(&["--value", "calls", "-o"])
        .arg(&file);
    for (name, value) in way {
        run = run.env(name, value);
    }
    let outcome = run.arg(program).arg(arg).succeed();
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{error}: {outcome:?}"));
    let stack = |line: &str| {
        let (path, calls) = line.rsplit_once(' ').expect("a number");
        let frames = path.split(';').rev().map(str::to_owned).collect();
        (frames, calls.parse().expect("a number"))
    };
    (text.lines().map(stack).collect(), outcome)
}

/// Calls of the stacks that begin with these functions.
fn calls(stacks: &[(Vec<String>, u64)], functions: &[&str]) -> u64 {
    let begins = |frames: &[String]| {
        functions.len() <= frames.len() && functions.iter().zip(frames).all(|(a, b)| a == b)
    };
    let fit = stacks.iter().filter(|(frames, _)| begins(frames));
    fit.map(|(_, calls)| calls).sum()
}

fn by_cfi() -> PathBuf {
    let helper = fixture_dir().join("cfi_frames.s");
    Source::c("cfi_frames")
        .flags(&["-g", &helper.to_string_lossy()])
        .build()
}

const BY_CFI: [&str; 18] = [
    "c_rsp",
    "c_rbp",
    "c_rbx",
    "c_r13",
    "c_expr",
    "c_stackswitch",
    "c_stackswitch_rbx",
    "c_stackswitch_expr",
    "c_upwards",
    "c_ripelse",
    "c_noframe_ends",
    "c_pushargs",
    "c_remember",
    "c_big",
    "c_huge",
    "c_rbpsaved",
    "c_rbpreg",
    "via_array",
];

/// The function of musl that calls `main` ends the stack.
fn is_root_of_musl(frame: &str) -> bool {
    is_musl() && is_system_frame(frame)
}

#[test]
fn each_kind_of_unwind_information_leads_to_the_root() {
    let program = by_cfi();
    for way in WAYS {
        let (found, outcome) = stacks(&program, "", way);
        for name in BY_CFI {
            let via = format!("via_{name}");
            let expected = match name {
                "via_array" => vec!["ask", "callback", "via_array", "main"],
                _ => vec!["ask", "callback", name, &via],
            };
            assert_eq!(calls(&found, &expected), 10, "{way:?} {name}: {found:#?}");
            if !is_short(way) {
                let whole: Vec<&str> = [&expected[..], &["main"]].concat();
                let whole = if name == "via_array" {
                    &expected
                } else {
                    &whole
                };
                assert_eq!(calls(&found, whole), 10, "{way:?} {name}: {found:#?}");
                let is_whole = |(frames, _): &(Vec<String>, u64)| {
                    frames.starts_with(&["ask".to_owned(), "callback".to_owned()])
                        && frames
                            .last()
                            .is_some_and(|root| root != "_start" && !is_root_of_musl(root))
                };
                assert!(!found.iter().any(is_whole), "{way:?} {name}: {found:#?}");
            }
        }
        assert!(!outcome.stderr.contains("cut short"), "{outcome:?}");
    }
}

#[test]
fn a_second_unwinder_follows_each_kind_as_well() {
    for way in WAYS {
        for how in ["", "signal"] {
            let mut run = Run::plain(tool()).args(&["--verify", "1/1"]);
            for (name, value) in way {
                run = run.env(name, value);
            }
            if !is_short(way) {
                run = run.env("SKIP_HEAP_STACK_DEPTH", "full");
            }
            let outcome = run.arg(by_cfi()).arg(how).succeed();
            assert!(
                outcome
                    .stderr
                    .contains("disagreements: 0, followed farther by libgcc: 0, by us: 0"),
                "{way:?} {how}: {outcome:?}"
            );
        }
    }
}

#[test]
fn stacks_made_by_hand_end_where_they_begin() {
    for flags in [&["-O0"][..], &["-O2", "-fno-omit-frame-pointer"]] {
        let program = Source::c("made_stacks").flags(flags).build();
        for way in WAYS {
            for (how, inner, is_cut) in [
                ("makecontext", "coroutine", false),
                ("finish", "changing", false),
                ("finish-here", "changing", false),
                ("bare", "changing", true),
                ("bare-here", "changing", true),
            ] {
                let (found, outcome) = stacks(&program, how, way);
                let said = format!("{flags:?} {way:?} {how}: {found:#?}, {outcome:?}");
                assert_eq!(calls(&found, &["work", inner]), 100, "{said}");
                // What called the first frame, or is said in its place, and nothing behind it.
                let of_work = found.iter().filter(|(frames, _)| frames[0] == "work");
                assert!(
                    of_work.clone().all(|(frames, _)| frames.len() <= 4),
                    "{said}"
                );
                let wrong = ["main", "set_up", "make", "other", "on_own_stack", "_start"];
                let is_wrong = |name: &String| wrong.iter().any(|wrong| name.starts_with(wrong));
                assert!(
                    !of_work
                        .clone()
                        .any(|(frames, _)| frames.iter().any(is_wrong)),
                    "{said}"
                );
                assert_eq!(
                    outcome.stderr.contains("100 allocations were cut"),
                    is_cut,
                    "{said}"
                );
            }
        }
    }
}

/// Whether the stack of 10 calls is there, as far as it is recorded.
fn assert_stack(stacks: &[(Vec<String>, u64)], way: &[(&str, &str)], expected: &[&str]) {
    let recorded = if is_short(way) {
        &expected[..expected.len().min(4)]
    } else {
        expected
    };
    assert!(
        calls(stacks, recorded) >= 10,
        "{way:?} {expected:?}: {stacks:#?}"
    );
}

/// Returns whether four frames are recorded, and not whole stacks.
fn is_short(way: &[(&str, &str)]) -> bool {
    way.iter().any(|(name, _)| *name == "SKIP_HEAP_STACK_DEPTH")
}

#[test]
fn code_without_unwind_information_says_itself_where_it_returns_to() {
    let program = Source::c("spliced").flags(&["-g"]).build();
    for way in WAYS {
        let (found, outcome) = stacks(&program, "", way);
        let left_out = [
            "ask",
            "without_frame",
            "left_out_2",
            "left_out_1",
            "has_frame",
        ];
        for expected in [
            &[&left_out[..], &["directly", "main"]].concat(),
            &[&left_out[..], &["indirectly", "main"]].concat(),
            &[&left_out[..4], &["outer_made", "main"]].concat(),
            &["ask", "without_frame", "frame_itself", "at_once", "main"][..],
            &[
                "ask",
                "without_frame",
                "frame_itself",
                "at_once_by_pointer",
                "main",
            ],
            &[
                "ask",
                "without_frame",
                "pointer_2",
                "pointer_1",
                "has_frame",
                "all_by_pointer",
            ],
            &["ask", "without_frame", "both", "in_both", "main"],
            &["ask", "with_frame", "sound", "main"],
            &["ask", "with_frame", "sound_by_pointer", "main"],
            &[
                "ask",
                "without_frame",
                "left_out_2",
                "[unknown]",
                "outer_made",
                "main",
            ],
            &[
                "ask",
                "[unknown]",
                "inner_made",
                "[unknown]",
                "outer_made",
                "main",
            ],
        ] {
            assert_stack(&found, way, expected);
        }
        assert!(!outcome.stderr.contains("cut short"), "{outcome:?}");
    }
}

#[test]
fn a_frame_pointer_that_proves_nothing_leaves_no_function_out() {
    let program = Source::c("spliced")
        .flags(&["-g", "-DROUTINE=opaque"])
        .build();
    for way in WAYS {
        let (found, outcome) = stacks(&program, "", way);
        let said = format!("{way:?} {found:#?} {outcome:?}");
        let in_routine: Vec<_> = found
            .iter()
            .filter(|(frames, _)| frames.get(1).is_some_and(|name| name == "opaque"))
            .collect();
        let all: u64 = in_routine.iter().map(|(_, calls)| calls).sum();
        assert_eq!(all, 120, "{said}");
        for (frames, _) in in_routine {
            let is_cut = frames.len() == 3 && frames[2].starts_with('[');
            assert!(is_cut, "{frames:?}: {said}");
        }
        let unproved = ["ask", "opaque", "[frame pointer not proved]"];
        assert!(calls(&found, &unproved) >= 60, "{said}");
        assert!(outcome.stderr.contains("could not be proved"), "{said}");
        // What may be followed.
        assert_stack(&found, way, &["ask", "with_frame", "sound", "main"]);
        assert_stack(
            &found,
            way,
            &["ask", "with_frame", "sound_by_pointer", "main"],
        );
        let made = ["ask", "[unknown]", "inner_made", "[unknown]", "outer_made"];
        assert_stack(&found, way, &made);
    }
}
