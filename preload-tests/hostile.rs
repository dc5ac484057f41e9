//! What somebody could send or leave behind to harm whoever reads it: input that stands for far more
//! than it is, names that command a terminal or a CI runner, files that never end.
//!
//! The tool runs under a limit on memory that is a fraction of what the input claims.

use crate::support::{Outcome, Run, Source, library, output_of, read_recording, recordings, tool};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// Address space that is enough for any of these reports.
const ENOUGH: u64 = 1 << 30;

fn limited(args: &[&str]) -> Run {
    Run::plain(tool())
        .args(args)
        .limit(libc::RLIMIT_AS, ENOUGH)
        .time_out(Duration::from_secs(60))
}

fn assert_refused(outcome: &Outcome, file: &Path, what: &str) {
    assert_eq!(outcome.status.code(), Some(2), "{outcome:?}");
    let name = file.file_name().expect("a name").to_string_lossy();
    assert!(
        outcome.stderr.contains(&*name) && outcome.stderr.contains(what),
        "{outcome:?}"
    );
}

#[test]
fn a_recording_that_is_one_hole_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = Run::preloaded(Source::c("pattern").build())
        .env("SKIP_HEAP_KEEP", "1")
        .succeed();
    let recording = recordings(&kept.tmp()).remove(0);
    let path = folder.path().join("1-hole.skipheap-rec");
    fs::write(&path, read_recording(&recording)).expect("a copy");
    let file = fs::OpenOptions::new().write(true).open(&path).expect("it");
    file.set_len(5 << 30).expect("a hole");
    // The header says how far the file was written.
    file.write_all_at(&(5_u64 << 30).to_le_bytes(), CURSOR)
        .expect("written");
    let outcome = limited(&["report", "-o", "-"]).arg(&path).finish();
    assert_refused(&outcome, &path, "it claims to hold 5368709120 bytes");
}

/// Offset of the header's word that says how far the file was written.
const CURSOR: u64 = 16;

#[test]
fn configurations_that_never_end_are_refused_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let toml = folder.path().join("skipheap.toml");
    let check = || {
        limited(&["check", "--config"])
            .arg(&toml)
            .args(&["--", "/bin/true"])
    };
    std::os::unix::fs::symlink("/dev/zero", &toml).expect("a link");
    assert_refused(&check().finish(), &toml, "a device or a socket, not a file");
    fs::remove_file(&toml).expect("gone");
    output_of("mkfifo", &[toml.to_str().expect("text")]);
    let outcome = check().finish();
    assert!(
        outcome.stderr.contains("nothing to compare with"),
        "{outcome:?}"
    );
    fs::remove_file(&toml).expect("gone");
    fs::write(&toml, "[limits]\nrepeat = 4000000000\n").expect("written");
    assert_refused(&check().finish(), &toml, "it must be 1 to 1000");
    let many: Vec<String> = (0..40_000).map(|i| format!("function_{i}*x?y")).collect();
    let glob = format!("[budgets]\n\"{{{}}}\" = {{ calls = 1 }}\n", many.join(","));
    fs::write(&toml, glob).expect("written");
    let outcome = check().finish();
    assert_ne!(outcome.status.code(), Some(101), "{outcome:?}");
    assert!(!outcome.stderr.contains("panicked"), "{outcome:?}");
}

#[test]
fn limits_that_a_file_switches_off_name_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("skipheap.toml"), "[limits]\nmax-growth = \"off\"\n").expect("written");
    let check = |more: &[&str]| {
        Run::plain(tool())
            .args(&["check", "--baseline"])
            .arg(path("heap.csv"))
            .arg("--config")
            .arg(path("skipheap.toml"))
            .args(more)
            .arg("--")
            .arg(Source::c("pattern").build())
            .succeed()
    };
    check(&["--update"]);
    let said = check(&[]).stderr;
    let expected = format!(
        "max-growth is switched off by {}",
        path("skipheap.toml").display()
    );
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn names_of_scripts_and_interpreters_reach_no_terminal() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("a\u{1b}]0;title\u{7}b\u{200b}");
    fs::write(&script, "#!/no/such\u{1b}[2Jinterpreter\n").expect("written");
    output_of("chmod", &["+x", script.to_str().expect("text")]);
    for program in [script.as_path(), Path::new("/no/such\u{1b}[31m::error::x")] {
        let outcome = Run::plain(tool()).arg(program).finish();
        let control = |c: char| c.is_control() && c != '\n';
        assert!(!outcome.stderr.contains(control), "{outcome:?}");
        assert!(!outcome.stderr.contains('\u{200b}'), "{outcome:?}");
        assert!(outcome.stderr.contains("\\x1b"), "{outcome:?}");
    }
}

#[test]
fn no_line_is_a_command_to_a_ci_runner() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["::error::x", "##[error]x", "##vso[task.complete]x"] {
        let program = folder.path().join(name);
        fs::copy(Source::c("pattern").build(), &program).expect("a copy");
        let outcome = Run::plain(tool())
            .args(&["-o", "/dev/null"])
            .arg(&program)
            .finish();
        for line in outcome.stderr.lines() {
            let is_command = line.trim_start().starts_with("::")
                || line.contains("##[")
                || line.contains("##vso[");
            assert!(!is_command, "{line:?}");
        }
    }
}

#[test]
fn the_licences_of_what_is_linked_are_printed() {
    let printed = output_of(&tool().to_string_lossy(), &["licenses"]);
    assert!(printed.starts_with("MIT License"), "{}", &printed[..40]);
    for expected in ["inferno 0.12", "CDDL", "gimli 0.33", "Apache License"] {
        assert!(printed.contains(expected), "{expected}");
    }
}

#[test]
fn library_and_tool_are_hardened() {
    for file in [library(), tool()] {
        let file = file.to_str().expect("text");
        let segments = output_of("readelf", &["-lW", file]);
        let has = |name: &str, access: &str| {
            let mut lines = segments.lines().filter(|line| line.contains(name));
            lines.any(|line| line.contains(access))
        };
        assert!(has("GNU_RELRO", " R "), "{file}: {segments}");
        assert!(has("GNU_STACK", " RW "), "{file}: {segments}");
        let dynamic = output_of("readelf", &["-dW", file]);
        assert!(dynamic.contains("BIND_NOW"), "{file}: {dynamic}");
    }
}
