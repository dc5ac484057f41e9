//! What reports use besides the profile: rows, figures, leaks, collapsed stacks, and the timeline
//! of the heap.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod collapsed;
pub mod csv;
pub mod csv_all;
pub mod cuts;
pub mod figures;
pub mod frames;
pub mod handover;
pub mod interner;
pub mod leaked;
pub mod left;
pub mod line;
pub mod origin;
pub mod rows;
pub mod sum;
pub mod suppressions;
pub mod threads;
pub mod timeline;

#[cfg(test)]
mod live_tests;
#[cfg(any(test, feature = "testing"))]
#[allow(unsafe_code)] // Records are written byte by byte.
pub mod testing;
#[cfg(test)]
mod tests;
