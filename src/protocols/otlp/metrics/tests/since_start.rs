//! What is cumulative says since when it is, and is not added up.

use super::*;

/// As summaries each point would be counted again with the next one.
#[test]
fn histograms_since_a_start_are_counters() {
    let sent = json!({"count": 3, "sum": 7, "min": 1, "max": 4, "bucketCounts": [1, 2], "explicitBounds": [2]});
    let request = metric("m", json!({"histogram": {"aggregationTemporality": 2, "dataPoints": point(sent)}}));
    let of = |name: &str, measured: Value| item("counter", name, json!({"temporality": "cumulative"}), measured);
    let count = json!({"value": 3.0, "since_start_min": 1.0, "since_start_max": 4.0, "explicit_bounds": [2.0],
        "bucket_counts": [1, 2]});
    assert_items(&request, json!([of("m_count", count), of("m_sum", json!({"value": 7.0}))]), &[]);
    for made in converted(&request) {
        assert_eq!(made.original.places[0], made.original.places[1], "of one data point");
    }
    let sent = json!({"count": 2, "scale": 0, "zeroCount": 1, "positive": {"offset": 0, "bucketCounts": [1]}});
    let request =
        metric("m", json!({"exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": point(sent)}}));
    for made in converted(&request) {
        let items = items(&made);
        assert_eq!((items.len(), &items[0]["value"], &items[0]["zero_count"]), (1, &json!(2.0), &json!(1)));
    }
}

#[test]
fn when_counting_began_is_kept_of_what_is_cumulative() {
    let started = |more: Value| {
        let mut point =
            json!({"startTimeUnixNano": "1544712000000000001", "timeUnixNano": TIME, "asInt": 1, "count": 1, "sum": 1});
        point.as_object_mut().unwrap().remove(if more == json!({}) { "count" } else { "asInt" });
        if more == json!({}) {
            point.as_object_mut().unwrap().remove("sum");
        }
        json!([point])
    };
    let number = || started(json!({}));
    for (data, kept) in [
        (json!({"gauge": {"dataPoints": number()}}), false),
        (json!({"sum": {"aggregationTemporality": 1, "dataPoints": number()}}), false),
        (json!({"sum": {"aggregationTemporality": 2, "dataPoints": number()}}), true),
        (json!({"sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": number()}}), true),
        (json!({"histogram": {"aggregationTemporality": 1, "dataPoints": started(json!(1))}}), false),
        (json!({"histogram": {"aggregationTemporality": 2, "dataPoints": started(json!(1))}}), true),
        (json!({"exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": started(json!(1))}}), true),
        (json!({"summary": {"dataPoints": started(json!(1))}}), true),
    ] {
        for made in converted(&metric("m", data)) {
            for item in items(&made) {
                let expected = kept.then(|| json!(1_544_712_000_000_000_001_u64));
                assert_eq!(item.get("start_time_unix_nano"), expected.as_ref(), "{item}");
            }
            assert!(decoded(&made).rejected.is_empty());
        }
    }
}
