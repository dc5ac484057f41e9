//! The rights with which files are opened that a recording names.
//!
//! A recording names the object files of its process. When root reports the recording of somebody
//! else, it must not open for them what they cannot open themselves: symbols and source lines of a
//! file that only root may read would end up in the report, and opening a device can have effects.

use crate::sys::FileRights;
use rustix::process::{geteuid, getgroups};
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::MetadataExt;

/// The user and the group that a recording's file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    uid: u32,
    gid: u32,
}

/// While this lives, the calling thread opens files with the owner's rights.
#[must_use = "the rights are given back when this is dropped"]
pub(crate) struct Acting {
    own: Option<FileRights>,
    /// The rights are a thread's.
    _not_send: PhantomData<*const ()>,
}

impl Owner {
    /// The owner of an open file.
    ///
    /// # Errors
    /// Those of `fstat`.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let data = file.metadata()?;
        Ok(Self {
            uid: data.uid(),
            gid: data.gid(),
        })
    }

    /// Gives the calling thread the owner's rights to files, where it is root and the owner is not.
    /// Supplementary groups of the owner are not known and do not count.
    ///
    /// # Errors
    /// When root is not allowed to take the owner's rights, as in a user namespace without that user.
    pub(crate) fn act(self) -> io::Result<Acting> {
        if !geteuid().is_root() || self.uid == 0 {
            return Ok(Acting {
                own: None,
                _not_send: PhantomData,
            });
        }
        let groups = getgroups()?.iter().map(|group| group.as_raw()).collect();
        let own = FileRights {
            uid: 0,
            gid: rustix::process::getegid().as_raw(),
            groups,
        };
        let acting = Acting {
            own: Some(own),
            _not_send: PhantomData,
        };
        let theirs = FileRights {
            uid: self.uid,
            gid: self.gid,
            groups: Vec::new(),
        };
        theirs.take().map_err(|error| {
            let what = format!(
                "it belongs to user {}, with whose rights its object files cannot be opened: {error}",
                self.uid
            );
            io::Error::new(error.kind(), what)
        })?;
        Ok(acting)
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        if let Some(own) = &self.own
            && own.take().is_err()
        {
            // A tool that goes on with the rights of another user would write files as that user.
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// Root's files, as seen with the rights of `nobody`.
    #[test]
    fn root_sees_no_more_than_the_owner_does() {
        if !geteuid().is_root() {
            eprintln!("not root: there are no rights to give up");
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let set_mode = |path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
        };
        let (secret, public) = (folder.path().join("secret"), folder.path().join("public"));
        for path in [&secret, &public] {
            fs::write(path, "text").expect("written");
        }
        set_mode(secret.as_path(), 0o600);
        set_mode(public.as_path(), 0o644);
        set_mode(folder.path(), 0o755);
        let nobody = Owner {
            uid: 65534,
            gid: 65534,
        };
        {
            let _acting = nobody.act().expect("root may");
            assert!(fs::read(&secret).is_err());
            assert_eq!(fs::read(&public).expect("readable"), b"text");
        }
        assert_eq!(fs::read(&secret).expect("root again"), b"text");
        set_mode(folder.path(), 0o700);
        {
            let _acting = nobody.act().expect("root may");
            assert!(fs::read(&public).is_err(), "the folder is closed");
        }
        let root = Owner { uid: 0, gid: 0 };
        let _acting = root.act().expect("nothing to do");
        assert_eq!(fs::read(&public).expect("root"), b"text");
    }
}
