//! Every system call of the cold paths, with its contract. Nothing else in the library calls the
//! kernel, but for the file access of the exit report.
//!
//! May run at any moment. Nothing here allocates; errno may change, and callers restore it.

use core::ffi::c_int;
use core::mem::MaybeUninit;
use core::ptr;

const READ_WRITE: c_int = libc::PROT_READ | libc::PROT_WRITE;

/// Maps `len` bytes of zeroed private memory, where the kernel likes or, with `MAP_FIXED`, at `start`; null
/// when there is none.
///
/// # Safety
/// What is mapped at a fixed place is the caller's, page by page.
unsafe fn map(start: *mut u8, len: usize, protection: c_int, fixed: c_int) -> *mut u8 {
    // Miri knows only the plain ones.
    let lazily = if cfg!(miri) { 0 } else { libc::MAP_NORESERVE };
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | lazily | fixed;
    // SAFETY: a fresh anonymous mapping disturbs nothing but what the caller gives up.
    let p = unsafe { libc::mmap(start.cast(), len, protection, flags, -1, 0) };
    if p == libc::MAP_FAILED {
        ptr::null_mut()
    } else {
        p.cast()
    }
}

/// Maps `len` bytes of zeroed private memory; null when there is none.
pub(crate) fn map_private(len: usize) -> *mut u8 {
    // SAFETY: at no fixed place.
    unsafe { map(ptr::null_mut(), len, READ_WRITE, 0) }
}

/// Maps `len` bytes of zeroed private memory that read as zeros again in a child of fork.
///
/// Null when there is no memory or the kernel (before 4.14) cannot wipe on fork.
pub(crate) fn map_wiped_on_fork(len: usize) -> *mut u8 {
    let p = map_private(len);
    if p.is_null() {
        return p;
    }
    // SAFETY: the range is the mapping just made.
    unsafe {
        if libc::madvise(p.cast(), len, libc::MADV_WIPEONFORK) != 0 {
            libc::munmap(p.cast(), len);
            return ptr::null_mut();
        }
    }
    p
}

/// Maps a stack of `len` bytes, the lowest `guard` of them without access; its end, or 0. Does without
/// `mprotect`, which a program may have given up (seccomp).
pub(crate) fn map_stack(len: usize, guard: usize) -> usize {
    // SAFETY: at no fixed place; then over all of it but the guard.
    unsafe {
        let start = map(ptr::null_mut(), len, libc::PROT_NONE, 0);
        if start.is_null() {
            return 0;
        }
        let stack = map(start.add(guard), len - guard, READ_WRITE, libc::MAP_FIXED);
        if stack.is_null() {
            libc::munmap(start.cast(), len);
            return 0;
        }
        // Not for a child's sake: the leak check tells our own memory by this.
        libc::madvise(stack.cast(), len - guard, libc::MADV_WIPEONFORK);
        start as usize + len
    }
}

/// Unmaps what [`map_stack`] made.
pub(crate) fn unmap_stack(end: usize, len: usize) {
    // SAFETY: the caller gives the stack up.
    unsafe {
        libc::munmap((end - len) as *mut _, len);
    }
}

/// Puts private zeros in the place of a part of a mapping. Where there is no memory for that, the
/// mapping stays.
///
/// # Safety
/// `[start, start + len)` is mapped and the caller's, page by page.
pub(crate) unsafe fn map_zeros_over(start: *mut u8, len: usize) {
    // SAFETY: as the caller promises.
    unsafe {
        map(start, len, READ_WRITE, libc::MAP_FIXED);
    }
}

/// Unmaps a part of a mapping.
///
/// # Safety
/// As [`map_zeros_over`]; nobody uses the memory any more.
pub(crate) unsafe fn unmap(start: *mut u8, len: usize) {
    // SAFETY: as the caller promises.
    unsafe {
        libc::munmap(start.cast(), len);
    }
}

/// Has the pages of `[start, start + len)` allocated and writable now, without a signal when the
/// disk is full. Returns the error number on failure.
pub(crate) fn populate(start: *mut u8, len: usize) -> Result<(), c_int> {
    /// Linux 5.14; not yet in every libc crate.
    const MADV_POPULATE_WRITE: c_int = 23;
    loop {
        // SAFETY: advice about our own mapping; it changes no content.
        if unsafe { libc::madvise(start.cast(), len, MADV_POPULATE_WRITE) } == 0 {
            return Ok(());
        }
        let error = errno();
        if error != libc::EINTR && error != libc::EAGAIN {
            return Err(error);
        }
    }
}

/// The calling thread's errno.
pub(crate) fn errno() -> c_int {
    // SAFETY: the location is valid for the whole life of the thread.
    unsafe { *libc::__errno_location() }
}

/// Sets the calling thread's errno.
pub(crate) fn set_errno(value: c_int) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = value }
}

/// Blocks every signal for the calling thread, the C library's own ones included, and returns the
/// mask before.
pub(crate) fn block_signals() -> u64 {
    let all = u64::MAX;
    let mut before = 0_u64;
    // SAFETY: both pointers are to eight bytes, the size of the kernel's signal set.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const all,
            &raw mut before,
            8,
        );
    }
    before
}

/// Restores what [`block_signals`] returned.
pub(crate) fn restore_signals(mask: u64) {
    // SAFETY: as above.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            ptr::null_mut::<u64>(),
            8,
        );
    }
}

fn set_of(signal: c_int) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        set.assume_init()
    }
}

/// Does a blocked `signal` wait for the calling thread?
pub(crate) fn is_pending(signal: c_int) -> bool {
    let mut pending = set_of(signal);
    // SAFETY: both calls get an initialised set.
    unsafe {
        libc::sigpending(&raw mut pending) == 0
            && libc::sigismember(&raw const pending, signal) == 1
    }
}

/// Takes back a blocked `signal` that our own system call has raised.
pub(crate) fn take_pending(signal: c_int) {
    let set = set_of(signal);
    let now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointers are to initialised values; no information is wanted.
    unsafe {
        libc::sigtimedwait(&raw const set, ptr::null_mut(), &raw const now);
    }
}

/// Can eight bytes at `address` be read? Asks the kernel, which reports a fault and does not raise
/// one.
///
/// An invalid `how` makes the call change nothing: it copies the set in first (EFAULT when it
/// cannot) and then refuses (EINVAL).
pub(crate) fn is_readable(address: usize) -> bool {
    let before = errno();
    // SAFETY: with this `how` the call has no effect.
    let failed_with = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            !0_i64,
            address,
            ptr::null_mut::<u64>(),
            8_usize,
        );
        errno()
    };
    set_errno(before);
    failed_with == libc::EINVAL
}

/// Number of threads of the process; 0 when that cannot be known.
pub(crate) fn threads() -> u64 {
    let mut stat = core::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the path is a C string, and the stat is read only when the call filled it.
    unsafe {
        if libc::stat(c"/proc/self/task".as_ptr(), stat.as_mut_ptr()) != 0 {
            return 0;
        }
        // A folder has two links and one for each folder in it.
        stat.assume_init().st_nlink.saturating_sub(2)
    }
}

/// Does the calling thread have a shadow stack, on which return addresses cannot be replaced?
pub(crate) fn has_shadow_stack() -> bool {
    /// `<asm/prctl.h>` since Linux 6.6.
    const ARCH_SHSTK_STATUS: c_int = 0x5005;
    let mut features = 0_u64;
    // SAFETY: the kernel fills the word; kernels that do not know the request change nothing.
    let result =
        unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SHSTK_STATUS, &raw mut features) };
    result == 0 && features & 1 != 0
}

/// Process id, from the kernel.
pub(crate) fn pid() -> u32 {
    // SAFETY: no preconditions.
    unsafe { libc::getpid() as u32 }
}

/// Thread id, from the kernel.
pub(crate) fn tid() -> u32 {
    // SAFETY: no preconditions.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}

/// Is there no thread `tid` in this process?
pub(crate) fn is_dead(tid: u32) -> bool {
    // SAFETY: signal 0 is never sent; only the target's existence is checked.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid as c_int, 0) };
    result != 0 && errno() == libc::ESRCH
}

/// Gives the rest of the time slice away.
pub(crate) fn yield_now() {
    // SAFETY: no preconditions.
    unsafe {
        libc::sched_yield();
    }
}

/// Nanoseconds since 1970.
pub(crate) fn now_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec.
    unsafe {
        libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut time);
    }
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Reads `len` bytes of this process's memory at `start` into `buffer`, as far as they can be read.
pub(crate) fn read_own(start: usize, buffer: &mut [u64], len: usize) -> usize {
    let local = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: len.min(size_of_val(buffer)),
    };
    let remote = libc::iovec {
        iov_base: start as *mut _,
        iov_len: len,
    };
    // SAFETY: the kernel writes no more than the buffer holds, and reports what cannot be read.
    let read = unsafe {
        libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0)
    };
    usize::try_from(read).unwrap_or(0)
}

/// Nanoseconds of a clock that never jumps.
pub(crate) fn monotonic_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec.
    unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time);
    }
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Resident memory of the process in bytes; 0 when that cannot be known.
pub(crate) fn resident_bytes() -> u64 {
    /// Bytes of a page, in which the kernel counts.
    const PAGE: u64 = 4096;
    let mut buffer = [0; 128];
    let statm = read_file(b"/proc/self/statm\0", &mut buffer);
    let digits = statm.split(|&c| c == b' ').nth(1).unwrap_or(&[]);
    digits.iter().fold(0, |sum, digit| {
        sum * 10 + u64::from(digit.wrapping_sub(b'0'))
    }) * PAGE
}

/// Name of the calling thread, ended by NULs.
pub(crate) fn own_name() -> [u8; 16] {
    let mut name = [0; 16];
    // SAFETY: the kernel writes sixteen bytes at most. Not by `prctl`, which is interposed.
    unsafe {
        libc::syscall(libc::SYS_prctl, libc::PR_GET_NAME, name.as_mut_ptr());
    }
    name
}

/// Name of a thread of this process, ended by NULs; empty when there is none.
pub(crate) fn name_of_thread(tid: u32) -> [u8; 16] {
    let mut digits = [0; 10];
    let digits = crate::recording::decimal(&mut digits, tid);
    let mut path = [0; 64];
    let parts = [b"/proc/self/task/".as_slice(), digits, b"/comm\0"];
    let mut len = 0;
    for (slot, &byte) in path.iter_mut().zip(parts.iter().copied().flatten()) {
        *slot = byte;
        len += 1;
    }
    let mut name = [0; 16];
    let filled = read_file(path.get(..len).unwrap_or(b"\0"), &mut name).len();
    // Ended by a line feed.
    if let Some(last) = name.get_mut(filled.saturating_sub(1)..) {
        last.fill(0);
    }
    name
}

/// Soft limit of a resource; `u64::MAX` when unlimited or unknown.
pub(crate) fn soft_limit(resource: libc::__rlimit_resource_t) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to an rlimit.
    if unsafe { libc::getrlimit(resource, &raw mut limit) } == 0 {
        limit.rlim_cur
    } else {
        u64::MAX
    }
}

/// When the process started, in clock ticks since the machine did, as text; empty when that cannot be
/// known. An exec does not change it.
pub(crate) fn start_time(buffer: &mut [u8]) -> &[u8] {
    /// Fields of proc(5)'s `stat` between the command, which may hold anything, and `starttime`.
    const BETWEEN: usize = 19;
    let stat = read_file(b"/proc/self/stat\0", buffer);
    let behind = stat
        .iter()
        .rposition(|&c| c == b')')
        .map_or(stat.len(), |at| at + 1);
    stat.get(behind..)
        .and_then(|fields| fields.split(|&c| c == b' ').nth(BETWEEN + 1))
        .filter(|field| field.iter().all(u8::is_ascii_digit))
        .unwrap_or(&[])
}

/// Is `path` (NUL-terminated) a regular file of this user, and not a link?
pub(crate) fn is_own_file(path: &[u8]) -> bool {
    debug_assert!(path.contains(&0));
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the path ends with a NUL; the stat is read only when the call filled it.
    unsafe {
        libc::lstat(path.as_ptr().cast(), stat.as_mut_ptr()) == 0 && {
            let stat = stat.assume_init();
            stat.st_mode & libc::S_IFMT == libc::S_IFREG && stat.st_uid == libc::geteuid()
        }
    }
}

/// Renames `from` to `to` (both NUL-terminated).
pub(crate) fn rename(from: &[u8], to: &[u8]) -> bool {
    debug_assert!(from.contains(&0) && to.contains(&0));
    // SAFETY: both paths end with a NUL.
    unsafe { libc::rename(from.as_ptr().cast(), to.as_ptr().cast()) == 0 }
}

/// Random bytes; not for secrets, so a clock and the stack's address do where the kernel gives
/// none.
pub(crate) fn random() -> u64 {
    let mut value = 0_u64;
    // SAFETY: the pointer is to eight writable bytes.
    let got = unsafe { libc::syscall(libc::SYS_getrandom, &raw mut value, 8, libc::GRND_NONBLOCK) };
    if got == 8 {
        return value;
    }
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec.
    unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time);
    }
    (time.tv_nsec as u64 ^ (&raw const value as u64).rotate_left(17) ^ (u64::from(pid()) << 32))
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Creates `path` (NUL-terminated) for us alone: fails when anything is there already, links
/// included.
pub(crate) fn create_exclusively(path: &[u8]) -> Result<c_int, c_int> {
    debug_assert!(path.contains(&0));
    // SAFETY: the path ends with a NUL.
    let fd = unsafe {
        libc::open(
            path.as_ptr().cast(),
            libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC,
            0o600 as libc::c_uint,
        )
    };
    if fd < 0 { Err(errno()) } else { Ok(fd) }
}

/// Closes a descriptor that we own.
pub(crate) fn close(fd: c_int) {
    // SAFETY: the caller owns it.
    unsafe {
        libc::close(fd);
    }
}

/// Removes the name `path` (NUL-terminated).
pub(crate) fn unlink(path: &[u8]) {
    debug_assert!(path.contains(&0));
    // SAFETY: the path ends with a NUL.
    unsafe {
        libc::unlink(path.as_ptr().cast());
    }
}

/// Reads the target of the link `path` (NUL-terminated) into `buffer`; the part that was filled.
pub(crate) fn read_link<'b>(path: &[u8], buffer: &'b mut [u8]) -> &'b [u8] {
    debug_assert!(path.contains(&0));
    // SAFETY: the path ends with a NUL, the buffer is as long as said.
    let len = unsafe {
        libc::readlink(
            path.as_ptr().cast(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
        )
    };
    buffer
        .get(..usize::try_from(len).unwrap_or(0))
        .unwrap_or(&[])
}

/// Reads the start of the file `path` (NUL-terminated) into `buffer`; the part that was filled.
pub(crate) fn read_file<'b>(path: &[u8], buffer: &'b mut [u8]) -> &'b [u8] {
    debug_assert!(path.contains(&0));
    let mut filled = 0;
    // SAFETY: the path ends with a NUL; each read stays within the rest of the buffer.
    unsafe {
        let fd = libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC);
        if fd < 0 {
            return &[];
        }
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let n = libc::read(fd, rest.as_mut_ptr().cast(), rest.len());
            if n <= 0 {
                break;
            }
            filled += n as usize;
        }
        libc::close(fd);
    }
    buffer.get(..filled).unwrap_or(&[])
}
