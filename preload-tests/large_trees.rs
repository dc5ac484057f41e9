//! Trees of hundreds of processes; programs in a tree that are left out or cannot be followed.

use crate::support::{Outcome, Report, Run, Source, tool};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

fn skip_heapprof() -> Run {
    Run::plain(tool())
}

/// What lies in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Processes of each of the two programs in [`many`].
const EACH: usize = 200;

/// A tree in which `pattern` and `life` run, each [`EACH`] times.
fn many(options: &[&str]) -> Outcome {
    let script = format!(
        "i=0; while [ $i -lt {EACH} ]; do \"$0\"; \"$1\" return; i=$((i + 1)); done; exit 0"
    );
    skip_heapprof()
        .args(options)
        .args(&["sh", "-c", &script])
        .arg(Source::c("pattern").build())
        .arg(Source::c("life").build())
        .succeed()
}

#[test]
fn hundreds_of_processes_leave_one_file_and_one_folder() {
    let outcome = many(&[]);
    let left = names(&outcome.tmp());
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(format!("{}.csv", left[0]), left[1]);
    Report::read(&outcome.tmp().join(&left[1])).assert_is("pattern.csv");
    let further = names(&outcome.tmp().join(&left[0]));
    assert_eq!(further.len(), 2 * EACH - 1);
    let of = |program: &str| {
        further
            .iter()
            .filter(|name| name.starts_with(program))
            .count()
    };
    assert_eq!((of("pattern."), of("life.")), (EACH - 1, EACH));
    let last = Report::read(&outcome.tmp().join(&left[0]).join(&further[0]));
    assert_eq!(last.calls_by("work"), 1000);
    // One summary: the sum, the programs, the largest processes, no more files than fit.
    let start = format!("skip-heapprof: {} processes of 2 programs: ", 2 * EACH);
    assert!(outcome.stderr.starts_with(&start), "{outcome:?}");
    assert!(outcome.stderr.lines().count() < 60, "{outcome:?}");
    let row = |program: &str| {
        let end = format!(" {EACH}  {program}");
        outcome.stderr.lines().any(|line| line.ends_with(&end))
    };
    assert!(row("pattern") && row("life"), "{outcome:?}");
}

#[test]
fn hundreds_of_processes_are_merged_by_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out.csv");
    let outcome = many(&["--merge=program", "-o", &out.to_string_lossy()]);
    assert_eq!(names(folder.path()), ["out.csv", "out.life.csv"]);
    assert_eq!(names(&outcome.tmp()), [""; 0]);
    let each = EACH as u64;
    assert_eq!(Report::read(&out).calls(), 1023 * each);
    let life = Report::read(&folder.path().join("out.life.csv"));
    assert_eq!(
        (life.calls_by("work"), life.calls_by("leaf")),
        (1000 * each, 0)
    );
    for name in ["all sites of pattern: ", "all sites of life: "] {
        assert!(outcome.stderr.contains(name), "{outcome:?}");
    }
    // Standard output takes one file.
    let refused = skip_heapprof()
        .args(&["--merge=program", "-o", "-", "true"])
        .finish();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

#[test]
fn recordings_of_short_processes_are_small() {
    let outcome = many(&["--keep", "--merge", "-q"]);
    let left = names(&outcome.tmp());
    let kept = left.iter().find(|name| name.starts_with("skip-heapprof-"));
    let kept = outcome.tmp().join(kept.expect("a folder that was kept"));
    let mut recordings = names(&kept);
    recordings.retain(|name| name.ends_with(".skipheap-rec"));
    let blocks: u64 = recordings
        .iter()
        .map(|name| fs::metadata(kept.join(name)).expect("a recording").blocks())
        .sum();
    assert_eq!(recordings.len(), 2 * EACH);
    let each = blocks * 512 / (2 * EACH as u64);
    assert!((4096..=64 << 10).contains(&each), "{each} bytes each");
}

#[test]
fn what_is_left_out_makes_no_recording() {
    // The programs themselves look: their own session is there, and nobody writes to it.
    let script = "\"$0\"; \"$1\" return; ls \"$SKIP_HEAP_SESSION\"; exit 0";
    let run = |programs: &str| {
        skip_heapprof()
            .args(&["--programs", programs, "sh", "-c", script])
            .arg(Source::c("pattern").build())
            .arg(Source::c("life").build())
            .succeed()
    };
    let outcome = run("no-such-program");
    assert_eq!(outcome.stdout, "");
    assert!(
        outcome.stderr.contains("nothing was profiled"),
        "{outcome:?}"
    );
    let outcome = run("life");
    assert_eq!(outcome.stdout.lines().count(), 1, "{outcome:?}");
}

/// A perl that executes something else; `before` runs first.
fn exec(before: &str, what: &str) -> Outcome {
    let script = format!("my @a = map {{ \"x$_\" }} 1..99; {before}; exec {what}");
    skip_heapprof().args(&["perl", "-e", &script]).finish()
}

const NOTE: &str = "was not seen: killed";

#[test]
fn a_program_that_cannot_be_followed_is_counted() {
    let outcome = exec("%ENV = ()", "'/usr/bin/perl', '-e', '1'");
    assert!(
        outcome.stderr.contains("note: the end of 1 process (perl "),
        "{outcome:?}"
    );
    assert!(outcome.stderr.contains(NOTE), "{outcome:?}");
    // What it did before is reported.
    assert!(
        outcome.stderr.contains("skip-heapprof: perl: "),
        "{outcome:?}"
    );
}

#[test]
fn a_program_that_is_followed_is_not() {
    for (before, what) in [
        ("1", "'/usr/bin/perl', '-e', '1'"),
        ("1", "'/bin/sh', '-c', 'exec /usr/bin/perl -e 1'"),
        // The status says how it ended.
        ("kill 9, $$", "'/usr/bin/perl'"),
    ] {
        let outcome = exec(before, what);
        assert!(outcome.stderr.contains("Perl_"), "{outcome:?}");
        assert!(!outcome.stderr.contains(NOTE), "{outcome:?}");
    }
}

#[test]
fn a_killed_child_is_counted() {
    let program = Source::c("life").build();
    let script = "\"$0\" segv; \"$0\" return; exit 0";
    let outcome = skip_heapprof()
        .args(&["sh", "-c", script])
        .arg(program)
        .succeed();
    assert!(
        outcome.stderr.contains("life, 2 processes: "),
        "{outcome:?}"
    );
    assert!(
        outcome.stderr.contains("note: the end of 1 process (life "),
        "{outcome:?}"
    );
}
