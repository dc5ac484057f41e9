//! The few lines on standard error.
//!
//! The program may have closed descriptor 2 by the time of the report (coreutils do, in an exit
//! handler), or have opened something else under that number. So a duplicate is made at start, far
//! above the numbers that programs use, and before each line the file behind it is compared with
//! the one that was there at start: a descriptor that is not ours is never written to.
//!
//! Runs in cold sections with all signals blocked: a closed pipe raises SIGPIPE, which is taken
//! back before the mask is restored. Must not allocate or panic.

use crate::sys;
use core::ffi::c_int;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};

/// The duplicates go to the first free number from here on, or just below the limit.
const HIGH_DESCRIPTOR: u64 = 1000;

static COPY: AtomicI32 = AtomicI32::new(-1);
static DEVICE: AtomicU64 = AtomicU64::new(0);
static INODE: AtomicU64 = AtomicU64::new(0);

fn identity(fd: c_int) -> Option<(u64, u64)> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the pointer is to room for a stat, which is read only when the call filled it.
    unsafe {
        (libc::fstat(fd, stat.as_mut_ptr()) == 0).then(|| {
            let stat = stat.assume_init();
            (stat.st_dev, stat.st_ino)
        })
    }
}

/// Remembers where standard error goes now.
pub(crate) fn remember_stderr() {
    let Some((device, inode)) = identity(2) else {
        return;
    };
    DEVICE.store(device, Relaxed);
    INODE.store(inode, Relaxed);
    let limit = sys::soft_limit(libc::RLIMIT_NOFILE);
    let from = HIGH_DESCRIPTOR.min(limit.saturating_sub(6)) as c_int;
    // SAFETY: duplicates a descriptor; nothing of the program's is replaced.
    let copy = unsafe { libc::fcntl(2, libc::F_DUPFD_CLOEXEC, from) };
    COPY.store(copy, Relaxed);
}

/// Writes one line, or nothing when standard error is gone. `\n` is added.
pub(crate) fn line(parts: &[&[u8]]) {
    let ours = (DEVICE.load(Relaxed), INODE.load(Relaxed));
    let copy = COPY.load(Relaxed);
    let Some(fd) = [copy, 2]
        .into_iter()
        .find(|&fd| fd >= 0 && ours != (0, 0) && identity(fd) == Some(ours))
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
