//! The folder in which all processes of a run leave their recordings.

use crate::load;
use crate::record::reader::Recording;
use crate::{scratch, sys};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What the names of session folders begin with.
pub(crate) const PREFIX: &str = "skip-heapprof-";

/// A folder for us alone, removed with everything in it when dropped.
pub(crate) struct Session {
    folder: scratch::Folder,
}

/// A recorded process that has not ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Running {
    /// Its process id.
    pub(crate) pid: u32,
    /// Path of its executable.
    pub(crate) exe: String,
}

impl Session {
    /// Makes the folder, in TMPDIR or /tmp; in /dev/shm where recordings must not lie in those.
    ///
    /// # Errors
    /// Those of the folder, with its path.
    pub(crate) fn new() -> io::Result<Self> {
        // The program may change its working directory.
        let mut parent = std::path::absolute(env::temp_dir())?;
        let shared_memory = Path::new("/dev/shm");
        if sys::is_copy_on_write(&parent)
            && shared_memory.is_dir()
            && !sys::is_copy_on_write(shared_memory)
        {
            parent = shared_memory.to_owned();
        }
        let folder = scratch::Folder::new_in(&parent, PREFIX)?;
        Ok(Self { folder })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// All recordings that are there by now.
    ///
    /// # Errors
    /// When the folder cannot be read: the program may have removed it.
    pub(crate) fn recordings(&self) -> io::Result<Vec<PathBuf>> {
        load::in_folder(self.path())
    }

    /// Leaves the folder where it is.
    pub(crate) fn keep(self) -> PathBuf {
        self.folder.keep()
    }
}

/// Processes of these recordings that are still there and still record.
pub(crate) fn still_running(recordings: &[PathBuf]) -> Vec<Running> {
    recordings.iter().filter_map(|path| running(path)).collect()
}

fn running(path: &Path) -> Option<Running> {
    let bytes = load::bytes(path).ok()?;
    let recording = Recording::parse(&bytes).ok()?;
    if recording.finished() {
        return None;
    }
    // The id alone says little: it may be another process's by now, or the process may have
    // executed another program. The process that records has the file mapped.
    let maps = fs::read(format!("/proc/{}/maps", recording.pid())).ok()?;
    let needle = path.as_os_str().as_bytes();
    let is_mapped = maps
        .split(|&byte| byte == b'\n')
        .any(|line| line.ends_with(needle));
    is_mapped.then(|| Running {
        pid: recording.pid(),
        exe: String::from_utf8_lossy(recording.exe()).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::layout::{Header, STATE_RUNNING};
    use crate::testing::recording;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_folder_is_ours_alone_and_goes_with_the_session() {
        let session = Session::new().expect("a session");
        let path = session.path().to_owned();
        let mode = fs::metadata(&path)
            .expect("the folder")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::write(path.join("1-x.skipheap-rec"), "").expect("written");
        fs::write(path.join("something else"), "").expect("written");
        assert_eq!(session.recordings().expect("read").len(), 1);
        drop(session);
        assert!(!path.exists());
    }

    #[test]
    fn a_process_runs_while_it_has_the_recording_mapped() {
        let session = Session::new().expect("a session");
        let path = session.path().join("1-x.skipheap-rec");
        let mut bytes = recording(std::process::id(), 1, &[(8, 1)]);
        fs::write(&path, &bytes).expect("written");
        let recordings = [path.clone()];
        assert_eq!(still_running(&recordings), [], "finished");
        let state = std::mem::offset_of!(Header, state);
        bytes[state..state + 4].copy_from_slice(&STATE_RUNNING.to_le_bytes());
        fs::write(&path, &bytes).expect("written");
        assert_eq!(still_running(&recordings), [], "not mapped");
        // The loader maps files too; so does this.
        let mut other = std::process::Command::new("/usr/bin/python3");
        let script = "import mmap, sys; f = open(sys.argv[1], 'r+b'); m = mmap.mmap(f.fileno(), 0); \
                      print('ready', flush=True); sys.stdin.read()";
        let mut child = other
            .args(["-c", script])
            .arg(&path)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("python3");
        let mut ready = [0; 6];
        io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut ready).expect("ready");
        let pid = std::mem::offset_of!(Header, pid);
        bytes[pid..pid + 4].copy_from_slice(&child.id().to_le_bytes());
        fs::write(&path, &bytes).expect("written in place");
        assert_eq!(still_running(&recordings).len(), 1);
        drop(child.stdin.take());
        child.wait().expect("the end");
        assert_eq!(still_running(&recordings), []);
    }
}
