//! Debug files from a debuginfod server, fetched and kept by elfutils' own client.

use crate::profile::sum::hex;
use crate::term;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{env, io};

/// Where the servers are; empty or unset: none is asked.
const URLS: &str = "DEBUGINFOD_URLS";
/// elfutils' client. It has time limits of its own (DEBUGINFOD_TIMEOUT).
const CLIENT: &str = "debuginfod-find";

/// What came of asking.
#[derive(Default)]
pub(super) struct Debuginfod {
    asked: u64,
    without: u64,
    /// Why the client cannot be used.
    unusable: Option<io::Error>,
}

impl Debuginfod {
    /// Only where a server is named.
    pub(super) fn from_environment() -> Option<Self> {
        env::var_os(URLS)
            .filter(|urls| !urls.is_empty())
            .map(|_| Self::default())
    }

    /// The debug file of a build, in the client's cache.
    pub(super) fn find(&mut self, build_id: &[u8]) -> Option<PathBuf> {
        if self.unusable.is_some() {
            return None;
        }
        let started = Command::new(CLIENT)
            .args(["debuginfo", &hex(build_id)])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output();
        let output = match started {
            Ok(output) => output,
            Err(error) => {
                self.unusable = Some(error);
                return None;
            }
        };
        self.asked += 1;
        let mut path = output.stdout;
        while path.last() == Some(&b'\n') {
            path.pop();
        }
        if !output.status.success() || path.is_empty() {
            self.without += 1;
            return None;
        }
        Some(OsString::from_vec(path).into())
    }

    /// What there is to say at the end.
    pub(super) fn complaint(&self) -> Option<String> {
        if let Some(error) = &self.unusable {
            return Some(format!(
                "{URLS} is set, but {CLIENT} cannot be run ({error}); Debian's package debuginfod brings it, or unset \
                 {URLS}"
            ));
        }
        (self.without > 0).then(|| {
            let asked = term::counted(self.asked, "object file", "object files");
            format!(
                "debuginfod has no debug information for {} of {asked}",
                self.without
            )
        })
    }
}
