//! Puts the library that the tool carries where the loader can find it.

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::process::geteuid;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The library, as the build script built it.
static LIBRARY: &[u8] = include_bytes!(env!("SKIPHEAP_LIBRARY"));
/// Names its content.
const ID: &str = env!("SKIPHEAP_LIBRARY_ID");
/// Its file name, whatever the folder is.
const FILE_NAME: &str = "libskipheap.so";

/// The user's cache: a copy there serves all runs, and processes that outlive the tool.
///
/// `None` when the user has none. A run can also do with its own folder.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    let absolute = |name| {
        let folder = PathBuf::from(env::var_os(name)?);
        folder.is_absolute().then_some(folder)
    };
    // A home that is not there (a system user's) is not to be made.
    let home = || absolute("HOME").filter(|home| home.is_dir());
    absolute("XDG_CACHE_HOME")
        .or_else(|| Some(home()?.join(".cache")))
        .map(|cache| cache.join("skip-heapprof").join(ID))
}

/// Places the library in the first of these folders that will do, and returns its path.
///
/// # Errors
/// What is wrong with the last of them.
pub(crate) fn place_in_one_of(folders: impl IntoIterator<Item = PathBuf>) -> io::Result<PathBuf> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for folder in folders {
        match place(&folder) {
            Ok(path) => return Ok(path),
            Err(error) => {
                last = io::Error::new(
                    error.kind(),
                    format!("{}: {error}", crate::term::path(&folder)),
                );
            }
        }
    }
    Err(last)
}

/// Places the library in this folder, unless it is there already.
fn place(folder: &Path) -> io::Result<PathBuf> {
    let path = folder.join(FILE_NAME);
    if !is_usable_in_ld_preload(path.as_os_str()) {
        return Err(io::Error::other(
            "the loader cannot be given a path with such characters",
        ));
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    check_owners(folder)?;
    if statvfs(folder)?.f_flag.contains(StatVfsMountFlags::NOEXEC) {
        return Err(io::Error::other(
            "mounted noexec, so no library can be loaded from there",
        ));
    }
    if !is_the_library(&path) {
        // Another tool may do the same at this moment: whole files replace each other.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(LIBRARY)?;
        file.as_file()
            .set_permissions(fs::Permissions::from_mode(0o644))?;
        file.persist(&path)?;
    }
    Ok(path)
}

/// Is it our library, and does nobody else have a hand on it?
fn is_the_library(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|data| {
        data.is_file() && is_ours_alone(&data) && data.len() == LIBRARY.len() as u64
    }) && fs::read(path).is_ok_and(|content| content == LIBRARY)
}

fn is_ours_alone(data: &fs::Metadata) -> bool {
    data.uid() == geteuid().as_raw() && data.mode() & 0o022 == 0
}

/// Code will be loaded from here: nobody but we and root may be able to put another file in its
/// place (root with somebody else's HOME, a cache that is open to all).
fn check_owners(folder: &Path) -> io::Result<()> {
    let folder = folder.canonicalize()?;
    if !is_ours_alone(&folder.metadata()?) {
        return Err(io::Error::other(
            "belongs to or can be changed by other users",
        ));
    }
    for above in folder.ancestors().skip(1) {
        let data = above.metadata()?;
        let is_sticky = data.mode() & 0o1000 != 0;
        let trusted = data.uid() == geteuid().as_raw() || data.uid() == 0;
        if !trusted || (data.mode() & 0o022 != 0 && !is_sticky) {
            return Err(io::Error::other(format!(
                "{} belongs to or can be changed by other users",
                above.display()
            )));
        }
    }
    Ok(())
}

/// The loader splits LD_PRELOAD at spaces and colons and replaces `$ORIGIN` and the like.
fn is_usable_in_ld_preload(path: &OsStr) -> bool {
    !path
        .as_bytes()
        .iter()
        .any(|byte| matches!(byte, b':' | b'$') || byte.is_ascii_whitespace())
}

/// The value of LD_PRELOAD: the library before what the user preloads, so that its functions
/// forward to those.
pub(crate) fn ld_preload(library: &Path, before: Option<&OsStr>) -> OsString {
    let mut value = library.as_os_str().to_owned();
    if let Some(before) = before.filter(|before| !before.is_empty()) {
        value.push(":");
        value.push(before);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    #[test]
    fn the_library_is_placed_once_and_mended() {
        let folder = folder();
        let place = || place(&folder.path().join("a/b")).expect("placed");
        let path = place();
        assert_eq!(fs::read(&path).expect("the library"), LIBRARY);
        let first = fs::metadata(&path).expect("the library").ino();
        assert_eq!(place(), path);
        assert_eq!(fs::metadata(&path).expect("the library").ino(), first);

        fs::write(&path, "damaged").expect("written");
        place();
        assert_eq!(fs::read(&path).expect("the library"), LIBRARY);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("chmod");
        place();
        let data = fs::metadata(&path).expect("the library");
        assert_eq!(data.mode() & 0o777, 0o644);
        assert!(
            fs::read_dir(path.parent().expect("a folder"))
                .expect("the folder")
                .count()
                == 1
        );
    }

    #[test]
    fn a_link_in_its_place_is_replaced_and_not_followed() {
        let folder = folder();
        let other = folder.path().join("other");
        fs::write(&other, LIBRARY).expect("written");
        let link = folder.path().join(FILE_NAME);
        std::os::unix::fs::symlink(&other, &link).expect("a link");
        place(folder.path()).expect("placed");
        assert!(link.symlink_metadata().expect("the file").is_file());
    }

    #[test]
    fn folders_that_others_can_change_are_passed_over() {
        let (open, good) = (folder(), folder());
        fs::set_permissions(open.path(), fs::Permissions::from_mode(0o777)).expect("chmod");
        let below = open.path().join("below");
        let odd = good.path().join("with space");
        let file = good.path().join("file");
        fs::write(&file, "no folder").expect("written");
        for bad in [open.path().to_owned(), below, odd, file.join("x")] {
            assert!(place(&bad).is_err(), "{}", bad.display());
            let path = place_in_one_of([bad, good.path().to_owned()]).expect("placed");
            assert_eq!(path, good.path().join(FILE_NAME));
        }
        assert!(place_in_one_of([open.path().to_owned()]).is_err());
    }

    #[test]
    fn what_the_user_preloads_stays() {
        let library = Path::new("/a/lib.so");
        assert_eq!(ld_preload(library, None), "/a/lib.so");
        assert_eq!(ld_preload(library, Some("".as_ref())), "/a/lib.so");
        assert_eq!(
            ld_preload(library, Some("x.so y.so".as_ref())),
            "/a/lib.so:x.so y.so"
        );
    }
}
