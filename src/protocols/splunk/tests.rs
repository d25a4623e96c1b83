#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::HeaderName;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Splunk;
use crate::limits::MIB;
use crate::protocols::{Converted, Converter, Head, Items, Protocol, Segments};
use crate::wire::event::{Decoder, Defaults};
use crate::wire::item::{BodyForm, ItemContext, StoredJson, TimeBounds};

pub(super) fn with_head<T>(
    path: &str,
    query: Option<&str>,
    headers: &[(&'static str, &str)],
    run: impl FnOnce(&Head<'_>) -> T,
) -> T {
    let headers = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
        .collect::<HeaderMap>();
    let route = Splunk.routes().iter().find(|route| route.path == path).unwrap();
    run(&Head { route, path: &Segments::default(), query, headers: &headers })
}

pub(super) fn convert(path: &str, query: Option<&str>, body: impl Into<Bytes>) -> Converted {
    with_head(path, query, &[], |head| {
        let mut into = Converter::new(Box::new(|_| Ok(())));
        let body = body.into();
        assert!(matches!(Splunk.items(head, &body, &mut into), Ok(Items::Converted)));
        into.finish(body).unwrap()
    })
}

pub(super) const EVENT: &str = "/services/collector/event";
pub(super) const RAW: &str = "/services/collector/raw";

/// Every item, which is a line.
pub(super) fn items(converted: &Converted) -> Vec<Value> {
    let lines: Vec<&[u8]> = converted.items.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), converted.original.places.len());
    lines.iter().map(|line| serde_json::from_slice(line).unwrap()).collect()
}

fn event(body: impl Into<Bytes>) -> Value {
    let found = items(&convert(EVENT, None, body));
    assert_eq!(found.len(), 1);
    found[0].clone()
}

const ENVELOPE: &str = r#"{"time":1763683200.123456789,"host":"h1","source":"app","sourcetype":"st","index":"main",
    "event":{"message":"hi \"x\"","level":"error","n":1.5},"fields":{"env":"test","a":["b"]},
    "channel":"c","nested":{"k":1}}"#;

#[test]
fn an_envelope_is_an_event() {
    assert_eq!(
        event(ENVELOPE),
        json!({
            "event_type": "st", "source_module": "app", "asset_id": "h1", "timestamp": 1_763_683_200_123_456_789_i64,
            "severity": "error", "environment": "test",
            "payload": {"message": "hi \"x\"", "level": "error", "n": 1.5},
            "metadata": {"index": "main", "timestamp_ns": "1763683200123456789", "fields": {"env": "test", "a": ["b"]},
                "envelope": {"nested": {"k": 1}}},
        })
    );
    for (body, expected) in [
        (
            r#"{"event":"text"}"#,
            json!({"event_type": "splunk.event", "source_module": "splunk", "payload": {"event": "text"}}),
        ),
        (
            r#"{"event":[1,"a"]}"#,
            json!({"event_type": "splunk.event", "source_module": "splunk", "payload": {"event": [1, "a"]}}),
        ),
        (
            r#"{"event":5,"host":"","source":null,"sourcetype":7,"time":"","fields":{},"channel":"c"}"#,
            json!({"event_type": "7", "source_module": "splunk", "payload": {"event": 5}}),
        ),
        (
            r#"{"event":{"severity":5,"level":"warn","trace_id":"t1"},
                "fields":{"otel.log.severity.text":"INFO","trace_id":"t2"}}"#,
            json!({"event_type": "splunk.event", "source_module": "splunk", "severity": "INFO", "trace_id": "t2",
                "payload": {"severity": 5, "level": "warn", "trace_id": "t1"},
                "metadata": {"fields": {"otel.log.severity.text": "INFO", "trace_id": "t2"}}}),
        ),
    ] {
        assert_eq!(event(body), expected, "{body}");
    }
}

#[test]
fn times_are_numbers_or_text_and_exact() {
    for (time, expected) in [
        ("1763683200", json!(1_763_683_200_000_000_000_i64)),
        ("\"1763683200.5\"", json!(1_763_683_200_500_000_000_i64)),
        ("1763683200123", json!(1_763_683_200_123_000_000_i64)),
        ("1.763683200000001e9", json!(1_763_683_200_000_001_000_i64)),
        ("0.25", json!("1970-01-01T00:00:00.25Z")),
        ("null", Value::Null),
    ] {
        let found = event(format!("{{\"event\":\"a\",\"time\":{time}}}"));
        assert_eq!((&found["timestamp"], found.get("metadata")), (&expected, None), "{time}");
    }
}

#[test]
fn what_the_query_says_counts_where_the_envelope_says_nothing() {
    let query = Some("host=q&source=s%201&sourcetype=t&index=i&time=1763683200.000000001&source=second");
    let found = items(&convert(EVENT, query, r#"{"event":"a"}{"event":"b","host":"own","index":"x","time":5}"#));
    assert_eq!(
        found[0],
        json!({"event_type": "t", "source_module": "s 1", "asset_id": "q", "timestamp": 1_763_683_200_000_000_001_i64,
            "payload": {"event": "a"}, "metadata": {"index": "i", "timestamp_ns": "1763683200000000001"}})
    );
    assert_eq!((&found[1]["asset_id"], &found[1]["metadata"]["index"]), (&json!("own"), &json!("x")));
}

#[test]
fn metrics_are_events_of_their_own_type() {
    for fields in [
        json!({"metric_name:cpu.usr": 11.12, "metric_name:cpu.sys": 12.23, "region": "eu"}),
        json!({"metric_name": "cpu", "_value": 3, "region": "eu"}),
    ] {
        let converted =
            convert(EVENT, None, json!({"event": "metric", "fields": fields, "sourcetype": "c"}).to_string());
        let found = &items(&converted)[0];
        assert_eq!((&found["event_type"], &found["payload"]), (&json!("splunk.metric"), &json!({"fields": fields})));
        assert_eq!((&found["metadata"], converted.notes["metric_as_event"]), (&json!({"sourcetype": "c"}), 1));
    }
    for body in [
        r#"{"event":"metric"}"#,
        r#"{"event":"metric","fields":{"metric_name":"a"}}"#,
        r#"{"event":"m","fields":{"metric_name:a":1}}"#,
    ] {
        assert_eq!(event(body)["event_type"], "splunk.event", "{body}");
    }
}

#[test]
fn envelopes_stand_behind_each_other_and_each_has_its_place() {
    for between in ["", "\n", " \r\n\t", "\n\n"] {
        let body = [r#"{"event":"a"}"#, r#"{"event":"b\n"}"#, "{\n\"event\":\n\"c\"}"].join(between) + between;
        let converted = convert(EVENT, None, body);
        let texts: Vec<Value> = items(&converted).iter().map(|item| item["payload"]["event"].clone()).collect();
        assert_eq!(texts, ["a", "b\n", "c"]);
        assert_eq!(converted.original.of(1), br#"{"event":"b\n"}"#);
        assert!(converted.dedupe);
    }
    for blank in ["", " \r\n\t "] {
        assert!(items(&convert(EVENT, None, blank)).is_empty() && items(&convert(RAW, None, blank)).is_empty());
    }
}

#[test]
fn what_is_wrong_has_its_code_and_costs_itself() {
    for (bad, code, message) in [
        ("{}", 12, "no `event`"),
        (r#"{"event":null}"#, 12, "no `event`"),
        (r#"{"event":""}"#, 13, "empty"),
        (r#"{"event":{ }}"#, 13, "empty"),
        (r#"{"event":"a","time":"now"}"#, 6, "the time now is no number of seconds"),
        (r#"{"event":"a","time":-1}"#, 6, "the time -1 is no number"),
        (r#"{"event":"a","host":{}}"#, 6, "it is no text"),
        (r#"{"event":"a","event":"b"}"#, 6, "`event` is there twice"),
        (r#"{"event":"a","fields":"b"}"#, 6, "`fields`: invalid type"),
        (r#"[{"event":"a"}]"#, 6, "expected an object"),
        ("5", 6, "expected an object"),
        ("\"a\"", 6, "expected an object"),
        ("{\"event\":\"?\"}", 6, "no UTF-8"),
        ("{\"event\":oops}", 6, "no JSON from byte 14 on"),
        ("{\"event\":\"a\"", 6, "no JSON from byte 14 on"),
        (",", 6, "no JSON from byte 14 on"),
    ] {
        // `?` stands for a byte that is no UTF-8.
        let text = format!("{{\"event\":\"a\"}}\n{bad}\n{{\"event\":\"b\"}}");
        let body: Vec<u8> = text.bytes().map(|byte| if byte == b'?' { 0xff } else { byte }).collect();
        let converted = convert(EVENT, None, body);
        let found = items(&converted);
        assert_eq!((found.len(), &found[1], &found[2]["payload"]["event"]), (3, &json!(0), &json!("b")), "{bad}");
        assert_eq!(converted.original.places[1].tag, code, "{bad}");
        assert!(converted.original.broken[0].message.contains(message), "{bad}: {:?}", converted.original.broken);
        assert_eq!(converted.original.of(1).len(), bad.len(), "{bad}");
    }
    let converted = convert(EVENT, None, "{\"event\":\"a\"}{\"event\": x}{\"event\":\"lost\"} ");
    assert_eq!((items(&converted).len(), converted.original.of(1)), (2, &b"{\"event\": x}{\"event\":\"lost\"}"[..]));
}

#[test]
fn a_body_that_fails_everywhere_is_read_a_bounded_number_of_times() {
    // Each line opens a string that the next one closes, so that each read goes far.
    let body = "{\"event\":\"a\",\"x\":{\n".repeat(20_000);
    let converted = convert(EVENT, None, body);
    assert!(items(&converted).len() <= 20_000);
    let body = format!("{{\"event\":[\n{}", "{\"a\":[\n".repeat(50_000));
    convert(EVENT, None, body);
    let deep = format!("{{\"event\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(items_count(deep), 1);
}

fn items_count(body: String) -> usize {
    convert(EVENT, None, body).original.places.len()
}

#[test]
fn raw_lines_are_events() {
    let converted =
        convert(RAW, Some("sourcetype=access&host=h&channel=c"), &b"one \"1\"\r\n\n  \ntwo\xff\n three"[..]);
    let found = items(&converted);
    assert_eq!(
        found[0],
        json!({"event_type": "access", "source_module": "splunk", "asset_id": "h", "payload": {"event": "one \"1\""}})
    );
    assert_eq!(found[1]["payload"], json!({"event": "two\u{fffd}", "event_base64": "dHdv/w=="}));
    assert_eq!((&found[2]["payload"], found.len()), (&json!({"event": " three"}), 3));
    assert_eq!((converted.original.of(0), converted.notes["not_utf8"]), (&b"one \"1\""[..], 1));
    let versioned = convert("/services/collector/raw/1.0", None, "a");
    assert_eq!(items(&versioned)[0]["payload"], json!({"event": "a"}));
}

#[test]
fn what_is_made_is_taken_by_the_decoder() {
    let day_us = 86_400_000_000;
    let received_at_us = 1_763_683_200_000_000;
    let origin = ItemContext {
        tenant_id: "acme",
        api_key_id: Uuid::from_u128(1),
        receipt: Uuid::from_u128(2),
        received_at_us,
        bounds: TimeBounds { oldest_us: received_at_us - 9 * day_us, newest_us: received_at_us + day_us },
        item_bytes_max: 16 * MIB,
        stored_json: StoredJson::Jsonb,
        projections: |_| 0,
    };
    let metric = r#"{"event":"metric","fields":{"metric_name:a":1}}"#;
    let long = format!("{{\"event\":\"x\",\"source\":\"/{}\"}}", "long/".repeat(100));
    for (path, body) in
        [(EVENT, format!("{ENVELOPE}{{\"event\":\"a\"}}{metric}{long}")), (RAW, "a\nb\nc\nd".to_owned())]
    {
        let converted = convert(path, Some("time=1763683199.5"), body);
        let decoded =
            Decoder::new().decode(&converted.items, BodyForm::Converted, &Defaults::default(), &origin).unwrap();
        assert_eq!((decoded.items, decoded.rows.rows.len(), &decoded.rejected[..]), (4, 4, &[][..]), "{path}");
        assert_eq!(decoded.rows.rows[1].timestamp_us, received_at_us - 500_000);
    }
}

#[test]
fn any_bytes_are_answered() {
    let body = format!(
        "{ENVELOPE}\n{{\"event\":\"metric\",\"fields\":{{\"metric_name:a\":1}}}}{{\"time\":\"1.5\",\"event\":[]}}"
    );
    for at in 0..body.len() {
        items(&convert(EVENT, None, body.as_bytes()[..at].to_vec()));
        for bit in [0, 3, 5, 7] {
            let mut flipped = body.clone().into_bytes();
            flipped[at] ^= 1 << bit;
            convert(RAW, None, flipped.clone());
            convert(EVENT, None, flipped);
        }
    }
}
