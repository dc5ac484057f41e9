//! The note about functions that have no names because the file of their module is missing.

use crate::symbol_files::SymbolFiles;
use crate::term::path;
use skipheap_symbolize::object_file::Missing;
use skipheap_symbolize::{Build, MissingFile, Symbolizer};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Number of files that the note names.
const NAMED: usize = 3;

/// Returns the note, or `None` if all names were found, in the files or in the user's symbol files.
pub(crate) fn remark(symbolizer: &Symbolizer, others: Option<&SymbolFiles>) -> Option<String> {
    let is_named = |file: &MissingFile<'_>| match file.build {
        Build::Id(id) => others.is_some_and(|others| others.names(id)),
        Build::File(_) => false,
    };
    let mut missing = symbolizer.missing_files();
    missing.retain(|file| !is_named(file));
    text(&missing)
}

fn text(missing: &[MissingFile<'_>]) -> Option<String> {
    let file = |file: &MissingFile<'_>| {
        let name = path(Path::new(OsStr::from_bytes(file.path)));
        let why = match file.why {
            Missing::Gone => "no longer exists",
            Missing::Unreadable => "cannot be read",
            Missing::Replaced => "has been replaced",
            Missing::NeverAFile => "is not a file",
        };
        format!("{name} {why}")
    };
    let mut files: Vec<String> = missing.iter().take(NAMED).map(file).collect();
    let more = missing.len() - files.len();
    if more > 0 {
        files.push(format!("and {more} more"));
    }
    (!files.is_empty()).then(|| format!("functions without names: {}", files.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_named_with_the_reason() {
        assert_eq!(text(&[]), None);
        let build = Build::File(None);
        let missing = [
            (&b"/tmp/a\x1b"[..], Missing::Gone),
            (b"/b", Missing::Replaced),
            (b"/c", Missing::Unreadable),
            (b"/d", Missing::Gone),
        ];
        let missing = missing.map(|(path, why)| MissingFile {
            path,
            build: &build,
            why,
        });
        assert_eq!(
            text(&missing).as_deref(),
            Some(
                "functions without names: /tmp/a\\x1b no longer exists; /b has been replaced; \
                 /c cannot be read; and 1 more"
            )
        );
    }
}
