//! The timeline: live bytes, live blocks and resident memory as the program ran.
//!
//! It is a line of steps. A point holds until the next one, and its resident memory is what was read last
//! before the next one.
//!
//! A thread that hands in what it holds ([`super::total`]) changes the live bytes, and asks whether a point is
//! due: every millisecond at first. So does every 16th allocation. Between two points only the highest
//! and the lowest live bytes are kept, each in a word with its moment, and when the heap was last seen to
//! change ([`Timeline::keep`]). What is due then writes up to four points ([`course::since`]): the extremes, the
//! state in which the program did nothing, and the state now. A short peak and the time without
//! allocations around it are therefore on the line.
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

/// The points of a process. All zeros is a process in which it is never time for one.
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
    /// When the heap was last seen to change, in ticks.
    seen: AtomicU64,
    /// Most live bytes since the last point, above how long before the last moment that was first; 0:
    /// none. So the larger number is the higher one, or the earlier one of two that are as high.
    highest: AtomicU64,
    /// Fewest live bytes since the last point, above the moment at which that was first; all ones: none.
    lowest: AtomicU64,
}

impl Timeline {
    /// Returns whether it is time for a point.
    #[inline(always)]
    pub(super) fn is_due(&self, now: u64) -> bool {
        // 0 less one is never reached.
        now > self.next.load(Relaxed).wrapping_sub(1)
    }

    /// From now on points are taken.
    pub(super) fn begin(&self) {
        self.interval.store(FIRST_INTERVAL, Relaxed);
        self.begin_span(clock::ticks().unwrap_or(0), sys::now_ns());
        self.next.store(1, Relaxed);
    }

    /// The heap changes at this moment, by little.
    #[inline(always)]
    pub(super) fn see(&self, now: u64) {
        self.seen.store(now, Relaxed);
    }

    /// The live bytes are `total` now, after they have changed by `change`.
    #[inline(always)]
    pub(super) fn changed(&self, process: &Process, total: i64, change: i64) {
        let Some(now) = clock::ticks() else { return };
        if self.is_due(now) {
            self.tick(process, now, change);
        } else {
            self.keep(total.min(process.total.peak()), now);
        }
    }

    /// Keeps the live bytes of this moment, if they are the highest or the lowest since the last point.
    #[inline(always)]
    fn keep(&self, total: i64, now: u64) {
        self.seen.store(now, Relaxed);
        let passed = now.saturating_sub(self.base.load(Relaxed)) >> self.shift.load(Relaxed);
        let moment = passed.min(LAST_MOMENT);
        let bytes = (total.max(0) as u64) << MOMENT_BITS;
        // Nearly all are neither, and a load is cheaper than an exchange.
        let high = bytes | (LAST_MOMENT - moment);
        if high > self.highest.load(Relaxed) {
            self.highest.fetch_max(high, Relaxed);
        }
        let low = bytes | moment;
        if low < self.lowest.load(Relaxed) {
            self.lowest.fetch_min(low, Relaxed);
        }
    }

    /// Takes a point, unless another thread does. The live bytes have just changed by `change`.
    #[cold]
    #[inline(never)]
    pub(super) fn tick(&self, process: &Process, now: u64, change: i64) {
        let next = clock::after(now, self.interval.load(Relaxed));
        if self.next.swap(next, Relaxed) == next || confined::is_confined() {
            return;
        }
        cold_section(|| self.take(process, change));
    }

    /// Takes the last point. What lives now counts as a peak, if it is more than the last one that was noted.
    pub(super) fn last(&self, process: &Process) {
        self.next.store(0, Relaxed);
        process.total.settle(process.live_sums().bytes, process);
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
            self.highest.swap(0, Relaxed),
            self.lowest.swap(u64::MAX, Relaxed),
        )
    }

    fn take(&self, process: &Process, change: i64) {
        clock::refine();
        let _guard = self.lock.lock();
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

    /// What is known of the time since the last point.
    fn span(&self, process: &Process, change: i64) -> Span {
        let (base, shift) = (self.base.load(Relaxed), self.shift.load(Relaxed));
        let base_ns = self.base_ns.load(Relaxed);
        let now = clock::ticks().unwrap_or(base);
        let ns = sys::now_ns();
        let seen = self.seen.swap(now, Relaxed);
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
