//! What schemas say of events that take long to judge, and of none where a stored schema is none any more.

use serde_json::{Value, json};

use crate::definitions::{alter, define};
use crate::env::{Env, Test, TestResult};
use crate::samples::array;
use crate::tests;

pub const TESTS: &[Test] =
    tests!(what_takes_many_looks_is_judged_all_the_same, a_stored_schema_that_is_none_any_more_judges_nothing);

fn item(payload: &str) -> String {
    format!(r#"{{"event_type":"a","source_module":"tests","stream":"orders","payload":{payload}}}"#)
}

/// More than is judged where it is read, and less than is judged at all.
fn what_takes_many_looks_is_judged_all_the_same(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let number = json!({ "type": "integer", "minimum": 0 });
    define(
        client,
        json!({ "name": "orders", "schema": { "properties": { "n": { "items": { "allOf": vec![number; 20] } } } } }),
    );
    let payload = |last: &str| format!(r#"{{"n":[{}{last}]}}"#, "0,".repeat(5_000));
    let answer = client.events(array([item(&payload("1")), item(&payload("-1")), item(r#"{"n":[1]}"#)])).accepted(2, 1);
    let message = answer["errors"][0]["message"].as_str().unwrap();
    assert!(message.starts_with("payload/n/5000: "), "{message}");
    let letter = client.get("/v1/dead-letters").expect(200)["data"][0].clone();
    assert_eq!((&letter["field_pointer"], &letter["schema_version"]), (&json!("/n/5000"), &json!(1)));
    // What takes more than is judged at all is told so.
    define(
        client,
        json!({ "name": "more", "schema": { "properties": { "n": { "items": { "allOf": vec![json!({ "minimum": 0 }); 500] } } } } }),
    );
    let answer = client.events(item(&payload("1")).replace("orders", "more")).expect(422);
    let message = answer["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("judging") && message.contains("goes too far"), "{message}");
    Ok(())
}

fn a_stored_schema_that_is_none_any_more_judges_nothing(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (client, sql) = (&tidegate.client, env.sql());
    define(client, json!({ "name": "orders", "schema": { "required": ["a"] } }));
    // As if an earlier version had taken what this one does not.
    sql.run(r#"UPDATE event_stream_schemas SET schema = '{"type":"strin"}'"#);
    client.events(array([item("{}"), item(r#"{"a":1}"#)])).accepted(2, 0);
    assert_eq!(sql.column::<Option<i32>>("SELECT schema_version FROM events"), [None, None]);
    assert!(tidegate.log().contains("a schema that is stored cannot be compiled"), "{}", tidegate.log());
    assert_eq!(client.get("/v1/streams/orders").expect(200)["schema"], json!({ "type": "strin" }));
    // Another schema judges again; one that is to be enforced must be one.
    alter(client, "orders", &json!({ "mode": "off" })).expect(200);
    alter(client, "orders", &json!({ "mode": "enforce" })).problem(400, "invalid_schema");
    let mended = json!({ "schema": { "required": ["a"] }, "force": true, "mode": "enforce" });
    assert_eq!(alter(client, "orders", &mended).expect(200)["schema_version"], 2);
    let answer = client.events(array([item("{}"), item(r#"{"a":1}"#)])).accepted(1, 1);
    assert_ne!(answer["errors"][0]["code"], Value::Null);
    assert_eq!(sql.one::<i64>("SELECT count(*) FROM events WHERE schema_version = 2"), 1);
    Ok(())
}
