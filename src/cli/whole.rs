//! Files that are written as a whole: a full disk, an error or the end of the tool leaves either the
//! old file or the new one.
//!
//! A file is written beside its place, under a name that nobody could have prepared, and then
//! renamed. What is no regular file (a pipe, a device) is written to as it stands.

use crate::error::naming;
use crate::scratch;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Mode of the files that are made. They hold names, and some of them addresses and command lines, of the
/// user's programs. A file that is there keeps its mode.
const PRIVATE: u32 = 0o600;
/// Links that are followed from one to the next, as the kernel has it.
const MOST_LINKS: u32 = 40;

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Whole {
    /// What the user calls it.
    name: PathBuf,
    place: Place,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each file that is written"
)]
enum Place {
    /// What cannot be replaced.
    Itself(File),
    /// A file beside the one that it replaces, and what is known of that.
    Beside {
        file: scratch::File,
        path: PathBuf,
        old: Option<fs::Metadata>,
    },
}

impl Whole {
    /// Begins a file that the user named: links are followed, and what is there keeps its mode.
    ///
    /// # Errors
    /// Those of the file, with its name.
    pub(crate) fn named(name: &Path) -> io::Result<Self> {
        Self::begin(name).map_err(naming(name))
    }

    fn begin(name: &Path) -> io::Result<Self> {
        let old = found(name)?;
        let open = || OpenOptions::new().write(true).open(name);
        let itself = |file| Self {
            name: name.to_owned(),
            place: Place::Itself(file),
        };
        if old.as_ref().is_some_and(|old| !old.is_file()) {
            return open().map(itself);
        }
        // A file that may not be written to may not be replaced either.
        let opened = old.is_some().then(open).transpose()?;
        let path = target(name)?;
        let made = beside(&path).and_then(|file| {
            old.as_ref()
                .map_or(Ok(()), |old| inherit(file.as_file(), old))?;
            Ok(file)
        });
        match (made, opened) {
            (Ok(file), _) => Ok(Self {
                name: name.to_owned(),
                place: Place::Beside { file, path, old },
            }),
            // The folder takes no new files, or the owner could not be kept.
            (Err(error), Some(file)) if is_forbidden(&error) => {
                file.set_len(0)?;
                Ok(itself(file))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Begins a file whose name the user did not choose. A link that somebody put there is replaced
    /// and not followed.
    ///
    /// # Errors
    /// Those of the folder, with the name of the file.
    pub(crate) fn unnamed(name: &Path) -> io::Result<Self> {
        let file = beside(name).map_err(naming(name))?;
        Ok(Self {
            name: name.to_owned(),
            place: Place::Beside {
                file,
                path: name.to_owned(),
                old: None,
            },
        })
    }

    /// The open file.
    pub(crate) fn file(&self) -> &File {
        match &self.place {
            Place::Itself(file) => file,
            Place::Beside { file, .. } => file.as_file(),
        }
    }

    /// Writes what the file holds.
    ///
    /// # Errors
    /// Those of the file, with its name.
    pub(crate) fn fill(
        &self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let filled = through(self.file(), write);
        filled.map_err(naming(&self.name))
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// Those of the renaming, with the name of the file.
    pub(crate) fn finish(self) -> io::Result<()> {
        let name = self.name;
        let Place::Beside { file, path, old } = self.place else {
            return Ok(());
        };
        let finish = || {
            // The disk may be full only when it is written to; nothing is lost without an old file.
            if old.is_some() {
                file.as_file().sync_all()?;
            }
            match file.persist(&path) {
                // A mount point, as containers have single files.
                Err((error, file)) if old.is_some() && is_mount_point(&error) => {
                    let mut from = file.reopen()?;
                    let mut to = OpenOptions::new().write(true).truncate(true).open(&path)?;
                    io::copy(&mut from, &mut to).map(drop)
                }
                persisted => persisted.map_err(|(error, _)| error),
            }
        };
        finish().map_err(naming(&name))
    }
}

/// Writes a file that the user named.
///
/// # Errors
/// Those of the file, with its name; what was there then stays.
pub(crate) fn write_named(
    name: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let file = Whole::named(name)?;
    file.fill(write)?;
    file.finish()
}

/// Writes a file whose name the user did not choose.
///
/// # Errors
/// Those of the file, with its name; what was there then stays.
pub(crate) fn write_unnamed(
    name: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let file = Whole::unnamed(name)?;
    file.fill(write)?;
    file.finish()
}

/// Finds out before a long run whether a file can be written, and leaves everything as it is.
///
/// # Errors
/// The one that writing would meet.
pub(crate) fn check(name: &Path) -> io::Result<()> {
    match found(name)? {
        // Opening a pipe would wait for its reader.
        Some(data) if !data.is_file() && !data.is_dir() => Ok(()),
        Some(_) => OpenOptions::new().append(true).open(name).map(drop),
        None if name.as_os_str().as_bytes().ends_with(b"/") => {
            Err(io::Error::from(io::ErrorKind::IsADirectory))
        }
        // A file without a name.
        None => tempfile::tempfile_in(folder_of(&target(name)?)).map(drop),
    }
}

/// Writes by way of a buffer. What the operating system says is the error, whatever the writer makes
/// of it.
///
/// # Errors
/// Those of `to` and of `write`.
pub(crate) fn through(
    to: impl Write,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut to = Remembering { to, error: None };
    let mut out = io::BufWriter::with_capacity(1 << 16, &mut to);
    let written = write(&mut out).and_then(|()| out.flush());
    // What is left in it would be written once more.
    drop(out.into_parts());
    match (written, to.error.take()) {
        (Err(_), Some(error)) => Err(error),
        (written, _) => written,
    }
}

/// Encoders have words of their own for an error of the file ("the buffer is full").
struct Remembering<W> {
    to: W,
    error: Option<io::Error>,
}

impl<W: Write> Write for Remembering<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes);
        if let Err(error) = &written
            && let Some(code) = error.raw_os_error()
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.error.get_or_insert(io::Error::from_raw_os_error(code));
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// What is known of the file with this name, if there is one.
fn found(name: &Path) -> io::Result<Option<fs::Metadata>> {
    match name.metadata() {
        Ok(data) => Ok(Some(data)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where a file is that links may lead to, whether it is there or not.
fn target(name: &Path) -> io::Result<PathBuf> {
    let mut path = std::path::absolute(name)?;
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            Ok(to) => path = folder_of(&path).join(to),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    folder.unwrap_or(Path::new("."))
}

fn beside(path: &Path) -> io::Result<scratch::File> {
    scratch::File::new_in(folder_of(path), (".skip-heapprof-", ""), PRIVATE)
}

/// Gives a new file the owner and the mode of the old one.
fn inherit(file: &File, old: &fs::Metadata) -> io::Result<()> {
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        fchown(file, Some(old.uid()), Some(old.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(old.mode() & 0o777))
}

fn is_forbidden(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem)
}

fn is_mount_point(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, ResourceBusy};
    matches!(error.kind(), ResourceBusy | CrossesDevices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn text(text: &'static str) -> impl FnOnce(&mut dyn Write) -> io::Result<()> {
        move |out| out.write_all(text.as_bytes())
    }

    #[test]
    fn an_error_leaves_the_old_file_and_nothing_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        let failing = |out: &mut dyn Write| {
            out.write_all(&[0; 1 << 17])?;
            Err(io::Error::other("no more"))
        };
        assert!(write_named(&path, failing).is_err());
        assert!(!path.exists());
        fs::write(&path, "old").expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("changed");
        let said = write_named(&path, failing).unwrap_err().to_string();
        assert!(said.ends_with("a: no more"), "{said}");
        assert_eq!(fs::read_to_string(&path).expect("there"), "old");
        let half = Whole::named(&path).expect("begun");
        half.fill(text("half")).expect("written");
        drop(half);
        assert_eq!(fs::read_to_string(&path).expect("there"), "old");
        write_named(&path, text("new")).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("there"), "new");
        assert_eq!(path.metadata().expect("there").mode() & 0o7777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1);
    }

    #[test]
    fn links_of_the_user_are_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("below")).expect("a folder");
        symlink("below/second", path("first")).expect("a link");
        symlink("file", path("below/second")).expect("a link");
        for content in ["made", "replaced"] {
            check(&path("first")).expect("it can be written");
            write_named(&path("first"), text(content)).expect("written");
            assert_eq!(
                fs::read_to_string(path("below/file")).expect("there"),
                content
            );
        }
        assert!(path("first").is_symlink() && path("below/second").is_symlink());
        symlink("round", path("round")).expect("a link");
        assert!(check(&path("round")).is_err());
    }

    #[test]
    fn what_is_no_file_is_written_to() {
        let said = |result: io::Result<()>| result.unwrap_err().to_string();
        let full = Path::new("/dev/full");
        check(full).expect("a device");
        // An encoder that has its own words.
        let encode = |out: &mut dyn Write| {
            let written = out.write_all(&[0; 1 << 17]);
            written.map_err(|_| io::Error::other("the buffer is full"))
        };
        let text = said(write_named(full, encode));
        assert!(text.starts_with("/dev/full: No space left"), "{text}");
        let folder = tempfile::tempdir().expect("a folder");
        assert!(check(folder.path()).is_err());
        assert!(check(&folder.path().join("none/")).is_err());
        assert!(check(&folder.path().join("none/below")).is_err());
        assert!(check(&folder.path().join("x".repeat(300))).is_err());
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
    }
}
