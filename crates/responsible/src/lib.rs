//! Who is responsible for an allocation.
//!
//! The innermost functions of a stack are often *plumbing*: allocation wrappers such as `xmalloc`, and
//! containers and runtimes such as `std::vector`. The responsible function is the first one that is
//! not: the function that somebody wrote to do the work for which memory was needed.
//!
//! - [`Plumbing`] knows the names of plumbing and takes corrections.
//! - [`wrappers_in`] finds wrappers that nobody listed in the stacks and sizes of a profile.
//! - [`Plumbing::responsible`] reads a stack, [`group()`] adds up the sites of a profile.
//! - [`fold()`] shortens demangled names of C++ and Rust to the part that tells them apart.
//!
//! There are no files and no terminal here, and the order of everything is determined by the input.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod discover;
mod fold;
mod group;
mod path;
mod plumbing;
mod table;

pub use discover::wrappers_in;
pub use fold::fold;
pub use group::{Figures, Group, Site, group};
pub use plumbing::{Kind, Plumbing, Responsible, is_unnamed};
