//! Native histograms.

use proptest::prelude::*;
use serde_json::json;

use super::body::{Body, Histogram, packed, series, spans};
use super::*;
use crate::protocols::protobuf::{put_f64, put_number};

const GAUGE: u64 = 3;

fn sent(message: Message, histogram: &[u8], metric: u64) -> Vec<u8> {
    let labels = [("__name__", "latency"), ("instance", "web-1"), ("job", "api")];
    let mut series = series(&labels).histogram(histogram.to_vec());
    if message == Message::Request {
        series = series.metadata(metric, "", "seconds");
    }
    Body::of(message, &[series])
}

fn exponential() -> Histogram {
    Histogram {
        count: 27,
        sum: 60.5,
        zero: (0.001, 1),
        negative: (vec![(0, 2)], vec![1, 1]),
        positive: (vec![(0, 3), (2, 2)], vec![1, 2, 1, 3, 1]),
        ..Histogram::default()
    }
}

fn custom() -> Histogram {
    Histogram {
        count: 30,
        sum: 60.5,
        schema: -53,
        positive: (vec![(0, 6)], vec![2, 1, 2, 3, -1, -2]),
        bounds: vec![0.1, 0.5, 1.0, 2.5, 5.0, 10.0],
        ..Histogram::default()
    }
}

#[test]
fn a_cumulative_one_is_its_count_and_its_sum() {
    for (message, metric, metric_type) in
        [(Message::WriteRequest, 0, "untyped"), (Message::Request, 3, "counter"), (Message::Request, 0, "untyped")]
    {
        let histogram = Histogram { start_ms: NOW_MS - 5, ..exponential() };
        let body = sent(message, &histogram.at(NOW_MS), metric);
        let converted = convert(message, &body);
        let mut count = json!({"asset_id": "web-1", "metric_type": metric_type, "metric_name": "latency_count",
            "dimensions": {"job": "api"}, "timestamp": NOW_MS * 1_000_000, "value": 27.0,
            "start_timestamp_ms": NOW_MS - 5});
        if message == Message::Request {
            count["unit"] = json!("seconds");
        }
        let mut sum = count.clone();
        (sum["metric_name"], sum["value"]) = (json!("latency_sum"), json!(60.5));
        count["buckets"] = json!({"schema": 0, "zero_threshold": 0.001, "zero_count": 1,
            "negative_spans": [[0, 2]], "negative_counts": [1, 2],
            "positive_spans": [[0, 3], [2, 2]], "positive_counts": [1, 3, 4, 7, 8]});
        assert_eq!(items(&converted), [count, sum]);
        assert!(refused(&converted).is_empty());
        assert_eq!(written(&exchange(message, &body)), (message == Message::Request).then_some([0, 1, 0]));
    }
    let converted = convert(Message::Request, &sent(Message::Request, &custom().at(NOW_MS), 3));
    assert_eq!(
        items(&converted)[0]["buckets"],
        json!({"schema": -53, "positive_spans": [[0, 6]], "positive_counts": [2, 3, 5, 8, 7, 5],
            "custom_values": [0.1, 0.5, 1.0, 2.5, 5.0, 10.0]})
    );
    assert!(refused(&converted).is_empty());
}

#[test]
fn a_gauge_histogram_is_a_summary() {
    for (histogram, metric, expected) in [
        // Buckets (0.5, 1], (1, 2], (2, 4], (16, 32], (32, 64] and -(0.5, 1], -(1, 2].
        (Histogram { reset_hint: GAUGE, ..exponential() }, 0, (27.0, 60.5, -2.0, 64.0)),
        (exponential(), 4, (27.0, 60.5, -2.0, 64.0)),
        (Histogram { reset_hint: GAUGE, ..custom() }, 3, (30.0, 60.5, 0.0, 10.0)),
        // What is around zero reaches to the side where something is.
        (
            Histogram { count: 3, sum: 1.0, zero: (0.5, 1), positive: (vec![(0, 1)], vec![2]), ..Histogram::default() },
            4,
            (3.0, 1.0, 0.0, 1.0),
        ),
        (Histogram { count: 3, sum: 0.75, zero: (0.5, 3), ..Histogram::default() }, 4, (3.0, 0.75, -0.5, 0.5)),
        // The sum knows better than buckets do.
        (
            Histogram { count: 2, sum: 30.0, positive: (vec![(0, 1)], vec![2]), ..Histogram::default() },
            4,
            (2.0, 30.0, 0.5, 15.0),
        ),
        (
            Histogram { count: 1, sum: 0.7, positive: (vec![(0, 1)], vec![1]), ..Histogram::default() },
            4,
            (1.0, 0.7, 0.7, 0.7),
        ),
    ] {
        let body = sent(Message::Request, &histogram.at(NOW_MS), metric);
        let converted = convert(Message::Request, &body);
        let found = items(&converted);
        let number = |name: &str| found[0][name].as_f64().unwrap();
        assert_eq!(
            (found.len(), &found[0]["metric_type"], &found[0]["metric_name"]),
            (1, &json!("histogram"), &json!("latency"))
        );
        assert_eq!((number("count"), number("sum"), number("min"), number("max")), expected);
        assert!(found[0]["buckets"].is_object());
        assert_eq!(refused(&converted), BTreeMap::new());
        assert_eq!(written(&exchange(Message::Request, &body)), Some([0, 1, 0]));
    }
}

#[test]
fn the_deviation_is_that_of_the_middles() {
    // One at 0.5 and three at 3, of bounds of their own.
    let histogram = Histogram {
        count: 4,
        sum: 9.5,
        schema: -53,
        positive: (vec![(0, 1), (1, 1)], vec![1, 2]),
        bounds: vec![1.0, 2.0, 4.0],
        ..Histogram::default()
    };
    let converted = convert(Message::Request, &sent(Message::Request, &histogram.at(NOW_MS), 4));
    let found = items(&converted)[0]["stddev"].as_f64().unwrap();
    let mean = 9.5_f64 / 4.0;
    let squares = (0.5 - mean).powi(2) + 3.0 * (3.0 - mean).powi(2);
    assert!((found - (squares / 3.0).sqrt()).abs() < 1e-12, "{found}");
}

#[test]
fn what_measures_nothing_is_noted() {
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let empty = Histogram { reset_hint: GAUGE, ..Histogram::default() };
    let nan = Histogram { sum: f64::NAN, ..exponential() };
    for (histogram, count, noted) in [
        (Histogram { sum: stale, ..Histogram::default() }, 0, "stale_marker"),
        (empty, 0, "empty_histogram"),
        (Histogram { reset_hint: GAUGE, ..nan.clone() }, 0, "not_a_number"),
        (nan, 1, "not_a_number"),
        (Histogram { sum: f64::INFINITY, ..exponential() }, 1, "infinite"),
    ] {
        let body = sent(Message::Request, &histogram.at(NOW_MS), 3);
        let converted = convert(Message::Request, &body);
        assert_eq!((items(&converted).len(), notes(&converted)), (count, vec![(noted, 1)]));
        assert!(refused(&converted).is_empty());
        assert_eq!(written(&exchange(Message::Request, &body)), Some([0, 1, 0]));
    }
    // Nothing was counted yet.
    let converted = convert(Message::Request, &sent(Message::Request, &Histogram::default().at(NOW_MS), 3));
    assert_eq!((items(&converted).len(), refused(&converted).len()), (2, 0));
}

#[test]
fn what_is_no_histogram_is_refused() {
    for (histogram, why) in [
        (Histogram { count: 99, ..exponential() }, "its count is 99, and its buckets have 27"),
        (Histogram { count: 26, sum: f64::NAN, ..exponential() }, "its count is 26"),
        (Histogram { schema: 53, ..exponential() }, "schema 53"),
        (Histogram { schema: -10, ..exponential() }, "schema -10"),
        (Histogram { positive: (vec![(0, 3), (-1, 2)], vec![1, 2, 1, 3, 1]), ..exponential() }, "spans go back"),
        (Histogram { positive: (vec![(0, 4)], vec![1, 2, 1, 3, 1]), ..exponential() }, "another number of buckets"),
        (Histogram { positive: (vec![(0, 5)], vec![1, 2, -4, 3, 1]), ..exponential() }, "negative count"),
        (Histogram { positive: (vec![(0, 2)], vec![i64::MAX, 1]), ..exponential() }, "negative count"),
        (Histogram { negative: (vec![(0, 1)], vec![1]), ..custom() }, "bounds of its own"),
        (Histogram { bounds: vec![1.0, 0.5, 2.0, 3.0, 4.0, 5.0], ..custom() }, "do not increase"),
        (Histogram { bounds: vec![0.1, 0.5], ..custom() }, "beyond its 2 custom values"),
    ] {
        let body = sent(Message::Request, &histogram.at(NOW_MS), 3);
        let refused = refused(&convert(Message::Request, &body));
        assert!(refused.len() == 1 && refused[&0].contains(why), "{why}: {refused:?}");
        let answer = exchange(Message::Request, &body);
        assert_eq!((answer.status().as_u16(), written(&answer)), (400, Some([0; 3])));
    }
}

#[test]
fn one_that_is_refused_in_part_was_not_written() {
    // Both items are too old, or the sum alone is too large.
    for (histogram, timestamp_ms, refused_items) in
        [(exponential(), 1, 2), (Histogram { sum: 1e141, ..exponential() }, NOW_MS, 1)]
    {
        let labels = [("__name__", "latency")];
        let both = series(&labels).histogram(histogram.at(timestamp_ms)).histogram(exponential().at(NOW_MS));
        let body = Body::of(Message::Request, &[both]);
        assert_eq!(refused(&convert(Message::Request, &body)).len(), refused_items);
        assert_eq!(written(&exchange(Message::Request, &body)), Some([0, 1, 0]));
    }
}

/// A float histogram of these positive buckets.
fn float(count: f64, sum: f64, schema: i64, offset: i64, counts: &[f64], negative: &[f64]) -> Vec<u8> {
    let mut out = Vec::new();
    put_f64(&mut out, 2, count);
    put_f64(&mut out, 3, sum);
    put_number(&mut out, 4, ((schema << 1) ^ (schema >> 63)).cast_unsigned());
    spans(&mut out, 8, &[(offset, negative.len() as u64)]);
    packed(&mut out, 10, negative);
    spans(&mut out, 11, &[(offset, counts.len() as u64)]);
    packed(&mut out, 13, counts);
    put_number(&mut out, 14, GAUGE);
    put_number(&mut out, 15, NOW_MS.cast_unsigned());
    out
}

#[test]
fn floats_are_rounded_to_whole_counts() {
    let converted =
        convert(Message::WriteRequest, &sent(Message::WriteRequest, &float(2.5, 5.0, 0, 1, &[2.5], &[]), 0));
    let found = &items(&converted)[0];
    assert_eq!((&found["count"], &found["sum"]), (&json!(3.0), &json!(6.0)));
    assert_eq!(found["buckets"]["positive_counts"], json!([2.5]));
    assert!(refused(&converted).is_empty());
    let refused =
        refused(&convert(Message::WriteRequest, &sent(Message::WriteRequest, &float(1.0, 1.0, 0, 1, &[-1.0], &[]), 0)));
    assert!(refused[&0].contains("negative count"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// No summary is refused, whatever buckets and sum say.
    #[test]
    fn summaries_are_such_as_values_have(
        counts in proptest::collection::vec(0_u32..1000, 0..12),
        negative in proptest::collection::vec(0_u32..1000, 0..6),
        schema in -9_i64..=52,
        offset in prop_oneof![-20_i64..20, -3000_i64..3000, Just(i64::from(i32::MIN)), Just(i64::from(i32::MAX))],
        sum in prop_oneof![-1e3..1e3, -1e140..1e140, Just(0.0), 1e-100..1e-97],
        share in prop_oneof![Just(1.0), 0.001..1.0],
    ) {
        let scaled = |counts: &[u32]| counts.iter().map(|count| f64::from(*count) * share).collect::<Vec<_>>();
        let (positive, negative) = (scaled(&counts), scaled(&negative));
        let count = positive.iter().chain(&negative).sum::<f64>();
        let body = sent(Message::WriteRequest, &float(count, sum, schema, offset, &positive, &negative), 0);
        let converted = convert(Message::WriteRequest, &body);
        if converted.items.is_empty() {
            prop_assert_eq!(notes(&converted), [("empty_histogram", 1)]);
        } else {
            // But where the sum is one that is not stored.
            let stored = items(&converted)[0]["sum"].as_f64().unwrap().abs();
            if stored == 0.0 || (1e-100..=1e140).contains(&stored) {
                prop_assert_eq!(refused(&converted), BTreeMap::new());
            }
        }
    }
}
