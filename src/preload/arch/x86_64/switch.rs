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

/// Saves the callee-saved registers, and aligns the stack.
macro_rules! begin_call {
    () => {
        "push rbp\n .cfi_adjust_cfa_offset 8\n push rbx\n .cfi_adjust_cfa_offset 8\n\
         push r12\n .cfi_adjust_cfa_offset 8\n push r13\n .cfi_adjust_cfa_offset 8\n\
         push r14\n .cfi_adjust_cfa_offset 8\n push r15\n .cfi_adjust_cfa_offset 8\n\
         sub rsp, 8\n .cfi_adjust_cfa_offset 8"
    };
}

/// How [`call`] returns, from rsp as it left it.
macro_rules! end_of_call {
    () => {
        "add rsp, 8\n pop r15\n pop r14\n pop r13\n pop r12\n pop rbx\n pop rbp\n ret"
    };
}

/// Saves the callee-saved registers, stores rsp at `word`, switches to `stack` unless that is 0,
/// and calls `f(data)`. Returns 1, or 0 after `leave`.
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
        "mov qword ptr [rdx], rsp",
        "mov rbx, rsp",
        ".cfi_def_cfa rbx, 64",
        "test rcx, rcx",
        "jz 2f",
        "mov rsp, rcx",
        "2: mov rax, rdi",
        "mov rdi, rsi",
        "call rax",
        "mov rsp, rbx",
        "mov eax, 1",
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
        "mov rax, rdi",
        "mov rdi, rsp",
        "call rax",
        "add rsp, 56",
        ".cfi_adjust_cfa_offset -56",
        "ret",
        ".cfi_endproc",
    )
}

/// Starts a process that shares this one's memory and nothing else, calls `f(data)` and ends. No
/// signal announces its end. Returns its id, or a negative error number.
///
/// # Safety
/// `stack` is the end of memory that nobody else uses, and `f` has the thread-local memory of the
/// calling thread.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn start_helper(
    stack: usize,
    f: unsafe extern "C" fn(*mut c_void),
    data: *mut c_void,
) -> isize {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "sub rdi, 16",
        "mov qword ptr [rdi], rsi",
        "mov qword ptr [rdi + 8], rdx",
        "mov rsi, rdi",
        "mov edi, {flags}",
        "xor edx, edx",
        "xor r10d, r10d",
        "xor r8d, r8d",
        "mov eax, {clone}",
        "syscall",
        "test rax, rax",
        "jz 2f",
        "ret",
        "2: xor ebp, ebp",
        "pop rax",
        "pop rdi",
        "call rax",
        "xor edi, edi",
        "mov eax, {exit}",
        "syscall",
        "ud2",
        ".cfi_endproc",
        flags = const libc::CLONE_VM | libc::CLONE_UNTRACED,
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
    core::arch::naked_asm!("mov rsp, rdi", "xor eax, eax", end_of_call!(),)
}
