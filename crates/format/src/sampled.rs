//! The probability with which an allocation is in a sample: the library weighs with it, readers scale with it.

/// 1 - exp(-bytes / mean): the probability that one of so many bytes is looked at, when one in about
/// `mean` is. An allocation of no bytes counts as one of one byte.
///
/// By the series where the argument is small, and from there by doubling, 1 - exp(-2x) = y (2 - y) with
/// y = 1 - exp(-x): std's function would have the library need libm.
pub fn probability(bytes: u64, mean: u64) -> f64 {
    let mut x = bytes.max(1) as f64 / mean as f64;
    if x > 40.0 {
        return 1.0;
    }
    let mut halved = 0;
    while x > 1.0 / 1024.0 {
        x /= 2.0;
        halved += 1;
    }
    let mut y = x * (1.0 - x / 2.0 * (1.0 - x / 3.0));
    for _ in 0..halved {
        y *= 2.0 - y;
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_those_of_std() {
        for (bytes, mean) in [
            (0, 1000),
            (1, 524_288),
            (16, 4096),
            (5000, 4096),
            (1 << 20, 1 << 19),
            (1 << 40, 8),
        ] {
            let exact = -(-(bytes.max(1) as f64) / mean as f64).exp_m1();
            let ours = probability(bytes, mean);
            assert!(
                (exact - ours).abs() < exact * 1e-8,
                "{bytes} {mean}: {exact} {ours}"
            );
        }
    }
}
