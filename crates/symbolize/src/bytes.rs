//! The bytes of object files: mapped, or unpacked into memory.

use crate::identity::FileId;
use memmap2::{Mmap, UncheckedAdvice};
use std::fs::{File, OpenOptions};
use std::ops::Deref;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes that stay where they are for as long as this lives.
pub enum Bytes {
    /// A file.
    Mapped(Mmap),
    /// What was packed in a file.
    Owned(Vec<u8>),
    /// What several look at.
    Shared(Arc<Bytes>),
}

impl Bytes {
    /// Gives the pages of a mapped file back. They are read again when they are needed: from the
    /// kernel's cache, as a rule. Without this a look through the symbols of a large library would
    /// make the program twenty megabytes larger.
    pub fn let_go_of_memory(&self) {
        match self {
            Self::Mapped(map) => {
                // SAFETY: the mapping is private, of a file, and never written to: the pages come back
                // with what they held.
                let _ = unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed) };
            }
            Self::Owned(_) => {}
            Self::Shared(bytes) => bytes.let_go_of_memory(),
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// The bytes of a file, and the file itself if it still exists.
pub struct MappedFile {
    /// What is in it.
    pub bytes: Bytes,
    source: Source,
}

enum Source {
    Open(File),
    /// The identity of a file of which only the bytes are left.
    Lost(FileId),
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
        let source = Source::Open(file);
        Some(Self { bytes, source })
    }

    /// Bytes that were copied from a file that cannot be opened.
    pub fn of_memory(bytes: Bytes, id: FileId) -> Self {
        let source = Source::Lost(id);
        Self { bytes, source }
    }

    /// The open file; `None` of bytes in memory.
    pub fn descriptor(&self) -> Option<RawFd> {
        match &self.source {
            Source::Open(file) => Some(file.as_raw_fd()),
            Source::Lost(_) => None,
        }
    }

    /// The identity of the file.
    pub fn id(&self) -> Option<FileId> {
        match &self.source {
            Source::Open(file) => file.metadata().ok().map(|metadata| FileId::of(&metadata)),
            Source::Lost(id) => Some(*id),
        }
    }

    /// The path with all links followed.
    ///
    /// Asks the kernel: `realpath` of libc would call the program's malloc.
    pub fn real_path(&self) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/self/fd/{}", self.descriptor()?)).ok()
    }
}
