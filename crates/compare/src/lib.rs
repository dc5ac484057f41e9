//! Two runs of a program compared, and the verdict on a comparison. Knows no terminal, and neither reads nor
//! writes files.

#![deny(unsafe_code)]
// What a failing test prints is for its author.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod diff;
pub mod gate;
