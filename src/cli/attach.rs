//! Finds the recording of a process that runs, by what the process has mapped: also when the tool's
//! temporary folder is another, and when the file's name is gone.
//!
//! Reads and writes that file alone. The process is neither stopped nor touched.

use crate::load::{self, EXTENSION, LoadError, Why};
use crate::terminal::term;
use skipheap_format::layout::{Header, STOPPED, STOPS};
use skipheap_format::reader::Recording;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::mem::offset_of;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::{error, fmt};

/// A running process and the file of its recording.
#[derive(Debug)]
pub(crate) struct Attached {
    /// Its process id, as the tool sees it.
    pub(crate) pid: u32,
    /// File name of its executable.
    pub(crate) program: String,
    /// The recording.
    pub(crate) file: File,
    /// Where that lies, as far as it is known.
    pub(crate) path: PathBuf,
}

/// Why there is no recording to be had.
#[derive(Debug)]
pub(crate) enum NotAttached {
    /// No process has the id.
    NoProcess(u32),
    /// Its files in `/proc`, or its recording, may not be read.
    NotAllowed(u32, io::Error),
    /// It records nothing, or no more.
    NotProfiled(u32),
    /// The file is gone and cannot be reached through the process.
    Gone(u32, PathBuf),
    /// The file is not what it should be.
    Load(LoadError),
}

impl fmt::Display for NotAttached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProcess(pid) => write!(f, "there is no process {pid}"),
            Self::NotAllowed(pid, error) => write!(
                f,
                "process {pid} cannot be accessed ({error}): it belongs to another user, or has more \
                 privileges"
            ),
            Self::NotProfiled(pid) => write!(
                f,
                "process {pid} is not being profiled: start it with `skip-heapprof`, or with \
                 libskipheap.so in LD_PRELOAD"
            ),
            Self::Gone(pid, path) => write!(
                f,
                "the recording of process {pid} was removed ({}), and only root can reach it now",
                term::path(path)
            ),
            Self::Load(error) => error.fmt(f),
        }
    }
}

impl error::Error for NotAttached {}

/// What is mapped of a recording: a line of `/proc/PID/maps`.
#[derive(Debug, PartialEq, Eq)]
struct Mapping {
    /// The range of addresses, as it is written there.
    range: String,
    inode: u64,
    path: PathBuf,
}

/// The first page of a recording in a line of `/proc/PID/maps`.
fn mapping(line: &[u8]) -> Option<Mapping> {
    let mut rest = line;
    let mut field = || {
        let start = rest.iter().position(|&byte| byte != b' ')?;
        let len = rest[start..].iter().position(|&byte| byte == b' ')?;
        let found = &rest[start..start + len];
        rest = &rest[start + len..];
        std::str::from_utf8(found).ok()
    };
    let (range, access, offset) = (field()?, field()?, field()?);
    let (_device, inode) = (field()?, field()?);
    let is_shared = access.ends_with('s') && u64::from_str_radix(offset, 16) == Ok(0);
    let path = rest.trim_ascii_start();
    let name = path.strip_suffix(b" (deleted)").unwrap_or(path);
    let is_recording = name
        .strip_suffix(EXTENSION.as_bytes())
        .is_some_and(|stem| stem.ends_with(b"."));
    (is_shared && is_recording).then(|| Mapping {
        range: range.to_owned(),
        inode: inode.parse().unwrap_or(0),
        path: Path::new(OsStr::from_bytes(&unescaped(name))).to_owned(),
    })
}

/// The kernel writes a line feed in a path as `\012`.
fn unescaped(path: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, behind)) = rest.split_first() {
        let line_feed = rest.strip_prefix(br"\012");
        text.push(if line_feed.is_some() { b'\n' } else { first });
        rest = line_feed.unwrap_or(behind);
    }
    text
}

fn mappings(pid: u32) -> Result<Vec<Mapping>, NotAttached> {
    let maps = fs::read(format!("/proc/{pid}/maps")).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => NotAttached::NoProcess(pid),
        // A process that ends while it is looked at.
        _ if error.raw_os_error() == Some(libc::ESRCH) => NotAttached::NoProcess(pid),
        _ => NotAttached::NotAllowed(pid, error),
    })?;
    let lines = maps.split(|&byte| byte == b'\n');
    Ok(lines.filter_map(mapping).collect())
}

/// The process's id as it sees it itself.
fn inner_pid(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let of_spaces = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    of_spaces
        .and_then(|ids| ids.split_whitespace().last()?.parse().ok())
        .unwrap_or(pid)
}

/// Opens the file that is mapped: by its name in the process's view, by its name in ours, or, where
/// it has none any more, through the mapping.
fn open(pid: u32, mapping: &Mapping, for_writing: bool) -> Result<File, NotAttached> {
    let absolute = mapping.path.strip_prefix("/").unwrap_or(&mapping.path);
    let mut refused = None;
    for path in [
        Path::new(&format!("/proc/{pid}/root")).join(absolute),
        mapping.path.clone(),
        format!("/proc/{pid}/map_files/{}", mapping.range).into(),
    ] {
        // Opening anything but a file could wait.
        if !fs::metadata(&path).is_ok_and(|data| data.is_file() && data.ino() == mapping.inode) {
            continue;
        }
        match OpenOptions::new().read(true).write(for_writing).open(&path) {
            Ok(file) => return Ok(file),
            Err(error) => refused = Some(error),
        }
    }
    Err(match refused {
        Some(error) => NotAttached::NotAllowed(pid, error),
        None => NotAttached::Gone(pid, mapping.path.clone()),
    })
}

/// Finds the recording that a process is writing.
///
/// # Errors
/// [`NotAttached`] says why there is none.
pub(crate) fn attach(pid: u32, for_writing: bool) -> Result<Attached, NotAttached> {
    let inner = inner_pid(pid);
    let mut why = NotAttached::NotProfiled(pid);
    for mapping in mappings(pid)? {
        let attached = open(pid, &mapping, for_writing).and_then(|file| {
            let head = load::head_of(&file, &mapping.path).map_err(NotAttached::Load)?;
            Ok((file, head))
        });
        match attached {
            // A child of fork has its parent's mapped until it allocates.
            Ok((_, head)) if head.pid != inner || head.finished => {}
            Ok((file, head)) => {
                return Ok(Attached {
                    pid,
                    program: head.program,
                    file,
                    path: mapping.path,
                });
            }
            Err(error) => why = error,
        }
    }
    Err(why)
}

/// The processes that are being profiled and may be looked at, by their ids.
pub(crate) fn profiled() -> Vec<Attached> {
    let ids = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            name.to_str()?.parse().ok()
        });
    let mut ids: Vec<u32> = ids.collect();
    ids.sort_unstable();
    ids.into_iter()
        .filter_map(|pid| attach(pid, false).ok())
        .collect()
}

impl Attached {
    /// A consistent copy of what was recorded so far.
    ///
    /// # Errors
    /// When the file cannot be read or does not hold a recording.
    pub(crate) fn copy(&self) -> Result<Vec<u8>, LoadError> {
        let bytes = load::copy_of(&self.file).map_err(LoadError::at(&self.path))?;
        Recording::parse(&bytes).map_err(LoadError::at(&self.path))?;
        Ok(bytes)
    }

    /// Sets the control word, and notes that it was set.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn set_control(&self, word: u32) -> Result<(), LoadError> {
        let at = offset_of!(Header, control) as u64;
        let written = self
            .count_stop(word)
            .and_then(|()| self.file.write_all_at(&word.to_le_bytes(), at));
        written.map_err(|error| LoadError::at(&self.path)(Why::Io(error)))
    }
}

impl Attached {
    fn count_stop(&self, word: u32) -> io::Result<()> {
        if word != STOPPED {
            return Ok(());
        }
        let at = (offset_of!(Header, losses) + STOPS * size_of::<u64>()) as u64;
        let mut count = [0; 8];
        self.file.read_exact_at(&mut count, at)?;
        let more = u64::from_le_bytes(count).saturating_add(1);
        self.file.write_all_at(&more.to_le_bytes(), at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_are_told_from_other_mappings() {
        let found = |line: &str| mapping(line.as_bytes());
        assert_eq!(
            found(
                "7f0000000000-7f0040000000 rw-s 00000000 08:01 77       /tmp/a b/1-x.skipheap-rec"
            ),
            Some(Mapping {
                range: "7f0000000000-7f0040000000".into(),
                inode: 77,
                path: "/tmp/a b/1-x.skipheap-rec".into(),
            })
        );
        assert_eq!(
            found("1-2 rw-s 00000000 08:01 7 /a\\012b.skipheap-rec (deleted)")
                .map(|mapping| mapping.path),
            Some("/a\nb.skipheap-rec".into())
        );
        for other in [
            "1-2 rw-s 00001000 08:01 7 /a.skipheap-rec",
            "1-2 rw-p 00000000 08:01 7 /a.skipheap-rec",
            "1-2 rw-s 00000000 08:01 7 /askipheap-rec",
            "1-2 rw-s 00000000 08:01 7 /a.skipheap-rec.so",
            "1-2 rw-p 00000000 00:00 0 ",
            "1-2 rw-s",
            "",
        ] {
            assert_eq!(found(other), None, "{other}");
        }
    }

    #[test]
    fn processes_without_a_recording_are_told_apart() {
        let own = std::process::id();
        assert!(matches!(
            attach(own, false),
            Err(NotAttached::NotProfiled(pid)) if pid == own
        ));
        // The kernel's highest is below.
        assert!(matches!(
            attach(1 << 23, false),
            Err(NotAttached::NoProcess(_))
        ));
    }
}
