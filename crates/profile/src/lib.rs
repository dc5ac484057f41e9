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
//! Without the feature `profiles` only [`report`] is there, which is all that the library needs.

#![deny(unsafe_code)]
// What a failing test prints is for its author.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

#[cfg(feature = "profiles")]
pub mod build;
#[cfg(feature = "profiles")]
pub mod check;
#[cfg(feature = "profiles")]
pub mod file;
#[cfg(feature = "profiles")]
pub mod functions;
#[cfg(feature = "profiles")]
pub mod intern;
#[cfg(feature = "profiles")]
mod labels;
#[cfg(feature = "profiles")]
pub mod leaks;
#[cfg(feature = "profiles")]
mod mean;
#[cfg(feature = "profiles")]
pub mod merge;
#[cfg(feature = "profiles")]
mod model;
#[cfg(feature = "profiles")]
pub mod redact;
pub mod report;
#[cfg(feature = "profiles")]
pub mod resymbolize;
#[cfg(feature = "profiles")]
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

#[cfg(feature = "profiles")]
pub use model::*;
