//! A copy of the recording in a file of its own, while the process runs.
//!
//! Runs in cold sections. Its memory comes from the kernel and not from the heap: that there is none
//! is an answer here, and no reason to end the recording.

use crate::process::Process;
use crate::recording::{Recording, SUFFIX, decimal, join};
use crate::settings::{PATH_LEN, settings};
use crate::{live, log, sys};
use core::ffi::c_int;
use core::slice;
use core::sync::atomic::Ordering::Relaxed;
use skipheap_format::settle::{mark_snapshot, settle};

/// Longest part of a label in a file name.
const LONGEST_LABEL: usize = 64;

/// Private memory, given back when dropped.
struct Room(&'static mut [u8]);

impl Room {
    fn new(len: usize) -> Option<Self> {
        let start = sys::map_private(len);
        // SAFETY: a fresh mapping of that length, initialised with zeros, which nobody else has.
        (!start.is_null()).then(|| Self(unsafe { slice::from_raw_parts_mut(start, len) }))
    }

    fn copy_of(recording: &Recording) -> Option<Self> {
        let room = Self::new(recording.written())?;
        let copied = recording.copy_into(room.0);
        (copied == room.0.len()).then_some(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `new`, and the reference to it ends here.
        unsafe { sys::unmap(self.0.as_mut_ptr(), self.0.len()) };
    }
}

/// Writes the recording beside itself and says where, when nobody else does; false when that cannot be
/// done.
pub(crate) fn write(process: &Process, label: &[u8]) -> bool {
    let recording = &process.recording;
    let mut path = [0; PATH_LEN];
    let Some(fd) = create(recording, label, &mut path) else {
        return false;
    };
    live::sum_up(process);
    let moving = process.threads.ended.lock();
    let first = Room::copy_of(recording);
    drop(moving);
    let copied = first.and_then(|first| {
        let second = Room::copy_of(recording)?;
        settle(first.0, second.0);
        Some(second)
    });
    let written = copied.is_some_and(|copy| {
        mark_snapshot(copy.0, sys::now_ns());
        write_all(fd, copy.0)
    });
    sys::close(fd);
    if !written {
        sys::unlink(&path);
    } else if settings().session.get().is_empty() {
        let name = path.split(|&byte| byte == 0).next().unwrap_or(&[]);
        log::line(&[b"heap profiler: wrote snapshot to ", name]);
    }
    written
}

/// Creates `RECORDING.N-LABEL.skipheap-rec`.
fn create(recording: &Recording, label: &[u8], path: &mut [u8; PATH_LEN]) -> Option<c_int> {
    let own = recording.path()?.split(|&byte| byte == 0).next()?;
    let stem = own.strip_suffix(SUFFIX)?;
    let mut digits = [0; 10];
    let number = recording.snapshots.fetch_add(1, Relaxed).wrapping_add(1);
    let number = decimal(&mut digits, number);
    let mut name = [0; LONGEST_LABEL];
    let label = file_name_of(label, &mut name);
    let dash: &[u8] = if label.is_empty() { b"" } else { b"-" };
    let parts = [stem, b".", number, dash, label, SUFFIX, b"\0"];
    join(path, parts.into_iter()).ok()?;
    sys::create_exclusively(path).ok()
}

/// The label as a part of a file name.
fn file_name_of<'n>(label: &[u8], name: &'n mut [u8; LONGEST_LABEL]) -> &'n [u8] {
    let len = label.len().min(LONGEST_LABEL);
    for (to, &from) in name.iter_mut().zip(label) {
        let plain = from.is_ascii_alphanumeric() || matches!(from, b'-' | b'_' | b'.');
        *to = if plain { from } else { b'_' };
    }
    name.get(..len).unwrap_or(&[])
}

fn write_all(fd: c_int, mut bytes: &[u8]) -> bool {
    let was_pending = sys::is_pending(libc::SIGXFSZ);
    while !bytes.is_empty() {
        // SAFETY: the descriptor is ours, the bytes are as many as said.
        let n = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
        if n > 0 {
            bytes = bytes.get(n as usize..).unwrap_or(&[]);
            continue;
        }
        match sys::errno() {
            libc::EINTR => {}
            // Beyond the file size limit the kernel raises a signal, which would end the program.
            libc::EFBIG if !was_pending => {
                sys::take_pending(libc::SIGXFSZ);
                return false;
            }
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_no_path() {
        let mut name = [0; LONGEST_LABEL];
        assert_eq!(file_name_of(b"../a b\xffc", &mut name), b".._a_b_c");
        assert_eq!(file_name_of(b"", &mut name), b"");
        assert_eq!(
            file_name_of(&[b'x'; 1000], &mut name),
            [b'x'; LONGEST_LABEL]
        );
    }
}
