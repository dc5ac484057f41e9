//! How a process starts and ends: exit in all forms, fork, vfork, signals, closed descriptors.

use crate::support::{Outcome, Report, Run, Source, tool};
use std::fs;

/// Allocations of every run of the fixture: its constructor, its work, its destructor.
const CONSTRUCTOR: u64 = 1;
const WORK: u64 = 1000;
const DESTRUCTOR: u64 = 4;

fn life(how: &str) -> Run {
    Run::preloaded(Source::c("life").build()).arg(how)
}

/// Runs the fixture, which must end with its own exit status.
fn ended(how: &str) -> Outcome {
    let outcome = life(how).finish();
    assert_eq!(outcome.status.code(), Some(7), "{outcome:?}");
    outcome
}

fn assert_complete(report: &Report, destructor: u64) {
    assert_eq!(
        report.calls_by("in_constructor"),
        CONSTRUCTOR,
        "{}",
        report.text
    );
    assert_eq!(report.calls_by("work"), WORK, "{}", report.text);
    assert_eq!(
        report.calls_by("in_destructor"),
        destructor,
        "{}",
        report.text
    );
}

#[test]
fn returning_from_main_and_exit_write_the_report() {
    for how in ["return", "exit", "exit-in-thread", "threads-left"] {
        assert_complete(&ended(how).report(), DESTRUCTOR);
    }
}

#[test]
fn leaving_main_by_pthread_exit_writes_the_report() {
    let outcome = life("pthread_exit").finish();
    assert_eq!(outcome.status.code(), Some(0), "{outcome:?}");
    assert_complete(&outcome.report(), DESTRUCTOR);
}

#[test]
fn leaving_without_destructors_writes_the_report() {
    for how in ["_exit", "_Exit"] {
        assert_complete(&ended(how).report(), 0);
    }
    let report = ended("quick_exit").report();
    assert_complete(&report, 0);
    assert_eq!(report.calls_by("at_the_end"), 3, "{}", report.text);
}

#[test]
fn allocations_of_exit_handlers_are_counted() {
    let report = ended("atexit").report();
    assert_complete(&report, DESTRUCTOR);
    assert_eq!(report.calls_by("at_the_end"), 3, "{}", report.text);
}

#[test]
fn allocations_of_a_librarys_constructor_and_destructor_are_counted() {
    let library = Source::c_library("destructor_library").build();
    let folder = library.parent().expect("the folder of the library");
    let program = Source::c("life")
        .flags(&[
            "-Wl,--no-as-needed".to_owned(),
            library.display().to_string(),
            format!("-Wl,-rpath,{}", folder.display()),
        ])
        .build();
    let outcome = Run::preloaded(program).arg("return").finish();
    assert_eq!(outcome.status.code(), Some(7), "{outcome:?}");
    let report = outcome.report();
    assert_complete(&report, DESTRUCTOR);
    assert_eq!(report.calls_by("library_start"), 5, "{}", report.text);
    assert_eq!(report.calls_by("library_end"), 6, "{}", report.text);
}

/// Runs the fixture under the tool and reads the report that `-o` names.
fn under_tool(how: &str) -> (Outcome, Report) {
    let folder = tempfile::tempdir().expect("a folder");
    let csv = folder.path().join("out.csv");
    let outcome = Run::plain(tool())
        .arg("-o")
        .arg(&csv)
        .arg(Source::c("life").build())
        .arg(how)
        .finish();
    assert!(csv.exists(), "no report: {outcome:?}");
    (outcome, Report::read(&csv))
}

#[test]
fn after_a_fatal_signal_the_tool_still_writes_everything() {
    for (how, signal) in [
        ("abort", libc::SIGABRT),
        ("segv", libc::SIGSEGV),
        ("kill", libc::SIGKILL),
        ("term", libc::SIGTERM),
    ] {
        let (outcome, report) = under_tool(how);
        assert_eq!(outcome.status.code(), Some(128 + signal), "{outcome:?}");
        assert_complete(&report, 0);
        report.assert_row(["work", "main", "libc", "libc"], 40, WORK);
    }
}

/// Reports of a run with several processes, by the function that made most of them.
fn parent_and_others(how: &str) -> (Report, Vec<Report>) {
    let outcome = ended(how);
    let (parents, children): (Vec<_>, Vec<_>) = outcome
        .reports()
        .into_iter()
        .partition(|report| report.calls_by("work") > 0);
    assert_eq!(parents.len(), 1, "{outcome:?}");
    (parents.into_iter().next().expect("one"), children)
}

#[test]
fn a_forked_child_has_a_report_of_its_own_allocations() {
    let (parent, children) = parent_and_others("fork");
    assert_eq!(parent.calls_by("work"), WORK + 10);
    assert_eq!(parent.calls_by("child_work"), 0);
    assert_eq!(children.len(), 1);
    assert_eq!(children[0].calls_by("child_work"), 500);
    assert_eq!(children[0].calls_by("in_destructor"), DESTRUCTOR);
    assert_eq!(children[0].calls_by("in_constructor"), 0);
    children[0].assert_row(["child_work", "main", "libc", "libc"], 50, 500);
}

#[test]
fn a_forked_child_that_leaves_by_exit_of_the_kernel_has_one_too() {
    let (parent, children) = parent_and_others("fork-_exit");
    assert_complete(&parent, DESTRUCTOR);
    assert_eq!(children.len(), 1);
    assert_eq!(children[0].calls(), 500, "{}", children[0].text);
}

#[test]
fn a_grandchild_has_one_too() {
    let (parent, mut children) = parent_and_others("fork-fork");
    assert_complete(&parent, DESTRUCTOR);
    children.sort_by_key(Report::calls);
    let counts: Vec<u64> = children.iter().map(|r| r.calls_by("child_work")).collect();
    assert_eq!(counts, [20, 500]);
}

#[test]
fn a_vfork_child_writes_nothing_and_its_parent_goes_on() {
    for how in ["vfork", "vfork-exec"] {
        let report = ended(how).report();
        assert_eq!(report.calls_by("work"), WORK + 10, "{how}: {}", report.text);
        assert_eq!(report.calls_by("in_destructor"), DESTRUCTOR);
    }
}

#[test]
fn a_child_that_forks_and_runs_another_program_leaves_the_parent_complete() {
    let outcome = ended("fork-exec");
    let reports = outcome.reports();
    let parent = reports.iter().find(|report| report.calls_by("work") > 0);
    assert_eq!(parent.expect("the parent's").calls_by("work"), WORK + 10);
}

#[test]
fn a_program_that_runs_itself_anew_starts_from_zero() {
    let outcome = ended("exec-self");
    let reports = outcome.reports();
    assert_complete(reports.last().expect("a report"), DESTRUCTOR);
}

#[test]
fn the_lines_are_printed_although_the_program_closed_standard_error() {
    for how in ["close-early", "close-at-exit"] {
        assert_complete(&ended(how).report(), DESTRUCTOR);
    }
    // coreutils close both descriptors in an exit handler.
    let outcome = Run::preloaded("/usr/bin/sort").stdin(b"b\na\n").succeed();
    assert_eq!(outcome.stdout, "a\nb\n");
    assert!(outcome.report().calls() > 0);
    let outcome = Run::preloaded("/bin/ls").arg("/").succeed();
    assert!(outcome.report().calls() > 0);
}

fn with_shell(script: &str, how: &str, more: &str) -> Outcome {
    Run::preloaded("/bin/sh")
        .args(&["-c", script])
        .arg(Source::c("life").build())
        .args(&[how, more])
        .finish()
}

#[test]
fn a_full_standard_error_does_not_change_the_exit_status() {
    let outcome = with_shell("exec \"$0\" \"$1\" 2>/dev/full", "return", "");
    assert_eq!(outcome.status.code(), Some(7), "{outcome:?}");
}

#[test]
fn a_closed_pipe_as_standard_error_does_not_change_the_exit_status() {
    let outcome = with_shell(
        "mkfifo \"$TMPDIR/pipe\"; true <\"$TMPDIR/pipe\" & exec 3>\"$TMPDIR/pipe\"; wait; \
         \"$0\" \"$1\" 2>&3; echo $?",
        "return",
        "",
    );
    assert_eq!(outcome.stdout, "7\n", "{outcome:?}");
}

#[test]
fn no_line_lands_in_a_file_that_took_the_place_of_standard_error() {
    for script in [
        "exec \"$0\" \"$1\" \"$2\"",
        "exec \"$0\" \"$1\" \"$2\" 2>&-",
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let outcome = with_shell(script, "file-as-2", &data.to_string_lossy());
        assert_eq!(outcome.status.code(), Some(7), "{outcome:?}");
        assert_eq!(fs::read_to_string(&data).expect("the file"), "data\n");
    }
}

#[test]
fn a_program_that_closes_every_descriptor_gets_them_all_and_keeps_its_files_clean() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let outcome = life("close-range").arg(&data).finish();
    assert_eq!(outcome.status.code(), Some(7), "{outcome:?}");
    assert_eq!(fs::read_to_string(&data).expect("the file"), "");
}

#[test]
fn a_program_that_execs_is_reported_by_its_successor() {
    let outcome = Run::preloaded("/usr/bin/perl")
        .args(&[
            "-e",
            "my @a = map { \"x$_\" } 1..99; exec '/usr/bin/perl', '-e', '1'",
        ])
        .succeed();
    let reports = outcome.reports();
    assert_eq!(reports.len(), 2, "{outcome:?}");
    assert!(
        reports[0].calls() > reports[1].calls(),
        "the first has the array: {outcome:?}"
    );
    assert_eq!(outcome.stderr.matches("enabled!").count(), 2, "{outcome:?}");
}
