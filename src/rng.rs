//! A small deterministic random number generator (splitmix64), so that a seed names a load exactly and a test can fix
//! what senders are asked to wait.

use std::time::Duration;

/// splitmix64 (Steele, Lea, Flood 2014): one add and three multiplies a number, good enough for test data.
#[derive(Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Seeded by the operating system.
    pub(crate) fn from_os() -> Self {
        // Only jitter is drawn from it; without random bytes every process merely jitters alike.
        Self(getrandom::u64().unwrap_or(0))
    }

    /// A stream of its own for each number, so that batches can be made in any order by any worker.
    pub(crate) fn for_batch(seed: u64, number: u64) -> Self {
        let mut rng = Self(seed ^ number.wrapping_mul(0xD1B5_4A32_D192_ED03));
        Self(rng.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`, without the modulo's division.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let scaled = (self.next() >> 32) * u64::from(bound);
        u32::try_from(scaled >> 32).expect("the product of two 32-bit numbers has a 32-bit high half")
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let bound = u32::try_from(items.len()).expect("the tables picked from are small");
        &items[self.below(bound) as usize]
    }

    /// True in `percent` of 100 calls.
    pub(crate) fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// `wait` in whole seconds for Retry-After, rounded up and at least 1, and at random by up to a quarter, at least a
    /// second, longer: senders that were refused together must not come back together.
    pub(crate) fn retry_after_s(&mut self, wait: Duration) -> u32 {
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX).max(1);
        seconds.saturating_add(self.below((seconds / 4).max(1) + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_splitmix64() {
        // The reference implementation's first outputs for seed 1234567.
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn below_stays_below_and_reaches_both_ends() {
        let mut rng = Rng::new(7);
        let seen: std::collections::BTreeSet<u32> = (0..1000).map(|_| rng.below(5)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn retry_after_is_never_too_short_and_spreads() {
        let mut rng = Rng::new(3);
        for ms in [0, 1, 999, 1000, 1001, 8000, 100_000] {
            let wait = Duration::from_millis(ms);
            let seen: std::collections::BTreeSet<u32> = (0..500).map(|_| rng.retry_after_s(wait)).collect();
            let (least, most) = (*seen.first().expect("500"), *seen.last().expect("500"));
            assert!(u128::from(least) * 1000 >= wait.as_millis() && least >= 1, "{ms} ms: {least}");
            assert!(most <= least + (least / 4).max(1) && seen.len() > 1, "{ms} ms: {least} to {most}");
        }
        assert_eq!(rng.retry_after_s(Duration::MAX), u32::MAX);
    }
}
