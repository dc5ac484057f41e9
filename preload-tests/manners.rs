//! How the tool ends: by signals, by a terminal that goes away, by a command line that it does not
//! understand; and what it leaves behind.

use crate::support::{Outcome, Report, Run, Running, Source, recordings, tool};
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// For what must not happen.
const MOMENT: Duration = Duration::from_millis(300);

/// A pipe with a name: who writes to it waits for a reader.
fn pipe(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    let name = CString::new(path.as_os_str().as_bytes()).expect("a path");
    // SAFETY: the path ends with NUL and outlives the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    path
}

/// Waits until the main thread of a process waits for the other end of a pipe.
fn wait_until_it_opens_a_pipe(tool: &Running) {
    let start = Instant::now();
    let call = format!("/proc/{}/syscall", tool.pid());
    let openat = format!("{} ", libc::SYS_openat);
    let is_waiting = || fs::read_to_string(&call).is_ok_and(|call| call.starts_with(&openat));
    // A file that is there is opened at once: seen twice, it is the pipe.
    while !(is_waiting() && {
        sleep(MOMENT);
        is_waiting()
    }) {
        assert!(start.elapsed() < PATIENCE && !tool.has_ended());
        sleep(Duration::from_millis(10));
    }
}

/// What lies in the folder for temporary files.
fn left(tmp: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(tmp).expect("the folder");
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

fn recording(folder: &Path) -> PathBuf {
    let run = Run::preloaded(Source::c("pattern").build())
        .env("SKIP_HEAP_KEEP", "1")
        .succeed();
    let path = folder.join("a.skipheap-rec");
    fs::copy(&recordings(&run.tmp())[0], &path).expect("copied");
    path
}

#[test]
fn a_signal_ends_every_command_and_nothing_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let recording = recording(folder.path());
    let profile = folder.path().join("a.skipheap");
    Run::plain(tool())
        .args(&["report", "-q", "-o"])
        .args(&[&profile, &recording])
        .succeed();
    for (number, (command, ending)) in [
        ("report", "csv"),
        ("report", "html"),
        ("report", "skipheap"),
        ("report", "pb.gz"),
        ("diff", "csv"),
        ("merge", "skipheap"),
    ]
    .into_iter()
    .enumerate()
    {
        let signal = [libc::SIGTERM, libc::SIGHUP][number % 2];
        {
            let pipe = pipe(folder.path(), &format!("{number}.{ending}"));
            let inputs: &[&PathBuf] = match command {
                "diff" => &[&recording, &profile],
                "merge" => &[&profile, &profile],
                _ => &[&recording],
            };
            let running = Run::plain(tool()).arg(command).arg("-o").arg(pipe);
            let running = running.args(inputs).start();
            wait_until_it_opens_a_pipe(&running);
            running.signal(signal);
            let outcome = running.finish();
            assert_eq!(
                outcome.status.signal(),
                Some(signal),
                "{command}: {outcome:?}"
            );
            assert_eq!(left(&outcome.tmp()), Vec::<PathBuf>::new(), "{command}");
        }
    }
}

#[test]
fn a_signal_ends_a_check_once_its_program_has_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let baseline = folder.path().join("baseline.csv");
    let check = |how: &str, options: &[&str]| {
        Run::plain(tool())
            .args(&["check", "--baseline"])
            .arg(&baseline)
            .args(options)
            .args(&["--repeat", "3", "--"])
            .arg(Source::c("life").build())
            .arg(how)
    };
    let ended = |running: Running| {
        let outcome = running.finish();
        assert_eq!(outcome.status.signal(), Some(libc::SIGTERM), "{outcome:?}");
        assert_eq!(left(&outcome.tmp()), Vec::<PathBuf>::new());
        assert!(!baseline.exists());
    };
    let mut running = check("pause", &["--update"]).start();
    running.wait_for_output("ready\n");
    running.signal(libc::SIGTERM);
    ended(running);
}

/// A run whose report waits for a reader.
struct Reporting {
    tool: Running,
    pipe: PathBuf,
    _folder: tempfile::TempDir,
}

impl Reporting {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = pipe(folder.path(), "out.csv");
        let mut tool = Run::plain(tool())
            .arg("-o")
            .arg(&pipe)
            .arg(Source::c("life").build())
            .arg("pause")
            .start();
        tool.wait_for_output("ready\n");
        tool.signal(libc::SIGTERM);
        wait_until_it_opens_a_pipe(&tool);
        Self {
            tool,
            pipe,
            _folder: folder,
        }
    }
}

#[test]
fn a_second_signal_hurries_the_report_and_a_third_gives_it_up() {
    let run = Reporting::start();
    // The first one reached the program.
    sleep(Duration::from_secs(1));
    run.tool.signal(libc::SIGTERM);
    sleep(MOMENT);
    assert!(!run.tool.has_ended());
    let text = fs::read_to_string(&run.pipe).expect("the report");
    let outcome = run.tool.finish();
    assert_eq!(
        outcome.status.code(),
        Some(128 + libc::SIGTERM),
        "{outcome:?}"
    );
    let report = Report::parse(text.clone());
    assert_eq!(report.calls_by("work"), 1000, "{text}");

    let run = Reporting::start();
    for _ in 0..2 {
        run.tool.signal(libc::SIGTERM);
        sleep(MOMENT);
    }
    let outcome = run.tool.finish();
    assert_eq!(outcome.status.signal(), Some(libc::SIGTERM), "{outcome:?}");
    assert_eq!(left(&outcome.tmp()), Vec::<PathBuf>::new());
}

/// `timeout` sends its signal to the tool, and then to the tool's group.
#[test]
fn a_time_limit_does_not_lose_the_report() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().expect("a folder");
        let csv = folder.path().join("out.csv");
        let mut running = Run::plain(tool())
            .arg("-o")
            .arg(&csv)
            .arg(Source::c("life").build())
            .arg("pause")
            .start();
        running.wait_for_output("ready\n");
        running.signal(libc::SIGTERM);
        running.signal_group(libc::SIGTERM);
        let outcome = running.finish();
        assert_eq!(
            outcome.status.code(),
            Some(128 + libc::SIGTERM),
            "{outcome:?}"
        );
        assert_eq!(Report::read(&csv).calls_by("work"), 1000);
    }
}

/// What the tool says to a command line that it refuses before the program runs.
fn refused(run: Run, program: &Path) -> String {
    let Outcome {
        status,
        stderr,
        stdout,
        ..
    } = run.arg(program).arg("return").finish();
    assert_eq!(status.code(), Some(2), "{stderr}");
    assert_eq!(stdout, "");
    stderr
}

#[test]
fn a_setting_that_is_not_understood_is_an_error_before_anything_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let (trace, csv) = (folder.path().join("ran"), folder.path().join("out.csv"));
    let program = folder.path().join("program");
    crate::support::script(
        &program,
        &format!("#!/bin/sh\ntouch '{}'\n", trace.display()),
    );
    for (option, variable, value) in [
        ("--hook", "SKIP_HEAP_HOOKS", "foo"),
        ("--hook", "SKIP_HEAP_HOOKS", "f(size=arg0);g(size=arg9)"),
        ("--hook", "SKIP_HEAP_HOOKS", "f[(size=arg0)"),
        ("--trim", "SKIP_HEAP_TRIM", "["),
        ("--trim", "SKIP_HEAP_TRIM", "a,b]"),
        ("--programs", "SKIP_HEAP_PROGRAMS", "["),
        ("--programs", "SKIP_HEAP_PROGRAMS", "!"),
        ("--allocators", "SKIP_HEAP_ALLOCATORS", "heap"),
        ("--verify", "SKIP_HEAP_VERIFY", "often"),
        ("--stack-depth", "SKIP_HEAP_STACK_DEPTH", "0"),
        ("--sample", "SKIP_HEAP_SAMPLE", "some"),
        ("--profile", "SKIP_HEAP_PROFILE", "9"),
        ("", "SKIP_HEAP_COLUMNS", "some"),
        ("", "SKIP_HEAP_LIVE", "yes"),
        ("", "SKIP_HEAP_LEAK_CHECK", "yes"),
    ] {
        let tool = || Run::plain(tool());
        let check = || tool().args(&["check", "--update", "--baseline"]).arg(&csv);
        let mut runs = vec![
            (variable, tool().env(variable, value).arg("-o").arg(&csv)),
            (variable, check().env(variable, value).arg("--")),
        ];
        if !option.is_empty() {
            runs.push((option, tool().args(&[option, value]).arg("-o").arg(&csv)));
            runs.push((option, check().args(&[option, value]).arg("--")));
        }
        for (name, run) in runs {
            let said = refused(run, &program);
            assert!(said.contains(name), "{name} {value}: {said}");
            assert!(!trace.exists() && !csv.exists(), "{name} {value}");
        }
    }
}

/// The tool where no file may be longer than 512 bytes, as on a disk that is nearly full.
fn without_room(arguments: &[&str]) -> Run {
    let line = "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"";
    Run::plain("/bin/sh")
        .args(&["-c", line])
        .arg(tool())
        .args(arguments)
}

#[test]
fn an_error_leaves_the_file_that_was_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let profile = folder.path().join("a.skipheap");
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    Run::plain(tool())
        .args(&["-q", "--live", "-o"])
        .arg(&profile)
        .args(&[
            "/usr/bin/jq",
            "-n",
            "[range(99)]|map(tostring)|join(\".\")|test(\"1\")",
        ])
        .succeed();
    let results = folder.path().join("results");
    fs::create_dir(&results).expect("a folder");
    let kept = |run: Run, path: &Path, name: &str| {
        fs::write(path, "old").expect("written");
        let outcome = run.finish();
        assert!(
            outcome.stderr.contains("File too large"),
            "{name}: {outcome:?}"
        );
        assert_eq!(fs::read_to_string(path).expect("there"), "old", "{name}");
        assert_eq!(left(&results).len(), 1, "{name}");
        fs::remove_file(path).expect("removed");
    };
    for ending in [
        "csv",
        "html",
        "json",
        "md",
        "folded",
        "skipheap",
        "pb.gz",
        "svg",
        "parquet",
        "dhat.json",
        "speedscope.json",
        "firefox.json",
    ] {
        let path = results.join("out").with_extension(ending);
        let arguments = ["report", "-q", "-o", &text(&path), &text(&profile)];
        kept(without_room(&arguments), &path, ending);
        let full = Run::plain(tool()).args(&["report", "-q", "-o", "/dev/full"]);
        let format = ending.trim_end_matches(".json").trim_end_matches(".gz");
        let format = match format {
            "pb" => "pprof",
            "md" => "markdown",
            "folded" => "collapsed",
            other => other,
        };
        let said = full.args(&["--format", format]).arg(&profile).finish();
        assert!(
            said.stderr.contains("/dev/full: No space left on device"),
            "{ending}: {said:?}"
        );
    }
    let path = results.join("timeline.csv");
    let arguments = [
        "report",
        "-q",
        "-o",
        "/dev/null",
        "--timeline",
        &text(&path),
        &text(&profile),
    ];
    kept(without_room(&arguments), &path, "timeline");
    let path = results.join("baseline.csv");
    let arguments = [
        "check",
        "--update",
        "--baseline",
        &text(&path),
        &text(&profile),
    ];
    kept(without_room(&arguments), &path, "baseline");
    let path = results.join("diff.csv");
    let arguments = ["diff", "-o", &text(&path), &text(&profile), &text(&profile)];
    kept(without_room(&arguments), &path, "diff");
    let path = results.join("merged.skipheap");
    let arguments = [
        "merge",
        "-o",
        &text(&path),
        &text(&profile),
        &text(&profile),
    ];
    kept(without_room(&arguments), &path, "merge");
}

#[test]
fn a_tool_that_is_killed_leaves_no_empty_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("old.csv"), "old").expect("written");
    for name in ["new.csv", "old.csv"] {
        let mut running = Run::plain(tool())
            .args(&["--timeline".as_ref(), path("timeline.csv").as_os_str()])
            .args(&["-o".as_ref(), path(name).as_os_str()])
            .arg(Source::c("life").build())
            .arg("pause")
            .start();
        running.wait_for_output("ready\n");
        running.signal(libc::SIGKILL);
        while !running.has_ended() {
            sleep(Duration::from_millis(10));
        }
    }
    assert_eq!(left(folder.path()), [path("old.csv")]);
    assert_eq!(fs::read_to_string(path("old.csv")).expect("there"), "old");
}

#[test]
fn a_snapshot_over_the_recording_itself_is_refused() {
    let mut running = Run::preloaded(Source::c("life").build())
        .arg("pause")
        .start();
    running.wait_for_output("ready\n");
    let recording = recordings(&running.tmp()).remove(0);
    let link = running.tmp().join("link.skipheap-rec");
    std::os::unix::fs::symlink(&recording, &link).expect("a link");
    for path in [&recording, &link] {
        let outcome = Run::plain(tool())
            .args(&["snapshot", &running.pid().to_string(), "-o"])
            .arg(path)
            .finish();
        assert_eq!(outcome.status.code(), Some(2), "{outcome:?}");
        assert!(
            outcome.stderr.contains("which is still in use"),
            "{outcome:?}"
        );
    }
    let again = Run::plain(tool())
        .args(&["report", "-q", "-o", "-"])
        .arg(&recording)
        .succeed();
    assert_eq!(Report::parse(again.stdout).calls_by("work"), 1000);
}

/// A script that starts a helper first, and then the program in the way that `how` says.
fn with_helper(folder: &Path, how: &str) -> PathBuf {
    let path = folder.join("script");
    let program = Source::c("pattern").build();
    let text = format!("#!/bin/sh\ndirname /a/b\n{how} '{}'\n", program.display());
    crate::support::script(&path, &text);
    path
}

#[test]
fn the_named_report_is_that_of_the_main_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let csv = folder.path().join("out.csv");
    for how in ["exec", ""] {
        let outcome = Run::plain(tool())
            .args(&["--keep", "-o"])
            .arg(&csv)
            .arg(with_helper(folder.path(), how))
            .succeed();
        Report::read(&csv).assert_is("pattern.csv");
        // The kept recordings give the same report.
        let kept = left(&outcome.tmp()).into_iter().find(|path| path.is_dir());
        let again = folder.path().join("again.csv");
        let report = Run::plain(tool()).args(&["report", "-q", "-o"]).arg(&again);
        report.arg(kept.expect("the session")).succeed();
        Report::read(&again).assert_is("pattern.csv");
    }
}

#[test]
fn a_program_has_the_name_of_the_link_that_started_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("server");
    std::os::unix::fs::symlink(Source::c("pattern").build(), &link).expect("a link");
    let outcome = Run::plain(tool())
        .args(&["-o", "/dev/null"])
        .arg(&link)
        .succeed();
    assert!(
        outcome.stderr.contains("server: 1,023 allocations"),
        "{outcome:?}"
    );
}

#[test]
fn another_copy_of_the_library_does_not_count_once_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("other.so");
    fs::copy(crate::support::library(), &copy).expect("copied");
    // By its mark the tool knows one that counts whatever stands in front of it.
    let csv = folder.path().join("out.csv");
    let outcome = Run::plain(tool())
        .env("LD_PRELOAD", &copy)
        .arg("-o")
        .arg(&csv)
        .arg(Source::c("pattern").build())
        .succeed();
    Report::read(&csv).assert_is("pattern.csv");
    assert!(
        outcome.stderr.contains("pattern: 1,023 allocations"),
        "{outcome:?}"
    );
    assert!(
        outcome
            .stderr
            .contains("other.so in LD_PRELOAD is another copy"),
        "{outcome:?}"
    );
    let alone = Run::preloaded(Source::c("pattern").build())
        .also_preload(&copy)
        .succeed();
    alone.report().assert_is("pattern.csv");
}

#[test]
fn a_program_that_the_loader_was_told_to_start_has_its_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let csv = folder.path().join("out.csv");
    let program = Source::c("pattern").build();
    const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
    for options in [
        &[][..],
        &["--library-path", "/nowhere"],
        &["--argv0", "other", "--inhibit-cache"],
    ] {
        let outcome = Run::plain(tool())
            .arg("-o")
            .arg(&csv)
            .arg(LOADER)
            .args(options)
            .arg(&program)
            .succeed();
        Report::read(&csv).assert_is("pattern.csv");
        assert!(
            outcome.stderr.contains("pattern: 1,023 allocations"),
            "{outcome:?}"
        );
        let alone = Run::preloaded(LOADER).args(options).arg(&program).succeed();
        alone.report().assert_is("pattern.csv");
    }
}

#[test]
fn secrets_of_command_lines_are_in_no_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let run = |options: &[&str], name: &str| {
        Run::plain(tool())
            .args(&["-q", "-o"])
            .arg(path(name))
            .args(options)
            .arg(Source::c("pattern").build())
            .args(&["--password=hunter2", "--user", "me"])
            .finish();
        let json = Run::plain(tool()).args(&["report", "-q", "-o", "-", "--format", "json"]);
        json.arg(path(name)).succeed().stdout
    };
    let clean = run(&[], "a.skipheap");
    assert!(!clean.contains("hunter2"), "{clean}");
    assert!(
        clean.contains("--password=[redacted]") && clean.contains("--user"),
        "{clean}"
    );
    let none = run(&["--no-command-line"], "b.skipheap");
    assert!(
        !none.contains("--password") && !none.contains("--user"),
        "{none}"
    );
}

#[test]
fn tokens_stay_with_the_tool() {
    let outcome = Run::plain(tool())
        .env("SKIP_HEAP_PYROSCOPE_TOKEN", "s3cret")
        .args(&[
            "-o",
            "/dev/null",
            "--push",
            "pyroscope+http://192.0.2.1:9/app",
        ])
        .args(&["--push-timeout", "5", "/usr/bin/printenv"])
        .succeed();
    assert!(!outcome.stdout.contains("s3cret"), "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("not sent to another machine over plain http"),
        "{outcome:?}"
    );
    assert!(!outcome.stderr.contains("s3cret"), "{outcome:?}");
}

#[test]
fn the_names_of_a_tree_are_those_of_its_processes() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = Source::c("heap").flags(&["-g"]).build();
    let path = |name: &str| folder.path().join(name);
    let line = format!("for i in 1 2 3; do '{}'; done", program.display());
    Run::plain(tool())
        .args(&["-q", "--merge", "--columns", "all", "-o"])
        .arg(path("tree.csv"))
        .args(&["sh", "-c", &line])
        .succeed();
    Run::plain(tool())
        .args(&["-q", "--columns", "all", "-o"])
        .arg(path("one.csv"))
        .arg(&program)
        .succeed();
    // Names, files and lines of each row, without its figures.
    let names = |name: &str| {
        let text = fs::read_to_string(path(name)).expect("there");
        let mut names: Vec<String> = text
            .lines()
            .map(|line| line.split(',').take(4).collect::<Vec<_>>().join(","))
            .collect();
        names.sort();
        names.dedup();
        names
    };
    assert_eq!(names("tree.csv"), names("one.csv"));
}
