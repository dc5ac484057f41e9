//! Where a program is: PATH and permissions, as `execvp` sees them.

use super::Refusal;
use rustix::fs::{Access, access};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What the C library takes when PATH is not set.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// The file to execute for `program`.
///
/// # Errors
/// When there is none, or none that may be executed.
pub(super) fn on_path(program: &OsStr, search: Option<&OsStr>) -> Result<PathBuf, Refusal> {
    if program.as_bytes().contains(&b'/') {
        let path = PathBuf::from(program);
        return check_executable(&path).map(|()| path);
    }
    let mut found = Refusal::NotFound {
        program: program.to_owned(),
        searched: true,
    };
    if program.is_empty() {
        return Err(found);
    }
    for folder in std::env::split_paths(search.unwrap_or(DEFAULT_PATH.as_ref())) {
        // An empty entry is the working directory. The result must hold a slash, or it would be
        // searched for again.
        let folder = if folder.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            folder
        };
        let path = folder.join(program);
        match check_executable(&path) {
            Ok(()) => return Ok(path),
            // One further on may do; if none does, this is the better message.
            Err(why @ Refusal::NotExecutable(_)) => found = why,
            Err(_) => {}
        }
    }
    Err(found)
}

/// Returns whether this process may execute the file.
///
/// # Errors
/// Why not.
pub(super) fn check_executable(path: &Path) -> Result<(), Refusal> {
    use std::io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    match path.metadata() {
        Ok(data) if data.is_dir() => Err(Refusal::Folder(path.to_owned())),
        Ok(_) if access(path, Access::EXEC_OK).is_err() => {
            Err(Refusal::NotExecutable(path.to_owned()))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(match error.kind() {
            NotFound | NotADirectory => Refusal::NotFound {
                program: path.into(),
                searched: false,
            },
            PermissionDenied => Refusal::NotExecutable(path.to_owned()),
            _ => Refusal::Unreadable(path.to_owned(), error),
        }),
    }
}
