//! The recording: what the library writes while the program runs, and what every report reads.
//!
//! One definition for both sides. This crate depends on nothing but `std` (and on serde, for the
//! tool alone), and knows neither the library nor the tool.
//!
//! # Format, version 8
//!
//! Little-endian, fixed widths, one file for each process, mapped `MAP_SHARED` by the process that
//! it describes, so that the kernel keeps what was counted however the process ends.
//!
//! ```text
//! offset 0          Header, HEADER_LEN bytes
//! offset HEADER_LEN chunk, chunk, chunk ...   up to Header.cursor
//! ```
//!
//! The file may be longer than `cursor`: its tail is a hole that was reserved and never written. A
//! chunk starts at a multiple of [`PAGE`] with a [`layout::ChunkHeader`] and takes a whole number
//! of pages. A page of zeros where a chunk should start belongs to a chunk that was reserved but
//! not yet begun when the process died: readers skip it.
//!
//! | chunk kind | content |
//! |---|---|
//! | [`layout::CHUNK_MODULES`] | [`layout::ModuleRecord`]s, each followed by its path and build id, padded to 16 bytes |
//! | [`layout::CHUNK_FRAMES`] | [`layout::FrameRecord`]s of 16 bytes |
//! | [`layout::CHUNK_SITES`] | [`layout::SiteRecord`]s of 32 bytes (of [`layout::ENDED_THREADS`], 48); where blocks are followed ([`layout::LIVE`]) each with a [`layout::LiveRecord`] behind it, 320 bytes together |
//! | [`layout::CHUNK_NOTES`] | [`layout::TextRecord`]s, each followed by what the note is about ([`note`]), padded to 16 bytes |
//! | [`layout::CHUNK_FUNCTIONS`] | [`layout::TextRecord`]s, each followed by a function's name, padded to 16 bytes |
//! | [`layout::CHUNK_STACKS`] | [`layout::StackNode`]s of 8 bytes |
//! | [`layout::CHUNK_TIMELINE`] | [`layout::TimelinePoint`]s of 40 bytes |
//! | [`layout::CHUNK_THREADS`] | [`layout::ThreadRecord`]s of 32 bytes |
//! | [`layout::CHUNK_PHASES`] | [`layout::PhaseRecord`]s, each followed by its label, padded to 16 bytes |
//! | [`layout::CHUNK_LEAKS`] | [`layout::LeakRecord`]s of 32 bytes |
//! | [`layout::CHUNK_FILES`] | [`layout::FileRecord`]s of 48 bytes |
//!
//! References are file offsets in units of the record's size: a frame id is `offset / 16`, a module
//! id is `offset / 16`, a stack's `offset / 8`. Offset 0 is the header, so id 0 is free to mean "none".
//!
//! A site whose stack shows that the call was made from inside a hooked function is *nested*: it is
//! recorded like any other, which costs least, and readers leave it out
//! ([`reader::Recording::sites`] says how it is told).
//!
//! Version 6 is read too: its notes are sentences, with 0 for the number.
//!
//! All records only ever grow: a record is written completely before the word that makes it visible
//! (the chunk's `used`, a node's own, or a site's `count` or `frees`). Afterwards only a site's counters change (those
//! of a thread that ends become 0, and the site of [`layout::ENDED_THREADS`] gets them), a thread's record, and the points of the timeline, which are thinned out in place.

#![deny(unsafe_code)]
// What a failing test prints is for its author.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod cause;
mod codes;
pub mod cut;
pub mod disks;
pub mod layout;
pub mod loss;
pub mod messages;
pub mod nested;
pub mod note;
pub mod reader;
pub mod sampled;
pub mod sentences;
pub mod settle;
pub mod verified;

/// Granularity of chunks in a recording, in bytes. Fixed by the format, not by the machine.
pub const PAGE: u64 = 4096;
