//! The event log that `programs/live_oracle.c` writes.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// Bytes in front of the first record, and of a record.
const HEADER: usize = 4096;
const RECORD: usize = 64;

/// The first function that frees; those before it allocate, numbered as in the recording.
pub(crate) const FIRST_FREE: u32 = 16;
/// `realloc` and `reallocarray`.
pub(crate) const REALLOCS: [u32; 2] = [2, 3];

/// One call, in the order in which all threads made them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Event {
    /// The block that was handed in, 0 for none.
    pub(crate) old: u64,
    /// The block that was handed out, 0 for none.
    pub(crate) result: u64,
    /// Size that was asked for.
    pub(crate) requested: u64,
    /// `malloc_usable_size` of the result.
    pub(crate) usable: u64,
    /// Where the call returns to.
    pub(crate) caller: u64,
    /// Allocations of this thread so far, this one included.
    pub(crate) allocations: u64,
    /// From 1, in the order of the threads' first events.
    pub(crate) thread: u32,
    /// Which function was called.
    pub(crate) function: u32,
    /// When, in nanoseconds.
    pub(crate) ns: u64,
}

/// Reads the log of a process that has ended.
pub(crate) fn read(path: &Path) -> Vec<Event> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut header = [0; HEADER];
    file.read_exact(&mut header).expect("the log's header");
    let count = u64::from_le_bytes(header[..8].try_into().expect("eight bytes"));
    let mut record = [0; RECORD];
    (0..count)
        .map(|_| {
            file.read_exact(&mut record).expect("a record of the log");
            event(&record)
        })
        .collect()
}

fn event(record: &[u8; RECORD]) -> Event {
    let word = |at: usize| u64::from_le_bytes(record[at..at + 8].try_into().expect("eight bytes"));
    let half = |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().expect("four bytes"));
    Event {
        old: word(0),
        result: word(8),
        requested: word(16),
        usable: word(24),
        caller: word(32),
        allocations: word(40),
        thread: half(48),
        function: half(52),
        ns: word(56),
    }
}
