//! What cannot be judged.

use super::{report, skip_heapprof, status};
use std::fs;

#[test]
fn data_that_are_not_fit_end_with_status_three() {
    let folder = tempfile::tempdir().expect("a folder");
    let baseline = report(folder.path(), "base.csv", "/usr/bin/jq", &["-n", "1"]);
    let check = |command: &[&str], more: &[&str]| {
        let run = skip_heapprof()
            .arg("check")
            .arg("--baseline")
            .arg(&baseline)
            .args(more);
        run.arg("--").args(command).finish()
    };
    assert_eq!(status(&check(&["/usr/bin/jq", "-n", "1"], &[])), 0);
    for (command, more, expected) in [
        (
            &["/usr/bin/jq", "-n", "error(\"no\")"][..],
            &[][..],
            "failed with exit status 5",
        ),
        (
            &["/bin/sh", "-c", "/usr/bin/jq -n 1; kill -9 $$"],
            &[],
            "killed by signal 9 (SIGKILL)",
        ),
        (
            &["/usr/bin/sqlite3", ":memory:", "select 1"],
            &[],
            "almost no site in common",
        ),
        (&["/bin/sh", "-c", "true"], &[], "nothing was profiled"),
        (&["/no/such/program"], &[], "/no/such/program"),
        (
            &["/usr/bin/jq", "-n", "1"],
            &["--sample", "1000"],
            "from a sample",
        ),
    ] {
        let outcome = check(command, more);
        assert_eq!(status(&outcome), 3, "{command:?}: {outcome:?}");
        assert!(outcome.stderr.contains(expected), "{expected}: {outcome:?}");
        assert!(
            outcome.stderr.contains("not fit to be judged"),
            "{outcome:?}"
        );
    }
}

#[test]
fn misuse_ends_with_status_two() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let broken = path("broken.csv", "pc0,pc1\n");
    let config = path("bad.toml", "[budgets]\n\"a\" = { cals = 1 }\n");
    let glob = path("glob.toml", "[budgets]\n\"a[\" = { calls = 1 }\n");
    for (args, expected) in [
        (
            &["check", "--baseline", &broken, "--", "jq"][..],
            "there is no column `pc2`",
        ),
        (&["check", "--", "jq"], "nothing to judge by"),
        (&["check", "--baseline", &broken], "check what?"),
        (
            &["check", "--config", &config, "--", "jq"],
            "bad.toml: line 2: unknown field `cals`",
        ),
        (
            &["check", "--config", &glob, "--", "jq"],
            "glob.toml: line 2: ",
        ),
        (
            &["check", "--max-growth", "lots", "--", "jq"],
            "`lots` is no limit",
        ),
        (
            &["diff", &broken, &broken],
            "broken.csv: line 1: there is no column",
        ),
        (&["diff", "/no/such.csv", &broken], "/no/such.csv: "),
    ] {
        let outcome = skip_heapprof().args(args).finish();
        assert_eq!(status(&outcome), 2, "{args:?}: {outcome:?}");
        assert!(outcome.stderr.contains(expected), "{expected}: {outcome:?}");
    }
}

#[test]
fn a_baseline_with_the_marks_of_a_merge_can_be_written_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let baseline = folder.path().join("base.csv");
    let header = "pc0,pc1,pc2,pc3,bytes allocated,call count,total bytes";
    fs::write(&baseline, format!("{header}\n<<<<<<< HEAD\n")).expect("written");
    let check = |more: &[&str]| {
        let run = skip_heapprof()
            .arg("check")
            .arg("--baseline")
            .arg(&baseline);
        run.args(more)
            .args(&["--", "/usr/bin/jq", "-n", "1"])
            .finish()
    };
    let outcome = check(&[]);
    assert_eq!(status(&outcome), 2, "{outcome:?}");
    assert!(
        outcome.stderr.contains("line 2: ") && outcome.stderr.contains("mark of a merge"),
        "{outcome:?}"
    );
    assert_eq!(status(&check(&["--update"])), 0);
    assert_eq!(status(&check(&[])), 0);
}
