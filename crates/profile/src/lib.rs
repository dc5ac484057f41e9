//! A profile: everything that reports say of one run, names and all, without the binaries and recordings
//! it came from. Every export begins here.
//!
//! Texts, functions, frames and stacks are tables, and refer to each other by index:
//!
//! ```text
//! Site ─ node ─▶ Node ─ parent ─▶ Node ...          the stack, from the innermost function to the root
//!                  └─ frame ─▶ Frame ─ function ─▶ Function ─▶ texts, Module
//! ```
//!
//! A node's parent comes before the node. [`Profile::check`] holds after [`file::read`], so that exports
//! may index without asking.
//!
//! Every report is made from a profile. The profile of a recording has as much [detail](build::Detail) as the
//! report shows.
//!
//! Without the feature `profiles`, profiles cannot be written, read or added up, and say nothing of their
//! machine: what is left is what the library needs for its CSV.

#![deny(unsafe_code)]
// What a failing test prints is for its author.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod build;
#[cfg(feature = "profiles")]
pub mod check;
#[cfg(feature = "profiles")]
pub mod file;
#[cfg(feature = "profiles")]
pub mod functions;
pub mod intern;
#[cfg(feature = "profiles")]
mod labels;
pub mod leaks;
#[cfg(feature = "profiles")]
mod mean;
#[cfg(feature = "profiles")]
pub mod merge;
mod model;
#[cfg(feature = "profiles")]
pub mod redact;
pub mod report;
#[cfg(feature = "profiles")]
pub mod resymbolize;
pub mod rows;
#[cfg(feature = "profiles")]
pub mod split;
#[cfg(feature = "profiles")]
pub mod stacks;
#[cfg(feature = "profiles")]
pub mod started;
#[cfg(feature = "profiles")]
pub mod sum;
#[cfg(all(feature = "profiles", any(test, feature = "testing")))]
pub mod testing;
#[cfg(feature = "profiles")]
pub mod tree;
#[cfg(feature = "profiles")]
mod version2;

pub use model::*;
