//! Programs that take system calls from themselves (seccomp): what is forbidden may be answered with
//! death, so nothing may be called any more that the program might not call itself.
//!
//! From the moment of the filter on no file is opened or written and no thread or child begins to
//! be recorded; what is missing for that is counted. The recording is complete as it lies in its file,
//! from which the tool makes the report; it grows in memory that is mapped before the filter is set. New call sites need `rt_sigprocmask`, `mmap`, `munmap`, `madvise`,
//! where threads meet `sched_yield`, and where a large block is made smaller `mremap`; foreign stacks need
//! `rt_sigprocmask`. The C library and its `malloc` need them as well. In strict mode not even those are
//! allowed: then only what was seen before is counted, on the thread's own stack. It also forbids to read the
//! processor's time stamp counter, as `PR_SET_TSC` does: then no ages in time are known.
//!
//! `prctl` and `syscall` are interposed to see it. A filter that the program was started with, or one
//! that it sets by a system call of its own making, is not seen.

use crate::process::{self, Process};
use crate::settings::settings;
use crate::{exit_report, lifecycle, log, names, real, sys, thread};
use core::ffi::{c_char, c_int, c_long, c_ulong};
use core::sync::atomic::{AtomicU8, Ordering::*};

const FREE: u8 = 0;
const FILTERED: u8 = 1;
const STRICT: u8 = 2;

/// Kept across fork, as the filter is.
static STATE: AtomicU8 = AtomicU8::new(FREE);

/// Returns whether the program has confined its system calls. May be called at any moment.
pub(crate) fn is_confined() -> bool {
    STATE.load(Relaxed) != FREE
}

/// Returns whether the program has confined its system calls to read, write and exit.
pub(crate) fn is_strict() -> bool {
    STATE.load(Relaxed) == STRICT
}

/// `prctl` of Linux with `PR_SET_SECCOMP`, `PR_SET_TSC` or `PR_SET_NAME`, by way of the entry in [`crate::arch`].
pub(crate) unsafe extern "C" fn set_by_prctl(
    option: c_int,
    mode: c_ulong,
    filter: c_ulong,
    fourth: c_ulong,
    fifth: c_ulong,
) -> c_int {
    // SAFETY: the caller's own arguments.
    let call = || unsafe { real::prctl(option, mode, filter, fourth, fifth) };
    if option == libc::PR_SET_NAME {
        let result = call();
        if result == 0 {
            // SAFETY: the kernel has just read the name there.
            names::of_self(unsafe { names::copied(mode as *const c_char) });
        }
        return result;
    }
    let state = match mode as u32 {
        _ if option == libc::PR_SET_TSC => {
            if mode == libc::PR_TSC_SIGSEGV as c_ulong {
                sys::forbid_counter();
            }
            FREE
        }
        libc::SECCOMP_MODE_STRICT => STRICT,
        libc::SECCOMP_MODE_FILTER if filter != 0 => FILTERED,
        _ => FREE,
    };
    around(state, call, |result| result == 0)
}

/// `syscall` of glibc with `SYS_seccomp`, by way of the entry in [`crate::arch`].
pub(crate) unsafe extern "C" fn set_by_syscall(
    number: c_long,
    operation: c_ulong,
    flags: c_ulong,
    filter: c_ulong,
) -> c_long {
    // Without a filter it is a question: is the call there?
    let state = match operation as u32 {
        libc::SECCOMP_SET_MODE_STRICT => STRICT,
        libc::SECCOMP_SET_MODE_FILTER if filter != 0 => FILTERED,
        _ => FREE,
    };
    // With this flag a positive result is a descriptor; without it, it names a thread that could not
    // be confined, and then none was.
    let listens = flags & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER != 0;
    // SAFETY: the caller's own arguments, all that this call has.
    let call = || unsafe { real::syscall(number, operation, flags, filter) };
    around(state, call, |result| result == 0 || listens && result > 0)
}

/// Makes the call, which leads to `state` if its result `succeeded`.
fn around<T: Copy>(state: u8, call: impl FnOnce() -> T, succeeded: impl FnOnce(T) -> bool) -> T {
    if state == FREE {
        return call();
    }
    if !is_confined()
        && lifecycle::is_recording()
        && let Some(process) = process::process().filter(|process| process.is_ready())
    {
        // Later no word and no mapping of a file may be possible.
        thread::cold_section(|| {
            announce(process);
            process.recording.reserve();
        });
    }
    if state == STRICT {
        sys::forbid_counter();
    }
    // Before the call: other threads are confined with this one.
    let before = STATE.fetch_max(state, AcqRel);
    let result = call();
    if !succeeded(result) {
        STATE.store(before, Release);
    }
    result
}

/// Says where the recording is, where nobody else knows.
fn announce(process: &Process) {
    let path = exit_report::path_of(process);
    if settings().session.get().is_empty() && !path.is_empty() {
        log::line(&[
            b"heap profiler: the program confines its system calls (seccomp), so it cannot write the \
              report; its recording stays: skip-heapprof report ",
            path,
        ]);
    }
}
