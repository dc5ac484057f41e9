//! Processes that are still there when the command has ended: none is lost, and it is said where they are.

use crate::support::{Outcome, Report, Run, Source, tool};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn skip_heapprof() -> Run {
    Run::plain(tool())
}

fn daemon() -> PathBuf {
    Source::c("daemon_waits").build()
}

/// The ids of the processes that the tool says still run.
fn still_running(outcome: &Outcome) -> Vec<u32> {
    let lines = outcome.stderr.lines();
    let of = |line: &str| {
        let rest = line.strip_prefix("skip-heapprof: process ")?;
        let is_one = rest.contains(" is still running, and ");
        rest.split(' ').next()?.parse().ok().filter(|_| is_one)
    };
    lines.filter_map(of).collect()
}

/// The folder that the tool says it kept.
fn kept_folder(outcome: &Outcome) -> PathBuf {
    let rest = outcome
        .stderr
        .split_once("the recordings are kept in ")
        .unwrap_or_else(|| panic!("nothing kept: {outcome:?}"))
        .1;
    PathBuf::from(rest.split(';').next().expect("a path"))
}

/// Waits for the end of processes that are nobody's children here.
fn wait_for(pids: &[u32]) {
    let start = Instant::now();
    for pid in pids {
        while Path::new(&format!("/proc/{pid}")).exists() {
            assert!(start.elapsed() < Duration::from_secs(60), "{pid} goes on");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Reports of all processes in a folder, together.
fn report_of(folder: &Path, csv: &Path) -> (Outcome, Report) {
    let outcome = skip_heapprof()
        .args(&["report", "--merge", "-o"])
        .arg(csv)
        .arg(folder)
        .succeed();
    (outcome, Report::read(csv))
}

#[test]
fn a_daemon_that_has_not_allocated_yet_is_named_and_recorded() {
    let folder = tempfile::tempdir().expect("a folder");
    // With a title of its own, nothing in its environment tells whose it is.
    for title in [None, Some("with a title")] {
        let csv = folder.path().join("out.csv");
        let run = skip_heapprof().arg("-o").arg(&csv).arg(daemon());
        let outcome = run.args(title.as_slice()).succeed();
        assert_eq!(Report::read(&csv).calls_by("main"), 1);
        let running = still_running(&outcome);
        assert_eq!(running.len(), 1, "{outcome:?}");
        assert!(outcome.stderr.contains("daemon_waits"), "{outcome:?}");
        // Its parent has ended as it wanted to.
        assert!(!outcome.stderr.contains("was not seen"), "{outcome:?}");
        let kept = kept_folder(&outcome);
        // While it runs the folder stays, whatever is reported.
        report_of(&kept, &csv);
        assert!(kept.exists());
        wait_for(&running);
        let (said, report) = report_of(&kept, &csv);
        assert_eq!(report.calls_by("serve"), 1000, "{said:?}");
        assert!(said.stderr.contains("was removed"), "{said:?}");
        assert!(!kept.exists());
    }
}

#[test]
fn all_processes_are_waited_for_where_that_is_wanted() {
    let folder = tempfile::tempdir().expect("a folder");
    let csv = folder.path().join("out.csv");
    let outcome = skip_heapprof()
        .args(&["--wait", "--merge", "-o"])
        .arg(&csv)
        .arg(daemon())
        .succeed();
    let report = Report::read(&csv);
    assert_eq!(
        (report.calls_by("main"), report.calls_by("serve")),
        (1, 1000)
    );
    assert_eq!(still_running(&outcome).len(), 0, "{outcome:?}");
    let left = fs::read_dir(outcome.tmp()).expect("the folder").count();
    assert_eq!(left, 0, "{outcome:?}");
}

#[test]
fn a_signal_ends_the_waiting_and_not_the_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let csv = folder.path().join("out.csv");
    let script = "\"$0\" pause & sleep 0.1; echo ended";
    let mut running = skip_heapprof()
        .args(&["--wait", "--programs", "life", "-o"])
        .arg(&csv)
        .args(&["sh", "-c", script])
        .arg(Source::c("life").build())
        .start();
    running.wait_for_output("ended");
    running.wait_for_output("ready");
    // The shell ends with its last word, and then the tool waits.
    let children = format!("/proc/{0}/task/{0}/children", running.pid());
    let start = Instant::now();
    while !fs::read_to_string(&children)
        .expect("the children")
        .is_empty()
    {
        assert!(start.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    assert!(!running.has_ended(), "it waits");
    running.signal(libc::SIGTERM);
    let outcome = running.finish();
    assert_eq!(outcome.status.code(), Some(0), "{outcome:?}");
    Report::read(&csv).assert_row(["work", "main", "libc", "libc"], 40, 1000);
    for pid in still_running(&outcome) {
        // SAFETY: kill has no memory effects; the process is the one that this test left behind.
        assert_eq!(unsafe { libc::kill(pid as i32, libc::SIGKILL) }, 0);
    }
}

#[test]
fn what_a_shell_in_the_background_starts_later_is_recorded() {
    let folder = tempfile::tempdir().expect("a folder");
    let csv = folder.path().join("out.csv");
    let script = "(read -r _ <\"$1\"; \"$0\") & exit 0";
    let fifo = folder.path().join("fifo");
    let made = Run::plain("/usr/bin/mkfifo").arg(&fifo).succeed();
    drop(made);
    let outcome = skip_heapprof()
        .arg("-o")
        .arg(&csv)
        .args(&["sh", "-c", script])
        .arg(Source::c("pattern").build())
        .arg(&fifo)
        .succeed();
    let running = still_running(&outcome);
    assert_eq!(running.len(), 1, "{outcome:?}");
    assert!(
        outcome.stderr.contains("what it starts is recorded"),
        "{outcome:?}"
    );
    fs::write(&fifo, "go\n").expect("told");
    wait_for(&running);
    let (_, report) = report_of(&kept_folder(&outcome), &csv);
    report.assert_is("pattern.csv");
}
