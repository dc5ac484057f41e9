//! Puts the library that the tool carries where the loader can find it.

use crate::scratch;
use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::process::geteuid;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::{env, fs};

/// The library, as the build script built it.
pub(crate) static LIBRARY: &[u8] = include_bytes!(env!("SKIPHEAP_LIBRARY"));
/// Names its content.
const ID: &str = env!("SKIPHEAP_LIBRARY_ID");
/// Its file name, whatever the folder is.
const FILE_NAME: &str = "libskipheap.so";

/// Root's cache for programs of all users. What root profiles may give up its rights, or start programs of
/// other users (`setpriv`, `su`), and these cannot enter root's home.
const CACHE_OF_ALL: &str = "/var/cache";

/// Who has to load the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Processes of this user.
    Us,
    /// Processes of every user.
    All,
}

impl Readers {
    /// Mode of a folder for them.
    fn mode(self) -> u32 {
        match self {
            Self::Us => 0o700,
            Self::All => 0o755,
        }
    }
}

/// A folder in which the library could lie.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    readers: Readers,
}

impl Folder {
    /// A folder of which it is known who can enter it.
    pub(crate) fn new(path: impl Into<PathBuf>, readers: Readers) -> Self {
        Self {
            path: path.into(),
            readers,
        }
    }
}

/// The folders in which a copy of the library serves all runs, and processes that outlive the tool: root's
/// cache for all users, and the user's own cache. A run can also do with its own folder.
pub(crate) fn cache_folders() -> impl Iterator<Item = Folder> {
    let of_all = (geteuid().is_root() && Path::new(CACHE_OF_ALL).is_dir())
        .then(|| Folder::new(below_cache(CACHE_OF_ALL.into()), Readers::All));
    let own = cache_folder().map(|path| Folder::new(path, Readers::Us));
    of_all.into_iter().chain(own)
}

fn below_cache(cache: PathBuf) -> PathBuf {
    cache.join("skip-heapprof").join(ID)
}

/// The user's cache; `None` when the user has none.
fn cache_folder() -> Option<PathBuf> {
    let absolute = |name| {
        let folder = PathBuf::from(env::var_os(name)?);
        folder.is_absolute().then_some(folder)
    };
    // A home that is not there (a system user's) is not to be made.
    let home = || absolute("HOME").filter(|home| home.is_dir());
    absolute("XDG_CACHE_HOME")
        .or_else(|| Some(home()?.join(".cache")))
        .map(below_cache)
}

/// Returns whether every user can enter the folder. `path` has no links in it.
pub(crate) fn is_open_to_all(path: &Path) -> bool {
    path.ancestors()
        .all(|part| part.metadata().is_ok_and(|data| data.mode() & 0o001 != 0))
}

/// Places the library in the first of these folders that will do, and returns its path.
///
/// # Errors
/// What is wrong with the last of them.
pub(crate) fn place_in_one_of(folders: impl IntoIterator<Item = Folder>) -> io::Result<PathBuf> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for folder in folders {
        match place(&folder) {
            Ok(path) => return Ok(path),
            Err(error) => {
                last = io::Error::new(
                    error.kind(),
                    format!("{}: {error}", crate::terminal::term::path(&folder.path)),
                );
            }
        }
    }
    Err(last)
}

/// Places the library in this folder, unless it is there already, and returns its path without links: the
/// loader is given what was checked here, and no name that somebody could lead elsewhere afterwards.
fn place(folder: &Folder) -> io::Result<PathBuf> {
    let resolved = make(&folder.path, folder.readers.mode())?;
    let path = resolved.join(FILE_NAME);
    if !is_usable_in_ld_preload(path.as_os_str()) {
        return Err(io::Error::other(
            "the loader cannot be given a path with such characters",
        ));
    }
    if statvfs(&resolved)?
        .f_flag
        .contains(StatVfsMountFlags::NOEXEC)
    {
        return Err(io::Error::other(
            "mounted noexec, so no library can be loaded from there",
        ));
    }
    if folder.readers == Readers::All && !is_open_to_all(&resolved) {
        return Err(io::Error::other("other users cannot enter it"));
    }
    if !is_the_library(&path) {
        // Another tool may do the same at this moment: whole files replace each other.
        let file = scratch::File::new_in(&resolved, (".tmp", ""), 0o600)?;
        file.as_file().write_all(LIBRARY)?;
        file.as_file()
            .set_permissions(fs::Permissions::from_mode(0o644))?;
        file.persist(&path).map_err(|failed| failed.0)?;
    }
    Ok(path)
}

/// Makes the folder and those above it, and returns its path without links. What is there already is
/// checked before anything is made: nothing is created in the home of another user.
fn make(folder: &Path, mode: u32) -> io::Result<PathBuf> {
    let there = folder
        .ancestors()
        .find(|above| above.symlink_metadata().is_ok())
        .ok_or(io::ErrorKind::NotFound)?;
    let missing = folder.strip_prefix(there).map_err(io::Error::other)?;
    check_owners(there)?;
    let mut resolved = there.canonicalize()?;
    check_owners(&resolved)?;
    for name in missing.components() {
        let Component::Normal(name) = name else {
            return Err(io::Error::other("a path with `..` in it"));
        };
        resolved.push(name);
        match fs::DirBuilder::new().mode(mode).create(&resolved) {
            // The umask may have taken from it what others need.
            Ok(()) => fs::set_permissions(&resolved, fs::Permissions::from_mode(mode))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    // Somebody may have been faster.
    if resolved.canonicalize()? != resolved {
        return Err(io::Error::other("a link was put in its place"));
    }
    check_owners(&resolved)?;
    if !is_ours_alone(&resolved.metadata()?) {
        return Err(io::Error::other(
            "belongs to or can be changed by other users",
        ));
    }
    Ok(resolved)
}

/// Returns whether it is our library, which nobody else can change.
fn is_the_library(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|data| {
        data.is_file()
            && is_ours_alone(&data)
            && data.mode() & 0o444 == 0o444
            && data.len() == LIBRARY.len() as u64
    }) && fs::read(path).is_ok_and(|content| content == LIBRARY)
}

fn is_ours_alone(data: &fs::Metadata) -> bool {
    data.uid() == geteuid().as_raw() && data.mode() & 0o022 == 0
}

/// Code will be loaded from here: nobody but we and root may be able to put another file in its
/// place, or a link on the way to it (root with somebody else's HOME, a cache that is open to all).
///
/// Whoever owns `/` is trusted like root. In a user namespace that is the user who stands for all that have
/// no number in it.
pub(crate) fn check_owners(folder: &Path) -> io::Result<()> {
    let trusted = [geteuid().as_raw(), 0, Path::new("/").metadata()?.uid()];
    for part in folder.ancestors() {
        let data = part.symlink_metadata()?;
        let is_sticky = data.mode() & 0o1000 != 0;
        // Of a link only the owner says something.
        let is_open = data.mode() & 0o022 != 0 && !is_sticky && !data.is_symlink();
        if !trusted.contains(&data.uid()) || is_open {
            return Err(io::Error::other(format!(
                "{} belongs to or can be changed by other users",
                crate::terminal::term::path(part)
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

    fn ours(path: impl Into<PathBuf>) -> Folder {
        Folder::new(path, Readers::Us)
    }

    #[test]
    fn the_library_is_placed_once_and_mended() {
        let folder = folder();
        let place = || place(&ours(folder.path().join("a/b"))).expect("placed");
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
        place(&ours(folder.path())).expect("placed");
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
            assert!(place(&ours(&bad)).is_err(), "{bad:?}");
            let path = place_in_one_of([bad.as_path(), good.path()].map(ours)).expect("placed");
            assert_eq!(path, good.path().join(FILE_NAME));
        }
        assert!(place_in_one_of([ours(open.path())]).is_err());
    }

    #[test]
    fn nothing_is_made_where_others_could_change_it() {
        let open = folder();
        fs::set_permissions(open.path(), fs::Permissions::from_mode(0o777)).expect("chmod");
        place(&ours(open.path().join("home/.cache/x"))).unwrap_err();
        assert_eq!(fs::read_dir(open.path()).expect("the folder").count(), 0);
    }

    #[test]
    fn the_loader_gets_the_path_that_was_checked() {
        let folder = folder();
        let (home, link) = (folder.path().join("home"), folder.path().join("link"));
        fs::create_dir(&home).expect("made");
        std::os::unix::fs::symlink(&home, &link).expect("a link");
        let path = place(&ours(link.join("cache"))).expect("placed");
        assert_eq!(path, home.join("cache").join(FILE_NAME));
        assert!(place(&ours(link.join("none/../cache"))).is_err());
    }

    #[test]
    fn a_folder_for_all_can_be_entered_by_all() {
        let outer = folder();
        let readable = |path: PathBuf| Folder::new(path, Readers::All);
        fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o700)).expect("chmod");
        place(&readable(outer.path().join("a"))).expect_err("the folder above is closed");
        fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o711)).expect("chmod");
        let path = place(&readable(outer.path().join("b"))).expect("placed");
        let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o777;
        assert_eq!((mode(&path), mode(&outer.path().join("b"))), (0o644, 0o755));
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
