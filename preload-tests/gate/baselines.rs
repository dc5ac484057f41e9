//! Baselines of tests that run in processes of their own, and of updates at the same time.

use super::{assert_ended, check_by, skip_heapprof, status};
use crate::support::output_of;
use std::fs;

/// A test program that knows the options of Rust's: it lists two tests, and each allocates in a loop of its own.
const TESTS: &str = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nvoid *volatile sink;\n\
    __attribute__((noinline)) void one(void) { for (int i = 0; i < 100; i++) free(sink = malloc(1000)); }\n\
    __attribute__((noinline)) void two(void) { for (int i = 0; i < 300; i++) free(sink = malloc(2000)); }\n\
    int main(int count, char **words) {\n  for (int i = 1; i < count; i++) {\n    \
    if (!strcmp(words[i], \"--list\")) puts(\"tests::one: test\\ntests::two: test\");\n    \
    if (!strcmp(words[i], \"tests::one\")) one();\n    if (!strcmp(words[i], \"tests::two\")) two();\n  }\n  \
    return 0;\n}\n";

#[test]
fn each_test_of_nextest_has_a_baseline_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("tests.c");
    fs::write(&source, TESTS).expect("written");
    let program = folder.path().join("parse-0123456789abcdef");
    let paths = [&program, &source].map(|path| path.display().to_string());
    output_of("gcc", &["-g", "-O1", "-o", &paths[0], &paths[1]]);
    // As cargo nextest starts the runner.
    let nextest = |options: &[&str], baseline: &str, words: &[&str]| {
        let mut run = skip_heapprof().args(&["check", "--baseline"]);
        run = run.arg(folder.path().join(baseline)).args(options);
        run = run.env("NEXTEST", "1").arg("--").arg(&program).args(words);
        match words {
            ["--exact", test, ..] => run.env("NEXTEST_TEST_NAME", test),
            _ => run,
        }
    };
    let baseline = "heap/{program}-{test}.csv";
    let list = nextest(
        &["--annotations"],
        baseline,
        &["--list", "--format", "terse"],
    )
    .finish();
    assert_ended(&list, 0, "only lists its tests, nothing is checked");
    assert_eq!(list.stdout, "tests::one: test\ntests::two: test\n");
    let both = |options: &[&str], baseline: &str| {
        let tests = ["tests::one", "tests::two"];
        let running = tests.map(|test| nextest(options, baseline, &["--exact", test]).start());
        running.map(|running| running.finish())
    };
    for outcome in both(&["--update"], baseline) {
        assert_eq!(status(&outcome), 0, "{outcome:?}");
    }
    for outcome in both(&["--max-new-site", "0"], baseline) {
        assert_eq!(status(&outcome), 0, "{outcome:?}");
    }
    for (name, size) in [
        ("parse-tests.one.csv", ",1000,"),
        ("parse-tests.two.csv", ",2000,"),
    ] {
        let text = fs::read_to_string(folder.path().join("heap").join(name)).expect("written");
        assert!(text.contains(size), "{name}: {text}");
    }
    // One that all would share is refused, whatever comes first.
    for outcome in both(&["--update"], "heap/{program}.csv") {
        assert_ended(&outcome, 2, "put {test} into its name");
    }
    assert!(!folder.path().join("heap/parse.csv").exists());
    let unknown = check_by(&folder.path().join("{test}.csv"))
        .arg("--")
        .arg(&program);
    assert_ended(&unknown.finish(), 2, "no name for {test}");
}

#[test]
fn of_updates_at_once_the_first_one_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let baseline = folder.path().join("heap.csv");
    let update = |count: u32| {
        let run = check_by(&baseline).arg("--update");
        let script = format!("[range({count})]|length");
        run.args(&["--", "/usr/bin/jq", "-n", &script])
    };
    assert_eq!(status(&update(10).finish()), 0);
    let before = fs::read_to_string(&baseline).expect("written");
    // The first one still runs while the second one begins and ends.
    let slow = check_by(&baseline).arg("--update");
    let (mut slow, go) = slow
        .args(&[
            "--",
            "/bin/sh",
            "-c",
            "echo started; read line; exec /usr/bin/jq -n 1",
        ])
        .start_with_pipe();
    slow.wait_for_output("started");
    assert_eq!(status(&update(1000).finish()), 0);
    let after = fs::read_to_string(&baseline).expect("written");
    assert_ne!(before, after);
    drop(go);
    assert_ended(
        &slow.finish(),
        2,
        "another check wrote this baseline in the meantime",
    );
    assert_eq!(fs::read_to_string(&baseline).expect("there"), after);
}
