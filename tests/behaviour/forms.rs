//! Every form in which events may come: bodies, encodings, names of fields, defaults, timestamps.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::Answer;
use crate::env::{Env, Test, TestResult};
use crate::process::Service;
use crate::samples::{array, batch, event, event_with, gzip, now};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    an_object_an_array_and_lines,
    cloud_events_structured,
    cloud_events_in_a_batch,
    gzip_and_zstd,
    canonical_names,
    aliases,
    names_inside_context,
    a_canonical_name_wins_over_its_alias,
    unknown_fields_are_kept,
    ids_that_are_no_uuids,
    defaults_of_absent_fields,
    defaults_from_the_query,
    a_whole_object_as_payload,
    epochs_in_every_unit,
    timestamps_with_offsets,
    anothers_tenant_is_refused,
);

fn post(tidegate: &Service, content_type: &str, body: impl AsRef<[u8]>) -> Answer {
    tidegate.client.post("/v1/events", &[("content-type", content_type)], body)
}

/// The only event, as SQL has it and as the API gives it.
fn only_event(env: &Env, tidegate: &Service) -> (Value, Value) {
    views(tidegate, env.sql().one("SELECT to_jsonb(e) FROM events e"))
}

/// A row, and what the API gives of it.
fn views(tidegate: &Service, row: Value) -> (Value, Value) {
    let read = tidegate.client.get(&format!("/v1/events/{}", row["id"].as_str().unwrap())).expect(200);
    (row, read)
}

/// Asserts columns of the only event in both views.
fn assert_columns(env: &Env, tidegate: &Service, expected: &Value) {
    assert_views(&only_event(env, tidegate), expected);
}

fn assert_views((row, read): &(Value, Value), expected: &Value) {
    for (column, value) in expected.as_object().unwrap() {
        if column == "timestamp" {
            for view in [row, read] {
                let at: Timestamp = view[column].as_str().unwrap().parse().unwrap();
                assert_eq!(at, value.as_str().unwrap().parse().unwrap(), "{view}");
            }
            continue;
        }
        assert_eq!((&row[column], &read[column]), (value, value), "{column} of {row} and {read}");
    }
}

fn an_object_an_array_and_lines(env: &Env) -> TestResult {
    let tidegate = env.share();
    post(&tidegate, "application/json", event(1)).accepted(1, 0);
    post(&tidegate, "application/json; charset=utf-8", batch(3)).accepted(3, 0);
    post(&tidegate, "application/x-ndjson", format!("{}\n\r\n{}\r\n  {}", event(1), event(2), event(3))).accepted(3, 0);
    tidegate.client.post("/v1/events", &[], event(9)).accepted(1, 0);
    let numbers: Vec<i32> = env.sql().column("SELECT (payload->>'n')::int FROM events ORDER BY 1");
    assert_eq!(numbers, [0, 1, 1, 1, 2, 2, 3, 9]);
    Ok(())
}

fn cloud_events_structured(env: &Env) -> TestResult {
    let tidegate = env.share();
    let id = Uuid::now_v7().to_string();
    let at = now().to_string();
    let body = json!({ "specversion": "1.0", "id": id, "source": "probe", "type": "reading", "time": at,
        "datacontenttype": "application/json", "data": { "celsius": 21 } });
    post(&tidegate, "application/cloudevents+json", body.to_string()).accepted(1, 0);
    let expected = json!({ "source_module": "probe", "event_type": "reading", "timestamp": at,
        "payload": { "celsius": 21 } });
    assert_columns(env, &tidegate, &expected);
    let (row, _) = only_event(env, &tidegate);
    assert_eq!((&row["metadata"]["original_id"], &row["bare_id"]), (&json!(id), &json!(id)));
    assert_eq!(row["metadata"]["extra"], json!({ "specversion": "1.0", "datacontenttype": "application/json" }));
    let without_source = json!({ "specversion": "1.0", "id": "1", "type": "reading", "data": {} }).to_string();
    let refused = post(&tidegate, "application/cloudevents+json", without_source).expect(422);
    assert_eq!(refused["errors"][0]["code"], "missing_field", "{refused}");
    Ok(())
}

fn cloud_events_in_a_batch(env: &Env) -> TestResult {
    let tidegate = env.share();
    let event = |data: Value| json!({ "specversion": "1.0", "id": "x", "source": "s", "type": "t", "data": data });
    let body = json!([event(json!({ "n": 1 })), event(json!("text")), event(json!([1, 2]))]);
    post(&tidegate, "application/cloudevents-batch+json", body.to_string()).accepted(3, 0);
    let payloads: Vec<Value> = env.sql().column("SELECT payload FROM events ORDER BY payload::text");
    assert_eq!(payloads, [json!({ "data": "text" }), json!({ "data": [1, 2] }), json!({ "n": 1 })]);
    Ok(())
}

fn gzip_and_zstd(env: &Env) -> TestResult {
    let tidegate = env.share();
    let zipped = [("gzip", gzip(&batch(100))), ("zstd", zstd::encode_all(&batch(50)[..], 3)?)];
    for ((encoding, body), count) in zipped.iter().zip([100, 50]) {
        let headers = [("content-type", "application/json"), ("content-encoding", encoding)];
        tidegate.client.post("/v1/events", &headers, body).accepted(count, 0);
    }
    assert_eq!(env.sql().count("events"), 150);
    Ok(())
}

fn canonical_names(env: &Env) -> TestResult {
    let tidegate = env.share();
    let expected = json!({ "id": Uuid::now_v7(), "timestamp": now().to_string(), "event_type": "deployed",
        "source_module": "ci", "payload": { "a": { "b": [1, "x", null, true] } }, "event_version": 3,
        "severity": "warning", "environment": "staging", "stream": "builds", "asset_id": "api",
        "correlation_id": Uuid::now_v7(), "parent_event_id": Uuid::now_v7(), "trace_id": "4bf92f35" });
    let mut sent = expected.clone();
    sent["metadata"] = json!({ "team": "core" });
    sent["tenant_id"] = env.organization().into();
    post(&tidegate, "application/json", sent.to_string()).accepted(1, 0);
    assert_columns(env, &tidegate, &expected);
    let (row, read) = only_event(env, &tidegate);
    assert_eq!((&row["tenant_id"], &row["metadata"]["team"]), (&json!(env.organization()), &json!("core")));
    // What the server knows of the request: columns, and answered with what the sender said.
    let received_at: String =
        env.sql().one("SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM events");
    let expected = json!({ "team": "core", "api_key_id": row["api_key_id"], "receipt": row["receipt"], "received_at": received_at });
    assert!(row["api_key_id"].is_string() && row["receipt"].is_string(), "{row}");
    assert_eq!((&row["metadata"], &read["metadata"]), (&json!({ "team": "core" }), &expected));
    assert!(row["batch_id"].is_number() && row["batch_seq"] == 0, "{row}");
    Ok(())
}

fn aliases(env: &Env) -> TestResult {
    let tidegate = env.share();
    let now = now().to_string();
    for time in ["occurred_at", "time"] {
        let id = Uuid::now_v7().to_string();
        let body = json!({ "type": "t", "data": { "n": 1 }, "source": "s", time: now, "event_id": id,
            "stream_name": "named" });
        post(&tidegate, "application/json", body.to_string()).accepted(1, 0);
        let expected = json!({ "event_type": "t", "payload": { "n": 1 }, "source_module": "s", "timestamp": now,
            "id": id, "stream": "named" });
        let row: Value = env.sql().one(&format!("SELECT to_jsonb(e) FROM events e WHERE id = '{id}'"));
        assert_views(&views(&tidegate, row), &expected);
    }
    Ok(())
}

fn names_inside_context(env: &Env) -> TestResult {
    let tidegate = env.share();
    let context = json!({ "asset_id": "pump", "correlation_id": Uuid::now_v7(), "parent_event_id": Uuid::now_v7(),
        "trace_id": "abc" });
    let mut sent = json!({ "event_type": "t", "source_module": "s", "payload": {}, "context": context });
    sent["context"]["region"] = "eu".into();
    post(&tidegate, "application/json", sent.to_string()).accepted(1, 0);
    assert_columns(env, &tidegate, &context);
    let (row, _) = only_event(env, &tidegate);
    assert_eq!(row["metadata"]["extra"], json!({ "context": { "region": "eu" } }));
    Ok(())
}

fn a_canonical_name_wins_over_its_alias(env: &Env) -> TestResult {
    let tidegate = env.share();
    let sent = r#"{"type":"alias","event_type":"canonical","source_module":"s","payload":{"a":1},"data":{"b":2}}"#;
    post(&tidegate, "application/json", sent).accepted(1, 0);
    assert_columns(env, &tidegate, &json!({ "event_type": "canonical", "payload": { "a": 1 } }));
    let (row, _) = only_event(env, &tidegate);
    assert_eq!(row["metadata"]["extra"], json!({ "type": "alias", "data": { "b": 2 } }));
    Ok(())
}

fn unknown_fields_are_kept(env: &Env) -> TestResult {
    let tidegate = env.share();
    let sent = event_with(1, r#""host":"h1","labels":{"a":[1,2]},"ratio":0.10"#);
    post(&tidegate, "application/json", sent).accepted(1, 0);
    let (row, read) = only_event(env, &tidegate);
    let extra: Value = serde_json::from_str(r#"{"host":"h1","labels":{"a":[1,2]},"ratio":0.10}"#)?;
    assert_eq!(row["metadata"]["extra"], extra);
    assert_eq!(read["metadata"]["extra"], row["metadata"]["extra"]);
    let ratio: String = env.sql().one("SELECT metadata->'extra'->>'ratio' FROM events");
    assert_eq!(ratio, "0.10");
    Ok(())
}

fn ids_that_are_no_uuids(env: &Env) -> TestResult {
    let tidegate = env.share();
    let sent = event_with(1, r#""id":"order/1","correlation_id":"flow-7","parent_event_id":"order/0""#);
    post(&tidegate, "application/json", sent).accepted(1, 0);
    let (row, _) = only_event(env, &tidegate);
    let names = ["original_id", "original_correlation_id", "original_parent_event_id"];
    assert_eq!(names.map(|name| row["metadata"][name].as_str().unwrap()), ["order/1", "flow-7", "order/0"]);
    assert_eq!(Uuid::parse_str(row["id"].as_str().unwrap())?.get_version_num(), 5);
    // The sender's own ids find it again.
    assert_eq!(tidegate.client.get("/v1/events/order%2F1").expect(200)["id"], row["id"]);
    let found = tidegate.client.get("/v1/events?correlation_id=flow-7").expect(200);
    assert_eq!(found["data"][0]["id"], row["id"]);
    Ok(())
}

fn defaults_of_absent_fields(env: &Env) -> TestResult {
    let tidegate = env.share();
    let before = Timestamp::now();
    post(&tidegate, "application/json", event(1)).accepted(1, 0);
    let expected = json!({ "event_version": 1, "severity": "info", "environment": "production", "stream": "default",
        "asset_id": null, "correlation_id": null, "parent_event_id": null, "trace_id": null });
    assert_columns(env, &tidegate, &expected);
    let (row, read) = only_event(env, &tidegate);
    assert_eq!(Uuid::parse_str(row["id"].as_str().unwrap())?.get_version_num(), 7);
    let at: Timestamp = read["timestamp"].as_str().unwrap().parse()?;
    assert!(before <= at && at <= Timestamp::now(), "{at}");
    Ok(())
}

fn defaults_from_the_query(env: &Env) -> TestResult {
    let tidegate = env.share();
    let path = "/v1/events?event_type=log&source_module=vector&stream=logs";
    let body =
        array([r#"{"payload":{"n":1}}"#, r#"{"payload":{"n":2},"event_type":"own","source":"own","stream":"own"}"#]);
    tidegate.client.post(path, &[], body).accepted(2, 0);
    let columns: Vec<String> =
        env.sql().column("SELECT concat_ws(' ', event_type, source_module, stream) FROM events ORDER BY payload->>'n'");
    assert_eq!(columns, ["log vector logs", "own own own"]);
    Ok(())
}

fn a_whole_object_as_payload(env: &Env) -> TestResult {
    let tidegate = env.share();
    let path = "/v1/events?event_type=log&source_module=fluent-bit&wrap=payload";
    let object = r#"{"timestamp":"yesterday","message":"hello","payload":1,"n":0.1000}"#;
    tidegate.client.post(path, &[], object).accepted(1, 0);
    let payload: String = env.sql().one("SELECT payload::text FROM events");
    assert_eq!(payload, r#"{"n": 0.1000, "message": "hello", "payload": 1, "timestamp": "yesterday"}"#);
    tidegate.client.post("/v1/events?wrap=payload", &[], object).problem(400, "invalid_parameter");
    tidegate.client.post("/v1/events?wrap=all", &[], object).problem(400, "invalid_parameter");
    Ok(())
}

fn epochs_in_every_unit(env: &Env) -> TestResult {
    let tidegate = env.share();
    let us = Timestamp::now().as_microsecond() - 3_600_000_000;
    let s = us / 1_000_000;
    let numbers = [format!("{s}"), format!("{s}.25"), format!("{s}123"), format!("{s}123456"), format!("{s}123456789")];
    let body = array(numbers.iter().enumerate().map(|(n, at)| event_with(n, &format!(r#""timestamp":{at}"#))));
    post(&tidegate, "application/json", body).accepted(5, 0);
    let stored: Vec<i64> = env
        .sql()
        .column("SELECT (extract(epoch FROM timestamp) * 1000000)::bigint - (extract(epoch FROM date_trunc('second', timestamp)) * 1000000)::bigint FROM events ORDER BY payload->>'n'");
    assert_eq!(stored, [0, 250_000, 123_000, 123_456, 123_456]);
    let seconds: Vec<i64> =
        env.sql().column("SELECT DISTINCT floor(extract(epoch FROM timestamp))::bigint FROM events");
    assert_eq!(seconds, [s]);
    Ok(())
}

fn timestamps_with_offsets(env: &Env) -> TestResult {
    let tidegate = env.share();
    let day = Timestamp::now().strftime("%Y-%m-%d").to_string();
    let forms = ["T00:30:00Z", "T02:30:00+02:00", "t00:30:00.000z", " 00:30:00-00:00"];
    let body = array(forms.map(|form| event_with(0, &format!(r#""timestamp":"{day}{form}""#))));
    post(&tidegate, "application/json", body).accepted(4, 0);
    let distinct: Vec<String> =
        env.sql().column("SELECT DISTINCT to_char(timestamp, 'YYYY-MM-DD HH24:MI:SS.US') FROM events");
    assert_eq!(distinct, [format!("{day} 00:30:00.000000")]);
    Ok(())
}

fn anothers_tenant_is_refused(env: &Env) -> TestResult {
    let tidegate = env.share();
    let body = array([event(1), event_with(2, r#""tenant_id":"other""#)]);
    let answer = post(&tidegate, "application/json", body).accepted(1, 1);
    assert_eq!((&answer["errors"][0]["index"], &answer["errors"][0]["code"]), (&json!(1), &json!("tenant_mismatch")));
    Ok(())
}
