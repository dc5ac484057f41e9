//! Calls on another stack and the way out of them, and the helper process of the leak check.
//!
//! May run at any moment.

use super::thread_word::escape_word;
use core::ffi::c_void;

/// Calls `f(data)` on another stack, whose end (aligned to 16 bytes) is `stack`, or on this one if
/// `stack` is 0. Returns false if `f` was left by [`escape`], which runs no destructors.
///
/// # Safety
/// The memory below `stack` is large enough for `f`, and nothing else uses it during the call.
pub(crate) unsafe fn catch_escape(
    f: unsafe extern "C" fn(*mut c_void),
    data: *mut c_void,
    stack: usize,
) -> bool {
    let word = escape_word();
    // SAFETY: the word is this thread's; `call` leaves the stack and the saved registers as they
    // were, whichever way it returns.
    unsafe {
        let returned = call(f, data, word, stack) != 0;
        *word = 0;
        returned
    }
}

/// Leaves the innermost [`catch_escape`] of this thread; returns when there is none.
pub(crate) fn escape() {
    // SAFETY: the word holds the stack pointer of a `call` that has not returned, or 0.
    unsafe {
        let stack = *escape_word();
        if stack != 0 {
            leave(stack);
        }
    }
}

/// Saves the callee-saved registers.
macro_rules! begin_call {
    () => {
        "stp x29, x30, [sp, #-160]!\n .cfi_def_cfa_offset 160\n\
         .cfi_offset x29, -160\n .cfi_offset x30, -152\n\
         stp x19, x20, [sp, #16]\n .cfi_offset x19, -144\n .cfi_offset x20, -136\n\
         stp x21, x22, [sp, #32]\n .cfi_offset x21, -128\n .cfi_offset x22, -120\n\
         stp x23, x24, [sp, #48]\n .cfi_offset x23, -112\n .cfi_offset x24, -104\n\
         stp x25, x26, [sp, #64]\n .cfi_offset x25, -96\n .cfi_offset x26, -88\n\
         stp x27, x28, [sp, #80]\n .cfi_offset x27, -80\n .cfi_offset x28, -72\n\
         stp d8, d9, [sp, #96]\n stp d10, d11, [sp, #112]\n\
         stp d12, d13, [sp, #128]\n stp d14, d15, [sp, #144]\n\
         mov x29, sp"
    };
}

/// How [`call`] returns, from sp as it left it.
macro_rules! end_of_call {
    () => {
        "ldp d14, d15, [sp, #144]\n ldp d12, d13, [sp, #128]\n\
         ldp d10, d11, [sp, #112]\n ldp d8, d9, [sp, #96]\n\
         ldp x27, x28, [sp, #80]\n ldp x25, x26, [sp, #64]\n\
         ldp x23, x24, [sp, #48]\n ldp x21, x22, [sp, #32]\n\
         ldp x19, x20, [sp, #16]\n ldp x29, x30, [sp], #160\n ret"
    };
}

/// Saves the callee-saved registers, stores sp at `word`, switches to `stack` unless that is 0, and
/// calls `f(data)`. Returns 1, or 0 after `leave`.
#[unsafe(naked)]
unsafe extern "C" fn call(
    f: unsafe extern "C" fn(*mut c_void),
    data: *mut c_void,
    word: *mut usize,
    stack: usize,
) -> usize {
    core::arch::naked_asm!(
        ".cfi_startproc",
        begin_call!(),
        "str x29, [x2]",
        ".cfi_def_cfa x29, 160",
        "cbz x3, 2f",
        "mov sp, x3",
        "2: mov x9, x0",
        "mov x0, x1",
        "blr x9",
        "mov sp, x29",
        "mov w0, #1",
        end_of_call!(),
        ".cfi_endproc",
    )
}

/// Calls `f(sp, data)`. Everything that the callers may need, including their registers, is in the
/// stack from `sp` on.
#[unsafe(naked)]
pub(crate) extern "C" fn with_callers_on_stack(
    f: extern "C" fn(sp: usize, data: usize),
    data: usize,
) {
    core::arch::naked_asm!(
        ".cfi_startproc",
        begin_call!(),
        "mov x9, x0",
        "mov x0, sp",
        "blr x9",
        "ldp x29, x30, [sp], #160",
        ".cfi_def_cfa_offset 0",
        ".cfi_restore x29\n .cfi_restore x30",
        "ret",
        ".cfi_endproc",
    )
}

/// Starts a process that shares this one's memory and nothing else, calls `f(data)` and ends. No
/// signal announces its end. Returns its id, or a negative error number.
///
/// # Safety
/// `stack` is the end of memory that nobody else uses, aligned to 16 bytes, and `f` has the thread-local
/// memory of the calling thread.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn start_helper(
    stack: usize,
    f: unsafe extern "C" fn(*mut c_void),
    data: *mut c_void,
) -> isize {
    core::arch::naked_asm!(
        ".cfi_startproc",
        // f and data are in registers that the new process has as well.
        "mov x9, x1",
        "mov x10, x2",
        "mov x1, x0",
        "mov x0, #{flags_low}",
        "movk x0, #{flags_high}, lsl #16",
        "mov x2, xzr",
        "mov x3, xzr",
        "mov x4, xzr",
        "mov x8, #{clone}",
        "svc #0",
        "cbz x0, 2f",
        "ret",
        "2: mov x29, xzr",
        "mov x30, xzr",
        ".cfi_undefined x30",
        "mov x0, x10",
        "blr x9",
        "mov x0, xzr",
        "mov x8, #{exit}",
        "svc #0",
        "brk #1",
        ".cfi_endproc",
        flags_low = const (libc::CLONE_VM | libc::CLONE_UNTRACED) & 0xffff,
        flags_high = const (libc::CLONE_VM | libc::CLONE_UNTRACED) >> 16,
        clone = const libc::SYS_clone,
        exit = const libc::SYS_exit,
    )
}

/// Returns 0 from the `call` that left `stack`.
///
/// # Safety
/// That call has not returned.
#[unsafe(naked)]
unsafe extern "C" fn leave(stack: usize) {
    core::arch::naked_asm!("mov sp, x0", "mov w0, #0", end_of_call!(),)
}
