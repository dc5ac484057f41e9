//! `--symbols` and debuginfod: names and lines for profiles and recordings that have none.

use crate::support::{Outcome, Run, Source, copied, output_of, script, tool};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A program that was recorded with its names and without, and is gone.
struct Recorded {
    folder: TempDir,
}

impl Recorded {
    fn new() -> Self {
        let recorded = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        let path = |name: &str| recorded.path(name);
        let flags = ["-g", "-Wl,--build-id"];
        copied(
            &Source::c("inlined").flags(&flags).build(),
            &path("program"),
        );
        recorded.run("whole.skipheap", &[]);
        fs::create_dir(path("split")).expect("a folder");
        fs::copy(path("program"), path("split/any.name")).expect("copied");
        recorded.objcopy(&["--only-keep-debug", "program", "program.debug"]);
        recorded.objcopy(&["--strip-all", "program"]);
        recorded.run("bare.skipheap", &["--keep"]);
        fs::remove_file(path("program")).expect("removed");
        recorded
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn objcopy(&self, arguments: &[&str]) {
        let status = std::process::Command::new("objcopy")
            .args(arguments)
            .current_dir(self.folder.path())
            .status();
        assert!(status.expect("objcopy").success(), "{arguments:?}");
    }

    fn run(&self, name: &str, options: &[&str]) {
        fs::create_dir_all(self.path("recordings")).expect("a folder");
        Run::plain(tool())
            .env("TMPDIR", self.path("recordings"))
            .args(&["-q", "--live", "-o"])
            .arg(self.path(name))
            .args(options)
            .arg(self.path("program"))
            .succeed();
    }

    /// The build id, as hexadecimal digits.
    fn build_id(&self) -> String {
        let notes = output_of(
            "readelf",
            &["-n", &self.path("program.debug").to_string_lossy()],
        );
        let line = notes
            .lines()
            .find_map(|line| line.trim().strip_prefix("Build ID: "));
        line.expect("a build id").to_owned()
    }

    /// The recording of the program without names.
    fn recording(&self) -> PathBuf {
        let sessions = fs::read_dir(self.path("recordings")).expect("the folder");
        let session = sessions
            .last()
            .expect("a session")
            .expect("an entry")
            .path();
        let mut files = fs::read_dir(session).expect("the session");
        files
            .find_map(|entry| {
                let path = entry.expect("an entry").path();
                (path.extension()? == "skipheap-rec").then_some(path)
            })
            .expect("a recording")
    }

    /// All columns, and the stacks of the program's functions.
    fn reported(&self, input: &Path, arrange: impl Fn(Run) -> Run) -> (Vec<String>, Outcome) {
        let report = |name: &str, options: &[&str]| {
            let run = Run::plain(tool())
                .args(&["report", "-q", "-o"])
                .arg(self.path(name));
            let outcome = arrange(run.args(options)).arg(input).succeed();
            let text = fs::read_to_string(self.path(name)).expect("the report");
            (text, outcome)
        };
        let (csv, _) = report("out.csv", &["--columns", "all"]);
        let (stacks, outcome) = report("out.folded", &["--lines", "--value", "calls"]);
        let lines = csv.lines().chain(stacks.lines());
        (lines.map(str::to_owned).collect(), outcome)
    }

    fn whole(&self) -> Vec<String> {
        let (lines, _) = self.reported(&self.path("whole.skipheap"), |run| run);
        let stack = "main inlined.c:40;parse inlined.c:32;twice inlined.c:26;take inlined.c:19;outer inlined.c:14;\
                     inner inlined.c:9 1";
        let short = |line: &String| {
            let mut short = String::new();
            for part in line.split_inclusive([' ', ';', '(']) {
                short.push_str(part.rsplit('/').next().unwrap_or(part));
            }
            short.replace(['(', ')'], "")
        };
        assert!(
            lines.iter().map(short).any(|line| line.ends_with(stack)),
            "{lines:#?}"
        );
        lines
    }
}

#[test]
fn names_lines_and_inlined_functions_come_back() {
    let recorded = Recorded::new();
    let whole = recorded.whole();
    let bare = recorded.path("bare.skipheap");
    let (before, _) = recorded.reported(&bare, |run| run);
    assert!(
        before.iter().any(|line| line.contains("program+0x")),
        "{before:#?}"
    );
    assert!(
        !before.iter().any(|line| line.contains("parse")),
        "{before:#?}"
    );
    // By build id, by any name, and where the stripped program lies beside its debug file.
    let id = recorded.build_id();
    let place = recorded.path(&format!("split2/.build-id/{}", &id[..2]));
    fs::create_dir_all(&place).expect("folders");
    let debug = place.join(format!("{}.debug", &id[2..]));
    fs::copy(recorded.path("program.debug"), debug).expect("copied");
    fs::create_dir_all(recorded.path("split3/deep")).expect("folders");
    fs::copy(
        recorded.path("program.debug"),
        recorded.path("split3/deep/program.debug"),
    )
    .expect("copied");
    for input in [bare, recorded.recording()] {
        for folder in ["split", "split2", "split3"] {
            let (lines, outcome) = recorded.reported(&input, |run| {
                run.arg("--symbols").arg(recorded.path(folder))
            });
            assert_eq!(lines, whole, "{folder} {}", input.display());
            assert_eq!(outcome.stderr, "", "{folder}");
        }
    }
}

#[test]
fn a_file_of_another_build_is_named_and_not_used() {
    let recorded = Recorded::new();
    let bare = recorded.path("bare.skipheap");
    let (before, _) = recorded.reported(&bare, |run| run);
    let other = Source::c("inlined")
        .flags(&["-g", "-O1", "-Wl,--build-id"])
        .build();
    fs::create_dir(recorded.path("other")).expect("a folder");
    fs::copy(other, recorded.path("other/program")).expect("copied");
    let (lines, outcome) = recorded.reported(&bare, |run| {
        run.arg("--symbols").arg(recorded.path("other"))
    });
    assert_eq!(lines, before);
    let expected = format!("that of the recorded program {}", recorded.build_id());
    assert!(
        outcome
            .stderr
            .contains("other/program is not used: its build id is ")
            && outcome.stderr.contains(&expected),
        "{outcome:?}"
    );
}

#[test]
fn debuginfod_is_asked_where_a_server_is_named() {
    let recorded = Recorded::new();
    let whole = recorded.whole();
    let bare = recorded.path("bare.skipheap");
    let bin = recorded.path("bin");
    fs::create_dir(&bin).expect("a folder");
    let servers = |run: Run| run.env("DEBUGINFOD_URLS", "http://127.0.0.1:1");
    let (lines, outcome) = recorded.reported(&bare, |run| servers(run).env("PATH", &bin));
    assert!(
        lines.iter().any(|line| line.contains("program+0x")),
        "{lines:#?}"
    );
    assert!(
        outcome.stderr.contains("debuginfod-find cannot be run"),
        "{outcome:?}"
    );
    let client = bin.join("debuginfod-find");
    let answers = |text: &str| {
        script(&client, &format!("#!/bin/sh\n{text}\n"));
        recorded.reported(&bare, |run| servers(run).env("PATH", &bin))
    };
    let (lines, outcome) = answers("exit 1");
    assert!(
        lines.iter().any(|line| line.contains("program+0x")),
        "{lines:#?}"
    );
    assert!(
        outcome
            .stderr
            .contains("debuginfod has no debug information for"),
        "{outcome:?}"
    );
    let (lines, _) = answers(&format!(
        "[ \"$1\" = debuginfo ] && [ \"$2\" = {} ] && echo '{}'",
        recorded.build_id(),
        recorded.path("program.debug").display()
    ));
    assert_eq!(lines, whole);
    let (lines, _) = recorded.reported(&bare, |run| {
        run.env("DEBUGINFOD_URLS", "").env("PATH", &bin)
    });
    assert!(
        lines.iter().any(|line| line.contains("program+0x")),
        "{lines:#?}"
    );
}

#[test]
fn a_debuginfod_that_does_not_answer_is_not_waited_for_long() {
    let recorded = Recorded::new();
    let whole = recorded.whole();
    let bare = recorded.path("bare.skipheap");
    let bin = recorded.path("bin");
    fs::create_dir(&bin).expect("a folder");
    let asked = recorded.path("asked");
    // A process that outlives the client keeps its standard output open.
    script(
        &bin.join("debuginfod-find"),
        &format!(
            "#!/bin/sh\necho \"$2\" >> '{}'\n/usr/bin/sleep 20\n",
            asked.display()
        ),
    );
    let kept = recorded.path("cache");
    let limited = |run: Run, seconds: &str| {
        run.env("DEBUGINFOD_URLS", "http://127.0.0.1:1")
            .env("DEBUGINFOD_CACHE_PATH", &kept)
            .env("SKIP_HEAP_DEBUGINFOD_TIMEOUT", seconds)
            .env("PATH", &bin)
    };
    let begin = Instant::now();
    let (lines, outcome) = recorded.reported(&bare, |run| limited(run, "2"));
    // Two reports of two seconds each, and none of twenty.
    assert!(begin.elapsed() < Duration::from_secs(18), "{outcome:?}");
    assert!(
        lines.iter().any(|line| line.contains("program+0x")),
        "{lines:#?}"
    );
    for expected in [
        "skip-heapprof: waiting for debuginfod, 2 s at most\n",
        "debuginfod did not answer within 2 s: names or lines of ",
    ] {
        assert!(outcome.stderr.contains(expected), "{expected}: {outcome:?}");
    }
    let text = fs::read_to_string(&asked).expect("read");
    assert_eq!(text.lines().count(), 2, "one for each report: {text}");
    // What the client has kept needs no server.
    let place = kept.join(recorded.build_id());
    fs::create_dir_all(&place).expect("folders");
    fs::copy(recorded.path("program.debug"), place.join("debuginfo")).expect("copied");
    let (lines, _) = recorded.reported(&bare, |run| limited(run, "0"));
    assert_eq!(lines, whole);
    let outcome = limited(Run::plain(tool()), "soon")
        .args(&["report", "-q", "-o"])
        .arg(recorded.path("none.csv"))
        .arg(&bare)
        .finish();
    assert_eq!(outcome.status.code(), Some(2), "{outcome:?}");
    assert!(
        outcome.stderr.contains("a whole number of seconds"),
        "{outcome:?}"
    );
}
