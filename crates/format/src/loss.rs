//! The honesty counters: everything that a recording does not say, by cause.

/// Why something is missing from a recording. The value is the index into
/// [`super::layout::Header::losses`]; new causes go at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Loss {
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
    /// Allocations of a site for which the recording had no room: it is as long as its file was made, and
    /// that cannot be opened again, or as the format allows.
    TooLong = 7,
}

/// What a report needs to say about a [`Loss`]. Most of them mean that calls and bytes are missing
/// from the totals; stacks that were cut are seen in the sites themselves.
pub struct LossText {
    /// The cause.
    pub loss: Loss,
    /// A sentence fragment that fits after the number.
    pub text: &'static str,
}

/// Every cause, in the order of the reports.
pub const LOSSES: [LossText; 8] = [
    LossText {
        loss: Loss::RecordingFull,
        text: "allocations not recorded: no room for the recording (disk full or file size limit)",
    },
    LossText {
        loss: Loss::NoMemory,
        text: "allocations not recorded: no memory for the profiler",
    },
    LossText {
        loss: Loss::Internal,
        text: "internal errors of the profiler",
    },
    LossText {
        loss: Loss::Confined,
        text: "allocations not recorded: the program has confined its system calls (seccomp)",
    },
    LossText {
        loss: Loss::TooEarly,
        text: "allocations not recorded: made before the C library was ready",
    },
    LossText {
        loss: Loss::NotFollowed,
        text: "blocks not followed until they are freed: no memory for the profiler",
    },
    LossText {
        loss: Loss::LifetimesFull,
        text: "frees not in the lifetimes: a counter is full",
    },
    LossText {
        loss: Loss::TooLong,
        text: "allocations not recorded: the recording cannot become longer (its file is out of reach, or has 32 GiB)",
    },
];
