//! `skip-heapprof diff` and `check` on real programs.

use crate::support::{Outcome, Run, Source, output_of, tool};
use std::fs;
use std::path::{Path, PathBuf};

fn skip_heapprof() -> Run {
    Run::plain(tool())
}

/// The status that the tool ended with.
fn status(outcome: &Outcome) -> i32 {
    outcome.status.code().expect("a status")
}

/// Runs a program and leaves its report in a folder.
fn report(
    folder: &Path,
    name: &str,
    program: impl AsRef<std::ffi::OsStr>,
    args: &[&str],
) -> PathBuf {
    let path = folder.join(name);
    let run = skip_heapprof().args(&["-q", "-o"]).arg(&path);
    run.arg("--").arg(program).args(args).succeed();
    path
}

/// What `diff` prints.
fn diff(old: &Path, new: &Path) -> String {
    skip_heapprof()
        .arg("diff")
        .arg(old)
        .arg(new)
        .succeed()
        .stdout
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

/// Change, sizes and difference in bytes of each site of a difference.
fn sites(diff: &serde_json::Value) -> Vec<(String, Option<u64>, Option<u64>, i64)> {
    let sites = diff["sites"].as_array().expect("a list").iter();
    sites
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
        let outcome = skip_heapprof()
            .args(&["diff", "--exit-code"])
            .arg(&one)
            .arg(&two)
            .finish();
        assert_eq!(status(&outcome), 0, "{outcome:?}");
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
    let outcome = skip_heapprof()
        .args(&["diff", "--exit-code"])
        .arg(&one)
        .arg(&two)
        .finish();
    assert_eq!(status(&outcome), 1, "{outcome:?}");
}

/// Builds a Rust program in a folder of its own.
fn rust(folder: &Path, below: &str, version: &str, flags: &[&str]) -> PathBuf {
    let source = crate::support::fixture_dir().join(format!("{version}.rs"));
    let own = folder.join(below);
    fs::create_dir_all(&own).expect("a folder");
    let copy = own.join("program.rs");
    fs::copy(source, &copy).expect("copied");
    let program = own.join("program");
    let mut args = vec!["-Copt-level=2", "-o", program.to_str().expect("text")];
    args.extend(flags);
    args.push(copy.to_str().expect("text"));
    output_of("rustc", &args);
    program
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
fn a_planted_regression_is_found_with_its_site() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = rust(folder.path(), "one", "version_one", &["-g"]);
    let two = rust(folder.path(), "two", "version_two", &["-g"]);
    let baseline = folder.path().join("heap/program.csv");
    let check = |program: &Path, more: &[&str]| {
        let run = skip_heapprof()
            .arg("check")
            .arg("--baseline")
            .arg(&baseline)
            .args(more);
        run.arg("--").arg(program).finish()
    };
    let outcome = check(&one, &[]);
    assert_eq!(status(&outcome), 2, "{outcome:?}");
    assert!(
        outcome.stderr.contains("check --update --baseline"),
        "{outcome:?}"
    );
    assert_eq!(status(&check(&one, &["--update"])), 0);
    let text = fs::read_to_string(&baseline).expect("written");
    assert!(!text.contains("0x"), "no addresses: {text}");
    assert_eq!(status(&check(&one, &[])), 0);
    let outcome = check(&two, &[]);
    assert_eq!(status(&outcome), 1, "{outcome:?}");
    for expected in [
        "new-site: program::planted ← program::main ← ",
        ": new, 1,200,000 bytes in 12 calls; of size 100,000",
        "max-new-site allows 65,536 bytes",
        "to accept the new state: ",
    ] {
        assert!(outcome.stderr.contains(expected), "{expected}: {outcome:?}");
    }
    // Accepted, it is the state.
    assert_eq!(status(&check(&two, &["--update"])), 0);
    assert_eq!(status(&check(&two, &[])), 0);
    // The baseline is not what it was.
    let outcome = check(Path::new("/usr/bin/jq"), &["--config", "/dev/null"]);
    assert_eq!(status(&outcome), 3, "{outcome:?}");
}

#[test]
fn the_place_is_found_beyond_the_standard_library() {
    let folder = tempfile::tempdir().expect("a folder");
    let flags = ["-g", "-Copt-level=0"];
    let one = rust(folder.path(), "one", "version_one", &flags);
    let two = rust(folder.path(), "two", "version_two", &flags);
    let baseline = folder.path().join("program.csv");
    let check = |program: &Path, more: &[&str]| {
        let run = skip_heapprof().args(&["check", "--stack-depth", "full", "--baseline"]);
        let run = run
            .arg(&baseline)
            .args(more)
            .env("GITHUB_WORKSPACE", folder.path());
        run.arg("--").arg(program).finish()
    };
    assert_eq!(status(&check(&one, &["--update"])), 0);
    let outcome = check(&two, &["--annotations"]);
    assert_eq!(status(&outcome), 1, "{outcome:?}");
    // The sites' four names are all the standard library's.
    let source = fs::read_to_string(folder.path().join("two/program.rs")).expect("read");
    let line = source
        .lines()
        .position(|line| line.contains("vec![i as u8; 100_000]"));
    let line = line.expect("a line") + 1;
    let expected = format!("::error file=two/program.rs,line={line},title=Heap%3A new-site::");
    assert!(
        outcome.stdout.contains(&expected),
        "{expected}: {outcome:?}"
    );
    let expected = format!("; at two/program.rs:{line} in program::planted");
    assert!(
        outcome.stderr.contains(&expected),
        "{expected}: {outcome:?}"
    );
}

#[test]
fn leaks_have_a_budget() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let source = "#include <stdlib.h>\nvoid *volatile sink;\n\
                  __attribute__((noinline)) void leaky(void) { sink = malloc(1000); sink = malloc(100); free(sink); }\n\
                  int main(void) { leaky(); return 0; }\n";
    fs::write(path("leaky.c"), source).expect("written");
    let [program, source] = ["leaky", "leaky.c"].map(|name| path(name).display().to_string());
    output_of("gcc", &["-O1", "-o", &program, &source]);
    let check = |budget: &str| {
        fs::write(
            path("heap.toml"),
            format!("[budgets]\n\"leaky\" = {{ {budget} }}\n"),
        )
        .expect("written");
        let run = skip_heapprof()
            .args(&["check", "--config"])
            .arg(path("heap.toml"));
        run.arg("--").arg(&program).finish()
    };
    assert_eq!(status(&check("leaks = 1000, peak = \"1.1kB\"")), 0);
    let outcome = check("leaks = 0");
    assert_eq!(status(&outcome), 1, "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("leaky: 1,000 bytes not freed, 0 allowed"),
        "{outcome:?}"
    );
    let outcome = check("peak = 1000");
    assert_eq!(status(&outcome), 1, "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("1,100 bytes at the peak, 1,000 allowed"),
        "{outcome:?}"
    );
}

#[test]
fn the_command_that_is_advised_accepts_the_new_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let baseline = folder.path().join("it's a baseline.csv");
    let check = |filter: &str| {
        let run = skip_heapprof()
            .arg("check")
            .arg("--baseline")
            .arg(&baseline);
        run.args(&["--", "/usr/bin/jq", "-n", filter]).finish()
    };
    let outcome = check("1");
    let advised = outcome
        .stderr
        .split("make it with: ")
        .nth(1)
        .expect("advice");
    let script = |line: &str| {
        let folder = tool().parent().expect("a folder").display().to_string();
        Run::plain("/bin/sh")
            .env("PATH", format!("{folder}:/usr/bin:/bin"))
            .args(&["-c", line])
            .succeed()
    };
    script(advised.trim());
    assert_eq!(status(&check("1")), 0);
    let more = "[range(3000)|tostring]|length";
    let outcome = check(more);
    assert_eq!(status(&outcome), 1, "{outcome:?}");
    let advised = outcome
        .stderr
        .split("to accept the new state: ")
        .nth(1)
        .expect("advice");
    script(advised.trim());
    assert_eq!(status(&check(more)), 0);
}

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
fn budgets_and_machines_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    fs::write(
        path("skipheap.toml"),
        "[budgets]\n\"jv_*\" = { calls = 10, leaks = 0 }\n\"jq_init\" = { bytes = \"1MiB\" }\n",
    )
    .expect("written");
    let summary = path("summary.md");
    let outcome = skip_heapprof()
        .args(&["check", "--config"])
        .arg(path("skipheap.toml"))
        .arg("--junit")
        .arg(path("heap.xml"))
        .arg("--gitlab")
        .arg(path("heap.json"))
        .env("GITHUB_STEP_SUMMARY", &summary)
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_WORKSPACE", folder.path())
        .args(&["--", "/usr/bin/jq", "-n", "[range(100)]|length"])
        .finish();
    assert_eq!(status(&outcome), 1, "{outcome:?}");
    let expected = "::error file=skipheap.toml,line=2,title=Heap%3A budget::jv_*: ";
    assert!(outcome.stdout.contains(expected), "{outcome:?}");
    assert!(outcome.stderr.contains(" calls, 10 allowed"), "{outcome:?}");
    assert!(
        outcome.stderr.contains("raise the budget in "),
        "{outcome:?}"
    );
    let read = |name: &str| fs::read_to_string(path(name)).expect("written");
    assert!(read("summary.md").contains("1 regression ❌"));
    let issues: serde_json::Value = serde_json::from_str(&read("heap.json")).expect("JSON");
    assert_eq!(issues[0]["location"]["lines"]["begin"], 2);
    let counts = "import sys, xml.etree.ElementTree as e; s = e.parse(sys.argv[1]).getroot()[0]; \
                  print(s.get('tests'), s.get('failures'), len(s.findall('testcase/failure')))";
    let counts = output_of(
        "/usr/bin/python3",
        &["-c", counts, &path("heap.xml").display().to_string()],
    );
    assert_eq!(counts.trim(), "1 1 1");
}

#[test]
fn what_varies_is_learned() {
    let folder = tempfile::tempdir().expect("a folder");
    let baseline = folder.path().join("base.csv");
    // As many blocks as the clock says.
    let program = "my $n = 200 + (time() * 7919 + $$) % 50; my @x = map { [\"y\" x 5000] } 1..$n;";
    let check = |more: &[&str]| {
        let run =
            skip_heapprof().args(&["check", "--max-growth", "0%", "--max-calls-growth", "off"]);
        let run = run
            .args(&["--max-new-site", "1KiB", "--repeat", "5", "--baseline"])
            .arg(&baseline);
        run.args(more)
            .args(&["--", "/usr/bin/perl", "-e", program])
            .finish()
    };
    let outcome = check(&["--update"]);
    assert_eq!(status(&outcome), 0, "{outcome:?}");
    let text = fs::read_to_string(&baseline).expect("written");
    let header = text.lines().next().expect("a header");
    assert!(header.ends_with(",least calls,most calls"), "{header}");
    let varies = |line: &&str| {
        let mut fields = line.rsplit(',');
        fields.next() != fields.next()
    };
    assert!(text.lines().skip(1).any(|line| varies(&line)), "{text}");
    let outcome = check(&[]);
    assert!(
        outcome
            .stderr
            .contains("vary between the 5 runs, of which the least counts"),
        "{outcome:?}"
    );
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
    let outcome = skip_heapprof().arg("diff").arg(&csv).arg(&two).args(&[
        "-o",
        "/dev/null",
        "--format",
        "collapsed",
    ]);
    let outcome = outcome.finish();
    assert_eq!(status(&outcome), 2, "{outcome:?}");
    assert!(
        outcome.stderr.contains("a CSV has four frames"),
        "{outcome:?}"
    );
}

#[test]
fn reports_are_judged_in_place_of_a_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let jq = |name: &str, n: u32| {
        let filter = format!("[range({n})|tostring]|length");
        report(folder.path(), name, "/usr/bin/jq", &["-n", &filter])
    };
    let (base, same, more) = (
        jq("a.skipheap", 1000),
        jq("b.csv", 1000),
        jq("c.skipheap", 5000),
    );
    let other = report(
        folder.path(),
        "d.skipheap",
        "/usr/bin/sqlite3",
        &[":memory:", "select 1"],
    );
    let check = |reports: &[&Path]| {
        let run = skip_heapprof().arg("check").arg("--baseline").arg(&base);
        run.args(reports).finish()
    };
    assert_eq!(status(&check(&[&same])), 0);
    let outcome = check(&[&more]);
    assert_eq!(status(&outcome), 1, "{outcome:?}");
    // Each report is a run, and the least counts.
    let outcome = check(&[&more, &same]);
    assert_eq!(status(&outcome), 0, "{outcome:?}");
    assert!(
        outcome.stderr.contains("vary between the 2 runs"),
        "{outcome:?}"
    );
    let outcome = check(&[&other]);
    assert_eq!(status(&outcome), 3, "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("the baseline is one of another program, jq, and this is sqlite3"),
        "{outcome:?}"
    );
}

#[test]
fn a_tree_of_processes_is_one_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let baseline = folder.path().join("{program}.csv");
    let check = |n: u32, more: &[&str]| {
        let script =
            format!("/usr/bin/jq -n 1; /usr/bin/jq -n '[range({n})|tostring]|length'; true");
        let run = skip_heapprof()
            .arg("check")
            .arg("--baseline")
            .arg(&baseline)
            .args(more);
        run.args(&["--", "/bin/sh", "-c", &script]).finish()
    };
    assert_eq!(status(&check(1000, &["--update"])), 0);
    assert!(folder.path().join("sh.csv").exists());
    assert_eq!(status(&check(1000, &[])), 0);
    let outcome = check(9000, &[]);
    assert_eq!(status(&outcome), 1, "{outcome:?}");
}
