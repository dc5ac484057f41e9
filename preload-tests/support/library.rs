//! Where the tool and the library under test are.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The tool, built by cargo for this run.
pub(crate) fn tool() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_skip-heapprof"))
}

/// The library that the tool carries, placed where the tool places it: what users get, optimised
/// as users get it.
pub(crate) fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        if let Some(path) = super::emulated::library() {
            return path;
        }
        let printed = super::output_of(&tool().to_string_lossy(), &["library"]);
        let path = PathBuf::from(printed.trim_end());
        assert!(
            path.is_file(),
            "`skip-heapprof library` printed {printed:?}"
        );
        path
    })
}
