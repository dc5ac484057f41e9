//! Profiles (`.skipheap`): every report that can be made of the recordings can be made of them, the same
//! byte for byte.

use crate::support::{Run, tool};
use std::fs;
use std::path::{Path, PathBuf};

const PYTHON: &str = "import json, ast, threading\n\
    work = lambda: ast.parse('x = [1, 2]\\n' * 300)\n\
    thread = threading.Thread(target=work)\nthread.start()\nthread.join()\n\
    json.loads('[' + '1.5,' * 2000 + '1]')\n";

/// Runs Python with these options and returns the folder with its only recording, and that recording.
fn recorded(options: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let outcome = Run::plain(tool())
        .env("TMPDIR", folder.path())
        .args(&["--keep", "--quiet", "-o", "/dev/null"])
        .args(options)
        .args(&["/usr/bin/python3", "-c", PYTHON])
        .succeed();
    let session = fs::read_dir(folder.path())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.is_dir())
        .unwrap_or_else(|| panic!("no session: {outcome:?}"));
    let mut files = fs::read_dir(session).expect("the session");
    let recording = files
        .find_map(|entry| {
            let path = entry.expect("an entry").path();
            (path.extension()? == "skipheap-rec").then_some(path)
        })
        .unwrap_or_else(|| panic!("no recording: {outcome:?}"));
    (folder, recording)
}

fn report(input: &Path, options: &[&str], output: &Path) -> Vec<u8> {
    Run::plain(tool())
        .args(&["report", "-q"])
        .args(options)
        .arg("-o")
        .arg(output)
        .arg(input)
        .succeed();
    fs::read(output).expect("the report")
}

fn reports_are_the_same(options: &[&str]) {
    let (folder, recording) = recorded(options);
    let out = |name: &str| folder.path().join(name);
    report(&recording, &[], &out("run.skipheap"));
    for (options, ending) in [
        (&[][..], "csv"),
        (&["--columns", "all"], "csv"),
        (&[], "folded"),
        (&["--lines", "--value", "calls"], "folded"),
        (&["--fold-recursion"], "folded"),
        (&[], "json"),
    ] {
        let of_recording = report(&recording, options, &out(&format!("a.{ending}")));
        let of_profile = report(&out("run.skipheap"), options, &out(&format!("b.{ending}")));
        assert!(of_recording.len() > 5000, "{options:?} {ending}");
        assert!(of_recording == of_profile, "{options:?} {ending}");
    }
}

#[test]
fn profiles_of_four_frames_give_the_same_reports() {
    reports_are_the_same(&[]);
}

#[test]
fn profiles_of_whole_stacks_and_live_heaps_give_the_same_reports() {
    reports_are_the_same(&["--live", "--stack-depth", "full"]);
}

#[test]
fn profiles_of_cut_and_sampled_stacks_give_the_same_reports() {
    reports_are_the_same(&["--live", "--stack-depth", "9", "--sample", "256"]);
}

#[test]
fn a_run_writes_a_profile_and_the_summary_of_it_is_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let profile = folder.path().join("p.skipheap");
    let run = Run::plain(tool())
        .arg("-o")
        .arg(&profile)
        .args(&["/usr/bin/python3", "-c", PYTHON])
        .succeed();
    let again = Run::plain(tool())
        .args(&["report", "-o", "/dev/null"])
        .arg(&profile)
        .succeed();
    let table = |text: &str| -> Vec<String> {
        let lines = text.lines().take_while(|line| !line.contains("all sites:"));
        lines.map(str::to_owned).collect()
    };
    assert!(table(&run.stderr).len() > 10, "{run:?}");
    assert_eq!(table(&run.stderr), table(&again.stderr));
}

#[test]
fn a_damaged_profile_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("p.skipheap");
    Run::plain(tool())
        .args(&["-q", "-o"])
        .arg(&path)
        .args(&["/usr/bin/perl", "-e", "print 1"])
        .succeed();
    let mut bytes = fs::read(&path).expect("the profile");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).expect("written");
    let outcome = Run::plain(tool()).arg("report").arg(&path).finish();
    assert_eq!(outcome.status.code(), Some(2), "{outcome:?}");
    assert!(
        outcome.stderr.contains("p.skipheap: a damaged profile"),
        "{outcome:?}"
    );
}
