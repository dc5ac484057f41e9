//! The snapshots that programs wrote of themselves during a run: they lie among the recordings, are no
//! processes of their own, and stay when the recordings go.

use crate::error::naming;
use crate::load::{self, Head};
use crate::others::is_drop_folder;
use crate::output::{Output, name_of};
use crate::terminal::term;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Snapshots that are listed.
const LISTED: usize = 10;

/// Tells snapshots from recordings: `(recordings, snapshots)`. What cannot be read is a recording, which
/// is for others to complain of.
pub(crate) fn apart(paths: Vec<PathBuf>) -> (Vec<PathBuf>, Vec<PathBuf>) {
    paths
        .into_iter()
        .partition(|path| !load::head(path).is_ok_and(|head| head.snapshot))
}

/// Moves the snapshots beside the CSV, or to the folder for temporary files where that went to standard
/// output, and says where they are, unless `quiet`.
///
/// # Errors
/// When one cannot be moved: it stays where it is, and so do those behind it.
pub(crate) fn keep(mut paths: Vec<PathBuf>, output: &Output, quiet: bool) -> io::Result<()> {
    paths.sort();
    let main = match output.main() {
        Some(path) => path.to_owned(),
        None => std::env::temp_dir().join("skip-heap.csv"),
    };
    let mut moved = Vec::new();
    for path in &paths {
        let Ok(head) = load::head(path) else { continue };
        for attempt in 1.. {
            let to = beside(&main, path, &head, attempt);
            match move_file(path, &to) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(naming(&to)(error)),
                Ok(()) => {
                    moved.push((head, to));
                    break;
                }
            }
        }
    }
    if !quiet || output.is_fresh() {
        list(&moved);
    }
    Ok(())
}

/// `out.PROGRAM.PID.N-LABEL.skipheap-rec` beside `out.csv`.
fn beside(main: &Path, path: &Path, head: &Head, attempt: u32) -> PathBuf {
    let mut stem = main.file_stem().unwrap_or_default().to_owned();
    stem.push(".");
    // Behind the name of the recording that it was made of.
    let name = path.file_name().unwrap_or_default().as_bytes();
    let dot = name.iter().position(|&byte| byte == b'.');
    let tail = name.get(dot.map_or(0, |dot| dot + 1)..).unwrap_or(name);
    let tail = OsString::from_vec(tail.to_vec());
    let program = head.program.as_bytes();
    main.with_file_name(name_of(stem, program, Some(head.pid), attempt, tail))
}

/// Moves a file to a name that nothing has yet, links included.
fn move_file(from: &Path, to: &Path) -> io::Result<()> {
    if from.parent().is_some_and(is_drop_folder) {
        // Its owner is another user, who could still change it.
        return copy_file(from, to);
    }
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // Another file system, or one that cannot keep what is there.
        Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS) => copy_file(from, to),
        Err(error) => Err(error.into()),
    }
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = load::open(from).map_err(io::Error::other)?;
    let mut copy = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    if let Err(error) = io::copy(&mut source, &mut copy) {
        let _ = fs::remove_file(to);
        return Err(error);
    }
    fs::remove_file(from)
}

fn list(moved: &[(Head, PathBuf)]) {
    let mut text = String::new();
    for (head, to) in moved.iter().take(LISTED) {
        let program = term::printable(&head.program);
        let path = term::path(to);
        text += &format!("snapshot of {program} ({}): {path}\n", head.pid);
    }
    if let Some((_, last)) = moved.get(LISTED..).and_then(<[_]>::last) {
        let more = term::grouped((moved.len() - LISTED) as u64);
        let folder = term::path(last.parent().unwrap_or(Path::new("/")));
        text += &format!("and {more} more in {folder}\n");
    }
    term::say(&text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::recording;
    use skipheap_format::layout::{Header, STATE_SNAPSHOT};
    use std::mem::offset_of;

    fn snapshot(pid: u32) -> Vec<u8> {
        let mut bytes = recording(pid, 1, &[(8, 1)]);
        let state = offset_of!(Header, state);
        bytes[state..state + 4].copy_from_slice(&STATE_SNAPSHOT.to_le_bytes());
        bytes
    }

    #[test]
    fn snapshots_go_beside_the_csv_under_names_of_their_own() {
        let (session, results) = (
            tempfile::tempdir().expect("a folder"),
            tempfile::tempdir().expect("a folder"),
        );
        let path = |name: &str| session.path().join(name);
        let files = [
            ("7-abcdef.skipheap-rec", recording(7, 1, &[])),
            ("7-abcdef.1-warm.skipheap-rec", snapshot(7)),
            ("7-ghijkl.1-warm.skipheap-rec", snapshot(7)),
            ("8-abcdef.2.skipheap-rec", snapshot(8)),
        ];
        for (name, bytes) in &files {
            fs::write(path(name), bytes).expect("written");
        }
        let all = files.iter().map(|(name, _)| path(name)).collect();
        let (recordings, snapshots) = apart(all);
        assert_eq!(recordings, [path(files[0].0)]);
        let output = Output::new(Some(&results.path().join("out.csv")));
        keep(snapshots, &output, true).expect("moved");
        let mut found: Vec<String> = fs::read_dir(results.path())
            .expect("the folder")
            .map(|entry| {
                entry
                    .expect("a file")
                    .file_name()
                    .into_string()
                    .expect("text")
            })
            .collect();
        found.sort();
        assert_eq!(
            found,
            [
                "out.program.7-2.1-warm.skipheap-rec",
                "out.program.7.1-warm.skipheap-rec",
                "out.program.8.2.skipheap-rec"
            ]
        );
        assert_eq!(fs::read_dir(session.path()).expect("the folder").count(), 1);
    }
    #[test]
    fn nothing_that_is_there_is_written_over_or_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("precious"), "kept").expect("written");
        for (move_it, name) in [
            (move_file as fn(&Path, &Path) -> io::Result<()>, "renamed"),
            (copy_file, "copied"),
        ] {
            fs::write(path("from"), name).expect("written");
            let link = path(&format!("{name}.link"));
            std::os::unix::fs::symlink("precious", &link).expect("a link");
            let error = move_it(&path("from"), &link).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            move_it(&path("from"), &path(name)).expect("moved");
            assert_eq!(fs::read_to_string(path(name)).expect("there"), name);
            assert!(!path("from").exists());
        }
        let kept = fs::read_to_string(path("precious")).expect("there");
        assert_eq!(kept, "kept");
    }
}
