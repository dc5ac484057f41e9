//! The exported functions: they call the next definition and jump to the code that records.
//!
//! May run at any moment of the program's life.

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

/// Declares an exported function that jumps to the address in `$slot`.
macro_rules! jump {
    ($(#[$doc:meta])* $name:ident, $slot:path) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The contract of the C function of this name.
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

/// `realloc` when blocks are not tracked: a hook like any other.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn realloc_counted() {
    hook_body!(crate::real::REALLOC, 2, "push rsi")
}

/// `realloc` when blocks are tracked: calls [`crate::live::hooks::realloc`].
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
/// `syscall`: jumps to the next definition with all arguments, after it has checked for one call
/// ([`crate::confined`]) and announced calls that give up rights ([`crate::rights`]).
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
        first = const super::system_call::FIRST_NUMBER,
        numbers = const super::system_call::NUMBERS,
        seccomp = const libc::SYS_seccomp,
        unshare = const libc::SYS_unshare,
        setns = const libc::SYS_setns,
        landlock = const libc::SYS_landlock_restrict_self,
        set = sym crate::confined::set_by_syscall,
        before = sym crate::rights::before_syscall,
        next = sym crate::real::SYSCALL,
    )
}

/// Declares exported functions that are announced to [`crate::rights`] before they run. Each then
/// jumps to the next definition with all arguments.
macro_rules! announced {
    ($($(#[$doc:meta])* $name:ident, $symbol:literal;)*) => { $(
        $(#[$doc])*
        ///
        /// # Safety
        /// The contract of the C function of this name.
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

/// Declares an exported allocation function: it calls the next definition with the stack as the
/// caller left it but for one word, the size, and goes on to the recording if that gave memory.
///
/// What the recording needs survives the call by itself: the size on the stack, the caller's rbp in
/// rbp, and the address of the return address is rsp. The unwind rules are stated, so that
/// debuggers and the program's own unwinding pass through.
///
/// The size is the first argument, the second, or the product of both.
macro_rules! hook {
    ($(#[$doc:meta])* $name:ident, $slot:path, function $function:literal, size first) => {
        $crate::arch::hook! { @ $(#[$doc])* $name, $slot, $function, "push rdi" }
    };
    ($(#[$doc:meta])* $name:ident, $slot:path, function $function:literal, size second) => {
        $crate::arch::hook! { @ $(#[$doc])* $name, $slot, $function, "push rsi" }
    };
    ($(#[$doc:meta])* $name:ident, $slot:path, function $function:literal, size product) => {
        $crate::arch::hook! {
            @ $(#[$doc])* $name, $slot, $function, "mov rax, rdi", "imul rax, rsi", "push rax"
        }
    };
    (@ $(#[$doc:meta])* $name:ident, $slot:path, $function:literal, $($size:literal),+) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The contract of the C function of this name.
        #[cfg_attr(not(test), unsafe(no_mangle))]
        #[cfg_attr(test, allow(dead_code))]
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name() {
            crate::arch::hook_body!($slot, $function, $($size),+)
        }
    };
}
pub(crate) use hook;

/// Declares an exported function of three arguments that passes them, the address of its return
/// address and the frame pointer to `$body`.
///
/// The frame is left as the call made it.
macro_rules! entry {
    ($(#[$doc:meta])* $name:ident, $body:path) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The contract of the C function of this name.
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
