//! Checks of the rules against what others make of the same unwind information: gimli's evaluation
//! of every row of every mapped file ([`rows`]), and framehop and libgcc on real stacks
//! ([`stacks`]).

// Tests that print what they compared.
#![allow(clippy::print_stdout, clippy::type_complexity)]

mod chains;
mod rows;
mod stacks;
