//! Fields, their aliases, their defaults, and the columns they reach.

use super::*;

#[test]
fn defaults_fill_what_is_absent() {
    let row = row(event(""));
    assert_eq!((row.int("batch_id"), row.int("batch_seq")), (0, 0));
    assert_eq!((row.time("timestamp"), row.time("created_at")), (RECEIVED_AT_US, RECEIVED_AT_US));
    assert_eq!((row.text("tenant_id"), row.text("stream")), (TENANT, "default"));
    assert_eq!((row.text("source_module"), row.text("event_type"), row.int("event_version")), ("s", "e", 1));
    assert_eq!((row.text("severity"), row.text("environment")), ("info", "production"));
    for name in ["asset_id", "correlation_id", "parent_event_id", "trace_id"] {
        assert!(row.is_null(name), "{name}");
    }
    assert_eq!(row.json("payload"), r#"{"a":1}"#);
    assert_eq!(row.metadata(), serde_json::json!({}));
    assert_eq!(row.uuid("id").get_version_num(), 7);
}

#[test]
fn every_field_reaches_its_column() {
    let id = Uuid::from_u128(1 << 64);
    let row = row(format!(
        r#"{{ "event_type" : "deploy.started", "source_module": "ci", "timestamp": "2025-11-20T01:02:03.456789+02:00",
        "id": "{id}", "event_version": 2147483647, "severity": "warn", "environment": "staging", "stream": "deploys",
        "asset_id": "gpt-4", "correlation_id": "{id}", "parent_event_id": "{id}", "trace_id": "t",
        "tenant_id": "acme", "metadata": {{"k" : [1 , 2]}}, "payload": {{ "n" : 1.50 }} }}"#
    ));
    assert_eq!((row.text("event_type"), row.text("source_module")), ("deploy.started", "ci"));
    assert_eq!(row.time("timestamp"), 1_763_593_323_456_789);
    assert_eq!(row.time("created_at"), RECEIVED_AT_US);
    assert_eq!((row.uuid("id"), row.uuid("correlation_id"), row.uuid("parent_event_id")), (id, id, id));
    assert_eq!((row.int("event_version"), row.text("severity")), (2_147_483_647, "warn"));
    assert_eq!((row.text("environment"), row.text("stream")), ("staging", "deploys"));
    assert_eq!((row.text("asset_id"), row.text("trace_id")), ("gpt-4", "t"));
    assert_eq!(row.json("payload"), r#"{ "n" : 1.50 }"#);
    assert_eq!(row.metadata(), serde_json::json!({"k": [1, 2]}));
}

#[test]
fn aliases_stand_for_their_fields() {
    let id = Uuid::from_u128(9);
    let row = row(format!(
        r#"{{"type":"e","source":"s","data":{{}},"occurred_at":1763600000,"event_id":"{id}","stream_name":"st"}}"#
    ));
    assert_eq!((row.text("event_type"), row.text("source_module"), row.text("stream")), ("e", "s", "st"));
    assert_eq!((row.uuid("id"), row.time("timestamp")), (id, 1_763_600_000_000_000));
    assert_eq!((row.json("payload"), row.metadata()), ("{}", serde_json::json!({})));
    let row = super::row(event(r#","time":"2025-11-20T00:00:00Z""#));
    assert_eq!(row.time("timestamp"), 1_763_596_800_000_000);
}

#[test]
fn canonical_names_win_and_losers_are_kept() {
    let first = r#""event_type":"a","source_module":"b","payload":{},"timestamp":1763600000,"id":"x","stream":"c""#;
    let second =
        r#""type":"A","source":"B","data":[1],"occurred_at":1763600001,"time":7,"event_id":"y","stream_name":"C""#;
    for body in [format!("{{{first},{second}}}"), format!("{{{second},{first}}}")] {
        let row = row(&body);
        assert_eq!((row.text("event_type"), row.text("source_module"), row.text("stream")), ("a", "b", "c"));
        assert_eq!((row.json("payload"), row.time("timestamp")), ("{}", 1_763_600_000_000_000));
        assert_eq!(row.uuid("id"), bare_id(TENANT, "x"));
        let lost: serde_json::Value = serde_json::from_str(&format!("{{{second}}}")).unwrap();
        assert_eq!(row.metadata(), serde_json::json!({"original_id": "x", "extra": lost}));
    }
    let row = row(event(r#","time":1763600002,"occurred_at":1763600001"#));
    assert_eq!(row.time("timestamp"), 1_763_600_001_000_000);
    assert_eq!(row.metadata(), serde_json::json!({"extra": {"time": 1_763_600_002}}));
}

#[test]
fn null_is_absent() {
    let optional = r#","timestamp":null,"id":null,"event_version":null,"severity":null,"environment":null,"stream":null,
        "asset_id":null,"correlation_id":null,"parent_event_id":null,"trace_id":null,"metadata":null,"tenant_id":null,
        "context":null,"data":null"#;
    let row = row(event(optional));
    assert_eq!((row.text("stream"), row.text("severity"), row.int("event_version")), ("default", "info", 1));
    assert!(row.is_null("asset_id") && row.is_null("trace_id") && row.is_null("correlation_id"));
    assert_eq!(row.metadata(), serde_json::json!({}));
    let row = super::row(r#"{"event_type":null,"type":"t","source":"s","payload":null,"data":{"x":1}}"#);
    assert_eq!((row.text("event_type"), row.json("payload")), ("t", r#"{"x":1}"#));
}

#[test]
fn empty_optional_text_is_absent() {
    let row = row(event(
        r#","severity":"","environment":"","asset_id":"","trace_id":"","correlation_id":"","parent_event_id":"""#,
    ));
    assert_eq!((row.text("severity"), row.text("environment")), ("info", "production"));
    for name in ["asset_id", "correlation_id", "parent_event_id", "trace_id"] {
        assert!(row.is_null(name), "{name}");
    }
    assert_eq!(row.metadata(), serde_json::json!({}));
}

#[test]
fn context_is_read_where_the_top_level_is_silent() {
    let id = Uuid::from_u128(3);
    let context =
        format!(r#"{{"asset_id":"ctx","correlation_id":"{id}","parent_event_id":"{id}","trace_id":"t","rest":[1]}}"#);
    let row = row(event(&format!(r#","context":{context}"#)));
    assert_eq!((row.text("asset_id"), row.text("trace_id")), ("ctx", "t"));
    assert_eq!((row.uuid("correlation_id"), row.uuid("parent_event_id")), (id, id));
    assert_eq!(row.metadata(), serde_json::json!({"extra": {"context": {"rest": [1]}}}));
    for body in [
        event(&format!(r#","asset_id":"top","context":{context}"#)),
        event(&format!(r#","context":{context},"asset_id":"top""#)),
    ] {
        let row = super::row(body);
        assert_eq!((row.text("asset_id"), row.text("trace_id")), ("top", "t"));
        assert_eq!(row.metadata(), serde_json::json!({"extra": {"context": {"asset_id": "ctx", "rest": [1]}}}));
    }
    let row = super::row(event(r#","asset_id":null,"context":{"asset_id":"ctx","trace_id":null,"event_type":"x"}"#));
    assert_eq!(row.text("asset_id"), "ctx");
    assert_eq!(row.metadata(), serde_json::json!({"extra": {"context": {"event_type": "x"}}}));
}

#[test]
fn a_context_that_is_no_object_is_an_unknown_field() {
    for context in ["\"text\"", "[{\"asset_id\":\"x\"}]", "5", "false"] {
        let row = row(event(&format!(r#","context":{context}"#)));
        assert!(row.is_null("asset_id"));
        let value: serde_json::Value = serde_json::from_str(context).unwrap();
        assert_eq!(row.metadata(), serde_json::json!({"extra": {"context": value}}));
    }
}

#[test]
fn escaped_text_is_decoded() {
    let row = row(
        r#"{"event\u005ftype":"a\n\u00e9\ud83d\ude00","source":"C:\\x\"y\"","stream":"plain","data":{"a":"\u0041"},
        "asset_id":"\/","context":{"trace_id":"tab\there"},"id":"\u0031"}"#,
    );
    assert_eq!((row.text("event_type"), row.text("source_module")), ("a\né😀", "C:\\x\"y\""));
    assert_eq!((row.text("stream"), row.text("asset_id"), row.text("trace_id")), ("plain", "/", "tab\there"));
    assert_eq!(row.uuid("id"), bare_id(TENANT, "1"));
    assert_eq!(row.json("payload"), r#"{"a":"\u0041"}"#);
    assert!(row.json("metadata").contains(r#""original_id":"\u0031""#));
}

#[test]
fn the_window_includes_its_ends() {
    let TimeBounds { oldest_us, newest_us } = origin().bounds;
    for (at, inside) in [(oldest_us, true), (oldest_us - 1, false), (newest_us, true), (newest_us + 1, false)] {
        let decoded = decode(event(&format!(r#","timestamp":{at}"#)));
        assert_eq!(decoded.rows.rows.first().map(|row| row.timestamp_us), inside.then_some(at));
    }
}

#[test]
fn the_query_gives_defaults() {
    let defaults = Defaults {
        event_type: Some("qe".into()),
        source_module: Some("qs".into()),
        stream: Some("qst".into()),
        wrap: false,
    };
    let decode = |body: &str, defaults: &Defaults| {
        Decoder::new().decode(body.as_bytes(), BodyForm::Json, defaults, &origin()).unwrap()
    };
    let row = row_of(&decode(r#"{"payload":{}}"#, &defaults));
    assert_eq!((row.text("event_type"), row.text("source_module"), row.text("stream")), ("qe", "qs", "qst"));
    let row = row_of(&decode(&event(r#","stream_name":"mine""#), &defaults));
    assert_eq!((row.text("event_type"), row.text("source_module"), row.text("stream")), ("e", "s", "mine"));
    for (value, expected) in [("", Code::InvalidField), ("a\0b", Code::FieldNul), (&"x".repeat(51), Code::FieldTooLong)]
    {
        let defaults = Defaults { event_type: Some(value.to_owned()), ..defaults.clone() };
        assert_eq!(decode(r#"{"payload":{}}"#, &defaults).rejected[0].rejection.code, expected);
        assert_eq!(decode(&event(""), &defaults).rejected, []);
    }
}

#[test]
fn wrapping_makes_the_item_the_payload() {
    let mut defaults =
        Defaults { event_type: Some("log".into()), source_module: Some("vector".into()), stream: None, wrap: true };
    let decode = |body: &str, defaults: &Defaults| {
        Decoder::new().decode(body.as_bytes(), BodyForm::Ndjson, defaults, &origin()).unwrap()
    };
    let item = r#"{ "event_type":7, "timestamp":"nonsense", "message":"m", "metadata":{"a":1e400}, "id":"i" }"#;
    let row = row_of(&decode(item, &defaults));
    assert_eq!((row.text("event_type"), row.text("source_module"), row.text("stream")), ("log", "vector", "default"));
    assert_eq!((row.json("payload"), row.time("timestamp")), (item, RECEIVED_AT_US));
    assert_eq!((row.metadata(), row.uuid("id").get_version_num()), (serde_json::json!({}), 7));
    for (bad, expected) in [
        (r#"{"metadata":"\u0000"}"#.to_owned(), Code::PayloadNul),
        (r#"{"a":1,"a":2}"#.to_owned(), Code::DuplicateKey),
        (format!(r#"{{"a":{}{}}}"#, "[".repeat(64), "]".repeat(64)), Code::TooDeep),
        ("[]".to_owned(), Code::NotAnObject),
    ] {
        assert_eq!(decode(&bad, &defaults).rejected[0].rejection.code, expected, "{bad}");
    }
    row_of(&decode(&format!(r#"{{"a":{}{}}}"#, "[".repeat(63), "]".repeat(63)), &defaults));
    defaults.source_module = None;
    assert_eq!(decode(item, &defaults).rejected[0].rejection.code, Code::MissingField);
}
