//! What `report` says and writes besides the sites is the same of recordings and of the profile that was
//! made of them: the live heap, leaks, suppressions, exit status, timeline, and programs of a tree.

use crate::support::{Outcome, Run, Source, tool};
use std::fs;
use std::path::{Path, PathBuf};

/// What was recorded of a run.
struct Recorded {
    folder: tempfile::TempDir,
    /// The folder of its recordings.
    session: PathBuf,
    /// All of them as one profile.
    profile: PathBuf,
}

impl Recorded {
    fn new(options: &[&str], program: &[&Path]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let outcome = Run::plain(tool())
            .env("TMPDIR", folder.path())
            .args(&["--keep", "--quiet", "-o", "/dev/null"])
            .args(options)
            .arg("--")
            .args(program)
            .finish();
        let mut entries = fs::read_dir(folder.path()).expect("the folder");
        let session = entries
            .find_map(|entry| {
                let path = entry.expect("an entry").path();
                let is_session = path.is_dir() && path.to_string_lossy().contains("skip-heapprof-");
                is_session.then_some(path)
            })
            .unwrap_or_else(|| panic!("no session: {outcome:?}"));
        let profile = folder.path().join("run.skipheap");
        Run::plain(tool())
            .args(&["report", "-q", "--merge", "-o"])
            .arg(&profile)
            .arg(&session)
            .succeed();
        Self {
            folder,
            session,
            profile,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What `report` does with the recordings, and with the profile.
    fn reported(&self, options: &[&str]) -> [Outcome; 2] {
        [&self.session, &self.profile].map(|input| {
            Run::plain(tool())
                .arg("report")
                .args(options)
                .arg(input)
                .finish()
        })
    }

    /// The summary, which must be the same of both and have these parts.
    fn said(&self, options: &[&str], parts: &[&str]) -> String {
        let options = [&["--merge", "-o", "/dev/null"], options].concat();
        let [of_recordings, of_profile] = self.reported(&options);
        assert_eq!(of_recordings.stderr, of_profile.stderr);
        assert_eq!(of_recordings.status.code(), of_profile.status.code());
        for part in parts {
            assert!(of_profile.stderr.contains(part), "{part}: {of_profile:?}");
        }
        of_profile.stderr
    }
}

fn suppressions(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), text).expect("written");
    file
}

#[test]
fn the_live_heap_is_told_the_same() {
    let heap = Source::c("heap").flags(&["-g"]).build();
    let known = suppressions("leak:^keep$\nleak:nowhere\n");
    let option = known.path().to_str().expect("text");
    for depth in ["4", "full"] {
        let recorded = Recorded::new(&["--live", "--stack-depth", depth], &[&heap]);
        let parts = [
            "not freed at the end: 5,",
            "c:9) ← take ← keep ← main",
            "peak of live bytes: ",
            "lifetimes: ",
            "realloc: 5 blocks grown",
        ];
        recorded.said(&[], &parts);
        let said = recorded.said(
            &["--suppressions", option],
            &["suppressed by leak:^keep$: 5,000 bytes (5.0 kB) in 5 blocks\n"],
        );
        assert!(!said.contains("c:9) ← take ← keep"), "{said}");
    }
}

#[test]
fn leaks_are_told_the_same_and_end_in_the_same_status() {
    let leaks = Source::c("leaks").flags(&["-g"]).build();
    let recorded = Recorded::new(&["--leak-check", "--stack-depth", "5"], &[&leaks]);
    let all = "leaked (unreachable): ";
    recorded.said(&[], &[all, " leak (leaks.c:", "ks.c:33) ← leak ← main ← "]);
    let status = |options: &[&str]| {
        let options = [&["-q", "-o", "/dev/null", "--leak-exit-code", "7"], options].concat();
        let outcomes = recorded.reported(&options);
        outcomes.map(|outcome| outcome.status.code())
    };
    assert_eq!(status(&[]), [Some(7); 2]);
    let known = suppressions("leak:leaks\n");
    let option = known.path().to_str().expect("text");
    assert_eq!(status(&["--suppressions", option]), [Some(0); 2]);
    recorded.said(
        &["--suppressions", option],
        &["suppressed by leak:leaks: ", " 0 bytes in 0 blocks"],
    );
}

#[test]
fn estimates_of_the_live_heap_are_the_same() {
    let heap = Source::c("heap").flags(&["-g"]).build();
    let options = ["--live", "--sample", "300", "--stack-depth", "full"];
    let recorded = Recorded::new(&options, &[&heap]);
    recorded.said(
        &[],
        &["estimated from a sample of ", "peak of live bytes: "],
    );
}

#[test]
fn the_timeline_is_the_same_with_the_labels_of_the_program() {
    let control = Source::c("control").build();
    let recorded = Recorded::new(&["--live"], &[&control, Path::new("snapshots")]);
    let timelines = [&recorded.session, &recorded.profile].map(|input| {
        let path = recorded.path("timeline.csv");
        Run::plain(tool())
            .args(&["report", "-q", "-o", "/dev/null", "--timeline"])
            .args(&[&path, input])
            .succeed();
        fs::read_to_string(path).expect("the timeline")
    });
    assert_eq!(timelines[0], timelines[1]);
    for part in ["\"warm up\"", "\"work\""] {
        assert!(timelines[1].contains(part), "{}", timelines[1]);
    }
    assert!(timelines[1].lines().count() > 3, "{}", timelines[1]);
}

#[test]
fn each_program_of_a_profile_has_its_report() {
    let (pattern, life) = (Source::c("pattern").build(), Source::c("life").build());
    let script = Path::new("\"$0\"; \"$1\" return; \"$0\"");
    let shell = [Path::new("sh"), Path::new("-c"), script, &pattern, &life];
    let recorded = Recorded::new(&["--live"], &shell);
    let files = ["csv", "folded"].map(|ending| {
        let names = [&recorded.session, &recorded.profile].map(|input| {
            let folder = tempfile::tempdir().expect("a folder");
            let out = folder.path().join(format!("out.{ending}"));
            let outcome = Run::plain(tool())
                .args(&["report", "--merge=program", "-o"])
                .args(&[&out, input])
                .succeed();
            let further = folder.path().join(format!("out.life.{ending}"));
            let read = |path: &Path| fs::read_to_string(path).expect("the report");
            let said = outcome
                .stderr
                .replace(folder.path().to_str().expect("text"), "");
            [read(&out), read(&further), said]
        });
        assert_eq!(names[0], names[1], "{ending}");
        names.into_iter().next().expect("two")
    });
    let [[pattern, life, said], _] = &files;
    assert!(
        said.starts_with("skip-heapprof: 3 processes of 2 programs: "),
        "{said}"
    );
    assert!(life.contains("\"work\""), "{life}");
    assert!(
        !pattern.contains("\"work\"") && pattern.lines().count() > 3,
        "{pattern}"
    );
}
