//! Live bytes over time as a line of steps, whose highest point is the peak. Every report has them from here.

use skipheap_format::layout::{NOT_KNOWN, TimelinePoint};
use skipheap_format::reader::Recording;

/// The live heap of a process over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// In the order of time. Each holds until the next one.
    pub points: Vec<TimelinePoint>,
    /// The most live bytes of any point; 0 without points. Of a sample an estimate.
    pub peak_bytes: u64,
    /// When that was first, in nanoseconds since 1970.
    pub peak_ns: u64,
}

impl Line {
    /// The line of a recording; `None` where blocks were not followed.
    pub fn of(recording: &Recording<'_>) -> Option<Self> {
        let totals = recording.live_totals()?;
        let (points, start) = (recording.timeline(), recording.start_ns());
        Some(Self::from_start(
            points,
            start,
            totals.peak_bytes,
            totals.peak_ns,
        ))
    }

    /// Returns the line of a process that started at `start`, with these points and the peak that
    /// was noted. All times are of one clock.
    pub fn from_start(
        mut points: Vec<TimelinePoint>,
        start: u64,
        peak_bytes: u64,
        peak_ns: u64,
    ) -> Self {
        if points.first().is_some_and(|first| first.ns > start) {
            // Nothing lived when the process began.
            let nothing = TimelinePoint {
                ns: start,
                allocations: 0,
                live_bytes: 0,
                live_blocks: 0,
                rss: 0,
            };
            points.insert(0, nothing);
        }
        Self::new(points, peak_bytes, peak_ns.max(start))
    }

    /// A line with the peak that was noted. A process that was killed, and one that still runs, may have
    /// noted it after the last point.
    fn new(mut points: Vec<TimelinePoint>, peak_bytes: u64, peak_ns: u64) -> Self {
        for point in &mut points {
            point.live_bytes = point.live_bytes.min(peak_bytes);
        }
        let has_peak = |point: &&TimelinePoint| point.live_bytes == peak_bytes;
        let peak_ns = match points.iter().find(has_peak) {
            Some(point) => point.ns,
            None if peak_bytes == 0 => peak_ns,
            None => {
                let next = points.partition_point(|point| point.ns <= peak_ns);
                let point = TimelinePoint {
                    ns: peak_ns,
                    allocations: NOT_KNOWN,
                    live_bytes: peak_bytes,
                    live_blocks: NOT_KNOWN,
                    rss: 0,
                };
                points.insert(next, point);
                peak_ns
            }
        };
        Self {
            points,
            peak_bytes,
            peak_ns,
        }
    }
}

/// The live bytes of a process in a tree.
pub struct Course<P> {
    /// Times since 1970, in the order of time, and live bytes from then on.
    pub points: P,
    /// The end of the process; 0: not known, so that nothing is known after its last point.
    pub end_ns: u64,
}

/// The peak of several processes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Together {
    /// The most that all of them held at one moment.
    pub bytes: u64,
    /// When that was, in nanoseconds since 1970.
    pub ns: u64,
    /// How many processes held something then.
    pub processes: u64,
}

/// Finds the moment at which processes held the most together; `None` of fewer than two with points.
pub fn together<P>(courses: impl Iterator<Item = Course<P>>) -> Option<Together>
where
    P: Iterator<Item = (u64, u64)>,
{
    // Time, change of bytes, change of the number of processes that hold something.
    let mut changes: Vec<(u64, i128, i64)> = Vec::new();
    let mut known = 0;
    for course in courses {
        let (mut bytes, mut last) = (0, None);
        let mut change = |ns, next: u64| {
            let holds = i64::from(next > 0) - i64::from(bytes > 0);
            changes.push((ns, i128::from(next) - i128::from(bytes), holds));
            bytes = next;
        };
        for (ns, live) in course.points {
            change(ns, live);
            last = Some(ns);
        }
        let Some(last) = last else { continue };
        change(course.end_ns.max(last.saturating_add(1)), 0);
        known += 1;
    }
    if known < 2 {
        return None;
    }
    // What goes at a moment goes before what comes, so that the sum is one that there was.
    changes.sort_unstable();
    let (mut bytes, mut processes) = (0_i128, 0_i64);
    let mut highest = (0, 0, 0);
    for (ns, change, holds) in changes {
        bytes += change;
        processes += holds;
        if bytes > highest.0 {
            highest = (bytes, ns, processes);
        }
    }
    Some(Together {
        bytes: u64::try_from(highest.0).unwrap_or(u64::MAX),
        ns: highest.1,
        processes: u64::try_from(highest.2).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(ns: u64, live_bytes: u64) -> TimelinePoint {
        TimelinePoint {
            ns,
            allocations: 1,
            live_bytes,
            live_blocks: 1,
            rss: 0,
        }
    }

    #[test]
    fn the_peak_is_the_highest_point_wherever_it_was_noted() {
        let steps = |line: &Line| -> Vec<(u64, u64)> {
            let points = line.points.iter();
            points.map(|point| (point.ns, point.live_bytes)).collect()
        };
        // On the line already; what is a little higher than was noted is the peak.
        let line = Line::new(vec![point(1, 5), point(3, 101), point(9, 100)], 100, 4);
        assert_eq!(steps(&line), [(1, 5), (3, 100), (9, 100)]);
        assert_eq!((line.peak_bytes, line.peak_ns), (100, 3));
        // After the last point, and between two.
        for (peak_ns, place) in [(20, 2), (2, 1)] {
            let line = Line::new(vec![point(1, 5), point(3, 7)], 100, peak_ns);
            assert_eq!(steps(&line)[place], (peak_ns, 100));
            assert_eq!((line.points.len(), line.peak_ns), (3, peak_ns));
            assert_eq!(line.points[place].allocations, NOT_KNOWN);
        }
        assert_eq!(steps(&Line::new(vec![], 9, 2)), [(2, 9)]);
        assert!(Line::new(vec![], 0, 2).points.is_empty());
    }

    #[test]
    fn processes_that_never_ran_together_have_no_common_peak() {
        let course = |points: &'static [(u64, u64)], end_ns| Course {
            points: points.iter().copied(),
            end_ns,
        };
        let first = || course(&[(10, 500), (20, 100)], 30);
        let sum = |other| together([first(), other].into_iter()).expect("two");
        let of = |bytes, ns, processes| Together {
            bytes,
            ns,
            processes,
        };
        assert_eq!(sum(course(&[(30, 400)], 40)), of(500, 10, 1));
        assert_eq!(sum(course(&[(25, 450)], 40)), of(550, 25, 2));
        assert_eq!(sum(course(&[(5, 1), (20, 450)], 0)), of(550, 20, 2));
        // Nothing is known after the last point of one whose end is not known.
        let unknown = together([course(&[(1, 9)], 0), course(&[(5, 3)], 8)].into_iter());
        assert_eq!(unknown, Some(of(9, 1, 1)));
        assert_eq!(together([first()].into_iter()), None);
        assert_eq!(together([first(), course(&[], 9)].into_iter()), None);
    }
}
