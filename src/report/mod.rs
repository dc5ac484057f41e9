//! From a recording to rows: shared by the library's exit report and the tool.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub(crate) mod collapsed;
pub(crate) mod csv;
pub(crate) mod csv_all;
pub(crate) mod figures;
pub(crate) mod frames;
pub(crate) mod handover;
pub(crate) mod interner;
pub(crate) mod leaks;
pub(crate) mod left;
pub(crate) mod origin;
pub(crate) mod rows;
pub(crate) mod suppressions;
pub(crate) mod threads;
pub(crate) mod timeline;

#[cfg(test)]
mod live_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
