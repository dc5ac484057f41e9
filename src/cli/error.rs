//! How the tool ends when it does not end as the program did.

use std::path::Path;
use std::{fmt, io};

/// Exit statuses of the tool itself; see `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// An input cannot be used. clap uses the same for a wrong command line.
    Unusable = 2,
    /// Of a check: the data are cannot be compared.
    Unfit = 3,
    /// The profiler failed, or cannot profile the program. As `env`, `timeout` and `nice` have it.
    Failed = 125,
    /// The program was found but cannot be executed.
    NotExecutable = 126,
    /// The program was not found.
    NotFound = 127,
}

/// An error and the exit status that it leads to.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit status.
    pub(crate) code: Code,
    /// What to say.
    pub(crate) error: anyhow::Error,
}

impl Failure {
    /// An input or a command line that cannot be used, in a sentence.
    pub(crate) fn unusable(what: impl fmt::Display) -> Self {
        Self {
            code: Code::Unusable,
            error: anyhow::Error::msg(what.to_string()),
        }
    }

    /// For `map_err`: an error with what the tool was about to do.
    pub(crate) fn because<E>(code: Code, doing: impl fmt::Display) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let doing = doing.to_string();
        move |error| Self {
            code,
            error: anyhow::Error::new(error).context(doing),
        }
    }
}

/// For `map_err`: std's errors do not say which file.
pub(crate) fn naming(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    let path = path.to_owned();
    move |error| {
        io::Error::new(
            error.kind(),
            format!("{}: {error}", crate::terminal::term::path(&path)),
        )
    }
}
