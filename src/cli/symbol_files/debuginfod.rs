//! Debug files from a debuginfod server, fetched and kept by elfutils' own client.
//!
//! A server may never answer, and the client's own limit (`DEBUGINFOD_TIMEOUT`) holds for each file: all requests
//! together have one limit here, after which only files that the client has kept are taken.

use crate::terminal::term;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use skipheap_profile::sum::hex;
use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Where the servers are; empty or unset: none is asked.
const URLS: &str = "DEBUGINFOD_URLS";
/// elfutils' client.
const CLIENT: &str = "debuginfod-find";
/// How long all requests may take together, in seconds.
const LIMIT: &str = "SKIP_HEAP_DEBUGINFOD_TIMEOUT";
/// That limit where the variable is unset.
const DEFAULT_LIMIT: u64 = 10;
/// Waiting that is longer is announced.
const SILENCE: Duration = Duration::from_secs(1);

/// Milliseconds that were spent on requests. One for the process: several readers of a merge ask at once.
static SPENT: AtomicU64 = AtomicU64::new(0);
/// Whether it was said that a server is waited for.
static ANNOUNCED: AtomicBool = AtomicBool::new(false);
/// Whether it was said that the limit was reached.
static COMPLAINED: AtomicBool = AtomicBool::new(false);

/// The limit of all requests.
///
/// # Errors
/// When the variable's value is no number of seconds: a sentence.
pub(crate) fn limit() -> Result<Duration, String> {
    let value = env::var_os(LIMIT).unwrap_or_default();
    limit_of(&value.to_string_lossy())
}

fn limit_of(value: &str) -> Result<Duration, String> {
    let seconds = match value {
        "" => Ok(DEFAULT_LIMIT),
        text => text.parse::<u32>().map(u64::from),
    };
    seconds.map(Duration::from_secs).map_err(|_| {
        let value = term::printable(value);
        format!("{LIMIT} \"{value}\": a whole number of seconds, such as {DEFAULT_LIMIT}")
    })
}

/// What came of asking.
pub(super) struct Debuginfod {
    limit: Duration,
    asked: u64,
    without: u64,
    /// Object files for which no answer came within the limit.
    unanswered: u64,
    /// Why the client cannot be used.
    unusable: Option<io::Error>,
}

impl Debuginfod {
    /// Only where a server is named.
    pub(super) fn from_environment() -> Option<Self> {
        env::var_os(URLS)
            .filter(|urls| !urls.is_empty())
            .map(|_| Self {
                limit: limit().unwrap_or(Duration::from_secs(DEFAULT_LIMIT)),
                asked: 0,
                without: 0,
                unanswered: 0,
                unusable: None,
            })
    }

    /// The debug file of a build, in the client's cache.
    pub(super) fn find(&mut self, build_id: &[u8]) -> Option<PathBuf> {
        if self.unusable.is_some() {
            return None;
        }
        self.asked += 1;
        let left = self
            .limit
            .saturating_sub(Duration::from_millis(SPENT.load(Relaxed)));
        let answer = match left.is_zero() {
            true => Ok(None),
            false => self.ask(build_id, left),
        };
        match answer {
            Ok(Some(path)) if path.is_empty() => {
                self.without += 1;
                None
            }
            Ok(Some(path)) => Some(OsString::from_vec(path).into()),
            Ok(None) => {
                let kept = kept(build_id);
                self.unanswered += u64::from(kept.is_none());
                kept
            }
            Err(error) => {
                self.unusable = Some(error);
                None
            }
        }
    }

    /// What the client prints: a path, or nothing where no server has the file; `None` when the time is over.
    fn ask(&self, build_id: &[u8], left: Duration) -> io::Result<Option<Vec<u8>>> {
        let begin = Instant::now();
        let mut client = Command::new(CLIENT)
            .args(["debuginfo", &hex(build_id)])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let printed = match client.stdout.take() {
            Some(pipe) => read_within(OwnedFd::from(pipe), begin, left, self.limit),
            None => Ok(None),
        };
        if !matches!(printed, Ok(Some(_))) {
            // It has ended if that fails.
            let _ = client.kill();
        }
        let status = client.wait();
        let spent = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        SPENT.fetch_add(spent, Relaxed);
        let Some(mut path) = printed? else {
            return Ok(None);
        };
        while path.last() == Some(&b'\n') {
            path.pop();
        }
        if !status?.success() {
            path.clear();
        }
        Ok(Some(path))
    }

    /// What there is to say at the end.
    pub(super) fn complaint(&self) -> Option<String> {
        if let Some(error) = &self.unusable {
            return Some(format!(
                "{URLS} is set, but {CLIENT} cannot be run ({error}); Debian's package debuginfod brings it, or unset \
                 {URLS}"
            ));
        }
        let asked = term::counted(self.asked, "object file", "object files");
        if self.unanswered > 0 {
            return (!COMPLAINED.swap(true, Relaxed)).then(|| {
                format!(
                    "debuginfod did not answer within {} s: names or lines of {} of {asked} may be missing; set \
                     {LIMIT} to wait longer, or unset {URLS}",
                    self.limit.as_secs(),
                    self.unanswered
                )
            });
        }
        (self.without > 0).then(|| {
            format!(
                "debuginfod has no debug information for {} of {asked}",
                self.without
            )
        })
    }
}

/// Reads a pipe up to its end; `None` when that has not come after the time that is left. Processes that the client
/// started may hold the pipe when it has been killed.
fn read_within(
    pipe: OwnedFd,
    begin: Instant,
    left: Duration,
    limit: Duration,
) -> io::Result<Option<Vec<u8>>> {
    let mut pipe = File::from(pipe);
    let mut bytes = Vec::new();
    loop {
        let elapsed = begin.elapsed();
        let wait = left.saturating_sub(elapsed);
        if wait.is_zero() {
            return Ok(None);
        }
        if elapsed >= SILENCE && !ANNOUNCED.swap(true, Relaxed) {
            let limit = limit.as_secs();
            term::say(&format!(
                "skip-heapprof: waiting for debuginfod, {limit} s at most\n"
            ));
        }
        // A second is no error of the conversion.
        let wait = Timespec::try_from(wait.min(SILENCE)).ok();
        match poll(&mut [PollFd::new(&pipe, PollFlags::IN)], wait.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => {
                let mut buffer = [0; 4096];
                match pipe.read(&mut buffer)? {
                    0 => return Ok(Some(bytes)),
                    read => bytes.extend_from_slice(&buffer[..read]),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// A debug file that the client has kept from another time.
fn kept(build_id: &[u8]) -> Option<PathBuf> {
    let below = |name: &str, folder: &str| {
        let base = env::var_os(name).filter(|base| !base.is_empty())?;
        Some(PathBuf::from(base).join(folder))
    };
    let cache = below("DEBUGINFOD_CACHE_PATH", "")
        .or_else(|| below("XDG_CACHE_HOME", "debuginfod_client"))
        .or_else(|| below("HOME", ".cache/debuginfod_client"))?;
    let file = cache.join(hex(build_id)).join("debuginfo");
    // An empty one says that no server had it.
    let is_kept = file.metadata().is_ok_and(|data| data.len() > 0);
    is_kept.then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_a_number_of_seconds() {
        assert_eq!(limit_of(""), Ok(Duration::from_secs(DEFAULT_LIMIT)));
        assert_eq!(limit_of("0"), Ok(Duration::ZERO));
        assert_eq!(limit_of("90"), Ok(Duration::from_secs(90)));
        for wrong in ["-1", "10s", "1.5", " ", "99999999999"] {
            let said = limit_of(wrong).unwrap_err();
            assert!(said.contains("a whole number of seconds"), "{said}");
        }
    }
}
