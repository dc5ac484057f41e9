//! What is read and what is written by a report: each input once and never written over, a file for each that is
//! written and none else, endings that mean something, and what is missing said everywhere.

use crate::support::{Outcome, Run, read_recording, recordings, tool};
use std::fs;
use std::path::{Path, PathBuf};

const PERL: [&str; 3] = ["/usr/bin/perl", "-e", "my @a = map { \"x$_\" x 9 } 1..999"];

/// A folder with a recording, `r.skipheap-rec`, and a profile of the same run, `p.skipheap`.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        let run = Run::plain(tool()).env("TMPDIR", folder.0.path());
        run.args(&["--keep", "-q", "-o"])
            .arg("/dev/null")
            .args(&PERL)
            .succeed();
        let entries = fs::read_dir(folder.0.path()).expect("the folder");
        let session = entries
            .map(|entry| entry.expect("an entry").path())
            .find(|path| path.is_dir())
            .expect("the session");
        let recording = recordings(&session).pop().expect("the recording");
        fs::write(folder.path("r.skipheap-rec"), read_recording(&recording)).expect("a copy");
        fs::remove_dir_all(session).expect("removed");
        folder.tell(0, &["report", "-q", "r.skipheap-rec", "-o", "p.skipheap"]);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("the folder");
        let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("text");
        let mut names: Vec<String> = entries.map(|e| name(e.expect("an entry"))).collect();
        names.sort();
        names
    }

    /// Runs the tool in the folder, which ends with this status.
    fn tell(&self, status: i32, args: &[&str]) -> Outcome {
        let script = "cd \"$0\" && exec \"$@\"";
        let run = Run::plain("/bin/sh").args(&["-c", script]);
        let outcome = run.arg(self.0.path()).arg(tool()).args(args).finish();
        assert_eq!(outcome.status.code(), Some(status), "{args:?}: {outcome:?}");
        outcome
    }
}

#[test]
fn a_recording_that_was_cut_off_is_so_in_every_profile_and_report_of_it() {
    const SAID: &str = "bytes of the recording missing";
    let folder = Folder::new();
    let whole = folder.read("r.skipheap-rec");
    let missing = whole.len() / 3;
    let cut = &whole[..whole.len() - missing];
    fs::write(folder.path("cut.skipheap-rec"), cut).expect("written");
    folder.tell(
        0,
        &["report", "-q", "cut.skipheap-rec", "-o", "cut.skipheap"],
    );
    folder.tell(
        0,
        &["merge", "-q", "cut.skipheap-rec", "-o", "merged.skipheap"],
    );
    folder.tell(
        0,
        &[
            "merge",
            "-q",
            "cut.skipheap",
            "merged.skipheap",
            "r.skipheap-rec",
            "-o",
            "all.skipheap",
        ],
    );
    for (name, missing) in [
        ("cut.skipheap", missing),
        ("merged.skipheap", missing),
        ("all.skipheap", 2 * missing),
    ] {
        let outcome = folder.tell(0, &["report", name, "-o", "x.json"]);
        let plain: String = outcome.stderr.replace(',', "");
        assert!(
            plain.contains(&format!("warning: {missing} {SAID}")),
            "{outcome:?}"
        );
        let json: serde_json::Value = serde_json::from_slice(&folder.read("x.json")).expect("JSON");
        assert_eq!(json["losses"][0]["count"], missing, "{name}");
        for file in ["x.md", "x.svg"] {
            folder.tell(0, &["report", "-q", name, "-o", file]);
            let text = String::from_utf8(folder.read(file)).expect("text");
            assert!(text.contains(SAID), "{name} {file}");
        }
        let outcome = folder.tell(0, &["diff", "p.skipheap", name]);
        assert!(
            outcome.stderr.contains(&format!("warning: {name}: ")),
            "{outcome:?}"
        );
        assert!(outcome.stderr.contains(SAID), "{outcome:?}");
        // Not fit to be judged; not fit to judge by.
        for (status, baseline, report) in [(3, "p.skipheap", name), (2, name, "p.skipheap")] {
            let outcome = folder.tell(status, &["check", "--baseline", baseline, report]);
            assert!(outcome.stderr.contains(SAID), "{outcome:?}");
        }
    }
    let outcome = folder.tell(0, &["report", "p.skipheap", "-o", "x.json"]);
    assert!(!outcome.stderr.contains("warning"), "{outcome:?}");
    folder.tell(0, &["check", "--baseline", "p.skipheap", "p.skipheap"]);
}

#[test]
fn no_input_is_written_over() {
    let folder = Folder::new();
    fs::copy(folder.path("p.skipheap"), folder.path("q.skipheap")).expect("a copy");
    fs::hard_link(folder.path("q.skipheap"), folder.path("q.json")).expect("a link");
    fs::create_dir(folder.path("rr")).expect("a folder");
    fs::copy(
        folder.path("r.skipheap-rec"),
        folder.path("rr/1.skipheap-rec"),
    )
    .expect("a copy");
    let files = [
        "p.skipheap",
        "q.skipheap",
        "r.skipheap-rec",
        "rr/1.skipheap-rec",
    ];
    let before = files.map(|name| folder.read(name));
    for args in [
        &[
            "report",
            "-q",
            "p.skipheap",
            "q.skipheap",
            "-o",
            "q.skipheap",
        ][..],
        &["report", "p.skipheap", "q.skipheap", "-o", "./q.json"],
        &[
            "report",
            "--format=csv",
            "r.skipheap-rec",
            "-o",
            "r.skipheap-rec",
        ],
        &["report", "--format=csv", "rr", "-o", "rr/1.skipheap-rec"],
        &[
            "report",
            "p.skipheap",
            "-o",
            "x.csv",
            "--timeline",
            "p.skipheap",
        ],
        &["diff", "p.skipheap", "q.skipheap", "-o", "q.skipheap"],
        &["diff", "q.skipheap", "p.skipheap", "-o", "./q.json"],
        &["merge", "p.skipheap", "q.skipheap", "-o", "q.skipheap"],
    ] {
        let outcome = folder.tell(2, args);
        let said = "both an input and an output";
        assert!(outcome.stderr.contains(said), "{args:?}: {outcome:?}");
    }
    let outcome = folder.tell(
        2,
        &[
            "report",
            "p.skipheap",
            "-o",
            "t.csv",
            "--timeline",
            "./t.csv",
        ],
    );
    assert!(
        outcome.stderr.contains("cannot be the same file"),
        "{outcome:?}"
    );
    // The second profile's own file would be another input.
    let outcome = folder.tell(
        0,
        &["report", "-q", "p.skipheap", "q.skipheap", "-o", "x.json"],
    );
    let further = folder
        .names()
        .into_iter()
        .find(|name| name.starts_with("x.perl."));
    let further = further.unwrap_or_else(|| panic!("{outcome:?}"));
    fs::rename(folder.path("q.skipheap"), folder.path(&further)).expect("renamed");
    let args = ["report", "-q", "p.skipheap", &further, "-o", "x.json"];
    let outcome = folder.tell(125, &args);
    assert!(outcome.stderr.contains("it is an input"), "{outcome:?}");
    let after = [
        "p.skipheap",
        &further,
        "r.skipheap-rec",
        "rr/1.skipheap-rec",
    ];
    assert!(before == after.map(|name| folder.read(name)));
    assert!(
        !folder
            .names()
            .iter()
            .any(|name| name == "x.csv" || name == "t.csv")
    );
}

#[test]
fn an_input_counts_once_however_it_is_spelt() {
    let folder = Folder::new();
    fs::create_dir(folder.path("rr")).expect("a folder");
    fs::rename(
        folder.path("r.skipheap-rec"),
        folder.path("rr/1.skipheap-rec"),
    )
    .expect("moved");
    std::os::unix::fs::symlink("p.skipheap", folder.path("link")).expect("a link");
    folder.tell(0, &["report", "-q", "p.skipheap", "-o", "expected.csv"]);
    for inputs in [
        &["rr", "./rr"][..],
        &["rr/1.skipheap-rec", "rr"],
        &["p.skipheap", "./p.skipheap", "link"],
    ] {
        let args = [&["report", "-q", "--merge", "-o", "x.csv"], inputs].concat();
        folder.tell(0, &args);
        assert!(
            folder.read("x.csv") == folder.read("expected.csv"),
            "{inputs:?}"
        );
    }
}

#[test]
fn what_stands_behind_a_profile_is_not_passed_over() {
    let folder = Folder::new();
    let profile = folder.read("p.skipheap");
    fs::write(folder.path("two.skipheap"), profile.repeat(2)).expect("written");
    for args in [
        &["report", "two.skipheap"][..],
        &["merge", "two.skipheap", "-o", "x.skipheap"],
        &["diff", "two.skipheap", "p.skipheap"],
    ] {
        let outcome = folder.tell(2, args);
        let said = format!("two.skipheap: {} bytes behind the profile", profile.len());
        assert!(outcome.stderr.contains(&said), "{outcome:?}");
    }
}

#[test]
fn endings_that_mean_nothing_are_refused_before_the_program_runs() {
    let folder = Folder::new();
    let before = folder.names();
    for name in ["a.pb", "a.json.gz", "a.txt", "a.skipheap.gz"] {
        for args in [
            &["-o", name, "/usr/bin/touch", "ran"][..],
            &["report", "p.skipheap", "-o", name],
            &["merge", "p.skipheap", "-o", name],
        ] {
            let outcome = folder.tell(2, args);
            assert!(
                outcome.stderr.contains("unknown extension: use .csv, "),
                "{outcome:?}"
            );
        }
    }
    assert_eq!(folder.names(), before);
    folder.tell(0, &["report", "-q", "p.skipheap", "-o", "a.FOLDED"]);
    assert!(!folder.read("a.FOLDED").starts_with(b"pc0"));
    folder.tell(0, &["report", "-q", "p.skipheap", "-o", "table"]);
    assert!(folder.read("table").starts_with(b"pc0,"));
    folder.tell(
        0,
        &["report", "-q", "--format=csv", "p.skipheap", "-o", "a.txt"],
    );
    assert!(folder.read("a.txt") == folder.read("table"));
    let own = std::process::id().to_string();
    let outcome = folder.tell(2, &["snapshot", &own, "-o", "x.html"]);
    assert!(
        outcome.stderr.contains("a snapshot is a recording"),
        "{outcome:?}"
    );
    let outcome = folder.tell(2, &["report", "table"]);
    assert!(outcome.stderr.contains("table: a CSV, "), "{outcome:?}");
}

#[test]
fn no_file_is_left_where_nothing_was_written() {
    let folder = Folder::new();
    fs::write(folder.path("bad.skipheap"), "SKIPPROF, but short").expect("written");
    let before = folder.names();
    folder.tell(
        2,
        &[
            "merge",
            "bad.skipheap",
            "--skip-damaged",
            "-o",
            "x.skipheap",
        ],
    );
    folder.tell(2, &["report", "bad.skipheap", "-o", "x.csv"]);
    folder.tell(127, &["-o", "x.csv", "/no/such/program"]);
    let outcome = folder.tell(125, &["--timeline", "none/t.csv", "/usr/bin/touch", "ran"]);
    assert!(outcome.stderr.contains("none/t.csv"), "{outcome:?}");
    for args in [
        &["report", "p.skipheap"][..],
        &["--", "/usr/bin/touch", "ran"],
    ] {
        let outcome = folder.tell(2, &[&["--timeline", "-"], args].concat());
        assert!(outcome.stderr.contains("/dev/stdout"), "{outcome:?}");
    }
    folder.tell(
        2,
        &["report", "p.skipheap", "--symbols", "none", "-o", "x.csv"],
    );
    let outcome = folder.tell(2, &["report", "p.skipheap", "--symbols", "none"]);
    assert!(
        outcome.stderr.contains("--symbols none: no such folder"),
        "{outcome:?}"
    );
    folder.tell(125, &["report", "p.skipheap", "-o", "/dev/full"]);
    folder.tell(125, &["report", "p.skipheap", "-o", "none/x.csv"]);
    assert_eq!(folder.names(), before);
}

#[test]
fn a_run_without_allocations_has_a_report_without_sites() {
    let folder = Folder::new();
    fs::write(folder.path("old.csv"), "of another run").expect("written");
    for name in ["old.csv", "new.csv"] {
        folder.tell(0, &["-o", name, "/bin/sh", "-c", "exit 0"]);
        let text = String::from_utf8(folder.read(name)).expect("text");
        assert!(
            text.starts_with("pc0,") && text.lines().count() == 1,
            "{text}"
        );
    }
    folder.tell(0, &["-o", "new.skipheap", "/bin/sh", "-c", "exit 0"]);
    let outcome = folder.tell(0, &["diff", "new.skipheap", "p.skipheap"]);
    assert!(
        Path::new(&folder.path("new.skipheap")).exists(),
        "{outcome:?}"
    );
}
