//! The age of a block, in allocations of its thread and in time.
//!
//! A block's shadow holds the number of its allocation in its thread, so its age in allocations is
//! always known. Reading the time at each allocation and free would cost more than everything else
//! together, so the age in time is measured for one block in sixteen. It is chosen by number: one
//! of sixteen in a row, at a pseudo-random position, so that no pattern of the program coincides
//! with it.
//!
//! Each thread keeps time stamps of these allocations: of the last 256 every one, of those before
//! every 16th, of those before that every 256th, and so on. The time of any allocation is thus
//! known to a sixteenth of its age in allocations or better, in a few kilobytes. In a sample, most
//! of these allocations are not seen, so each recorded allocation stamps the missed ones before it.
//!
//! May run at any moment.

use crate::sys;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// log2 of how many blocks there are for one whose age in time is measured.
const ONE_IN: u32 = 4;
/// 2^32 by the golden ratio.
const PLACE_FACTOR: u32 = 0x9E37_79B9;
/// Stamps of a level.
const RING: u64 = 256;
/// log2 of how much rarer the stamps of a level are than those of the level before.
const STEP: u32 = 4;
/// Levels: the last one reaches back 2^32 allocations.
const LEVELS: u32 = 6;
/// Bits of an allocation's number that a shadow has room for.
pub(super) const NUMBER_BITS: u32 = 35;
const NUMBER: u64 = (1 << NUMBER_BITS) - 1;

/// The times of a thread's allocations, in ticks.
#[repr(C)]
pub(crate) struct Stamps {
    rings: [[AtomicU64; RING as usize]; LEVELS as usize],
    /// Of a sample: so many stamps of the first level have been set or were too late.
    caught_up: AtomicU64,
}

impl Stamps {
    /// Fresh ones; null when there is no memory. Cold section.
    pub(super) fn map() -> *mut Self {
        sys::map_wiped_on_fork(size_of::<Self>()).cast()
    }

    /// The thread's first allocation is made at `now` or later: it is number 1, and the first stamp of each level
    /// stands for earlier ones too.
    pub(super) fn start(&self, now: u64) {
        for level in 0..LEVELS {
            self.ring_at(level, 0).store(now, Relaxed);
        }
    }

    /// Notes that allocation `number`, which [`is_timed`], was made at `now`.
    #[inline(always)]
    pub(super) fn set(&self, number: u64, now: u64) {
        let number = number >> ONE_IN;
        self.ring(0, number).store(now, Relaxed);
        for level in 1..LEVELS {
            if !number.is_multiple_of(1 << (STEP * level)) {
                return;
            }
            self.ring(level, number).store(now, Relaxed);
        }
    }

    /// Notes that allocation `number` was made at `now`, and none since the last call, so that what comes
    /// up to here has no earlier stamp.
    pub(super) fn catch_up(&self, number: u64, now: u64) {
        let last = number >> ONE_IN;
        let done = self.caught_up.load(Relaxed);
        for level in 0..LEVELS {
            let last = last >> (STEP * level);
            let first = match done {
                0 => 0,
                _ => ((done - 1) >> (STEP * level)) + 1,
            };
            for number in first.max(last.saturating_sub(RING - 1))..=last {
                self.ring_at(level, number).store(now, Relaxed);
            }
        }
        self.caught_up.store(last + 1, Relaxed);
    }

    /// When allocation `number`, which [`is_timed`], was made, `age` allocations ago, or one shortly
    /// before it.
    #[inline(always)]
    pub(super) fn get(&self, number: u64, age: u64) -> u64 {
        // How far back in stamps, at most.
        let (number, age) = (number >> ONE_IN, (age >> ONE_IN) + 1);
        // One ring holds the last 256 of its level, the one that is being written among them.
        let mut level = 0;
        while age >> (STEP * level) >= RING - 1 && level + 1 < LEVELS {
            level += 1;
        }
        self.ring(level, number).load(Relaxed)
    }

    #[inline(always)]
    fn ring(&self, level: u32, number: u64) -> &AtomicU64 {
        self.ring_at(level, number >> (STEP * level))
    }

    /// The place of a level's stamp of this number.
    #[inline(always)]
    fn ring_at(&self, level: u32, number: u64) -> &AtomicU64 {
        &self.rings[level as usize % LEVELS as usize][(number % RING) as usize]
    }
}

/// Returns whether the age in time of this allocation is measured.
#[inline(always)]
pub(super) fn is_timed(number: u64) -> bool {
    // Of sixteen in a row the one at the place that their common bits are scattered to.
    let place = ((number >> ONE_IN) as u32).wrapping_mul(PLACE_FACTOR) >> (u32::BITS - ONE_IN);
    place == number as u32 % (1 << ONE_IN)
}

/// How many allocations before this one are timed.
#[inline(always)]
pub(super) fn timed_before(number: u64) -> u64 {
    number >> ONE_IN
}

/// How many allocations ago `number` was, when the thread has made `clock` of them.
#[inline(always)]
pub(super) fn age(clock: u64, number: u64) -> u64 {
    // Another thread's clock may be read before it is written.
    let age = clock.wrapping_sub(number) & NUMBER;
    if age > NUMBER / 2 { 0 } else { age }
}

/// How many allocations ago allocation `number` was, by the thread's own clock, which is past it.
#[inline(always)]
pub(super) fn own_age(clock: u64, number: u64) -> u64 {
    clock.wrapping_sub(number) & NUMBER
}

/// What a shadow keeps of an allocation's number.
#[inline(always)]
pub(super) fn number_of(clock: u64) -> u64 {
    clock & NUMBER
}

/// The current time in ticks, if it may be read.
#[inline(always)]
pub(super) fn ticks() -> Option<u64> {
    sys::counter()
}

/// Nanoseconds in 2^32 ticks. Kept across fork.
static RATE: AtomicU64 = AtomicU64::new(0);
/// Ticks and nanoseconds of the monotonic clock at the same moment. Kept across fork.
static START: (AtomicU64, AtomicU64) = (AtomicU64::new(0), AtomicU64::new(0));
/// So many nanoseconds after the start, the rate is known well enough.
const KNOWN_AFTER: u64 = 500_000_000;

/// Nanoseconds of so many ticks.
#[inline(always)]
pub(super) fn nanoseconds(ticks: u64) -> u64 {
    ((u128::from(ticks) * u128::from(RATE.load(Relaxed))) >> 32) as u64
}

/// The ticks at which so many nanoseconds have passed from `now`.
pub(super) fn after(now: u64, ns: u64) -> u64 {
    let rate = RATE.load(Relaxed).max(1);
    let passed = (u128::from(ns) << 32) / u128::from(rate);
    now.wrapping_add(passed as u64)
}

/// A moment of the wall clock and the same in ticks. Kept across fork.
static ORIGIN: (AtomicU64, AtomicU64) = (AtomicU64::new(0), AtomicU64::new(0));

/// Nanoseconds since 1970; 0 when that cannot be known.
pub(super) fn wall_ns() -> u64 {
    let Some(now) = ticks() else {
        return 0;
    };
    let passed = now.saturating_sub(ORIGIN.1.load(Relaxed));
    ORIGIN.0.load(Relaxed) + nanoseconds(passed)
}

/// Finds out how long a tick is, to a hundredth or so: 20 microseconds, once. Cold section.
pub(super) fn calibrate() {
    const LONG_ENOUGH: u64 = 20_000;
    if RATE.load(Relaxed) != 0 {
        return;
    }
    // The first call takes longer.
    sys::monotonic_ns();
    let Some((start, ns)) = moment() else { return };
    START.0.store(start, Relaxed);
    START.1.store(ns, Relaxed);
    while RATE.load(Relaxed) == 0 && ticks().is_some() {
        measure(LONG_ENOUGH);
    }
    ORIGIN.0.store(sys::now_ns(), Relaxed);
    ORIGIN.1.store(ticks().unwrap_or(0), Relaxed);
}

/// Finds it out better: the longer ago the start, the better. Not for ever, since one clock may go on while the machine
/// sleeps, and the other not.
pub(super) fn refine() {
    const LONG_ENOUGH: u64 = 500_000;
    let Some(now) = ticks() else { return };
    let passed = nanoseconds(now.saturating_sub(START.0.load(Relaxed)));
    if (LONG_ENOUGH..KNOWN_AFTER).contains(&passed) {
        measure(LONG_ENOUGH);
    }
}

/// Sets the rate by what has passed since the start, if that is long enough.
fn measure(least_ns: u64) {
    let Some((now, ns)) = moment() else { return };
    let ns = ns.saturating_sub(START.1.load(Relaxed));
    let ticks = now.saturating_sub(START.0.load(Relaxed));
    if ns >= least_ns {
        let rate = (u128::from(ns) << 32) / u128::from(ticks.max(1));
        RATE.store((rate as u64).max(1), Relaxed);
    }
}

/// Ticks, and nanoseconds of the monotonic clock, at the same moment: of three tries the quickest, so that an interruption
/// between the two does no harm.
fn moment() -> Option<(u64, u64)> {
    let mut quickest = (u64::MAX, 0, 0);
    for _ in 0..3 {
        let before = ticks()?;
        let ns = sys::monotonic_ns();
        let took = ticks()?.saturating_sub(before);
        quickest = quickest.min((took, before + took / 2, ns));
    }
    Some((quickest.1, quickest.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_that_of_the_allocation_or_of_one_shortly_before() {
        // SAFETY: a mapping of zeros.
        let stamps = unsafe { crate::testing::zeroed::<Stamps>() };
        // Time is the number of the allocation.
        let last = 2_999_999;
        const NEVER: u64 = u64::MAX;
        for level in 0..LEVELS {
            stamps.ring_at(level, 0).store(NEVER, Relaxed);
        }
        stamps.start(1);
        for number in (1..=last).filter(|&number| is_timed(number)) {
            stamps.set(number, number);
        }
        let some = (5000..2_900_000).step_by(997);
        let ages = (0..5000).chain(some).chain(2_900_000..last);
        for age in ages.filter(|age| is_timed(last - age)) {
            let number = last - age;
            let stamp = stamps.get(number, age);
            let late = number - stamp;
            assert!(late <= age / 12, "{age}: {stamp} for {number}");
            if age < 4000 {
                assert_eq!(stamp, number);
            }
        }
    }

    #[test]
    fn a_stamp_of_a_sample_is_that_of_the_allocation_or_of_one_shortly_before() {
        // SAFETY: a mapping of zeros.
        let stamps = unsafe { crate::testing::zeroed::<Stamps>() };
        // Time is the number of the allocation; gaps are of 1 to 9000 allocations.
        let (mut state, mut number) = (88_172_645_463_325_252_u64, 0);
        let mut taken = Vec::new();
        while number < 3_000_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let most = 1 << (state >> 33 & 12);
            number += 1 + (state >> 40) % most + (state >> 40) % 9 * most / 4;
            taken.push(number);
            stamps.catch_up(number, number);
            if is_timed(number) {
                stamps.set(number, number);
            }
        }
        let timed = taken.iter().filter(|&&n| is_timed(n));
        assert!(timed.clone().count() > 50);
        for &birth in timed {
            let age = number - birth;
            let stamp = stamps.get(birth, age);
            assert!(stamp <= birth, "{birth}: {stamp}");
            // Before it by no more than a sixteenth of its age, up to the next that was taken.
            let earliest = birth.saturating_sub(age / 12);
            let first = taken[taken.partition_point(|&n| n < earliest)];
            assert!(stamp >= first.min(birth), "{birth}: {stamp}, {first}");
        }
    }

    #[test]
    fn one_of_sixteen_in_a_row_is_timed() {
        let mut places = [0; 16];
        for row in 0..16_000 {
            let timed: Vec<u64> = (0..16).filter(|i| is_timed(row * 16 + i)).collect();
            assert_eq!(timed.len(), 1);
            places[timed[0] as usize] += 1;
        }
        assert!(
            places.iter().all(|&n| (800..1200).contains(&n)),
            "{places:?}"
        );
    }

    #[test]
    fn ages_survive_the_end_of_their_bits() {
        assert_eq!(age(5, 3), 2);
        assert_eq!(age((1 << NUMBER_BITS) + 5, number_of(NUMBER)), 6);
        assert_eq!(age(3, 4), 0);
    }

    #[test]
    fn ticks_are_measured() {
        calibrate();
        let (start, ns) = moment().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        let (end, end_ns) = moment().unwrap();
        let (by_ticks, passed) = (nanoseconds(end - start), end_ns - ns);
        assert!(
            by_ticks.abs_diff(passed) < passed / 20,
            "{by_ticks} {passed}"
        );
        measure(0);
        let (end, end_ns) = moment().unwrap();
        let (by_ticks, passed) = (nanoseconds(end - start), end_ns - ns);
        assert!(
            by_ticks.abs_diff(passed) < passed / 200,
            "{by_ticks} {passed}"
        );
    }
}
