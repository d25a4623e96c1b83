#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Loki;
use crate::limits::MIB;
use crate::protocols::protobuf::{put_bytes, put_number};
use crate::protocols::{Converted, Converter, Head, Items, Protocol, Segments};
use crate::wire::event::{Decoder, Defaults};
use crate::wire::item::{BodyForm, ItemContext, StoredJson, TimeBounds};

const NS: i64 = 1_763_683_200_123_456_789;

pub(super) fn with_head<T>(content_type: &str, query: Option<&str>, run: impl FnOnce(&Head<'_>) -> T) -> T {
    let mut headers = HeaderMap::new();
    if !content_type.is_empty() {
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
    }
    run(&Head { route: &Loki.routes()[0], path: &Segments::default(), query, headers: &headers })
}

pub(super) fn convert(content_type: &str, body: impl Into<Bytes>) -> Converted {
    with_head(content_type, None, |head| {
        let mut into = Converter::new(Box::new(|_| Ok(())));
        let body = body.into();
        assert!(matches!(Loki.items(head, &body, &mut into), Ok(Items::Converted)));
        into.finish(body).unwrap()
    })
}

pub(super) const PROTOBUF: &str = "application/x-protobuf";
pub(super) const JSON: &str = "application/json; charset=utf-8";

/// Every item, which is a line.
pub(super) fn items(converted: &Converted) -> Vec<Value> {
    let lines: Vec<&[u8]> = converted.items.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), converted.original.places.len());
    lines.iter().map(|line| serde_json::from_slice(line).unwrap()).collect()
}

fn pair(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut pair = Vec::new();
    put_bytes(&mut pair, 1, name);
    put_bytes(&mut pair, 2, value);
    pair
}

fn entry(ns: i64, line: &[u8], fields: &[(&str, &str)]) -> Vec<u8> {
    let mut timestamp = Vec::new();
    put_number(&mut timestamp, 1, ns.div_euclid(1_000_000_000).cast_unsigned());
    put_number(&mut timestamp, 2, ns.rem_euclid(1_000_000_000).cast_unsigned());
    let mut entry = Vec::new();
    put_bytes(&mut entry, 1, &timestamp);
    put_bytes(&mut entry, 2, line);
    for (name, value) in fields {
        put_bytes(&mut entry, 3, &pair(name.as_bytes(), value.as_bytes()));
    }
    entry
}

fn push(streams: &[(&str, Vec<Vec<u8>>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (labels, entries) in streams {
        let mut stream = Vec::new();
        put_bytes(&mut stream, 1, labels.as_bytes());
        entries.iter().for_each(|entry| put_bytes(&mut stream, 2, entry));
        put_number(&mut stream, 3, 77);
        put_bytes(&mut body, 1, &stream);
    }
    put_bytes(&mut body, 2, b"loki");
    body
}

/// A push in both forms.
fn samples() -> [(&'static str, Vec<u8>); 2] {
    let labels = r#"{app="api", host="h1", env="staging", level="warn", z="q\"\n"}"#;
    let fields = [("trace_id", "0242ac"), ("level", "error"), ("user", "ü\"")];
    let protobuf = push(&[
        (labels, vec![entry(NS, b"line \"1\"\t", &fields), entry(NS + 211, b"two", &[])]),
        ("{}", vec![entry(NS, b"", &[])]),
    ]);
    let json = json!({"streams": [
        {"stream": {"app": "api", "host": "h1", "env": "staging", "level": "warn", "z": "q\"\n"}, "values": [
            [NS.to_string(), "line \"1\"\t", {"trace_id": "0242ac", "level": "error", "user": "ü\""}],
            [(NS + 211).to_string(), "two"]]},
        {"values": [[NS.to_string(), ""]], "stream": {}}]});
    // Over several lines, which items are not.
    [(PROTOBUF, protobuf), (JSON, serde_json::to_vec_pretty(&json).unwrap())]
}

#[test]
fn an_entry_is_an_event_in_either_form() {
    let labels = json!({"app": "api", "host": "h1", "env": "staging", "level": "warn", "z": "q\"\n"});
    let expected = [
        json!({
            "event_type": "log", "source_module": "api", "asset_id": "h1", "environment": "staging",
            "severity": "error", "trace_id": "0242ac", "timestamp": NS,
            "payload": {"line": "line \"1\"\t", "fields": {"trace_id": "0242ac", "level": "error", "user": "ü\""}},
            "metadata": {"labels": labels, "timestamp_ns": NS.to_string()},
        }),
        json!({
            "event_type": "log", "source_module": "api", "asset_id": "h1", "environment": "staging", "severity": "warn",
            "timestamp": NS + 211, "payload": {"line": "two"}, "metadata": {"labels": labels},
        }),
        json!({
            "event_type": "log", "source_module": "loki", "timestamp": NS,
            "payload": {"line": ""}, "metadata": {"labels": {}, "timestamp_ns": NS.to_string()},
        }),
    ];
    for (form, body) in samples() {
        let converted = convert(form, body.clone());
        assert_eq!(items(&converted), expected, "{form}");
        assert!(converted.dedupe && converted.notes.is_empty() && converted.original.broken.is_empty());
        let second = converted.original.of(1);
        match form {
            PROTOBUF => assert_eq!(second, entry(NS + 211, b"two", &[])),
            _ => assert_eq!(serde_json::from_slice::<Value>(second).unwrap(), json!([(NS + 211).to_string(), "two"])),
        }
    }
}

#[test]
fn what_is_made_is_taken_by_the_decoder() {
    let day_us = 86_400_000_000;
    let received_at_us = NS / 1000;
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
    for (form, body) in samples() {
        let converted = convert(form, body);
        let decoded =
            Decoder::new().decode(&converted.items, BodyForm::Converted, &Defaults::default(), &origin).unwrap();
        assert_eq!((decoded.items, decoded.rows.rows.len(), &decoded.rejected[..]), (3, 3, &[][..]), "{form}");
        assert_eq!(decoded.rows.rows[0].timestamp_us, received_at_us);
    }
}

#[test]
fn columns_are_filled_from_the_first_of_several_labels() {
    for (labels, key, expected) in [
        (r#"{job="j",app="a",service="s",service_name="n"}"#, "source_module", json!("n")),
        (r#"{job="j",app="a",service="s"}"#, "source_module", json!("s")),
        (r#"{job="j",app="a"}"#, "source_module", json!("a")),
        (r#"{job="j",service_name=""}"#, "source_module", json!("j")),
        (r#"{other="x"}"#, "source_module", json!("loki")),
        (r#"{instance="i",hostname="n",host="h"}"#, "asset_id", json!("h")),
        (r#"{pod="p",node_name="m",node="n",instance="i"}"#, "asset_id", json!("i")),
        (r#"{pod="p",node_name="m"}"#, "asset_id", json!("m")),
        (r#"{pod="p"}"#, "asset_id", json!("p")),
        (r#"{job="j"}"#, "asset_id", Value::Null),
        (r#"{env="e",environment="n"}"#, "environment", json!("n")),
        (r#"{deployment_environment_name="m",deployment_environment="d"}"#, "environment", json!("d")),
        (r#"{detected_level="d",severity="s"}"#, "severity", json!("s")),
        (r#"{detected_level="d"}"#, "severity", json!("d")),
        (r#"{app="a"}"#, "severity", Value::Null),
    ] {
        let found = items(&convert(PROTOBUF, push(&[(labels, vec![entry(NS, b"x", &[])])])));
        assert_eq!(found[0][key], expected, "{labels}");
    }
    for (fields, key, expected) in [
        (&[("severity", "s"), ("level", "l")][..], "severity", "l"),
        (&[("detected_level", "d"), ("level", "")], "severity", "d"),
        (&[("traceID", "a"), ("trace_id", "b")], "trace_id", "b"),
        (&[("traceID", "a")], "trace_id", "a"),
    ] {
        let found = items(&convert(PROTOBUF, push(&[("{}", vec![entry(NS, b"x", fields)])])));
        assert_eq!(found[0][key], expected, "{fields:?}");
    }
}

#[test]
fn times_are_those_that_were_sent() {
    for (ns, expected) in [
        (NS, json!(NS)),
        (0, json!("1970-01-01T00:00:00Z")),
        (-1, json!("1969-12-31T23:59:59.999999999Z")),
        (999_999_999_999_999_999, json!("2001-09-09T01:46:39.999999999Z")),
    ] {
        let body = json!({"streams": [{"stream": {}, "values": [[ns.to_string(), "x"]]}]}).to_string();
        for found in
            [items(&convert(JSON, body)), items(&convert(PROTOBUF, push(&[("{}", vec![entry(ns, b"x", &[])])])))]
        {
            assert_eq!(found[0]["timestamp"], expected, "{ns}");
        }
    }
    let mut without = Vec::new();
    put_bytes(&mut without, 2, b"x");
    assert_eq!(items(&convert(PROTOBUF, push(&[("{}", vec![without])])))[0].get("timestamp"), None);
}

#[test]
fn the_older_json_is_taken_as_well() {
    let body = json!({"streams": [{"labels": "{app=\"a\"}", "entries": [
        {"ts": "2025-11-21T01:00:00.000000001+01:00", "line": "one"},
        {"line": "two"}, {"ts": "yesterday", "line": "x"}]}]});
    let converted = convert(JSON, body.to_string());
    let found = items(&converted);
    assert_eq!(
        (&found[0]["timestamp"], &found[0]["source_module"]),
        (&json!(1_763_683_200_000_000_001_i64), &json!("a"))
    );
    assert_eq!((&found[1]["payload"], found[1].get("timestamp")), (&json!({"line": "two"}), None));
    assert!(converted.original.broken[0].message.contains("ts yesterday is no RFC 3339 time"));
}

#[test]
fn what_cannot_be_read_costs_itself_alone() {
    for (values, message) in [
        (json!([["x", "line"]]), "entry 0 of stream 0 cannot be read: the timestamp x is no number of nanoseconds"),
        (json!([["1.5", "line"]]), "no number of nanoseconds"),
        (json!([["99999999999999999999", "line"]]), "no number of nanoseconds"),
        (json!([["1"]]), "it must have a timestamp and a line"),
        (json!([[]]), "it must have a timestamp and a line"),
        (json!([[1, "line"]]), "invalid type: integer"),
        (json!([["1", 5]]), "invalid type: integer"),
        (json!([["1", "line", "fields"]]), "structured metadata"),
        (json!([{"a": 1}]), "expected [\"<ns>\", \"line\"]"),
        (json!("values"), "stream 0 cannot be read: no array of entries"),
    ] {
        let good = json!({"stream": {"app": "a"}, "values": [[NS.to_string(), "good"]]});
        let body = json!({"streams": [{"stream": {"app": "a"}, "values": values}, good]}).to_string();
        let converted = convert(JSON, body);
        let found = items(&converted);
        assert_eq!((found.len(), &found[0], &found[1]["payload"]["line"]), (2, &json!(0), &json!("good")), "{values}");
        assert!(converted.original.broken[0].message.contains(message), "{:?}", converted.original.broken);
        let place: Value = serde_json::from_slice(converted.original.of(0)).unwrap();
        assert!(place == values || place == values[0], "{place}");
    }
    for labels in [json!({"a": {}}), json!([1]), json!("x"), json!({"a": "x".repeat(70_000)})] {
        let body = json!({"streams": [{"stream": labels, "values": [["1", "a"], ["2", "b"]]}]}).to_string();
        assert_eq!(items(&convert(JSON, body)), [json!(0)]);
    }
    let plain = json!({"streams": [{"stream": {"a": 1.50, "b": true, "c": null}, "values": [["1", "a", null]]}]});
    let found = items(&convert(JSON, plain.to_string()));
    assert_eq!(found[0]["metadata"]["labels"], json!({"a": "1.5", "b": "true"}));

    let mut short = entry(NS, b"line", &[]);
    short.pop();
    let long = format!("{{a=\"{}\"}}", "x".repeat(70_000));
    let streams = [
        ("{a=b}", vec![entry(NS, b"1", &[]), entry(NS, b"2", &[])]),
        (&*long, vec![entry(NS, b"3", &[])]),
        ("{a=\"b\"}", vec![short.clone(), entry(NS, b"4", &[])]),
    ];
    let converted = convert(PROTOBUF, push(&streams));
    let found = items(&converted);
    assert_eq!((&found[..3], &found[3]["payload"]["line"]), (&[json!(0), json!(0), json!(0)][..], &json!("4")));
    let messages: Vec<&str> = converted.original.broken.iter().map(|broken| &*broken.message).collect();
    assert!(messages[0].contains("labels cannot be read at byte 3: a quoted value is expected"), "{messages:?}");
    assert!(messages[1].contains("too long") && messages[2].contains("an entry cannot be read"), "{messages:?}");
    assert_eq!(converted.original.of(2), short);
}

#[test]
fn a_body_that_is_none_is_one_dead_letter() {
    for (form, body) in [
        (JSON, &b"{\"streams\":"[..]),
        (JSON, b"nonsense"),
        (JSON, b"[]"),
        (JSON, b"{\"streams\":[5]}"),
        (JSON, b"\xff"),
        (JSON, b"{\"streams\":[]}{}"),
        (PROTOBUF, b"{\"streams\":[]}"),
        (PROTOBUF, b"\x08\x01"),
        (PROTOBUF, b"\x0a\xff"),
    ] {
        let converted = convert(form, body);
        assert_eq!(items(&converted), [json!(0)], "{body:?}");
        assert_eq!(converted.original.of(0), body);
    }
    let good = format!("{{\"streams\":[{{\"stream\":{{}},\"values\":[[\"{NS}\",\"good\"]]}}");
    for rest in ["", ",5]}", ",{\"stream\":{}", "]}{}", "]} x"] {
        let converted = convert(JSON, format!("{good}{rest}"));
        let found = items(&converted);
        assert_eq!((&found[0]["payload"]["line"], &found[1..]), (&json!("good"), &[json!(0)][..]), "{rest}");
        assert_eq!(converted.original.of(1), format!("}}{rest}").as_bytes());
    }
    let mut cut = push(&[("{}", vec![entry(NS, b"good", &[])])]);
    cut.extend_from_slice(b"\x0a\x7f");
    let converted = convert(PROTOBUF, cut);
    assert_eq!(items(&converted)[0]["payload"]["line"], "good");
    assert_eq!((items(&converted)[1].clone(), converted.original.of(1).ends_with(b"\x0a\x7f")), (json!(0), true));
}

#[test]
fn what_is_not_utf_8_is_kept_in_base64() {
    let converted = convert(PROTOBUF, push(&[("{a=\"\\xff\"}", vec![entry(NS, b"a\xffb", &[])])]));
    let found = items(&converted);
    assert_eq!(found[0]["payload"], json!({"line": "a\u{fffd}b", "line_base64": "Yf9i"}));
    assert_eq!((&found[0]["metadata"]["labels"], converted.notes["not_utf8"]), (&json!({"a": "\u{fffd}"}), 1));
}

#[test]
fn any_bytes_are_answered() {
    for (form, body) in samples() {
        for at in 0..body.len() {
            items(&convert(form, body[..at].to_vec()));
            for bit in [0, 3, 7] {
                let mut flipped = body.clone();
                flipped[at] ^= 1 << bit;
                convert(form, flipped);
            }
        }
    }
    let deep = format!(
        "{{\"streams\":[{{\"stream\":{{}},\"values\":[[\"1\",\"a\",{}1{}]]}}]}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert_eq!(items(&convert(JSON, deep)).len(), 1);
}
