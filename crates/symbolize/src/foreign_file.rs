//! Opens files that nobody named: what a process may have left under a name that anyone can take, such as
//! `/tmp/perf-PID.map`.
//!
//! Who puts a FIFO there must not hold the reader up for ever, who puts a link there must not choose what
//! is read, and who puts a file there must not choose the names in another user's report.

use crate::identity::Origin;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The kernel gives files the time of its last tick.
const SLACK: Duration = Duration::from_secs(1);

/// Opens what the process left at `path`: a regular file and no link, of the process's user, of our own or of
/// root, with one name, at most `limit` bytes long, and last written since the process began.
pub(crate) fn open(path: &Path, limit: u64, origin: &Origin) -> Option<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .ok()?;
    let metadata = file.metadata().ok()?;
    // SAFETY: no preconditions.
    let own = unsafe { libc::geteuid() };
    let trusted = [0, own, origin.uid].contains(&metadata.uid());
    // A second name may have been given to a file of root's by anyone.
    let is_fit = metadata.is_file() && metadata.nlink() == 1 && metadata.len() <= limit;
    let began = UNIX_EPOCH + Duration::from_nanos(origin.start_ns);
    let is_of_now = |modified: SystemTime| modified + SLACK >= began;
    (trusted && is_fit && metadata.modified().is_ok_and(is_of_now)).then_some(file)
}

/// Reads it, as [`open`] has it.
pub(crate) fn read(path: &Path, limit: u64, origin: &Origin) -> Option<Vec<u8>> {
    let file = open(path, limit, origin)?;
    let mut bytes = Vec::new();
    // It may have grown since.
    file.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn only_a_regular_file_of_a_trusted_owner_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        // SAFETY: no preconditions.
        let uid = unsafe { libc::geteuid() };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("now");
        let origin = Origin {
            pid: 1,
            uid,
            start_ns: now.as_nanos() as u64,
        };
        let read = |name: &str| read(&path(name), 5, &origin);
        fs::write(path("file"), "12345").expect("written");
        assert_eq!(read("file").as_deref(), Some(&b"12345"[..]));
        fs::write(path("long"), "123456").expect("written");
        assert_eq!(read("long"), None, "beyond the limit");
        std::os::unix::fs::symlink(path("file"), path("link")).expect("a link");
        assert_eq!(read("link"), None, "a link");
        fs::hard_link(path("long"), path("second name")).expect("a link");
        fs::write(path("long"), "1").expect("written");
        assert_eq!(read("second name"), None, "two names");
        let fifo = CString::new(path("fifo").as_os_str().as_bytes()).expect("a path");
        // SAFETY: the path is a C string.
        assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
        assert_eq!(read("fifo"), None, "a FIFO");
        assert_eq!(read("none"), None, "nothing");
        let old = File::options().write(true).open(path("file")).expect("it");
        old.set_modified(SystemTime::now() - Duration::from_secs(60))
            .expect("the time");
        assert_eq!(read("file"), None, "older than the process");
        if uid == 0 {
            fs::write(path("foreign"), "1").expect("written");
            std::os::unix::fs::chown(path("foreign"), Some(65534), None).expect("chown");
            assert_eq!(read("foreign"), None, "of another user");
            let theirs = Origin {
                uid: 65534,
                ..origin
            };
            let found = super::read(&path("foreign"), 5, &theirs);
            assert!(found.is_some(), "of the process's user");
        }
    }
}
