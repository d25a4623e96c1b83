use serde_json::json;

use super::bodies::{PARENT_HEX, SPAN_HEX, TRACE_HEX, log_record, request, span};
use super::*;

/// What `bodies::request` has around its records.
fn around(resources: &str, scopes: &str, records: &str, list: &str) -> String {
    format!(
        r#"{{"{resources}":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"checkout"}}}},
        {{"key":"host.name","value":{{"stringValue":"node-1"}}}},
        {{"key":"deployment.environment.name","value":{{"stringValue":"staging"}}}},
        {{"key":"process.pid","value":{{"intValue":"17"}}}}]}},
        "{scopes}":[{{"scope":{{"name":"my.library","version":"1.0.0",
        "attributes":[{{"key":"lib","value":{{"stringValue":"x"}}}}]}},
        "{records}":[{list}],"schemaUrl":"https://s/scope"}}],"schemaUrl":"https://s/resource"}}]}}"#
    )
}

fn logs(records: &[Value]) -> String {
    let list = records.iter().map(Value::to_string).collect::<Vec<_>>().join(" , ");
    around("resourceLogs", "scopeLogs", "logRecords", &list)
}

fn spans(records: &[Value]) -> String {
    let list = records.iter().map(Value::to_string).collect::<Vec<_>>().join(",");
    around("resourceSpans", "scopeSpans", "spans", &list)
}

/// `bodies::log_record`.
pub fn log_record_json() -> Value {
    json!({
        "timeUnixNano": (TIME_NS + 1001).to_string(),
        "observedTimeUnixNano": (TIME_NS + 5_000_000).to_string(),
        "severityNumber": 17,
        "severityText": "ERROR",
        "body": {"stringValue": "the payment of order 4711 was declined by the bank: card expired (code 54)"},
        "attributes": [
            {"key": "http.request.method", "value": {"stringValue": "POST"}},
            {"key": "http.response.status_code", "value": {"intValue": "402"}},
            {"key": "url.path", "value": {"stringValue": "/orders/4711/payment"}},
            {"key": "user.id", "value": {"stringValue": "u-12345"}},
        ],
        "flags": 1,
        "traceId": TRACE_HEX.to_uppercase(),
        "spanId": SPAN_HEX,
    })
}

/// `bodies::span`.
fn span_json() -> Value {
    json!({
        "traceId": TRACE_HEX, "spanId": SPAN_HEX.to_uppercase(), "traceState": "vendor=1", "parentSpanId": PARENT_HEX,
        "name": "POST /pay", "kind": 2, "startTimeUnixNano": TIME_NS,
        "endTimeUnixNano": (TIME_NS + 1_234_567).to_string(),
        "attributes": [{"key": "http.route", "value": {"stringValue": "/pay"}}], "droppedAttributesCount": 3,
        "events": [{"timeUnixNano": (TIME_NS + 7).to_string(), "name": "retry",
            "attributes": [{"key": "n", "value": {"intValue": 2}}], "droppedAttributesCount": 1}],
        "links": [{"traceId": TRACE_HEX, "spanId": PARENT_HEX, "traceState": "a=b",
            "attributes": [{"key": "why", "value": {"stringValue": "batch"}}], "flags": 1}],
        "droppedLinksCount": 2, "status": {"message": "declined", "code": 2}, "flags": 257,
    })
}

fn log(record: Value) -> Value {
    only(Signal::Logs, Form::Json, logs(&[record]).as_bytes())
}

fn flaw(record: Value) -> String {
    let made = converted(Signal::Logs, Form::Json, logs(&[log_record_json(), record, json!({})]).as_bytes());
    assert_eq!(items(&made).iter().map(Value::is_null).collect::<Vec<_>>(), [false, true, false]);
    made.original.broken[0].message.clone()
}

#[test]
fn json_is_what_protobuf_is() {
    let expected = only(Signal::Logs, Form::Protobuf, &request([log_record()]));
    assert_eq!(log(log_record_json()), expected);
    let expected = only(Signal::Traces, Form::Protobuf, &request([span()]));
    assert_eq!(only(Signal::Traces, Form::Json, spans(&[span_json()]).as_bytes()), expected);
    // Names as in the .proto file, and of enums' values.
    let mut original = log_record_json();
    let members = original.as_object_mut().unwrap();
    for (name, other) in
        [("timeUnixNano", "time_unix_nano"), ("severityText", "severity_text"), ("traceId", "trace_id")]
    {
        let value = members.remove(name).unwrap();
        members.insert(other.to_owned(), value);
    }
    members.insert("severityNumber".to_owned(), json!("SEVERITY_NUMBER_ERROR"));
    assert_eq!(log(original), log(log_record_json()));
}

#[test]
fn values_of_every_kind() {
    let list = json!({"arrayValue": {"values": [{"boolValue": true}, {}]}});
    let deep = json!({"kvlistValue": {"values": [{"key": "a", "value": list},
        {"key": "b"}]}});
    for (value, expected) in [
        (json!({"stringValue": ""}), json!("")),
        (json!({"stringValue": "a\"\n\u{1f600}"}), json!("a\"\n\u{1f600}")),
        (json!({"boolValue": false}), json!(false)),
        (json!({"intValue": "0"}), json!(0)),
        (json!({"intValue": -9_223_372_036_854_775_808_i64}), json!(i64::MIN)),
        (json!({"intValue": "1e3"}), json!(1000)),
        (json!({"intValue": -2.0}), json!(-2)),
        (json!({"doubleValue": 637.704}), json!(637.704)),
        (json!({"doubleValue": "1.5"}), json!(1.5)),
        (json!({"doubleValue": "-Infinity"}), json!("-Infinity")),
        (json!({"bytesValue": "AP8="}), json!("AP8=")),
        (json!({"bytesValue": "_-8"}), json!("/+8=")),
        (json!({"stringValue": null, "intValue": 7}), json!(7)),
        (json!({"arrayValue": {}}), json!([])),
        (json!({"unknown": [{"a": {}}]}), json!(null)),
        (deep, json!({"a": [true, null], "b": null})),
    ] {
        assert_eq!(log(json!({"body": value}))["payload"]["body"], expected, "{value}");
    }
}

#[test]
fn null_is_absent_and_what_is_unknown_is_passed_over() {
    let record = json!({"timeUnixNano": null, "body": null, "attributes": null, "traceId": null,
        "x": {"y": [1, 2]}, "eventName": "e"});
    let item = log(record);
    assert_eq!((&item["event_type"], &item["payload"], item.get("timestamp")), (&json!("e"), &json!({}), None));
    for body in
        ["{}", r#"{"resourceLogs":null}"#, r#"{"resourceLogs":[]}"#, r#"{"resourceLogs":[{}]}"#, r#"{"other":1}"#, " "]
    {
        let made = converted(Signal::Logs, Form::Json, body.as_bytes());
        assert_eq!(made.original.places.len(), 0, "{body}");
    }
}

#[test]
fn a_record_of_a_wrong_type_costs_itself_and_says_what_is_wrong() {
    for (record, said) in [
        (json!({"severityText": 3}), "severityText is 3, where text belongs"),
        (json!({"traceId": "xyz"}), "traceId is \"xyz\", where an id in hex belongs"),
        (json!({"traceId": "abc"}), "an id in hex"),
        (json!({"timeUnixNano": "yesterday"}), "timeUnixNano is \"yesterday\", where a whole number belongs"),
        (json!({"timeUnixNano": 1.5}), "a whole number"),
        (json!({"flags": 4_294_967_296_u64}), "a whole number"),
        (json!({"severityNumber": "LOUD"}), "the number of an enum's value"),
        (json!({"body": "text"}), "where an object belongs"),
        (json!({"body": {"bytesValue": "*"}}), "base64"),
        (json!({"body": {"doubleValue": "nan"}}), "a number"),
        (json!({"body": {"doubleValue": "1e999"}}), "a number"),
        (json!({"attributes": {}}), "an array"),
        (json!({"flags": {"a": 1}}), "flags is {\"a\":1}, where a whole number belongs"),
        (json!(3), "the record is 3, where an object belongs"),
        (json!(null), "an object"),
    ] {
        let flaw = flaw(record.clone());
        assert!(flaw.contains(said), "{record}: {flaw}");
    }
}

#[test]
fn places_are_those_of_the_json() {
    let records = [log_record_json(), json!({"flags": "x"}), json!({"body": {"stringValue": "ä"}})];
    let body = logs(&records);
    let made = converted(Signal::Logs, Form::Json, body.as_bytes());
    for (at, record) in records.iter().enumerate() {
        let place: Value = serde_json::from_slice(made.original.of(u32::try_from(at).unwrap())).unwrap();
        assert_eq!(&place, record);
    }
    assert_eq!(made.original.broken.len(), 1);
    // A record that is only found to be wrong on its way to an event.
    let body = spans(&[json!({"traceId": "", "spanId": SPAN_HEX})]);
    let made = converted(Signal::Traces, Form::Json, body.as_bytes());
    assert!(made.original.of(0).starts_with(b"{\"spanId\""), "{:?}", made.original.of(0));
    assert!(made.original.broken[0].message.contains("none and 8 bytes"));
}

#[test]
fn a_body_that_is_no_request_is_one_broken_item() {
    let whole = logs(&[log_record_json()]);
    let nested = format!("{{\"resourceLogs\":[{{\"resource\":{}1{}", "{\"x\":".repeat(100_000), "}".repeat(100_000));
    for body in [
        &whole.as_bytes()[..whole.len() - 1],
        b"[]",
        b"{\"resourceLogs\":{}}",
        b"{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":1}]}}]}",
        b"{\"resourceLogs\":[]} {}",
        b"{\"resourceLogs\":[],}",
        b"{\"resourceLogs\" []}",
        b"{\"resourceLogs\":[] \"x\":1}",
        b"{\"x\":[1,}",
        b"{\"x\":nul}",
        b"{x:1}",
        b"\xff",
        b"nothing",
        nested.as_bytes(),
    ] {
        let made = converted(Signal::Logs, Form::Json, body);
        assert_eq!((made.original.places.len(), made.original.broken.len()), (1, 1));
        assert_eq!((made.original.of(0), made.original.places[0].tag), (body, walk::WHOLE));
        assert!(made.original.broken[0].message.contains("no OTLP request in JSON"));
    }
}

#[test]
fn text_is_read_as_it_is_meant_and_nesting_has_an_end() {
    let body = logs(&[json!({"eventName": "x"})])
        .replace(r#""eventName":"x""#, r#" "event\u004eame" : "a\u00e4\ud83d\ude00\/\n" "#);
    assert_eq!(only(Signal::Logs, Form::Json, format!("\u{feff} {body}\n").as_bytes())["event_type"], "aä\u{1f600}/\n");
    for escape in [r"\ud83d", r"\x", r"\u12"] {
        let made = converted(Signal::Logs, Form::Json, body.replace(r"\u00e4", escape).as_bytes());
        assert_eq!(made.original.broken.len(), 1);
    }
    let nested = |levels: usize| {
        let (open, close) = (r#"{"arrayValue":{"values":["#, "]}}");
        logs(&[json!({"body": "@"})]).replace("\"@\"", &format!("{}{{}}{}", open.repeat(levels), close.repeat(levels)))
    };
    assert!(only(Signal::Logs, Form::Json, nested(value::DEPTH_MAX).as_bytes())["payload"]["body"].is_array());
    for levels in [value::DEPTH_MAX + 1, 62, 63, 64, 10_000] {
        let made = converted(Signal::Logs, Form::Json, nested(levels).as_bytes());
        assert!(made.original.broken[0].message.contains("nested too deep"), "{levels}");
        assert_eq!(made.original.broken.len(), 1);
    }
}

#[test]
fn long_messages_keep_their_lengths() {
    for length in [100, 126, 127, 128, 129, 16_383, 16_384, 3_000_000] {
        let text = "x".repeat(length);
        let body = logs(&[
            json!({"body": {"arrayValue": {"values": [{"stringValue": text}, {"intValue": "5"}]}}}),
            log_record_json(),
        ]);
        let made = converted(Signal::Logs, Form::Json, body.as_bytes());
        let items = items(&made);
        assert_eq!((&items[0]["payload"]["body"], items.len()), (&json!([text, 5]), 2), "{length}");
    }
}

#[test]
fn events_of_json_are_taken() {
    let made = converted(Signal::Logs, Form::Json, logs(&[log_record_json(), json!({})]).as_bytes());
    assert_eq!(decoded(&made).rows.rows.len(), 2);
    let made = converted(Signal::Traces, Form::Json, spans(&[span_json()]).as_bytes());
    assert_eq!(decoded(&made).rows.rows.len(), 1);
}

#[test]
fn no_cut_and_no_flipped_byte_is_more_than_an_answer() {
    for (signal, body) in [(Signal::Logs, logs(&[log_record_json()])), (Signal::Traces, spans(&[span_json()]))] {
        let body = body.as_bytes();
        for at in 0..body.len() {
            let made = converted(signal, Form::Json, &body[..at]);
            assert_eq!(made.original.places.len(), usize::from(at != 0));
            let mut other = body.to_vec();
            for bits in [0x01, 0x80, 0x20] {
                other[at] = body[at] ^ bits;
                drop(converted(signal, Form::Json, &other));
            }
        }
    }
}
