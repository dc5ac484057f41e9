//! The exported functions: they call the next definition and jump to the code that records.
//!
//! A hook makes a frame of its own, like every function that calls another:
//!
//! ```text
//! sp + 24   the return address: `entry`
//! sp + 16   the caller's x29; x29 points here
//! sp        the size
//! ```
//!
//! The paths that it jumps to ([`super::hot`]) expect this frame and remove it.
//!
//! May run at any moment of the program's life.

/// Saves all argument registers, calls a function and restores them.
macro_rules! with_arguments_saved {
    ($call:literal) => {
        concat!(
            "stp x29, x30, [sp, #-96]!\n",
            ".cfi_def_cfa_offset 96\n .cfi_offset x29, -96\n .cfi_offset x30, -88\n",
            "mov x29, sp\n",
            "stp x0, x1, [sp, #16]\n",
            "stp x2, x3, [sp, #32]\n",
            "stp x4, x5, [sp, #48]\n",
            "stp x6, x7, [sp, #64]\n",
            "str x8, [sp, #80]\n",
            $call,
            "ldr x8, [sp, #80]\n",
            "ldp x6, x7, [sp, #64]\n",
            "ldp x4, x5, [sp, #48]\n",
            "ldp x2, x3, [sp, #32]\n",
            "ldp x0, x1, [sp, #16]\n",
            "ldp x29, x30, [sp], #96\n",
            ".cfi_def_cfa_offset 0\n .cfi_restore x29\n .cfi_restore x30\n",
        )
    };
}
pub(crate) use with_arguments_saved;

macro_rules! look_up_and_jump {
    ($(#[$doc:meta])* $name:ident, $slot:path) => {
        $(#[$doc])*
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                ".cfi_startproc",
                "hint #34", // bti c
                $crate::arch::with_arguments_saved!("bl {look_up}\n"),
                "adrp x16, {slot}",
                "ldr x16, [x16, :lo12:{slot}]",
                "br x16",
                ".cfi_endproc",
                look_up = sym $crate::real::look_up,
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

/// The body of a [`hook!`]: calls the next definition and, if that returned memory, jumps to the
/// code that records.
macro_rules! hook_body {
    ($slot:path, $function:literal, $size:literal) => {
        core::arch::naked_asm!(
            ".cfi_startproc",
            "hint #34", // bti c
            "sub sp, sp, #32",
            ".cfi_def_cfa_offset 32",
            "stp x29, x30, [sp, #16]",
            ".cfi_offset x29, -16\n .cfi_offset x30, -8",
            "add x29, sp, #16",
            $size,
            "adrp x16, {next}",
            "ldr x16, [x16, :lo12:{next}]",
            "blr x16",
            "cbz x0, 2f",
            "ldr x1, [sp]",
            ".if {function}",
            // (No block has so many bytes that these bits are not 0.)
            "movk x1, #{function}, lsl #{size_bits}",
            ".endif",
            "adrp x16, {record}",
            "ldr x16, [x16, :lo12:{record}]",
            "br x16",
            "2: ldp x29, x30, [sp, #16]",
            "add sp, sp, #32",
            ".cfi_def_cfa_offset 0\n .cfi_restore x29\n .cfi_restore x30",
            "ret",
            ".cfi_endproc",
            next = sym $slot,
            function = const $function,
            size_bits = const skipheap_format::layout::SIZE_BITS,
            record = sym $crate::hot::RECORD,
        )
    };
}
pub(crate) use hook_body;
const _: () = assert!(skipheap_format::layout::SIZE_BITS == 48);

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
                "hint #34", // bti c
                "adrp x16, {slot}",
                "ldr x16, [x16, :lo12:{slot}]",
                "br x16",
                slot = sym $slot,
            )
        }
    };
}
pub(crate) use jump;

/// `realloc` when blocks are not tracked: a hook like any other.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn realloc_counted() {
    hook_body!(crate::real::REALLOC, 2, "str x1, [sp]")
}

/// `realloc` when blocks are tracked: calls [`crate::live::hooks::realloc`].
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn realloc_followed() {
    hook_body!(crate::live::hooks::REAL_REALLOC, 2, "str x1, [sp]")
}

/// `prctl`: jumps to the next definition with all arguments, after it has checked for one option
/// ([`crate::confined`]).
///
/// # Safety
/// The contract of the C function of this name.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[cfg_attr(test, allow(dead_code))]
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn prctl() {
    core::arch::naked_asm!(
        "hint #34", // bti c
        "cmp w0, #{name}",
        "b.eq 2f",
        "cmp w0, #{tsc}",
        "b.eq 2f",
        "cmp w0, #{seccomp}",
        "b.eq 2f",
        "adrp x16, {next}",
        "ldr x16, [x16, :lo12:{next}]",
        "br x16",
        "2: b {set}",
        name = const libc::PR_SET_NAME,
        tsc = const libc::PR_SET_TSC,
        seccomp = const libc::PR_SET_SECCOMP,
        set = sym crate::confined::set_by_prctl,
        next = sym crate::real::PRCTL,
    )
}

/// `syscall`: jumps to the next definition with all arguments, after it has checked for one call
/// ([`crate::confined`]) and announced calls that give up rights ([`crate::rights`]).
///
/// # Safety
/// The contract of the C function of this name.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[cfg_attr(test, allow(dead_code))]
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn syscall() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "hint #34", // bti c
        "cmp x0, #{seccomp}",
        "b.eq 4f",
        // The numbers of those that give up rights, each of the sets of 64 in one word.
        "adrp x9, {numbers}",
        "add x9, x9, :lo12:{numbers}",
        "lsr x10, x0, #6",
        "cmp x10, #{sets}",
        "b.hs 2f",
        "ldr x9, [x9, x10, lsl #3]",
        "lsr x9, x9, x0",
        "tbnz x9, #0, 3f",
        "2: adrp x16, {next}",
        "ldr x16, [x16, :lo12:{next}]",
        "br x16",
        "3:",
        with_arguments_saved!("bl {before}\n"),
        "b 2b",
        "4: b {set}",
        ".cfi_endproc",
        seccomp = const libc::SYS_seccomp,
        numbers = sym super::system_call::NUMBERS,
        sets = const super::system_call::SETS,
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
                "hint #34", // bti c
                $crate::arch::with_arguments_saved!(
                    "adrp x0, {function}\n add x0, x0, :lo12:{function}\n bl {before}\n"
                ),
                "adrp x16, {function}",
                "ldr x16, [x16, :lo12:{function}]",
                "br x16",
                ".cfi_endproc",
                function = sym FUNCTION,
                before = sym $crate::rights::before,
            )
        }
    )* };
}
pub(crate) use announced;

/// Declares an exported allocation function: it calls the next definition with the same arguments
/// and, if that returned memory, jumps to the code that records. It has unwind information, so
/// debuggers and the program's own unwinder can pass through.
///
/// The size is the first argument, the second, or the product of both.
macro_rules! hook {
    ($(#[$doc:meta])* $name:ident, $slot:path, function $function:literal, size first) => {
        $crate::arch::hook! { @ $(#[$doc])* $name, $slot, $function, "str x0, [sp]" }
    };
    ($(#[$doc:meta])* $name:ident, $slot:path, function $function:literal, size second) => {
        $crate::arch::hook! { @ $(#[$doc])* $name, $slot, $function, "str x1, [sp]" }
    };
    ($(#[$doc:meta])* $name:ident, $slot:path, function $function:literal, size product) => {
        $crate::arch::hook! {
            @ $(#[$doc])* $name, $slot, $function, "mul x9, x0, x1\n str x9, [sp]"
        }
    };
    (@ $(#[$doc:meta])* $name:ident, $slot:path, $function:literal, $size:literal) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The contract of the C function of this name.
        #[cfg_attr(not(test), unsafe(no_mangle))]
        #[cfg_attr(test, allow(dead_code))]
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name() {
            $crate::arch::hook_body!($slot, $function, $size)
        }
    };
}
pub(crate) use hook;

/// Declares an exported function of three arguments that passes them, the address of its return
/// address and the frame pointer to `$body`.
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
                "hint #34", // bti c
                "mov x4, x29",
                "stp x29, x30, [sp, #-16]!",
                ".cfi_def_cfa_offset 16\n .cfi_offset x29, -16\n .cfi_offset x30, -8",
                "mov x29, sp",
                "add x3, sp, #8",
                "bl {body}",
                "ldp x29, x30, [sp], #16",
                ".cfi_def_cfa_offset 0\n .cfi_restore x29\n .cfi_restore x30",
                "ret",
                ".cfi_endproc",
                body = sym $body,
            )
        }
    };
}
pub(crate) use entry;
