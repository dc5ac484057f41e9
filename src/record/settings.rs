//! Names, values and defaults of the environment variables: one table for the library, the tool
//! and the README.

/// Which programs are profiled; see [`Mode`].
pub(crate) const PROFILE: &str = "SKIP_HEAP_PROFILE";
/// Globs of program names to profile, `!` to exclude; see [`super::filter`].
pub(crate) const PROGRAMS: &str = "SKIP_HEAP_PROGRAMS";
/// Globs of further functions to trim from the stacks like allocation wrappers.
pub(crate) const TRIM: &str = "SKIP_HEAP_TRIM";
/// Folder in which the library leaves its recordings for the tool, set by the tool: the library
/// then prints nothing and writes no CSV.
pub(crate) const SESSION: &str = "SKIP_HEAP_SESSION";
/// `1`: keep the recording beside the CSV.
pub(crate) const KEEP: &str = "SKIP_HEAP_KEEP";

/// Values that [`PROFILE`] accepts, for messages.
pub(crate) const PROFILE_VALUES: &str =
    "0 (off), 1 (every program but the Skip compiler), 2 (the Skip compiler too)";

/// What [`PROFILE`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `0`: load the library and do nothing.
    Off,
    /// Unset, empty or `1`: every program but the Skip compiler.
    Programs,
    /// `2`: the Skip compiler too.
    CompilerToo,
}

impl Mode {
    /// Reads the value of [`PROFILE`]; `None` when it is none of the accepted ones.
    pub(crate) fn parse(value: Option<&[u8]>) -> Option<Self> {
        match value {
            None | Some(b"" | b"1") => Some(Self::Programs),
            Some(b"0") => Some(Self::Off),
            Some(b"2") => Some(Self::CompilerToo),
            Some(_) => None,
        }
    }
}
