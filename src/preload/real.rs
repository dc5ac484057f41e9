//! The functions that the program would have reached without this library.
//!
//! Each starts as a function that looks all of them up and then calls the right one, so that the
//! hooks need no "is it there yet?". The lookup needs neither dlsym nor memory ([`elf`]), so there
//! is no bootstrap buffer that could run out.
//!
//! May run at any moment, before the constructor included.

use crate::kernel::syscall;
use crate::{arch, c_library, elf, hooks, sys};
use core::ffi::{CStr, c_char, c_int, c_long, c_ulong, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

macro_rules! real {
    ($($slot:ident $symbol:literal fn $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty, or $missing:expr;)*) => {
        $(
            pub(crate) static $slot: AtomicPtr<c_void> = AtomicPtr::new($name::first as *mut c_void);

            /// Calls the next definition of the C function of this name.
            ///
            /// # Safety
            /// As the C function.
            #[inline(always)]
            #[allow(dead_code)] // Of some only the address is needed.
            pub(crate) unsafe fn $name($($arg: $ty),*) -> $ret {
                // SAFETY: the slot holds `first` below or a definition of the C function.
                unsafe {
                    let f: unsafe extern "C" fn($($ty),*) -> $ret =
                        core::mem::transmute(($slot).load(Relaxed));
                    f($($arg),*)
                }
            }

            mod $name {
                use super::*;

                #[cold]
                pub(super) unsafe extern "C" fn first($($arg: $ty),*) -> $ret {
                    look_up();
                    // SAFETY: the slot was just replaced, so this does not come back here.
                    unsafe { super::$name($($arg),*) }
                }

                /// Where no object defines the function: answers as a C library that has run out
                /// of memory would.
                #[cold]
                pub(super) unsafe extern "C" fn missing($(_: $ty),*) -> $ret {
                    $missing
                }
            }
        )*

        /// Fills the slots of the functions with fixed arguments.
        fn look_up_fixed() {
            $(
                const _: &CStr = $symbol;
                let found = find($symbol);
                let found = if found.is_null() { $name::missing as *mut c_void } else { found };
                $slot.store(found, Relaxed);
            )*
        }

        /// Returns whether one of the interposed functions lies at this address.
        pub(crate) fn is_interposed(address: u64) -> bool {
            [$(&$slot),*].iter().any(|slot| slot.load(Relaxed) as u64 == address)
        }
    };
}

/// What the slot of this name holds; null where nobody defines it.
fn find(name: &CStr) -> *mut c_void {
    // That of another allocator would look in front of a block for what is not there.
    if name == c"malloc_usable_size" {
        elf::definition_beside(c"malloc", name)
    } else {
        elf::next_definition(name)
    }
}

/// Fills all slots. Repeating it, from several threads too, stores the same values again.
pub(crate) extern "C" fn look_up() {
    #[cfg(not(test))]
    crate::own_libc::look_up();
    look_up_fixed();
    c_library::replace_nested();
    // What is there may already lead elsewhere.
    let first = arch::first_free as *mut c_void;
    let _ = hooks::FREE.compare_exchange(first, FREE.load(Relaxed), Relaxed, Relaxed);
    for (slot, name) in [(&PRCTL, c"prctl"), (&SYSCALL, c"syscall")] {
        let found = elf::next_definition(name);
        let found = if found.is_null() {
            not_supported as *mut c_void
        } else {
            found
        };
        slot.store(found, Relaxed);
    }
}

/// The next `prctl`, which takes as many arguments as its first says.
pub(crate) static PRCTL: AtomicPtr<c_void> = AtomicPtr::new(arch::first_prctl as *mut c_void);
/// The next `syscall`, which takes as many arguments as its first says.
pub(crate) static SYSCALL: AtomicPtr<c_void> = AtomicPtr::new(arch::first_syscall as *mut c_void);

/// Answers as a kernel without the call would.
pub(crate) extern "C" fn not_supported() -> c_long {
    sys::set_errno(libc::ENOSYS);
    -1
}

/// Calls the next `prctl`.
///
/// # Safety
/// As the C function.
pub(crate) unsafe fn prctl(option: c_int, a: c_ulong, b: c_ulong, c: c_ulong, d: c_ulong) -> c_int {
    // SAFETY: the slot holds a definition of the C function, or one that looks it up and jumps to it.
    unsafe {
        let f: unsafe extern "C" fn(c_int, ...) -> c_int =
            core::mem::transmute(PRCTL.load(Relaxed));
        f(option, a, b, c, d)
    }
}

/// Calls the next `syscall` with three arguments.
///
/// # Safety
/// As the C function.
pub(crate) unsafe fn syscall(number: c_long, a: c_ulong, b: c_ulong, c: c_ulong) -> c_long {
    // SAFETY: the word holds the address of a definition of `syscall`; the arguments are the caller's own.
    unsafe {
        let f: unsafe extern "C" fn(c_long, ...) -> c_long =
            core::mem::transmute(SYSCALL.load(Relaxed));
        f(number, a, b, c)
    }
}

fn out_of_memory() -> *mut c_void {
    sys::set_errno(libc::ENOMEM);
    ptr::null_mut()
}

fn end(status: c_int) -> ! {
    // SAFETY: ends the process; nothing returns.
    unsafe {
        syscall!(libc::SYS_exit_group, status);
    }
    loop {
        core::hint::spin_loop();
    }
}

real! {
    MALLOC c"malloc" fn malloc(size: usize) -> *mut c_void, or out_of_memory();
    CALLOC c"calloc" fn calloc(count: usize, size: usize) -> *mut c_void, or out_of_memory();
    REALLOC c"realloc" fn realloc(block: *mut c_void, size: usize) -> *mut c_void, or out_of_memory();
    REALLOCARRAY c"reallocarray" fn reallocarray(block: *mut c_void, count: usize, size: usize) -> *mut c_void, or out_of_memory();
    POSIX_MEMALIGN c"posix_memalign" fn posix_memalign(out: *mut *mut c_void, align: usize, size: usize) -> c_int, or libc::ENOMEM;
    ALIGNED_ALLOC c"aligned_alloc" fn aligned_alloc(align: usize, size: usize) -> *mut c_void, or out_of_memory();
    MEMALIGN c"memalign" fn memalign(align: usize, size: usize) -> *mut c_void, or out_of_memory();
    VALLOC c"valloc" fn valloc(size: usize) -> *mut c_void, or out_of_memory();
    PVALLOC c"pvalloc" fn pvalloc(size: usize) -> *mut c_void, or out_of_memory();
    EXIT_NOW c"_exit" fn exit_now(status: c_int) -> (), or end(status_of_missing());
    QUICK_EXIT c"quick_exit" fn quick_exit(status: c_int) -> (), or end(status_of_missing());
    FREE c"free" fn free(block: *mut c_void) -> (), or ();
    MALLOC_USABLE_SIZE c"malloc_usable_size" fn malloc_usable_size(block: *mut c_void) -> usize, or 0;
    PTHREAD_SETNAME_NP c"pthread_setname_np" fn pthread_setname_np(thread: usize, name: *const c_char) -> c_int, or libc::ENOSYS;
    DLCLOSE c"dlclose" fn dlclose(handle: *mut c_void) -> c_int, or -1;
}

fn status_of_missing() -> c_int {
    libc::EXIT_FAILURE
}
