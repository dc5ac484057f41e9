//! Live bytes of the whole process, and their peak.
//!
//! Each thread keeps its own sum and hands in what has come together when that is a small part of the
//! peak, so that all threads' shares that were not handed in are less than 1/256 of it. A new peak is noted when it
//! exceeds the last by 1/1024. Both together are less than half a percent.
//!
//! A peak has a number, its *epoch*. A site's record that is about to change for the first time since
//! then keeps its share ([`super::count`]); so to note a peak takes one increment, however many sites there
//! are.
//!
//! May run at any moment.

use super::{LiveThread, clock};
use crate::process::Process;
use core::mem::offset_of;
use core::sync::atomic::{AtomicI64, AtomicU32, Ordering::*};

/// What part of the peak all threads together may hold back.
const HELD_BACK: i64 = 256;
/// By what part a new peak has to exceed the last one.
const HIGHER: i64 = 1024;
/// What the only thread of a process may hold back besides, in bytes: nobody else asks.
const ALONE: i64 = 1024;

/// The process's totals. All zeros is that of a process without blocks.
#[repr(C)]
pub(crate) struct Total {
    /// What was handed in.
    bytes: AtomicI64,
    peak: AtomicI64,
    /// More than this is a new peak.
    higher: AtomicI64,
    /// What a thread may hold back.
    held_back: AtomicI64,
    /// Number of the peak. (Each is higher than the last by a thousandth, so that there are few.)
    epoch: AtomicU32,
    /// Threads that ever were at the same time.
    threads: AtomicU32,
}

impl Total {
    /// Where the number of the last peak lies.
    pub(crate) const OFFSET_EPOCH: usize = offset_of!(Self, epoch);

    /// Number of the last peak.
    #[inline(always)]
    pub(super) fn epoch(&self) -> u32 {
        self.epoch.load(Relaxed)
    }

    /// Has the thread to hand in what has come together, now that it holds more?
    #[inline(always)]
    pub(super) fn is_due_with_more(&self, thread: &LiveThread) -> bool {
        let held = thread.bytes - thread.handed_in;
        held > thread.room || held > self.held_back.load(Relaxed)
    }

    /// The same, now that it holds less.
    #[inline(always)]
    pub(super) fn is_due_with_less(&self, thread: &LiveThread) -> bool {
        thread.handed_in - thread.bytes > self.held_back.load(Relaxed)
    }

    /// Takes over what has come together.
    #[inline(never)]
    pub(super) fn hand_in(&self, thread: &mut LiveThread, process: &Process) {
        // A signal handler that hands in what it has allocated comes before or after the exchange, so nothing is
        // handed in twice.
        // SAFETY: both are the calling thread's.
        let held = unsafe {
            let bytes = (&raw const thread.bytes).read_volatile();
            bytes - AtomicI64::from_ptr(&raw mut thread.handed_in).swap(bytes, Relaxed)
        };
        let total = self.add(held, process);
        if total > self.higher.load(Relaxed) {
            self.raise(total, process);
        }
        // What others hand in meanwhile makes it smaller, and is seen with the next.
        thread.room = self.higher.load(Relaxed) - total;
        process.timeline.changed(process, total, held);
    }

    /// Takes over what no thread holds; each peak is noted.
    pub(super) fn add_exactly(&self, held: i64, process: &Process) {
        let total = self.add(held, process);
        if total > self.peak.load(Relaxed) {
            self.raise(total, process);
        }
        process.timeline.changed(process, total, held);
    }

    /// Notes a peak, if this is more than the last one: what all threads have counted together.
    pub(super) fn settle(&self, total: i64, process: &Process) {
        if total > self.peak() {
            self.raise(total, process);
        }
    }

    /// The highest peak that was noted.
    #[inline(always)]
    pub(super) fn peak(&self) -> i64 {
        self.peak.load(Relaxed)
    }

    fn add(&self, held: i64, process: &Process) -> i64 {
        let total = self.bytes.fetch_add(held, Relaxed) + held;
        process.recording.set_live_bytes(total);
        total
    }

    fn raise(&self, bytes: i64, process: &Process) {
        if self.peak.fetch_max(bytes, Relaxed) >= bytes {
            return;
        }
        self.higher.fetch_max(bytes + bytes / HIGHER, Relaxed);
        let epoch = self.epoch.fetch_add(1, Relaxed) + 1;
        process
            .recording
            .set_peak(u64::from(epoch), bytes as u64, clock::wall_ns());
        self.set_held_back();
    }

    fn set_held_back(&self) {
        let threads = i64::from(self.threads.load(Relaxed)).max(1);
        let share = self.peak.load(Relaxed) / (HELD_BACK * threads);
        let alone = if threads == 1 { ALONE } else { 0 };
        self.held_back.store(share + alone, Relaxed);
    }

    /// One more thread state is in use for the first time.
    pub(crate) fn add_thread(&self) {
        self.threads.fetch_add(1, Relaxed);
        self.set_held_back();
    }
}
