use serde_json::json;

use super::bodies::{Message, PARENT, PARENT_HEX, SPAN, SPAN_HEX, TRACE, TRACE_HEX, request, span};
use super::*;

fn event_of(span: Message) -> Value {
    only(Signal::Traces, Form::Protobuf, &request([span]))
}

fn bare() -> Message {
    Message::new().bytes(1, TRACE).bytes(2, SPAN)
}

#[test]
fn a_span_is_an_event_with_all_that_was_sent() {
    let mut item = event_of(span());
    let otlp = item["metadata"]["otlp"].as_object_mut().unwrap();
    assert!(["resource", "scope", "resource_schema_url"].iter().all(|name| otlp.remove(*name).is_some()));
    let expected = json!({
        "event_type": "trace.span",
        "id": format!("{TRACE_HEX}:{SPAN_HEX}"),
        "parent_event_id": format!("{TRACE_HEX}:{PARENT_HEX}"),
        "trace_id": TRACE_HEX,
        "source_module": "checkout",
        "asset_id": "node-1",
        "environment": "staging",
        "timestamp": TIME_NS,
        "severity": "error",
        "payload": {
            "name": "POST /pay",
            "kind": "server",
            "duration_ns": 1_234_567,
            "status": {"code": "error", "message": "declined"},
            "attributes": {"http.route": "/pay"},
            "events": [{"name": "retry", "time_unix_nano": (TIME_NS + 7).to_string(), "attributes": {"n": 2},
                "dropped_attributes_count": 1}],
            "links": [{"trace_id": TRACE_HEX, "span_id": PARENT_HEX, "trace_state": "a=b", "flags": 1,
                "attributes": {"why": "batch"}}],
        },
        "metadata": {"otlp": {
            "span_id": SPAN_HEX,
            "parent_span_id": PARENT_HEX,
            "end_time_unix_nano": (TIME_NS + 1_234_567).to_string(),
            "trace_state": "vendor=1",
            "flags": 0x101,
            "dropped_attributes_count": 3,
            "dropped_links_count": 2,
        }},
    });
    assert_eq!(item, expected);
}

#[test]
fn the_parent_of_a_span_is_the_event_of_that_span() {
    let child = Message::new().bytes(1, TRACE).bytes(2, PARENT).bytes(4, SPAN);
    let (own, child) = (event_of(bare()), event_of(child));
    assert_eq!(child["parent_event_id"], own["id"]);
    assert_eq!(own.get("parent_event_id"), None);
}

#[test]
fn kinds_statuses_and_durations() {
    for (kind, name) in
        [(0, "unspecified"), (1, "internal"), (2, "server"), (3, "client"), (4, "producer"), (5, "consumer"), (6, "6")]
    {
        assert_eq!(event_of(bare().number(6, kind))["payload"]["kind"], name);
    }
    for (code, name, severity) in [(1, "ok", "info"), (2, "error", "error"), (7, "7", "info")] {
        let item = event_of(bare().message(15, Message::new().number(3, code)));
        assert_eq!((&item["payload"]["status"], &item["severity"]), (&json!({"code": name}), &json!(severity)));
    }
    assert_eq!(event_of(bare().message(15, Message::new()))["payload"].get("status"), None);
    for (start, end, duration) in [
        (TIME_NS, TIME_NS, json!(0)),
        (TIME_NS, TIME_NS - 1, json!(null)),
        (0, TIME_NS, json!(null)),
        (TIME_NS, 0, json!(null)),
        (TIME_NS + 1, TIME_NS + 3, json!(2)),
    ] {
        let item = event_of(bare().fixed64(7, start).fixed64(8, end));
        assert_eq!(item["payload"]["duration_ns"], duration);
    }
    let exact = event_of(bare().fixed64(7, TIME_NS + 1));
    assert_eq!(exact["metadata"]["otlp"]["start_time_unix_nano"], (TIME_NS + 1).to_string());
}

#[test]
fn a_span_without_valid_ids_is_none() {
    for (trace, span, said) in [
        (&TRACE[..15], &SPAN[..], "15 bytes and 8 bytes"),
        (&TRACE, b"", "16 bytes and none"),
        (&[0; 16], &[0; 8], "zeros and zeros"),
    ] {
        let made = converted(Signal::Traces, Form::Protobuf, &request([Message::new().bytes(1, trace).bytes(2, span)]));
        assert!(made.original.broken[0].message.contains(said), "{}", made.original.broken[0].message);
    }
    let odd = event_of(bare().bytes(4, &PARENT[..3]));
    assert_eq!(
        (odd.get("parent_event_id"), &odd["metadata"]["otlp"]["parent_span_id"]),
        (None, &json!(PARENT_HEX[..6]))
    );
    assert_eq!(event_of(bare().bytes(4, [0; 8])).get("parent_event_id"), None);
}

#[test]
fn events_of_spans_are_taken() {
    let made = converted(Signal::Traces, Form::Protobuf, &request([span(), bare(), span()]));
    let decoded = decoded(&made);
    assert_eq!((decoded.rows.rows.len(), decoded.rejected.len()), (3, 0));
    assert_eq!(decoded.rows.rows[0].id, decoded.rows.rows[1].id);
}

#[test]
fn no_cut_and_no_flipped_byte_is_more_than_an_answer() {
    let body = request([span()]);
    for at in 0..body.len() {
        drop(converted(Signal::Traces, Form::Protobuf, &body[..at]));
        let mut other = body.clone();
        for bits in [0x01, 0x80, 0xff] {
            other[at] = body[at] ^ bits;
            drop(converted(Signal::Traces, Form::Protobuf, &other));
        }
    }
}
