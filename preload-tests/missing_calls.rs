//! Kernels that lack a system call, or sandboxes that refuse it: each has another way, or is said to be missing.

use crate::support::{Outcome, Report, Run, Source, library, tool};
use std::path::Path;

/// A system call that not every kernel has, and the third argument that it is about.
type Call = (libc::c_long, Option<u32>);

const WIPE_ON_FORK: u32 = 18;
const POPULATE_WRITE: u32 = 23;

/// Each with the version of Linux that brought it. Sandboxes lack others: they are all of this kind.
const NEWER: [Call; 13] = [
    (libc::SYS_madvise, Some(POPULATE_WRITE)), // 5.14
    (libc::SYS_madvise, Some(WIPE_ON_FORK)),   // 4.14
    (libc::SYS_faccessat2, None),              // 5.8
    (libc::SYS_close_range, None),             // 5.9
    (libc::SYS_openat2, None),                 // 5.6
    (libc::SYS_clone3, None),                  // 5.3
    (libc::SYS_pidfd_open, None),              // 5.3
    (libc::SYS_pidfd_send_signal, None),       // 5.1
    (libc::SYS_statx, None),                   // 4.11
    (libc::SYS_copy_file_range, None),         // 4.5
    (libc::SYS_memfd_create, None),            // 3.17
    (libc::SYS_getrandom, None),               // 3.17
    (libc::SYS_process_vm_readv, None),        // 3.2, and not in every kernel
];

fn program() -> std::path::PathBuf {
    Source::c("leaks").flags(&["-g", "-pthread", "-O1"]).build()
}

/// Runs a command line that begins with [`kernel`]. `None` where filters are not permitted.
fn run(command: Run) -> Option<Outcome> {
    let outcome = command.finish();
    if outcome.status.code() == Some(77) {
        eprintln!("a filter is not permitted here: {outcome:?}");
        return None;
    }
    Some(outcome)
}

/// The beginning of a command line that runs where the calls fail with `error`.
fn kernel(error: i32, calls: &[Call]) -> Run {
    let mut run = Run::plain(Source::c("missing_calls").build()).arg(error.to_string());
    for (call, argument) in calls {
        run = run.arg(match argument {
            Some(argument) => format!("{call}:{argument}"),
            None => call.to_string(),
        });
    }
    run.arg("--")
}

/// The program under the tool, with all that there is to record; and its CSV.
fn profiled(kernel: Run, folder: &Path) -> Run {
    kernel
        .arg(tool())
        .args(&["--leak-check", "--stack-depth", "full", "-o"])
        .arg(folder.join("out.csv"))
        .arg(program())
}

/// Calls by size, of what the program asks for itself.
fn sizes(folder: &Path) -> Vec<(u64, u64)> {
    let report = Report::read(&folder.join("out.csv"));
    let by_size = report.by_size();
    by_size
        .into_iter()
        .filter(|(size, _)| *size > 1000)
        .collect()
}

fn assert_says_no_wrong_cause(outcome: &Outcome) {
    for wrong in [
        "disk full",
        "No space left",
        "not recorded",
        "internal error",
    ] {
        assert!(!outcome.stderr.contains(wrong), "{outcome:?}");
    }
}

const LEAKED: &str = "leaked (unreachable): 333,060 bytes (333.1 kB) in 34 blocks";

/// How kernels that do not know a call answer, and sandboxes that do not want it.
fn answers(call: Call) -> &'static [i32] {
    match call.0 {
        // Nobody forbids an advice.
        libc::SYS_madvise => &[libc::EINVAL],
        // glibc itself starts no threads where this is forbidden.
        libc::SYS_clone3 => &[libc::ENOSYS],
        _ => &[libc::ENOSYS, libc::EPERM],
    }
}

#[test]
fn without_any_one_call_everything_is_recorded_and_leaks_are_found() {
    let whole = tempfile::tempdir().expect("a folder");
    let there = profiled(kernel(libc::ENOSYS, &[]), whole.path());
    let Some(all) = run(there) else {
        return;
    };
    assert!(all.stderr.contains(LEAKED), "{all:?}");
    let expected = sizes(whole.path());
    assert!(expected.len() > 5, "{expected:?}");
    for call in NEWER {
        for &error in answers(call) {
            let folder = tempfile::tempdir().expect("a folder");
            let command = profiled(kernel(error, &[call]), folder.path());
            let outcome = run(command).expect("permitted before");
            assert!(outcome.status.success(), "{error}, {call:?}: {outcome:?}");
            assert_says_no_wrong_cause(&outcome);
            assert_eq!(
                sizes(folder.path()),
                expected,
                "{error}, {call:?}: {outcome:?}"
            );
            if call.1 == Some(WIPE_ON_FORK) {
                assert!(outcome.stderr.contains("no leak check: "), "{outcome:?}");
            } else {
                assert!(
                    outcome.stderr.contains(LEAKED),
                    "{error}, {call:?}: {outcome:?}"
                );
            }
        }
    }
}

/// As on Linux 3.10 of RHEL 7, but for what the C library of this system itself needs.
#[test]
fn without_all_of_them_everything_is_recorded() {
    let (plain, old) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let there = profiled(kernel(libc::ENOSYS, &[]), plain.path());
    if run(there).is_none() {
        return;
    }
    // Old kernels answer EINVAL to an advice that they do not know, and ENOSYS to a call.
    let advices = &NEWER[..2];
    for (error, calls) in [(libc::ENOSYS, &NEWER[..]), (libc::EINVAL, advices)] {
        let command = profiled(kernel(error, calls), old.path());
        let outcome = run(command).expect("permitted before");
        assert!(outcome.status.success(), "{error}: {outcome:?}");
        assert_says_no_wrong_cause(&outcome);
        assert_eq!(
            sizes(old.path()),
            sizes(plain.path()),
            "{error}: {outcome:?}"
        );
    }
}

#[test]
fn without_them_the_library_alone_writes_the_same_report() {
    let mut preload = std::ffi::OsString::from("LD_PRELOAD=");
    preload.push(library());
    let program = Source::c("pattern").build();
    let command = kernel(libc::ENOSYS, &NEWER)
        .arg("env")
        .arg(preload)
        .arg(program);
    let Some(outcome) = run(command) else {
        return;
    };
    assert!(outcome.status.success(), "{outcome:?}");
    assert_says_no_wrong_cause(&outcome);
    outcome.report().assert_is("pattern.csv");
}

/// Trees of processes, whose children begin with memory of their parents where the kernel does not wipe it.
#[test]
fn without_them_a_tree_of_real_programs_is_recorded() {
    let script = "for i in 1 2 3; do perl -e 'my %h; $h{$_} = \"x\" x 300 for 1..2000; exit 0 unless fork'; done; \
                  python3 -c 'print(len([str(i) for i in range(1000)]))'";
    let count = |calls: &[Call]| {
        let folder = tempfile::tempdir().expect("a folder");
        let command = kernel(libc::ENOSYS, calls)
            .arg(tool())
            .args(&["--wait", "--merge", "-o"])
            .arg(folder.path().join("out.csv"))
            .args(&["/bin/sh", "-c", script]);
        let outcome = run(command)?;
        assert!(outcome.status.success(), "{outcome:?}");
        assert_says_no_wrong_cause(&outcome);
        Some(Report::read(&folder.path().join("out.csv")).calls())
    };
    let Some(there) = count(&[]) else {
        return;
    };
    let missing = count(&NEWER).expect("permitted before");
    // Hash seeds and addresses make a few calls more or fewer.
    let difference = there.abs_diff(missing);
    assert!(difference < there / 100, "{there} and {missing} calls");
    assert!(there > 10_000, "{there} calls");
}
