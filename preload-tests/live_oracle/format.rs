//! How a recording is read: the profiler's own definition of the format and its reader.
//!
//! They only say where a figure stands. What a figure has to be is computed in [`super::replay`],
//! which knows none of this.

/// Granularity of chunks, as in `src/record/mod.rs`.
pub(crate) const PAGE: u64 = 4096;

#[allow(dead_code)] // These tests need a part of it.
#[path = "../../src/record/layout.rs"]
pub(crate) mod layout;
#[allow(dead_code)]
#[path = "../../src/record/loss.rs"]
pub(crate) mod loss;
#[allow(dead_code)]
#[path = "../../src/record/reader.rs"]
pub(crate) mod reader;
