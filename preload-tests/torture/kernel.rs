//! What the kernel takes away: rights, system calls, memory, folders, process ids.

use super::{programs_lines, same_as_plain};
use crate::support::{Outcome, Report, Run, Source, copied, library, tool};
use std::fs;
use std::path::{Path, PathBuf};

fn program() -> PathBuf {
    Source::c("torture_kernel").build()
}

/// Calls of each run before and after the change, and with the sizes that come after it alone.
const ASKED: u64 = 100 + 50;
const ASKED_ANEW: u64 = 30;

fn assert_all(report: &Report) {
    assert_eq!(report.calls_by("ask"), ASKED, "{}", report.text);
    assert_eq!(report.calls_by("ask_anew"), ASKED_ANEW, "{}", report.text);
}

/// Returns whether this machine may do what the case needs. The program says so by a status of its own.
fn is_possible(how: &str, folder: &Path) -> bool {
    let outcome = Run::plain(program()).arg(how).arg(folder).finish();
    if outcome.status.code() == Some(77) {
        eprintln!("{how} is not permitted here: {}", outcome.stderr);
        return false;
    }
    true
}

/// Runs the case under the tool, whose report must be complete.
fn under_tool(how: &str, folder: &Path) -> Outcome {
    let csv = tempfile::tempdir().expect("a folder");
    let csv = csv.path().join("out.csv");
    let outcome = Run::plain(tool())
        .arg("-o")
        .arg(&csv)
        .arg(program())
        .arg(how)
        .arg(folder)
        .finish();
    assert_eq!(outcome.status.code(), Some(3), "{how}: {outcome:?}");
    assert_all(&Report::read(&csv));
    outcome
}

/// The report that the tool makes of the recording that a run left behind and named.
fn of_recording(outcome: &Outcome) -> Report {
    let line = outcome
        .stderr
        .lines()
        .find(|line| line.contains(".skipheap-rec"))
        .unwrap_or_else(|| panic!("no recording is named: {outcome:?}"));
    let path = line.rsplit(' ').next().expect("a path");
    let made = Run::plain(tool())
        .args(&["report", path, "-o", "-"])
        .succeed();
    Report::parse(made.stdout)
}

#[test]
fn rights_given_up_in_the_middle() {
    let folder = tempfile::tempdir().expect("a folder");
    for how in ["setuid", "chroot"] {
        if !is_possible(how, folder.path()) {
            continue;
        }
        let outcome = same_as_plain(|run| run.arg(how).arg(folder.path()), &program());
        // The report goes where the process may still write, or the recording is named.
        let report = match outcome.report_paths().first() {
            Some(path) => {
                let report = Report::read(path);
                fs::remove_file(path).expect("our own report");
                report
            }
            None => of_recording(&outcome),
        };
        assert_all(&report);
        under_tool(how, folder.path());
    }
}

/// The filter kills for every call that malloc, stdio and exit do not need.
#[test]
fn a_filter_that_kills_on_unexpected_system_calls() {
    for how in [
        "seccomp-kill",
        "seccomp-syscall",
        "seccomp-listener",
        "seccomp-errno",
        "seccomp-handler",
    ] {
        let outcome = same_as_plain(|run| run.arg(how), &program());
        assert_eq!(outcome.status.code(), Some(3), "{how}: {outcome:?}");
        assert_all(&of_recording(&outcome));
        let said = under_tool(how, Path::new("/"));
        assert!(!said.stderr.contains("was not seen"), "{how}: {said:?}");
    }
}

#[test]
fn a_filter_that_is_refused_changes_nothing() {
    let outcome = same_as_plain(|run| run.arg("seccomp-refused"), &program());
    assert_eq!(outcome.status.code(), Some(3), "{outcome:?}");
    assert_all(&outcome.reports()[0]);
    under_tool("seccomp-refused", Path::new("/"));
}

/// Not even a signal may be blocked any more. New sites are recorded without, but new return
/// addresses and stacks cannot be asked about: such stacks are cut short, and counted as that.
#[test]
fn strict_mode() {
    let outcome = same_as_plain(|run| run.arg("seccomp-strict"), &program());
    assert_eq!(outcome.status.code(), Some(3), "{outcome:?}");
    let report = of_recording(&outcome);
    let csv = tempfile::tempdir().expect("a folder");
    let under = Run::plain(tool())
        .arg("-o")
        .arg(csv.path().join("out.csv"))
        .arg(program())
        .arg("seccomp-strict")
        .finish();
    assert_eq!(under.status.code(), Some(3), "{under:?}");
    assert_eq!(report.calls_by("ask"), 100 + 70, "{}", report.text);
    for cut in [
        "the stacks of 10 allocations",
        "the stacks of 50 allocations",
    ] {
        let note = format!("{cut} were cut short");
        assert!(under.stderr.contains(&note), "{under:?}");
    }
}

#[test]
fn no_memory_beyond_what_is_mapped() {
    let outcome = Run::preloaded(program()).arg("no-memory").finish();
    assert_eq!(outcome.status.code(), Some(3), "{outcome:?}");
    assert_eq!(outcome.stdout, "no-memory\n");
    assert_eq!(programs_lines(&outcome.stderr), Vec::<&str>::new());
    let report = of_recording(&outcome);
    assert_eq!(report.calls_by("ask"), ASKED, "{}", report.text);
}

#[test]
fn limits_of_nothing_at_all() {
    let outcome = same_as_plain(|run| run.arg("limits"), &program());
    assert_all(&of_recording(&outcome));
    under_tool("limits", Path::new("/"));
}

#[test]
fn small_stacks_and_no_core_files() {
    for (resource, value) in [(libc::RLIMIT_STACK, 128 << 10), (libc::RLIMIT_CORE, 0)] {
        let outcome = same_as_plain(|run| run.limit(resource, value).arg("plain"), &program());
        assert_all(&outcome.report());
    }
}

/// Copies of program and library outside of the folders that a case hides.
struct Elsewhere(tempfile::TempDir);

impl Elsewhere {
    fn new() -> Self {
        let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
        copied(&program(), &folder.path().join("program"));
        fs::copy(library(), folder.path().join("library.so")).expect("a copy");
        Self(folder)
    }

    /// Runs `script` in a mount namespace of its own; `$RUN` there starts the program, `$1` is TMPDIR.
    /// `None` where that is not permitted.
    fn run(&self, flags: &[&str], script: &str) -> Option<Outcome> {
        let folder = self.0.path().display();
        let run = |preload: &str| {
            Run::plain("/usr/bin/unshare")
                .args(flags)
                .args(&["-m", "sh", "-c"])
                .arg(script)
                .arg("sh")
                .env("RUN", format!("env {preload} {folder}/program plain"))
                .finish()
        };
        let plain = run("");
        if plain.stderr.contains("Operation not permitted") {
            eprintln!("namespaces are not permitted here: {plain:?}");
            return None;
        }
        let profiled = run(&format!("LD_PRELOAD={folder}/library.so"));
        assert_eq!(plain.status.code(), profiled.status.code(), "{profiled:?}");
        assert_eq!(plain.stdout, profiled.stdout, "{profiled:?}");
        assert_eq!(
            programs_lines(&plain.stderr),
            programs_lines(&profiled.stderr)
        );
        assert!(profiled.stdout.contains("plain"), "{profiled:?}");
        Some(profiled)
    }
}

#[test]
fn a_full_or_read_only_tmp_is_said_and_nothing_else_happens() {
    let elsewhere = Elsewhere::new();
    for mount in ["size=4k,nr_inodes=3", "ro"] {
        let script = format!(
            "mount -t tmpfs -o {mount} none /tmp && (head -c 8192 /dev/zero >/tmp/full) 2>/dev/null; \
             TMPDIR=/tmp $RUN; echo status $?"
        );
        let Some(outcome) = elsewhere.run(&[], &script) else {
            return;
        };
        assert!(
            outcome.stdout.ends_with("status 3\n"),
            "{mount}: {outcome:?}"
        );
        assert!(outcome.report_paths().is_empty(), "{mount}: {outcome:?}");
        let ours = outcome
            .stderr
            .lines()
            .filter(|line| line.starts_with("heap profiler: "));
        assert!(
            ours.count() >= 2,
            "{mount}: the loss is not said: {outcome:?}"
        );
    }
}

#[test]
fn a_small_disk_in_memory_that_fills_is_survived_by_what_reads_the_recording() {
    let elsewhere = Elsewhere::new();
    let folder = elsewhere.0.path().display().to_string();
    fs::copy(Source::c("edges").build(), elsewhere.0.path().join("edges")).expect("a copy");
    for live in ["0", "1"] {
        let script = format!(
            "mount -t tmpfs -o size=600k none /tmp && TMPDIR=/tmp SKIP_HEAP_LIVE={live} \
             LD_PRELOAD={folder}/library.so {folder}/edges phase; echo status $?"
        );
        let outcome = Run::plain("/usr/bin/unshare")
            .args(&["-m", "sh", "-c", &script])
            .finish();
        if outcome.stderr.contains("Operation not permitted") {
            return;
        }
        assert_eq!(outcome.stdout, "done\nstatus 0\n", "{outcome:?}");
        assert!(outcome.stderr.contains("No space left"), "{outcome:?}");
    }
}

#[test]
fn without_proc_the_report_is_written_all_the_same() {
    let elsewhere = Elsewhere::new();
    let script = "mount -t tmpfs none /proc && $RUN; echo status $?";
    let Some(outcome) = elsewhere.run(&[], script) else {
        return;
    };
    assert!(outcome.stdout.ends_with("status 3\n"), "{outcome:?}");
    assert_all(&outcome.report());
}

#[test]
fn processes_that_are_all_number_one_write_reports_of_their_own() {
    let elsewhere = Elsewhere::new();
    let script = "for i in 1 2 3; do unshare -p -f --mount-proc $RUN; done";
    let Some(outcome) = elsewhere.run(&[], script) else {
        return;
    };
    let paths = outcome.report_paths();
    assert_eq!(paths.len(), 3, "{outcome:?}");
    for path in &paths {
        assert_eq!(paths.iter().filter(|other| *other == path).count(), 1);
        assert_all(&Report::read(path));
    }
}

/// The library is in /etc/ld.so.preload, and the settings name what only root may read and write: a program
/// that is set-user-id root obeys none of them, where one that is not does.
#[test]
fn in_a_secure_process_nothing_is_read_or_written() {
    let elsewhere = Elsewhere::new();
    let folder = elsewhere.0.path();
    fs::write(folder.join("secret"), "a line of a secret\n").expect("a file");
    let script = format!(
        "export SKIP_HEAP_PROFILE=0; cd {0} && chmod 755 . library.so program && chmod 600 secret && mkdir -m 700 locked etc && \
         mkdir -m 777 open && cp program secure && chmod 4755 secure && \
         cp /etc/passwd /etc/group /etc/ld.so.cache etc && chmod 755 etc && \
         echo {0}/library.so >etc/ld.so.preload && mount --bind etc /etc || exit 1
         run() {{ setpriv --reuid 65534 --regid 65534 --clear-groups env -u SKIP_HEAP_PROFILE TMPDIR=$1 SKIP_HEAP_SESSION=$2 \
           SKIP_HEAP_PROGRAMS='secure,program' SKIP_HEAP_LEAK_CHECK=1 SKIP_HEAP_KEEP=1 \
           SKIP_HEAP_SUPPRESSIONS={0}/secret SKIP_HEAP_HOOKS='bad hook' {0}/$3 plain; echo status $?; }}
         run {0}/locked '' secure; run {0}/locked {0}/locked secure
         echo the other >&2; run {0}/open '' program",
        folder.display()
    );
    let outcome = Run::plain("/usr/bin/unshare")
        .args(&["-m", "sh", "-c", &script])
        .finish();
    if outcome.stderr.contains("not permitted") {
        eprintln!("namespaces are not permitted here: {outcome:?}");
        return;
    }
    assert_eq!(
        outcome.stdout.matches("status 3\n").count(),
        3,
        "{outcome:?}"
    );
    let (secure, other) = outcome.stderr.split_once("the other\n").expect("both");
    assert!(!secure.contains("heap profiler"), "{outcome:?}");
    assert!(other.contains("heap profiler: enabled!"), "{outcome:?}");
    assert!(other.contains("wrote allocation log to"), "{outcome:?}");
    assert!(
        !outcome.stderr.contains("a line of a secret"),
        "{outcome:?}"
    );
    let made = fs::read_dir(folder.join("locked")).expect("the folder");
    assert_eq!(made.count(), 0, "{outcome:?}");
}

/// What lies in the folder under names that begin like ours is not followed, opened or removed.
#[test]
fn links_laid_in_wait_lead_nowhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let victim = folder.path().join("victim");
    fs::write(&victim, "precious").expect("a file");
    for name in [
        "skip-alloc-log-",
        "skip-heap-",
        "skip-heap-1-1.skipheap-rec",
    ] {
        std::os::unix::fs::symlink(&victim, folder.path().join(name)).expect("a link");
    }
    let outcome = Run::preloaded(program())
        .env("TMPDIR", folder.path())
        .arg("plain")
        .finish();
    assert_eq!(outcome.status.code(), Some(3), "{outcome:?}");
    assert_all(&outcome.report());
    assert_eq!(fs::read_to_string(&victim).expect("the file"), "precious");
}

/// A control group with little memory, of either version of the interface.
struct LittleMemory(PathBuf);

impl LittleMemory {
    /// `None` where groups cannot be made.
    fn new() -> Option<Self> {
        let name = format!("skipheap-{}", std::process::id());
        let made = |parent: &str, file: &str| {
            let group = Path::new(parent).join(&name);
            fs::create_dir(&group).ok()?;
            let group = Self(group);
            fs::write(group.0.join(file), "33554432").ok()?;
            // Where there is no swap there is no file either.
            let _ = fs::write(group.0.join("memory.swap.max"), "0");
            Some(group)
        };
        made("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            .or_else(|| made("/sys/fs/cgroup", "memory.max"))
    }
}

impl Drop for LittleMemory {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_program_that_the_kernel_kills_for_its_memory_loses_nothing() {
    let Some(group) = LittleMemory::new() else {
        eprintln!("control groups are not permitted here");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let csv = folder.path().join("out.csv");
    let outcome = Run::plain(tool())
        .args(&["--merge", "-o"])
        .arg(&csv)
        .args(&["/bin/sh", "-c", "echo $$ >\"$1\" && exec \"$0\" eat"])
        .arg(program())
        .arg(group.0.join("cgroup.procs"))
        .finish();
    assert_eq!(
        outcome.status.code(),
        Some(128 + libc::SIGKILL),
        "{outcome:?}"
    );
    let report = Report::read(&csv);
    assert_eq!(report.calls_by("ask"), 100, "{}", report.text);
    // 32 MiB in blocks of 64 KiB, but for what else is in the group.
    let eaten = report.by_size().get(&(1 << 16)).copied().unwrap_or(0);
    assert!((200..=520).contains(&eaten), "{eaten}: {}", report.text);
}
