//! Live bytes of the whole process, and their peak.
//!
//! Each thread keeps its own sum and hands in what has come together when that is a small part of the
//! peak, so that all threads' shares that were not handed in are less than 1/256 of it. A new peak is noted when it
//! exceeds the last by 1/1024. Both together are less than half a percent.
//!
//! Where a peak is so small that this is each call, threads would spend their time on waiting for
//! the one word that all of them change. So a thread that hands in often, and without a new
//! peak to come of it, may leave [`LEEWAY`] bytes more until it has made [`ROUND`] timed allocations. It
//! holds back only what it holds more: what is handed in never exceeds what lives by more than the
//! shares above, so no peak is noted that was none. Nor does it hold back what would be a new peak
//! if the other threads had changed nothing since it last handed in, so where they are idle it
//! misses none. With the next peak the leeway ends.
//!
//! A peak has a number, its *epoch*. A site's record that is about to change for the first time since
//! then keeps its share ([`super::count`]); so to note a peak takes one increment, however many sites there
//! are.
//!
//! May run at any moment.

use super::{LiveThread, clock};
use crate::arch;
use crate::process::Process;
use core::mem::offset_of;
use core::sync::atomic::{AtomicI64, AtomicU32, Ordering::*};

/// What part of the peak all threads together may hold back.
const HELD_BACK: i64 = 256;
/// By what part a new peak has to exceed the last one.
const HIGHER: i64 = 1024;
/// What the only thread of a process may hold back besides, in bytes: nobody else asks.
const ALONE: i64 = 1024;
/// What a thread may hold more than it has handed in, in bytes, where to hand in takes its time.
const LEEWAY: i64 = 4096;
/// Hand-ins without a new peak, after which a thread looks how long they took.
const TRIES: u32 = 64;
/// Time from one of these to the next, in nanoseconds, above which they are too rare to matter: each
/// costs a tenth of that.
const RARE: u64 = 1500;
/// A thread with leeway hands in at one of so many timed allocations ([`clock::is_timed`]).
const ROUND: u64 = 4;

/// What was handed in, in cache lines of its own: the rest of [`Total`] is read at each call.
#[repr(C, align(128))]
struct Sum(AtomicI64);

/// The process's totals. All zeros is that of a process without blocks.
#[repr(C)]
pub(crate) struct Total {
    sum: Sum,
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

/// What a thread has handed in to [`Total`], and until when it need not do so again. All zeros is
/// that of a thread that has handed in nothing.
#[repr(C)]
pub(super) struct HandedIn {
    /// Bytes, of [`LiveThread::bytes`].
    bytes: i64,
    /// How many more it may hold.
    room: i64,
    /// [`LEEWAY`] or 0.
    leeway: i64,
    /// When the last [`TRIES`] began, in ticks.
    tries_since: u64,
    tries: u32,
    /// Number of the last peak at that time.
    epoch: u32,
}

impl HandedIn {
    /// Another thread counts on.
    pub(super) fn begin(&mut self) {
        *self = Self {
            bytes: self.bytes,
            room: 0,
            leeway: 0,
            tries_since: 0,
            tries: 0,
            epoch: 0,
        };
    }
}

impl Total {
    /// Where the number of the last peak lies.
    pub(crate) const OFFSET_EPOCH: usize = offset_of!(Self, epoch);

    /// Number of the last peak.
    #[inline(always)]
    pub(super) fn epoch(&self) -> u32 {
        self.epoch.load(Relaxed)
    }

    /// Returns whether the thread has to hand in what has come together, now that it holds more.
    #[inline(always)]
    pub(super) fn is_due_with_more(&self, thread: &LiveThread) -> bool {
        thread.bytes - thread.handed_in.bytes > thread.handed_in.room
    }

    /// Returns whether it has to, now that it holds less.
    #[inline(always)]
    pub(super) fn is_due_with_less(&self, thread: &LiveThread) -> bool {
        thread.handed_in.bytes - thread.bytes > self.held_back.load(Relaxed)
    }

    /// Returns whether it has to after timed allocation `number` ([`clock::is_timed`]): with leeway, in
    /// each round; without, in case that there are more threads now, and each may hold back less.
    pub(super) fn is_due_in_time(&self, thread: &LiveThread, number: u64) -> bool {
        let held = thread.bytes - thread.handed_in.bytes;
        let is_round = clock::timed_before(number).is_multiple_of(ROUND);
        held > self.held_back.load(Relaxed) && (thread.handed_in.leeway == 0 || is_round)
    }

    /// Takes over what has come together in the thread.
    #[inline(never)]
    pub(super) fn hand_in(&self, thread: &mut LiveThread, process: &Process) {
        let (total, held) = self.hand_in_with(thread, |bytes| self.raise(bytes, process));
        process.timeline.changed(process, total, held);
    }

    /// Takes over what has come together, and hands what then lives to `raise` if that is a new peak. Returns
    /// what then lives, and by how much it has changed.
    #[inline(always)]
    fn hand_in_with(&self, thread: &mut LiveThread, raise: impl FnOnce(i64)) -> (i64, i64) {
        // A signal handler that hands in what it has allocated comes before or after the exchange, so nothing is
        // handed in twice.
        // SAFETY: both are the calling thread's.
        let held = unsafe {
            let handed_in = (&raw mut thread.handed_in.bytes).cast::<usize>();
            loop {
                let before = handed_in.read_volatile();
                let bytes = (&raw const thread.bytes).read_volatile();
                if arch::replace(handed_in, before, bytes as usize) {
                    break bytes - before as i64;
                }
            }
        };
        let total = self.sum.0.fetch_add(held, Relaxed) + held;
        if total > self.higher.load(Relaxed) {
            raise(total);
        }
        self.grant(&mut thread.handed_in);
        // What others hand in meanwhile makes it smaller, and is seen with the next.
        let most = thread.handed_in.leeway.max(self.held_back.load(Relaxed));
        thread.handed_in.room = most.min(self.higher.load(Relaxed) - total);
        (total, held)
    }

    /// Gives a thread leeway where it handed in often and in vain, and takes it when there is a new peak.
    #[inline(always)]
    fn grant(&self, thread: &mut HandedIn) {
        let epoch = self.epoch();
        if thread.epoch != epoch {
            thread.epoch = epoch;
            thread.tries = 0;
            thread.leeway = 0;
        }
        thread.tries += 1;
        if thread.tries < TRIES {
            return;
        }
        thread.tries = 0;
        let now = clock::ticks().unwrap_or(0);
        let took = now.wrapping_sub(core::mem::replace(&mut thread.tries_since, now));
        if clock::nanoseconds(took) < u64::from(TRIES) * RARE {
            thread.leeway = LEEWAY;
        }
    }

    /// Takes over what no thread holds; each peak is noted.
    pub(super) fn add_exactly(&self, held: i64, process: &Process) {
        let total = self.sum.0.fetch_add(held, Relaxed) + held;
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

    /// Notes what lives at the end, if that is the peak: threads may have held back a part of it.
    pub(super) fn end(&self, bytes: i64, process: &Process) {
        // Other threads may have allocated and freed while `bytes` was added up.
        let threads = i64::from(self.threads.load(Relaxed));
        let most = threads * self.held_back.load(Relaxed).max(LEEWAY);
        let bytes = bytes.min(self.sum.0.load(Relaxed) + most);
        if bytes > self.peak.load(Relaxed) {
            self.raise(bytes, process);
        }
    }

    fn raise(&self, bytes: i64, process: &Process) {
        if let Some(epoch) = self.note(bytes) {
            process
                .recording
                .set_peak(u64::from(epoch), bytes as u64, clock::wall_ns());
        }
    }

    /// Notes a peak; its number, unless another thread has noted a higher one.
    fn note(&self, bytes: i64) -> Option<u32> {
        if self.peak.fetch_max(bytes, Relaxed) >= bytes {
            return None;
        }
        self.higher.fetch_max(bytes + bytes / HIGHER, Relaxed);
        let epoch = self.epoch.fetch_add(1, Relaxed) + 1;
        self.set_held_back();
        Some(epoch)
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

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::zeroed;
    use proptest::prelude::*;

    /// Threads that hold what they are told to.
    struct Threads {
        total: Total,
        threads: Vec<LiveThread>,
        live: i64,
        peak: i64,
        hand_ins: u64,
    }

    impl Threads {
        fn new(count: usize) -> Self {
            clock::calibrate();
            // SAFETY: all zeros is a total of no blocks, and a thread without any.
            let (total, threads) = unsafe {
                let threads = (0..count).map(|_| zeroed::<LiveThread>());
                (zeroed::<Total>(), threads.collect())
            };
            for _ in 0..count {
                total.add_thread();
            }
            Self {
                total,
                threads,
                live: 0,
                peak: 0,
                hand_ins: 0,
            }
        }

        /// A thread allocates so many bytes or, below zero, frees them.
        fn change(&mut self, thread: usize, bytes: i64) {
            self.live += bytes;
            self.peak = self.peak.max(self.live);
            let (total, live) = (&self.total, &mut self.threads[thread]);
            live.bytes += bytes;
            let is_due = if bytes < 0 {
                total.is_due_with_less(live)
            } else {
                live.clock += 1;
                let number = live.clock;
                total.is_due_with_more(live)
                    || clock::is_timed(number) && total.is_due_in_time(live, number)
            };
            if is_due {
                self.hand_ins += 1;
                total.hand_in_with(live, |bytes| {
                    total.note(bytes);
                });
            }
        }

        /// Each thread holds so many bytes for a moment, all of them at once.
        fn churn(&mut self, bytes: i64) {
            for bytes in [bytes, -bytes] {
                (0..self.threads.len()).for_each(|thread| self.change(thread, bytes));
            }
        }

        fn found(&self) -> i64 {
            self.total.peak.load(Relaxed)
        }
    }

    #[test]
    fn threads_that_hold_next_to_nothing_stop_handing_in_at_each_call() {
        let mut threads = Threads::new(8);
        (0..20_000).for_each(|_| threads.churn(100));
        assert_eq!(threads.found(), 800);
        let before = threads.hand_ins;
        (0..1000).for_each(|_| threads.churn(100));
        let (hand_ins, allocations) = (threads.hand_ins - before, 8 * 1000);
        assert!(hand_ins > 0, "nothing was handed in");
        assert!(
            hand_ins <= 3 * allocations / 64,
            "{hand_ins} in {allocations} allocations"
        );
    }

    #[test]
    fn the_peak_is_exact_where_the_other_threads_are_idle() {
        let mut threads = Threads::new(8);
        threads.change(7, 1000);
        for round in 0..20_000 {
            threads.change(0, 100);
            threads.change(0, -100);
            if round % 1000 == 0 {
                threads.change(0, 2000 + round);
                threads.change(0, -2000 - round);
                assert_eq!(threads.found(), threads.peak);
            }
        }
        let before = threads.hand_ins;
        for _ in 0..1000 {
            threads.change(0, 100);
            threads.change(0, -100);
        }
        assert!(threads.hand_ins - before < 50);
    }

    proptest! {
        #[test]
        fn the_peak_is_right_whatever_threads_do(
            steps in prop::collection::vec((0_usize..4, -60_000_i64..60_000, 0_usize..400), 1..100),
            churns in any::<bool>(),
        ) {
            let mut threads = Threads::new(4);
            for (thread, bytes, rounds) in steps {
                if churns {
                    (0..rounds).for_each(|_| threads.churn(64));
                }
                if threads.live + bytes >= 0 {
                    threads.change(thread, bytes);
                }
            }
            let leeway = if churns { 4 * LEEWAY } else { 0 };
            let (found, peak) = (threads.found(), threads.peak);
            prop_assert!(found >= peak - peak / 100 - leeway, "{found} of {peak}");
            prop_assert!(found <= peak + peak / 200, "{found} of {peak}");
        }
    }
}
