//! The folders in which all processes of a run leave their recordings.

use crate::held_files::Taker;
use crate::install::check_owners;
use crate::others::{self, Others};
use crate::unreached::{self, Listener};
use crate::{load, remaining, scratch, sys};
use rustix::process::geteuid;
use skipheap_config::settings::{OTHERS, SESSION};
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// What the names of session folders begin with.
pub(crate) const PREFIX: &str = "skip-heapprof-";

/// In a session's folder that was left behind because processes still ran: the folder's path, as they know it.
const LEFT: &str = ".left-running";
/// In a session's folder that was left behind: the id of the process that was the command.
const MAIN: &str = ".command";
/// In a session's folder that was left behind: the path of the folder for recordings of other users.
const OTHERS_FILE: &str = ".others";

/// A folder for us alone, and one for other users where there can be such, removed with everything in them when
/// dropped.
pub(crate) struct Session {
    folder: scratch::Folder,
    others: Option<Others>,
    listener: Option<Listener>,
    _taker: Taker,
}

/// What the processes of a session are told by.
#[derive(Debug)]
pub(crate) struct Place {
    /// The folder, as their environment has it.
    pub(crate) path: PathBuf,
    /// Where their recordings are.
    pub(crate) folders: Vec<PathBuf>,
    /// None of them started before this, in clock ticks since the machine did; `None`: not known.
    pub(crate) began: Option<u64>,
}

impl Session {
    /// Makes the folder, in TMPDIR or /tmp; in /dev/shm where recordings must not lie in those. Where others could
    /// put something else in its place (root with another user's TMPDIR), it lies in /tmp.
    ///
    /// # Errors
    /// Those of the folder, with its path.
    pub(crate) fn new() -> io::Result<Self> {
        let is_safe = |folder: &Path| {
            let resolved = folder.canonicalize();
            check_owners(folder).is_ok() && resolved.is_ok_and(|path| check_owners(&path).is_ok())
        };
        // The program may change its working directory.
        let mut parent = std::path::absolute(env::temp_dir())?;
        let usual = Path::new("/tmp");
        if parent.is_dir() && !is_safe(&parent) && is_safe(usual) {
            parent = usual.to_owned();
        }
        let shared_memory = Path::new("/dev/shm");
        if sys::is_copy_on_write(&parent)
            && shared_memory.is_dir()
            && !sys::is_copy_on_write(shared_memory)
        {
            parent = shared_memory.to_owned();
        }
        let folder = scratch::Folder::new_in(&parent, PREFIX)?;
        let others = Others::new(PREFIX);
        let path = others.as_ref().map(|others| others.path().as_os_str());
        // Without it nobody says what is missing, but nothing more is.
        let path = path.unwrap_or_default().as_bytes();
        let listener = Listener::new(folder.path(), path);
        let taker = Taker::new(folder.path(), path);
        Ok(Self {
            folder,
            others,
            listener: listener.ok(),
            _taker: taker,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Tells a program of the session, and it those that it starts.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.env(SESSION, self.path());
        match &self.others {
            Some(others) => command.env(OTHERS, others.path()),
            // Of a session that this one runs in.
            None => command.env_remove(OTHERS),
        };
    }

    /// What its processes are told by.
    pub(crate) fn place(&self) -> Place {
        let others = self.others.as_ref().map(Others::path);
        let folders = [self.path()].into_iter().chain(others);
        Place {
            path: self.path().to_owned(),
            folders: folders.map(Path::to_owned).collect(),
            began: remaining::own_start(),
        }
    }

    /// All recordings that are there by now.
    ///
    /// # Errors
    /// When the folder cannot be read: the program may have removed it.
    pub(crate) fn recordings(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = load::in_folder(self.path())?;
        if let Some(others) = &self.others {
            found.extend(load::in_folder(others.path())?);
        }
        Ok(found)
    }

    /// What is to be said of processes that have no recording.
    pub(crate) fn unreached(&self) -> Option<String> {
        let unreached = self.listener.as_ref()?.take();
        unreached::text(&unreached, self.path())
    }

    /// Leaves the folder where it is, for processes that are still `running` or for the user.
    pub(crate) fn keep(self, command: u32, running: bool) -> PathBuf {
        let folder = self.folder.keep();
        // Where that cannot be noted, the recordings are there all the same.
        let _ = write_note(&folder, MAIN, Path::new(&command.to_string()));
        if running {
            let _ = write_note(&folder, LEFT, &folder);
        }
        if let Some(others) = self.others {
            let has_any = load::in_folder(others.path()).is_ok_and(|found| !found.is_empty());
            if running || has_any {
                let _ = write_note(&folder, OTHERS_FILE, others.path());
                others.keep();
            }
        }
        folder
    }
}

/// The process that was the command of the session in this folder.
pub(crate) fn main_of(folder: &Path) -> Option<u32> {
    fs::read_to_string(folder.join(MAIN)).ok()?.parse().ok()
}

/// Where recordings of other users are that belong to the session in this folder.
pub(crate) fn others_of(folder: &Path) -> Option<PathBuf> {
    note(folder, OTHERS_FILE).filter(|path| others::is_drop_folder(path))
}

/// Removes the folder of a session that was left behind for processes that still ran, when they have all ended.
pub(crate) fn remove_if_over(folder: &Path) -> bool {
    let Some(path) = note(folder, LEFT) else {
        return false;
    };
    let others = others_of(folder);
    let place = Place {
        path,
        folders: [folder.to_owned()]
            .into_iter()
            .chain(others.clone())
            .collect(),
        began: None,
    };
    if !remaining::processes(&place).is_empty() {
        return false;
    }
    if let Some(outer) = others.as_deref().and_then(Path::parent) {
        let _ = fs::remove_dir_all(outer);
    }
    fs::remove_dir_all(folder).is_ok()
}

/// Writes a path into the folder of a session, for [`note`] to read.
fn write_note(folder: &Path, name: &str, path: &Path) -> io::Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(folder.join(name))?
        .write_all(path.as_os_str().as_bytes())
}

/// A path that the tool of this user has written into the folder of a session.
fn note(folder: &Path, name: &str) -> Option<PathBuf> {
    let file = folder.join(name);
    let is_ours = |data: fs::Metadata| {
        data.uid() == geteuid().as_raw() && data.mode() & 0o022 == 0 && !data.is_symlink()
    };
    let is_trusted = folder.metadata().is_ok_and(is_ours)
        && file.symlink_metadata().is_ok_and(is_ours)
        && file.is_file();
    let path = fs::read(file).ok().filter(|_| is_trusted)?;
    Some(PathBuf::from(OsString::from_vec(path)))
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn a_process_belongs_to_the_session_while_it_has_the_recording_mapped() {
        let session = Session::new().expect("a session");
        let path = session.path().join("1-x.skipheap-rec");
        fs::write(&path, recording(1, 1, &[(8, 1)])).expect("written");
        let place = session.place();
        assert_eq!(remaining::processes(&place), [], "not mapped");
        // The loader maps files too; so does this.
        let mut other = Command::new("/usr/bin/python3");
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
        let found = remaining::processes(&place);
        assert_eq!((found.len(), found[0].pid), (1, child.id()));
        assert!(found[0].exe.contains("python3") && found[0].is_recorded);
        let folder = session.keep(1, true);
        assert!(!remove_if_over(&folder) && folder.exists());
        drop(child.stdin.take());
        child.wait().expect("the end");
        assert!(remove_if_over(&folder) && !folder.exists());
    }

    #[test]
    fn a_process_belongs_to_the_session_of_its_environment() {
        let session = Session::new().expect("a session");
        let mut command = Command::new("/bin/cat");
        session.tell(&mut command);
        command
            .env("LD_PRELOAD", "/none/libskipheap.so")
            .stdin(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null());
        let mut child = command.spawn().expect("cat");
        let found = remaining::processes(&session.place());
        assert_eq!((found.len(), found[0].pid), (1, child.id()));
        assert!(!found[0].is_recorded);
        drop(child.stdin.take());
        child.wait().expect("the end");
        assert_eq!(remaining::processes(&session.place()), []);
    }

    #[test]
    fn a_folder_that_was_kept_for_the_user_stays() {
        let folder = Session::new().expect("a session").keep(1, false);
        assert!(!remove_if_over(&folder) && folder.exists());
        fs::remove_dir_all(folder).expect("removed");
    }
}
