//! `libskipheap.so`: records every allocation of the program that preloads it.
//!
//! The library runs inside programs that it does not know, at any moment of their lives. Three laws
//! follow, and each file says at its top in which state it may run:
//!
//! 1. **Nothing here calls the program's malloc** but the hooks that forward to it. Rust's own
//!    allocations go to a private heap (`heap`).
//! 2. **No std thread-locals** on the way of an allocation: they may allocate, take the loader's
//!    lock and register destructors. A pointer-sized initial-exec TLS word (`arch`) holds all.
//! 3. **No panic leaves the library**: cold paths that use std or other crates run under
//!    `lifecycle::shielded`.
//!
//! An allocation's way: `hooks` → `hot` (or, where something is out of the ordinary, `thread`
//! → `unwind` → `sites`); everything that happens only once for each return address, site,
//! thread or module lies in the `#[cold]` functions behind them.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout
)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
// What hooks by name alone use is unused where there are none.
#![cfg_attr(not(target_arch = "x86_64"), allow(dead_code, unused_imports))]
// What a failing test prints is for its author.
#![cfg_attr(test, allow(clippy::disallowed_methods))]
// In unit tests, exported functions have no names, and `allow(dead_code)`, since nobody calls them.

#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_env = "gnu"
)))]
compile_error!(
    "libskipheap is built for x86-64 and AArch64 Linux with glibc, and on x86-64 serves programs of musl \
     too; other targets have no folder in src/preload/arch"
);

mod api;
mod arch;
mod c_library;
mod cold_stack;
mod confined;
mod control;
mod copies;
mod deep;
mod elf;
mod ended;
mod executable;
mod exit_lines;
mod exit_report;
mod heap;
mod hooks;
mod hot;
mod kernel;
mod lifecycle;
mod live;
mod log;
mod names;
mod own_libc;
#[cfg_attr(not(target_arch = "x86_64"), path = "no_patch.rs")]
mod patch;
mod pieces;
mod process;
mod reach;
mod real;
mod recording;
mod rights;
mod sample;
mod settings;
mod sites;
mod snapshot;
mod stack;
mod sys;
#[cfg(test)]
mod testing;
mod thread;
mod unwind;
mod verify;
mod wiped;
