//! Opens files that the user names, or that are found where the user works, without waiting for them.
//!
//! What is opened may be anything: a FIFO that nobody writes to would hold the tool up for ever, and
//! a device such as `/dev/zero` has no end.

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl, major, minor};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Most bytes of a file that a person writes: a configuration, or suppressions.
pub(crate) const MOST_TEXT: u64 = 4 << 20;

/// The device `/dev/null`, by which people say that there is nothing to read.
const NULL: (u32, u32) = (1, 3);

/// Opens a regular file, a pipe or `/dev/null` for reading.
///
/// A pipe that nobody has open for writing is at its end.
///
/// # Errors
/// Those of the file; also when it is a folder, another device or a socket.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let (nonblock, noctty) = (OFlags::NONBLOCK.bits(), OFlags::NOCTTY.bits());
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((nonblock | noctty).cast_signed())
        .open(path)?;
    let data = file.metadata()?;
    let kind = data.file_type();
    let is_null = kind.is_char_device() && (major(data.rdev()), minor(data.rdev())) == NULL;
    if !kind.is_file() && !kind.is_fifo() && !is_null {
        let what = if kind.is_dir() {
            "a folder, not a file"
        } else {
            "a device or a socket, not a file"
        };
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    // Only opening must not wait.
    let flags = fcntl_getfl(&file)?;
    fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
    Ok(file)
}

/// Reads a text of at most [`MOST_TEXT`] bytes.
///
/// # Errors
/// Those of [`open`]; also when it is longer, or not UTF-8.
pub(crate) fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.take(MOST_TEXT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_TEXT {
        let what = format!("larger than {} MiB", MOST_TEXT >> 20);
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::fs;

    #[test]
    fn nothing_is_waited_for_and_nothing_has_no_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        mknodat(
            CWD,
            path("fifo"),
            FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .expect("a FIFO");
        assert_eq!(text(&path("fifo")).expect("its end"), "");
        assert_eq!(text(Path::new("/dev/null")).expect("nothing"), "");
        let said = text(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(said.starts_with("a device"), "{said}");
        let said = text(folder.path()).unwrap_err().to_string();
        assert!(said.starts_with("a folder"), "{said}");
        fs::write(path("long"), vec![b'x'; MOST_TEXT as usize + 1]).expect("written");
        let said = text(&path("long")).unwrap_err().to_string();
        assert_eq!(said, "larger than 4 MiB");
        fs::write(path("short"), "a = 1\n").expect("written");
        assert_eq!(text(&path("short")).expect("read"), "a = 1\n");
    }
}
