//! What only assembly can say on x86-64: the hooks, the TLS word, the increment.
//!
//! May run at any moment of the program's life: nothing here touches memory other than the TLS
//! word and what the caller hands in.

use core::arch::{asm, global_asm};
use core::ffi::c_void;
use core::mem::offset_of;
use skipheap_format::layout::SiteRecord;

// Pointer-sized thread-locals in the initial-exec model. `thread_local!` in a shared library
// goes through the loader's address function, which may allocate. Eight bytes never exhaust the
// static TLS surplus, so the library can also be loaded by dlopen.
global_asm!(
    ".section .tbss,\"awT\",@nobits",
    ".globl skipheap_thread_word",
    ".hidden skipheap_thread_word",
    ".type skipheap_thread_word, @object",
    ".size skipheap_thread_word, 8",
    ".p2align 3",
    "skipheap_thread_word:",
    ".zero 8",
    ".globl skipheap_escape_word",
    ".hidden skipheap_escape_word",
    ".type skipheap_escape_word, @object",
    ".size skipheap_escape_word, 8",
    "skipheap_escape_word:",
    ".zero 8",
    ".text",
);

// std was compiled for dynamic TLS: its few thread-locals (panic count and the like) would call the
// loader's address function. That function is defined here instead, for this library alone. Our TLS
// block is in static TLS (the word above forces that), so the block's distance from the thread
// pointer is the same for all threads, and equals the word's offset from the thread pointer less
// its offset in the block. Argument in rdi: {module, offset}. May change rax, rcx, rdx, rsi, rdi,
// r8-r11 as any call may.
#[cfg(not(test))]
global_asm!(
    ".text",
    ".globl __tls_get_addr",
    ".hidden __tls_get_addr",
    ".type __tls_get_addr, @function",
    "__tls_get_addr:",
    "mov rax, qword ptr [rip + skipheap_thread_word@GOTTPOFF]",
    "add rax, qword ptr fs:[0]",
    "add rax, qword ptr [rdi + 8]",
    "mov rcx, qword ptr [rip + skipheap_thread_word_dtpoff]",
    "sub rax, rcx",
    "ret",
    ".size __tls_get_addr, . - __tls_get_addr",
    ".section .rodata",
    ".p2align 3",
    "skipheap_thread_word_dtpoff:",
    ".quad skipheap_thread_word@DTPOFF",
    ".text",
);

/// The calling thread's word; 0 in a new thread.
#[inline(always)]
pub(crate) fn thread_word() -> usize {
    let word: usize;
    // SAFETY: reads eight bytes of our own static TLS, which every thread has.
    unsafe {
        asm!(
            "mov {w}, qword ptr [rip + skipheap_thread_word@GOTTPOFF]",
            "mov {w}, qword ptr fs:[{w}]",
            w = out(reg) word,
            options(nostack, preserves_flags, readonly),
        );
    }
    word
}

/// Sets the calling thread's word.
#[inline(always)]
pub(crate) fn set_thread_word(word: usize) {
    // SAFETY: writes eight bytes of our own static TLS, which every thread has.
    unsafe {
        asm!(
            "mov {t}, qword ptr [rip + skipheap_thread_word@GOTTPOFF]",
            "mov qword ptr fs:[{t}], {w}",
            t = out(reg) _,
            w = in(reg) word,
            options(nostack, preserves_flags),
        );
    }
}

/// Where the word of the thread lies that has this thread pointer.
pub(crate) fn thread_word_of(tp: usize) -> usize {
    let offset: usize;
    // SAFETY: reads the word's distance from the thread pointer, the same for all threads.
    unsafe {
        asm!(
            "mov {w}, qword ptr [rip + skipheap_thread_word@GOTTPOFF]",
            w = out(reg) offset,
            options(nostack, preserves_flags, readonly),
        );
    }
    tp.wrapping_add(offset)
}

/// The thread pointer, where glibc keeps the thread's descriptor.
#[inline(always)]
pub(crate) fn thread_pointer() -> usize {
    let tp: usize;
    // SAFETY: the x86-64 ABI keeps the thread pointer itself at fs:0.
    unsafe {
        asm!("mov {}, qword ptr fs:[0]", out(reg) tp, options(nostack, preserves_flags, readonly));
    }
    tp
}

/// Where [`escape`] returns to: a place on the stack, 0 when nothing catches.
#[inline(always)]
fn escape_word() -> *mut usize {
    let word: *mut usize;
    // SAFETY: computes the address of eight bytes of our own static TLS, which every thread has.
    unsafe {
        asm!(
            "mov {w}, qword ptr [rip + skipheap_escape_word@GOTTPOFF]",
            "add {w}, qword ptr fs:[0]",
            w = out(reg) word,
            options(nostack, readonly),
        );
    }
    word
}

/// Calls `f(data)` on another stack, whose end (aligned to 16 bytes) is `stack`, or on this one where that
/// is 0; false when it was left by [`escape`], which runs no destructors.
///
/// # Safety
/// The memory below `stack` is nobody else's meanwhile, and enough for `f`.
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

/// Saves what a function has to keep for its caller, and aligns the stack.
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

/// Saves what a function has to keep, leaves rsp at `word`, changes to `stack` unless it is 0, and calls
/// `f(data)`. 1, or 0 by way of `leave`.
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

/// Calls `f(sp, data)`, where `sp` is a place in the stack from which everything lies that the callers may need:
/// what they have in registers too.
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

/// The registers that a function keeps for its caller, by their numbers in unwind information: rbx, rbp,
/// r12 to r15.
pub(crate) const KEPT_REGISTERS: [i32; 6] = [3, 6, 12, 13, 14, 15];

/// Words of `struct user_regs_struct` of `<sys/user.h>`, which is what the kernel gives as `NT_PRSTATUS`.
pub(crate) const REGISTERS: usize = 27;
/// The kernel's set of the registers that may hold addresses besides those (`NT_X86_XSTATE`).
pub(crate) const OTHER_REGISTERS: i32 = 0x202;

/// Where the instructions go on, among these registers.
pub(crate) fn ip_of(registers: &[u64; REGISTERS]) -> u64 {
    registers[16]
}

/// The stack pointer among these registers.
pub(crate) fn sp_of(registers: &[u64; REGISTERS]) -> usize {
    registers[19] as usize
}

/// The thread pointer among these registers.
pub(crate) fn tp_of(registers: &[u64; REGISTERS]) -> usize {
    registers[21] as usize
}

/// Bytes below the stack pointer that a function may use without moving it.
pub(crate) const RED_ZONE: usize = 128;

/// Starts a process that shares this one's memory and nothing else, and is nobody's child that a signal
/// would tell of. It calls `f(data)` and ends. Its id, or an error number below 0.
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

/// What the loader's function for debuggers jumps to: leaves all registers but the vector ones as they
/// were, since who compiled the loader may have seen that the function is empty.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn loader_changed() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "endbr64",
        "push rax\n push rcx\n push rdx\n push rsi\n push rdi",
        "push r8\n push r9\n push r10\n push r11",
        ".cfi_adjust_cfa_offset 72",
        "call {changed}",
        "pop r11\n pop r10\n pop r9\n pop r8",
        "pop rdi\n pop rsi\n pop rdx\n pop rcx\n pop rax",
        ".cfi_adjust_cfa_offset -72",
        "ret",
        ".cfi_endproc",
        changed = sym crate::patch::loader_changed,
    )
}

macro_rules! look_up_and_jump {
    ($(#[$doc:meta])* $name:ident, $slot:path) => {
        $(#[$doc])*
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                ".cfi_startproc",
                "push rdi\n push rsi\n push rdx\n push rcx\n push r8\n push r9\n push rax",
                ".cfi_adjust_cfa_offset 56",
                "call {look_up}",
                "pop rax\n pop r9\n pop r8\n pop rcx\n pop rdx\n pop rsi\n pop rdi",
                ".cfi_adjust_cfa_offset -56",
                "jmp qword ptr [rip + {slot}]",
                ".cfi_endproc",
                look_up = sym crate::real::look_up,
                slot = sym $slot,
            )
        }
    };
}
#[cfg(not(test))] // `own_libc`, which unit tests leave out, is the only user in another file.
pub(crate) use look_up_and_jump;
look_up_and_jump! { /// The first call of `free`: looks it up, and goes there.
first_free, crate::hooks::FREE }
look_up_and_jump! { /// The first call of `prctl`: looks it up, and goes there with all arguments.
first_prctl, crate::real::PRCTL }
look_up_and_jump! { /// The first call of `syscall`: looks it up, and goes there with all arguments.
first_syscall, crate::real::SYSCALL }

/// The body of a [`hook!`]: calls the next definition with the stack as the caller left it but for one word, the
/// size, and goes on to the recording if that gave memory.
macro_rules! hook_body {
    ($slot:path, $function:literal, $($size:literal),+) => {
        core::arch::naked_asm!(
            ".cfi_startproc",
            "endbr64",
            $($size,)+
            ".cfi_adjust_cfa_offset 8",
            "call qword ptr [rip + {next}]",
            "pop rdi",
            ".cfi_adjust_cfa_offset -8",
            "test rax, rax",
            "jz 2f",
            ".if {function}",
            "mov rcx, {function} << {size_bits}",
            "or rdi, rcx",
            ".endif",
            "jmp qword ptr [rip + {record}]",
            "2: ret",
            ".cfi_endproc",
            next = sym $slot,
            function = const $function,
            size_bits = const skipheap_format::layout::SIZE_BITS,
            record = sym crate::hot::RECORD,
        )
    };
}
pub(crate) use hook_body;

/// Declares an exported function that jumps to what `$slot` holds.
macro_rules! jump {
    ($(#[$doc:meta])* $name:ident, $slot:path) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// As the C function of this name.
        #[cfg_attr(not(test), unsafe(no_mangle))]
        #[cfg_attr(test, allow(dead_code))]
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                "endbr64",
                "jmp qword ptr [rip + {slot}]",
                slot = sym $slot,
            )
        }
    };
}
pub(crate) use jump;

/// `realloc` while blocks are not followed: as any other hook.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn realloc_counted() {
    hook_body!(crate::real::REALLOC, 2, "push rsi")
}

/// `realloc` while blocks are followed: the same by way of [`crate::live::hooks::realloc`].
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn realloc_followed() {
    hook_body!(crate::live::hooks::REAL_REALLOC, 2, "push rsi")
}

macro_rules! watched {
    ($(#[$doc:meta])* $name:ident, $look:literal, $at:expr, $set:path, $slot:path) => {
        $(#[$doc])*
        #[cfg_attr(not(test), unsafe(no_mangle))]
        #[cfg_attr(test, allow(dead_code))]
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                "endbr64",
                $look,
                "je {set}",
                "jmp qword ptr [rip + {next}]",
                at = const $at,
                set = sym $set,
                next = sym $slot,
            )
        }
    };
}
watched! { /// `prctl` of Linux: the next one, by a jump, with all arguments. Three options are looked at
/// ([`crate::confined`]).
prctl, "cmp edi, 15\n je {set}\n cmp edi, 26\n je {set}\n cmp edi, {at}", libc::PR_SET_SECCOMP, crate::confined::set_by_prctl, crate::real::PRCTL }
const _: () = assert!(libc::PR_SET_NAME == 15 && libc::PR_SET_TSC == 26);
/// `syscall` of glibc: the next one, by a jump, with all arguments. One call is looked at
/// ([`crate::confined`]), and those that give up rights are announced ([`crate::rights`]).
#[cfg_attr(not(test), unsafe(no_mangle))]
#[cfg_attr(test, allow(dead_code))]
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn syscall() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "endbr64",
        "lea r11, [rdi - {first}]",
        "cmp r11, 63",
        "ja 2f",
        "movabs r10, {numbers}",
        "bt r10, r11",
        "jc 3f",
        "jmp qword ptr [rip + {next}]",
        "2: cmp rdi, {seccomp}",
        "je {set}",
        "cmp rdi, {unshare}",
        "je 3f",
        "cmp rdi, {setns}",
        "je 3f",
        "cmp rdi, {landlock}",
        "je 3f",
        "jmp qword ptr [rip + {next}]",
        "3: push rdi\n push rsi\n push rdx\n push rcx\n push r8\n push r9\n push rax",
        ".cfi_adjust_cfa_offset 56",
        "call {before}",
        "pop rax\n pop r9\n pop r8\n pop rcx\n pop rdx\n pop rsi\n pop rdi",
        ".cfi_adjust_cfa_offset -56",
        "jmp qword ptr [rip + {next}]",
        ".cfi_endproc",
        first = const crate::rights::FIRST_NUMBER,
        numbers = const crate::rights::NUMBERS,
        seccomp = const libc::SYS_seccomp,
        unshare = const libc::SYS_unshare,
        setns = const libc::SYS_setns,
        landlock = const libc::SYS_landlock_restrict_self,
        set = sym crate::confined::set_by_syscall,
        before = sym crate::rights::before_syscall,
        next = sym crate::real::SYSCALL,
    )
}

/// Declares exported functions of which [`crate::rights`] learns before they run: the next definition, by a jump, with
/// all arguments.
macro_rules! announced {
    ($($(#[$doc:meta])* $name:ident, $symbol:literal;)*) => { $(
        $(#[$doc])*
        ///
        /// # Safety
        /// As the C function of this name.
        #[cfg_attr(not(test), unsafe(no_mangle))]
        #[cfg_attr(test, allow(dead_code))]
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name() {
            static FUNCTION: $crate::rights::Function = $crate::rights::Function::new($symbol);
            core::arch::naked_asm!(
                ".cfi_startproc",
                "endbr64",
                "push rdi\n push rsi\n push rdx\n push rcx\n push r8\n push r9\n push rax",
                ".cfi_adjust_cfa_offset 56",
                "lea rdi, [rip + {function}]",
                "call {before}",
                "pop rax\n pop r9\n pop r8\n pop rcx\n pop rdx\n pop rsi\n pop rdi",
                ".cfi_adjust_cfa_offset -56",
                "jmp qword ptr [rip + {function}]",
                ".cfi_endproc",
                function = sym FUNCTION,
                before = sym $crate::rights::before,
            )
        }
    )* };
}
pub(crate) use announced;

/// Bytes that hold the vector registers as XSAVE lays them out, in its standard form.
pub(crate) const VECTORS_LEN: usize = 2752;

/// What is saved of them: x87, SSE, AVX and the three parts of AVX-512; the parts that the machine does
/// not have are passed over.
const VECTOR_PARTS: u32 = 0xe7;

/// Saves all vector and mask registers in their full width.
///
/// # Safety
/// [`VECTORS_LEN`] bytes at `room`, aligned to 64, can be written.
pub(crate) unsafe fn save_vectors(room: usize) {
    /// Where the header lies, of which the instruction writes a part; the rest has to be zero.
    const HEADER: usize = 512;
    // SAFETY: as the caller promises.
    unsafe {
        ((room + HEADER) as *mut [u64; 8]).write([0; 8]);
        asm!("xsave64 [{}]", in(reg) room, in("eax") VECTOR_PARTS, in("edx") 0,
            options(nostack, preserves_flags));
    }
}

/// Puts back what [`save_vectors`] saved.
///
/// # Safety
/// It did so at `room`.
pub(crate) unsafe fn restore_vectors(room: usize) {
    // SAFETY: as the caller promises. To the compiler all these registers are changed.
    unsafe {
        asm!("xrstor64 [{}]", in(reg) room, in("eax") VECTOR_PARTS, in("edx") 0,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
            options(nostack, preserves_flags));
    }
}

/// Has the calling thread compute with floating-point numbers as it does at a program's start: no exception
/// is raised. What it did until now, and what it has noted (`fenv.h`), is returned for [`restore_floats`].
#[inline(always)]
pub(crate) fn plain_floats() -> u32 {
    let plain = 0x1f80_u32;
    let mut before = 0_u32;
    // SAFETY: stores the register, and sets it to what Rust expects it to be.
    unsafe {
        asm!("stmxcsr dword ptr [{}]", in(reg) &raw mut before, options(nostack, preserves_flags));
        asm!("ldmxcsr dword ptr [{}]", in(reg) &raw const plain, options(nostack, preserves_flags));
    }
    before
}

/// Puts back what [`plain_floats`] returned.
#[inline(always)]
pub(crate) fn restore_floats(before: u32) {
    // SAFETY: the value was in the register before.
    unsafe {
        asm!("ldmxcsr dword ptr [{}]", in(reg) &raw const before, options(nostack, preserves_flags));
    }
}

/// Adds one to a site's count, in a single instruction, so that a signal handler of the same thread
/// that counts there too can come before or after it but not in its middle.
///
/// # Safety
/// `record` points to a site record that no other thread counts in.
#[inline(always)]
pub(crate) unsafe fn increment_count(record: *mut SiteRecord) {
    // SAFETY: as the caller promises.
    unsafe { increment_at::<{ offset_of!(SiteRecord, count) }, _>(record) };
}

/// Adds to the counter at this offset of a structure in a single instruction, as [`increment_count`].
///
/// # Safety
/// There is a counter of 64 bits, and no other thread counts there.
#[inline(always)]
pub(crate) unsafe fn add_at<const OFFSET: usize, T>(structure: *mut T, n: u64) {
    // SAFETY: as the caller promises.
    unsafe {
        asm!("add qword ptr [{structure} + {offset}], {n}", structure = in(reg) structure, n = in(reg) n,
            offset = const OFFSET, options(nostack));
    }
}

/// As [`add_at`], of one.
///
/// # Safety
/// As [`add_at`].
#[inline(always)]
pub(crate) unsafe fn increment_at<const OFFSET: usize, T>(structure: *mut T) {
    // SAFETY: as the caller promises.
    unsafe {
        asm!("inc qword ptr [{structure} + {offset}]", structure = in(reg) structure,
            offset = const OFFSET, options(nostack));
    }
}

/// As [`add_at`], less one.
///
/// # Safety
/// As [`add_at`].
#[inline(always)]
pub(crate) unsafe fn decrement_at<const OFFSET: usize, T>(structure: *mut T) {
    // SAFETY: as the caller promises.
    unsafe {
        asm!("dec qword ptr [{structure} + {offset}]", structure = in(reg) structure,
            offset = const OFFSET, options(nostack));
    }
}

/// Has the cache line of this address fetched, if there is memory. No access: any address will do.
#[inline(always)]
pub(crate) fn prefetch(address: usize) {
    // SAFETY: a hint, which faults nowhere.
    unsafe {
        asm!("prefetcht0 byte ptr [{address}]", address = in(reg) address,
            options(nostack, preserves_flags, readonly));
    }
}

/// Puts `new` in the place of `old` in a single instruction, as [`increment_count`]; false, and nothing
/// else, where there is another value.
///
/// # Safety
/// `word` is a word that no other thread changes.
#[inline(always)]
pub(crate) unsafe fn replace(word: *mut usize, old: usize, new: usize) -> bool {
    let found: usize;
    // SAFETY: as the caller promises. Without a lock prefix it is whole for signal handlers alone.
    unsafe {
        asm!("cmpxchg qword ptr [{word}], {new}", word = in(reg) word, new = in(reg) new,
            inout("rax") old => found, options(nostack));
    }
    found == old
}

/// Adds one to a counter that stays at its end once it is there; true then. A signal handler that comes in
/// between two instructions at that moment finds it one too small.
///
/// # Safety
/// As [`add_at`], of 32 bits.
#[inline(always)]
pub(crate) unsafe fn increment_saturating(counter: *mut u32) -> bool {
    let full: u8;
    // SAFETY: as the caller promises.
    unsafe {
        asm!(
            "add dword ptr [{counter}], 1",
            "jnc 2f",
            "mov dword ptr [{counter}], -1",
            "stc",
            "2: setc {full}",
            counter = in(reg) counter,
            full = out(reg_byte) full,
            options(nostack),
        );
    }
    full != 0
}

/// Declares an exported allocation function: it calls the next definition with the stack as the
/// caller left it but for one word, the size, and goes on to the recording if that gave memory.
///
/// What the recording needs survives the call by itself: the size on the stack, the caller's rbp in
/// rbp, and the address of the return address is rsp. The unwind rules are stated, so that
/// debuggers and the program's own unwinding pass through.
macro_rules! hook {
    ($(#[$doc:meta])* $name:ident, $slot:path, function $function:literal, pushes $($size:literal),+) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// As the C function of this name.
        #[cfg_attr(not(test), unsafe(no_mangle))]
        #[cfg_attr(test, allow(dead_code))]
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name() {
            crate::arch::hook_body!($slot, $function, $($size),+)
        }
    };
}
pub(crate) use hook;

/// Declares an exported function of three arguments that hands them, the address of its return
/// address and the frame pointer to `$body`.
///
/// The frame is left as the call made it.
macro_rules! entry {
    ($(#[$doc:meta])* $name:ident, $body:path) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// As the C function of this name.
        #[cfg_attr(not(test), unsafe(no_mangle))]
        #[cfg_attr(test, allow(dead_code))]
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                ".cfi_startproc",
                "endbr64",
                "mov rcx, rsp",
                "mov r8, rbp",
                "jmp {body}",
                ".cfi_endproc",
                body = sym $body,
            )
        }
    };
}
pub(crate) use entry;
