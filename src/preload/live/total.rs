//! Live bytes of the whole process, and their peak.
//!
//! Each thread keeps its own sum and reports it when the change exceeds the thread's share of 1/256
//! of the peak, so that all threads together hold back no more than that. A new peak is noted when
//! it exceeds the last by 1/1024. Both together are less than half a percent. The share is computed
//! when a thread reports; if threads are added later, idle ones may still hold back their larger
//! share. With a single thread, no peak is missed by more than 1/1024.
//!
//! If the peak were so small that every call reported, threads would contend for the one word that
//! all of them change. A thread that reports often without causing a new peak may therefore hold
//! back up to [`LEEWAY`] bytes, if that is more than its share. It reports again when it has made
//! [`ROUND`] timed allocations, when it holds less than it has reported, or when it would have made
//! a new peak if the other threads had changed nothing. Its leeway ends with the next peak that it
//! sees.
//!
//! The consequences for the noted peak are:
//! - The reported sum exceeds the live bytes by no more than the shares, because a thread with
//!   leeway holds back only increases. No false peak is noted.
//! - If the other threads are idle and have reported everything, no peak is missed.
//! - If a thread stops allocating while it holds bytes back, it reports them when it ends. Until then
//!   every peak lacks them: up to [`LEEWAY`] bytes for each such thread. At the end of the process
//!   everything is added up ([`Total::end`]).
//!
//! A peak has a number, its *epoch*. A site's record saves its share before its first change after
//! a peak ([`super::count`]). Noting a peak therefore takes one increment, however many sites there
//! are.
//!
//! May run at any moment.

use super::{LiveThread, clock};
use crate::arch;
use crate::process::Process;
use core::mem::offset_of;
use core::sync::atomic::{AtomicI64, AtomicU32, Ordering::*, compiler_fence};

/// The part of the peak that all threads together may hold back.
const HELD_BACK: i64 = 256;
/// The part by which a new peak must exceed the last one.
const HIGHER: i64 = 1024;
/// Bytes that the only thread of a process may hold back in addition; no other thread needs the
/// sum.
const ALONE: i64 = 1024;
/// Bytes that a thread may hold beyond what it has reported, if it reports often without a new
/// peak.
const LEEWAY: i64 = 4096;
/// The number of reports without a new peak after which a thread checks how long they took.
const TRIES: u32 = 64;
/// Nanoseconds between two reports above which they are too rare to matter: a report costs a tenth
/// of that.
const RARE: u64 = 1500;
/// A thread with leeway reports once in this number of timed allocations ([`clock::is_timed`]).
const ROUND: u64 = 4;

/// The reported sum, in cache lines of its own because the rest of [`Total`] is read at each call.
#[repr(C, align(128))]
struct Sum(AtomicI64);

/// The process's totals. All zeros means a process without blocks.
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

/// What a thread has reported to [`Total`], and when it must report again. All zeros means a thread
/// that has reported nothing.
#[derive(Default)]
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
            ..Self::default()
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

    /// Returns whether the thread must report, now that it holds more.
    #[inline(always)]
    pub(super) fn is_due_with_more(&self, thread: &LiveThread) -> bool {
        thread.bytes - thread.handed_in.bytes > thread.handed_in.room
    }

    /// Returns whether the thread must report, now that it holds less.
    #[inline(always)]
    pub(super) fn is_due_with_less(&self, thread: &LiveThread) -> bool {
        thread.handed_in.bytes - thread.bytes > self.held_back.load(Relaxed)
    }

    /// Returns whether the thread must report after timed allocation `number`
    /// ([`clock::is_timed`]): with leeway, once in each round; without, because there may be more
    /// threads now, so that each may hold back less.
    pub(super) fn is_due_in_time(&self, thread: &LiveThread, number: u64) -> bool {
        let held = thread.bytes - thread.handed_in.bytes;
        let is_round = clock::timed_before(number).is_multiple_of(ROUND);
        held > self.held_back.load(Relaxed) && (thread.handed_in.leeway == 0 || is_round)
    }

    /// Reports the change of the thread's live bytes. `now` is in ticks, if the time may be read.
    #[inline(never)]
    pub(super) fn hand_in(&self, thread: &mut LiveThread, process: &Process, now: Option<u64>) {
        let base = process.recording.base();
        let is_same_process = || process.recording.base() == base;
        let raise = |bytes| self.raise(bytes, process);
        if let Some((total, held)) = self.hand_in_with(thread, now, is_same_process, raise)
            && held != 0
            && let Some(now) = now
        {
            process.timeline.changed(process, now, total, held);
        }
    }

    /// Adds the change of the thread's live bytes to the total, and passes the new total to `raise`
    /// if it is a new peak. Returns the new total and its change. Returns `None` and adds nothing
    /// if `is_same_process` has become false: a signal handler has forked meanwhile, and this is
    /// the child, which has read what its parent's thread holds but has a total of its own.
    #[inline(always)]
    fn hand_in_with(
        &self,
        thread: &mut LiveThread,
        now: Option<u64>,
        is_same_process: impl Fn() -> bool,
        raise: impl FnOnce(i64),
    ) -> Option<(i64, i64)> {
        // A signal handler that reports what it has allocated runs before or after the
        // exchange, so nothing is reported twice.
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
        compiler_fence(SeqCst);
        if !is_same_process() {
            return None;
        }
        let total = self.sum.0.fetch_add(held, Relaxed) + held;
        if total > self.higher.load(Relaxed) {
            raise(total);
        }
        self.grant(&mut thread.handed_in, now);
        // Reports of other threads meanwhile make it smaller; the next report sees them.
        let most = thread.handed_in.leeway.max(self.held_back.load(Relaxed));
        thread.handed_in.room = most.min(self.higher.load(Relaxed) - total);
        Some((total, held))
    }

    /// Gives a thread leeway if it reported often without a new peak, and takes it away at a new
    /// peak. Without a clock the frequency is unknown, so no leeway is given.
    #[inline(always)]
    fn grant(&self, thread: &mut HandedIn, now: Option<u64>) {
        let Some(now) = now else {
            thread.leeway = 0;
            return;
        };
        let epoch = self.epoch();
        if thread.epoch != epoch {
            thread.epoch = epoch;
            thread.tries = 0;
            thread.tries_since = now;
            thread.leeway = 0;
        }
        thread.tries += 1;
        if thread.tries < TRIES {
            return;
        }
        thread.tries = 0;
        let took = now.wrapping_sub(core::mem::replace(&mut thread.tries_since, now));
        if clock::nanoseconds(took) < u64::from(TRIES) * RARE {
            thread.leeway = LEEWAY;
        }
    }

    /// Takes over what no thread holds; each peak is noted. Takes no point of the timeline: only a part of what
    /// belongs together may be known yet.
    pub(super) fn add_exactly(&self, held: i64, process: &Process) {
        let total = self.sum.0.fetch_add(held, Relaxed) + held;
        if total > self.peak.load(Relaxed) {
            self.raise(total, process);
        }
        if let Some(now) = clock::ticks() {
            process.timeline.keep(total.min(self.peak()), now);
        }
    }

    /// The highest peak that was noted.
    #[inline(always)]
    pub(super) fn peak(&self) -> i64 {
        self.peak.load(Relaxed)
    }

    /// Notes what lives at the end, if that is the peak: threads may have held back a part of it. `bytes` is what
    /// all threads have counted.
    pub(super) fn end(&self, bytes: i64, process: &Process) {
        let bytes = self.most_at_end(bytes);
        if bytes > self.peak.load(Relaxed) {
            self.raise(bytes, process);
        }
    }

    /// What threads have counted, as far as that may have been: while it was added up, one of them may have
    /// allocated what another one frees.
    fn most_at_end(&self, bytes: i64) -> i64 {
        let threads = i64::from(self.threads.load(Relaxed));
        let most = threads * self.held_back.load(Relaxed).max(LEEWAY);
        bytes.min(self.sum.0.load(Relaxed) + most)
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
        has_clock: bool,
        ticks: u64,
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
                has_clock: true,
                ticks: 0,
            }
        }

        /// A thread allocates so many bytes or, below zero, frees them.
        fn change(&mut self, thread: usize, bytes: i64) {
            self.live += bytes;
            self.peak = self.peak.max(self.live);
            // Quick threads, however slow the machine is.
            self.ticks += 1;
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
                let now = self.has_clock.then_some(self.ticks);
                let noted = |bytes| {
                    total.note(bytes);
                };
                total.hand_in_with(live, now, || true, noted);
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

    #[test]
    fn without_a_clock_no_thread_has_leeway() {
        let mut threads = Threads::new(8);
        threads.has_clock = false;
        (0..1000).for_each(|_| threads.churn(100));
        assert!(
            threads
                .threads
                .iter()
                .all(|live| live.handed_in.leeway == 0)
        );
        let before = threads.hand_ins;
        threads.churn(100);
        assert_eq!(threads.hand_ins - before, 16);
    }

    #[test]
    fn what_idle_threads_hold_back_is_missing_from_the_peak_until_the_end() {
        let mut threads = Threads::new(2);
        threads.churn(1000);
        (0..1000).for_each(|_| threads.churn(100));
        threads.change(0, 700);
        let held = threads.live - threads.total.sum.0.load(Relaxed);
        assert_eq!(held, 700, "nothing was held back");
        // The other thread makes a peak, of which the first one's share is missing.
        threads.change(1, 5000);
        assert_eq!((threads.found(), threads.peak), (5000, 5700));
        assert_eq!(threads.total.most_at_end(threads.live), 5700);
        // No thread holds back more than it may, whatever was added up.
        assert_eq!(threads.total.most_at_end(1 << 40), 5000 + 2 * LEEWAY);
    }

    #[test]
    fn a_child_that_was_forked_in_the_midst_takes_over_nothing() {
        let mut threads = Threads::new(1);
        threads.threads[0].bytes = 1 << 20;
        let (total, live) = (&threads.total, &mut threads.threads[0]);
        let noted = total.hand_in_with(live, Some(1), || false, |_| panic!("a peak"));
        assert_eq!(noted, None);
        assert_eq!(threads.total.sum.0.load(Relaxed), 0);
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
