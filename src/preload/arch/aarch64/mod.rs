//! AArch64. [`crate::arch`] describes the files.
//!
//! Hooks jump with `br x16` to functions that begin with `bti c`, which is a hint on processors without
//! branch target identification.

pub(crate) mod code;
mod counters;
pub(crate) mod deep_hot;
mod hooks;
pub(crate) mod hot;
mod libc;
pub(crate) mod pages;
mod registers;
pub(crate) mod rule;
pub(crate) mod sample;
mod switch;
mod symbols;
mod system_call;
mod thread_word;

pub(crate) use counters::*;
pub(crate) use hooks::*;
#[cfg(not(test))]
pub(crate) use libc::*;
pub(crate) use registers::*;
pub(crate) use switch::*;
pub(crate) use symbols::*;
pub(crate) use system_call::*;
pub(crate) use thread_word::*;
