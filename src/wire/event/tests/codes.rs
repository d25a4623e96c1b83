//! One body for each way in which an item is refused.

use super::*;
use crate::limits::{JSON_DEPTH_MAX, MESSAGE_CHARS_MAX};

fn payload(text: &str) -> String {
    format!(r#"{{"event_type":"e","source_module":"s","payload":{text}}}"#)
}

#[test]
fn every_refused_item_names_its_code_and_stage() {
    use Code::*;
    use Stage::{Decode, Validate};
    let e = |more: &str| event(more);
    for (body, code, stage) in [
        ("5".to_owned(), NotAnObject, Decode),
        ("\"text\"".to_owned(), NotAnObject, Decode),
        ("[[1,{}]]".to_owned(), NotAnObject, Decode),
        ("null".to_owned(), NotAnObject, Decode),
        (payload(r#"{"a":1,"a":2}"#), DuplicateKey, Decode),
        (payload(r#"{"a":1,"\u0061":2}"#), DuplicateKey, Decode),
        (payload(r#"{"x":[{"k\n":1,"b":2,"k\u000a":3}]}"#), DuplicateKey, Decode),
        (e(r#","event_type":"f""#), DuplicateKey, Decode),
        (e(r#","event\u005ftype":"f""#), DuplicateKey, Decode),
        (e(r#","metadata":{"a":{"b":1,"b":1}}"#), DuplicateKey, Decode),
        (payload(r#"{"a":1e1024}"#), NumberTooLarge, Decode),
        (payload(r#"{"a":[0,-1e-1025]}"#), NumberTooLarge, Decode),
        (e(r#","other":1e131071"#), NumberTooLarge, Decode),
        (payload(r#"{"a":"\u0000"}"#), PayloadNul, Decode),
        (payload(r#"{"a\u0000":1}"#), PayloadNul, Decode),
        (e(r#","data":["\u0000"]"#), PayloadNul, Decode),
        (e(r#","metadata":{"a":"\u0000"}"#), MetadataNul, Decode),
        (e(r#","context":{"asset_id":"\u0000"}"#), MetadataNul, Decode),
        (e(r#","other":"\u0000""#), MetadataNul, Decode),
        (e(r#","\u0000":1"#), MetadataNul, Decode),
        (e(r#","severity":"\u0000""#), FieldNul, Decode),
        (e(r#","trace_id":"a\\\u0000""#), FieldNul, Decode),
        (payload(r#"{"a":"\ud800"}"#), LoneSurrogate, Decode),
        (payload(r#"{"a":"\udc00\ud800"}"#), LoneSurrogate, Decode),
        (payload(r#"{"a":"\ud83d\u0041"}"#), LoneSurrogate, Decode),
        (payload(r#"{"\udfff":1}"#), LoneSurrogate, Decode),
        (e(r#","asset_id":"\ud800x""#), LoneSurrogate, Decode),
        (r#"{"source_module":"s","payload":{}}"#.to_owned(), MissingField, Validate),
        (r#"{"event_type":"e","payload":{}}"#.to_owned(), MissingField, Validate),
        (r#"{"event_type":"e","source_module":"s"}"#.to_owned(), MissingField, Validate),
        (payload("null"), MissingField, Validate),
        (r#"{"event_type":null,"source_module":"s","payload":{}}"#.to_owned(), MissingField, Validate),
        (payload("[1]"), InvalidField, Validate),
        (payload("\"x\""), InvalidField, Validate),
        (r#"{"event_type":"","source_module":"s","payload":{}}"#.to_owned(), InvalidField, Validate),
        (r#"{"event_type":"e","source_module":"","payload":{}}"#.to_owned(), InvalidField, Validate),
        (r#"{"event_type":7,"source_module":"s","payload":{}}"#.to_owned(), InvalidField, Validate),
        (e(r#","stream":"""#), InvalidField, Validate),
        (e(r#","id":"""#), InvalidField, Validate),
        (e(r#","id":7"#), InvalidField, Validate),
        (e(r#","correlation_id":{}"#), InvalidField, Validate),
        (e(r#","severity":true"#), InvalidField, Validate),
        (e(r#","asset_id":[]"#), InvalidField, Validate),
        (e(r#","metadata":"m""#), InvalidField, Validate),
        (e(r#","metadata":[]"#), InvalidField, Validate),
        (e(r#","tenant_id":1"#), InvalidField, Validate),
        (e(r#","event_version":0"#), InvalidField, Validate),
        (e(r#","event_version":-1"#), InvalidField, Validate),
        (e(r#","event_version":2147483648"#), InvalidField, Validate),
        (e(r#","event_version":1.0"#), InvalidField, Validate),
        (e(r#","event_version":"1""#), InvalidField, Validate),
        (e(r#","timestamp":true"#), InvalidField, Validate),
        (e(r#","timestamp":"infinity""#), InvalidTimestamp, Validate),
        (e(r#","timestamp":"yesterday""#), InvalidTimestamp, Validate),
        (e(r#","timestamp":"""#), InvalidTimestamp, Validate),
        (e(r#","timestamp":"2025-02-30T00:00:00Z""#), InvalidTimestamp, Validate),
        (e(r#","timestamp":"2025-11-20T00:00:00""#), InvalidTimestamp, Validate),
        (e(r#","timestamp":"1999-01-01T00:00:00Z""#), OutOfWindow, Validate),
        (e(r#","timestamp":"2099-01-01T00:00:00Z""#), OutOfWindow, Validate),
        (e(r#","timestamp":1e400"#), OutOfWindow, Validate),
        (e(r#","timestamp":-1"#), OutOfWindow, Validate),
        (e(r#","tenant_id":"other""#), TenantMismatch, Validate),
        (e(r#","tenant_id":"""#), TenantMismatch, Validate),
    ] {
        let rejection = rejection(&body);
        assert_eq!((rejection.code, rejection.stage), (code, stage), "{body}: {}", rejection.message);
        assert!(!rejection.message.is_empty() && rejection.message.chars().count() <= MESSAGE_CHARS_MAX);
        assert!(!rejection.message.contains('\0'));
    }
}

#[test]
fn lengths_are_counted_in_characters() {
    for (field, limit) in [
        ("event_type", 50),
        ("source_module", 50),
        ("stream", 100),
        ("severity", 20),
        ("environment", 50),
        ("asset_id", 100),
        ("trace_id", 256),
        ("id", 512),
        ("correlation_id", 512),
        ("parent_event_id", 512),
    ] {
        let item = |length: usize| {
            let mut object: serde_json::Value = serde_json::from_str(&event("")).unwrap();
            object[field] = "ß".repeat(length).into();
            object.to_string()
        };
        row(item(limit));
        let rejection = rejection(item(limit + 1));
        assert_eq!(rejection.code, Code::FieldTooLong, "{field}");
        for part in [field, &limit.to_string(), &(limit + 1).to_string()] {
            assert!(rejection.message.contains(part), "{}", rejection.message);
        }
    }
}

#[test]
fn depth_is_counted_from_the_value_itself() {
    let nested = |depth: usize| format!("{}{{}}{}", r#"{"a":"#.repeat(depth - 1), "}".repeat(depth - 1));
    assert_eq!(row(payload(&nested(JSON_DEPTH_MAX))).json("payload"), nested(JSON_DEPTH_MAX));
    assert_eq!(code(payload(&nested(JSON_DEPTH_MAX + 1))), Code::TooDeep);
    row(event(&format!(r#","metadata":{},"other":{}"#, nested(64), nested(64))));
    assert_eq!(code(event(&format!(r#","metadata":{}"#, nested(65)))), Code::TooDeep);
    assert_eq!(code(event(&format!(r#","other":{}"#, nested(65)))), Code::TooDeep);
    assert_eq!(code(event(&format!(r#","severity":{}"#, nested(65)))), Code::TooDeep);
    let arrays = format!(r#"{{"a":{}{}}}"#, "[".repeat(64), "]".repeat(64));
    assert_eq!(code(payload(&arrays)), Code::TooDeep);
}

#[test]
fn numbers_that_only_together_expand_too_far_are_refused() {
    let many = format!(r#"{{"a":[{}0]}}"#, "1e1000,".repeat(100));
    let item = payload(&many);
    let with_limit = |item_bytes_max| {
        let origin = ItemContext { item_bytes_max, ..origin() };
        Decoder::new().decode(item.as_bytes(), BodyForm::Json, &Defaults::default(), &origin).unwrap()
    };
    // 1e1000 is 6 bytes sent and 1,001 stored.
    let expanded = item.len() + 100 * (1001 - 6);
    assert_eq!(with_limit(expanded).rejected, []);
    assert_eq!(with_limit(expanded - 1).rejected[0].rejection.code, Code::NumberTooLarge);
}

#[test]
fn the_message_says_where_and_what_to_do() {
    let too_old = rejection(event(r#","timestamp":"2001-02-03T04:05:06Z""#)).message;
    for part in ["2001-02-03T04:05:06Z", "2024-11-21T00:00:00", "2025-11-28T00:00:00", "retention.events"] {
        assert!(too_old.contains(part), "{too_old}");
    }
    let item = payload(r#"{"a":"\u0000"}"#);
    let nul = rejection(&item).message;
    assert!(nul.contains(&format!("byte {}", item.find("\\u0000").unwrap())), "{nul}");
}

#[test]
fn names_and_numbers_are_stable() {
    let names = "invalid_json invalid_utf8 not_an_object duplicate_key too_deep number_too_large payload_nul metadata_nul \
                 field_nul lone_surrogate missing_field invalid_field field_too_long invalid_timestamp out_of_window \
                 tenant_mismatch metric_not_finite metric_out_of_range item_too_large row_refused idempotency_key_reused \
                 id_conflict series_quota stream_quota schema_violation stream_unknown stream_deleted undecodable";
    assert!(Code::ALL.iter().map(|code| (code.as_str(), *code as u8)).eq(names.split(' ').zip(1..)));
    let stages = [Stage::Decode, Stage::Validate, Stage::Package, Stage::Write].map(Stage::as_str);
    assert_eq!(stages, ["decode", "validate", "package", "write"]);
}
