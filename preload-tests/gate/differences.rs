//! What `diff` says.

use super::{assert_ended, report, rust, skip_heapprof, status};
use crate::support::Source;
use std::fs;
use std::path::Path;

/// What `diff` prints.
fn diff(old: &Path, new: &Path) -> String {
    skip_heapprof()
        .arg("diff")
        .arg(old)
        .arg(new)
        .succeed()
        .stdout
}

/// `diff --exit-code` ends with this status.
#[track_caller]
fn assert_exit_code(expected: i32, old: &Path, new: &Path) {
    let run = skip_heapprof().args(&["diff", "--exit-code"]);
    let outcome = run.arg(old).arg(new).finish();
    assert_eq!(status(&outcome), expected, "{outcome:?}");
}

/// `diff` as JSON.
fn diff_json(old: &Path, new: &Path) -> serde_json::Value {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("diff.json");
    let run = skip_heapprof()
        .arg("diff")
        .arg(old)
        .arg(new)
        .arg("-o")
        .arg(&out);
    run.succeed();
    serde_json::from_slice(&fs::read(out).expect("written")).expect("JSON")
}

/// Change, sizes and difference in bytes of each site that differs.
fn sites(diff: &serde_json::Value) -> Vec<(String, Option<u64>, Option<u64>, i64)> {
    let sites = diff["sites"].as_array().expect("a list").iter();
    sites
        .filter(|site| site["change"] != "same")
        .map(|site| {
            (
                site["change"].as_str().expect("a word").to_owned(),
                site["old_size"].as_u64(),
                site["new_size"].as_u64(),
                site["difference"]["bytes"].as_i64().expect("a number"),
            )
        })
        .collect()
}

/// The sum of all sites is the difference of the totals.
fn assert_adds_up(diff: &serde_json::Value) {
    let sum: i64 = sites(diff).iter().map(|site| site.3).sum();
    assert_eq!(Some(sum), diff["difference"]["bytes"].as_i64());
}

#[test]
fn equal_runs_have_no_difference() {
    let folder = tempfile::tempdir().expect("a folder");
    let filter = "[range(300)|{a:.,b:tostring}]|group_by(.a%7)|map(length)";
    let statement = "create table t(a,b); insert into t values(1,hex(2)); select * from t";
    for (program, args) in [
        ("/usr/bin/jq", &["-n", filter][..]),
        ("/usr/bin/sqlite3", &[":memory:", statement]),
        (
            "/usr/bin/perl",
            &["-e", "my @x = map { \"x\" x $_ } 1..100"],
        ),
    ] {
        // Perl hashes with a seed of its own in each run.
        let one_run = |name: &str| {
            let path = folder.path().join(name);
            let run = skip_heapprof().args(&["-q", "-o"]).arg(&path);
            let run = run.env("PERL_HASH_SEED", "0").env("PERL_PERTURB_KEYS", "0");
            run.arg(program).args(args).fixed_addresses().succeed();
            path
        };
        let (one, two) = (one_run("one.csv"), one_run("two.csv"));
        let said = diff(&one, &two);
        assert!(said.contains("no difference: "), "{program}: {said}");
        assert_exit_code(0, &one, &two);
    }
}

#[test]
fn other_input_is_a_difference_that_adds_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let filter = |n: u32| format!("[range({n})|{{a:.,b:tostring}}]|group_by(.a%7)|map(length)");
    let one = report(
        folder.path(),
        "one.csv",
        "/usr/bin/jq",
        &["-n", &filter(300)],
    );
    let two = report(
        folder.path(),
        "two.csv",
        "/usr/bin/jq",
        &["-n", &filter(400)],
    );
    let diff = diff_json(&one, &two);
    assert_adds_up(&diff);
    let bytes = diff["difference"]["bytes"].as_i64().expect("a number");
    assert!(bytes > 10_000, "{bytes}");
    // Files for programs have the sites without a difference too.
    let all = diff["sites"].as_array().map_or(0, Vec::len);
    assert!(all > sites(&diff).len(), "{diff}");
    assert_exit_code(1, &one, &two);
}

#[test]
fn a_rust_program_built_elsewhere_is_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    for flags in [&["-Csymbol-mangling-version=v0"][..], &[]] {
        let one = rust(folder.path(), "here/a", "version_one", flags);
        let elsewhere = [flags, &["-Cmetadata=other"]].concat();
        let other = rust(folder.path(), "there/b/c", "version_one", &elsewhere);
        let one = report(folder.path(), "one.csv", one, &[]);
        let other = report(folder.path(), "other.csv", other, &[]);
        let said = diff(&one, &other);
        assert!(said.contains("no difference: "), "{said}");
    }
}

#[test]
fn what_changed_between_two_versions_of_a_rust_program_is_all_that_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let flags = ["-Csymbol-mangling-version=v0"];
    let one = rust(folder.path(), "one", "version_one", &flags);
    let two = rust(folder.path(), "two", "version_two", &flags);
    let one = report(folder.path(), "one.csv", one, &[]);
    let two = report(folder.path(), "two.csv", two, &[]);
    let diff = diff_json(&one, &two);
    assert_adds_up(&diff);
    let new = |size, bytes| ("new".to_owned(), None, Some(size), bytes);
    assert_eq!(
        sites(&diff),
        [
            new(100_000, 1_200_000),
            ("grown".to_owned(), Some(48), Some(56), 8000),
            new(210, 210),
        ]
    );
    assert_eq!(diff["sites"][0]["names"][0], "program::planted");
}

#[test]
fn an_added_lambda_shifts_the_others() {
    let folder = tempfile::tempdir().expect("a folder");
    for compiler in ["g++", "clang++"] {
        let source = || Source::cpp("lambdas").compiler(compiler).flags(&["-O1"]);
        let one = report(folder.path(), "one.csv", source().build(), &[]);
        let two = source().flags(&["-DADDED"]).build();
        let two = report(folder.path(), "two.csv", two, &[]);
        let diff = diff_json(&one, &two);
        assert_adds_up(&diff);
        let new = ("new".to_owned(), None, Some(500), 1500);
        assert_eq!(sites(&diff), [new], "{compiler}: {diff}");
        let said = self::diff(&one, &two);
        assert!(said.contains(" sites are the same"), "{said}");
    }
}

#[test]
fn profiles_are_compared_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let flags = ["-Csymbol-mangling-version=v0"];
    let one = rust(folder.path(), "one", "version_one", &flags);
    let two = rust(folder.path(), "two", "version_two", &flags);
    let one = report(folder.path(), "one.skipheap", one, &[]);
    let two = report(folder.path(), "two.skipheap", two, &[]);
    let out = |name: &str| {
        let out = folder.path().join(name);
        let run = skip_heapprof().arg("diff").arg(&one).arg(&two);
        run.arg("-o").arg(&out).succeed();
        out
    };
    // As of the CSV files.
    assert_eq!(sites(&diff_json(&one, &two))[0].3, 1_200_000);
    let text = fs::read_to_string(out("both.folded")).expect("text");
    let mut sums = (0, 0);
    for line in text.lines() {
        let mut fields = line
            .rsplit(' ')
            .map(|field| field.parse::<u64>().unwrap_or(0));
        let (new, old) = (fields.next().unwrap_or(0), fields.next().unwrap_or(0));
        sums = (sums.0 + old, sums.1 + new);
        let is_planted = line.contains(";program::main;program::planted");
        assert_eq!(is_planted, new == 1_200_000, "{line}");
        // Nothing but what changed has other numbers.
        let is_known = ["program::planted", "program::items"]
            .iter()
            .any(|name| line.contains(name));
        assert!(old == new || is_known || (old, new) == (0, 210), "{line}");
    }
    let totals = &diff_json(&one, &two);
    let total = |side: &str| totals[side]["bytes"].as_u64().expect("a number");
    assert_eq!(sums, (total("old"), total("new")));
    // A profile with both, from which every other format can be made.
    let both = out("both.skipheap");
    let page = folder.path().join("both.html");
    let run = skip_heapprof()
        .args(&["report", "-q"])
        .arg(&both)
        .arg("-o")
        .arg(&page);
    run.succeed();
    assert!(fs::read(page).expect("written").len() > 10_000);
    let csv = folder.path().join("one.csv");
    skip_heapprof()
        .args(&["report", "-q"])
        .arg(&one)
        .arg("-o")
        .arg(&csv)
        .succeed();
    let run = skip_heapprof().arg("diff").arg(&csv).arg(&two).args(&[
        "-o",
        "/dev/null",
        "--format",
        "collapsed",
    ]);
    assert_ended(&run.finish(), 2, "a CSV has only four frames");
}
