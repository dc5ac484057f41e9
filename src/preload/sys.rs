//! Every system call of the cold paths, with its contract. Nothing else in the library calls the
//! kernel, but for the file access of the exit report.
//!
//! May run at any moment. Nothing here allocates; errno may change, and callers restore it.

use crate::arch;
use crate::kernel::syscall;
use crate::wiped;
use core::ffi::c_int;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

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

/// Maps `len` bytes of zeroed private memory that read as zeros again in a child of fork. Null when
/// there is no memory.
pub(crate) fn map_wiped_on_fork(len: usize) -> *mut u8 {
    let p = map_private(len);
    if p.is_null() {
        return p;
    }
    // SAFETY: the range is the mapping just made.
    let is_wiped = unsafe { libc::madvise(p.cast(), len, libc::MADV_WIPEONFORK) } == 0;
    if !is_wiped && !wiped::remember(p, len) {
        // SAFETY: our own mapping, which nobody else has seen.
        unsafe { unmap(p, len) };
        return ptr::null_mut();
    }
    p
}

/// Maps memory as [`map_wiped_on_fork`] for a table that is read at random places: a large one in
/// large pages, where there are some, which saves most of the address translations.
pub(crate) fn map_table(len: usize) -> *mut u8 {
    const LARGE: usize = 4 << 20;
    let table = map_wiped_on_fork(len);
    if len >= LARGE && !table.is_null() {
        // SAFETY: the mapping just made.
        unsafe { libc::madvise(table.cast(), len, libc::MADV_HUGEPAGE) };
    }
    table
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

/// Unmaps a part of a mapping, or all of it.
///
/// # Safety
/// `[start, start + len)` is mapped and the caller's, page by page; nobody uses the memory any more.
pub(crate) unsafe fn unmap(start: *mut u8, len: usize) {
    wiped::forget(start);
    // SAFETY: the caller gives the range up.
    unsafe {
        libc::munmap(start.cast(), len);
    }
}

/// Gives a mapping another length, elsewhere if it may move; null when that cannot be done.
///
/// # Safety
/// `[start, start + old)` is mapped and the caller's, page by page; nobody has an address in it where it moves.
pub(crate) unsafe fn remap(start: *mut u8, old: usize, new: usize, can_move: bool) -> *mut u8 {
    let flags = if can_move { libc::MREMAP_MAYMOVE } else { 0 };
    // SAFETY: as the caller promises.
    let p = unsafe { libc::mremap(start.cast(), old, new, flags) };
    if p == libc::MAP_FAILED {
        ptr::null_mut()
    } else {
        p.cast()
    }
}

/// Gives up the content of private memory, which reads as zeros from then on.
///
/// # Safety
/// `[start, start + len)` is mapped and the caller's, page by page.
pub(crate) unsafe fn discard(start: *mut u8, len: usize) {
    // SAFETY: the caller's own pages, whose content it does not need.
    unsafe {
        libc::madvise(start.cast(), len, libc::MADV_DONTNEED);
    }
}

/// Maps `len` bytes of the file `fd` from `offset` on, shared with everybody who maps it; error: an
/// error number.
pub(crate) fn map_file(fd: c_int, offset: u64, len: usize) -> Result<*mut u8, c_int> {
    map_shared(fd, offset, len, 0)
}

/// Maps `len` bytes of zeroed memory that can be mapped a second time, by [`map_again`]; error: an
/// error number.
pub(crate) fn map_anonymous_shared(len: usize) -> Result<*mut u8, c_int> {
    map_shared(-1, 0, len, libc::MAP_ANONYMOUS)
}

fn map_shared(fd: c_int, offset: u64, len: usize, more: c_int) -> Result<*mut u8, c_int> {
    let flags = libc::MAP_SHARED | libc::MAP_NORESERVE | more;
    // SAFETY: a fresh mapping, where the kernel likes, disturbs nothing.
    let p = unsafe { libc::mmap(ptr::null_mut(), len, READ_WRITE, flags, fd, offset as i64) };
    if p == libc::MAP_FAILED {
        Err(errno())
    } else {
        Ok(p.cast())
    }
}

/// Maps `len` bytes of the file that is mapped at `page`, from that page of the file on, once more:
/// for this the kernel needs no descriptor. Error: an error number.
///
/// # Safety
/// `page` is the start of a page of a shared mapping.
pub(crate) unsafe fn map_again(page: *mut u8, len: usize) -> Result<*mut u8, c_int> {
    // SAFETY: with an old length of 0 the old mapping stays as it is.
    let p = unsafe { libc::mremap(page.cast(), 0, len, libc::MREMAP_MAYMOVE) };
    if p == libc::MAP_FAILED {
        Err(errno())
    } else {
        Ok(p.cast())
    }
}

/// The pages of the mapping are not read ahead.
pub(crate) fn expect_random_reads(start: *mut u8, len: usize) {
    // SAFETY: advice about our own mapping; it changes no content.
    unsafe {
        libc::madvise(start.cast(), len, libc::MADV_RANDOM);
    }
}

/// Gives an open file the length `len`; false when that cannot be done.
pub(crate) fn set_file_len(fd: c_int, len: u64) -> bool {
    // SAFETY: no memory is concerned.
    unsafe { libc::ftruncate(fd, len as libc::off_t) == 0 }
}

/// Returns whether so much more memory can be mapped now.
pub(crate) fn can_map(len: usize) -> bool {
    let start = map_private(len);
    if start.is_null() {
        return false;
    }
    // SAFETY: our own mapping, which nobody else has seen.
    unsafe { unmap(start, len) };
    true
}

/// Has the pages of `[start, start + len)`, which are new and hold zeros, allocated and writable now,
/// without a signal when the disk is full. Returns the error number on failure.
pub(crate) fn populate(start: *mut u8, len: usize) -> Result<(), c_int> {
    /// Linux 5.14; not yet in every libc crate.
    const MADV_POPULATE_WRITE: c_int = 23;
    loop {
        // SAFETY: advice about our own mapping; it changes no content.
        if unsafe { libc::madvise(start.cast(), len, MADV_POPULATE_WRITE) } == 0 {
            return Ok(());
        }
        match errno() {
            libc::EINTR | libc::EAGAIN => {}
            libc::EINVAL | libc::ENOSYS => return write_to_each_page(start, len),
            error => return Err(error),
        }
    }
}

/// As [`populate`], on kernels that do not know the request: they are asked for the signal mask, which
/// they write to each page. Where they cannot, they return EFAULT and raise no signal.
fn write_to_each_page(start: *mut u8, len: usize) -> Result<(), c_int> {
    for offset in (0..len).step_by(skipheap_format::PAGE as usize) {
        let word = start.wrapping_add(offset).cast::<u64>();
        // SAFETY: the word lies in a new page of the caller's, which holds zeros; without a new set
        // the call changes no mask. When it succeeds, the page is there.
        unsafe {
            let no_set = ptr::null::<u64>();
            if syscall!(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, no_set, word, 8) != 0 {
                return Err(errno());
            }
            word.write_volatile(0);
        }
    }
    Ok(())
}

/// The calling thread's errno.
pub(crate) fn errno() -> c_int {
    // SAFETY: the location is valid for the whole life of the thread.
    unsafe { *libc::__errno_location() }
}

/// Sets the calling thread's errno.
pub(crate) fn set_errno(value: c_int) {
    // SAFETY: the location is valid for the whole life of the thread, and is written by it alone.
    unsafe { *libc::__errno_location() = value }
}

/// Blocks every signal for the calling thread, the C library's own ones included, and returns the
/// mask before.
pub(crate) fn block_signals() -> u64 {
    let all = u64::MAX;
    let mut before = 0_u64;
    // SAFETY: both pointers are to eight bytes, the size of the kernel's signal set.
    unsafe {
        syscall!(
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
    // SAFETY: the mask is read only, and has eight bytes.
    unsafe {
        syscall!(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            ptr::null_mut::<u64>(),
            8,
        );
    }
}

/// The kernel's set of one signal.
fn set_of(signal: c_int) -> u64 {
    1 << (signal - 1)
}

/// Returns whether a blocked `signal` waits for the calling thread.
pub(crate) fn is_pending(signal: c_int) -> bool {
    let mut pending = 0_u64;
    // SAFETY: the pointer is to eight bytes, the size of the kernel's signal set.
    let result = unsafe { syscall!(libc::SYS_rt_sigpending, &raw mut pending, 8) };
    result == 0 && pending & set_of(signal) != 0
}

/// Takes back a blocked `signal` that our own system call has raised.
pub(crate) fn take_pending(signal: c_int) {
    let set = set_of(signal);
    let now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let nowhere = ptr::null_mut::<libc::siginfo_t>();
    // SAFETY: the pointers are to initialised values; no information is wanted.
    unsafe {
        syscall!(
            libc::SYS_rt_sigtimedwait,
            &raw const set,
            nowhere,
            &raw const now,
            8
        );
    }
}

/// Returns whether eight bytes at `address` can be read. Asks the kernel, which reports a fault and does not raise
/// one.
///
/// An invalid `how` makes the call change nothing: it copies the set in first (EFAULT when it
/// cannot) and then refuses (EINVAL).
pub(crate) fn is_readable(address: usize) -> bool {
    let before = errno();
    // SAFETY: with this `how` the call has no effect.
    let failed_with = unsafe {
        syscall!(
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
        #[allow(clippy::useless_conversion)] // Not everywhere: it has 32 bits on AArch64.
        u64::from(stat.assume_init().st_nlink).saturating_sub(2)
    }
}

/// Process id, from the kernel.
pub(crate) fn pid() -> u32 {
    // SAFETY: no preconditions.
    unsafe { libc::getpid() as u32 }
}

/// Thread id, from the kernel.
pub(crate) fn tid() -> u32 {
    // SAFETY: no preconditions.
    unsafe { syscall!(libc::SYS_gettid) as u32 }
}

/// Returns whether there is no thread `tid` in this process.
pub(crate) fn is_dead(tid: u32) -> bool {
    // SAFETY: signal 0 is never sent; only the target's existence is checked.
    let result = unsafe { syscall!(libc::SYS_tgkill, libc::getpid(), tid as c_int, 0) };
    result != 0 && errno() == libc::ESRCH
}

/// Gives the rest of the time slice away.
pub(crate) fn yield_now() {
    // SAFETY: no preconditions.
    unsafe {
        libc::sched_yield();
    }
}

/// The program has forbidden itself to read the processor's time stamp counter. Kept across fork.
static COUNTER_IS_FORBIDDEN: AtomicBool = AtomicBool::new(false);

/// From now on the time stamp counter is not read: the program forbids that to itself, by `PR_SET_TSC` or by
/// strict seccomp. (It does so for one thread; which it is, is not kept.)
pub(crate) fn forbid_counter() {
    COUNTER_IS_FORBIDDEN.store(true, Relaxed);
}

/// The processor's clock, in ticks, where it may be read.
#[inline(always)]
pub(crate) fn counter() -> Option<u64> {
    (!COUNTER_IS_FORBIDDEN.load(Relaxed)).then(arch::ticks)
}

/// Nanoseconds since 1970.
pub(crate) fn now_ns() -> u64 {
    time_of(libc::CLOCK_REALTIME)
}

/// Nanoseconds of a clock that never jumps.
pub(crate) fn monotonic_ns() -> u64 {
    time_of(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds of a clock. The C library needs no system call for it, which a filter might forbid, but the
/// processor's counter.
fn time_of(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec.
    unsafe {
        if COUNTER_IS_FORBIDDEN.load(Relaxed) {
            syscall!(libc::SYS_clock_gettime, clock, &raw mut time);
        } else {
            libc::clock_gettime(clock, &raw mut time);
        }
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

/// A file in memory; negative when there is none to be had.
pub(crate) fn memory_file() -> c_int {
    let name = c"skipheap";
    // SAFETY: the name ends with a NUL.
    unsafe { syscall!(libc::SYS_memfd_create, name.as_ptr(), libc::MFD_CLOEXEC) as c_int }
}

/// Reads the first `whole` bytes of the file whose first bytes are mapped at `start`: what the kernel has no path
/// to any more, and may not be opened by its mapping. `None` where the kernel cannot do that (before Linux
/// 5.13), or the file is shorter.
pub(crate) fn read_mapped_file(start: usize, len: usize, whole: usize) -> Option<Vec<u8>> {
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP;
    // The kernel reads this argument with these flags, too.
    let anywhere = ptr::null_mut::<core::ffi::c_void>();
    // SAFETY: the range stays mapped, and its pages are read from the file again: the caller has a mapping that
    // nobody writes to.
    let twin = unsafe { libc::mremap(start as *mut _, len, len, flags, anywhere) };
    if twin == libc::MAP_FAILED {
        return None;
    }
    let (mut at, mut mapped) = (twin, len);
    if whole > len {
        // SAFETY: the twin is ours alone.
        let longer = unsafe { libc::mremap(twin, len, whole, libc::MREMAP_MAYMOVE) };
        if longer != libc::MAP_FAILED {
            (at, mapped) = (longer, whole);
        }
    }
    let mut bytes = Vec::new();
    if mapped >= whole {
        // Behind the end of a file is nothing that could be read, which a system call survives.
        let mut block = [0_u64; 8192];
        while bytes.len() < whole {
            let wanted = (whole - bytes.len()).min(size_of_val(&block));
            let read = read_own(at as usize + bytes.len(), &mut block, wanted);
            let words = block.iter().flat_map(|word| word.to_ne_bytes());
            bytes.extend(words.take(read.min(wanted)));
            if read < wanted {
                break;
            }
        }
    }
    // SAFETY: made above, and nobody else knows it.
    unsafe {
        libc::munmap(at, mapped);
    }
    (bytes.len() == whole).then_some(bytes)
}

/// Writes all of `bytes` to a file that is open.
pub(crate) fn write_all(fd: c_int, bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        // SAFETY: the kernel reads no more than there is.
        let written = unsafe { syscall!(libc::SYS_write, fd, rest.as_ptr(), rest.len()) };
        match usize::try_from(written) {
            Ok(len) if len > 0 => rest = rest.get(len..).unwrap_or(&[]),
            _ => return false,
        }
    }
    true
}

/// Reads as [`read_own`] does, by way of a file: also memory that no process but this one may read, and the
/// kernel for it (`memfd_secret`).
pub(crate) fn read_by_file(fd: c_int, start: usize, buffer: &mut [u64], len: usize) -> usize {
    let len = len.min(size_of_val(buffer));
    // SAFETY: the kernel reports what cannot be read, and writes no more than the buffer holds.
    unsafe {
        let written = libc::pwrite(fd, start as *const _, len, 0);
        let written = usize::try_from(written).unwrap_or(0);
        let read = libc::pread(fd, buffer.as_mut_ptr().cast(), written, 0);
        usize::try_from(read).unwrap_or(0)
    }
}

/// Returns whether the calling thread is under a seccomp filter.
pub(crate) fn is_filtered() -> bool {
    // SAFETY: no preconditions. Not by `prctl`, which is interposed.
    unsafe { syscall!(libc::SYS_prctl, libc::PR_GET_SECCOMP) != 0 }
}

/// A run of pages as the kernel tells it (`struct page_region` of `<linux/fs.h>`).
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct PageRun {
    pub(crate) start: u64,
    pub(crate) end: u64,
    categories: u64,
}

/// Looks for pages that are in memory or swapped out, from the start of `range` on; `list` is
/// `/proc/self/pagemap`. How many runs were found, and how far it has looked. `None` on a kernel (before 6.7)
/// that cannot.
pub(crate) fn scan_pages(
    list: c_int,
    range: core::ops::Range<usize>,
    found: &mut [PageRun],
) -> Option<(usize, usize)> {
    /// `struct pm_scan_arg` of `<linux/fs.h>`.
    #[repr(C)]
    struct Scan {
        size: u64,
        flags: u64,
        start: u64,
        end: u64,
        walk_end: u64,
        vec: u64,
        vec_len: u64,
        max_pages: u64,
        category_inverted: u64,
        category_mask: u64,
        category_anyof_mask: u64,
        return_mask: u64,
    }
    /// `_IOWR('f', 16, struct pm_scan_arg)`.
    const PAGEMAP_SCAN: libc::c_ulong =
        3 << 30 | (size_of::<Scan>() as libc::c_ulong) << 16 | 0x66_10;
    const PRESENT_OR_SWAPPED: u64 = 1 << 3 | 1 << 4;
    let mut scan = Scan {
        size: size_of::<Scan>() as u64,
        flags: 0,
        start: range.start as u64,
        end: range.end as u64,
        walk_end: 0,
        vec: found.as_mut_ptr() as u64,
        vec_len: found.len() as u64,
        max_pages: 0,
        category_inverted: 0,
        category_mask: 0,
        category_anyof_mask: PRESENT_OR_SWAPPED,
        return_mask: PRESENT_OR_SWAPPED,
    };
    // SAFETY: the kernel writes the argument and as many runs as there is room for.
    let count = unsafe { libc::ioctl(list, PAGEMAP_SCAN, &raw mut scan) };
    Some((usize::try_from(count).ok()?, scan.walk_end as usize))
}

unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
}

/// `PTHREAD_CANCEL_DISABLE` of glibc and musl.
const CANCEL_DISABLE: c_int = 1;

/// From now on the thread is not cancelled; what to give to [`restore_cancellation`].
pub(crate) fn disable_cancellation() -> c_int {
    let mut old = 0;
    // SAFETY: the pointer is to an int. The function changes the thread's own state and does nothing else.
    unsafe { pthread_setcancelstate(CANCEL_DISABLE, &raw mut old) };
    old
}

/// The thread may be cancelled again, if it might before.
pub(crate) fn restore_cancellation(old: c_int) {
    // SAFETY: null is allowed. The function changes the thread's own state and does nothing else.
    unsafe { pthread_setcancelstate(old, core::ptr::null_mut()) };
}

/// Name of the calling thread, ended by NULs.
pub(crate) fn own_name() -> [u8; 16] {
    let mut name = [0; 16];
    // SAFETY: the kernel writes sixteen bytes at most. Not by `prctl`, which is interposed.
    unsafe {
        syscall!(libc::SYS_prctl, libc::PR_GET_NAME, name.as_mut_ptr());
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

/// Returns whether `path` (NUL-terminated) is a regular file of this user, and not a link.
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
    let got = unsafe { syscall!(libc::SYS_getrandom, &raw mut value, 8, libc::GRND_NONBLOCK) };
    if got == 8 {
        return value;
    }
    (monotonic_ns() ^ (&raw const value as u64).rotate_left(17) ^ (u64::from(pid()) << 32))
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

/// Returns whether the file lies in a file system that needs new room for each change of a page that was written
/// back. When the disk is full, a store to such a page of a mapping ends in SIGBUS, though it was populated.
pub(crate) fn is_copy_on_write(fd: c_int) -> bool {
    let mut stat = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the pointer is to room for a statfs, which is read only when the call filled it.
    unsafe {
        libc::fstatfs(fd, stat.as_mut_ptr()) == 0
            && skipheap_format::disks::is_copy_on_write(stat.assume_init().f_type)
    }
}

/// Which file is behind a descriptor: device and inode; `None` when it is closed.
pub(crate) fn identity(fd: c_int) -> Option<(u64, u64)> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the pointer is to room for a stat, which is read only when the call filled it.
    unsafe {
        (libc::fstat(fd, stat.as_mut_ptr()) == 0).then(|| {
            let stat = stat.assume_init();
            (stat.st_dev, stat.st_ino)
        })
    }
}

/// A duplicate of a descriptor far above the numbers that programs use; negative when there is none, as where
/// the process may have no such number. (It may count on the lower ones.)
pub(crate) fn high_copy(fd: c_int) -> c_int {
    const HIGH: c_int = 1000;
    // SAFETY: duplicates a descriptor; nothing of the program's is replaced.
    unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, HIGH) }
}

/// Puts a duplicate of `fd` in the place of `over`, which is ours; negative when that cannot be done.
pub(crate) fn copy_over(fd: c_int, over: c_int) -> c_int {
    // SAFETY: what is replaced is the caller's.
    unsafe { libc::dup3(fd, over, libc::O_CLOEXEC) }
}

/// Opens `path` (NUL-terminated) for reading; negative when that cannot be done.
pub(crate) fn open_to_read(path: &[u8]) -> c_int {
    debug_assert!(path.contains(&0));
    // SAFETY: the path ends with a NUL.
    unsafe { libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC) }
}

/// Opens the regular file `path` (NUL-terminated), and nothing that a link leads to, for reading and
/// writing; negative when that cannot be done.
pub(crate) fn open_to_write(path: &[u8]) -> c_int {
    const FLAGS: c_int = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    debug_assert!(path.contains(&0));
    // SAFETY: the path ends with a NUL.
    unsafe { libc::open(path.as_ptr().cast(), FLAGS) }
}

/// Reads what comes next in a file that is open; the part that was filled.
pub(crate) fn read(fd: c_int, buffer: &mut [u8]) -> &[u8] {
    // SAFETY: the read stays within the buffer.
    let len = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
    buffer
        .get(..usize::try_from(len).unwrap_or(0))
        .unwrap_or(&[])
}

/// Reads the next entries of a folder that is open, as `getdents64` gives them; none at its end. Error: an
/// error number.
pub(crate) fn read_folder(fd: c_int, buffer: &mut [u8]) -> Result<&[u8], c_int> {
    // SAFETY: the kernel writes no more than the buffer holds.
    let len = unsafe { syscall!(libc::SYS_getdents64, fd, buffer.as_mut_ptr(), buffer.len()) };
    match usize::try_from(len) {
        Ok(len) => Ok(buffer.get(..len).unwrap_or(&[])),
        Err(_) => Err(errno()),
    }
}

/// Reads the start of a file that is open; the part that was filled.
pub(crate) fn read_start(fd: c_int, buffer: &mut [u8]) -> &[u8] {
    // SAFETY: the read stays within the buffer.
    let len = unsafe { libc::pread(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    buffer
        .get(..usize::try_from(len).unwrap_or(0))
        .unwrap_or(&[])
}

/// Maps the first page of the file `fd`, so that it can be neither read nor written; null when that cannot be
/// done.
pub(crate) fn map_without_access(fd: c_int) -> *mut u8 {
    let (len, none) = (skipheap_format::PAGE as usize, libc::PROT_NONE);
    // SAFETY: a fresh mapping, where the kernel likes, disturbs nothing.
    let page = unsafe { libc::mmap(ptr::null_mut(), len, none, libc::MAP_SHARED, fd, 0) };
    if page == libc::MAP_FAILED {
        ptr::null_mut()
    } else {
        page.cast()
    }
}

/// Lets a mapping be read and written, or neither; false when that cannot be done.
pub(crate) fn set_access(start: *mut u8, len: usize, access: bool) -> bool {
    let protection = if access { READ_WRITE } else { libc::PROT_NONE };
    // SAFETY: changes what may be done with the caller's own mapping.
    unsafe { libc::mprotect(start.cast(), len, protection) == 0 }
}

/// Sends `message` to who listens at the abstract socket whose name is `parts`. Waits for nobody; that it
/// does not arrive has no consequences.
pub(crate) fn tell(parts: &[&[u8]], message: &[u8]) {
    // An abstract name begins with a NUL.
    let name = core::iter::once(&b"\0"[..]).chain(parts.iter().copied());
    if let Some(fd) = connect(name) {
        send(fd, message, None);
        close(fd);
    }
}

/// Sends a message with an open file to the socket of this name, a path or an abstract one. Returns whether the
/// kernel took it.
pub(crate) fn hand_over<'p>(
    name: impl Iterator<Item = &'p [u8]>,
    message: &[u8],
    file: c_int,
) -> bool {
    let Some(fd) = connect(name) else {
        return false;
    };
    let sent = send(fd, message, Some(file));
    close(fd);
    sent
}

/// Connects to the socket of this name, without waiting.
fn connect<'p>(name: impl Iterator<Item = &'p [u8]>) -> Option<c_int> {
    // SAFETY: zeros are a valid address.
    let mut address: libc::sockaddr_un = unsafe { core::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let mut len = 0;
    for &byte in name.flatten() {
        *address.sun_path.get_mut(len)? = byte as core::ffi::c_char;
        len += 1;
    }
    let len = core::mem::offset_of!(libc::sockaddr_un, sun_path) + len;
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the address is as long as said; the descriptor is ours. Not by the functions of the C library,
    // which others interpose.
    unsafe {
        let fd = syscall!(libc::SYS_socket, libc::AF_UNIX, kind, 0) as c_int;
        if fd < 0 {
            return None;
        }
        if syscall!(libc::SYS_connect, fd, &raw const address, len) != 0 {
            close(fd);
            return None;
        }
        Some(fd)
    }
}

/// Sends a message, with an open file if there is one. Returns whether the kernel took it.
fn send(socket: c_int, message: &[u8], file: Option<c_int>) -> bool {
    /// Room for one descriptor, aligned as the kernel reads it.
    #[repr(C)]
    struct Control {
        header: libc::cmsghdr,
        file: c_int,
    }
    let mut control = Control {
        header: libc::cmsghdr {
            // Without the padding at the end.
            cmsg_len: core::mem::offset_of!(Control, file) + size_of::<c_int>(),
            cmsg_level: libc::SOL_SOCKET,
            cmsg_type: libc::SCM_RIGHTS,
        },
        file: file.unwrap_or(-1),
    };
    let mut part = libc::iovec {
        iov_base: message.as_ptr().cast_mut().cast(),
        iov_len: message.len(),
    };
    // SAFETY: zeros are a valid message header.
    let mut header: libc::msghdr = unsafe { core::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    if file.is_some() {
        header.msg_control = (&raw mut control).cast();
        header.msg_controllen = size_of::<Control>();
    }
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: the header and all that it points to live until the call returns.
    unsafe { syscall!(libc::SYS_sendmsg, socket, &raw const header, flags) >= 0 }
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

/// The working directory; empty when it is not known or cannot be reached from the root.
pub(crate) fn working_folder(buffer: &mut [u8]) -> &[u8] {
    // SAFETY: the kernel writes no more than the buffer holds.
    let len = unsafe { syscall!(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len()) };
    // The length counts the NUL.
    buffer
        .get(..usize::try_from(len - 1).unwrap_or(0))
        .filter(|folder| folder.starts_with(b"/"))
        .unwrap_or(&[])
}

/// Returns whether the process runs in secure mode: with rights that whoever started it does not have
/// (set-user-id, set-group-id, file capabilities).
pub(crate) fn is_secure() -> bool {
    // SAFETY: no preconditions.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
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
