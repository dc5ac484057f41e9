//! Processes of a session that are still there when its command has ended: daemons, and what was started in the
//! background. They are told by what they have mapped of a recording, also when that is the one of the process
//! that they were forked from; or by their environment, in which they carry the session on to what they
//! start.

use crate::load::EXTENSION;
use crate::session::Place;
use crate::signals;
use skipheap_config::settings::SESSION;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long processes have to end by themselves that are about to: children that their parent did not wait
/// for.
const GRACE: Duration = Duration::from_millis(50);
/// Between two looks, at first and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(100)];

/// A process of a session that has not ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Running {
    /// Its process id.
    pub(crate) pid: u32,
    /// Path of its executable.
    pub(crate) exe: String,
    /// Whether it records, or will with its first allocation. Otherwise only programs that it starts do.
    pub(crate) is_recorded: bool,
}

/// The processes of the session that run now, but this one.
pub(crate) fn processes(place: &Place) -> Vec<Running> {
    let path = place.path.as_os_str().as_bytes();
    let environment = [SESSION.as_bytes(), b"=", path].concat();
    let own = std::process::id();
    let began = place.began.unwrap_or(0);
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_younger = |pid: &u32| *pid != own && start_of(*pid).is_some_and(|start| start >= began);
    let mut found: Vec<Running> = ids
        .filter(is_younger)
        .filter_map(|pid| {
            let is_recorded = has_mapped(pid, &place.folders);
            (is_recorded || carries(pid, &environment)).then(|| Running {
                pid,
                exe: exe_of(pid),
                is_recorded,
            })
        })
        .collect();
    found.sort_by_key(|process| process.pid);
    found
}

/// Waits until no process of the session runs any more, or a signal ends the waiting.
pub(crate) fn wait_for_all(place: &Place) {
    wait(place, None, signals::is_waiting_over);
}

/// Waits a moment for those that are about to end.
pub(crate) fn wait_a_moment(place: &Place) {
    wait(place, Some(GRACE), || false);
}

fn wait(place: &Place, limit: Option<Duration>, is_enough: impl Fn() -> bool) {
    let start = Instant::now();
    let [mut pause, longest] = PAUSES;
    while !processes(place).is_empty() {
        let is_over = limit.is_some_and(|limit| start.elapsed() >= limit);
        if is_over || is_enough() {
            return;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(longest);
    }
}

/// When this process started; see [`Place::began`].
pub(crate) fn own_start() -> Option<u64> {
    start_of(std::process::id())
}

/// When a process started, in clock ticks since the machine did.
fn start_of(pid: u32) -> Option<u64> {
    /// Fields of proc(5)'s `stat` between the command, which may hold anything, and `starttime`.
    const BETWEEN: usize = 19;
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let behind = stat.iter().rposition(|&byte| byte == b')')?;
    let fields = str::from_utf8(stat.get(behind + 1..)?).ok()?;
    fields.split_whitespace().nth(BETWEEN)?.parse().ok()
}

/// Returns whether the process has mapped a recording in one of these folders.
fn has_mapped(pid: u32, folders: &[PathBuf]) -> bool {
    let maps = fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
    let is_ours = |line: &[u8]| {
        let name = line.strip_suffix(b" (deleted)").unwrap_or(line);
        let Some((path, _)) = name
            .strip_suffix(EXTENSION.as_bytes())
            .and_then(|stem| Some(stem.split_at(stem.iter().rposition(|&byte| byte == b'/')?)))
        else {
            return false;
        };
        // What a process sees under another name has the same end.
        folders.iter().any(|folder| {
            let name = folder.file_name().unwrap_or_default().as_bytes();
            path.ends_with(name) && path.get(path.len() - name.len() - 1) == Some(&b'/')
        })
    };
    maps.split(|&byte| byte == b'\n').any(is_ours)
}

/// Returns whether the process was started with this entry in its environment and a library of ours
/// preloaded.
fn carries(pid: u32, entry: &[u8]) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let mut entries = environment.split(|&byte| byte == 0);
    let is_preloaded = |entry: &[u8]| {
        entry.starts_with(b"LD_PRELOAD=")
            && memchr::memmem::find(entry, b"libskipheap.so").is_some()
    };
    entries.clone().any(|one| one == entry) && entries.any(is_preloaded)
}

/// Path of the executable of a process, or its name where that may not be read.
fn exe_of(pid: u32) -> String {
    let exe = fs::read_link(format!("/proc/{pid}/exe"));
    let name = || fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    let bytes = match exe {
        Ok(path) => path.into_os_string().into_encoded_bytes(),
        Err(_) => name().trim_ascii_end().to_vec(),
    };
    String::from_utf8_lossy(&bytes).into_owned()
}
