//! Where processes of other users leave their recordings, while the tool runs as root: a folder that
//! all may write to, that nobody may list, and whose name only they know.
//!
//! `skip-heapprof-5CymgM/0123456789abcdef0123456789abcdef`: the outer folder has mode 0711 and the
//! inner one, of which the name is random, 1733. The name is in the environment of the processes of the
//! session, which the kernel shows to root and to the user of each process alone. Who knows it can add
//! files there, but neither see, nor change, nor remove those of others.

use crate::install::{check_owners, is_open_to_all};
use crate::{scratch, sys};
use rustix::process::geteuid;
use rustix::rand::{GetRandomFlags, getrandom};
use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Write and search for all, so that files can be made by who knows their names, but not listed; sticky, so that each
/// file is its owner's.
const DROP: u32 = 0o1733;

/// The folder for recordings of other users.
#[derive(Debug)]
pub(crate) struct Others {
    /// Goes with everything in it.
    outer: scratch::Folder,
    inner: PathBuf,
}

impl Others {
    /// Makes the folder, where the tool runs as root: others cannot be started by anybody else. It lies in `TMPDIR`,
    /// or where others cannot enter that, in a folder for temporary files that they can.
    pub(crate) fn new(prefix: &str) -> Option<Self> {
        if !geteuid().is_root() {
            return None;
        }
        let usual = ["/tmp", "/var/tmp", "/dev/shm"].map(PathBuf::from);
        let mut folders = [env::temp_dir()].into_iter().chain(usual);
        folders.find_map(|folder| Self::new_in(&folder, prefix).ok())
    }

    fn new_in(folder: &Path, prefix: &str) -> io::Result<Self> {
        let folder = folder.canonicalize()?;
        let is_fit = check_owners(&folder).is_ok()
            && is_open_to_all(&folder)
            && !sys::is_copy_on_write(&folder);
        if !is_fit {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let outer = scratch::Folder::new_in(&folder, prefix)?;
        let mut random = [0; 16];
        let filled = getrandom(&mut random, GetRandomFlags::empty())?;
        if filled != random.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let inner = outer
            .path()
            .join(format!("{:032x}", u128::from_ne_bytes(random)));
        DirBuilder::new().mode(0o700).create(&inner)?;
        // The umask does not matter to these.
        fs::set_permissions(&inner, Permissions::from_mode(DROP))?;
        fs::set_permissions(outer.path(), Permissions::from_mode(0o711))?;
        Ok(Self { outer, inner })
    }

    /// The folder for the recordings.
    pub(crate) fn path(&self) -> &Path {
        &self.inner
    }

    /// Leaves the folder where it is.
    pub(crate) fn keep(self) {
        let _ = self.outer.keep();
    }
}

/// Returns whether others may put files into this folder that they cannot list. No link there is followed.
pub(crate) fn is_drop_folder(folder: &Path) -> bool {
    folder
        .metadata()
        .is_ok_and(|data| data.mode() & 0o7777 == DROP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_can_add_files_and_not_list_them() {
        let Some(others) = Others::new("skip-heapprof-") else {
            assert!(!geteuid().is_root());
            return;
        };
        let mode = |path: &Path| path.metadata().expect("there").mode() & 0o7777;
        let (inner, outer) = (others.path().to_owned(), others.outer.path().to_owned());
        assert_eq!((mode(&inner), mode(&outer)), (0o1733, 0o711));
        assert!(is_drop_folder(&inner) && !is_drop_folder(&outer));
        assert_eq!(inner.file_name().expect("a name").len(), 32);
        drop(others);
        assert!(!outer.exists());
    }
}
