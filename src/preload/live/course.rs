//! The points of the timeline: which are added, and which are dropped when it is full.
//!
//! Pure functions, for cold sections.

use core::ops::Range;
use skipheap_format::layout::{NOT_KNOWN, TimelinePoint};

/// The maximum number of points that [`since`] adds.
pub(super) const MOST_IN_A_SPAN: usize = 4;
/// Live bytes count as different if they differ by more than this part of the peak. A chart of 500
/// pixels cannot show less.
const RESOLUTION: u64 = 512;

/// Live bytes at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Nanoseconds since 1970.
    pub(super) ns: u64,
    pub(super) bytes: u64,
}

/// The state of the heap since the last point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// The highest live bytes that were kept.
    pub(super) highest: Option<Moment>,
    /// The lowest live bytes that were kept.
    pub(super) lowest: Option<Moment>,
    /// When the heap was last seen to change before `now`, and what lived from then on; `None` if that
    /// was at the last point.
    pub(super) before: Option<Moment>,
    pub(super) now: TimelinePoint,
    /// How far apart points are, in nanoseconds.
    pub(super) interval: u64,
    /// The highest peak that was noted.
    pub(super) peak: u64,
}

/// Adds the points since the last one, in chronological order, and returns their number. `last` is
/// the last point so far; if it holds until now, it gets the resident memory that was read.
pub(super) fn since(
    last: Option<&mut TimelinePoint>,
    span: &Span,
    room: &mut [TimelinePoint],
) -> usize {
    let resolution = span.peak / RESOLUTION;
    let differ = |a: u64, b: u64| a.abs_diff(b) > resolution;
    let (from, was) = last
        .as_ref()
        .map_or((0, 0), |point| (point.ns, point.live_bytes));
    let now = span.now;
    // A step that is seen a little late needs no point of its own.
    let is_late = |moment: Moment, bytes: u64| {
        now.ns.saturating_sub(moment.ns) > span.interval / 8 || differ(moment.bytes, bytes)
    };
    let is_new_peak = |moment: &Moment| moment.bytes == span.peak && moment.bytes > was;
    let highest = span.highest.filter(|high| {
        is_new_peak(high) && high.bytes > now.live_bytes
            || high.bytes > was + resolution && is_late(*high, now.live_bytes)
    });
    let lowest = span
        .lowest
        .filter(|low| low.bytes + resolution < was && is_late(*low, now.live_bytes));
    let known = [highest, lowest].into_iter().flatten();
    let known = known.max_by_key(|moment| moment.ns);
    let (known_from, known) = known.map_or((from, was), |moment| (moment.ns, moment.bytes));
    let before = span.before.filter(|before| {
        let idle = now.ns.saturating_sub(before.ns);
        let is_known =
            !differ(before.bytes, known) && before.ns.abs_diff(known_from) < span.interval / 8;
        !is_known
            && (idle > 2 * span.interval || idle > span.interval / 8 && differ(before.bytes, known))
    });
    let mut moments = [highest, lowest, before];
    // What was seen at the moment of an extreme came after it.
    moments.sort_by_key(|moment| moment.map_or(u64::MAX, |moment| moment.ns));
    let mut len = 0;
    let mut earliest = from + 1;
    for moment in moments.into_iter().flatten() {
        earliest = moment.ns.clamp(earliest, now.ns.max(earliest));
        room[len] = TimelinePoint {
            ns: earliest,
            allocations: NOT_KNOWN,
            live_bytes: moment.bytes,
            live_blocks: NOT_KNOWN,
            rss: 0,
        };
        len += 1;
        earliest += 1;
    }
    let until_now = match len {
        0 => last,
        len => room.get_mut(len - 1),
    };
    if let Some(point) = until_now.filter(|_| now.rss != 0) {
        point.rss = now.rss;
    }
    room[len] = TimelinePoint {
        ns: now.ns.max(earliest),
        ..now
    };
    len + 1
}

/// Doubles the interval until no more than `most` points remain, and returns their number.
pub(super) fn thin_out(
    points: &mut [TimelinePoint],
    most: usize,
    interval: &mut u64,
    peak: u64,
) -> usize {
    let mut len = points.len();
    while len > most && *interval < u64::MAX / 2 {
        *interval *= 2;
        len = thin(&mut points[..len], *interval, peak);
    }
    len.min(most)
}

/// Keeps of each interval its extremes, the state that it ends with and when that was reached, as far as they
/// differ. Returns how many points are left.
fn thin(points: &mut [TimelinePoint], interval: u64, peak: u64) -> usize {
    let first = points.first().map_or(0, |point| point.ns);
    let bucket = |point: &TimelinePoint| point.ns.saturating_sub(first) / interval;
    let (mut from, mut kept, mut has_peak) = (0_usize, 0_usize, false);
    while from < points.len() {
        let this = bucket(&points[from]);
        let same = points[from..]
            .iter()
            .take_while(|point| bucket(point) == this);
        let to = from + same.count();
        let mut next = from;
        for at in turning_points(points, from..to, peak / RESOLUTION) {
            if at < next {
                continue;
            }
            next = at + 1;
            let point = points[at];
            let last = kept.checked_sub(1).map(|last| points[last]);
            let is_peak = point.live_bytes == peak && !has_peak;
            let is_new = last.is_none_or(|last| {
                last.live_bytes.abs_diff(point.live_bytes) > peak / RESOLUTION
                    || last.rss.abs_diff(point.rss) > last.rss / 64
            });
            if at + 1 == to || is_peak || is_new {
                has_peak |= is_peak;
                // No further than where it was read.
                points[kept] = point;
                kept += 1;
            }
        }
        from = to;
    }
    kept
}

/// Indices of the points that tell most of a range that is not empty, in their order: where the live bytes were highest
/// and lowest, where the resident memory was highest, from where on the live bytes are those of the end,
/// and the end. Some occur twice.
fn turning_points(points: &[TimelinePoint], range: Range<usize>, resolution: u64) -> [usize; 5] {
    let end = range.end - 1;
    let mut places = [range.start, range.start, range.start, end, end];
    let is_end = |at: usize| points[at].live_bytes.abs_diff(points[end].live_bytes) <= resolution;
    for at in range.clone() {
        let point = &points[at];
        if point.live_bytes > points[places[0]].live_bytes {
            places[0] = at;
        }
        if point.live_bytes < points[places[1]].live_bytes {
            places[1] = at;
        }
        if point.rss > points[places[2]].rss {
            places[2] = at;
        }
    }
    places[3] = range
        .rev()
        .take_while(|&at| is_end(at))
        .last()
        .unwrap_or(end);
    places.sort_unstable();
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn point(ns: u64, live_bytes: u64) -> TimelinePoint {
        TimelinePoint {
            ns,
            allocations: ns,
            live_bytes,
            live_blocks: 1,
            rss: 7,
        }
    }

    fn moment(ns: u64, bytes: u64) -> Option<Moment> {
        Some(Moment { ns, bytes })
    }

    /// The steps since a point at 10 ms with 100 bytes of 1000, up to `now`, and that point.
    fn steps(
        now: (u64, u64),
        highest: Option<Moment>,
        lowest: Option<Moment>,
        before: Option<Moment>,
    ) -> (Vec<(u64, u64)>, TimelinePoint, Vec<u64>) {
        let mut last = point(10 * MS, 100);
        let span = Span {
            highest,
            lowest,
            before,
            now: TimelinePoint {
                rss: 9,
                ..point(now.0, now.1)
            },
            interval: MS,
            peak: 1000,
        };
        let mut room = [point(0, 0); MOST_IN_A_SPAN];
        let len = since(Some(&mut last), &span, &mut room);
        let points = &room[..len];
        let steps = points.iter().map(|point| (point.ns, point.live_bytes));
        (
            steps.collect(),
            last,
            points.iter().map(|point| point.rss).collect(),
        )
    }

    #[test]
    fn a_peak_between_two_points_is_a_step_up_and_a_step_down() {
        let now = 11 * MS;
        let (points, last, rss) = steps(
            (now, 110),
            moment(now - 700_000, 900),
            moment(now - 300_000, 105),
            moment(now - 300_000, 110),
        );
        assert_eq!(
            points,
            [(now - 700_000, 900), (now - 300_000, 110), (now, 110)]
        );
        // What was read belongs to the time until now.
        assert_eq!((last.rss, rss), (7, vec![0, 9, 9]));
    }

    #[test]
    fn a_plateau_in_which_nothing_happens_is_known_from_its_begin_to_its_end() {
        let now = 810 * MS;
        let begin = 10 * MS + 20_000;
        let (points, _, rss) = steps(
            (now, 0),
            moment(begin, 900),
            moment(begin, 900),
            moment(begin, 900),
        );
        assert_eq!(points, [(begin, 900), (now, 0)]);
        assert_eq!(rss, [9, 9]);
        // From the last point on: what is read now was resident then.
        let (points, last, _) = steps((now, 0), None, None, None);
        assert_eq!((points, last.rss), (vec![(now, 0)], 9));
    }

    #[test]
    fn a_time_without_allocations_has_a_point_where_it_begins() {
        let (points, ..) = steps(
            (90 * MS, 130),
            moment(12 * MS, 120),
            None,
            moment(20 * MS, 120),
        );
        assert_eq!(points, [(12 * MS, 120), (20 * MS, 120), (90 * MS, 130)]);
    }

    #[test]
    fn what_the_next_point_tells_has_none_of_its_own() {
        let now = 11 * MS;
        let late = now - 10_000;
        let grown = steps(
            (now, 300),
            moment(late, 299),
            moment(now - 900_000, 101),
            moment(late, 299),
        );
        assert_eq!(grown.0, [(now, 300)]);
        assert_eq!(grown.1.rss, 9);
    }

    #[test]
    fn what_was_seen_at_the_moment_of_an_extreme_came_after_it() {
        let peak = 12 * MS;
        let (points, ..) = steps((90 * MS, 130), moment(peak, 900), None, moment(peak, 130));
        assert_eq!(points, [(peak, 900), (peak + 1, 130), (90 * MS, 130)]);
    }

    #[test]
    fn moments_never_go_back() {
        let (points, ..) = steps((10 * MS, 5), moment(3 * MS, 900), moment(3 * MS, 1), None);
        assert!(points.is_sorted_by(|a, b| a.0 < b.0), "{points:?}");
        assert!(points[0].0 > 10 * MS, "{points:?}");
    }

    #[test]
    fn thinning_out_keeps_what_can_be_seen() {
        // A saw, with a plateau, a spike of a single point, and a peak of resident memory.
        let spike = 777;
        let mut points: Vec<_> = (0..2000)
            .map(|i| {
                let bytes = match i {
                    1201..1300 => 600,
                    _ => 100 + i % 7 * 10,
                };
                point(i * MS, if i == spike { 1000 } else { bytes })
            })
            .collect();
        points[1500].rss = 99;
        let mut interval = MS;
        let len = thin_out(&mut points, 1000, &mut interval, 1000);
        let points = &points[..len];
        assert!((100..=1000).contains(&len), "{len}");
        assert!(points.is_sorted_by(|a, b| a.ns < b.ns));
        let top = points.iter().max_by_key(|point| point.live_bytes);
        assert_eq!(top.map(|point| point.ns), Some(spike * MS));
        assert!(points.iter().any(|point| point.rss == 99));
        assert_eq!(points.last().map(|point| point.ns), Some(1999 * MS));
        let plateau: Vec<u64> = points
            .iter()
            .filter(|point| point.live_bytes == 600)
            .map(|point| point.ns)
            .collect();
        assert!(plateau[0].abs_diff(1201 * MS) <= interval, "{plateau:?}");
        let after = points
            .iter()
            .find(|point| point.ns > plateau[0] && point.live_bytes < 600);
        let end = after.expect("an end").ns;
        assert!(end.abs_diff(1300 * MS) <= interval, "{end} {interval}");
        // It ends whatever the times are.
        let mut same = vec![point(5, 1); 2000];
        assert!(thin_out(&mut same, 1000, &mut interval, 1) <= 1000);
    }
}
