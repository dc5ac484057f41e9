//! Reads recordings from files: by read, not by mapping, so that a file that shrinks meanwhile is
//! an error and not a fault.

use crate::others::is_drop_folder;
use crate::owner::Owner;
use crate::session::others_of;
use crate::terminal::term;
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use skipheap_format::layout::HEADER_LEN;
use skipheap_format::reader::{FormatError, Recording};
use skipheap_format::settle::settled;
use skipheap_profile::file::FileError;
use skipheap_profile::report::csv;
use skipheap_profile::started;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{error, fmt, fs};

/// What the names of recordings end with.
pub(crate) const EXTENSION: &str = "skipheap-rec";

/// What spreadsheets put in front of a CSV.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a recording cannot be used.
#[derive(Debug)]
pub(crate) struct LoadError {
    /// Its file.
    pub(crate) path: PathBuf,
    /// What is wrong.
    pub(crate) why: Why,
}

/// What is wrong with a file.
#[derive(Debug)]
pub(crate) enum Why {
    /// It cannot be read.
    Io(io::Error),
    /// It holds something else, or a damaged recording.
    Format(FormatError),
    /// It is a report.
    Csv,
    /// It is no profile that can be read.
    Profile(FileError),
    /// It is to be written as well.
    Output,
    /// A folder in which there are none.
    NoRecordings,
    /// A folder below which there are no profiles.
    NoProfiles,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", term::path(&self.path))?;
        match &self.why {
            Why::Io(error) => error.fmt(f),
            Why::Format(error) => error.fmt(f),
            Why::Csv => f.write_str(
                "a CSV, which has only four frames of each stack: `skip-heapprof diff` and `skip-heapprof \
                 check` read it, reports need a profile or a recording",
            ),
            Why::Profile(error) => error.fmt(f),
            Why::Output => f.write_str("both an input and an output: name another output file"),
            Why::NoProfiles => write!(
                f,
                "a folder without profiles (*.{}); recordings are named one by one",
                skipheap_profile::file::EXTENSION
            ),
            Why::NoRecordings => write!(f, "a folder without recordings (*.{EXTENSION})"),
        }
    }
}

impl error::Error for LoadError {}

impl LoadError {
    /// For `map_err`.
    pub(crate) fn at<E: Into<Why>>(path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |why| Self {
            path,
            why: why.into(),
        }
    }
}

impl From<io::Error> for Why {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<FileError> for Why {
    fn from(error: FileError) -> Self {
        Self::Profile(error)
    }
}

impl From<FormatError> for Why {
    fn from(error: FormatError) -> Self {
        Self::Format(error)
    }
}

/// What the header of a recording says, to put processes in order before they are read.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// Its file.
    pub(crate) path: PathBuf,
    /// When the process began, nanoseconds since 1970.
    pub(crate) start_ns: u64,
    /// The process's id.
    pub(crate) pid: u32,
    /// Its parent's.
    pub(crate) ppid: u32,
    /// Whether the library saw the end of the process.
    pub(crate) finished: bool,
    /// Whether it is a copy that was made while the process went on.
    pub(crate) snapshot: bool,
    /// The name that the program was started by.
    pub(crate) program: String,
}

/// Reads the header.
///
/// # Errors
/// When the file is no recording or cannot be read.
pub(crate) fn head(path: &Path) -> Result<Head, LoadError> {
    head_of(&open(path)?, path)
}

/// Reads the header of an open file; `path` is what it is called.
///
/// # Errors
/// As [`head`].
pub(crate) fn head_of(file: &File, path: &Path) -> Result<Head, LoadError> {
    let bytes = written(file, HEADER_LEN).map_err(LoadError::at(path))?;
    let recording = parse(&bytes, path)?;
    let program = started::program(&recording);
    Ok(Head {
        path: path.to_owned(),
        start_ns: recording.start_ns(),
        pid: recording.pid(),
        ppid: recording.ppid(),
        finished: recording.finished(),
        snapshot: recording.is_snapshot(),
        program: String::from_utf8_lossy(program).into_owned(),
    })
}

/// Understands the bytes of a recording.
///
/// # Errors
/// When they are no recording: what they are instead, as far as that can be told.
pub(crate) fn parse<'b>(bytes: &'b [u8], path: &Path) -> Result<Recording<'b>, LoadError> {
    Recording::parse(bytes).map_err(|error| {
        let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        let is_csv = text.starts_with(csv::HEADER[..4].join(",").as_bytes());
        let why = if is_csv { Why::Csv } else { error.into() };
        LoadError::at(path)(why)
    })
}

/// Reads a recording as [`copy_of`] does.
#[cfg(test)]
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, LoadError> {
    bytes_and_owner(path).map(|(bytes, _)| bytes)
}

/// Reads a recording as [`copy_of`] does, and whose file it is.
///
/// # Errors
/// When the file cannot be read. What it holds is not checked.
pub(crate) fn bytes_and_owner(path: &Path) -> Result<(Vec<u8>, Owner), LoadError> {
    let file = open(path)?;
    let owner = Owner::of(&file).map_err(LoadError::at(path))?;
    Ok((copy_of(&file).map_err(LoadError::at(path))?, owner))
}

/// Reads all of a recording that was written, not the hole behind it. Of a process that still runs
/// what is returned is consistent.
///
/// # Errors
/// When the file cannot be read. What it holds is not checked.
pub(crate) fn copy_of(file: &File) -> io::Result<Vec<u8>> {
    let bytes = written(file, u64::MAX)?;
    let is_growing = Recording::parse(&bytes).is_ok_and(|recording| recording.is_running());
    if is_growing {
        return Ok(settled(&bytes, written(file, u64::MAX)?));
    }
    Ok(bytes)
}

/// The first bytes of the part of a file that was written, at most `most`.
fn written(file: &File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_on(file, &mut bytes, HEADER_LEN)?;
    let extent = Recording::extent(&bytes).min(most);
    read_on(file, &mut bytes, extent)?;
    Ok(bytes)
}

/// Reads what follows `bytes` in the file, up to the offset `end` or to the end of the file. Holes
/// are zeros that take no memory.
///
/// # Errors
/// Those of the file; also when it claims to hold far more than it does.
pub(crate) fn read_on(file: &File, bytes: &mut Vec<u8>, end: u64) -> io::Result<()> {
    /// Larger steps get fresh memory, of which the kernel provides what is written to.
    const SMALL_STEP: usize = 1 << 26;
    let data = file.metadata()?;
    let end = end.min(data.len());
    check_claim(end, data.blocks().saturating_mul(512))?;
    let (start, end) = (bytes.len(), usize::try_from(end).map_err(io::Error::other)?);
    if end <= start {
        return Ok(());
    }
    if end - start <= SMALL_STEP {
        bytes.resize(end, 0);
    } else {
        Vec::<u8>::new()
            .try_reserve_exact(end)
            .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let mut grown = vec![0; end];
        grown[..start].copy_from_slice(bytes);
        *bytes = grown;
    }
    let mut at = start;
    while at < end {
        let data = data_from(file, at, end)?;
        let mut filled = data.start;
        while filled < data.end {
            match file.read_at(&mut bytes[filled..data.end], filled as u64) {
                // The file has become shorter.
                Ok(0) => {
                    bytes.truncate(filled);
                    return Ok(());
                }
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        at = data.end;
    }
    Ok(())
}

/// The next range of a file that is no hole, from `at` on and before `end`; empty, at `end`, when
/// there is none. Where the file system does not say, all is data.
fn data_from(file: &File, at: usize, end: usize) -> io::Result<Range<usize>> {
    let find = |from| match rustix::fs::seek(file, from) {
        Ok(found) => Ok(usize::try_from(found).map_or(end, |found| found.min(end))),
        Err(Errno::NXIO) => Ok(end),
        Err(error) => Err(error),
    };
    let found = find(SeekFrom::Data(at as u64))
        .and_then(|start| Ok(start..find(SeekFrom::Hole(start as u64))?));
    match found {
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(at..end),
        // Data that was added between the two questions is read the next time.
        Ok(range) if range.end <= range.start => Ok(end..end),
        other => Ok(other?),
    }
}

/// Refuses a file that claims to hold much more than its disk space says: reports look through all
/// that is claimed, and a hole of terabytes costs nobody anything to make.
fn check_claim(claimed: u64, stored: u64) -> io::Result<()> {
    /// What is always believed: the library reserves room ahead.
    const ALWAYS: u64 = 64 << 20;
    /// Bytes claimed for each that is stored. Of the library's files nearly all is stored.
    const MOST_RATIO: u64 = 64;
    if claimed <= ALWAYS.max(stored.saturating_mul(MOST_RATIO)) {
        return Ok(());
    }
    let what = format!("damaged recording: it claims to hold {claimed} bytes, but has {stored}");
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}

/// Opens a regular file; reading from anything else might never end. In a folder to which other
/// users add files it is no link, and has no other name: what is read there belongs to who added
/// it.
pub(crate) fn open(path: &Path) -> Result<File, LoadError> {
    let data = fs::metadata(path).map_err(LoadError::at(path))?;
    let is_from_others = path.parent().is_some_and(is_drop_folder);
    let mut flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    if is_from_others {
        flags |= libc::O_NOFOLLOW;
    }
    let is_fit = |data: &fs::Metadata| data.is_file() && (!is_from_others || data.nlink() == 1);
    let refused = || LoadError::at(path)(io::Error::other("not a regular file"));
    if !is_fit(&data) {
        return Err(refused());
    }
    let mut options = File::options();
    let file = options.read(true).custom_flags(flags).open(path);
    let file = file.map_err(LoadError::at(path))?;
    // It may have been replaced meanwhile.
    let opened = file.metadata().map_err(LoadError::at(path))?;
    is_fit(&opened).then_some(file).ok_or_else(refused)
}

/// The recordings in a folder, in no order, with those that other users left for the same session.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn in_folder(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == EXTENSION)
        {
            found.push(path);
        }
    }
    if let Some(others) = others_of(folder) {
        found.extend(in_folder(&others)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::recording;
    use skipheap_format::layout::Header;

    #[test]
    fn the_written_part_of_a_file_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("1-a.skipheap-rec");
        let written = recording(7, 3, &[(16, 2)]);
        let mut file = written.clone();
        file.resize(written.len() + 100_000, 0);
        fs::write(&path, file).expect("written");
        assert_eq!(bytes(&path).expect("read"), written);
        let head = head(&path).expect("read");
        assert_eq!((head.pid, head.start_ns), (7, 3));
        assert_eq!(in_folder(folder.path()).expect("the folder"), [path]);
    }

    #[test]
    fn holes_take_no_memory_and_too_large_ones_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("1-a.skipheap-rec");
        let mut start = recording(7, 3, &[(16, 2)]);
        let claim = |bytes: &mut [u8], claimed: u64| {
            let cursor = std::mem::offset_of!(Header, cursor);
            bytes[cursor..cursor + 8].copy_from_slice(&claimed.to_le_bytes());
            fs::write(&path, &*bytes).expect("written");
            let file = fs::OpenOptions::new().write(true).open(&path);
            let file = file.expect("the file");
            file.set_len(claimed).expect("a hole");
            file
        };
        // The library reserves ahead.
        let file = claim(&mut start, 48 << 20);
        file.write_all_at(b"end", (48 << 20) - 3).expect("written");
        let read = bytes(&path).expect("read");
        assert_eq!(read.len(), 48 << 20);
        assert!(read.starts_with(&start) && read.ends_with(b"\0end"));
        claim(&mut start, 5 << 30);
        let said = bytes(&path).unwrap_err().to_string();
        assert!(said.contains("damaged recording: it claims"), "{said}");
    }

    #[test]
    fn a_csv_is_told_from_a_damaged_recording() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        for mark in ["", "\u{feff}"] {
            for rest in ["", &",-".repeat(9000)] {
                let header = csv::HEADER.join(",");
                fs::write(&file, format!("{mark}{header}\n{rest}")).expect("written");
                let said = head(&file).unwrap_err().to_string();
                assert!(
                    said.contains(": a CSV, ") && said.contains("diff"),
                    "{said}"
                );
            }
        }
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        fs::write(&file, "SKIPHEAP, but short").expect("written");
        assert!(matches!(head(&file).unwrap_err().why, Why::Format(_)));
        for path in [
            &file,
            folder.path(),
            Path::new("/dev/zero"),
            Path::new("/no/such"),
        ] {
            let said = head(path).unwrap_err().to_string();
            assert!(said.starts_with(&format!("{}: ", path.display())), "{said}");
        }
    }
}
