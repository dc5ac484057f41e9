//! Environment variables, which programs are profiled, and what is printed.

use crate::support::{Outcome, Report, Run, Source, copied, script, tool};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The fixture under another file name.
fn pattern_as(name: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    copied(&Source::c("pattern").build(), &path);
    (folder, path)
}

fn pattern() -> Run {
    Run::preloaded(Source::c("pattern").build())
}

fn assert_not_profiled(outcome: &Outcome) {
    assert!(outcome.status.success(), "{outcome:?}");
    assert_eq!(outcome.stderr, "", "{outcome:?}");
    assert_eq!(outcome.stdout, "", "{outcome:?}");
    let left: Vec<_> = fs::read_dir(outcome.tmp()).expect("TMPDIR").collect();
    assert!(left.is_empty(), "{left:?}");
}

fn assert_profiled(outcome: &Outcome) {
    assert_eq!(outcome.report().calls(), 1023, "{outcome:?}");
}

#[test]
fn standard_error_has_the_three_lines_and_standard_output_is_untouched() {
    let outcome = pattern().succeed();
    assert_eq!(outcome.stdout, "");
    let path = outcome.report_paths().remove(0);
    let rows = fs::read_to_string(&path)
        .expect("the report")
        .lines()
        .count()
        - 1;
    assert_eq!(
        outcome.stderr,
        format!(
            "heap profiler: enabled!\nDumping log of size {rows}\n\
             heap profiler: wrote allocation log to {}\n",
            path.display()
        )
    );
}

/// What is missing from the counts, and what was asked for, is said all the same.
#[test]
fn quiet_leaves_out_the_three_lines_and_nothing_else() {
    let outcome = pattern().env("SKIP_HEAP_QUIET", "1").succeed();
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
    let left: Vec<_> = fs::read_dir(outcome.tmp())
        .expect("TMPDIR")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(Report::read(&left[0]).calls(), 1023);
    let outcome = pattern()
        .env("SKIP_HEAP_QUIET", "1")
        .env("SKIP_HEAP_SAMPLE", "64")
        .succeed();
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    assert!(outcome.stderr.contains("estimated from a sample"));
    let outcome = pattern()
        .env("SKIP_HEAP_QUIET", "1")
        .limit(libc::RLIMIT_FSIZE, 300_000)
        .env("TMPDIR", "/nowhere/at/all")
        .env("SKIP_HEAP_PROFILE", "yes")
        .succeed();
    assert!(outcome.stderr.contains("SKIP_HEAP_PROFILE"), "{outcome:?}");
}

/// The folder is that of the moment when the program started.
#[test]
fn a_relative_tmpdir_stays_where_it_was_when_the_program_changes_its_folder() {
    for keep in ["0", "1"] {
        let run = Run::preloaded("/bin/sh");
        let outcome = run
            .args(&[
                "-c",
                "cd \"$TMPDIR\" && mkdir here && TMPDIR=here exec perl -e 'chdir \"/\" or die'",
            ])
            .env("SKIP_HEAP_KEEP", keep)
            .succeed();
        let here = outcome.tmp().join("here");
        let report = outcome.report_paths().pop().expect("the report of perl");
        assert_eq!(report.parent(), Some(here.as_path()), "{outcome:?}");
        let left = fs::read_dir(&here).expect("the folder").count();
        assert_eq!(left, if keep == "1" { 2 } else { 1 });
    }
}

#[test]
fn the_report_is_a_private_file_of_a_random_name_in_tmpdir() {
    let (first, second) = (pattern().succeed(), pattern().succeed());
    let path = first.report_paths().remove(0);
    assert_eq!(path.parent(), Some(first.tmp().as_path()));
    let name = |path: &Path| {
        let name = path.file_name().expect("a name").to_string_lossy();
        name.strip_prefix("skip-alloc-log-")
            .and_then(|name| name.strip_suffix(".csv"))
            .expect("a name of the promised form")
            .to_owned()
    };
    let random = name(&path);
    assert_eq!(random.len(), 6, "{random}");
    assert!(
        random.chars().all(|c| c.is_ascii_alphanumeric()),
        "{random}"
    );
    assert_ne!(random, name(&second.report_paths().remove(0)));
    let metadata = fs::symlink_metadata(&path).expect("the report");
    assert!(metadata.is_file());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
}

#[test]
fn the_mode_of_the_report_does_not_depend_on_the_umask() {
    let outcome = Run::preloaded("/bin/sh")
        .args(&["-c", "umask 0; exec \"$0\""])
        .arg(Source::c("pattern").build())
        .succeed();
    let metadata = fs::metadata(outcome.report_paths().remove(0)).expect("the report");
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
}

#[test]
fn nothing_but_the_report_is_left_behind() {
    let outcome = pattern().succeed();
    let left: Vec<_> = fs::read_dir(outcome.tmp())
        .expect("TMPDIR")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert_eq!(left, outcome.report_paths());
}

#[test]
fn without_tmpdir_the_report_is_in_tmp() {
    let outcome = pattern().env_remove("TMPDIR").succeed();
    let path = outcome.report_paths().remove(0);
    assert_eq!(path.parent(), Some(Path::new("/tmp")));
    outcome.report().assert_is("pattern.csv");
    fs::remove_file(path).expect("our own report");
}

#[test]
fn unset_empty_and_one_profile_programs() {
    assert_profiled(&pattern().succeed());
    for value in ["", "1", "2"] {
        assert_profiled(&pattern().env("SKIP_HEAP_PROFILE", value).succeed());
    }
}

#[test]
fn zero_does_nothing() {
    assert_not_profiled(&pattern().env("SKIP_HEAP_PROFILE", "0").finish());
}

#[test]
fn another_value_is_explained_in_one_line_and_is_the_default() {
    for value in ["3", "yes", "-1", "01"] {
        let outcome = pattern().env("SKIP_HEAP_PROFILE", value).succeed();
        let lines: Vec<&str> = outcome.stderr.lines().collect();
        assert_eq!(lines.len(), 4, "{outcome:?}");
        let complaint = lines
            .iter()
            .find(|line| line.contains("SKIP_HEAP_PROFILE"))
            .expect("a line about the variable");
        for accepted in ["0", "1", "2"] {
            assert!(complaint.contains(accepted), "{complaint}");
        }
        assert!(lines.contains(&"heap profiler: enabled!"), "{outcome:?}");
        assert_eq!(outcome.reports().remove(0).calls(), 1023);
    }
}

#[test]
fn the_skip_compiler_is_profiled_under_two_only() {
    let program = Source::c("pattern").build();
    for argv0 in [
        "/usr/lib/skip/skip_to_llvm",
        "skip_to_llvm",
        "my_skip_to_llvm",
        "skc",
        "bin/skc",
    ] {
        let run = || Run::preloaded(&program).called(argv0);
        assert_not_profiled(&run().finish());
        assert_not_profiled(&run().env("SKIP_HEAP_PROFILE", "1").finish());
        assert_profiled(&run().env("SKIP_HEAP_PROFILE", "2").finish());
    }
    let (_folder, skc) = pattern_as("skc");
    assert_not_profiled(&Run::preloaded(&skc).finish());
    for other in ["skip_to_llvm_not", "myskc", "skcx"] {
        assert_profiled(&Run::preloaded(&program).called(other).finish());
    }
}

#[test]
fn launchers_are_left_out_by_default() {
    for name in [
        "sh", "bash", "dash", "zsh", "busybox", "env", "time", "xargs", "make",
    ] {
        let (_folder, program) = pattern_as(name);
        assert_not_profiled(&Run::preloaded(&program).finish());
    }
}

#[test]
fn what_the_tools_command_names_is_profiled_and_what_is_met_on_the_way_is_not() {
    let csv = |before: &[&str], program: &Path| {
        let run = Run::plain(tool()).args(&["-o", "-"]).args(before);
        run.arg(program).succeed().stdout
    };
    for name in ["skc", "skip_to_llvm", "gdb", "make", "strace"] {
        let (_folder, program) = pattern_as(name);
        let is_profiled = |before: &[&str]| csv(before, &program).contains("pc0,");
        for before in [
            &[][..],
            &["--profile", "1"],
            &["env", "A=1"],
            &["timeout", "60"],
            &["nice", "env", "A=1"],
        ] {
            assert!(is_profiled(before), "{before:?} {name}");
        }
        for before in [
            &["sh", "-c", "\"$0\"; true"][..],
            &["--profile", "0"],
            &["--programs", "jq"],
        ] {
            assert!(!is_profiled(before), "{before:?} {name}");
        }
    }
    // A wrapper that is named starts only what it is given.
    let (_folder, program) = pattern_as("nice");
    assert!(!csv(&[], &program).contains("pc0,"));
    // One that the named one starts is met on the way.
    let (folder, program) = pattern_as("make");
    let shell = folder.path().join("gdb");
    copied(Path::new("/bin/sh"), &shell);
    let script = "\"$0\"; true";
    let shell_text = shell.to_str().expect("text");
    let outcome = csv(&[shell_text, "-c", script], &program);
    assert_eq!(outcome.matches("pc0,").count(), 1, "{outcome}");
    assert!(!outcome.contains("\"leaf\""), "{outcome}");
}

#[test]
fn a_script_reports_the_program_and_not_the_shell() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.sh");
    let program = Source::c("pattern").build();
    let text = format!(
        "#!/bin/bash\ntrue='a shell that allocates'\n\"{}\"\n/usr/bin/env true='' \"{}\"\n",
        program.display(),
        program.display()
    );
    script(&path, &text);
    let outcome = Run::preloaded(&path).succeed();
    let reports = outcome.reports();
    assert_eq!(reports.len(), 2, "{outcome:?}");
    for report in reports {
        report.assert_is("pattern.csv");
    }
    let enabled = outcome.stderr.matches("heap profiler: enabled!").count();
    assert_eq!(enabled, 2, "{outcome:?}");
    assert_eq!(outcome.stderr.lines().count(), 6, "{outcome:?}");
}

#[test]
fn the_programs_to_profile_can_be_listed() {
    let with = |name: &str, list: &str| {
        let (_folder, program) = pattern_as(name);
        Run::preloaded(&program)
            .env("SKIP_HEAP_PROGRAMS", list)
            .finish()
    };
    assert_profiled(&with("bash", "*"));
    assert_profiled(&with("bash", "ba*"));
    assert_profiled(&with("photo_sizes", "photo_*"));
    assert_profiled(&with("photo_sizes", "other,photo_sizes"));
    assert_profiled(&with("photo_sizes", "!other"));
    assert_not_profiled(&with("photo_sizes", "other"));
    assert_not_profiled(&with("photo_sizes", "!photo*"));
    assert_not_profiled(&with("photo_sizes", "*,!photo_sizes"));
}
