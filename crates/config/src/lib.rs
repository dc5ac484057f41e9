//! What the library and the tool agree upon before a recording exists: the variables with their values
//! and defaults, which programs are profiled, specifications of hooks, and the session's messages.

#![deny(unsafe_code)]
// What a failing test prints is for its author.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod filter;
pub mod hook_spec;
pub mod session;
pub mod settings;
