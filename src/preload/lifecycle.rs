//! The process from its first allocation to its end: start, exit in all its forms, unloading.
//!
//! Each function says when it runs.

use crate::process::{self, Process};
use crate::{
    arch, c_library, confined, exit_report, hot, live, log, patch, real, recording, settings,
    stack, sys, thread, unwind, wiped,
};
use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, Ordering::*};
use skipheap_config::settings::{
    COLUMNS, COLUMNS_VALUES, PROFILE, PROFILE_VALUES, SAMPLE, SAMPLE_VALUES, STACK_DEPTH,
    STACK_DEPTH_VALUES,
};
use skipheap_format::loss::Loss;
use skipheap_symbolize::object_file::look_elsewhere;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Nothing decided yet.
const ASLEEP: u8 = 0;
/// One thread is deciding.
const WAKING: u8 = 1;
/// This program is profiled.
const RECORDING: u8 = 2;
/// This program is left alone.
const OFF: u8 = 3;

/// Kept across fork: a child is profiled when its parent is.
static MODE: AtomicU8 = AtomicU8::new(ASLEEP);
/// Allocations before the environment could be read: of resolvers of indirect functions and of what runs
/// before all constructors.
static TOO_EARLY: AtomicU64 = AtomicU64::new(0);
/// This program is left alone because of [`arch::obstacle`], which is said once.
static HINDERED: AtomicBool = AtomicBool::new(false);
/// The pthread key whose destructor gives thread states back.
static KEY: AtomicI32 = AtomicI32::new(-1);

/// Returns whether this program is profiled. Decides it on the first call, which may be an allocation before the
/// constructor.
pub(crate) fn is_recording() -> bool {
    match MODE.load(Acquire) {
        RECORDING => true,
        OFF | WAKING => false,
        _ => wake(),
    }
}

/// The process, which has begun to record by the end of this; `None` where nothing is recorded. May
/// run at any moment.
pub(crate) fn begun() -> Option<&'static Process> {
    if !is_recording() {
        return None;
    }
    let process = process::process()?;
    if !process.is_ready() {
        if confined::is_confined() {
            return None;
        }
        // In a child of fork it names a state that was wiped; the next allocation gets another.
        arch::set_thread_word(0);
        thread::cold_section(|| process.begin())?;
    }
    Some(process)
}

/// Begins to record in a child of fork that has not done so yet. May run at any moment.
#[cold]
pub(crate) fn begin_in_child() {
    let is_waiting = MODE.load(Acquire) == RECORDING
        && process::process().is_some_and(|process| !process.is_ready());
    if is_waiting {
        begun();
    }
}

/// Returns whether it was decided that this program is left alone.
pub(crate) fn is_off() -> bool {
    MODE.load(Relaxed) == OFF
}

#[cold]
fn wake() -> bool {
    if !settings::is_environment_ready() {
        TOO_EARLY.fetch_add(1, Relaxed);
        return false;
    }
    if MODE
        .compare_exchange(ASLEEP, WAKING, AcqRel, Acquire)
        .is_err()
    {
        return false;
    }
    #[cfg(not(test))]
    crate::own_libc::settle();
    if sys::is_secure() {
        // Whoever set the variables and owns the folders that they name has fewer rights than this process.
        MODE.store(OFF, Release);
        return false;
    }
    // What is hooked is told by what is interposed.
    real::look_up();
    let recording = thread::cold_section(|| {
        // SAFETY: the exchange above lets one caller through, once.
        let wanted = unsafe { settings::read() };
        if wanted && arch::obstacle().is_some() {
            HINDERED.store(true, Relaxed);
            return false;
        }
        wanted && start()
    });
    let recording = recording == Some(true);
    MODE.store(if recording { RECORDING } else { OFF }, Release);
    recording
}

/// Sets up what the whole program shares; false when there is no memory for it.
fn start() -> bool {
    let Some(process) = process::process() else {
        return false;
    };
    // The hook would print on standard error and look for a backtrace.
    std::panic::set_hook(Box::new(|_| {}));
    let mut key: libc::pthread_key_t = 0;
    // SAFETY: both only register functions that stay mapped (the library is never unloaded).
    unsafe {
        if libc::pthread_key_create(&raw mut key, Some(thread::release)) == 0 {
            KEY.store(key as i32, Relaxed);
        }
        libc::pthread_atfork(None, None, Some(in_child));
    }
    c_library::at_exit(at_exit);
    c_library::at_quick_exit(at_exit);
    stack::begin();
    look_elsewhere(unwind::find_elsewhere);
    process.begin();
    let too_early = TOO_EARLY.load(Relaxed);
    process.recording.lose(Loss::TooEarly, too_early);
    patch::begin(process);
    patch::describe(process);
    hot::begin();
    true
}

/// Runs in each child of `fork`. (A raw system call does the same with its first allocation.)
unsafe extern "C" fn in_child() {
    if confined::is_confined() {
        return;
    }
    let errno = sys::errno();
    wiped::empty_all();
    recording::give_up_parents();
    sys::set_errno(errno);
}

/// Has [`thread::release`] called with `state` when the calling thread ends. Cold section.
pub(crate) fn announce_thread(state: *const c_void) {
    let key = KEY.load(Relaxed);
    if key >= 0 {
        // SAFETY: the key was created in `start`.
        unsafe {
            libc::pthread_setspecific(key as libc::pthread_key_t, state);
        }
    }
}

/// Runs `f`; a panic in it ends here and is counted, and so does a request for memory that cannot be
/// served. After the latter, what `f` had locked stays locked: nothing is run here any more.
pub(crate) fn shielded<T>(f: impl FnOnce() -> T) -> Option<T> {
    struct Call<F, T>(Option<F>, Option<T>);
    unsafe extern "C" fn run<F: FnOnce() -> T, T>(data: *mut c_void) {
        // SAFETY: `data` is the call below.
        let call = unsafe { &mut *data.cast::<Call<F, T>>() };
        let Some(f) = call.0.take() else { return };
        match catch_unwind(AssertUnwindSafe(f)) {
            Ok(value) => call.1 = Some(value),
            Err(payload) => {
                // Its destructor might panic too.
                core::mem::forget(payload);
                count_internal();
            }
        }
    }
    fn run_of<F: FnOnce() -> T, T>(_: &Call<F, T>) -> unsafe extern "C" fn(*mut c_void) {
        run::<F, T>
    }
    let process = process::process()?;
    if process.gave_up.load(Relaxed) {
        return None;
    }
    let mut call = Call(Some(f), None);
    let run = run_of(&call);
    let stack = process.cold_stacks.take();
    // A hook at a function's entry has to leave all registers alone, the wide ones too.
    let room = if patch::keeps_vectors() && stack != 0 {
        (stack - arch::VECTORS_LEN) & !63
    } else {
        0
    };
    if room != 0 {
        // SAFETY: the stack is ours until it is put back.
        unsafe { arch::save_vectors(room) };
    }
    let top = if room == 0 { stack } else { room };
    // SAFETY: what is left of the stack is ours, too, until it is put back.
    let finished = unsafe { arch::catch_escape(run, (&raw mut call).cast(), top) };
    if room != 0 {
        // SAFETY: saved above.
        unsafe { arch::restore_vectors(room) };
    }
    if !finished {
        process.gave_up.store(true, Relaxed);
        count_internal();
        return None;
    }
    process.cold_stacks.put(stack);
    call.1
}

fn count_internal() {
    if let Some(process) = process::process() {
        process.recording.lose(Loss::Internal, 1);
    }
}

#[cfg_attr(not(test), ctor::ctor(unsafe))]
#[cfg_attr(test, allow(dead_code))]
fn constructor() {
    real::look_up();
    if !is_recording() {
        if let Some(why) = arch::obstacle().filter(|_| HINDERED.load(Relaxed)) {
            thread::cold_section(|| {
                log::remember_stderr();
                log::line(&[b"heap profiler: not recorded: ", why]);
            });
        }
        if settings::settings().bad_profile {
            thread::cold_section(|| {
                log::remember_stderr();
                warn_of_bad_profile();
            });
        }
        return;
    }
    thread::cold_section(|| {
        let s = settings::settings();
        if s.session.get().is_empty() {
            log::remember_stderr();
            if s.bad_profile {
                warn_of_bad_profile();
            }
            crate::verify::warn_of_bad_setting();
            warn_of_bad_settings();
            if let Some(process) = process::process() {
                exit_report::write_predecessor(process);
            }
            log::seed_line(&[b"heap profiler: enabled!"]);
            for complaint in patch::complaints() {
                log::line(&[b"heap profiler: ", complaint.as_bytes()]);
            }
        } else if s.bad_profile {
            // What is to be said of hooks the tool says.
            log::remember_stderr();
            warn_of_bad_profile();
        }
    });
}

fn warn_of_bad_profile() {
    log::line(&[
        b"heap profiler: ",
        PROFILE.as_bytes(),
        b" must be one of: ",
        PROFILE_VALUES.as_bytes(),
        b"; taking the default, 1",
    ]);
}

/// Says which values of what is recorded, and of the columns, are none that we know. (With the tool, the
/// tool says so.)
fn warn_of_bad_settings() {
    let s = settings::settings();
    for (is_bad, name, values, instead) in [
        (
            s.bad_stack_depth,
            STACK_DEPTH,
            STACK_DEPTH_VALUES,
            "; taking the default, 4",
        ),
        (
            s.bad_sample,
            SAMPLE,
            SAMPLE_VALUES,
            "; recording every allocation",
        ),
        (
            s.bad_columns,
            COLUMNS,
            COLUMNS_VALUES,
            "; taking the default, seed",
        ),
    ] {
        if is_bad {
            log::line(&[
                b"heap profiler: ",
                name.as_bytes(),
                b" must be ",
                values.as_bytes(),
                instead.as_bytes(),
            ]);
        }
    }
}

/// Runs as the last of the exit handlers: `exit`, a return from main, `quick_exit`.
unsafe extern "C" fn at_exit(_: *mut c_void) {
    end_of_process(true);
}

/// Writes the report, once, if this very process has recorded anything. `handlers_run` at the end by
/// `exit` and its like.
fn end_of_process(handlers_run: bool) {
    arch::with_callers_on_stack(end_above, usize::from(handlers_run));
}

/// Writes the report, once, if this very process has recorded anything. The program's own part of the stack lies
/// above `sp`. (What this function has there itself would keep
/// blocks from being leaks.)
extern "C" fn end_above(sp: usize, handlers_run: usize) {
    let handlers_run = handlers_run != 0;
    if MODE.load(Acquire) != RECORDING {
        return;
    }
    let Some(process) = process::process() else {
        return;
    };
    if confined::is_confined() {
        // The id of this process cannot be asked for. What a child of vfork calls is `_exit`.
        if process.is_ready() && handlers_run {
            live::sum_up(process);
            process.recording.finish();
        }
        return;
    }
    // A child of fork that allocated nothing is not ready; a child of vfork is in its parent's
    // memory under another id.
    if !process.is_ready()
        || process.pid.load(Relaxed) != sys::pid()
        || process.ended.swap(true, AcqRel)
    {
        return;
    }
    thread::cold_section(|| {
        process.threads.name_all();
        live::finish(process, sp, handlers_run);
        // From here on no counts move while the recording is read. Threads that end now wait for
        // the end of the process.
        core::mem::forget(process.threads.ended.lock());
    });
    process.recording.finish();
    thread::cold_section(|| exit_report::write(process));
    if process.gave_up.load(Relaxed) {
        exit_report::excuse(process);
    }
}

fn end_now(status: c_int) {
    end_of_process(false);
    // SAFETY: ends the process as the caller asked.
    unsafe { real::exit_now(status) }
}

/// `_exit` of POSIX: the report, then the real one.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[cfg_attr(test, allow(dead_code))]
pub(crate) extern "C" fn _exit(status: c_int) {
    end_now(status);
}

/// `_Exit` of C: the report, then the real one.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[cfg_attr(test, allow(dead_code))]
#[allow(non_snake_case)]
pub(crate) extern "C" fn _Exit(status: c_int) {
    end_now(status);
}

/// `dlclose` of POSIX: the real one, with the rules of the unloaded modules forgotten before any
/// other can take their place.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[cfg_attr(test, allow(dead_code))]
pub(crate) extern "C" fn dlclose(handle: *mut c_void) -> c_int {
    let close = || {
        // SAFETY: the caller's own handle.
        unsafe { real::dlclose(handle) }
    };
    match ready_process() {
        Some(process) => unwind::around_unload(process, close),
        None => close(),
    }
}

fn ready_process() -> Option<&'static Process> {
    if MODE.load(Acquire) != RECORDING {
        return None;
    }
    let process = process::process().filter(|process| process.is_ready())?;
    Some(process)
}
