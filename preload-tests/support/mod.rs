//! What every test needs: fixtures, runs with a time-out, reports.

mod build;
mod callgrind;
mod emulated;
mod library;
mod musl;
mod process;
mod recordings;
mod report;

pub(crate) use build::{Source, copied, fixture_dir, patched_copy, script};
pub(crate) use callgrind::instructions;
pub(crate) use emulated::is_emulated;
pub(crate) use library::{library, tool};
pub(crate) use musl::{is_musl, musl_gcc, musl_loader};
pub(crate) use process::{Outcome, Run, Running};
pub(crate) use recordings::{read_recording, recordings};
pub(crate) use report::{HEADER, Report, Row, expected, is_system_frame};

/// Runs a tool of the build machine (`nm`, `objdump` ...) and returns what it prints.
///
/// # Panics
/// When it cannot be started or fails: the test would prove nothing.
pub(crate) fn output_of(program: &str, args: &[&str]) -> String {
    let output = std::process::Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
    assert!(
        output.status.success(),
        "{program} {args:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
