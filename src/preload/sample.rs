//! Sampling: of all bytes that are asked for, about one in so many is looked at, and the allocation
//! that it lies in is recorded (`SKIP_HEAP_SAMPLE`).
//!
//! The bytes looked at are a Poisson process: between two of them lies an exponentially distributed number of
//! bytes, whatever the program does. So an allocation of s bytes is recorded with the probability
//! 1 - exp(-s / mean), which depends on nothing else, and readers can scale what was counted without
//! bias. All allocations of a site have the same size.
//!
//! [`crate::arch::sample::record`] is what a hook jumps to: a dozen instructions for an allocation that is not taken. The rest runs
//! where the record of the allocation is made, at any moment.

use crate::settings::settings;
use crate::{arch, sys};
use core::hint::black_box;
use skipheap_format::layout::SIZE_BITS;
use skipheap_format::sampled::probability;

/// A thread's place in the process. All zeros is that of a thread that did not begin.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Sampler {
    /// Bytes up to the next one that is looked at.
    pub(crate) countdown: i64,
    /// State of the random numbers; 0 before the first.
    state: u64,
}

/// Returns whether only a sample is recorded. Call it only in a program that is profiled.
#[inline(always)]
pub(crate) fn is_on() -> bool {
    settings().sample_bytes != 0
}

impl Sampler {
    /// Returns whether this allocation of so many bytes is taken, and goes on to the next one.
    pub(crate) fn takes(&mut self, size: u64) -> bool {
        let mean = settings().sample_bytes;
        if self.state == 0 {
            self.state = sys::random() | 1;
            self.countdown = self.gap(mean);
        }
        let bytes = (size & ((1 << SIZE_BITS) - 1)).max(1);
        let left = self.countdown - bytes as i64;
        if left >= 0 {
            self.countdown = left;
            return false;
        }
        // What lies behind the byte that was looked at is forgotten: the process has no memory.
        self.countdown = self.gap(mean);
        true
    }

    /// Whole bytes to the next one that is looked at: less than s with the probability 1 - exp(-s / mean).
    fn gap(&mut self, mean: u64) -> i64 {
        // -ln(u) * mean, with -ln(u) = (64 - log2(random)) * ln(2).
        const LN_2: u128 = 0xb172_17f7; // ln(2) * 2^32
        let log = (64 << 32) - u128::from(log2(self.random()));
        ((((log * LN_2) >> 32) * u128::from(mean)) >> 32) as i64
    }

    /// A random number that is not 0 (Marsaglia's xorshift with a multiplication, xorshift64*).
    fn random(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_F491_4F6C_DD1D).max(1)
    }
}

/// log2 of a number that is not 0, times 2^32. (std's logarithm would have the library need libm.)
fn log2(n: u64) -> u64 {
    let whole = u64::from(63 - n.leading_zeros());
    // The number as 1.x, squared again and again: each time that this reaches 2, there is a bit.
    let mut mantissa = n << n.leading_zeros();
    let mut log = whole;
    for _ in 0..32 {
        let square = u128::from(mantissa) * u128::from(mantissa);
        let two = square >> 127 != 0;
        mantissa = (square >> if two { 64 } else { 63 }) as u64;
        log = log << 1 | u64::from(two);
    }
    log
}

/// About how many bytes a sampled allocation of so many stands for.
pub(crate) fn weight(bytes: u64) -> u64 {
    let mean = settings().sample_bytes;
    if mean == 0 {
        return bytes;
    }
    // The program may have said that it is to be told of inexact results, or look for them.
    let floats = arch::plain_floats();
    let bytes = black_box(bytes);
    let weight = black_box((bytes as f64 / probability(bytes, mean)) as u64);
    arch::restore_floats(floats);
    weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_those_of_std() {
        for n in [1, 2, 3, 10, 12345, 1 << 40, u64::MAX / 3, u64::MAX] {
            let exact = (n as f64).log2();
            let ours = log2(n) as f64 / (1_u64 << 32) as f64;
            assert!((exact - ours).abs() < 1e-8, "{n}: {exact} {ours}");
        }
    }

    #[test]
    fn gaps_are_exponential() {
        let mut sampler = Sampler {
            countdown: 0,
            state: 88_172_645_463_325_252,
        };
        let mean = 1000;
        let gaps: Vec<i64> = (0..200_000).map(|_| sampler.gap(mean)).collect();
        for (bytes, share) in [(100, 0.09516), (693, 0.49993), (3000, 0.95021)] {
            let below = gaps.iter().filter(|&&gap| gap < bytes).count() as f64 / 200_000.0;
            // Five standard errors.
            let error = 5.0 * (share * (1.0 - share) / 200_000.0_f64).sqrt();
            assert!((below - share).abs() < error, "{bytes}: {below} {share}");
        }
    }
}
