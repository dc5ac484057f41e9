//! Other users of the machine: what they prepared is not loaded, followed or believed, and what is not theirs
//! they cannot read or replace. These tests need root, and pass where they do not have it.

use crate::support::{Report, Run, Source, tool};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

/// A user without a name or a home. Two tests never share one, so that none meets another's processes.
const STRANGER: u32 = 61_001;

fn is_root() -> bool {
    // SAFETY: geteuid cannot fail.
    unsafe { libc::geteuid() == 0 }
}

fn skip_heapprof() -> Run {
    Run::plain(tool())
}

/// A folder that all can enter.
fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("chmod");
    folder
}

/// A folder of another user in `parent`.
fn folder_of(user: u32, parent: &Path, name: &str) -> PathBuf {
    let path = parent.join(name);
    fs::create_dir(&path).expect("made");
    chown(&path, Some(user), Some(user)).expect("chown");
    path
}

/// The library that a run under root loads, as the loader gets it.
fn library_of(run: Run) -> PathBuf {
    let outcome = run
        .args(&["--programs", "none", "sh", "-c", "echo \"$LD_PRELOAD\""])
        .succeed();
    PathBuf::from(outcome.stdout.trim_end())
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("there").mode() & 0o7777
}

#[test]
fn root_loads_no_code_by_way_of_another_users_folders() {
    if !is_root() {
        return;
    }
    let folder = open_folder();
    let home = folder_of(STRANGER, folder.path(), "home");
    // Folders of root, to which the other user's links lead for as long as they are looked at.
    let good = folder.path().join("good");
    fs::create_dir(&good).expect("made");
    symlink(&good, home.join(".cache")).expect("a link");
    std::os::unix::fs::lchown(home.join(".cache"), Some(STRANGER), None).expect("chown");
    for (name, value) in [("HOME", home.clone()), ("XDG_CACHE_HOME", home.join("x"))] {
        let library = library_of(skip_heapprof().env(name, value));
        assert_eq!(library.canonicalize().expect("the library"), library);
        for part in library.ancestors() {
            let owner = part.symlink_metadata().expect("there").uid();
            assert_eq!(owner, 0, "{name}: {}", part.display());
        }
        assert!(!library.starts_with(&home), "{}", library.display());
    }
    for untouched in [&home, &good] {
        let is_ours = |path: &Path| path.symlink_metadata().expect("there").uid() == 0;
        let entries = fs::read_dir(untouched).expect("the folder");
        let made: Vec<PathBuf> = entries
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| is_ours(path))
            .collect();
        assert!(made.is_empty(), "{made:?}");
    }
}

#[test]
fn a_umask_of_zero_opens_nothing() {
    let folder = open_folder();
    let path = |name: &str| folder.path().join(name);
    // No home, and a folder for temporary files that the loader cannot be given.
    let odd = path("an odd name");
    fs::create_dir(&odd).expect("made");
    let csv = path("out.csv");
    let (tmp, out) = (odd.to_string_lossy(), csv.to_string_lossy());
    let tmpdir = format!("TMPDIR='{tmp}' HOME=/none");
    let script = format!(
        "umask 0; {tmpdir} exec {} -q --keep -o {out} {}",
        tool().display(),
        Source::c("pattern").build().display()
    );
    Run::plain("/bin/sh").args(&["-c", &script]).succeed();
    Report::read(&csv).assert_is("pattern.csv");
    assert_eq!(mode(&csv), 0o600);
    let mut below = vec![odd.clone()];
    let mut looked_at = 0;
    while let Some(folder) = below.pop() {
        for entry in fs::read_dir(&folder).expect("the folder") {
            let path = entry.expect("an entry").path();
            let is_folder = path.is_dir();
            let wanted = if is_folder { 0o700 } else { 0o600 };
            assert_eq!(mode(&path), wanted, "{}", path.display());
            looked_at += 1;
            if is_folder {
                below.push(path);
            }
        }
    }
    assert!(looked_at >= 2, "the session and a recording");
    // Further processes, and a file of another kind.
    let script = format!(
        r#"umask 0; exec {} -q -o {}/p.skipheap sh -c '"$1"; "$2" return; exit 0' "$@""#,
        tool().display(),
        folder.path().display()
    );
    Run::plain("/bin/sh")
        .args(&["-c", &script, "sh", "sh"])
        .arg(Source::c("pattern").build())
        .arg(Source::c("life").build())
        .succeed();
    let entries = fs::read_dir(folder.path()).expect("the folder");
    let files = entries.map(|entry| entry.expect("an entry").path());
    let files: Vec<PathBuf> = files.filter(|path| path.is_file()).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn a_snapshot_of_a_process_is_for_its_user_alone() {
    let folder = open_folder();
    let file = folder.path().join("s.skipheap-rec");
    let mut running = skip_heapprof()
        .args(&["-q", "-o", "/dev/null"])
        .arg(Source::c("life").build())
        .arg("pause")
        .start();
    running.wait_for_output("ready");
    let children = format!("/proc/{0}/task/{0}/children", running.pid());
    let pid = fs::read_to_string(children).expect("the children");
    skip_heapprof()
        .args(&["snapshot", pid.trim(), "-q", "-o"])
        .arg(&file)
        .succeed();
    assert_eq!(mode(&file), 0o600);
}

/// Links under the names of further reports, which anybody can guess who knows the program's id.
#[test]
fn links_under_names_that_nobody_chose_are_not_followed() {
    let folder = open_folder();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("precious"), "kept").expect("written");
    let out = path("out.csv");
    // The script knows the id of the second program before that runs.
    let script = "\"$0\"; ln -s precious \"$2/out.life.$$.csv\"; exec \"$1\" return";
    let outcome = skip_heapprof()
        .arg("-o")
        .arg(&out)
        .args(&["sh", "-c", script])
        .arg(Source::c("pattern").build())
        .arg(Source::c("life").build())
        .arg(folder.path())
        .finish();
    assert_eq!(outcome.status.code(), Some(7), "{outcome:?}");
    assert_eq!(fs::read_to_string(path("precious")).expect("there"), "kept");
    let entries = fs::read_dir(folder.path()).expect("the folder");
    let life = entries
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.to_string_lossy().contains("out.life."))
        .expect("the report");
    assert!(life.symlink_metadata().expect("there").is_file());
    assert_eq!(Report::read(&life).calls_by("work"), 1000);
}
