//! The file of a recording in the tool's session: in the session's folder; where this process cannot enter
//! that, in the folder that the tool has for other users; and where it reaches neither, a word to the
//! tool, which says so in its summary.
//!
//! Runs in cold sections.

use crate::recording::{SUFFIX, create_unique, decimal};
use crate::settings::{PATH_LEN, settings};
use crate::sys;
use core::ffi::c_int;
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering::*};
use skipheap_config::session::{
    FILE_LEN, FILES_SOCKET, KEY_LEN, SOCKET_PREFIX, file_words, key_of, name_of,
};
use skipheap_format::layout::{Header, STATE_FINISHED, STATE_RUNNING};
use skipheap_symbolize::FileId;

/// Why the last file could not be made.
static ERROR: AtomicI32 = AtomicI32::new(0);

/// A page of the recording of this process or, in a child of fork that has none yet, of the process that it
/// comes from. It cannot be read or written. By it the tool sees that a process belongs to its
/// session, whatever it has made of its environment.
static ANCHOR: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());

/// Creates the file of the recording of the process `pid`; its path is left in `path`. Error: an error
/// number.
pub(crate) fn create(path: &mut [u8; PATH_LEN], pid: &[u8]) -> Result<c_int, c_int> {
    let create =
        |path: &mut [u8; PATH_LEN], folder| create_unique(path, &[folder, b"/", pid, b"-"], SUFFIX);
    let (session, others) = (settings().session.get(), settings().others.get());
    let created = create(path, session).or_else(|error| match others {
        b"" => Err(error),
        _ => create(path, others).map_err(|_| error),
    });
    ERROR.store(created.err().unwrap_or(0), Relaxed);
    created
}

/// Maps the page by which the tool knows processes of its session, in place of that of the parent.
pub(crate) fn drop_anchor(fd: c_int) {
    if settings().session.get().is_empty() {
        return;
    }
    let page = sys::map_without_access(fd);
    if !page.is_null() {
        let before = ANCHOR.swap(page, AcqRel);
        if !before.is_null() {
            // SAFETY: this process's own mapping of one page, which nobody can use.
            unsafe { sys::unmap(before, skipheap_format::PAGE as usize) };
        }
    }
}

/// Marks the recording of the process `parent`, from which this one was forked, as that of one that has ended, if this one
/// has none of its own yet. Where blocks are followed there is more to be done at an end.
pub(crate) fn finish_parents(parent: u32) {
    let page = ANCHOR.load(Acquire);
    let len = skipheap_format::PAGE as usize;
    if page.is_null() || settings().live || !sys::set_access(page, len, true) {
        return;
    }
    let header: *mut Header = page.cast();
    // SAFETY: the page is that of the header, mapped, readable and writable from here to the end; nobody
    // else in this process knows it. The process that wrote it has ended.
    unsafe {
        if (*header).pid == parent && (*header).state == STATE_RUNNING {
            (&raw mut (*header).end_ns).write_volatile(sys::now_ns());
            AtomicU32::from_ptr(&raw mut (*header).state).store(STATE_FINISHED, Release);
        }
    }
    sys::set_access(page, len, false);
}

/// Hands an open file that a module was loaded from to the tool. That it does not arrive has no consequences but for
/// names, should the file be gone when the tool looks for it.
pub(crate) fn hand_over(file: c_int, id: FileId) {
    let (session, others) = (settings().session.get(), settings().others.get());
    let (mut message, mut len) = ([0; KEY_LEN + FILE_LEN], 0);
    let words = file_words(id.device, id.inode, id.size, id.modified_ns);
    for part in [key_of(others), &words] {
        if let Some(room) = message.get_mut(len..len + part.len()) {
            room.copy_from_slice(part);
            len += part.len();
        }
    }
    let message = message.get(..len).unwrap_or(&[]);
    let in_folder = [session, b"/", FILES_SOCKET];
    let is_taken = sys::hand_over(in_folder.into_iter(), message, file);
    if !is_taken {
        let unnamed = [
            &b"\0"[..],
            SOCKET_PREFIX,
            name_of(session),
            b"/",
            FILES_SOCKET,
        ];
        sys::hand_over(unnamed.into_iter(), message, file);
    }
}

/// Tells the tool, if there is one, that this process makes no recording in a file.
pub(crate) fn say_unreachable() {
    let (session, others) = (settings().session.get(), settings().others.get());
    if session.is_empty() {
        return;
    }
    let mut digits = [0; 10];
    let error = decimal(&mut digits, ERROR.load(Relaxed).unsigned_abs());
    let (mut message, mut len) = ([0; PATH_LEN + 64], 0);
    for part in [key_of(others), b" ", error, b" ", settings().exe.get()] {
        if let Some(room) = message.get_mut(len..len + part.len()) {
            room.copy_from_slice(part);
            len += part.len();
        }
    }
    let message = message.get(..len).unwrap_or(&[]);
    sys::tell(&[SOCKET_PREFIX, name_of(session)], message);
}
