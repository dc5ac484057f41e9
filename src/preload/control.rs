//! The control word: whether allocations are recorded, as the program or the tool say at any moment.
//!
//! It lies in the recording's header ([`Header::control`]), where the tool can write it from outside.
//! The hot path has to find it without a load of an address, so the header's page is mapped a
//! second time, over [`PAGE`], a page of the library's own data. Without a file the page is private
//! memory as it was.
//!
//! A child of fork gets a private page with the same word, until its own recording is made.
//!
//! [`is_stopped`], [`set`] and [`set_stopped`] may run at any moment, the rest in cold sections.

use crate::{lifecycle, sys};
use core::cell::UnsafeCell;
use core::ffi::c_int;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, Ordering::*};
use skipheap_format::layout::{HEADER_LEN, Header, STOPPED, STOPS};

/// The recording's first page, as the hot path sees it.
#[repr(C, align(4096))]
pub(crate) struct Page(UnsafeCell<[u8; HEADER_LEN as usize]>);

// SAFETY: only the word below is read and written, atomically; a mapping that replaces the page has
// the same word in it.
unsafe impl Sync for Page {}

/// Where [`crate::hot`] looks at the word.
pub(crate) static PAGE: Page = Page(UnsafeCell::new([0; HEADER_LEN as usize]));
/// Where in the page the word lies.
pub(crate) const WORD: usize = offset_of!(Header, control);

fn word() -> &'static AtomicU32 {
    // SAFETY: four bytes within the page, aligned, which is never unmapped; see `Page`.
    unsafe { AtomicU32::from_ptr(PAGE.0.get().cast::<u8>().add(WORD).cast()) }
}

/// Returns whether allocations are not to be recorded now.
#[inline(always)]
pub(crate) fn is_stopped() -> bool {
    word().load(Relaxed) != 0
}

/// Shows the header's page of the recording in the file `fd` in place of the private one.
pub(crate) fn share(fd: c_int) {
    // SAFETY: the page is ours and aligned to pages. What is mapped there instead has a header's
    // layout, in which the word stands at the same place. Where the call fails the page stays.
    unsafe {
        libc::mmap(
            PAGE.0.get().cast(),
            HEADER_LEN as usize,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_FIXED,
            fd,
            0,
        );
    }
}

/// Gives up the page of the parent's recording, in a child of fork; the word stays as it was.
pub(crate) fn give_up_parents() {
    let was = word().load(Relaxed);
    // SAFETY: the page is ours; a private page of zeros is one that was not shared yet.
    unsafe { sys::map_zeros_over(PAGE.0.get().cast(), HEADER_LEN as usize) };
    word().store(was, Relaxed);
}

/// Sets the word of the recording that was just made, or of which the page is shown.
pub(crate) fn set(value: u32) {
    word().store(value, Relaxed);
}

/// Has allocations of this process recorded from now on, or not any more. In a program that is not
/// profiled nothing happens.
pub(crate) fn set_stopped(stopped: bool) {
    // In a child of fork that has none yet a recording is begun: it has a word of its own.
    if let Some(process) = lifecycle::begun() {
        let value = if stopped { STOPPED } else { 0 };
        if stopped {
            process.recording.count(STOPS, 1);
        }
        process.recording.set_control(value);
        set(value);
    }
}
