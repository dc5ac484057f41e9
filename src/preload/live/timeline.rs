//! The timeline: live bytes, live blocks and resident memory as the program ran.
//!
//! It is a step function. A point holds until the next one, and its resident memory is the last
//! value read before the next one.
//!
//! When a thread reports what it holds ([`super::total`]), the live bytes change and it checks
//! whether a point is due, at first every millisecond. So does every 16th allocation. Between two
//! points only the highest and the lowest live bytes are kept, each in a word with its moment, and
//! about when the heap was last seen to change ([`Timeline::keep`]). All threads read these words
//! often, and write them seldom: only what says something new is stored. What is due then writes up
//! to four points ([`course::since`]): the extremes, the state in which the program did nothing,
//! and the state now. A short peak and the time without allocations around it are therefore on the
//! line.
//!
//! When there are as many points as are kept, they are thinned out ([`course::thin_out`]), and the interval
//! doubles.
//!
//! [`Timeline::is_due`] and [`Timeline::keep`] may run at any moment, the rest are cold sections.

use super::course::{self, Moment, Span};
use super::{clock, resident};
use crate::heap::SpinLock;
use crate::process::Process;
use crate::thread::cold_section;
use crate::{confined, sys};
use core::slice;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering::*};
use skipheap_format::PAGE;
use skipheap_format::layout::*;

/// The first interval, in nanoseconds.
const FIRST_INTERVAL: u64 = 1_000_000;
/// Room for all points.
const PAGES: u32 = (size_of::<ChunkHeader>() + MOST_POINTS * size_of::<TimelinePoint>())
    .div_ceil(PAGE as usize) as u32;
/// Bits of an extreme that hold its moment.
const MOMENT_BITS: u32 = 16;
const LAST_MOMENT: u64 = (1 << MOMENT_BITS) - 1;
/// A change that is so many moments later than the last one, as a power of two, is a new one: a
/// thirty-second of the interval at most.
const SEEN_LATER: u32 = MOMENT_BITS - 7;

/// The points of a process. All zeros means a process in which no point is ever due.
#[repr(C)]
pub(crate) struct Timeline {
    lock: SpinLock,
    /// When the next point is due, in ticks; 0: never.
    next: AtomicU64,
    /// In nanoseconds.
    interval: AtomicU64,
    points: AtomicPtr<TimelinePoint>,
    len: AtomicU32,
    /// Ticks of a moment of an extreme, as a shift.
    shift: AtomicU32,
    /// When the last point was taken, in ticks. The moments of the extremes count from here.
    base: AtomicU64,
    /// When the last point was taken, in nanoseconds since 1970. Written by whoever holds the lock.
    base_ns: AtomicU64,
    span: SpanSoFar,
}

/// What has happened since the last point, in cache lines of its own: the rest of [`Timeline`] is
/// read at each timed allocation.
#[repr(C, align(128))]
struct SpanSoFar {
    /// When the heap was last seen to change, in ticks. It may have changed up to [`SEEN_LATER`] moments
    /// later, but not by more than lies between the extremes, none of which is later than this.
    seen: AtomicU64,
    /// Most live bytes since the last point, above how long before the last moment that was first; 0:
    /// none. So the larger number is the higher one, or the earlier one of two that are as high.
    highest: AtomicU64,
    /// Fewest live bytes since the last point, above the moment at which that was first; all ones: none.
    lowest: AtomicU64,
}

impl Timeline {
    /// Returns whether a point is due.
    #[inline(always)]
    pub(super) fn is_due(&self, now: u64) -> bool {
        // 0 less one is never reached.
        now > self.next.load(Relaxed).wrapping_sub(1)
    }

    /// Starts to take points.
    pub(super) fn begin(&self) {
        self.interval.store(FIRST_INTERVAL, Relaxed);
        self.begin_span(clock::ticks().unwrap_or(0), sys::now_ns());
        self.next.store(1, Relaxed);
    }

    /// The heap changes at this moment, by little.
    #[inline(always)]
    pub(super) fn see(&self, now: u64) {
        let later = now.saturating_sub(self.span.seen.load(Relaxed));
        if later >> SEEN_LATER >> self.shift.load(Relaxed) != 0 {
            self.span.seen.store(now, Relaxed);
        }
    }

    /// The live bytes are `total` from `now` on, after they have changed by `change`.
    #[inline(always)]
    pub(super) fn changed(&self, process: &Process, now: u64, total: i64, change: i64) {
        if self.is_due(now) {
            self.tick(process, now, change);
        } else {
            self.keep(total.min(process.total.peak()), now);
        }
    }

    /// Keeps the live bytes of this moment, if they are the highest or the lowest since the last point.
    #[inline(always)]
    pub(super) fn keep(&self, total: i64, now: u64) {
        let span = &self.span;
        let passed = now.saturating_sub(self.base.load(Relaxed)) >> self.shift.load(Relaxed);
        let moment = passed.min(LAST_MOMENT);
        let bytes = (total.max(0) as u64) << MOMENT_BITS;
        let (high, low) = (bytes | (LAST_MOMENT - moment), bytes | moment);
        // Nearly all are neither, and a load is cheaper than an exchange.
        let is_higher = high > span.highest.load(Relaxed);
        let is_lower = low < span.lowest.load(Relaxed);
        if is_higher {
            span.highest.fetch_max(high, Relaxed);
        }
        if is_lower {
            span.lowest.fetch_min(low, Relaxed);
        }
        if is_higher || is_lower {
            span.seen.fetch_max(now, Relaxed);
        } else {
            self.see(now);
        }
    }

    /// Takes a point if one is still due, unless another thread does. The live bytes have just changed by
    /// `change`.
    #[cold]
    #[inline(never)]
    pub(super) fn tick(&self, process: &Process, now: u64, change: i64) {
        let due = self.next.load(Relaxed);
        let next = clock::after(now, self.interval.load(Relaxed));
        // The last point may have been taken since it was due, or another thread takes this one.
        let is_ours = due != 0
            && now >= due
            && self
                .next
                .compare_exchange(due, next, Relaxed, Relaxed)
                .is_ok();
        if is_ours && !confined::is_confined() {
            cold_section(|| {
                let _guard = self.lock.lock();
                if self.next.load(Relaxed) != 0 {
                    self.take(process, change);
                }
            });
        }
    }

    /// Takes the last point.
    pub(super) fn last(&self, process: &Process) {
        self.next.store(0, Relaxed);
        let _guard = self.lock.lock();
        self.take(process, 0);
    }

    /// The extremes are those of the time from `now` on.
    fn begin_span(&self, now: u64, ns: u64) -> (u64, u64) {
        let two_intervals = clock::after(0, 2 * self.interval.load(Relaxed));
        let bits = u64::BITS - two_intervals.leading_zeros();
        let shift = bits.saturating_sub(MOMENT_BITS);
        self.base.store(now, Relaxed);
        self.base_ns.store(ns, Relaxed);
        self.shift.store(shift, Relaxed);
        (
            self.span.highest.swap(0, Relaxed),
            self.span.lowest.swap(u64::MAX, Relaxed),
        )
    }

    /// Takes a point, with the lock held.
    fn take(&self, process: &Process, change: i64) {
        clock::refine();
        if self.points.load(Relaxed).is_null() {
            let Ok(chunk) = process.recording.chunk(CHUNK_TIMELINE, PAGES) else {
                self.next.store(0, Relaxed);
                return;
            };
            self.points.store(chunk.records.cast(), Relaxed);
        }
        let start = self.points.load(Relaxed);
        // SAFETY: the chunk has room for that many, of zeros at first, and the lock makes this the only reference.
        let points = unsafe { slice::from_raw_parts_mut(start, MOST_POINTS) };
        let span = self.span(process, change);
        let mut len = (self.len.load(Relaxed) as usize).min(MOST_POINTS);
        if len + course::MOST_IN_A_SPAN > MOST_POINTS {
            let mut interval = self.interval.load(Relaxed);
            // What stands behind those that are known is none.
            let known = &mut points[..len];
            len = course::thin_out(known, MOST_POINTS / 2, &mut interval, span.peak);
            self.interval.store(interval, Relaxed);
        }
        let (known, room) = points.split_at_mut(len);
        len += course::since(known.last_mut(), &span, room);
        self.len.store(len as u32, Relaxed);
        let used = (len * size_of::<TimelinePoint>()) as u32;
        process.recording.set_used(start.cast(), used);
    }

    /// The state of the heap since the last point.
    fn span(&self, process: &Process, change: i64) -> Span {
        let (base, shift) = (self.base.load(Relaxed), self.shift.load(Relaxed));
        let base_ns = self.base_ns.load(Relaxed);
        let now = clock::ticks().unwrap_or(base);
        let ns = sys::now_ns();
        let seen = self.span.seen.swap(now, Relaxed);
        let (highest, lowest) = self.begin_span(now, ns);
        // From the nearer one of two moments that both clocks have told: they do not go alike.
        let at = |ticks: u64| {
            let (since, until) = (ticks.saturating_sub(base), now.saturating_sub(ticks));
            match since < until {
                true => base_ns.saturating_add(clock::nanoseconds(since)),
                false => ns.saturating_sub(clock::nanoseconds(until)),
            }
        };
        let moment = |word: u64, passed: u64| Moment {
            ns: at(base + (passed << shift)),
            bytes: word >> MOMENT_BITS,
        };
        let sums = process.live_sums();
        process.recording.set_live_sums(&sums);
        let unsigned = |n: i64| u64::try_from(n).unwrap_or(0);
        let peak = unsigned(process.total.peak());
        Span {
            highest: (highest != 0).then(|| moment(highest, LAST_MOMENT - (highest & LAST_MOMENT))),
            lowest: (lowest != u64::MAX).then(|| moment(lowest, lowest & LAST_MOMENT)),
            before: (seen > base).then(|| Moment {
                ns: at(seen),
                bytes: unsigned(sums.bytes - change).min(peak),
            }),
            now: TimelinePoint {
                ns,
                allocations: sums.allocations,
                live_bytes: unsigned(sums.bytes).min(peak),
                live_blocks: unsigned(sums.blocks),
                rss: resident::bytes(),
            },
            interval: self.interval.load(Relaxed),
            peak,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn begun() -> &'static Timeline {
        clock::calibrate();
        // SAFETY: all zeros is a timeline without points.
        let timeline = unsafe { testing::zeroed::<Timeline>() };
        timeline.begin();
        timeline
    }

    #[test]
    fn after_the_last_point_there_is_none() {
        let (process, timeline) = (testing::process(), begun());
        let late = clock::after(clock::ticks().unwrap_or(0), 10 * FIRST_INTERVAL);
        timeline.tick(process, late, 0);
        assert_ne!(
            (timeline.len.load(Relaxed), timeline.next.load(Relaxed)),
            (0, 0)
        );
        timeline.last(process);
        let len = timeline.len.load(Relaxed);
        timeline.tick(process, 2 * late, 0);
        assert_eq!(
            (timeline.len.load(Relaxed), timeline.next.load(Relaxed)),
            (len, 0)
        );
    }

    #[test]
    fn what_is_not_due_yet_takes_no_point() {
        let (process, timeline) = (testing::process(), begun());
        let late = clock::after(clock::ticks().unwrap_or(0), 10 * FIRST_INTERVAL);
        timeline.tick(process, late, 0);
        let (len, next) = (timeline.len.load(Relaxed), timeline.next.load(Relaxed));
        // As a thread that was too slow: another one has taken the point.
        timeline.tick(process, late, 0);
        assert_eq!(
            (timeline.len.load(Relaxed), timeline.next.load(Relaxed)),
            (len, next)
        );
    }

    #[test]
    fn a_change_is_seen_late_only_where_no_extreme_is_later() {
        let timeline = begun();
        let start = timeline.base.load(Relaxed);
        let seen = || timeline.span.seen.load(Relaxed);
        let at = |part: u64| clock::after(start, part * FIRST_INTERVAL / 1024);
        timeline.keep(500, at(100));
        assert_eq!(seen(), at(100));
        // Neither higher nor lower, and soon after.
        timeline.keep(500, at(101));
        timeline.see(at(102));
        assert_eq!(seen(), at(100));
        timeline.keep(501, at(103));
        assert_eq!(seen(), at(103));
        timeline.keep(499, at(104));
        assert_eq!(seen(), at(104));
        // A thirty-second of the interval later.
        timeline.see(at(104 + 33));
        assert_eq!(seen(), at(104 + 33));
        // A thread that was interrupted in between.
        timeline.see(at(50));
        timeline.keep(600, at(60));
        assert_eq!(seen(), at(104 + 33));
    }
}
