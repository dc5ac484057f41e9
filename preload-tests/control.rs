//! Control from the program (`include/skipheap.h`) and from outside (`start`, `stop`, `snapshot`).

use crate::support::{Outcome, Report, Run, Running, Source, fixture_dir, tool};
use skipheap_format::layout::FORMAT_VERSION;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const TAKE: [&str; 3] = ["take", "stop_and_start", "main"];

/// Calls of `take` by size.
fn taken(report: &Report) -> Vec<(u64, u64)> {
    report
        .rows_by("take")
        .iter()
        .map(|row| (row.size, row.calls))
        .collect()
}

fn stop_and_start(run: Run) -> (Outcome, Vec<Report>) {
    let outcome = run.arg("stop").succeed();
    let mut reports = outcome.reports();
    // That of the child comes first.
    reports.reverse();
    (outcome, reports)
}

#[test]
fn a_program_stops_and_starts_its_recording() {
    let builds = [
        Source::c("control"),
        Source::c("control").flags(&["-O0"]),
        Source::c("control").flags(&["-fno-pie", "-no-pie"]),
        Source::c("control").compiler("clang"),
        Source::c("control").compiler("clang").flags(&[
            "-fno-pie",
            "-no-pie",
            "-fno-direct-access-external-data",
        ]),
    ];
    for build in builds {
        let (outcome, reports) = stop_and_start(Run::preloaded(build.build()));
        assert_eq!(outcome.numbers(), [1, 0, 0, 1], "{outcome:?}");
        assert_eq!(taken(&reports[0]), [(300, 7), (100, 3)], "{outcome:?}");
        // The child went on as its parent was, and its parent did not hear of its start.
        assert_eq!(taken(&reports[1]), [(260, 13)], "{outcome:?}");
        for name in TAKE {
            assert!(reports[0].rows[0].frames.iter().any(|frame| frame == name));
        }
    }
}

#[test]
fn a_program_may_begin_stopped() {
    let program = Source::c("control").build();
    for live in ["0", "1"] {
        let run = Run::preloaded(&program)
            .env("SKIP_HEAP_STOPPED", "1")
            .env("SKIP_HEAP_LIVE", live);
        let (outcome, reports) = stop_and_start(run);
        assert_eq!(outcome.numbers(), [0, 0, 0, 1], "{outcome:?}");
        assert_eq!(taken(&reports[0]), [(300, 7)], "{outcome:?}");
        assert_eq!(taken(&reports[1]), [(260, 13)], "{outcome:?}");
    }
}

#[test]
fn without_the_profiler_and_in_programs_that_are_left_out_nothing_happens() {
    let program = Source::c("control").build();
    let runs = [
        Run::plain(&program),
        Run::preloaded(&program).env("SKIP_HEAP_PROFILE", "0"),
        Run::preloaded(&program).env("SKIP_HEAP_PROGRAMS", "!control"),
    ];
    for run in runs {
        let outcome = run.arg("snapshots").succeed();
        assert_eq!(outcome.numbers(), [0, 0, 77], "{outcome:?}");
        assert_eq!(fs::read_dir(outcome.tmp()).expect("TMPDIR").count(), 0);
    }
}

#[test]
fn the_header_is_accepted_by_strict_compilers() {
    let calls = "void f(void *p) { skipheap_start(); skipheap_stop(); skipheap_phase(\"a\"); \
                 if (skipheap_is_recording()) skipheap_snapshot(\"b\"); \
                 skipheap_alloc(p, 1); skipheap_free(p); }\n";
    let folder = tempfile::tempdir().expect("a folder");
    let header = fixture_dir().join("../../include/skipheap.h");
    for (compiler, file, options) in [
        ("gcc", "a.c", ["-std=c89", "-Wall"]),
        ("gcc", "a.c", ["-std=c11", "-O2"]),
        ("clang", "a.c", ["-std=c89", "-Wall"]),
        ("g++", "a.cpp", ["-std=c++98", "-Wall"]),
        ("g++", "a.cpp", ["-std=c++20", "-O2"]),
        ("clang++", "a.cpp", ["-std=c++17", "-Wall"]),
    ] {
        let source = folder.path().join(file);
        fs::write(
            &source,
            format!("#include \"{}\"\n{calls}", header.display()),
        )
        .expect("source");
        let output = Command::new(compiler)
            .args(options)
            .args(["-pedantic", "-Wextra", "-Werror", "-c", "-o", "/dev/null"])
            .arg(&source)
            .output()
            .expect("a compiler");
        assert!(
            output.status.success(),
            "{compiler} {options:?}: {output:?}"
        );
    }
}

/// The files of a folder whose names hold `part`, in order.
fn files(folder: &Path, part: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().contains(part))
        .collect();
    found.sort();
    found
}

/// The report that the tool makes of a recording.
fn report_of(recording: &Path) -> Report {
    let outcome = Run::plain(tool())
        .args(&["-q", "-o", "-", "report"])
        .arg(recording)
        .succeed();
    assert_eq!(outcome.stderr, "", "{outcome:?}");
    Report::parse(outcome.stdout)
}

#[test]
fn a_snapshot_is_the_state_of_that_moment() {
    let program = Source::c("control").build();
    for live in ["0", "1"] {
        let outcome = Run::preloaded(&program)
            .env("SKIP_HEAP_LIVE", live)
            .arg("snapshots")
            .succeed();
        assert_eq!(outcome.numbers(), [1, 1, 77], "{outcome:?}");
        let found = files(&outcome.tmp(), ".skipheap-rec");
        assert_eq!(found.len(), 2, "{found:?}");
        for (path, (name, sizes)) in found.iter().zip([
            (".1-first_one.skipheap-rec", vec![(100, 3)]),
            (".2.skipheap-rec", vec![(500, 2), (100, 7)]),
        ]) {
            let path_text = path.display().to_string();
            assert!(path_text.ends_with(name), "{path_text}");
            let line = format!("heap profiler: wrote snapshot to {path_text}");
            assert!(
                outcome.stderr.lines().any(|said| said == line),
                "{outcome:?}"
            );
            assert_eq!(taken(&report_of(path)), sizes);
        }
        assert_eq!(taken(&outcome.reports()[0]), [(500, 2), (100, 7)]);
        // What grew between the two.
        let grown = Run::plain(tool())
            .arg("diff")
            .arg(&found[0])
            .arg(&found[1])
            .succeed();
        let line = |start: &str| {
            let line = grown
                .stdout
                .lines()
                .find(|line| line.trim_start().starts_with(start));
            line.unwrap_or_else(|| panic!("{start}: {grown:?}"))
                .to_owned()
        };
        assert!(line("calls ").contains(" +6 "), "{grown:?}");
        assert!(line("bytes ").contains(" +1,400 "), "{grown:?}");
    }
}

#[test]
fn the_tool_keeps_snapshots_beside_the_csv() {
    let program = Source::c("control").build();
    let folder = tempfile::tempdir().expect("a folder");
    let csv = folder.path().join("out.csv");
    let outcome = Run::plain(tool())
        .arg("-o")
        .arg(&csv)
        .arg(&program)
        .arg("snapshots")
        .succeed();
    assert_eq!(outcome.numbers(), [1, 1, 77], "{outcome:?}");
    let found = files(folder.path(), ".skipheap-rec");
    assert_eq!(found.len(), 2, "{found:?}");
    for path in &found {
        let line = outcome
            .stderr
            .lines()
            .find(|line| line.ends_with(&*path.to_string_lossy()));
        let line = line.unwrap_or_else(|| panic!("{path:?} is not named: {outcome:?}"));
        assert!(line.starts_with("snapshot of control ("), "{line}");
    }
    assert_eq!(taken(&report_of(&found[0])), [(100, 3)]);
    assert_eq!(taken(&Report::read(&csv)), [(500, 2), (100, 7)]);
    // The run itself is one process.
    assert!(
        outcome
            .stderr
            .starts_with("skip-heapprof: control: 9 allocations"),
        "{outcome:?}"
    );
    // A snapshot named by itself is reported; in a folder it stands for nothing but itself.
    let whole = report_of(folder.path());
    assert_eq!(whole.calls(), 3 + 9);
}

#[test]
fn blocks_of_the_programs_own_allocator_are_counted() {
    let program = Source::c("control").build();
    for live in ["0", "1"] {
        let outcome = Run::preloaded(&program)
            .env("SKIP_HEAP_LIVE", live)
            .arg("custom")
            .succeed();
        let report = outcome.report();
        assert_eq!(report.rows_by("pool_take").len(), 1, "{outcome:?}");
        let frames = ["pool_take", "custom", "main", "__libc_start_call_main"];
        report.assert_row(frames, 48, 6);
        assert_eq!(report.calls(), 6);
    }
}

#[test]
fn signal_handlers_may_call_everything() {
    let program = Source::c("control").build();
    for live in ["0", "1"] {
        let outcome = Run::preloaded(&program)
            .env("SKIP_HEAP_LIVE", live)
            .arg("handlers")
            .succeed();
        let calls = outcome.numbers()[0];
        assert!(calls >= 50);
        let reports = outcome.reports();
        assert_eq!(reports[0].by_size().get(&8), Some(&calls), "{outcome:?}");
        assert_eq!(files(&outcome.tmp(), ".1-handler.skipheap-rec").len(), 1);
    }
}

/// A program that allocates when it is told to.
struct Server {
    program: Running,
    pipe: File,
    told: u32,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts it by `arrange`, which gets the program and its arguments.
    fn start(arrange: impl FnOnce(&Path) -> Run) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipe");
        let name = CString::new(path.as_os_str().as_bytes()).expect("no NUL");
        // SAFETY: the path is a C string.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let run = arrange(&Source::c("control").build());
        let program = run.arg("serve").arg(&path).start();
        // Without waiting for the program, which may have died: opened once the program has opened it too.
        let mut options = File::options();
        options.write(true).custom_flags(libc::O_NONBLOCK);
        let deadline = Instant::now() + Duration::from_secs(60);
        let pipe = loop {
            match options.open(&path) {
                Ok(pipe) => break pipe,
                Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {}
                Err(error) => panic!("the pipe: {error}"),
            }
            if program.has_ended() || Instant::now() > deadline {
                panic!("it does not listen: {:?}", program.finish());
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        Self {
            program,
            pipe,
            told: 0,
            _folder: folder,
        }
    }

    /// Has it make so many allocations.
    fn take(&mut self, times: u32) {
        self.told += 1;
        writeln!(self.pipe, "{times}").expect("told");
        let answer = format!("done {}\n", self.told);
        self.program.wait_for_output(&answer);
    }

    fn end(self) -> Outcome {
        drop(self.pipe);
        self.program.finish()
    }
}

/// Runs the tool, whose temporary folder is none that the program knows.
fn told(args: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(tool());
    command.args(args).env("TMPDIR", folder.path());
    command.output().expect("the tool")
}

fn tell(args: &[&str]) {
    let output = told(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
}

/// Why the tool refused.
fn refusal(args: &[&str]) -> String {
    let output = told(args);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{args:?}: {output:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn a_running_process_is_stopped_started_and_copied_from_outside() {
    for live in ["0", "1"] {
        let mut server =
            Server::start(|program| Run::preloaded(program).env("SKIP_HEAP_LIVE", live));
        let pid = server.program.pid().to_string();
        let folder = tempfile::tempdir().expect("a folder");
        let copy = folder.path().join("copy.skipheap-rec");
        server.take(3);
        tell(&["snapshot", &pid, "-o", &copy.to_string_lossy()]);
        tell(&["stop", &pid]);
        server.take(100);
        tell(&["start", &pid]);
        server.take(4);
        let last = folder.path().join("last.skipheap-rec");
        tell(&["-q", "-o", &last.to_string_lossy(), "snapshot", &pid]);
        let outcome = server.end();
        assert!(outcome.status.success(), "{outcome:?}");
        assert_eq!(taken(&report_of(&copy)), [(1234, 3)]);
        assert_eq!(taken(&report_of(&last)), [(1234, 7)]);
        assert_eq!(taken(&outcome.report()), [(1234, 7)]);
    }
}

#[test]
fn a_process_in_a_session_of_the_tool_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let csv = folder.path().join("out.csv");
    let mut server = Server::start(|program| {
        Run::plain(tool())
            .arg("-o")
            .arg(&csv)
            .arg("--")
            .arg(program)
    });
    server.take(5);
    let tool_pid = server.program.pid();
    let children = fs::read_to_string(format!("/proc/{tool_pid}/task/{tool_pid}/children"));
    let pid = children.expect("children").trim().to_owned();
    let output = told(&["snapshot", &pid, "-o", "-"]);
    assert!(output.status.success(), "{output:?}");
    let copy = folder.path().join("copy");
    fs::write(&copy, output.stdout).expect("written");
    assert_eq!(taken(&report_of(&copy)), [(1234, 5)]);
    assert!(refusal(&["snapshot", &tool_pid.to_string()]).contains("is not being profiled"));
    server.take(2);
    assert!(server.end().status.success());
    assert_eq!(taken(&Report::read(&csv)), [(1234, 7)]);
}

#[test]
fn a_recording_whose_name_is_gone_is_reached_or_that_is_said() {
    let mut server = Server::start(|program| Run::preloaded(program));
    server.take(5);
    let pid = server.program.pid().to_string();
    let recording = files(&server.program.tmp(), ".skipheap-rec").remove(0);
    fs::remove_file(&recording).expect("removed");
    let output = told(&["snapshot", &pid, "-o", "-"]);
    if output.status.success() {
        assert!(output.stdout.starts_with(b"SKIPHEAP"));
    } else {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.contains("was removed") && said.contains(&*recording.to_string_lossy()),
            "{said}"
        );
    }
    assert!(server.end().status.success());
}

#[test]
fn processes_that_cannot_be_controlled_are_refused_with_the_reason() {
    let mut server = Server::start(|program| Run::plain(program));
    server.take(1);
    let pid = server.program.pid().to_string();
    for verb in ["start", "stop", "snapshot"] {
        assert!(
            refusal(&[verb, &pid]).contains("is not being profiled"),
            "{verb}"
        );
        assert!(
            refusal(&[verb, "8388608"]).contains("there is no process 8388608"),
            "{verb}"
        );
    }
    assert!(server.end().status.success());
    assert!(refusal(&["stop", &pid]).contains("there is no process"));
    assert_eq!(told(&["stop", "x"]).status.code(), Some(2));
}

#[test]
fn a_recording_of_another_version_is_left_alone() {
    let mut server = Server::start(|program| Run::preloaded(program));
    server.take(1);
    let pid = server.program.pid().to_string();
    let path = files(&server.program.tmp(), ".skipheap-rec").remove(0);
    let version = |value: u32| {
        use std::os::unix::fs::FileExt;
        let file = File::options()
            .write(true)
            .open(&path)
            .expect("the recording");
        file.write_all_at(&value.to_le_bytes(), 8).expect("written");
    };
    version(77);
    for verb in ["stop", "snapshot"] {
        assert!(
            refusal(&[verb, &pid]).contains("format version 77"),
            "{verb}"
        );
    }
    version(FORMAT_VERSION);
    server.take(1);
    assert_eq!(taken(&server.end().report()), [(1234, 2)]);
}
