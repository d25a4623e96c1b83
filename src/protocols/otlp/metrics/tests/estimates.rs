//! Summaries of histograms: near to what was measured, and never refused.

use proptest::prelude::*;

use super::*;
use crate::protocols::otlp::metrics::estimate::{Bucket, Known, Summary, summary};
use crate::wire::item::Code;

fn made(known: Known, buckets: &[(f64, f64, u64)]) -> Summary {
    let buckets = buckets.iter().map(|(low, high, count)| Bucket { low: *low, high: *high, count: *count });
    summary(known, buckets).unwrap().unwrap()
}

const INF: f64 = f64::INFINITY;

#[test]
fn what_is_not_said_is_taken_from_the_buckets() {
    let sum = |count, sum| Known { count, sum: Some(sum), ..Known::default() };
    for (known, buckets, expected) in [
        // Positive values: none is below zero.
        (sum(4, 10.0), &[(-INF, 1.0, 1), (2.0, 5.0, 3)][..], (10.0, 0.0, 5.0)),
        // Below the first bound.
        (sum(2, -30.0), &[(-INF, -10.0, 2)], (-30.0, -15.0, -10.0)),
        // Beyond the last bound: as far as the sum says.
        (sum(2, 300.0), &[(10.0, INF, 2)], (300.0, 10.0, 150.0)),
        (sum(2, 60.0), &[(-INF, 10.0, 1), (50.0, INF, 1)], (60.0, 0.0, 50.0)),
        // One value is what the sum is, whatever its bucket.
        (sum(1, 3.0), &[(2.0, 5.0, 1)], (3.0, 3.0, 3.0)),
        // Values that are not below 2 leave no more than 5 for one of them.
        (sum(3, 9.0), &[(2.0, 1e300, 3)], (9.0, 2.0, 5.0)),
        // No sum: the middles.
        (Known { count: 4, ..Known::default() }, &[(0.0, 1.0, 2), (1.0, 3.0, 2)], (5.0, 0.0, 3.0)),
        (Known { count: 4, min: Some(1.0), max: Some(3.0), ..Known::default() }, &[], (8.0, 1.0, 3.0)),
    ] {
        let found = made(known, buckets);
        assert_eq!((found.sum, found.min, found.max), expected, "{known:?} {buckets:?}");
        assert!(found.is_estimated && !found.is_fitted, "{known:?}");
    }
}

#[test]
fn the_spread_is_near_to_that_of_the_values() {
    // 1000 values evenly between 0 and 100, in ten buckets: the deviation of a sample is 28.896.
    let known = Known { count: 1000, sum: Some(50_000.0), min: Some(0.05), max: Some(99.95) };
    let tens: Vec<_> = (0..10).map(|n| (f64::from(n) * 10.0, f64::from(n + 1) * 10.0, 100)).collect();
    let stddev = made(known, &tens).stddev.unwrap();
    assert!((stddev - 28.88).abs() < 0.1, "{stddev}");
    // Half at either end: no values vary more.
    let known = Known { count: 10, sum: Some(50.0), min: Some(0.0), max: Some(10.0) };
    let stddev = made(known, &[(-INF, 0.0, 5), (9.0, INF, 5)]).stddev.unwrap();
    assert!((4.8..=5.28).contains(&stddev), "{stddev}");
    // All the same.
    let known = Known { count: 10, sum: Some(50.0), min: Some(5.0), max: Some(5.0) };
    assert_eq!(made(known, &[(2.0, 10.0, 10)]).stddev, Some(0.0));
    // Buckets that say nothing, and one value.
    assert_eq!(made(known, &[]).stddev, None);
    assert_eq!(made(known, &[(-INF, INF, 10)]).stddev, None);
    assert_eq!(made(Known { count: 1, ..known }, &[(2.0, 10.0, 1)]).stddev, None);
}

#[test]
fn what_does_not_fit_is_made_to_and_said() {
    let known = Known { count: 2, sum: Some(100.0), min: Some(0.0), max: Some(10.0) };
    let found = made(known, &[(0.0, 10.0, 2)]);
    assert_eq!((found.sum, found.min, found.max, found.is_fitted), (100.0, 0.0, 50.0, true));
    let found = made(Known { count: 3, ..known }, &[(0.0, 50.0, 2)]);
    assert!(found.is_fitted, "the buckets have another count");
    // Sums are rounded.
    let known = Known { count: 3, sum: Some(0.1 + 0.2 + 0.1 - 1e-16), min: Some(0.4 / 3.0), max: Some(0.4 / 3.0) };
    assert!(!made(known, &[]).is_fitted);
}

/// Indexes of buckets at the ends of what a double holds, at any scale.
#[test]
fn exponential_buckets_of_any_scale() {
    for scale in [i32::MIN, -1000, -10, 0, 10, 20, 1000, i32::MAX] {
        for offset in [i32::MIN, -2000, -1, 0, 1, 2000, i32::MAX] {
            for sum in [json!(null), json!(0), json!(12.5), json!(-3)] {
                let point = json!([{"timeUnixNano": TIME, "count": 5, "sum": sum, "scale": scale, "zeroCount": 1,
                    "positive": {"offset": offset, "bucketCounts": [1, 0, 1]},
                    "negative": {"offset": offset, "bucketCounts": [0, 2]}}]);
                let request =
                    metric("m", json!({"exponentialHistogram": {"aggregationTemporality": 1, "dataPoints": point}}));
                for made in converted(&request) {
                    assert_eq!(made.original.places.len(), 1);
                    if !made.original.broken.is_empty() {
                        assert!(sum.is_null(), "{request}");
                        continue;
                    }
                    assert_eq!(decoded(&made).rejected, [], "{request} {:?}", made.items);
                }
            }
        }
    }
}

fn number() -> impl Strategy<Value = Option<f64>> {
    let any = prop_oneof![-100.0..100.0, -1e120..1e120, -1e-90..1e-90, Just(0.0), Just(1e-130), Just(f64::NAN)];
    prop_oneof![Just(None), any.prop_map(Some)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Whatever a sender says, its summary is one that the decoder takes.
    #[test]
    fn summaries_are_never_refused(
        count in prop_oneof![0..5_u64, 0..1_000_000_u64, Just(1 << 53)],
        sum in number(), min in number(), max in number(),
        mut bounds in prop::collection::vec(prop_oneof![-100.0..100.0, -1e300..1e300, -1e-300..1e-300], 0..8),
        counts in prop::collection::vec(prop_oneof![Just(0), 0..10_u64, Just(1 << 40)], 9),
    ) {
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        let counts = &counts[..=bounds.len()];
        let mut point = json!({"timeUnixNano": TIME, "count": count, "bucketCounts": counts, "explicitBounds": bounds});
        for (key, value) in [("sum", sum), ("min", min), ("max", max)] {
            if let Some(value) = value {
                point[key] = if value.is_nan() { json!("NaN") } else { json!(value) };
            }
        }
        let request = metric("m", json!({"histogram": {"aggregationTemporality": 1, "dataPoints": [point]}}));
        for made in converted(&request) {
            if made.original.broken.is_empty() && !made.items.is_empty() {
                let decoded = decoded(&made);
                // Without a sum, buckets alone may say that values are larger than what is stored.
                let is_too_large = |code: Code| code == Code::MetricOutOfRange && sum.is_none();
                let refused = decoded.rejected.iter().find(|item| !is_too_large(item.rejection.code));
                prop_assert!(refused.is_none(), "{:?} {:?}", refused, made.items);
            }
        }
    }
}
