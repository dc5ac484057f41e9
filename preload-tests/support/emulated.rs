//! Programs of another architecture, which start under an emulator: `scripts/aarch64` runs some of the
//! tests so. The tests themselves, and the tool that reads recordings, are this machine's.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What the emulator is told by.
const VARIABLES: [&str; 2] = ["QEMU_LD_PREFIX", "QEMU_CPU"];

/// Returns whether the C and C++ programs of this run of the tests are built for AArch64.
pub(crate) fn is_emulated() -> bool {
    std::env::var("PRELOAD_TESTS_TARGET").is_ok_and(|target| target == "aarch64")
}

/// The library for these programs.
pub(super) fn library() -> Option<PathBuf> {
    is_emulated().then(|| {
        let path = std::env::var_os("PRELOAD_TESTS_LIBRARY");
        path.expect("PRELOAD_TESTS_LIBRARY, a library for AArch64")
            .into()
    })
}

/// The compiler of this name for these programs.
pub(super) fn compiler(name: &str) -> Option<String> {
    is_emulated().then(|| format!("aarch64-linux-gnu-{name}"))
}

/// The system's program of this path: that of the folder in which the emulator finds libraries, if it is
/// there.
pub(super) fn program(path: &OsStr) -> PathBuf {
    let inside = |root: String| {
        let below = Path::new(path).strip_prefix("/").ok()?;
        Some(Path::new(&root).join(below)).filter(|path| path.is_file())
    };
    let root = std::env::var("QEMU_LD_PREFIX").ok();
    let found = root.filter(|_| is_emulated()).and_then(inside);
    found.unwrap_or_else(|| path.into())
}

/// What each program's environment needs.
pub(super) fn environment() -> impl Iterator<Item = (&'static str, String)> {
    VARIABLES
        .into_iter()
        .filter_map(|name| Some((name, std::env::var(name).ok()?)))
}
