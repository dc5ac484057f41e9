//! The bytes of object files: mapped, or unpacked into memory.

use memmap2::{Mmap, UncheckedAdvice};
use std::fs::{File, OpenOptions};
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Bytes that stay where they are for as long as this lives.
pub enum Bytes {
    /// A file.
    Mapped(Mmap),
    /// What was packed in a file.
    Owned(Vec<u8>),
}

impl Bytes {
    /// Gives the pages of a mapped file back. They are read again when they are needed: from the
    /// kernel's cache, as a rule. Without this a look through the symbols of a large library would
    /// make the program twenty megabytes larger.
    pub fn let_go_of_memory(&self) {
        if let Self::Mapped(map) = self {
            // SAFETY: the mapping is private, of a file, and never written to: the pages come back
            // with what they held.
            let _ = unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed) };
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// A mapped file, and its path without links as far as the kernel tells it.
pub struct MappedFile {
    /// What is in it.
    pub bytes: Bytes,
    file: File,
}

impl MappedFile {
    /// Maps a regular file for reading.
    pub fn open(path: &Path) -> Option<Self> {
        // Without O_NONBLOCK, a FIFO of that name would hold the program up for ever.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)
            .ok()?;
        Self::of(file)
    }

    /// Maps a file that is open for reading, if it is a regular one.
    pub fn of(file: File) -> Option<Self> {
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        // SAFETY: the mapping is private and read-only, and object files are replaced rather than
        // written to: the loader maps them in the same way. (One that is cut while it is read would
        // fault, as it would in the program itself. Reading hundreds of megabytes in place of
        // mapping them is no option.)
        let bytes = Bytes::Mapped(unsafe { Mmap::map(&file) }.ok()?);
        Some(Self { bytes, file })
    }

    /// The path with all links followed.
    ///
    /// Asks the kernel: `realpath` of libc would call the program's malloc.
    pub fn real_path(&self) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/self/fd/{}", self.file.as_raw_fd())).ok()
    }
}
