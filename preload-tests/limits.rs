//! A missing folder, no room on disk, too little memory: the program never suffers.

use crate::support::{Outcome, Run, Source, fixture_dir};
use std::fs;
use std::path::Path;

fn pattern() -> Run {
    Run::preloaded(Source::c("pattern").build())
}

/// The report is complete, and in `/tmp`.
fn assert_in_tmp(outcome: &Outcome) {
    assert!(outcome.status.success(), "{outcome:?}");
    let path = outcome.report_paths().remove(0);
    let report = outcome.report();
    fs::remove_file(&path).expect("our own report");
    assert_eq!(path.parent(), Some(Path::new("/tmp")), "{outcome:?}");
    report.assert_is("pattern.csv");
}

#[test]
fn without_a_usable_tmpdir_the_report_is_in_tmp() {
    assert_in_tmp(&pattern().env("TMPDIR", "/nonexistent/folder").finish());
    let file = fixture_dir().join("pattern.c");
    assert_in_tmp(&pattern().env("TMPDIR", &file).finish());
    assert_in_tmp(&pattern().env("TMPDIR", "").finish());
}

#[test]
fn a_file_size_limit_never_kills_the_program_and_is_explained() {
    // Blocks of 512 bytes: nothing at all, the header of a recording, a little more.
    for blocks in ["0", "8", "64"] {
        let outcome = Run::preloaded("/bin/sh")
            .arg("-c")
            // The limit is not for the shell's own output, hence the pipe.
            .arg("{ (ulimit -f $1; exec \"$0\"); echo \"status $?\"; } 2>&1 | cat")
            .arg(Source::c("pattern").build())
            .arg(blocks)
            .env("SKIP_HEAP_PROGRAMS", "pattern")
            .succeed();
        let lines: Vec<&str> = outcome.stdout.lines().collect();
        assert_eq!(lines.last(), Some(&"status 0"), "{blocks}: {outcome:?}");
        assert!(lines.len() >= 3, "silence with limit {blocks}: {outcome:?}");
        if blocks == "0" {
            assert!(
                !outcome.stdout.contains("wrote allocation log"),
                "{outcome:?}"
            );
        }
    }
}

#[test]
fn a_limit_on_open_files_does_no_harm() {
    let program = Source::c("pattern").build();
    for files in [4, 5, 6] {
        // The loader opens one library at a time.
        Run::plain(&program)
            .limit(libc::RLIMIT_NOFILE, files)
            .succeed();
        Run::preloaded(&program)
            .limit(libc::RLIMIT_NOFILE, files)
            .succeed();
    }
}

#[test]
fn a_limit_on_memory_does_no_harm() {
    let program = Source::c("pattern").build();
    for megabytes in [6, 8, 12, 24, 48, 100] {
        let limit = megabytes << 20;
        Run::plain(&program).limit(libc::RLIMIT_AS, limit).succeed();
        let outcome = Run::preloaded(&program)
            .limit(libc::RLIMIT_AS, limit)
            .finish();
        // The loader itself may not find room for the library; then nothing of ours has run.
        let not_loaded = outcome.stderr.contains("cannot be preloaded");
        assert!(
            outcome.status.success() || not_loaded,
            "{megabytes} MB: {outcome:?}"
        );
        assert!(
            !(not_loaded && megabytes >= 24),
            "{megabytes} MB: {outcome:?}"
        );
    }
}

/// What tables of live blocks take of a limited address space, the program cannot have.
#[test]
fn a_limit_on_memory_leaves_the_program_its_share() {
    let program = Source::c("room").build();
    for limit in [300, 400] {
        let needed = limit * 3 / 4;
        let outcome = Run::preloaded(&program)
            .arg(needed.to_string())
            .env("SKIP_HEAP_LIVE", "1")
            .limit(libc::RLIMIT_AS, limit << 20)
            .succeed();
        let said = outcome.stderr.contains("blocks not tracked");
        assert!(said, "{limit} MB: {outcome:?}");
    }
}
