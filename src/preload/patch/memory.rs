//! Memory for machine code: trampolines near an object, and writing into the object's own code.
//!
//! No page is ever writable and executable at once. Runs in cold sections, while the program has
//! one thread, or none that runs in the pages being written.

use core::ptr;

const PAGE: u64 = 4096;

/// How far trampolines may be from the object that they serve, so that all of both are within the
/// reach of a 32-bit displacement.
const REACH: u64 = (1 << 31) - (1 << 20);

/// Maps `len` bytes below the object that takes `start..end`, or above it. Above comes last: the
/// heap (`brk`) grows there behind an executable.
pub(crate) fn map_near(start: u64, end: u64, len: u64) -> Option<*mut u8> {
    const STEP: u64 = 1 << 16;
    let lowest = end.saturating_sub(REACH).max(STEP);
    let below = |i: u64| (start & !(STEP - 1)).checked_sub(len.next_multiple_of(STEP) + i * STEP);
    let highest = start + REACH;
    let first_above = (end + highest.saturating_sub(end) / 2).next_multiple_of(STEP);
    // Twice the distance after each failure: what is in the way is mostly large.
    let distances = core::iter::successors(Some(0_u64), |&i| Some(i + 1 + i / 4));
    let under = distances
        .clone()
        .map_while(below)
        .take_while(|&at| at >= lowest);
    let over = distances
        .map(|i| first_above + i * STEP)
        .take_while(|&at| at + len <= highest);
    under.chain(over).find_map(|at| map_at(at, len))
}

/// Maps `len` bytes at exactly this address, if nothing is there.
fn map_at(address: u64, len: u64) -> Option<*mut u8> {
    // SAFETY: a fresh anonymous mapping that replaces nothing; kernels that do not know
    // MAP_FIXED_NOREPLACE take the address as a hint.
    unsafe {
        let p = libc::mmap(
            address as *mut _,
            len as usize,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE,
            -1,
            0,
        );
        if p == libc::MAP_FAILED {
            return None;
        }
        if p as u64 != address {
            libc::munmap(p, len as usize);
            return None;
        }
        Some(p.cast())
    }
}

/// Gives a mapping of [`map_near`] back.
pub(crate) fn unmap(p: *mut u8, len: u64) {
    // SAFETY: the caller's own mapping, which nothing points into.
    unsafe {
        libc::munmap(p.cast(), len as usize);
    }
}

/// Makes written trampolines executable, and no longer writable.
pub(crate) fn make_executable(p: *mut u8, len: u64) -> bool {
    // SAFETY: the caller's own mapping.
    unsafe { libc::mprotect(p.cast(), len as usize, libc::PROT_READ | libc::PROT_EXEC) == 0 }
}

/// Replaces code that is mapped readable and executable.
///
/// The kernel writes it, by `/proc/self/mem`, which leaves the protection alone (and gives this
/// process a copy of the page, as a debugger's breakpoint does). Where that is forbidden, the
/// pages are writable and not executable for a moment.
///
/// # Safety
/// `at` is code whose replacement is sound. It is not code of this library or of the C library
/// unless `/proc` is there.
pub(crate) unsafe fn write_code(at: u64, bytes: &[u8]) -> bool {
    // SAFETY: as the caller promises.
    unsafe { write_code_by_kernel(at, bytes) || write_in_place(at, bytes) }
}

/// As [`write_code`], for any code.
///
/// # Safety
/// `at` is code whose replacement is sound.
pub(crate) unsafe fn write_code_by_kernel(at: u64, bytes: &[u8]) -> bool {
    // SAFETY: opens and closes a descriptor of our own; the write goes where the caller says.
    unsafe {
        let fd = libc::open(c"/proc/self/mem".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        if fd < 0 {
            return false;
        }
        let written = libc::pwrite(fd, bytes.as_ptr().cast(), bytes.len(), at as libc::off_t);
        libc::close(fd);
        written == bytes.len() as isize && matches(at, bytes)
    }
}

/// Returns whether the code reads as it was written.
unsafe fn matches(at: u64, bytes: &[u8]) -> bool {
    bytes.iter().enumerate().all(|(i, &byte)| {
        // SAFETY: the code is readable.
        unsafe { ptr::read_volatile((at as *const u8).add(i)) == byte }
    })
}

unsafe fn write_in_place(at: u64, bytes: &[u8]) -> bool {
    let first = at & !(PAGE - 1);
    let len = (at + bytes.len() as u64).next_multiple_of(PAGE) - first;
    // SAFETY: the pages hold code of the caller's choice, which nobody runs at this moment; they
    // are executable again before anybody can.
    unsafe {
        let pages = first as *mut libc::c_void;
        let len = len as usize;
        if libc::mprotect(pages, len, libc::PROT_READ | libc::PROT_WRITE) != 0 {
            return false;
        }
        for (i, &byte) in bytes.iter().enumerate() {
            ptr::write_volatile((at as *mut u8).add(i), byte);
        }
        libc::mprotect(pages, len, libc::PROT_READ | libc::PROT_EXEC) == 0
    }
}
