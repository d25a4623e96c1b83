//! What cannot be read costs itself, or the whole body; nothing that is sent ends in a panic.

use super::*;
use crate::protocols::otlp::answer::WHOLE;
use crate::protocols::otlp::value::DEPTH_MAX;
use crate::protocols::protobuf::put_bytes;

/// A point of each kind, with attributes of each type.
pub fn sample() -> Value {
    let attributes = json!([
        text("a", "x\"y\u{e9}"),
        attribute("n", json!({"intValue": "-5"})),
        attribute("d", json!({"doubleValue": 0.5})),
        attribute("b", json!({"boolValue": true})),
        attribute("l", json!({"arrayValue": {"values": [{"stringValue": "i"}, {}]}})),
        attribute("m", json!({"kvlistValue": {"values": [text("k", "v")]}})),
        attribute("y", json!({"bytesValue": "AAEC"}))
    ]);
    let number = json!([{"attributes": attributes, "startTimeUnixNano": TIME, "timeUnixNano": TIME, "asDouble": 1.5},
        {"timeUnixNano": TIME, "asInt": "7", "exemplars": [{}], "flags": 2}]);
    json!({"resourceMetrics": [{
        "resource": {"attributes": [text("host.name", "h"), text("service.name", "s")]},
        "scopeMetrics": [{"scope": {"name": "lib", "version": "1", "attributes": [text("z", "z")]}, "metrics": [
            {"name": "g", "unit": "s", "gauge": {"dataPoints": number}},
            {"name": "c", "sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": number}},
            {"name": "h", "histogram": {"aggregationTemporality": 1, "dataPoints": [{"timeUnixNano": TIME, "count": "3",
                "sum": 4.5, "min": 0.5, "max": 2.0, "explicitBounds": [1.0, 2.0], "bucketCounts": ["1", "1", "1"]}]}},
            {"name": "e", "exponentialHistogram": {"aggregationTemporality": 1, "dataPoints": [{"timeUnixNano": TIME,
                "count": "6", "sum": 3.0, "scale": -1, "zeroCount": "1", "zeroThreshold": 0.1,
                "positive": {"offset": -2, "bucketCounts": ["1", "0", "2"]},
                "negative": {"offset": 1, "bucketCounts": ["2"]}}]}},
            {"name": "q", "summary": {"dataPoints": [{"timeUnixNano": TIME, "count": "2", "sum": 5.0,
                "quantileValues": [{"quantile": 0.5, "value": 2.0}]}]}},
        ]}],
    }]})
}

#[test]
fn every_cut_and_every_flipped_bit_is_answered() {
    let json = serde_json::to_vec(&sample()).unwrap();
    type Read = fn(&[u8], &mut Converter<'_>);
    for (body, read) in [(transcode::protobuf(&sample()), from_protobuf as Read), (json, from_json)] {
        let whole = convert(&body, read);
        assert_eq!((whole.original.places.len(), decoded(&whole).accepted()), (9, 9));
        for cut in 1..body.len() {
            let made = convert(&body[..cut], read);
            assert_eq!((made.original.places.len(), made.original.places[0].tag), (1, WHOLE), "cut at {cut}");
            assert_eq!(made.original.of(0), &body[..cut]);
            is_otlp_json(&body[..cut]);
        }
        for at in 0..body.len() {
            for bit in [0, 5] {
                let mut flipped = body.clone();
                flipped[at] ^= 1 << bit;
                is_otlp_json(&flipped);
                let made = convert(&flipped, read);
                if !made.items.is_empty() {
                    decoded(&made);
                }
            }
        }
    }
}

#[test]
fn a_body_that_is_no_request_is_one_broken_item() {
    for body in [&b"{\"resourceMetrics\":[]}"[..], b"\x0a\x05ab", b"\x08\x01", b"\x1f\x8b\x08", b"\x0a\x02\x12\x05"] {
        let made = convert(body, from_protobuf);
        assert_eq!((items(&made), made.original.places[0].tag), (vec![json!(0)], WHOLE), "{body:?}");
        assert_eq!(made.original.of(0), body);
        assert!(made.original.broken[0].message.contains("send an ExportMetricsServiceRequest"));
    }
    for body in [
        "[]",
        "5",
        "nul",
        "{\"resourceMetrics\":[}",
        "{\"resourceMetrics\":[]} x",
        "{\"resourceMetrics\":5}",
        "{\"a\":1,\"resourceMetrics\":{}}",
        "{} []",
        "{\"a\":NaN}",
        "{\"a\":\"\n\"}",
    ] {
        let made = convert(body.as_bytes(), from_json);
        assert_eq!((items(&made), made.original.places[0].tag), (vec![json!(0)], WHOLE), "{body}");
        assert_eq!(made.original.of(0), body.as_bytes());
    }
    for body in
        ["", " ", "{}", "{} {\"x\":[[{}]]}", "{\"resourceMetrics\":[]}", "{\"resourceMetrics\":null}", "\u{feff}{}"]
    {
        assert!(convert(body.as_bytes(), from_json).original.places.is_empty(), "{body}");
    }
    // What the schema does not know is passed over.
    for body in [&b""[..], b"\x12\x02ab", b"\x0a\x00", b"\x0a\x02\x12\x00"] {
        assert!(convert(body, from_protobuf).original.places.is_empty(), "{body:?}");
    }
}

#[test]
fn a_point_that_cannot_be_read_costs_itself() {
    let nested = |mut message: Vec<u8>, numbers: &[u32]| {
        for number in numbers {
            let mut outer = Vec::new();
            put_bytes(&mut outer, *number, &message);
            message = outer;
        }
        message
    };
    let good =
        transcode::protobuf(&metric("m", json!({"gauge": {"dataPoints": [{"timeUnixNano": TIME, "asInt": 1}]}})));
    // The value of an attribute, the attribute, the point, and a time that is text.
    for bad in [&b"\x3a\x07\x0a\x01k\x12\x02\x0a\x05"[..], b"\x3a\x02\x0a\x05", b"\x18", b"\x1a\x01x"] {
        let mut body = nested(bad.to_vec(), &[1, 5, 2, 2, 1]);
        body.extend_from_slice(&good);
        let made = convert(&body, from_protobuf);
        assert_eq!((items(&made).len(), made.original.broken.len()), (2, 1), "{bad:?}");
        assert_eq!((made.original.of(0), made.original.places[0].tag), (bad, 0));
        assert_eq!(decoded(&made).accepted(), 1);
    }
}

#[test]
fn a_part_of_json_of_another_type_costs_itself() {
    let good = r#"{"timeUnixNano":"1544712660300000000","asInt":1}"#;
    let bad_points = [
        "5",
        "[]",
        "\"x\"",
        r#"{"timeUnixNano":"x"}"#,
        r#"{"timeUnixNano":-1}"#,
        r#"{"timeUnixNano":1.5}"#,
        r#"{"timeUnixNano":1e30}"#,
        r#"{"timeUnixNano":1,"asDouble":"one"}"#,
        r#"{"timeUnixNano":1,"asDouble":true}"#,
        r#"{"timeUnixNano":1,"asDouble":{}}"#,
        r#"{"timeUnixNano":1,"asInt":"9223372036854775808"}"#,
        r#"{"timeUnixNano":1,"attributes":{}}"#,
        r#"{"timeUnixNano":1,"attributes":[1]}"#,
        r#"{"timeUnixNano":1,"asInt":1,"attributes":[{"key":1}]}"#,
        r#"{"timeUnixNano":1,"attributes":[{"key":"k","value":"v"}]}"#,
        r#"{"timeUnixNano":1,"attributes":[{"key":"k","value":{"intValue":"x"}}]}"#,
        r#"{"timeUnixNano":1,"attributes":[{"key":"k","value":{"stringValue":5}}]}"#,
        r#"{"timeUnixNano":1,"attributes":[{"key":"k","value":{"boolValue":"yes"}}]}"#,
        r#"{"timeUnixNano":1,"attributes":[{"key":"k","value":{"arrayValue":[]}}]}"#,
    ];
    let point = |point: &str| format!(r#"{{"name":"m","gauge":{{"dataPoints":[{point},{good}]}}}}"#);
    let metric = |metric: &str| format!(r#"{{"scopeMetrics":[{{"metrics":[{metric}]}}]}}"#);
    let cases = bad_points.map(|bad| (bad, metric(&point(bad)))).into_iter().chain([
        ("7", metric(&format!("7,{}", point("{\"flags\":1}")))),
        (r#"{"name":{}}"#, metric(&format!(r#"{{"name":{{}}}},{}"#, point("{\"flags\":1}")))),
        (
            r#"{"sum":{"isMonotonic":5}}"#,
            metric(&format!(r#"{{"sum":{{"isMonotonic":5}}}},{}"#, point("{\"flags\":1}"))),
        ),
        ("null", format!(r#"null,{}"#, metric(&point("{\"flags\":1}")))),
        ("[7]", format!(r#"[7],{}"#, metric(&point("{\"flags\":1}")))),
    ]);
    for (bad, resource_metrics) in cases {
        let body = format!(r#"{{"resourceMetrics":[{resource_metrics}]}}"#);
        let made = convert(body.as_bytes(), from_json);
        let broken = usize::from(bad != "null");
        assert_eq!((items(&made).len(), made.original.broken.len()), (1 + broken, broken), "{body}");
        if broken > 0 {
            assert_eq!((made.original.of(0), made.original.places[0].tag), (bad.as_bytes(), 0), "{body}");
        }
        assert_eq!(decoded(&made).accepted(), 1);
    }
}

#[test]
fn a_value_nested_too_deep_costs_its_point() {
    for (depth, is_good) in [(DEPTH_MAX, true), (DEPTH_MAX + 1, false), (20_000, false)] {
        for (open, close) in
            [(r#"{"arrayValue":{"values":["#, "]}}"), (r#"{"kvlistValue":{"values":[{"key":"k","value":"#, "}]}}")]
        {
            let value = [&open.repeat(depth), r#"{"stringValue":"x"}"#, &close.repeat(depth)].concat();
            let point = format!(r#"{{"timeUnixNano":{TIME},"asInt":1,"attributes":[{{"key":"k","value":{value}}}]}}"#);
            let body = gauge_text(&point);
            let made = convert(body.as_bytes(), from_json);
            assert_eq!((made.original.places.len(), made.original.broken.is_empty()), (1, is_good), "{depth}");
            assert_eq!(decoded(&made).accepted() == 1, is_good, "{depth}");
        }
    }
}
