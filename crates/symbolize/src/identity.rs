//! What a symbolizer is asked about: an object file, and a process that may have left files.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// Names an object file: a file at the same path may be replaced by another build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectId<'a> {
    /// Path as the loader knew it; bytes, since a path need not be UTF-8.
    pub path: &'a [u8],
    /// Build id, empty when the file has none.
    pub build_id: &'a [u8],
    /// The file that was loaded; `None` when that is not known.
    pub file: Option<FileId>,
}

impl ObjectId<'_> {
    /// What distinguishes this build from others with the same path.
    pub fn build(&self) -> Build {
        match self.build_id {
            [] => Build::File(self.file),
            id => Build::Id(id.to_vec()),
        }
    }
}

/// What distinguishes builds with the same path: the build id, or else the file's identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Build {
    /// A build id.
    Id(Vec<u8>),
    /// A file without a build id.
    File(Option<FileId>),
}

/// What tells a file from others, and from what was written to it later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// Device that the file is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Bytes in it.
    pub size: u64,
    /// When it was last written to, nanoseconds since 1970.
    pub modified_ns: u64,
}

impl FileId {
    /// Returns whether it is that of a file which was copied out of memory, since nothing leads to the file
    /// any more: when it was last written to is not known.
    pub fn is_of_copy(&self) -> bool {
        self.modified_ns == 0
    }

    /// That of a file with this metadata.
    pub fn of(metadata: &Metadata) -> Self {
        let seconds = metadata.mtime().cast_unsigned();
        let nanoseconds = metadata.mtime_nsec().cast_unsigned();
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified_ns: seconds
                .wrapping_mul(1_000_000_000)
                .wrapping_add(nanoseconds),
        }
    }
}

/// A process: what tells the files that it may have left elsewhere from those of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Its id, as it saw it.
    pub pid: u32,
    /// Its effective user id when the recording began.
    pub uid: u32,
    /// When that was, nanoseconds since 1970.
    pub start_ns: u64,
}
