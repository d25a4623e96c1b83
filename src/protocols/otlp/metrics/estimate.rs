//! The summary that stands for a histogram: its spread, and what its sender did not say, estimated from the buckets.
//! What is returned passes the rules of metrics (`wire::metric`) for numbers of one set of values, whatever was sent,
//! as long as none is too large to be stored.

use super::fault::Fault;
use super::point::{Buckets, Point};
use crate::limits::{METRIC_SUMSQ_MAX, METRIC_VALUE_MAX, METRIC_VALUE_MIN};

/// How far a sender's mean may be outside of its own least and greatest value, relative to the larger: sums are
/// rounded.
const TOLERANCE: f64 = 1e-9;

/// Values that are in a bucket: more than `low`, at most `high`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bucket {
    pub low: f64,
    pub high: f64,
    pub count: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Known {
    pub count: u64,
    pub sum: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Summary {
    pub count: u64,
    pub sum: f64,
    pub min: f64,
    pub max: f64,
    /// None: the buckets say nothing of it.
    pub stddev: Option<f64>,
    /// The sender did not say sum, min or max.
    pub is_estimated: bool,
    /// What the sender said did not fit together.
    pub is_fitted: bool,
}

/// The summary of these values; `buckets` come in the order of their bounds, without empty ones. None: there are no
/// values.
pub(super) fn summary(known: Known, buckets: impl Iterator<Item = Bucket> + Clone) -> Result<Option<Summary>, Fault> {
    let mut total = 0_u64;
    let (mut first, mut last) = (None, None);
    let mut is_bounded = true;
    for bucket in buckets.clone() {
        total = total.saturating_add(bucket.count);
        is_bounded &= bucket.low.is_finite() || bucket.high.is_finite();
        first = first.or(Some(bucket));
        last = Some(bucket);
    }
    let count = if known.count == 0 { total } else { known.count };
    if count == 0 {
        return Ok(None);
    }
    let n = as_double(count);
    let [sum, min, max] = [known.sum, known.min, known.max].map(|value| value.filter(|value| value.is_finite()));
    let low = min.or_else(|| first.and_then(lower_edge));
    let high = max.or_else(|| last.and_then(upper_edge));
    let spread = if is_bounded { moments(low, high, total, buckets) } else { None };
    let middle = || low.zip(high).map(|(low, high)| low / 2.0 + high / 2.0);
    let Some(mean) = sum.map(|sum| sum / n).or(spread.map(|(mean, _)| mean)).or_else(middle) else {
        return Err("the histogram has neither a sum nor buckets that say what its values are; send one of them".into());
    };
    let is_open = |end: Option<f64>| end.is_none_or(f64::is_infinite);
    let low = Edge { at: low.unwrap_or(mean), is_given: min.is_some(), is_open: is_open(first.map(|first| first.low)) };
    let high = Edge { at: high.unwrap_or(mean), is_given: max.is_some(), is_open: is_open(last.map(|last| last.high)) };
    let (low, high) = narrowed(low, high, mean, n - 1.0);
    let slack = TOLERANCE * low.abs().max(high.abs());
    let is_fitted = min.is_some_and(|min| min > mean + slack)
        || max.is_some_and(|max| max < mean - slack)
        || (total > 0 && total != count);
    let (low, high) = (storable(low.min(mean)), storable(high.max(mean)));
    let sum = match sum {
        // Of tiny values nothing is left, however many there are.
        _ if low == 0.0 && high == 0.0 => 0.0,
        Some(sum) => storable(sum),
        None => storable(mean * n),
    };
    let mean = sum / n;
    let stddev = spread.filter(|_| count > 1).and_then(|(_, variance)| {
        // No values between these with this mean vary more (Bhatia and Davis).
        let highest = ((high - mean) * (mean - low)).max(0.0);
        let variance = variance.max(0.0).min(highest);
        let stddev = storable((variance * (n / (n - 1.0))).sqrt());
        (stddev <= METRIC_VALUE_MAX && variance * n + sum * mean <= METRIC_SUMSQ_MAX / 2.0).then_some(stddev)
    });
    let is_estimated = min.is_none() || max.is_none() || known.sum.is_none();
    Ok(Some(Summary { count, sum, min: low, max: high, stddev, is_estimated, is_fitted }))
}

/// Where the least value of the first bucket may be. Of one without an end, 0 where others are positive, as Prometheus
/// takes it.
fn lower_edge(first: Bucket) -> Option<f64> {
    let edge = if first.low.is_finite() {
        first.low
    } else if first.high.is_finite() {
        first.high.min(0.0)
    } else {
        return None;
    };
    Some(within(edge, -METRIC_VALUE_MAX, METRIC_VALUE_MAX))
}

/// Where the greatest value of the last bucket may be; of one without an end, its beginning.
fn upper_edge(last: Bucket) -> Option<f64> {
    let edge = if last.high.is_finite() { last.high } else { last.low };
    edge.is_finite().then(|| within(edge, -METRIC_VALUE_MAX, METRIC_VALUE_MAX))
}

/// The mean and the variance of values that are spread evenly over each bucket.
fn moments(
    low: Option<f64>,
    high: Option<f64>,
    total: u64,
    buckets: impl Iterator<Item = Bucket>,
) -> Option<(f64, f64)> {
    let (low, high) = low.zip(high).filter(|_| total > 0)?;
    let (mut weight, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for bucket in buckets {
        let (begin, end) = (within(bucket.low, low, high), within(bucket.high, low, high));
        let (middle, width) = (begin / 2.0 + end / 2.0, end - begin);
        let count = as_double(bucket.count);
        weight += count;
        let off = middle - mean;
        mean += off * (count / weight);
        squares += count * (off * (middle - mean) + width * width / 12.0);
    }
    let variance = squares / weight;
    variance.is_finite().then_some((mean, variance))
}

/// The least or the greatest value.
#[derive(Clone, Copy)]
struct Edge {
    at: f64,
    is_given: bool,
    /// Its bucket has no end: values may be beyond it.
    is_open: bool,
}

/// Edges that were estimated, no farther from the mean than the other one and the number of `others` let a value be.
fn narrowed(low: Edge, high: Edge, mean: f64, others: f64) -> (f64, f64) {
    let is_known = |edge: Edge| edge.is_given || !edge.is_open || others == 0.0;
    let reach = |edge: f64| mean + others * (mean - edge);
    let mut least = if low.is_given { low.at } else { low.at.min(mean) };
    let mut greatest = if high.is_given { high.at } else { high.at.max(mean) };
    if !high.is_given && is_known(low) && least <= mean {
        greatest = greatest.min(reach(least));
    }
    if !low.is_given && is_known(high) && greatest >= mean {
        least = least.max(reach(greatest));
    }
    (least, greatest)
}

/// `low` may be greater than `high`: then it is `high`.
fn within(value: f64, low: f64, high: f64) -> f64 {
    value.max(low).min(high)
}

/// Zero for what is too small to be stored.
fn storable(value: f64) -> f64 {
    if value.abs() < METRIC_VALUE_MIN { 0.0 } else { value }
}

#[expect(clippy::cast_precision_loss, reason = "counts that no double holds are refused where they are decoded")]
fn as_double(count: u64) -> f64 {
    count as f64
}

/// The buckets of an explicit histogram that are not empty; a fault where they and their bounds do not fit together.
pub(super) fn explicit_buckets(point: &Point<'_>) -> Result<impl Iterator<Item = Bucket> + Clone, Fault> {
    let (bounds, counts) = (&point.bounds, &point.counts);
    if !(counts.len() == bounds.len() + 1 || counts.is_empty() && bounds.is_empty()) {
        let (counts, bounds) = (counts.len(), bounds.len());
        let what =
            format!("the histogram has {counts} bucket counts for {bounds} bounds; send one count more than bounds");
        return Err(Fault(what.into()));
    }
    if bounds.iter().any(|bound| bound.is_nan()) || bounds.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err("the histogram's bounds do not increase; send them in order, each once".into());
    }
    let bound = |at: Option<usize>| at.and_then(|at| bounds.get(at)).copied();
    Ok(counts.iter().enumerate().filter(|(_, count)| **count > 0).map(move |(at, count)| Bucket {
        low: bound(at.checked_sub(1)).unwrap_or(f64::NEG_INFINITY),
        high: bound(Some(at)).unwrap_or(f64::INFINITY),
        count: *count,
    }))
}

/// The buckets of an exponential histogram that are not empty. That of zero holds zeros, however wide it is.
pub(super) fn exponential_buckets<'p>(point: &'p Point<'_>) -> impl Iterator<Item = Bucket> + Clone + use<'p> {
    let step = (-f64::from(point.scale)).exp2();
    let bucket = move |range: &Buckets, at: usize| {
        let count = range.counts.get(at).copied().filter(|count| *count > 0)?;
        let index = i64::from(range.offset) + i64::try_from(at).unwrap_or_default();
        Some(Bucket { low: power(index, step), high: power(index + 1, step), count })
    };
    let Point { negative, positive, zero_count, .. } = point;
    // From the largest magnitude to the smallest.
    let below = (0..negative.counts.len()).rev().filter_map(move |at| bucket(negative, at));
    let below = below.map(|Bucket { low, high, count }| Bucket { low: -high, high: -low, count });
    let zero = Some(Bucket { low: 0.0, high: 0.0, count: *zero_count }).filter(|zero| zero.count > 0);
    let above = (0..positive.counts.len()).filter_map(move |at| bucket(positive, at));
    below.chain(zero).chain(above)
}

/// The base of the histogram to the power of `index`: 2^(index * 2^-scale).
fn power(index: i64, step: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "an index is one of 32 bits and a few thousand more")]
    let exponent = if index == 0 { 0.0 } else { index as f64 * step };
    exponent.exp2()
}
