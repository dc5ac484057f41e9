//! What `check` judges, and in which words and files.

use super::{assert_ended, check_by, report, rust, skip_heapprof, status};
use crate::support::{Run, output_of, tool};
use std::fs;
use std::path::Path;

#[test]
fn a_planted_regression_is_found_with_its_site() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = rust(folder.path(), "one", "version_one", &["-g"]);
    let two = rust(folder.path(), "two", "version_two", &["-g"]);
    let baseline = folder.path().join("heap/program.csv");
    let check = |program: &Path, more: &[&str]| {
        let run = check_by(&baseline).args(more);
        run.arg("--").arg(program).finish()
    };
    assert_ended(&check(&one, &[]), 2, "check --update --baseline");
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
    assert_ended(
        &check("leaks = 0"),
        1,
        "leaky: 1,000 bytes not freed, 0 allowed",
    );
    assert_ended(
        &check("peak = 1000"),
        1,
        "1,100 bytes at the peak, 1,000 allowed",
    );
}

#[test]
fn budgets_for_the_live_heap_need_a_report_that_knows_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("heap.toml");
    let written = "[budgets]\n\"jv_*\" = { leaks = \"1GiB\", peak = \"1GiB\" }\n";
    fs::write(&config, written).expect("written");
    let jq = |name: &str, option: &str| {
        let path = folder.path().join(name);
        let run = skip_heapprof().args(&["-q", option, "-o"]).arg(&path);
        run.args(&["--", "/usr/bin/jq", "-n", "1"]).succeed();
        path
    };
    let check = |report: &Path| {
        let run = skip_heapprof().args(&["check", "--config"]);
        run.arg(&config).arg(report).finish()
    };
    for (report, expected) in [
        (jq("live.skipheap", "--live"), 0),
        (jq("live.csv", "--columns=all"), 0),
        (jq("plain.skipheap", "--stack-depth=4"), 3),
        (jq("plain.csv", "--stack-depth=4"), 3),
    ] {
        let outcome = check(&report);
        assert_eq!(status(&outcome), expected, "{report:?}: {outcome:?}");
        let says_so = outcome.stderr.contains("does not have lifetimes of blocks");
        assert_eq!(says_so, expected == 3, "{outcome:?}");
    }
}

#[test]
fn the_command_that_is_advised_accepts_the_new_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let baseline = folder.path().join("it's a baseline.csv");
    let check = |filter: &str| {
        let run = check_by(&baseline);
        run.args(&["--", "/usr/bin/jq", "-n", filter]).finish()
    };
    let outcome = check("1");
    let advised = outcome
        .stderr
        .split("create it with: ")
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
fn the_result_is_said_whatever_becomes_of_its_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let config = "[budgets]\n\"jv_*\" = { calls = 10 }\n";
    fs::write(path("skipheap.toml"), config).expect("written");
    let check = |more: &[&str], script: &str| {
        let run = skip_heapprof().args(&["check", "--annotations", "--config"]);
        let run = run.arg(path("skipheap.toml")).args(more);
        run.args(&["--", "/bin/sh", "-c", script]).finish()
    };
    // A file that cannot be written is said before the program runs.
    let marker = path("ran").display().to_string();
    let touch = format!("touch '{marker}'; /usr/bin/jq -n 1");
    assert_ended(
        &check(&["--junit", "/no/such/folder/x.xml"], &touch),
        2,
        "/no/such/folder/x.xml",
    );
    assert!(!path("ran").exists());
    // One that cannot be written any more, after the result.
    let lost = path("lost");
    fs::create_dir(&lost).expect("a folder");
    let file = lost.join("x.xml").display().to_string();
    let remove = format!("rm -r '{}'; /usr/bin/jq -n 1", lost.display());
    let outcome = check(&["--junit", &file], &remove);
    assert_eq!(status(&outcome), 2, "{outcome:?}");
    let said = outcome.stderr.find("1 regression");
    assert!(
        said < outcome.stderr.find("cannot write") && said.is_some(),
        "{outcome:?}"
    );
    // Each annotation is a line, though the program's last has no end.
    let outcome = check(&[], "/usr/bin/jq -n -j 1");
    assert!(outcome.stdout.starts_with("1\n::error "), "{outcome:?}");
    // Budgets hold for a new baseline, which is written all the same.
    let baseline = path("base.csv").display().to_string();
    let outcome = check(&["--update", "--baseline", &baseline], "/usr/bin/jq -n 1");
    assert_eq!(status(&outcome), 1, "{outcome:?}");
    let expected = "base.csv is the new baseline; 1 regression\n";
    assert!(outcome.stderr.contains(expected), "{outcome:?}");
    assert!(path("base.csv").exists());
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
            .contains("vary between the 5 runs, and the lowest value is used"),
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
    let check = |reports: &[&Path]| check_by(&base).args(reports).finish();
    assert_eq!(status(&check(&[&same])), 0);
    let outcome = check(&[&more]);
    assert_eq!(status(&outcome), 1, "{outcome:?}");
    // Each report is a run, and the least counts.
    assert_ended(&check(&[&more, &same]), 0, "vary between the 2 runs");
    assert_ended(
        &check(&[&other]),
        3,
        "the baseline is of another program: jq, not sqlite3",
    );
}

#[test]
fn a_tree_of_processes_is_one_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let baseline = folder.path().join("{program}.csv");
    let check = |n: u32, more: &[&str]| {
        let script =
            format!("/usr/bin/jq -n 1; /usr/bin/jq -n '[range({n})|tostring]|length'; true");
        let run = check_by(&baseline).args(more);
        run.args(&["--", "/bin/sh", "-c", &script]).finish()
    };
    assert_eq!(status(&check(1000, &["--update"])), 0);
    assert!(folder.path().join("sh.csv").exists());
    assert_eq!(status(&check(1000, &[])), 0);
    let outcome = check(9000, &[]);
    assert_eq!(status(&outcome), 1, "{outcome:?}");
}
