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

pub(crate) mod csv;
pub(crate) mod rows;

#[cfg(test)]
mod tests;
