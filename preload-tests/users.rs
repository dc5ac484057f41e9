//! Other users of the machine: what they prepared is not loaded, followed or believed, and what is not theirs
//! they cannot read or replace. These tests need root, and pass where they do not have it.

use crate::support::{Outcome, Report, Run, Source, tool};
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

/// A session of root's does not lie where another user can put something else in its place.
#[test]
fn the_session_does_not_lie_in_another_users_folder() {
    if !is_root() {
        return;
    }
    let folder = open_folder();
    let tmp = folder_of(STRANGER, folder.path(), "tmp");
    let link = folder.path().join("link");
    symlink(&tmp, &link).expect("a link");
    for tmpdir in [&tmp, &link] {
        let outcome = skip_heapprof()
            .env("TMPDIR", tmpdir)
            .args(&["--programs", "none", "-o", "/dev/null", "sh", "-c"])
            .arg("echo \"$SKIP_HEAP_SESSION\"; ls \"$TMPDIR\"")
            .succeed();
        assert!(
            outcome.stdout.starts_with("/tmp/skip-heapprof-"),
            "{outcome:?}"
        );
        assert_eq!(outcome.stdout.lines().count(), 1, "{outcome:?}");
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
    // A folder that is left for a daemon goes with it all the same.
    let daemon = format!(
        "umask 0; exec {} -o /dev/null {}",
        tool().display(),
        Source::c("daemon_waits").build().display()
    );
    let outcome = Run::plain("/bin/sh").args(&["-c", &daemon]).succeed();
    let said = outcome.stderr.split_once("the recordings are kept in ");
    let kept = said
        .and_then(|(_, rest)| rest.split(';').next())
        .expect("a folder");
    let start = std::time::Instant::now();
    while Path::new(kept).exists() {
        assert!(
            start.elapsed() < std::time::Duration::from_secs(60),
            "{outcome:?}"
        );
        let again = folder.path().join("again.csv");
        skip_heapprof()
            .args(&["report", "-q", "-o"])
            .arg(again)
            .arg(kept)
            .succeed();
    }
    for entry in fs::read_dir(folder.path()).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.to_string_lossy().contains("again.") {
            fs::remove_file(path).expect("removed");
        }
    }
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
    // The report belongs to the last program of the command's process. The script knows the id of
    // the other one before that runs.
    let script = "sh -c 'ln -s precious \"$1/out.pattern.$$.csv\"; exec \"$0\"' \"$0\" \"$2\"; \
                  exec \"$1\" return";
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
    let pattern = entries
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.to_string_lossy().contains("out.pattern."))
        .expect("the report");
    assert!(pattern.symlink_metadata().expect("there").is_file());
    assert!(Report::read(&pattern).calls() > 0);
    assert_eq!(Report::read(&out).calls_by("work"), 1000);
}

/// Runs a command as [`STRANGER`], outside of any session.
fn as_stranger(script: &str, arguments: &[&Path]) -> Outcome {
    let user = STRANGER.to_string();
    let mut run = Run::plain("/usr/bin/setpriv")
        .args(&["--reuid", &user, "--regid", &user, "--clear-groups"])
        .args(&["sh", "-c", script]);
    for argument in arguments {
        run = run.arg(argument);
    }
    run.finish()
}

#[test]
fn a_child_that_gives_up_rights_before_its_first_allocation_is_counted() {
    if !is_root() {
        return;
    }
    let folder = open_folder();
    let program = Source::c("rights").build();
    for how in [
        "setuid",
        "setreuid",
        "setresuid",
        "seteuid",
        "setgroups",
        "chroot",
        "syscall-setuid",
        "syscall-chroot",
        "unshare",
    ] {
        let csv = folder.path().join("out.csv");
        let outcome = skip_heapprof()
            .args(&["--merge", "-o"])
            .arg(&csv)
            .arg(&program)
            .arg(how)
            .arg(folder.path())
            .finish();
        // Some machines do not let root do all of it.
        if outcome.status.code() == Some(77) {
            continue;
        }
        assert_eq!(outcome.status.code(), Some(0), "{how}: {outcome:?}");
        let calls = Report::read(&csv).calls_by("unit");
        assert_eq!(calls, 7, "{how}: {outcome:?}");
        assert!(!outcome.stderr.contains("warning"), "{how}: {outcome:?}");
    }
}

#[test]
fn programs_of_other_users_are_recorded() {
    if !is_root() {
        return;
    }
    let folder = open_folder();
    let program = folder.path().join("pattern");
    fs::copy(Source::c("pattern").build(), &program).expect("a copy that all can read");
    let own = program.to_string_lossy().into_owned();
    let setpriv = [
        "setpriv",
        "--reuid",
        "61002",
        "--regid",
        "61002",
        "--clear-groups",
    ];
    let su = ["su", "-s", "/bin/sh", "nobody", "-c"];
    let runuser = ["/usr/sbin/runuser", "-u", "nobody", "--"];
    // A folder for temporary files that others cannot enter, too.
    for mode in [0o755, 0o700] {
        for command in [&setpriv[..], &su, &runuser] {
            let tmp = folder.path().join("tmp");
            fs::create_dir(&tmp).expect("made");
            fs::set_permissions(&tmp, Permissions::from_mode(mode)).expect("chmod");
            let csv = folder.path().join("out.csv");
            let outcome = skip_heapprof()
                .env("TMPDIR", &tmp)
                .args(&["--programs", "pattern", "-o"])
                .arg(&csv)
                .args(command)
                .arg(&own)
                .succeed();
            Report::read(&csv).assert_is("pattern.csv");
            assert!(!outcome.stderr.contains("ld.so"), "{outcome:?}");
            assert!(!outcome.stderr.contains("warning"), "{outcome:?}");
            let left = fs::read_dir(&tmp).expect("the folder").count();
            assert_eq!(left, 0, "{outcome:?}");
            fs::remove_dir(&tmp).expect("removed");
        }
    }
}

/// A stranger who knows every path: what only processes of the session know, too.
#[test]
fn strangers_can_neither_list_read_change_nor_remove_recordings() {
    if !is_root() {
        return;
    }
    let folder = open_folder();
    let life = folder.path().join("life");
    fs::copy(Source::c("life").build(), &life).expect("a copy that all can read");
    // One process of root and one of another user, which both wait.
    let script = "echo \"$SKIP_HEAP_SESSION $SKIP_HEAP_SESSION_OTHERS\"; \"$0\" pause & \
                  setpriv --reuid 61003 --regid 61003 --clear-groups \"$0\" pause & wait";
    let mut running = skip_heapprof()
        .args(&[
            "--programs",
            "life",
            "-q",
            "-o",
            "/dev/null",
            "sh",
            "-c",
            script,
        ])
        .arg(&life)
        .start();
    running.wait_for_output("ready\nready");
    let stdout = fs::read_to_string(running.tmp().with_file_name("stdout")).expect("the paths");
    let (session, others) = stdout
        .lines()
        .find_map(|line| line.split_once(' '))
        .expect("two folders");
    let (session, others) = (Path::new(session), Path::new(others));
    let recording = |folder: &Path| {
        let entries = fs::read_dir(folder).expect("root may list it");
        let mut paths = entries.map(|entry| entry.expect("an entry").path());
        paths.next().expect("a recording")
    };
    let (of_root, of_user) = (recording(session), recording(others));
    assert_eq!(mode(&of_user), 0o600);
    assert_eq!(of_user.metadata().expect("there").uid(), 61_003);
    for attack in [
        "ls \"$0\"",
        "ls \"$1\"",
        "cat \"$2\"",
        "cat \"$3\"",
        "echo x >>\"$2\"",
        "echo x >>\"$3\"",
        "rm -f \"$3\"",
        "mv \"$3\" \"$1/x\"",
        "echo x >\"$0/1-abcdef.skipheap-rec\"",
        "mv \"$1\" \"$1-gone\"",
        "rmdir \"$(dirname \"$1\")\"",
        // Without the name that only the session knows, there is no way in.
        "ls \"$(dirname \"$1\")\"",
        "echo x >\"$(dirname \"$1\")/1-abcdef.skipheap-rec\"",
    ] {
        let tried = as_stranger(attack, &[session, others, &of_root, &of_user]);
        assert!(!tried.status.success(), "{attack}: {tried:?}");
        assert_eq!(tried.stdout, "", "{attack}");
    }
    // The environment of a process of root's, in which the name is, is root's alone.
    let children = format!("/proc/{0}/task/{0}/children", running.pid());
    let pid = fs::read_to_string(children).expect("the children");
    let environment = format!("/proc/{}/environ", pid.trim());
    let tried = as_stranger("cat \"$0\"", &[Path::new(&environment)]);
    assert!(
        !tried.status.success() && tried.stdout.is_empty(),
        "{tried:?}"
    );
    running.signal_group(libc::SIGKILL);
}

/// A program of another user's in the session knows the folder for its recordings, and puts there what is none.
#[test]
fn what_others_put_into_their_folder_is_not_followed_or_waited_for() {
    if !is_root() {
        return;
    }
    let folder = open_folder();
    let (secret, csv) = (folder.path().join("secret"), folder.path().join("out.csv"));
    fs::write(&secret, "SKIPHEAP of root").expect("written");
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).expect("chmod");
    let script = "\"$0\"; cd \"$SKIP_HEAP_SESSION_OTHERS\" && \
                  exec setpriv --reuid 61004 --regid 61004 --clear-groups sh -c \
                  'ln -s \"$0\" 1-aaaaaa.skipheap-rec; mkfifo 2-aaaaaa.skipheap-rec; \
                  ln -s /dev/zero 3-aaaaaa.skipheap-rec; ln \"$0\" 4-aaaaaa.skipheap-rec; exit 0' \"$1\"";
    let outcome = skip_heapprof()
        .args(&["--programs", "pattern", "-o"])
        .arg(&csv)
        .args(&["sh", "-c", script])
        .arg(Source::c("pattern").build())
        .arg(&secret)
        .succeed();
    Report::read(&csv).assert_is("pattern.csv");
    let refused = outcome.stderr.matches("not a regular file").count();
    assert!(refused >= 2, "{outcome:?}");
    assert_eq!(
        fs::read_to_string(&secret).expect("there"),
        "SKIPHEAP of root"
    );
    assert_eq!(fs::read_dir(outcome.tmp()).expect("the folder").count(), 0);
}

/// In a mount namespace in which the folders for temporary files are others.
#[test]
fn a_process_that_cannot_reach_the_session_is_named() {
    if !is_root() {
        return;
    }
    let folder = open_folder();
    let csv = folder.path().join("out.csv");
    let script =
        "mount -t tmpfs none /tmp && mount -t tmpfs none /var/tmp && exec /usr/bin/perl -e 1";
    let outcome = skip_heapprof()
        .args(&["--programs", "perl", "-o"])
        .arg(&csv)
        .args(&[
            "unshare",
            "-m",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
        ])
        .arg(Source::c("pattern").build())
        .finish();
    if outcome.stderr.contains("unshare failed") {
        return;
    }
    assert_eq!(outcome.status.code(), Some(0), "{outcome:?}");
    for part in [
        "nothing was recorded: 1 process could not create a recording in ",
        "/perl ",
        "No such file or directory",
    ] {
        assert!(outcome.stderr.contains(part), "{part}: {outcome:?}");
    }
    assert!(!outcome.stderr.contains("ld.so"), "{outcome:?}");
}
