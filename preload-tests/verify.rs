//! The stack verifier: every stack of fixtures and of real programs, compared with libgcc's
//! unwinder.

use crate::support::{Outcome, Run, Source, fixture_dir, tool};
use std::path::{Path, PathBuf};

/// What the verifier's line says: stacks compared, disagreements, followed farther by libgcc, by us.
fn verdict(outcome: &Outcome) -> [u64; 4] {
    let mut lines = outcome
        .stderr
        .lines()
        .filter_map(|line| line.split_once("stacks compared with libgcc's unwinder: "));
    let (_, numbers) = lines.next().unwrap_or_else(|| panic!("{outcome:?}"));
    assert_eq!(lines.next(), None, "one line: {outcome:?}");
    let numbers: Vec<u64> = numbers
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect();
    numbers
        .try_into()
        .unwrap_or_else(|_| panic!("four numbers: {outcome:?}"))
}

fn verified(program: impl AsRef<Path>, one_in: &str) -> Run {
    Run::preloaded(program.as_ref()).env("SKIP_HEAP_VERIFY", one_in)
}

/// Every allocation of the run was compared, and nothing was found.
fn assert_all_agree(outcome: &Outcome) {
    let calls: u64 = outcome.reports().iter().map(|report| report.calls()).sum();
    assert!(calls > 0, "{outcome:?}");
    assert_eq!(verdict(outcome), [calls, 0, 0, 0], "{outcome:?}");
}

#[test]
fn the_stacks_of_real_programs_are_what_libgcc_sees() {
    let script = |name: &str| -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("preload-tests/programs")
            .join(name)
    };
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
               SELECT count(*), group_concat('item ' || i) FROM n;";
    let runs = [
        verified("/usr/bin/sqlite3", "1/1").stdin(sql.as_bytes()),
        verified("/usr/bin/perl", "1/1")
            .args(&["-e", "my %h; $h{$_ % 100} .= 'x' x ($_ % 50) for 1..20000; print sort keys %h"]),
        verified("/usr/bin/jq", "1/1")
            .args(&["-n", "[range(3000)|{a:.,b:tostring}]|group_by(.a%7)|map(length)"]),
        verified("/usr/bin/python3", "1/1")
            .env("PYTHONMALLOC", "malloc")
            .args(&["-c", "import json, ast; print(len(json.dumps([{'a': i} for i in range(999)])), ast.dump(ast.parse('x = [y for y in z]')))"]),
        verified("/usr/bin/git", "1/1").args(&["hash-object"]).arg(script("fixture.h")),
    ];
    for run in runs {
        assert_all_agree(&run.succeed());
    }
}

#[test]
fn a_compiler_and_a_runtime_with_threads_agree_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let outcome = verified("/usr/bin/g++", "1/1")
        .args(&["-O1", "-c", "-o"])
        .arg(folder.path().join("object.o"))
        .arg(fixture_dir().join("exceptions.cpp"))
        .succeed();
    let verdicts: Vec<&str> = outcome
        .stderr
        .lines()
        .filter(|line| line.contains("stacks compared"))
        .collect();
    // The driver, the compiler and the assembler.
    assert!(verdicts.len() >= 3, "{outcome:?}");
    for line in verdicts {
        assert!(
            line.contains("disagreements: 0, followed farther by libgcc: 0, by us: 0"),
            "{outcome:?}"
        );
    }
    let outcome = verified("/usr/bin/node", "1/10")
        .args(&[
            "-e",
            "console.log(require('zlib').gzipSync('x'.repeat(1e5)).length)",
        ])
        .succeed();
    let [compared, different, ours_shorter, _] = verdict(&outcome);
    assert!(compared > 100, "{outcome:?}");
    assert_eq!([different, ours_shorter], [0, 0], "{outcome:?}");
}

#[test]
fn unusual_stacks_agree() {
    let stacks = Source::c("stacks").build();
    for case in [
        "over-aligned",
        "variable",
        "coroutines",
        "signal",
        "signal-stack",
        "jumps",
    ] {
        let outcome = verified(&stacks, "1/1").arg(case).succeed();
        assert_all_agree(&outcome);
    }
    assert_all_agree(&verified(Source::cpp("exceptions").build(), "1/1").succeed());
    assert_all_agree(&verified(Source::rust("rust_alloc").build(), "1/1").succeed());
}

#[test]
fn the_report_is_the_same_as_without_it() {
    let outcome = verified(Source::c("pattern").build(), "1/1").succeed();
    outcome.reports().remove(0).assert_is("pattern.csv");
    assert_all_agree(&outcome);
    // What the hot path counts in assembly and what the walk counts that is verified.
    let sql = b"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000)
               SELECT count(*), max('item ' || i) FROM n;";
    let plain = Run::preloaded("/usr/bin/sqlite3").stdin(sql).succeed();
    let outcome = verified("/usr/bin/sqlite3", "1/1000").stdin(sql).succeed();
    let (plain, report) = (plain.report(), outcome.reports().remove(0));
    assert!(report.calls() > 9000, "{}", report.text);
    assert_eq!(report.text, plain.text);
    assert_eq!(verdict(&outcome), [report.calls().div_ceil(1000), 0, 0, 0]);
}

#[test]
fn a_stack_that_is_cut_short_is_found_and_shown() {
    let helper = fixture_dir().join("unusual_frame.s");
    let program = Source::c("unusual_frame")
        .flags(&["-fno-pie", "-no-pie", &helper.to_string_lossy()])
        .build();
    let outcome = verified(&program, "1/1").succeed();
    assert_eq!(verdict(&outcome), [130, 0, 30, 0], "{outcome:?}");
    let example = |outcome: &Outcome| -> String {
        let mut lines = outcome
            .stderr
            .lines()
            .filter(|line| line.contains("first stack that the verifier disagrees with: "));
        let line = lines
            .next()
            .unwrap_or_else(|| panic!("{outcome:?}"))
            .to_owned();
        assert_eq!(lines.next(), None, "{outcome:?}");
        line
    };
    let line = example(&outcome);
    assert!(line.contains("recorded unusual_frame+0x"), "{line}");
    assert!(
        line.contains(" <- cut 2 <- end <- end; libgcc's unwinder saw unusual_frame+0x"),
        "{line}"
    );
    // Farther than we: the function that has jumped there, main and what called it.
    assert_eq!(line.matches("unusual_frame+0x").count(), 4, "{line}");
    assert!(line.contains("libc"), "{line}");
    // The same in the summary of the tool.
    let outcome = Run::plain(tool())
        .args(&["--verify", "1/1"])
        .arg(&program)
        .succeed();
    assert_eq!(verdict(&outcome), [130, 0, 30, 0], "{outcome:?}");
    assert!(example(&outcome).starts_with("note: "), "{outcome:?}");
}

#[test]
fn without_it_nothing_is_said_and_a_wrong_value_is_explained() {
    let program = Source::c("pattern").build();
    for value in ["", "0"] {
        // The three lines and no other.
        verified(&program, value).succeed().report();
    }
    for value in ["1000", "2/3", "1/0", "yes"] {
        let outcome = verified(&program, value).succeed();
        assert!(
            outcome
                .stderr
                .contains("SKIP_HEAP_VERIFY must be one of: 0 (off), or 1/N"),
            "{outcome:?}"
        );
        assert!(!outcome.stderr.contains("compared"), "{outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 4, "{outcome:?}");
        outcome.reports().remove(0).assert_is("pattern.csv");
    }
    let outcome = Run::plain(tool())
        .args(&["--verify", "often"])
        .arg(&program)
        .finish();
    assert_eq!(outcome.status.code(), Some(2), "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("--verify \"often\": must be 0 (off), or 1/N"),
        "{outcome:?}"
    );
}

#[test]
fn threads_children_and_their_stacks_agree() {
    let outcome = verified(Source::c("life").build(), "1/1")
        .arg("fork")
        .finish();
    assert_eq!(outcome.status.code(), Some(7), "{outcome:?}");
    let reports = outcome.reports();
    assert_eq!(reports.len(), 2, "{outcome:?}");
    let compared: Vec<&str> = outcome
        .stderr
        .lines()
        .filter(|line| line.contains("disagreements: 0, followed farther by libgcc: 0"))
        .collect();
    assert_eq!(compared.len(), 2, "{outcome:?}");
    let outcome = verified(Source::c("threads").build(), "1/1")
        .args(&["together", "8", "2000"])
        .succeed();
    let [compared, different, ours_shorter, _] = verdict(&outcome);
    let report = outcome.reports().remove(0);
    assert_eq!(
        [compared, different, ours_shorter],
        [report.calls(), 0, 0],
        "{outcome:?}"
    );
}
