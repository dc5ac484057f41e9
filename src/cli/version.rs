//! What `--version` prints.

use crate::install::LIBRARY;
use crate::target::{Release, newest_needed};
use object::ReadCache;
use std::fs::File;
use std::sync::LazyLock;

/// The glibc that releases are linked for, and the oldest one that is tested. The library refers to no
/// newer symbols than those of 2.2.5, but nobody has tried it with anything that old.
const OLDEST: Release = (2, 17);

/// Returns the version, and the systems that this build runs on.
pub(crate) fn long() -> &'static str {
    static LONG: LazyLock<String> = LazyLock::new(|| {
        let tool = File::open("/proc/self/exe").ok();
        let tool = tool.and_then(|tool| newest_needed(&ReadCache::new(tool)));
        with_needs(tool.max(newest_needed(LIBRARY)))
    });
    &LONG
}

fn with_needs(newest: Option<Release>) -> String {
    let (major, minor) = newest.unwrap_or(OLDEST).max(OLDEST);
    format!(
        "{}\nneeds Linux on {} with glibc {major}.{minor} or later",
        env!("SKIPHEAP_VERSION"),
        std::env::consts::ARCH
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_version_says_which_glibc_is_needed() {
        assert!(with_needs(Some((2, 34))).ends_with("glibc 2.34 or later"));
        for old in [None, Some((2, 2)), Some((2, 17))] {
            assert!(with_needs(old).ends_with("glibc 2.17 or later"));
        }
    }

    /// This test runs, so the system has what it needs.
    #[test]
    fn this_system_is_new_enough() {
        let release = |text: &str| {
            let mut numbers = text.trim().split('.').map(str::parse::<u32>);
            let mut next = || numbers.next().expect("two numbers").expect("a number");
            (next(), next())
        };
        let system = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
        let system = String::from_utf8(system.expect("getconf").stdout).expect("UTF-8");
        let system = release(system.strip_prefix("glibc ").expect("glibc"));
        let needed = long().rsplit(' ').nth(2).expect("a release");
        assert!(release(needed) <= system, "{needed}");
    }
}
