//! The command-line tool.

use crate::support::{
    Outcome, Report, Run, Source, library, output_of, patched_copy, script, tool,
};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

fn skip_heapprof() -> Run {
    Run::plain(tool())
}

/// The report that the tool's summary names, and the summary.
fn report_of(outcome: &Outcome) -> Report {
    let path = outcome
        .stderr
        .split_whitespace()
        .map(|word| word.trim_matches(['"', '\'', '`', ',', ':', '(', ')']))
        .find(|word| word.ends_with(".csv"))
        .unwrap_or_else(|| panic!("no report named: {outcome:?}"));
    Report::read(Path::new(path))
}

/// Runs the tool with `-o` and reads the report that it wrote there.
fn with_o(arrange: impl FnOnce(Run) -> Run) -> (Outcome, Report) {
    let folder = tempfile::tempdir().expect("a folder");
    let csv = folder.path().join("out.csv");
    let outcome = arrange(skip_heapprof().arg("-o").arg(&csv)).finish();
    assert!(csv.exists(), "no report: {outcome:?}");
    (outcome, Report::read(&csv))
}

fn begins_as_recording(path: &Path) -> io::Result<bool> {
    let mut magic = [0; 8];
    File::open(path)?.read_exact(&mut magic)?;
    Ok(magic == *b"SKIPHEAP")
}

/// Recordings that were left in a folder.
fn recordings(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| begins_as_recording(path).is_ok_and(|begins| begins))
        .collect()
}

#[test]
fn a_program_is_profiled_and_summed_up() {
    let run = skip_heapprof().arg("--sites");
    let outcome = run.arg(Source::c("pattern").build()).succeed();
    assert_eq!(outcome.stdout, "");
    report_of(&outcome).assert_is("pattern.csv");
    assert!(
        outcome
            .stderr
            .contains("pattern: 1,023 allocations, 1,025,103 bytes (1.0 MB), 6 sites"),
        "{outcome:?}"
    );
    assert_eq!(largest_sites(&outcome).len(), 6, "{outcome:?}");
    for line in [
        "leaf ← nothing_and_much ← main",
        "leaf ← middle ← outer ← main",
    ] {
        assert!(outcome.stderr.contains(line), "{line}: {outcome:?}");
    }
    assert!(!outcome.stderr.contains("Dumping log"), "{outcome:?}");
    assert!(!outcome.stderr.contains("enabled!"), "{outcome:?}");
}

/// The lines of the summary's table.
fn largest_sites(outcome: &Outcome) -> Vec<&str> {
    outcome
        .stderr
        .lines()
        .skip_while(|line| !line.contains("allocated by"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .collect()
}

#[test]
fn the_summary_shows_the_ten_largest_sites() {
    let (outcome, report) = with_o(|run| run.args(&["--sites", "/usr/bin/jq", "-n", "[range(9)]"]));
    assert!(report.rows.len() > 20);
    let shown = largest_sites(&outcome);
    assert_eq!(shown.len(), 10, "{outcome:?}");
    // In the order of the report.
    for (line, row) in shown.iter().zip(&report.rows) {
        let numbers = line.split('%').nth(1).unwrap_or("").split_whitespace();
        let numbers = numbers.filter_map(|word| word.replace(',', "").parse::<u64>().ok());
        let numbers: Vec<u64> = numbers.take(2).collect();
        assert_eq!(numbers, [row.calls, row.size], "{line}\n{row:?}");
    }
}

#[test]
fn the_report_can_be_named() {
    let (outcome, report) = with_o(|run| run.arg(Source::c("pattern").build()));
    assert!(outcome.status.success(), "{outcome:?}");
    report.assert_is("pattern.csv");
}

#[test]
fn the_exit_status_passes_through() {
    let life = Source::c("life").build();
    for (how, status) in [
        ("return", 7),
        ("_exit", 7),
        ("nonsense", 1),
        ("segv", 128 + 11),
    ] {
        let (outcome, _) = with_o(|run| run.arg(&life).arg(how));
        assert_eq!(outcome.status.code(), Some(status), "{how}: {outcome:?}");
    }
}

#[test]
fn standard_input_and_output_pass_through() {
    let (outcome, report) = with_o(|run| run.arg("/usr/bin/jq").arg(".a").stdin(b"{\"a\": 42}"));
    assert_eq!(outcome.stdout, "42\n");
    assert!(report.calls() > 0);
}

#[test]
fn a_program_named_like_a_verb_can_be_run() {
    let (_folder, program) = patched_copy(&Source::c("pattern").build(), |_, _| ());
    let diff = program.with_file_name("diff");
    fs::rename(&program, &diff).expect("renamed");
    let folder = diff
        .parent()
        .expect("a folder")
        .to_string_lossy()
        .into_owned();
    let outcome = skip_heapprof()
        .env("PATH", format!("{folder}:/usr/bin:/bin"))
        .args(&["run", "--", "diff", "a", "b"])
        .succeed();
    report_of(&outcome).assert_is("pattern.csv");
}

#[test]
fn programs_are_found_on_the_path() {
    let (outcome, report) = with_o(|run| run.arg("jq").args(&["-n", "1+1"]));
    assert_eq!(outcome.stdout, "2\n");
    assert!(report.calls() > 0);
}

#[test]
fn preloaded_libraries_of_the_user_are_kept() {
    let other = Source::c_library("other_allocator").build();
    let (outcome, report) = with_o(|run| {
        run.env("LD_PRELOAD", &other)
            .arg(Source::c("served_by").build())
    });
    // The fixture exits with 2 if the other library is not there.
    assert!(outcome.status.success(), "{outcome:?}");
    assert_eq!(report.calls_by("ask"), 1000);
}

#[test]
fn settings_of_the_environment_reach_the_library() {
    let (_, report) = with_o(|run| {
        run.env("SKIP_HEAP_TRIM", "leaf")
            .arg(Source::c("pattern").build())
    });
    assert_eq!(report.calls_by("leaf"), 0, "{}", report.text);
    assert_eq!(report.calls_by("middle"), 1010, "{}", report.text);
}

#[test]
fn a_signal_to_the_tool_reaches_the_program() {
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1] {
        let folder = tempfile::tempdir().expect("a folder");
        let csv = folder.path().join("out.csv");
        let mut running = skip_heapprof()
            .arg("-o")
            .arg(&csv)
            .arg(Source::c("signals").build())
            .start();
        running.wait_for_output("ready\n");
        running.signal(signal);
        let outcome = running.finish();
        assert_eq!(outcome.status.code(), Some(3 + signal), "{outcome:?}");
        assert_eq!(Report::read(&csv).calls_by("main"), 1);
    }
}

/// A shell starts a job in the background of a script with SIGINT and SIGQUIT ignored, nohup one with SIGHUP;
/// a program that sets a handler gets them all the same.
#[test]
fn signals_that_were_ignored_at_the_start_reach_a_handler_of_the_program() {
    for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGTERM] {
        let start = |tool: &str| {
            let mut running = Run::plain("/bin/sh")
                .args(&["-c", "trap '' INT QUIT HUP TERM; exec \"$@\"", "sh", tool])
                .args(if tool == "env" {
                    &[]
                } else {
                    &["-q", "-o", "/dev/null"][..]
                })
                .arg(Source::c("signals").build())
                .start();
            running.wait_for_output("ready\n");
            running.signal(signal);
            running.finish()
        };
        let plain = start("env");
        assert_eq!(plain.status.code(), Some(3 + signal), "{plain:?}");
        let profiled = start(tool().to_str().expect("text"));
        assert_eq!(profiled.status.code(), Some(3 + signal), "{profiled:?}");
        assert_eq!(profiled.stderr, "", "{profiled:?}");
    }
}

/// A program that leaves them ignored is not ended by them, and neither is the tool.
#[test]
fn signals_that_the_program_ignores_end_nobody() {
    let mut running = Run::plain("/bin/sh")
        .args(&["-c", "trap '' INT QUIT HUP TERM; exec \"$@\"", "sh"])
        .arg(tool())
        .args(&["-q", "-o", "/dev/null"])
        .args(&["/bin/sh", "-c", "echo ready; sleep 1; exit 7"])
        .start();
    running.wait_for_output("ready\n");
    for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGTERM] {
        running.signal(signal);
    }
    assert_eq!(running.finish().status.code(), Some(7));
}

/// The state of a process as the kernel tells it: `S` asleep, `T` stopped ...
fn state_of(pid: i32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let behind_the_name = stat.rsplit(") ").next();
    behind_the_name
        .and_then(|rest| rest.chars().next())
        .unwrap_or('?')
}

fn wait_for_state(pid: i32, wanted: char) {
    let start = std::time::Instant::now();
    while state_of(pid) != wanted {
        assert!(start.elapsed().as_secs() < 60, "{pid} is {}", state_of(pid));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// SIGTSTP to the tool alone, as `kill -TSTP %1` sends it, and to the group, as a terminal does.
#[test]
fn a_program_that_is_suspended_suspends_the_tool_and_both_go_on() {
    for to_the_group in [false, true] {
        let mut running = skip_heapprof()
            .args(&["-q", "-o", "/dev/null"])
            .arg(Source::c("signals").build())
            .start();
        running.wait_for_output("ready\n");
        let pid = running.pid();
        let children = format!("/proc/{pid}/task/{pid}/children");
        let children = std::fs::read_to_string(children).expect("children");
        let program: i32 = children.trim().parse().expect("one child");
        let send = |signal| match to_the_group {
            true => running.signal_group(signal),
            false => running.signal(signal),
        };
        send(libc::SIGTSTP);
        wait_for_state(program, 'T');
        wait_for_state(pid, 'T');
        send(libc::SIGCONT);
        wait_for_state(program, 'S');
        wait_for_state(pid, 'S');
        send(libc::SIGTERM);
        let outcome = running.finish();
        assert_eq!(
            outcome.status.code(),
            Some(3 + libc::SIGTERM),
            "{outcome:?}"
        );
    }
}

/// The runtime of gcc's AddressSanitizer ends a program that it finds behind another library.
#[test]
fn a_program_with_addresssanitizer_says_what_to_set_and_is_counted_then() {
    let program = Source::c("pattern").flags(&["-fsanitize=address"]).build();
    let refused = skip_heapprof().arg(&program).finish();
    assert_eq!(refused.status.code(), Some(125), "{refused:?}");
    let wanted = "ASAN_OPTIONS=verify_asan_link_order=0";
    assert!(refused.stderr.contains(wanted), "{refused:?}");
    let (_, report) = with_o(|run| {
        run.env("ASAN_OPTIONS", "detect_leaks=0:verify_asan_link_order=0")
            .arg(&program)
    });
    assert_eq!(report.calls_by("leaf"), 1022, "{}", report.text);
}

#[test]
fn control_c_ends_the_program_and_the_tool_reports() {
    for signal in [libc::SIGINT, libc::SIGQUIT] {
        let folder = tempfile::tempdir().expect("a folder");
        let csv = folder.path().join("out.csv");
        let start = |program: &str, how: &str| {
            let mut running = skip_heapprof()
                .arg("-o")
                .arg(&csv)
                .arg(Source::c(program).build())
                .arg(how)
                .start();
            running.wait_for_output("ready\n");
            running.signal_group(signal);
            running.finish()
        };
        // A program that handles the signal: its own status.
        let outcome = start("signals", "");
        assert_eq!(outcome.status.code(), Some(3 + signal), "{outcome:?}");
        assert_eq!(Report::read(&csv).calls_by("main"), 1);
        // A program that dies of it: 128 plus the number, and all that it had done.
        let outcome = start("life", "pause");
        assert_eq!(outcome.status.code(), Some(128 + signal), "{outcome:?}");
        assert_eq!(Report::read(&csv).calls_by("work"), 1000);
    }
}

#[test]
fn a_recording_of_a_killed_program_becomes_a_report() {
    let mut running = Run::preloaded(Source::c("life").build())
        .arg("pause")
        .start();
    running.wait_for_output("ready\n");
    // Still running ...
    let found = recordings(&running.tmp());
    assert_eq!(found.len(), 1, "{found:?}");
    let report = |csv: &str| {
        let csv = running.tmp().join(csv);
        let outcome = skip_heapprof()
            .arg("report")
            .arg("-o")
            .arg(&csv)
            .arg(&found[0])
            .succeed();
        assert!(outcome.stderr.contains("work"), "the table: {outcome:?}");
        Report::read(&csv)
    };
    report("running.csv").assert_row(["work", "main", "libc", "libc"], 40, 1000);
    // ... and after SIGKILL.
    running.signal(libc::SIGKILL);
    std::thread::sleep(std::time::Duration::from_millis(200));
    report("killed.csv").assert_row(["work", "main", "libc", "libc"], 40, 1000);
    running.finish();
}

#[test]
fn a_kept_recording_gives_the_same_report_as_the_library_wrote() {
    let run = Run::preloaded("/usr/bin/jq")
        .args(&["-n", "[range(500)] | map(tostring) | join(\",\") | length"])
        .env("SKIP_HEAP_KEEP", "1")
        .succeed();
    let kept = recordings(&run.tmp());
    assert_eq!(kept.len(), 1, "{kept:?}");
    let csv = run.tmp().join("again.csv");
    skip_heapprof()
        .arg("report")
        .arg("-o")
        .arg(&csv)
        .arg(&kept[0])
        .succeed();
    assert_eq!(Report::read(&csv).text, run.report().text);
}

#[test]
fn what_is_no_recording_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let cases: [(&str, Vec<u8>); 4] = [
        ("empty", vec![]),
        ("text", b"hello".to_vec()),
        ("zeros", vec![0; 10000]),
        ("cut", b"SKIPHEAP\x01\0\0\0".to_vec()),
    ];
    for (name, bytes) in cases {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("the file");
        let outcome = skip_heapprof().arg("report").arg(&path).finish();
        assert!(!outcome.status.success(), "{name}: {outcome:?}");
        assert!(
            outcome.status.code().is_some_and(|code| code < 101),
            "{outcome:?}"
        );
        assert!(outcome.stderr.contains(name), "{name}: {outcome:?}");
    }
    let missing = folder.path().join("missing");
    let outcome = skip_heapprof().arg("report").arg(&missing).finish();
    assert!(!outcome.status.success(), "{outcome:?}");
    assert!(outcome.stderr.contains("missing"), "{outcome:?}");
}

/// The program is not profiled, and the message says why.
fn assert_refused(run: Run, why: &[&str]) {
    let outcome = run.finish();
    let said = outcome.stderr.to_lowercase();
    assert!(
        why.iter().any(|word| said.contains(word)),
        "none of {why:?}: {outcome:?}"
    );
}

#[test]
fn a_static_program_is_explained() {
    let program = Source::c("pattern").flags(&["-static"]).build();
    assert_refused(skip_heapprof().arg(program), &["static"]);
    let program = Source::c("pattern").flags(&["-static-pie"]).build();
    assert_refused(skip_heapprof().arg(program), &["static"]);
}

#[test]
fn a_setuid_program_is_explained() {
    // As root, who may run it: the loader ignores LD_PRELOAD for those who are not the owner.
    let (_folder, program) = patched_copy(&Source::c("pattern").build(), |_, copy| {
        output_of("chmod", &["4755", &copy.to_string_lossy()]);
        // SAFETY: geteuid cannot fail.
        if unsafe { libc::geteuid() } == 0 {
            output_of("chown", &["daemon", &copy.to_string_lossy()]);
            output_of("chmod", &["4755", &copy.to_string_lossy()]);
        }
    });
    // SAFETY: geteuid cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        assert_refused(skip_heapprof().arg(program), &["setuid", "set-uid"]);
    } else {
        // One's own set-user-id program is an ordinary one.
        let outcome = skip_heapprof().arg(program).succeed();
        assert_eq!(report_of(&outcome).calls(), 1023);
    }
}

#[test]
fn a_program_that_is_not_there_is_explained() {
    let outcome = skip_heapprof().arg("no-such-program-anywhere").finish();
    assert_eq!(outcome.status.code(), Some(127), "{outcome:?}");
    assert!(
        outcome.stderr.contains("no-such-program-anywhere"),
        "{outcome:?}"
    );
    assert_refused(
        skip_heapprof().arg("/no/such/program"),
        &["not found", "no such file"],
    );
}

#[test]
fn a_file_that_cannot_be_run_is_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("data");
    fs::write(&file, "no program").expect("a file");
    let outcome = skip_heapprof().arg(&file).finish();
    assert_eq!(outcome.status.code(), Some(126), "{outcome:?}");
    assert!(outcome.stderr.contains("data"), "{outcome:?}");
}

#[test]
fn a_program_of_another_architecture_is_explained() {
    // Only the header is read: a 32-bit one, and one of another machine.
    let (_folder, elf32) = patched_copy(&Source::c("pattern").build(), |_, copy| {
        let mut bytes = fs::read(copy).expect("the program");
        bytes[4] = 1; // ELFCLASS32
        bytes[18] = 3; // EM_386
        fs::write(copy, bytes).expect("the program");
    });
    assert_refused(skip_heapprof().arg(elf32), &["32-bit", "32 bit"]);
    let (_folder, other) = patched_copy(&Source::c("pattern").build(), |_, copy| {
        let mut bytes = fs::read(copy).expect("the program");
        bytes[18] = 243; // EM_RISCV
        fs::write(copy, bytes).expect("the program");
    });
    assert_refused(
        skip_heapprof().arg(other),
        &["architecture", "risc-v", "riscv", "machine"],
    );
}

#[test]
fn a_program_that_is_left_out_is_explained() {
    let outcome = skip_heapprof()
        .env("SKIP_HEAP_PROFILE", "0")
        .arg(Source::c("pattern").build())
        .finish();
    assert!(outcome.status.success(), "{outcome:?}");
    assert!(outcome.stderr.contains("SKIP_HEAP_PROFILE"), "{outcome:?}");
}

#[test]
fn a_script_runs_and_its_programs_are_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.sh");
    let program = Source::c("pattern").build();
    let text = format!("#!/bin/sh\n\"{}\"\nexit 5\n", program.display());
    script(&path, &text);
    let outcome = skip_heapprof().arg(&path).finish();
    assert_eq!(outcome.status.code(), Some(5), "{outcome:?}");
    report_of(&outcome).assert_is("pattern.csv");
}

#[test]
fn the_placed_library_is_the_one_that_preloads_by_hand() {
    let again = output_of(&tool().to_string_lossy(), &["library"]);
    assert_eq!(Path::new(again.trim_end()), library());
    assert!(
        library().ends_with("libskipheap.so"),
        "{}",
        library().display()
    );
}

#[test]
fn help_names_every_variable() {
    let outcome = skip_heapprof().arg("--help").succeed();
    let help = outcome.stdout + &outcome.stderr;
    for name in ["SKIP_HEAP_PROFILE", "SKIP_HEAP_PROGRAMS", "SKIP_HEAP_TRIM"] {
        assert!(help.contains(name), "{name} in {help}");
    }
}
