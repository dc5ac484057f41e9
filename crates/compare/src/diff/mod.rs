//! Differences between two runs of a program, or of two builds of it.
//!
//! Rows of two reports are matched by names ([`names`]), functions that only a position or an address tells
//! apart by what they allocate (`rename`), and sizes that changed by their calls (`sizes`). Every row of
//! both sides is in exactly one [`Change`], so that the changes add up to the difference of the totals.
//! Pure: reads no files and prints nothing.

mod align;
mod anchors;
pub mod csv;
pub mod figures;
pub mod functions;
pub mod matching;
pub mod names;
pub mod out;
pub mod profiles;
mod rename;
mod side;
mod sizes;
#[cfg(test)]
mod tests;

pub use figures::{Delta, Totals};
pub use matching::{Change, Diff, Kind, Match, compare};
