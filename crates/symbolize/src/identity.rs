//! What a symbolizer is asked about: an object file, and a process that may have left files.

/// Names an object file: a file at the same path may be replaced by another build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectId<'a> {
    /// Path as the loader knew it; bytes, since a path need not be UTF-8.
    pub path: &'a [u8],
    /// Build id, empty when the file has none.
    pub build_id: &'a [u8],
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
