//! The C library's functions as this library calls them, under their own names and hidden.
//!
//! A program, or another preloaded library, may define `open`, `clock_gettime` or `memcpy` itself: to fake
//! the time, to count, to inject faults, to keep a cache. Such a function may allocate, fail, lock or abort,
//! and at exit its library has been torn down before ours writes the report. So none of this library's
//! calls leaves it by a name: the linker finds the definitions here, for std and all crates too.
//!
//! | kind | here |
//! |---|---|
//! | system calls | made directly ([`crate::kernel`]) |
//! | the time | the kernel's function in the vDSO, else the system call |
//! | what has state in the C library (errno, keys, locks, exit handlers, its objects) | the C library's own function, by its address |
//! | blocks of memory, strings | the C library's own, once it is relocated; before, a few instructions |
//! | what std calls on ways that are never taken | does nothing, or fails |
//!
//! What remains undefined is data of the loader and of the C library (`exports::nothing_is_called_by_name`). `syscall`,
//! which is exported, is called by std alone, where two threads meet at one of its locks.
//!
//! May run at any moment, before the constructor included.

#![cfg(not(test))] // The unit tests are programs, whose own functions these names would replace.

use crate::arch::{
    skipheap_memcmp, skipheap_memcpy, skipheap_memmove, skipheap_memset, skipheap_strlen,
};
use crate::c_library::{self, FindObject};
use crate::elf::LinkMap;
use crate::{arch, elf, kernel, sys, unwind};
use core::ffi::{CStr, c_int, c_long, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// Defines a function of the C library for this library alone: it goes on to a function of ours.
macro_rules! hidden {
    ($name:literal, $function:path) => {
        arch::define_as! { $name, $function }
    };
}

/// Defines functions of the C library by a system call with the same arguments.
macro_rules! system_calls {
    ($($name:literal $function:ident = $number:ident($($argument:tt),*);)*) => { $(
        /// As the C function of this name.
        unsafe extern "C" fn $function(
            a: usize, b: usize, c: usize, d: usize, e: usize, f: usize,
        ) -> isize {
            let _ = (a, b, c, d, e, f);
            let given = [$(system_calls!(@ $argument, a b c d e f)),*];
            let mut arguments = [0; 6];
            for (argument, value) in arguments.iter_mut().zip(given) {
                *argument = value;
            }
            // SAFETY: the caller keeps the contract of the C function, which is that of the call.
            kernel::with_errno(unsafe { kernel::call(libc::$number, arguments) })
        }
        hidden!($name, $function);
    )* };
    (@ a, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident) => { $a };
    (@ b, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident) => { $b };
    (@ c, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident) => { $c };
    (@ d, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident) => { $d };
    (@ e, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident) => { $e };
    (@ f, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident) => { $f };
    (@ HERE, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident) => { libc::AT_FDCWD as usize };
    (@ NO_LINK, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident) => {
        libc::AT_SYMLINK_NOFOLLOW as usize
    };
    (@ $number:literal, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident) => { $number };
}

// The calls are those that the C library itself makes: filters of system calls are written for it.
system_calls! {
    "close" close = SYS_close(a);
    "dup3" dup3 = SYS_dup3(a, b, c);
    "fcntl" fcntl = SYS_fcntl(a, b, c);
    "fstat" fstat = SYS_fstat(a, b);
    "fstat64" fstat64 = SYS_fstat(a, b);
    "fstatfs" fstatfs = SYS_fstatfs(a, b);
    "ftruncate" ftruncate = SYS_ftruncate(a, b);
    "geteuid" geteuid = SYS_geteuid(0);
    "getpid" getpid = SYS_getpid(0);
    "getppid" getppid = SYS_getppid(0);
    "getrandom" getrandom = SYS_getrandom(a, b, c);
    "getrlimit" getrlimit = SYS_prlimit64(0, a, 0, b);
    "gettid" gettid = SYS_gettid(0);
    "ioctl" ioctl = SYS_ioctl(a, b, c);
    "lseek64" lseek64 = SYS_lseek(a, b, c);
    "lstat" lstat = SYS_newfstatat(HERE, a, b, NO_LINK);
    "lstat64" lstat64 = SYS_newfstatat(HERE, a, b, NO_LINK);
    "madvise" madvise = SYS_madvise(a, b, c);
    "mmap" mmap = SYS_mmap(a, b, c, d, e, f);
    "mmap64" mmap64 = SYS_mmap(a, b, c, d, e, f);
    "mprotect" mprotect = SYS_mprotect(a, b, c);
    "mremap" mremap = SYS_mremap(a, b, c, d, e);
    "munmap" munmap = SYS_munmap(a, b);
    "open" open = SYS_openat(HERE, a, b, c);
    "open64" open64 = SYS_openat(HERE, a, b, c);
    "pread" pread = SYS_pread64(a, b, c, d);
    "pread64" pread64 = SYS_pread64(a, b, c, d);
    "process_vm_readv" process_vm_readv = SYS_process_vm_readv(a, b, c, d, e, f);
    "pwrite" pwrite = SYS_pwrite64(a, b, c, d);
    "read" read = SYS_read(a, b, c);
    "sched_yield" sched_yield = SYS_sched_yield(0);
    "stat" stat = SYS_newfstatat(HERE, a, b, 0);
    "stat64" stat64 = SYS_newfstatat(HERE, a, b, 0);
    "statx" statx = SYS_statx(a, b, c, d, e);
    "write" write = SYS_write(a, b, c);
    "writev" writev = SYS_writev(a, b, c);
}
arch::path_calls! { system_calls }

const fn name_of(text: &str) -> &CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(name) => name,
        Err(_) => c"",
    }
}

/// The definition in the first of the objects that has one; null where none has.
fn find(objects: &[Option<&LinkMap>], name: &CStr) -> *mut c_void {
    let found = |object: &&LinkMap| elf::definition_in(object, name);
    let mut found = objects.iter().flatten().map(found);
    found
        .find(|address| !address.is_null())
        .unwrap_or(ptr::null_mut())
}

/// Defines functions of the C library that go on to its own definition, whose address `$slot` holds once it
/// was looked up; where the C library has none, `$missing` serves.
macro_rules! forwarded {
    ($($name:literal $slot:ident $first:ident else $missing:path;)*) => {
        $(
            static $slot: AtomicPtr<c_void> = AtomicPtr::new($first as *mut c_void);
            arch::look_up_and_jump! { /// The first call: looks all of them up, and goes on.
            $first, $slot }
            arch::define_by_slot!($name, $slot);
        )*

        /// Finds the C library's functions. Repeating it stores the same values again.
        pub(crate) fn look_up() {
            let objects = [c_library::object(), elf::loader()];
            $(
                let name = const { name_of(concat!($name, "\0")) };
                let found = c_library::substitute(name);
                let found = match found.is_null() {
                    true => find(&objects, c_library::name_of(name)),
                    false => found,
                };
                let found = if found.is_null() { $missing as *mut c_void } else { found };
                $slot.store(found, Relaxed);
            )*
        }
    };
}

forwarded! {
    "__cxa_at_quick_exit" AT_QUICK_EXIT first_at_quick_exit else fails;
    "__cxa_atexit" ATEXIT first_atexit else fails;
    "__cxa_thread_atexit_impl" THREAD_ATEXIT first_thread_atexit else fails;
    "__errno_location" ERRNO first_errno else no_errno;
    "__pthread_key_create" KEY_CREATE_OLD first_key_create_old else fails;
    "__register_atfork" ATFORK first_atfork else fails;
    "__xpg_strerror_r" STRERROR first_strerror else fails;
    "_dl_find_object" FIND_OBJECT first_find_object else find_object;
    "dl_iterate_phdr" ITERATE first_iterate else does_nothing;
    "getauxval" AUXVAL first_auxval else does_nothing;
    "pthread_key_create" KEY_CREATE first_key_create else fails;
    "pthread_key_delete" KEY_DELETE first_key_delete else fails;
    "pthread_mutex_lock" LOCK first_lock else does_nothing;
    "pthread_mutex_unlock" UNLOCK first_unlock else does_nothing;
    "pthread_once" ONCE first_once else fails;
    "pthread_setcancelstate" CANCEL_STATE first_cancel_state else does_nothing;
    "pthread_setspecific" SET_SPECIFIC first_set_specific else fails;
}

extern "C" fn fails() -> c_int {
    -1
}

extern "C" fn does_nothing() -> c_long {
    0
}

/// `_dl_find_object` of glibc, for the unwinder in this library, where the C library has none: glibc before
/// 2.35, and musl. libgcc from version 12 on asks nothing else for unwind information, and aborts the process
/// if it gets none of its own frames. An object without `.eh_frame_hdr` has nothing that it could read.
///
/// # Safety
/// `result` can be written to. `address` is one of code that runs or is about to be returned to, so that
/// its object is mapped.
unsafe extern "C" fn find_object(address: u64, result: *mut FindObject) -> c_int {
    let found = unwind::find(address).filter(|found| found.eh_frame_hdr != 0);
    let Some(found) = found else { return -1 };
    // SAFETY: the caller's own structure, as it promises.
    unsafe {
        result.write(FindObject {
            flags: 0,
            map_start: found.start,
            map_end: found.end,
            link_map: ptr::null(),
            eh_frame: found.eh_frame_hdr,
            reserved: [0; 7],
        });
    }
    0
}

/// Where errno is kept when nobody tells where the C library keeps it: not the program's, and never read.
extern "C" fn no_errno() -> *mut c_int {
    static NOWHERE: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
    NOWHERE.as_ptr().cast()
}

/// Defines functions that are a few instructions until [`settle`] has found the C library's.
macro_rules! fast_later {
    ($($name:literal $slot:ident $now:path;)*) => {
        $(
            static $slot: AtomicPtr<c_void> = AtomicPtr::new($now as *mut c_void);
            arch::define_by_slot!($name, $slot);
        )*

        fn find_fast() {
            let objects = [c_library::object()];
            $(
                let name = const { name_of(concat!($name, "\0")) };
                let found = find(&objects, name);
                if !found.is_null() {
                    $slot.store(found, Relaxed);
                }
            )*
        }
    };
}

fast_later! {
    "memcpy" MEMCPY skipheap_memcpy;
    "memmove" MEMMOVE skipheap_memmove;
    "memset" MEMSET skipheap_memset;
    "memcmp" MEMCMP skipheap_memcmp;
    "bcmp" BCMP skipheap_memcmp;
    "strlen" STRLEN skipheap_strlen;
}

/// `clock_gettime`: the function of the vDSO, or the system call.
static CLOCK: AtomicPtr<c_void> = AtomicPtr::new(clock_gettime as *mut c_void);
arch::define_by_slot!("clock_gettime", CLOCK);

unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    let arguments = [clock as usize, time as usize, 0, 0, 0, 0];
    // SAFETY: the caller's own place for the time.
    kernel::with_errno(unsafe { kernel::call(libc::SYS_clock_gettime, arguments) }) as c_int
}

/// Once the loader has relocated everything: takes the functions that choose themselves by the processor, and
/// that of the kernel.
pub(crate) fn settle() {
    find_fast();
    // SAFETY: no preconditions.
    let vdso = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) } as usize;
    let vdso = elf::objects().find(|object| vdso != 0 && object.l_addr == vdso);
    let clock = find(&[vdso], c"__vdso_clock_gettime");
    if !clock.is_null() {
        CLOCK.store(clock, Relaxed);
    }
}

hidden!("abort", abort);
hidden!("sysconf", sysconf);
hidden!("getcwd", getcwd);
hidden!("getenv", does_nothing);
hidden!("realpath", not_there);
hidden!("__cxa_finalize", does_nothing);

/// Ends the process by SIGABRT, whatever the program has set for it.
extern "C" fn abort() -> ! {
    /// `struct sigaction` of the kernel: the default action, no flags, nothing blocked.
    static DEFAULT: [u64; 4] = [0; 4];
    let none = 0_u64;
    loop {
        // SAFETY: the structures are of the kernel's size, and what is changed no longer matters.
        unsafe {
            let signal = libc::SIGABRT as usize;
            let action = [signal, DEFAULT.as_ptr() as usize, 0, 8, 0, 0];
            kernel::call(libc::SYS_rt_sigaction, action);
            let mask = [
                libc::SIG_SETMASK as usize,
                &raw const none as usize,
                0,
                8,
                0,
                0,
            ];
            kernel::call(libc::SYS_rt_sigprocmask, mask);
            let this = [sys::pid() as usize, sys::tid() as usize, signal, 0, 0, 0];
            kernel::call(libc::SYS_tgkill, this);
            kernel::call(libc::SYS_exit_group, [127, 0, 0, 0, 0, 0]);
        }
    }
}

/// The size of a page, which is all that std and the crates ask for.
extern "C" fn sysconf(name: c_int) -> c_long {
    if name == libc::_SC_PAGESIZE { 4096 } else { -1 }
}

unsafe extern "C" fn getcwd(buffer: *mut u8, len: usize) -> *mut u8 {
    let arguments = [buffer as usize, len, 0, 0, 0, 0];
    // SAFETY: the caller's own buffer.
    let result = unsafe { kernel::call(libc::SYS_getcwd, arguments) };
    if kernel::with_errno(result) < 0 {
        ptr::null_mut()
    } else {
        buffer
    }
}

/// std resolves paths in its own messages about panics alone, which are not printed here.
extern "C" fn not_there() -> *mut c_void {
    sys::set_errno(libc::ENOENT);
    ptr::null_mut()
}
