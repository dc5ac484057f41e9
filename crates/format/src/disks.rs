//! Where recordings must not lie.

/// Numbers of file systems (`statfs(2)`, linux/magic.h and their own headers) that write each change of a page to a new
/// place: a store to a mapped page needs room then, and ends in SIGBUS when there is none.
const COPY_ON_WRITE: [i64; 5] = [
    // btrfs
    0x9123_683E,
    // bcachefs
    0xCA45_1A4E,
    // ZFS
    0x2FC1_2FC1,
    // F2FS
    0xF2F5_2010,
    // NILFS
    0x3434,
];

/// Returns whether it is a file system that needs new room for each change.
pub fn is_copy_on_write(file_system: i64) -> bool {
    COPY_ON_WRITE.contains(&(file_system & 0xFFFF_FFFF))
}
