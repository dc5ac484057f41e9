//! Temporary files and folders of the tool: they go when their owner is dropped, and when a signal
//! ends the tool.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::{NamedTempFile, TempDir};

/// What [`remove_all`] removes.
static PATHS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn paths() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    PATHS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes all temporary files and folders of the tool, which ends now: whoever else makes or keeps
/// one waits for ever.
pub(crate) fn remove_all() {
    let paths = paths();
    for path in paths.iter() {
        // There is nobody to tell if that fails.
        let _ = match path.symlink_metadata().is_ok_and(|data| data.is_dir()) {
            true => fs::remove_dir_all(path),
            false => fs::remove_file(path),
        };
    }
    std::mem::forget(paths);
}

/// A path that [`remove_all`] removes until this is dropped.
#[derive(Debug)]
struct Registered(PathBuf);

impl Drop for Registered {
    fn drop(&mut self) {
        paths().remove(&self.0);
    }
}

/// A folder for this user alone, removed with everything in it.
// Fields are dropped in this order: what is removed is known until it is gone.
#[derive(Debug)]
pub(crate) struct Folder {
    folder: TempDir,
    _registered: Registered,
}

impl Folder {
    /// Makes a folder whose name begins with `prefix`.
    ///
    /// # Errors
    /// Those of the folder in which it is to be.
    pub(crate) fn new_in(parent: &Path, prefix: &str) -> io::Result<Self> {
        // Held from before there is something to remove.
        let mut paths = paths();
        let folder = tempfile::Builder::new()
            .prefix(prefix)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent)?;
        let path = folder.path().to_owned();
        paths.insert(path.clone());
        Ok(Self {
            folder,
            _registered: Registered(path),
        })
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves the folder where it is.
    pub(crate) fn keep(self) -> PathBuf {
        self.folder.keep()
    }
}

/// A file that is removed unless it is kept under some name.
#[derive(Debug)]
pub(crate) struct File {
    file: NamedTempFile,
    _registered: Registered,
}

impl File {
    /// Makes a file whose name begins and ends with `names`, with the permissions of `mode` as far
    /// as the umask grants them.
    ///
    /// # Errors
    /// Those of the folder in which it is to be.
    pub(crate) fn new_in(folder: &Path, names: (&str, &str), mode: u32) -> io::Result<Self> {
        let mut paths = paths();
        let file = tempfile::Builder::new()
            .prefix(names.0)
            .suffix(names.1)
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(folder)?;
        let path = file.path().to_owned();
        paths.insert(path.clone());
        Ok(Self {
            file,
            _registered: Registered(path),
        })
    }

    /// The open file.
    pub(crate) fn as_file(&self) -> &fs::File {
        self.file.as_file()
    }

    /// Leaves the file where it is, and returns its path.
    ///
    /// # Errors
    /// Those of the file.
    pub(crate) fn keep(self) -> io::Result<PathBuf> {
        let kept = self.file.keep();
        kept.map(|kept| kept.1).map_err(|failed| failed.error)
    }

    /// The file once more, from its start.
    ///
    /// # Errors
    /// Those of the file.
    pub(crate) fn reopen(&self) -> io::Result<fs::File> {
        self.file.reopen()
    }

    /// Renames the file, in place of another of that name.
    ///
    /// # Errors
    /// Those of the renaming, and the file.
    pub(crate) fn persist(self, path: &Path) -> Result<(), (io::Error, Self)> {
        match self.file.persist(path) {
            Ok(_) => Ok(()),
            Err(failed) => Err((
                failed.error,
                Self {
                    file: failed.file,
                    _registered: self._registered,
                },
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn what_is_kept_is_forgotten_and_the_rest_goes() {
        let place = tempfile::tempdir().expect("a folder");
        let known = |path: &Path| paths().contains(path);
        let folder = Folder::new_in(place.path(), "a-").expect("a folder");
        let path = folder.path().to_owned();
        assert!(known(&path) && path.is_dir());
        drop(folder);
        assert!(!known(&path) && !path.exists());
        let kept = Folder::new_in(place.path(), "b-").expect("a folder").keep();
        assert!(!known(&kept) && kept.is_dir());

        let file = File::new_in(place.path(), ("c-", ".x"), 0o600).expect("a file");
        let path = file.file.path().to_owned();
        file.as_file().write_all(b"text").expect("written");
        assert!(known(&path));
        let to = place.path().join("named");
        file.persist(&to)
            .map_err(|failed| failed.0)
            .expect("renamed");
        assert!(!known(&path) && !path.exists());
        assert_eq!(fs::read(&to).expect("there"), b"text");
        let file = File::new_in(place.path(), ("d-", ""), 0o600).expect("a file");
        let path = file.keep().expect("kept");
        assert!(path.exists() && !known(&path));
    }
}
