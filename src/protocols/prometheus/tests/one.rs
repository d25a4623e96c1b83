//! Remote write 1.0.

use serde_json::json;

use super::body::{Body, Series, series};
use super::*;

fn body(all: &[Series]) -> Vec<u8> {
    Body::of(Message::WriteRequest, all)
}

#[test]
fn samples_are_metrics() {
    let node =
        series(&[("__name__", "node_load1"), ("instance", "web-1:9100"), ("job", "node"), ("zone", "eu\n\"1\"")]);
    let sent = body(&[
        node.sample(0.25, NOW_MS).sample(-1e3, NOW_MS + 1),
        series(&[("__name__", "job:up:sum"), ("job", "node")]).sample(3.0, NOW_MS),
        series(&[("__name__", "resource cpu.usage"), ("empty", "")]).sample(0.0, NOW_MS),
    ]);
    let converted = convert(Message::WriteRequest, &sent);
    let base = json!({"asset_id": "web-1:9100", "metric_type": "untyped", "metric_name": "node_load1",
        "dimensions": {"job": "node", "zone": "eu\n\"1\""}});
    let with = |timestamp_ms: i64, value: f64| {
        let mut item = base.clone();
        item["timestamp"] = json!(timestamp_ms * 1_000_000);
        item["value"] = json!(value);
        item
    };
    let found = items(&converted);
    assert_eq!(found[..2], [with(NOW_MS, 0.25), with(NOW_MS + 1, -1000.0)]);
    assert_eq!((&found[2]["asset_id"], &found[2]["dimensions"]), (&json!("node"), &json!({"job": "node"})));
    assert_eq!((&found[3]["asset_id"], found[3].get("dimensions")), (&json!("unknown"), None));
    assert_eq!(notes(&converted), []);
    let decoded = decode(&converted);
    assert_eq!((decoded.accepted(), decoded.rejected.len()), (4, 0));
    // Of one sample the whole series is kept, of several each by itself.
    let original = &converted.original;
    assert_eq!(original.of(0).len(), 16);
    assert!(original.of(2).windows(10).any(|part| part == b"job:up:sum"));
    assert!(original.places.iter().all(|place| place.tag == 0));
}

#[test]
fn what_is_no_number_is_noted_and_taken() {
    let sent = body(&[series(&[("__name__", "up")])
        .sample(f64::from_bits(0x7ff0_0000_0000_0002), NOW_MS)
        .sample(f64::NAN, NOW_MS)
        .sample(f64::INFINITY, NOW_MS)
        .sample(f64::NEG_INFINITY, NOW_MS)]);
    let converted = convert(Message::WriteRequest, &sent);
    assert_eq!(items(&converted).len(), 0);
    assert_eq!(notes(&converted), [("infinite", 2), ("not_a_number", 1), ("stale_marker", 1)]);
    assert_eq!(exchange(Message::WriteRequest, &sent).status(), 204);
}

#[test]
fn metadata_is_noted() {
    let mut sent = body(&[series(&[("__name__", "up")]).sample(1.0, NOW_MS)]);
    sent.extend_from_slice(b"\x1a\x06\x08\x02\x12\x02up\x1a\x00");
    let converted = convert(Message::WriteRequest, &sent);
    assert_eq!((items(&converted).len(), notes(&converted)), (1, vec![("metadata", 2)]));
    // As Prometheus sends it: alone.
    assert_eq!(exchange(Message::WriteRequest, b"\x1a\x06\x08\x02\x12\x02up").status(), 204);
}

#[test]
fn an_exemplar_is_a_sample_of_a_series_of_its_own() {
    let labels = [("__name__", "latency_bucket"), ("instance", "web-1"), ("le", "0.5")];
    let sent = body(&[
        series(&labels).exemplar(&[("trace_id", "abc\"")], 0.42, NOW_MS),
        series(&labels).sample(7.0, NOW_MS).exemplar(&[], 0.1, 0),
    ]);
    let converted = convert(Message::WriteRequest, &sent);
    let found = items(&converted);
    assert_eq!(
        found[0],
        json!({"asset_id": "web-1", "metric_type": "exemplar", "metric_name": "latency_bucket_exemplar",
            "dimensions": {"le": "0.5"}, "timestamp": NOW_MS * 1_000_000, "value": 0.42,
            "exemplar": {"trace_id": "abc\""}})
    );
    assert_eq!((&found[1]["metric_name"], &found[1]["value"]), (&json!("latency_bucket"), &json!(7.0)));
    assert_eq!((&found[2]["exemplar"], found[2].get("timestamp")), (&json!({}), None));
    assert!(refused(&converted).is_empty());
}

#[test]
fn names_longer_than_their_column_stay_apart() {
    let long = "n".repeat(150);
    let converted =
        convert(Message::WriteRequest, &body(&[series(&[("__name__", &long), ("instance", "a")]).sample(1.0, NOW_MS)]));
    assert_eq!(items(&converted)[0]["dimensions"]["metric_name"], long);
    assert!(refused(&converted).is_empty());
    assert_eq!(notes(&converted), [("shortened", 1)]);
}

#[test]
fn bad_series_cost_themselves() {
    let sent = body(&[
        series(&[("job", "a")]).sample(1.0, NOW_MS).sample(2.0, NOW_MS),
        series(&[("__name__", "up")]).sample(1.0, NOW_MS),
        series(&[("__name__", "up"), ("a", "1"), ("a", "2")]).sample(1.0, NOW_MS),
        series(&[("__name__", "up")]).sample(1e141, NOW_MS).sample(1.0, 0),
    ]);
    let converted = convert(Message::WriteRequest, &sent);
    let refused = refused(&converted);
    assert_eq!(refused.keys().copied().collect::<Vec<_>>(), [0, 2, 3, 4]);
    assert!(refused[&0].contains("__name__") && refused[&2].contains("label a twice"), "{refused:?}");
    let tags: Vec<u8> = converted.original.places.iter().map(|place| place.tag).collect();
    assert_eq!(tags, [254, 0, 254, 0, 0]);
    let answer = exchange(Message::WriteRequest, &sent);
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    assert!(answer.status() == 400 && text.starts_with("4 refused") && text.contains("__name__"), "{text}");
    assert!(text.ends_with("and 1 more\n") && written(&answer).is_none(), "{text}");
}
