//! The configuration of a check, from its file.

use crate::input_file;
use crate::terminal::term;
use skipheap_compare::gate::config::{Config, NAME, parse};
use std::path::Path;
use std::{fmt, io};

/// Reads `path`, or [`NAME`] in the current folder if there is one.
///
/// # Errors
/// When it cannot be read or has a mistake: the file, the line, what is wrong.
pub(crate) fn read(path: Option<&Path>) -> io::Result<Config> {
    let default = Path::new(NAME);
    let read = input_file::text(path.unwrap_or(default));
    let text = match (read, path) {
        (Err(error), None) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Config::default());
        }
        (read, _) => read.map_err(|error| named(path.unwrap_or(default), error.kind(), &error))?,
    };
    let path = path.unwrap_or(default);
    let mut config =
        parse(&text).map_err(|error| named(path, io::ErrorKind::InvalidData, &error))?;
    config.path = Some(path.to_owned());
    Ok(config)
}

/// An error with the name of the file in front.
fn named(path: &Path, kind: io::ErrorKind, error: &dyn fmt::Display) -> io::Error {
    io::Error::new(kind, format!("{}: {error}", term::path(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_an_error_only_where_it_was_named() {
        let said = read(Some(Path::new("/no/such.toml"))).unwrap_err();
        assert!(said.to_string().starts_with("/no/such.toml: "), "{said}");
    }
}
