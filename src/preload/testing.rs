//! What the unit tests need of a process: settings and a recording, as the constructor would make
//! them, but without exit handlers and without hooks.

use crate::process::{self, Process};
use crate::recording::Recording;
use crate::{settings, sys, thread};
use skipheap_format::layout::SIZE_BITS;
use skipheap_format::reader;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Sets the settings, once: temporary files go where the tests' go.
fn set_settings() {
    static SET: OnceLock<()> = OnceLock::new();
    SET.get_or_init(|| {
        let folder = std::env::temp_dir();
        settings::set_for_tests(folder.as_os_str().as_encoded_bytes());
    });
}

/// Creates recordings one after another: their names are made of the process, and a file of that
/// name is taken for that of a program before an exec.
pub(crate) fn recordings_in_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    set_settings();
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Creates a recording. Its file is removed at once, the mapping stays.
pub(crate) fn create(recording: &Recording) {
    let _turn = recordings_in_turn();
    recording.create(false);
    sys::unlink(recording.path().unwrap());
}

/// The process, recording. As [`create`].
pub(crate) fn process() -> &'static Process {
    static BEGUN: OnceLock<()> = OnceLock::new();
    let process = process::process().unwrap();
    BEGUN.get_or_init(|| {
        let _turn = recordings_in_turn();
        thread::cold_section(|| process.begin()).unwrap();
        sys::unlink(process.recording.path().unwrap());
    });
    process
}

/// A value whose state of all zeros is a valid one, for the rest of the process.
///
/// # Safety
/// All zeros is a valid `T`.
pub(crate) unsafe fn zeroed<T>() -> &'static T {
    let fresh: *const T = sys::map_private(size_of::<T>()).cast();
    // SAFETY: the mapping is zeroed, aligned to a page, large enough and never unmapped.
    unsafe { fresh.as_ref() }.unwrap()
}

/// The table of rules is one for the whole process: tests that use it take turns.
pub(crate) fn rules_in_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The sites of a recording by frames and size (with the function above it), with their counts
/// added up.
pub(crate) fn site_counts(recording: &Recording) -> HashMap<([u32; 4], u64), u64> {
    let bytes = recording.snapshot();
    let mut counts = HashMap::new();
    for site in reader::Recording::parse(&bytes).unwrap().sites() {
        let size = site.size | u64::from(site.function) << SIZE_BITS;
        *counts.entry((site.frames, size)).or_insert(0) += site.count;
    }
    counts
}
