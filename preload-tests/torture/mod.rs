//! The matrix of RELIABILITY.md: what other profilers break, or get wrong numbers from.
//!
//! Each case is a small program that runs twice, plain and under the library. Both runs must end
//! the same way and print the same; the report must have the exact counts, or a line on standard
//! error says what is missing.

mod bad_input;
mod ends;
mod forks;
mod frames;
mod host;
mod interposed;
mod kernel;
mod life;
mod live;
mod loader;
mod real_programs;
mod stacks;
mod threads;
mod whole_stacks;

use crate::support::{Outcome, Run};

/// How the lines of the library on standard error begin.
const OUR_LINES: [&str; 2] = ["heap profiler: ", "Dumping log of size "];

/// Runs the program that `arrange` describes, plain and under the library, and returns the second.
///
/// # Panics
/// When the two do not end with the same status, the same standard output, and the same standard
/// error but for the library's own lines.
fn same_as_plain(arrange: impl Fn(Run) -> Run, program: &std::path::Path) -> Outcome {
    let plain = arrange(Run::plain(program)).finish();
    let profiled = arrange(Run::preloaded(program)).finish();
    assert_eq!(
        profiled.status, plain.status,
        "plain {plain:?}\nprofiled {profiled:?}"
    );
    assert_eq!(profiled.stdout, plain.stdout, "{profiled:?}");
    assert_eq!(
        programs_lines(&profiled.stderr),
        programs_lines(&plain.stderr)
    );
    profiled
}

/// What the program itself wrote on standard error.
fn programs_lines(stderr: &str) -> Vec<&str> {
    stderr
        .lines()
        .filter(|line| !OUR_LINES.iter().any(|ours| line.starts_with(ours)))
        .collect()
}
