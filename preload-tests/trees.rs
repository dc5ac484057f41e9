//! The tool and more than one process: a report for each, or one for all; recordings that are kept.

use crate::support::{Outcome, Report, Run, Source, tool};
use std::fs;
use std::path::{Path, PathBuf};

fn skip_heapprof() -> Run {
    Run::plain(tool())
}

/// What lies in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| {
            let name = entry.expect("an entry").file_name();
            name.to_string_lossy().into_owned()
        })
        .collect();
    names.sort();
    names
}

/// A shell that runs `pattern` and then `life return`, under the tool with these options.
fn two_programs(options: &[&str], out: &Path) -> Outcome {
    skip_heapprof()
        .args(options)
        .arg("-o")
        .arg(out)
        .args(&["sh", "-c", "\"$0\"; \"$1\" return"])
        .arg(Source::c("pattern").build())
        .arg(Source::c("life").build())
        .finish()
}

#[test]
fn each_process_has_a_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let outcome = two_programs(&[], &folder.path().join("out.csv"));
    assert_eq!(outcome.status.code(), Some(7), "{outcome:?}");
    let names = names(folder.path());
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(names[0], "out.csv");
    assert!(
        names[1].starts_with("out.life.") && names[1].ends_with(".csv"),
        "{names:?}"
    );
    Report::read(&folder.path().join("out.csv")).assert_is("pattern.csv");
    let life = Report::read(&folder.path().join(&names[1]));
    assert_eq!((life.calls_by("work"), life.calls_by("leaf")), (1000, 0));
    // One summary, which names both.
    assert!(
        outcome
            .stderr
            .starts_with("skip-heapprof: 2 processes of 2 programs: "),
        "{outcome:?}"
    );
    for name in ["out.csv", &names[1]] {
        assert!(outcome.stderr.contains(name), "{outcome:?}");
    }
}

#[test]
fn merged_reports_are_the_sum() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out.csv");
    two_programs(&[], &out);
    let parts: Vec<Report> = names(folder.path())
        .iter()
        .map(|name| Report::read(&folder.path().join(name)))
        .collect();
    let merged_out = folder.path().join("merged.csv");
    let outcome = two_programs(&["--merge"], &merged_out);
    assert_eq!(outcome.status.code(), Some(7), "{outcome:?}");
    let merged = Report::read(&merged_out);
    assert_eq!(names(folder.path()).len(), 3);
    assert_eq!(merged.calls(), parts.iter().map(Report::calls).sum::<u64>());
    let mut rows: Vec<_> = parts.into_iter().flat_map(|part| part.rows).collect();
    let mut sums = merged.rows;
    for sum in &mut sums {
        let of_this = |row: &crate::support::Row| row.frames == sum.frames && row.size == sum.size;
        let calls: u64 = rows
            .iter()
            .filter(|row| of_this(row))
            .map(|row| row.calls)
            .sum();
        assert_eq!(calls, sum.calls, "{sum:?}");
        rows.retain(|row| !of_this(row));
    }
    assert!(rows.is_empty(), "{rows:?}");
}

#[test]
fn a_forked_child_has_a_report_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let outcome = skip_heapprof()
        .arg("-o")
        .arg(&out)
        .arg(Source::c("life").build())
        .arg("fork")
        .finish();
    assert_eq!(outcome.status.code(), Some(7), "{outcome:?}");
    let names = names(folder.path());
    assert_eq!(names.len(), 2, "{names:?}");
    let parent = Report::read(&out);
    assert_eq!(
        (parent.calls_by("work"), parent.calls_by("child_work")),
        (1010, 0)
    );
    let child = Report::read(&folder.path().join(&names[1]));
    assert_eq!(
        (child.calls_by("work"), child.calls_by("child_work")),
        (0, 500)
    );
}

#[test]
fn standard_output_takes_the_report_of_all() {
    let outcome = two_programs(&["-q"], Path::new("-"));
    assert_eq!(outcome.stderr, "");
    let report = Report::parse(outcome.stdout);
    assert_eq!(
        (report.calls_by("work"), report.calls_by("leaf") > 0),
        (1000, true)
    );
}

#[test]
fn nothing_stays_behind_but_the_reports() {
    let pattern = Source::c("pattern").build();
    let outcome = skip_heapprof().arg(&pattern).succeed();
    let left = names(&outcome.tmp());
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(
        left[0].starts_with("skip-alloc-log-") && left[0].ends_with(".csv"),
        "{left:?}"
    );
    // Quiet, and with a report elsewhere, it says nothing at all.
    let folder = tempfile::tempdir().expect("a folder");
    let outcome = skip_heapprof()
        .arg("-qo")
        .arg(folder.path().join("out.csv"))
        .arg(&pattern)
        .succeed();
    assert_eq!(outcome.stderr, "");
    assert_eq!(names(&outcome.tmp()), [""; 0]);
}

/// The folder that the tool says it kept.
fn kept_folder(outcome: &Outcome) -> PathBuf {
    let (_, rest) = outcome
        .stderr
        .split_once("the recordings are kept in ")
        .unwrap_or_else(|| panic!("nothing kept: {outcome:?}"));
    PathBuf::from(rest.split(';').next().expect("a path"))
}

#[test]
fn kept_recordings_give_the_same_reports() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    for path in [&first, &second] {
        fs::create_dir(path).expect("a folder");
    }
    let outcome = two_programs(&["--keep"], &first.join("out.csv"));
    skip_heapprof()
        .arg("report")
        .arg(kept_folder(&outcome))
        .arg("-o")
        .arg(second.join("out.csv"))
        .succeed();
    assert_eq!(names(&first), names(&second));
    assert_eq!(names(&first).len(), 2);
    for name in names(&first) {
        let text = |folder: &Path| Report::read(&folder.join(&name)).text;
        assert_eq!(text(&first), text(&second), "{name}");
    }
}

#[test]
fn a_process_that_outlives_the_run_goes_on_recording() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out.csv");
    let ready = folder.path().join("ready");
    let script = "\"$0\" pause >\"$1\" & while ! grep -q ready \"$1\"; do sleep 0.05; done";
    let outcome = skip_heapprof()
        .args(&["--programs", "life", "-o"])
        .arg(&out)
        .args(&["sh", "-c", script])
        .arg(Source::c("life").build())
        .arg(&ready)
        .succeed();
    Report::read(&out).assert_row(["work", "main", "libc", "libc"], 40, 1000);
    let pid: i32 = outcome
        .stderr
        .split_once("skip-heapprof: process ")
        .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("no process named: {outcome:?}"));
    // SAFETY: kill has no memory effects; the process is the one that this test left behind.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
    let again = folder.path().join("again.csv");
    skip_heapprof()
        .args(&["report", "-q", "-o"])
        .arg(&again)
        .arg(kept_folder(&outcome))
        .succeed();
    assert_eq!(Report::read(&again).text, Report::read(&out).text);
}
