//! Resident memory of the process.
//!
//! The kernel tells it in a file, which is opened once, and kept under a number far above those that programs
//! use: to open it again and again would each time take, for a moment, the lowest free number, and another thread of
//! the program may just have made that free for itself. Before each look the file is compared with the one that was
//! opened: the program may have closed it, or all that it did not open.
//!
//! Cold sections.

use crate::sys;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};

/// Bytes of a page, in which the kernel counts.
const PAGE: u64 = 4096;

// All kept across fork: a child puts its own file in the place of its parent's.
static DESCRIPTOR: AtomicI32 = AtomicI32::new(-1);
static DEVICE: AtomicU64 = AtomicU64::new(0);
static INODE: AtomicU64 = AtomicU64::new(0);

/// The descriptor, while it is ours.
fn descriptor() -> Option<i32> {
    let known = (DEVICE.load(Relaxed), INODE.load(Relaxed));
    let fd = DESCRIPTOR.load(Relaxed);
    (fd >= 0 && sys::identity(fd) == Some(known)).then_some(fd)
}

/// Opens the file of this process.
pub(super) fn begin() {
    let inherited = descriptor();
    let low = sys::open_to_read(b"/proc/self/statm\0");
    let high = match inherited {
        Some(parents) if low >= 0 => sys::copy_over(low, parents),
        Some(parents) => {
            sys::close(parents);
            -1
        }
        None => sys::high_copy(low),
    };
    if low >= 0 {
        sys::close(low);
    }
    DESCRIPTOR.store(high, Relaxed);
    if let Some((device, inode)) = sys::identity(high) {
        DEVICE.store(device, Relaxed);
        INODE.store(inode, Relaxed);
    }
}

/// Bytes; 0 when that cannot be known.
pub(super) fn bytes() -> u64 {
    let Some(fd) = descriptor() else {
        return 0;
    };
    let mut buffer = [0; 128];
    let statm = sys::read_start(fd, &mut buffer);
    let digits = statm.split(|&c| c == b' ').nth(1).unwrap_or(&[]);
    digits.iter().fold(0, |sum, digit| {
        sum * 10 + u64::from(digit.wrapping_sub(b'0'))
    }) * PAGE
}
