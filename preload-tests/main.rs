//! Black-box tests: real programs run under the library that the tool embeds.
//!
//! Which file a new test belongs in:
//!
//! | file | topic |
//! |---|---|
//! | `address_space.rs` | address space, locked memory, limits that the program sets itself, old kernels |
//! | `csv.rs` | the report as a file: header, quoting, order, merging of rows, frames of a row |
//! | `calls.rs` | which calls count, with which size, and that they behave as without the library |
//! | `completions.rs` | completions in the shells that are installed; bash always |
//! | `control.rs` | `skipheap.h`, and control of running processes from outside |
//! | `documents/` | tests, files and options that the documents name exist, and examples show what happens |
//! | `exports.rs` | what the library exports, links to and contains |
//! | `wrappers.rs` | who asked: allocation wrappers of C++, Rust and the user are trimmed |
//! | `builds.rs` | names and counts for every way to build a program: options, stripping, debug files |
//! | `stacks.rs` | unusual stacks: recursion, coroutines, signal handlers, aligned frames, exceptions |
//! | `settings.rs` | environment variables, which programs are profiled, what is printed |
//! | `life.rs` | how a process starts and ends: exit in all forms, fork, vfork, signals, closed descriptors |
//! | `limits.rs` | a missing folder, no room on disk, too little memory |
//! | `threads.rs` | exact counts with threads, and memory with many of them |
//! | `modules.rs` | dlopen and dlclose |
//! | `musl.rs` | programs of musl, and trees of both C libraries |
//! | `hooks.rs` | hooks on functions by name: statically linked allocators, ObStack, what cannot be hooked |
//! | `timeline.rs` | live bytes over time, and peaks: of one process, of several, of a sample |
//! | `tool.rs` | the command-line tool |
//! | `ci.rs` | `check` in the GitHub Action, the GitLab template and the examples |
//! | `gate/` | `diff` and `check` on real programs |
//! | `sums.rs` | totals, peak, timeline, rows and leaks are sums of the same allocations |
//! | `regions.rs` | the live heap of Skip programs: objects die with their page |
//! | `reports.rs` | all columns, collapsed stacks, the live heap in the summary |
//! | `leaks.rs` | the leak check, and that it finds what valgrind finds |
//! | `sampling.rs` | estimates from samples |
//! | `top.rs` | the full-screen view of a running process |
//! | `terminal.rs` | what is printed for people: width, colours, order, the call tree |
//! | `trees.rs` | the tool with several processes, and recordings that are kept |
//! | `daemons.rs` | processes that still run when the command has ended |
//! | `jit.rs` | code that is made at run time, and its names |
//! | `large_trees.rs` | hundreds of processes, programs that are left out or cannot be followed |
//! | `torture/` | the matrix of RELIABILITY.md: each case is run plain and under the library |
//! | `users.rs` | other users of the machine, and processes that give up their rights |
//! | `verify.rs` | the stack verifier: every stack compared with a second unwinder |
//! | `oracle.rs` | real programs, compared with a simple counter of its own |
//! | `missing_calls.rs` | kernels and sandboxes without a system call that the library or the tool uses |
//! | `formats.rs` | every format of profiles, read by programs that are not ours (`readers/`) |
//! | `fleet.rs` | `merge`: many runs as one profile; `--push` |
//! | `names.rs` | names of functions whose file is gone, replaced or out of reach |
//! | `symbols.rs` | names and lines from `--symbols` and debuginfod |
//! | `manners.rs` | how the tool ends: signals, command lines that it refuses, what it leaves behind |
//! | `outputs.rs` | inputs that are read once and spared, files that are written or not, endings, what is missing |
//! | `profiles.rs`, `profile_summaries.rs` | `.skipheap` profiles: the same reports as of recordings |
//! | `live_oracle/` | the live heap, compared figure by figure with an event log of the same run |
//! | `instructions.rs` | the budget of instructions for one allocation |
//!
//! `support` builds the fixtures of `programs/`, runs them with a time-out and reads reports.
//! A fixture is a few lines long and shows one behaviour; where a whole report is compared, the
//! expected one lies beside it (`programs/NAME.csv`, frames of libc and the loader written as
//! `libc`, because their names depend on what is installed).

// What a failing test prints is for its author.
#![allow(clippy::disallowed_methods)]

mod address_space;
mod builds;
mod calls;
mod ci;
mod completions;
mod control;
mod csv;
mod daemons;
mod documents;
mod exports;
mod fleet;
mod formats;
mod gate;
mod hooks;
mod hostile;
mod instructions;
mod jit;
mod large_trees;
mod late_hooks;
mod leaks;
mod life;
mod limits;
mod live_oracle;
mod manners;
mod missing_calls;
mod modules;
mod musl;
mod names;
mod oracle;
mod outputs;
mod profile_summaries;
mod profiles;
mod regions;
mod reports;
mod sampling;
mod settings;
mod skip_runtimes;
mod stacks;
mod sums;
mod support;
mod symbols;
mod terminal;
mod threads;
mod timeline;
mod tool;
mod top;
mod torture;
mod trees;
mod users;
mod verify;
mod wrappers;
