//! The honesty counters: everything that a recording does not say, by cause.

use crate::codes::codes;
use crate::layout::LOSS_SLOTS;

codes! {
    /// Why something is missing from a recording. Numbers below [`LOSS_SLOTS`] are indices into
    /// [`crate::layout::Header::losses`]; new causes go behind the last of them.
    ///
    /// Most of them mean that calls and bytes are missing from the totals; stacks that were cut are
    /// seen in the sites themselves.
    Loss {
        /// Allocations of a site for which the recording had no room: disk full, file size limit.
        RecordingFull = 0,
        /// Allocations of a thread or a site for which no memory, or no address space, could be had.
        NoMemory = 1,
        /// Failures inside the profiler that were caught before they could reach the program.
        Internal = 2,
        /// Allocations that could not be recorded without system calls that the program has given up.
        Confined = 3,
        /// Allocations before the C library had set up the environment.
        TooEarly = 4,
        /// Blocks that could not be followed until they are freed, for want of memory.
        NotFollowed = 5,
        /// Frees that did not fit a counter of lifetimes, which ends at 2^32.
        LifetimesFull = 6,
        /// Allocations of a site for which the recording had no room: it is as long as its file was
        /// made, and that cannot be opened again, or as the format allows.
        TooLong = 7,
        /// Bytes that an incomplete copy of a recording lacks. Readers find it; no counter holds it.
        CutOff = 256,
    }
}

impl Loss {
    /// The causes that a recording has counters for.
    pub fn counted() -> impl Iterator<Item = Self> {
        let is_counter = |loss: &Self| (loss.code() as usize) < LOSS_SLOTS;
        Self::ALL.iter().copied().filter(is_counter)
    }
}
