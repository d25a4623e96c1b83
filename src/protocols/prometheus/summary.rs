//! What is known of the values in a histogram's buckets, as a summary: within what its buckets say, and such that one
//! set of values could have it.

use super::histogram::{Bucket, Histogram};
use crate::limits::{METRIC_SUMSQ_MAX, METRIC_VALUE_MAX, METRIC_VALUE_MIN};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// A whole number, at least 1.
    pub count: f64,
    pub sum: f64,
    pub min: f64,
    pub max: f64,
    /// Of a sample; None: there is one value, or they are too large.
    pub stddev: Option<f64>,
}

/// Sums a histogram up; None: it has no values. A count that is no whole number (of a float histogram) is rounded, and
/// the sum follows, so that the mean stays.
pub fn summary(histogram: &Histogram) -> Option<Summary> {
    let sent = histogram.count.as_f64();
    if sent == 0.0 {
        return None;
    }
    let count = sent.round().max(1.0);
    let is_whole = count.to_bits() == sent.to_bits();
    let sum = if is_whole { histogram.sum } else { histogram.sum / sent * count };
    if is_one(count) {
        return Some(Summary { count, sum, min: sum, max: sum, stddev: None });
    }
    let mean = sum / count;
    // Where the mean is nearer to zero than values may be, the sum, which is farther, bounds as well.
    let bound = if stored(mean) == 0.0 { sum } else { mean };
    let (mut min, mut max) = (bound, bound);
    if bound != 0.0 && mean != bound {
        (min, max) = (bound.min(0.0), bound.max(0.0));
    }
    let (mut observed, mut squares) = (0.0, 0.0);
    for bucket in histogram.buckets() {
        let (lower, upper) = reach(bucket);
        min = min.min(lower);
        max = max.max(upper);
        let distance = middle(bucket, lower, upper) - mean;
        squares += distance * distance * bucket.count;
        observed += bucket.count;
    }
    let variance = if observed > 0.0 { squares / observed } else { 0.0 };
    // No values between min and max with this mean vary more (Bhatia and Davis).
    let variance = variance.min((max - mean) * (mean - min)).max(0.0);
    let stddev = stored((variance * count / (count - 1.0)).sqrt());
    let fits = stddev * stddev * (count - 1.0) + sum * mean <= METRIC_SUMSQ_MAX;
    Some(Summary { count, sum, min, max, stddev: fits.then_some(stddev) })
}

fn is_one(count: f64) -> bool {
    count < 1.5
}

/// The bounds of a bucket; where one is infinite the other stands for it, or zero on the way to it.
fn reach(Bucket { lower, upper, .. }: Bucket) -> (f64, f64) {
    let from = if lower.is_finite() { lower } else { upper.min(0.0) };
    let to = if upper.is_finite() { upper } else { lower.max(0.0) };
    (stored(from), stored(to))
}

/// Where the values of a bucket are taken to be.
fn middle(bucket: Bucket, lower: f64, upper: f64) -> f64 {
    if bucket.is_exponential && lower * upper > 0.0 {
        lower.signum() * lower.abs().sqrt() * upper.abs().sqrt()
    } else {
        lower / 2.0 + upper / 2.0
    }
}

/// The nearest value that is stored.
fn stored(value: f64) -> f64 {
    if value.abs() < METRIC_VALUE_MIN { 0.0 } else { value.clamp(-METRIC_VALUE_MAX, METRIC_VALUE_MAX) }
}
