//! The few lines on standard error.
//!
//! The program may have closed descriptor 2 by the time of the report (coreutils do, in an exit
//! handler), or have opened something else under that number. So a duplicate is made at start, far
//! above the numbers that programs use, and before each line the file behind it is compared with
//! the one that was there at start: a descriptor that is not ours is never written to. A process that
//! may have no such number, or is to be quiet, has no duplicate: there the lines at the end are
//! written if descriptor 2 is still what it was.
//!
//! Runs in cold sections with all signals blocked: a closed pipe raises SIGPIPE, which is taken
//! back before the mask is restored. Must not allocate or panic.

use crate::settings::settings;
use crate::sys;
use core::ffi::c_int;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};

static COPY: AtomicI32 = AtomicI32::new(-1);
static DEVICE: AtomicU64 = AtomicU64::new(0);
static INODE: AtomicU64 = AtomicU64::new(0);

/// Remembers where standard error goes now.
pub(crate) fn remember_stderr() {
    let Some((device, inode)) = sys::identity(2) else {
        return;
    };
    DEVICE.store(device, Relaxed);
    INODE.store(inode, Relaxed);
    if !settings().quiet {
        COPY.store(sys::high_copy(2), Relaxed);
    }
}

/// Writes one of the three lines of the original profiler, which `SKIP_HEAP_QUIET` leaves out, as
/// [`line()`] does.
pub(crate) fn seed_line(parts: &[&[u8]]) {
    if !settings().quiet {
        line(parts);
    }
}

/// Writes one line, or nothing when standard error is gone. `\n` is added.
pub(crate) fn line(parts: &[&[u8]]) {
    let ours = (DEVICE.load(Relaxed), INODE.load(Relaxed));
    let copy = COPY.load(Relaxed);
    let Some(fd) = [copy, 2]
        .into_iter()
        .find(|&fd| fd >= 0 && ours != (0, 0) && sys::identity(fd) == Some(ours))
    else {
        return;
    };
    // One write for each line, so that lines of several processes do not mix.
    let mut buffer = [0; 1536];
    let mut len = 0;
    for &byte in parts.iter().copied().flatten() {
        if len < buffer.len() - 1 {
            buffer[len] = byte;
            len += 1;
        }
    }
    buffer[len] = b'\n';
    write(fd, &buffer[..=len]);
}

fn write(fd: c_int, mut bytes: &[u8]) {
    let was_pending = sys::is_pending(libc::SIGPIPE);
    while !bytes.is_empty() {
        // SAFETY: the buffer is as long as said.
        let n = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
        if n > 0 {
            bytes = bytes.get(n as usize..).unwrap_or(&[]);
            continue;
        }
        match sys::errno() {
            libc::EINTR => {}
            libc::EPIPE if !was_pending => return sys::take_pending(libc::SIGPIPE),
            _ => return,
        }
    }
}
