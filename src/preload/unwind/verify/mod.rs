//! Checks of the rules against what others make of the same unwind information: gimli's evaluation
//! of every row of every mapped file (`rows`, and `link_rows` on AArch64), and framehop and libgcc on
//! real stacks (`stacks`; framehop does not read signed return addresses).

// Tests that print what they compared.
#![allow(clippy::print_stdout, clippy::type_complexity)]

#[cfg(target_arch = "x86_64")]
mod chains;
#[cfg(target_arch = "aarch64")]
mod link_rows;
#[cfg(target_arch = "x86_64")]
mod rows;
#[cfg(target_arch = "x86_64")]
mod stacks;
