//! Text: counts and bytes as people read them, text from outside made harmless, columns, globs.
//!
//! Knows nothing of heaps, and neither reads nor writes files.

#![deny(unsafe_code)]
// What a failing test prints is for its author.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod glob;
mod harmless;
mod numbers;
mod printable;
mod width;

pub use glob::{glob, glob_error};
pub use harmless::harmless;
pub use numbers::{bytes, counted, grouped, scaled};
pub use printable::{LONGEST, path, printable, printable_text};
pub use width::{columns_of, cut};
