//! A latency histogram of constant size: exact below 128 us, within 1.6 % above.
//!
//! A fast run answers millions of requests; keeping every latency to sort it later would not be bounded.

/// Buckets below which a value is its own bucket.
const LINEAR: u64 = 128;
/// Sub-buckets of each power of two above that; 64 of them bound the error at 1/64.
const SUB: u64 = 64;
/// Powers of two covered: 2^7 us to 2^40 us (twelve days).
const POWERS: u64 = 34;
const BUCKETS: usize = 128 + 34 * 64;
const _: () = assert!(BUCKETS as u64 == LINEAR + POWERS * SUB);

/// Counts of latencies in microseconds.
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, max_us: 0 }
    }
}

impl Histogram {
    pub(crate) fn record(&mut self, us: u64) {
        self.counts[bucket(us)] += 1;
        self.total += 1;
        self.max_us = self.max_us.max(us);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.max_us = self.max_us.max(other.max_us);
    }

    /// The smallest recorded value (to the bucket's upper edge) that `permille` of all values do not exceed; 0 when empty.
    pub(crate) fn percentile_us(&self, permille: u64) -> u64 {
        let rank = (self.total * permille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_edge(index).min(self.max_us);
            }
        }
        self.max_us
    }

    pub(crate) fn max_us(&self) -> u64 {
        self.max_us
    }
}

fn bucket(us: u64) -> usize {
    let index = if us < LINEAR {
        us
    } else {
        let power = u64::from(us.ilog2());
        LINEAR + (power - 7) * SUB + ((us >> (power - 6)) & (SUB - 1))
    };
    usize::try_from(index).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1))
}

/// The largest value that falls into a bucket.
fn upper_edge(index: usize) -> u64 {
    let index = index as u64;
    if index < LINEAR {
        return index;
    }
    let (power, sub) = ((index - LINEAR) / SUB + 7, (index - LINEAR) % SUB);
    ((SUB + sub + 1) << (power - 6)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_edge_maps_back_to_its_bucket() {
        for index in 0..BUCKETS {
            assert_eq!(bucket(upper_edge(index)), index);
        }
    }

    #[test]
    fn small_values_are_exact() {
        let mut histogram = Histogram::default();
        (1..=100).for_each(|us| histogram.record(us));
        assert_eq!([500, 950, 990, 1000].map(|q| histogram.percentile_us(q)), [50, 95, 99, 100]);
    }

    #[test]
    fn large_values_are_within_one_sixty_fourth() {
        let mut histogram = Histogram::default();
        (1..=100_000).for_each(|us| histogram.record(us));
        for (permille, exact) in [(500, 50_000_u64), (950, 95_000), (990, 99_000)] {
            let got = histogram.percentile_us(permille);
            assert!(got >= exact && got <= exact + exact / 64, "p{permille}: {got}");
        }
        assert_eq!(histogram.max_us(), 100_000);
    }

    #[test]
    fn one_value_is_every_percentile_and_none_is_zero() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile_us(990), 0);
        histogram.record(1_000_003);
        assert_eq!([1, 500, 1000].map(|q| histogram.percentile_us(q)), [1_000_003; 3]);
    }

    #[test]
    fn merging_is_recording_in_one() {
        let (mut a, mut b, mut both) = (Histogram::default(), Histogram::default(), Histogram::default());
        for us in 0..5000 {
            if us % 3 == 0 {
                a.record(us)
            } else {
                b.record(us)
            }
            both.record(us);
        }
        a.merge(&b);
        assert_eq!(a.percentile_us(950), both.percentile_us(950));
        assert_eq!(a.counts, both.counts);
    }

    #[test]
    fn an_absurd_value_lands_in_the_last_bucket() {
        let mut histogram = Histogram::default();
        histogram.record(u64::MAX);
        assert_eq!(histogram.max_us(), u64::MAX);
    }
}
