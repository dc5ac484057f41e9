//! The timeline: live bytes, live blocks and resident memory as the program ran.
//!
//! A point is taken when an allocation finds that it is time for one, every millisecond at first. When
//! there are as many as are kept, every second one goes, and the interval doubles.
//!
//! [`Timeline::is_due`] may run at any moment, the rest are cold sections.

use super::{clock, resident};
use crate::heap::SpinLock;
use crate::process::Process;
use crate::thread::cold_section;
use crate::{confined, sys};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering::*};
use skipheap_format::PAGE;
use skipheap_format::layout::*;

/// The first interval, in nanoseconds.
const FIRST_INTERVAL: u64 = 1_000_000;
/// Room for all points.
const PAGES: u32 = (size_of::<ChunkHeader>() + MOST_POINTS * size_of::<TimelinePoint>())
    .div_ceil(PAGE as usize) as u32;

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
}

impl Timeline {
    /// Is it time for a point?
    #[inline(always)]
    pub(super) fn is_due(&self, now: u64) -> bool {
        // 0 less one is never reached.
        now > self.next.load(Relaxed).wrapping_sub(1)
    }

    /// From now on points are taken.
    pub(super) fn begin(&self) {
        self.interval.store(FIRST_INTERVAL, Relaxed);
        self.next.store(1, Relaxed);
    }

    /// Takes a point, unless another thread does.
    #[cold]
    #[inline(never)]
    pub(super) fn tick(&self, process: &Process, now: u64) {
        let next = clock::after(now, self.interval.load(Relaxed));
        if self.next.swap(next, Relaxed) == next || confined::is_confined() {
            return;
        }
        cold_section(|| self.take(process));
    }

    /// Takes the last point.
    pub(super) fn last(&self, process: &Process) {
        self.next.store(0, Relaxed);
        self.take(process);
    }

    fn take(&self, process: &Process) {
        clock::refine();
        let _guard = self.lock.lock();
        if self.points.load(Relaxed).is_null() {
            let Ok(chunk) = process.recording.chunk(CHUNK_TIMELINE, PAGES) else {
                self.next.store(0, Relaxed);
                return;
            };
            self.points.store(chunk.records.cast(), Relaxed);
        }
        let points = self.points.load(Relaxed);
        let mut len = self.len.load(Relaxed) as usize;
        // SAFETY: the chunk has room for that many, and the lock makes this the only writer.
        unsafe {
            if len == MOST_POINTS {
                for i in 0..MOST_POINTS / 2 {
                    points.add(i).write(points.add(2 * i + 1).read());
                }
                len = MOST_POINTS / 2;
                self.interval
                    .fetch_add(self.interval.load(Relaxed), Relaxed);
            }
            points.add(len).write(point(process));
        }
        len += 1;
        self.len.store(len as u32, Relaxed);
        let used = (len * size_of::<TimelinePoint>()) as u32;
        process.recording.set_used(points.cast(), used);
    }
}

/// How things stand.
fn point(process: &Process) -> TimelinePoint {
    let sums = process.live_sums();
    process.recording.set_live_sums(&sums);
    let unsigned = |n: i64| u64::try_from(n).unwrap_or(0);
    TimelinePoint {
        ns: sys::now_ns(),
        allocations: sums.allocations,
        live_bytes: unsigned(sums.bytes),
        live_blocks: unsigned(sums.blocks),
        rss: resident::bytes(),
    }
}
