//! Latencies of a run in a histogram of constant size: a fast run answers millions of requests, and keeping every latency
//! to sort it later would not be bounded.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longest latency that is told apart, in microseconds: a day.
const MAX_US: u64 = 86_400_000_000;
/// Decimal digits that are kept, so that a percentile is within 1 %.
const DIGITS: u8 = 2;

/// Latencies, recorded one by one.
#[derive(Clone, Debug)]
pub struct Latencies {
    histogram: Histogram<u64>,
    max: Duration,
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LatencyMs {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_max(MAX_US, DIGITS).expect("the bounds are those of any histogram");
        Self { histogram, max: Duration::ZERO }
    }
}

impl Latencies {
    pub fn record(&mut self, latency: Duration) {
        self.histogram.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        self.max = self.max.max(latency);
    }

    pub fn merge(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("all have the same bounds");
        self.max = self.max.max(other.max);
    }

    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The percentiles; 0 when nothing was recorded.
    pub fn ms(&self) -> LatencyMs {
        let max = self.max.as_secs_f64() * 1000.0;
        // A bucket's end may lie behind the longest of all.
        let at = |quantile| (self.histogram.value_at_quantile(quantile) as f64 / 1000.0).min(max);
        LatencyMs { p50: at(0.5), p95: at(0.95), p99: at(0.99), max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_one_percent_and_merging_is_recording_in_one() {
        let mut both = [Latencies::default(), Latencies::default()];
        (1..=100_000).for_each(|us| both[us % 2].record(Duration::from_micros(us as u64)));
        let [mut all, odd] = both;
        all.merge(&odd);
        let found = all.ms();
        for (found, exact) in [(found.p50, 50.0), (found.p95, 95.0), (found.p99, 99.0)] {
            assert!((exact..exact * 1.01).contains(&found), "{found} instead of {exact}");
        }
        assert_eq!((found.max, all.count()), (100.0, 100_000));
    }

    #[test]
    fn none_is_zero_and_an_absurd_one_is_the_longest() {
        assert_eq!(Latencies::default().ms(), LatencyMs::default());
        let mut absurd = Latencies::default();
        absurd.record(Duration::MAX);
        assert!(absurd.ms().p50 >= 86_400_000.0);
    }
}
