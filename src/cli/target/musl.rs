//! Which musl it is. Before version 1.2.2, `aligned_alloc` and its kin return no memory in a program whose malloc
//! another library has: the program would not run as it does without the profiler.

use std::path::Path;
use std::process::{Command, Stdio};

/// The first version whose `aligned_alloc` can be replaced as well.
const FIRST: [u32; 3] = [1, 2, 2];

/// The version of a musl that is too old; `None` also where it cannot be told. musl's loader tells it when it is
/// executed without a program.
pub(super) fn too_old(loader: &Path) -> Option<String> {
    let mut command = Command::new(loader);
    command.env_clear().stdin(Stdio::null());
    let said = command.output().ok()?.stderr;
    let version = version_in(&String::from_utf8_lossy(&said))?;
    (numbers(&version)? < FIRST).then_some(version)
}

fn version_in(said: &str) -> Option<String> {
    let mut versions = said
        .lines()
        .filter_map(|line| line.strip_prefix("Version "));
    versions.next().map(|version| version.trim().to_owned())
}

/// The numbers of a version such as `1.2.5` or `1.2.5-git-3-g1f2c`.
fn numbers(version: &str) -> Option<[u32; 3]> {
    let mut parts = version.split(['.', '-']).map(str::parse);
    let mut next = || parts.next()?.ok();
    Some([next()?, next()?, next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_loader_says() {
        let said = "musl libc (x86_64)\nVersion 1.1.24\nDynamic Program Loader\nUsage: ...\n";
        assert_eq!(version_in(said), Some("1.1.24".to_owned()));
        assert_eq!(version_in("Segmentation fault\n"), None);
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for old in ["1.1.24", "1.2.1", "0.9.15", "1.2.1-git-12-gabc"] {
            assert!(numbers(old).unwrap() < FIRST, "{old}");
        }
        for new in ["1.2.2", "1.2.10", "1.3.0", "2.0.0", "1.2.5-git-1-gabc"] {
            assert!(numbers(new).unwrap() >= FIRST, "{new}");
        }
        assert_eq!(numbers("unknown"), None);
    }
}
