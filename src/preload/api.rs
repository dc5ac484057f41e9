//! The functions of `include/skipheap.h`, by which a program controls its own recording.
//!
//! May run at any moment of the program's life, in signal handlers too. What takes more than a store
//! runs in cold sections. In a program that is not profiled they do nothing.

use crate::arch::entry;
use crate::{confined, control, lifecycle, live, snapshot, thread};
use core::ffi::{CStr, c_char, c_int, c_void};
use skipheap_format::layout::{CUSTOM_FUNCTION, SIZE_BITS};

/// Records allocations from now on.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[cfg_attr(test, allow(dead_code))]
pub(crate) extern "C" fn skipheap_start() {
    control::set_stopped(false);
}

/// Records no allocations until [`skipheap_start`].
#[cfg_attr(not(test), unsafe(no_mangle))]
#[cfg_attr(test, allow(dead_code))]
pub(crate) extern "C" fn skipheap_stop() {
    control::set_stopped(true);
}

/// Returns whether allocations are recorded now.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[cfg_attr(test, allow(dead_code))]
pub(crate) extern "C" fn skipheap_is_recording() -> c_int {
    c_int::from(lifecycle::is_recording() && !control::is_stopped())
}

/// Writes a copy of the recording; 1 when that was possible.
///
/// # Safety
/// `label` is null or a C string.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[cfg_attr(test, allow(dead_code))]
pub(crate) unsafe extern "C" fn skipheap_snapshot(label: *const c_char) -> c_int {
    let Some(process) = lifecycle::begun().filter(|_| !confined::is_confined()) else {
        return 0;
    };
    // SAFETY: as the caller promises.
    let label = unsafe { text(label) };
    let written = thread::cold_section(|| snapshot::write(process, label));
    c_int::from(written == Some(true))
}

/// Names what comes next.
///
/// # Safety
/// `label` is null or a C string.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[cfg_attr(test, allow(dead_code))]
pub(crate) unsafe extern "C" fn skipheap_phase(label: *const c_char) {
    if let Some(process) = lifecycle::begun() {
        // SAFETY: as the caller promises.
        let label = unsafe { text(label) };
        thread::cold_section(|| {
            live::sum_up(process);
            // A recording without room has said so.
            process.recording.add_phase(label)
        });
    }
}

entry! { /// Records a block of a custom allocator.
skipheap_alloc, alloc_body }

unsafe extern "C" fn alloc_body(
    block: *mut c_void,
    size: usize,
    _: usize,
    entry: *const u64,
    bp: u64,
) {
    if block.is_null() || size as u64 >> SIZE_BITS != 0 {
        return;
    }
    let size = size as u64 | CUSTOM_FUNCTION << SIZE_BITS;
    // SAFETY: the entry hands in the caller's stack and rbp.
    unsafe { thread::record_rest(size, entry, bp, block) };
}

/// Has a block of a custom allocator followed to its end.
///
/// # Safety
/// The block is the caller's to take back.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[cfg_attr(test, allow(dead_code))]
pub(crate) unsafe extern "C" fn skipheap_free(block: *mut c_void) {
    if !block.is_null() && lifecycle::is_recording() && live::is_on() {
        // SAFETY: as the caller promises.
        unsafe { live::died_custom(block) };
    }
}

unsafe fn text<'t>(label: *const c_char) -> &'t [u8] {
    if label.is_null() {
        return b"";
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(label) }.to_bytes()
}
