//! Names of threads: which one a thread's calls are reported under.
//!
//! The first name that a thread is given holds for what it has done before, since it is mostly
//! given just after the start, by whoever made the thread. A later one holds from then on. A thread
//! that is given none has inherited that of the main thread: it is told apart by the function that it
//! started with, or by a number. Names that are given by `prctl` or `pthread_setname_np` are seen at
//! once; those that are written otherwise, at the end of the thread or of the process.
//!
//! May run at any moment.

use crate::ended::Label;
use crate::process::{self, Process};
use crate::thread::{self, Thread};
use crate::{arch, confined, lifecycle, real};
use core::ffi::{c_char, c_int};

/// Bytes of a thread's name that the kernel keeps, with the NUL at their end.
pub(crate) type Name = [u8; 16];

/// A C string as the kernel takes it for a name.
///
/// # Safety
/// As far as its NUL or its fifteenth byte, it can be read.
#[allow(clippy::unnecessary_cast)] // Characters of C have no sign on AArch64.
pub(crate) unsafe fn copied(name: *const c_char) -> Name {
    let mut copy = [0; 16];
    for (i, slot) in copy.iter_mut().take(15).enumerate() {
        // SAFETY: as the caller promises.
        match unsafe { *name.add(i) } {
            0 => break,
            byte => *slot = byte as u8,
        }
    }
    copy
}

/// The process, where names are of interest.
fn recording() -> Option<&'static Process> {
    if !lifecycle::is_recording() {
        return None;
    }
    process::process().filter(|process| process.is_ready())
}

/// The calling thread has given itself a name.
pub(crate) fn of_self(name: Name) {
    let Some(process) = recording() else { return };
    let Some(thread) = thread::own_or_new() else {
        return;
    };
    thread::cold_section(|| {
        let ended = &process.threads.ended;
        let _guard = ended.lock();
        process.threads.note_main_name(thread, name);
        let before = thread.label();
        if before.has_name() && before.name != name {
            // SAFETY: the table is the calling thread's, and signals are blocked.
            unsafe { ended.take(process, &*thread.sites(), before) };
        }
        thread.set_label(Label::named(name));
    });
}

/// The calling thread has given another one a name, which is known by its handle.
fn of_another(handle: usize, name: Name) {
    let Some(process) = recording() else { return };
    if confined::is_confined() || arch::thread_word() == thread::BUSY {
        return;
    }
    thread::cold_section(|| {
        let _guard = process.threads.ended.lock();
        if let Some(thread) = process.threads.by_handle(handle) {
            process.threads.note_main_name(thread, name);
            thread.set_label(Label::named(name));
        }
    });
}

/// `pthread_setname_np` of glibc.
///
/// # Safety
/// As the C function.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[cfg_attr(test, allow(dead_code))]
pub(crate) unsafe extern "C" fn pthread_setname_np(handle: usize, name: *const c_char) -> c_int {
    // SAFETY: the caller's own arguments. A name that was taken is a C string.
    unsafe {
        let result = real::pthread_setname_np(handle, name);
        if result == 0 {
            let name = copied(name);
            if handle == arch::thread_pointer() {
                of_self(name);
            } else {
                of_another(handle, name);
            }
        }
        result
    }
}

/// What a thread that begins to record is reported under. Cold section.
pub(crate) fn at_start(process: &Process, thread: &Thread, name: Name, is_main: bool) -> Label {
    if is_main || !process.threads.is_name_of_main(name) {
        return Label::named(name);
    }
    thread.without_name(process, name)
}
