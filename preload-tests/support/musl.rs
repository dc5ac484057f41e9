//! musl, for programs that are built with another C library than this system's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The C compiler for programs of musl, which `scripts/musl` unpacks. `None`, and a line that says so, where
/// Debian's packages cannot be had.
pub(crate) fn musl_gcc() -> Option<&'static str> {
    static COMPILER: OnceLock<Option<String>> = OnceLock::new();
    let find = || {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/musl");
        let output = Command::new(script).output().expect("scripts/musl");
        if output.status.success() {
            let path = String::from_utf8(output.stdout).expect("a path");
            return Some(path.trim_end().to_owned());
        }
        let why = String::from_utf8_lossy(&output.stderr);
        eprintln!("skipped: there is no musl, and it cannot be downloaded: {why}");
        None
    };
    COMPILER.get_or_init(find).as_deref()
}

/// Returns whether the C programs of this run of the tests are built for musl.
pub(crate) fn is_musl() -> bool {
    std::env::var("PRELOAD_TESTS_LIBC").is_ok_and(|libc| libc == "musl")
}

/// musl's loader, which is its C library too.
pub(crate) fn musl_loader() -> Option<PathBuf> {
    let folder = Path::new(musl_gcc()?).parent()?;
    Some(folder.join("lib/ld-musl-x86_64.so.1"))
}
