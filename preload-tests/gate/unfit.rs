//! What cannot be judged.

use super::{assert_ended, check_by, report, skip_heapprof, status};
use std::fs;

#[test]
fn data_that_are_not_fit_end_with_status_three() {
    let folder = tempfile::tempdir().expect("a folder");
    let baseline = report(folder.path(), "base.csv", "/usr/bin/jq", &["-n", "1"]);
    let check = |command: &[&str], more: &[&str]| {
        let run = check_by(&baseline).args(more);
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
        (
            &[
                "/bin/sh",
                "-c",
                "/usr/bin/perl -e 'kill 9, $$'; /usr/bin/jq -n 1",
            ],
            &[],
            "(perl) was not seen",
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
        assert!(outcome.stderr.contains("cannot be compared"), "{outcome:?}");
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
        (&["check", "--", "jq"], "nothing to compare with"),
        (&["check", "--baseline", &broken], "nothing to check"),
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
            "`lots` is not a limit",
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
        let run = check_by(&baseline).args(more);
        run.args(&["--", "/usr/bin/jq", "-n", "1"]).finish()
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

#[test]
fn a_baseline_that_says_nothing_or_only_a_part_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let header = "pc0,pc1,pc2,pc3,bytes allocated,call count,total bytes\n";
    fs::write(path("empty.csv"), header).expect("written");
    let row = "\"f\",\"main\",-,-,8,2,16\n";
    fs::write(path("twice.csv"), format!("{header}{row}{row}")).expect("written");
    let perl = |name: &str, options: &[&str], program: &str| {
        let run = skip_heapprof().args(&["-q"]).args(options).arg("-o");
        run.arg(path(name))
            .args(&["--", "/usr/bin/perl", "-e", program])
            .finish();
        path(name)
    };
    let sampled = &["--sample=4K"][..];
    let many = "my @x = map { \"x\" x $_ } 1..500";
    perl("killed.skipheap", &[], "kill 9, $$");
    perl("sampled.skipheap", sampled, many);
    perl("sampled.csv", &["--columns=all", "--sample=4K"], many);
    for (name, expected) in [
        ("empty.csv", "the baseline has no rows"),
        ("twice.csv", "line 3: it repeats line 2"),
        ("killed.skipheap", "was not seen"),
        ("sampled.skipheap", "estimates from a sample"),
        ("sampled.csv", "estimates from a sample"),
    ] {
        let check = |more: &[&str]| {
            let run = check_by(&path(name)).args(more);
            run.args(&["--", "/usr/bin/jq", "-n", "1"]).finish()
        };
        let outcome = check(&[]);
        assert_eq!(status(&outcome), 2, "{name}: {outcome:?}");
        assert!(outcome.stderr.contains(expected), "{expected}: {outcome:?}");
        assert_eq!(status(&check(&["--update"])), 0, "{name}");
    }
    for name in ["-", "/dev/full"] {
        let run = skip_heapprof().args(&["check", "--update", "--baseline", name]);
        let outcome = run.args(&["--", "/usr/bin/jq", "-n", "1"]).finish();
        assert_eq!(status(&outcome), 2, "{name}: {outcome:?}");
    }
}

#[test]
fn a_report_of_a_part_of_a_run_is_not_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let perl = |name: &str, program: &str| {
        let run = skip_heapprof()
            .args(&["-q", "--merge", "-o"])
            .arg(path(name));
        run.args(&["--", "/usr/bin/perl", "-e", program]).finish();
        path(name)
    };
    let baseline = perl("whole.csv", "my @x = map { \"x\" x 10000 } 1..500");
    let check = |report| check_by(&baseline).arg(report).finish();
    let killed = perl(
        "killed.skipheap",
        "my @x = map { \"x\" x 10000 } 1..50; kill 9, $$",
    );
    let outcome = check(killed);
    assert_eq!(status(&outcome), 3, "{outcome:?}");
    // What a child did before it executed a program that is left out counts.
    let both = "my @x = map { \"x\" x 10000 } 1..500; system(\"true; exit 0\")";
    let outcome = check(perl("both.skipheap", both));
    assert_eq!(status(&outcome), 0, "{outcome:?}");
    let less = "my @x = map { \"x\" x 10000 } 1..50; system(\"true; exit 0\")";
    assert_ended(&check(perl("less.skipheap", less)), 3, "a child of fork");
}
