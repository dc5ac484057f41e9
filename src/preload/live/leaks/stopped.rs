//! The program's other threads, held still while its memory is read.
//!
//! As LeakSanitizer does it: a helper, a process of its own in this process's memory, stops each thread by
//! `ptrace` and reads its registers. The thread does not notice: it goes on where it was, and interrupted
//! system calls with it. Where the kernel does not let one process look at another (the program is being
//! debugged or traced, a security module, a filter of system calls), the threads run on.
//!
//! A thread in a cold section may hold a lock that is needed here, so it may leave that section first.
//!
//! Runs in the cold section of the end. The helper makes system calls and does nothing else: its
//! thread-local memory is that of the thread that waits for it.

use crate::kernel::call;
use crate::{arch, recording, sys, thread, unwind};
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering::*};
use skipheap_format::note::Reason;

/// Room for threads that begin while the others are stopped.
const MORE: usize = 64;
/// How long the threads are waited for.
const LIMIT_NS: u64 = 1_000_000_000;
/// How long is waited before they are looked at again.
const PAUSE_NS: u64 = 100_000;
/// How often a thread may be found in a cold section.
const TRIES: usize = 500;
/// Bytes of the helper's stack.
const STACK: usize = 64 << 10;
/// Words of the registers that are no general ones, as many as are read.
const OTHERS: usize = 512;

/// A thread that is held. All zeros is a valid one.
#[repr(C)]
struct Slot {
    tid: u32,
    /// Not 0: it stands.
    is_stopped: u32,
    /// Delivered when it goes on.
    signal: u32,
    registers: [u64; arch::REGISTERS],
    others: [u64; OTHERS],
}

/// What a stopped thread has.
pub(super) struct Stopped<'s> {
    /// Its stack pointer, less what the interrupted function may have below it.
    pub(super) sp: usize,
    /// Its thread pointer.
    pub(super) tp: usize,
    /// All of its registers.
    pub(super) words: [&'s [u64]; 2],
}

/// Shared by the helper and the thread that waits for it; the slots lie behind it. All zeros is the start.
#[repr(C)]
struct Shared {
    /// What comes next: [`WAIT`] and so on.
    state: AtomicU32,
    error: AtomicU32,
    pid: u32,
    caller: u32,
    used: AtomicU32,
    room: u32,
}

/// [`Shared::state`]: the helper must not begin yet.
const WAIT: u32 = 0;
/// [`Shared::state`]: the helper is to stop the threads.
const BEGIN: u32 = 1;
/// [`Shared::state`]: they stand.
const HELD: u32 = 2;
/// [`Shared::state`]: that was not possible.
const FAILED: u32 = 3;
/// [`Shared::state`]: the helper is to let them go on, and to end.
const GO_ON: u32 = 4;

impl Shared {
    fn len(room: usize) -> usize {
        size_of::<Self>() + room * size_of::<Slot>()
    }

    fn first(&self) -> *mut Slot {
        ptr::from_ref(self).wrapping_add(1).cast_mut().cast()
    }
}

/// Where the stack that is in use ends.
fn sp_of(registers: &[u64; arch::REGISTERS]) -> usize {
    let below = match unwind::may_use_red_zone(arch::ip_of(registers)) {
        true => arch::RED_ZONE,
        false => 0,
    };
    arch::sp_of(registers).saturating_sub(below)
}

/// The threads stand until this is dropped.
pub(super) struct Others {
    shared: &'static Shared,
    /// The helper's process id; below 0 without one.
    helper: isize,
    stack: usize,
}

impl Others {
    /// Stops all threads but the calling one. `None` where there is no other.
    ///
    /// # Errors
    /// Why they run on.
    pub(super) fn stop() -> Result<Option<Self>, Reason> {
        if sys::threads() == 1 {
            return Ok(None);
        }
        if sys::is_filtered() {
            // It may kill for a system call that it does not know.
            return Err(Reason::Filtered);
        }
        for _ in 0..TRIES {
            let others = Self::stop_now()?;
            if !others.is_any_cold() {
                return Ok(Some(others));
            }
            drop(others);
            pause(10 * PAUSE_NS);
        }
        Err(Reason::NotStoppedInTime)
    }

    fn stop_now() -> Result<Self, Reason> {
        let room = 2 * sys::threads() as usize + MORE;
        let shared: *mut Shared = sys::map_wiped_on_fork(Shared::len(room)).cast();
        if shared.is_null() {
            return Err(Reason::NoMemoryToStop);
        }
        // SAFETY: a fresh mapping of that size; zeros are a valid value.
        unsafe {
            (*shared).pid = sys::pid();
            (*shared).caller = sys::tid();
            (*shared).room = room as u32;
        }
        let stack = sys::map_stack(STACK, 4096);
        let helper = match stack {
            0 => -1,
            // SAFETY: the stack and what is shared are there until the helper has ended.
            stack => unsafe { arch::start_helper(stack, run, shared.cast()) },
        };
        // SAFETY: the mapping is removed by who drops `others`, after the helper has ended.
        let shared = unsafe { &*shared };
        let others = Self {
            shared,
            helper,
            stack,
        };
        if helper < 0 {
            return Err(match stack {
                0 => Reason::NoMemoryToStop,
                _ => Reason::NotAllowedToStop,
            });
        }
        let tracer = [libc::PR_SET_PTRACER as usize, helper as usize, 0, 0, 0, 0];
        // SAFETY: says who may look at this process, as the security module Yama asks for.
        unsafe { call(libc::SYS_prctl, tracer) };
        shared.state.store(BEGIN, Release);
        wake(&shared.state);
        let end = sys::monotonic_ns() + 2 * LIMIT_NS;
        loop {
            match shared.state.load(Acquire) {
                HELD => return Ok(others),
                FAILED => {
                    return Err(match shared.error.load(Relaxed) {
                        0 => Reason::NotStoppedInTime,
                        _ => Reason::NotAllowedToStop,
                    });
                }
                _ if sys::monotonic_ns() > end => return Err(Reason::NotStoppedInTime),
                state => wait(&shared.state, state),
            }
        }
    }

    /// What each of them has.
    pub(super) fn each(&self) -> impl Iterator<Item = Stopped<'_>> {
        let used = self.shared.used.load(Relaxed) as usize;
        // SAFETY: the mapping has so many slots, and the helper writes to none while the threads stand.
        let slots = unsafe { core::slice::from_raw_parts(self.shared.first(), used) };
        let stopped = slots.iter().filter(|slot| slot.is_stopped != 0);
        stopped.map(|slot| Stopped {
            sp: sp_of(&slot.registers),
            tp: arch::tp_of(&slot.registers),
            words: [&slot.registers, &slot.others],
        })
    }

    /// Returns whether one of the stopped threads is in a cold section.
    fn is_any_cold(&self) -> bool {
        self.each().any(|stopped| {
            let mut word = [0];
            let at = arch::thread_word_of(stopped.tp);
            sys::read_own(at, &mut word, 8) == 8 && word == [thread::BUSY as u64]
        })
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        if self.helper > 0 {
            self.shared.state.store(GO_ON, Release);
            wake(&self.shared.state);
            wait_for_helper(self.helper as usize);
        }
        if self.stack != 0 {
            sys::unmap_stack(self.stack, STACK);
        }
        let len = Shared::len(self.shared.room as usize);
        let shared = ptr::from_ref(self.shared).cast_mut().cast();
        // SAFETY: the helper has ended, and nobody else has it.
        unsafe { sys::unmap(shared, len) };
    }
}

/// Waits until the helper has ended; after a while it is killed, and the threads go on.
fn wait_for_helper(helper: usize) {
    let end = sys::monotonic_ns() + LIMIT_NS;
    let flags = (libc::__WALL | libc::WNOHANG) as usize;
    // SAFETY: waits for the helper alone, which is nobody else's.
    while unsafe { call(libc::SYS_wait4, [helper, 0, flags, 0, 0, 0]) } == 0 {
        if sys::monotonic_ns() > end {
            let kill = [helper, libc::SIGKILL as usize, 0, 0, 0, 0];
            // SAFETY: the process is ours.
            unsafe { call(libc::SYS_kill, kill) };
        }
        pause(PAUSE_NS);
    }
}

/// Sleeps.
fn pause(ns: u64) {
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: ns as i64,
    };
    let arguments = [&raw const time as usize, 0, 0, 0, 0, 0];
    // SAFETY: the pointer is to a timespec.
    unsafe { call(libc::SYS_nanosleep, arguments) };
}

/// Sleeps while the word has a value, for some milliseconds at most.
fn wait(word: &AtomicU32, value: u32) {
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 10_000_000,
    };
    let (word, time) = (word.as_ptr() as usize, &raw const time as usize);
    let arguments = [word, libc::FUTEX_WAIT as usize, value as usize, time, 0, 0];
    // SAFETY: the word stays mapped meanwhile.
    unsafe { call(libc::SYS_futex, arguments) };
}

fn wake(word: &AtomicU32) {
    let arguments = [
        word.as_ptr() as usize,
        libc::FUTEX_WAKE as usize,
        1,
        0,
        0,
        0,
    ];
    // SAFETY: no memory is changed.
    unsafe { call(libc::SYS_futex, arguments) };
}

/// The helper: stops the threads, waits, and lets them go on.
unsafe extern "C" fn run(shared: *mut c_void) {
    // SAFETY: what `stop_now` shares, and keeps until this has ended.
    let shared = unsafe { &*shared.cast::<Shared>() };
    let death = [
        libc::PR_SET_PDEATHSIG as usize,
        libc::SIGKILL as usize,
        0,
        0,
        0,
        0,
    ];
    // SAFETY: the signal comes when the thread that waits has ended.
    unsafe { call(libc::SYS_prctl, death) };
    while shared.state.load(Acquire) == WAIT {
        wait(&shared.state, WAIT);
    }
    let mut helper = Helper {
        pid: shared.pid,
        caller: shared.caller,
        // SAFETY: the mapping has so many slots, which nobody else uses until the state says that the
        // threads stand.
        slots: unsafe { core::slice::from_raw_parts_mut(shared.first(), shared.room as usize) },
        used: 0,
    };
    if shared.state.load(Acquire) == BEGIN {
        let held = helper.hold_all();
        shared.used.store(helper.used as u32, Relaxed);
        shared.error.store(held.err().unwrap_or(0), Relaxed);
        let state = if held.is_ok() { HELD } else { FAILED };
        // Who waits may have given up.
        let _ = shared.state.compare_exchange(BEGIN, state, AcqRel, Relaxed);
        wake(&shared.state);
    }
    loop {
        match shared.state.load(Acquire) {
            GO_ON => break,
            state => wait(&shared.state, state),
        }
    }
    for slot in helper.slots.iter().take(helper.used) {
        trace(libc::PTRACE_DETACH, slot.tid, 0, slot.signal as usize);
    }
}

fn trace(request: u32, tid: u32, address: usize, data: usize) -> isize {
    let arguments = [request as usize, tid as usize, address, data, 0, 0];
    // SAFETY: requests that stop a thread, read its registers into memory of ours, and let it go on.
    unsafe { call(libc::SYS_ptrace, arguments) }
}

/// Writes the parts of a path, and a NUL, into room that is long enough.
fn path_of(parts: [&[u8]; 3]) -> [u8; 64] {
    let mut path = [0; 64];
    for (slot, &byte) in path.iter_mut().zip(parts.iter().copied().flatten()) {
        *slot = byte;
    }
    path
}

/// What the helper knows.
struct Helper<'s> {
    pid: u32,
    caller: u32,
    slots: &'s mut [Slot],
    used: usize,
}

impl Helper<'_> {
    /// Stops the threads until there is no other. Error: an error number, 0 when the time was over.
    fn hold_all(&mut self) -> Result<(), u32> {
        let end = sys::monotonic_ns() + LIMIT_NS;
        loop {
            let before = self.used;
            self.hold_new()?;
            if self.used == before {
                break;
            }
            for slot in self.slots.iter_mut().take(self.used).skip(before) {
                slot.wait(end)?;
            }
        }
        let slots = self.slots.iter_mut().take(self.used);
        slots
            .filter(|slot| slot.is_stopped != 0)
            .for_each(Slot::read);
        Ok(())
    }

    /// Asks those threads to stop that were not asked yet.
    fn hold_new(&mut self) -> Result<(), u32> {
        let mut digits = [0; 10];
        let path = path_of([
            b"/proc/",
            recording::decimal(&mut digits, self.pid),
            b"/task",
        ]);
        let folder = sys::open_to_read(&path);
        if folder < 0 {
            return Err(sys::errno() as u32);
        }
        let mut buffer = [0_u8; 4096];
        let result = loop {
            let entries = match sys::read_folder(folder, &mut buffer) {
                Ok([]) => break Ok(()),
                Ok(entries) => entries,
                Err(error) => break Err(error as u32),
            };
            let result = self.hold_entries(entries);
            if result.is_err() {
                break result;
            }
        };
        sys::close(folder);
        result
    }

    /// Asks the threads to stop whose numbers are the names of these entries (`struct linux_dirent64`).
    fn hold_entries(&mut self, mut entries: &[u8]) -> Result<(), u32> {
        /// Two words lie in front of an entry's length, and a byte between that and the name.
        const LENGTH: usize = 16;
        const NAME: usize = 19;
        while let Some(&[low, high]) = entries.get(LENGTH..LENGTH + 2) {
            let len = usize::from(u16::from_ne_bytes([low, high])).max(NAME);
            let name = entries.get(NAME..len).unwrap_or(&[]);
            let digits = name.iter().take_while(|c| c.is_ascii_digit());
            let tid = digits.fold(0_u32, |tid, c| {
                tid.wrapping_mul(10).wrapping_add(u32::from(c - b'0'))
            });
            if tid != 0 && tid != self.caller {
                self.hold(tid)?;
            }
            entries = entries.get(len..).unwrap_or(&[]);
        }
        Ok(())
    }

    /// Asks a thread to stop, unless it was asked.
    fn hold(&mut self, tid: u32) -> Result<(), u32> {
        let mut known = self.slots.iter().take(self.used);
        if known.any(|slot| slot.tid == tid) {
            return Ok(());
        }
        let Some(slot) = self.slots.get_mut(self.used) else {
            return Err(libc::ENOMEM as u32);
        };
        match trace(libc::PTRACE_SEIZE, tid, 0, 0) {
            0 => {}
            error if error == -(libc::ESRCH as isize) || self.has_ended(tid) => return Ok(()),
            error => return Err(-error as u32),
        }
        slot.tid = tid;
        self.used += 1;
        trace(libc::PTRACE_INTERRUPT, tid, 0, 0);
        Ok(())
    }

    /// Returns whether the thread has ended and is listed only because it is the process's first.
    fn has_ended(&self, tid: u32) -> bool {
        if self.pid != tid {
            return false;
        }
        let mut digits = [0; 10];
        let path = path_of([b"/proc/", recording::decimal(&mut digits, tid), b"/stat"]);
        let mut buffer = [0; 256];
        let stat = sys::read_file(&path, &mut buffer);
        let command = stat.iter().rposition(|&c| c == b')');
        let state = command.and_then(|at| stat.get(at + 2));
        matches!(state, Some(b'Z' | b'X'))
    }
}

impl Slot {
    /// Waits until the thread stands or has ended.
    fn wait(&mut self, end: u64) -> Result<(), u32> {
        loop {
            let mut status = 0;
            let flags = (libc::__WALL | libc::WNOHANG) as usize;
            let status_at = &raw mut status as usize;
            // SAFETY: the pointer is to an int; the thread is one that is traced here.
            let result = unsafe {
                call(
                    libc::SYS_wait4,
                    [self.tid as usize, status_at, flags, 0, 0, 0],
                )
            };
            if result == self.tid as isize && libc::WIFSTOPPED(status) {
                self.is_stopped = 1;
                // Above it the kernel says when it does not stand because of a signal.
                if status >> 16 == 0 {
                    self.signal = libc::WSTOPSIG(status) as u32;
                }
            }
            if result != 0 {
                return Ok(());
            }
            if sys::monotonic_ns() > end {
                return Err(0);
            }
            pause(PAUSE_NS);
        }
    }

    /// Reads the thread's registers.
    fn read(&mut self) {
        let read = |set, room: &mut [u64]| {
            let mut vector = libc::iovec {
                iov_base: room.as_mut_ptr().cast(),
                iov_len: size_of_val(room),
            };
            let vector = &raw mut vector as usize;
            trace(libc::PTRACE_GETREGSET, self.tid, set as usize, vector);
        };
        for (set, words) in arch::REGISTER_SETS {
            read(set, self.registers.get_mut(words).unwrap_or_default());
        }
        read(arch::OTHER_REGISTERS, &mut self.others);
    }
}
