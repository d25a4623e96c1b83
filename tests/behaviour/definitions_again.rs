//! Streams that are defined again, and what of a definition is refused or kept where one might not expect it.

use serde_json::{Value, json};

use crate::definitions::{alter, define};
use crate::env::{Env, Test, TestResult};
use crate::samples::array;
use crate::streams::reaches;
use crate::tests;

pub const TESTS: &[Test] = tests!(what_a_deleted_stream_masked_stays_masked, a_version_has_one_number);

pub const ON_ONE: &[Test] = tests!(postgres: no_api_key_is_kept_in_a_definition);

const SECRET: &str = "jane.doe@example.com";

fn item(stream: &str) -> String {
    format!(r#"{{"event_type":"a","source_module":"tests","stream":"{stream}","payload":{{"mail":"{SECRET}"}}}}"#)
}

fn what_a_deleted_stream_masked_stays_masked(env: &Env) -> TestResult {
    let tidegate = env.share();
    let (client, sql) = (&tidegate.client, env.sql());
    let delete = |stream: &str| client.send("DELETE", &format!("/v1/streams/{stream}"), &[], b"").unwrap();
    let masks = json!([{ "path": "/mail", "action": "hash" }]);
    let in_clear = || sql.one::<i64>(&format!("SELECT count(*) FROM events WHERE payload::text LIKE '%{SECRET}%'"));

    // Defined again without a word about masks: what was told to be kept nowhere is not kept.
    define(client, json!({ "name": "people", "description": "Who they are", "mask": masks }));
    assert_eq!(delete("people").status, 204);
    let again = define(client, json!({ "name": "people" }));
    assert_eq!((&again["mask"], &again["description"]), (&masks, &Value::Null), "{again}");
    client.events(array([item("people"), item("people")])).accepted(2, 0);
    assert_eq!(in_clear(), 0);

    // The same of one that has events, and is altered while it is deleted.
    reaches(client, "people", 2);
    assert_eq!(delete("people").status, 204);
    alter(client, "people", &json!({ "mode": "off" })).problem(404, "not_found");
    assert_eq!(delete("people").status, 404);
    assert_eq!(define(client, json!({ "name": "people", "schema": {} }))["mask"], masks);
    client.events(item("people")).accepted(1, 0);
    assert_eq!(in_clear(), 0);

    // Who names masks replaces them, and who names none has none.
    assert_eq!(delete("people").status, 204);
    let other = json!([{ "path": "/phone", "action": "remove" }]);
    assert_eq!(define(client, json!({ "name": "people", "mask": other }))["mask"], other);
    for none in [json!([]), Value::Null] {
        assert_eq!(delete("people").status, 204);
        assert_eq!(define(client, json!({ "name": "people", "mask": none }))["mask"], json!([]));
    }
    client.events(item("people")).accepted(1, 0);
    assert_eq!(in_clear(), 1);
    Ok(())
}

fn a_version_has_one_number(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    define(client, json!({ "name": "orders", "schema": { "type": "object" } }));
    client.get("/v1/streams/orders/schemas/1").expect(200);
    for other in ["01", "%2B1", "1.0", "0", "-1", "2", "99999999999", "x"] {
        client.get(&format!("/v1/streams/orders/schemas/{other}")).problem(404, "not_found");
    }
    for other in ["01", "%2B1", "0", "-1", "x"] {
        client.get(&format!("/v1/streams/orders/schemas?cursor={other}")).problem(400, "invalid_parameter");
    }
    // Once removed there is none to be compatible with; the numbers go on all the same.
    alter(client, "orders", &json!({ "schema": null, "compatibility": "full" })).expect(200);
    let other = alter(client, "orders", &json!({ "schema": { "type": "array" } })).expect(200);
    assert_eq!((&other["schema_version"], &other["mode"]), (&json!(2), &json!("enforce")), "{other}");
    assert_eq!(other["trial"], json!({ "tried": 0, "refused": 0, "complete": true, "events": [] }));
    alter(client, "orders", &json!({ "schema": { "type": "object" } })).problem(409, "schema_incompatible");
    Ok(())
}

fn no_api_key_is_kept_in_a_definition(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    let key = client.key();
    let escaped = key.replacen('g', "\\u0067", 1);
    let refused = |answer: crate::client::Answer| {
        let problem = answer.problem(400, "invalid_body");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("API key") && !detail.contains(key), "{detail}");
    };
    define(client, json!({ "name": "orders" }));
    for body in [
        format!(r#""description": "sent with {key}""#),
        format!(r#""schema": {{ "const": "{escaped}" }}"#),
        format!(r#""schema": {{ "examples": [{{ "{key}": 1 }}] }}"#),
        format!(r#""mask": [{{ "path": "/{key}", "action": "hash" }}]"#),
    ] {
        refused(client.post("/v1/streams", &[], format!(r#"{{"name": "s", {body}}}"#)));
        refused(client.send("PATCH", "/v1/streams/orders", &[], format!("{{{body}}}").as_bytes()).unwrap());
    }
    refused(client.post("/v1/streams", &[], format!(r#"{{"name": "{key}"}}"#)));
    refused(client.post("/v1/streams/orders/groups", &[], format!(r#"{{"name": "{key}"}}"#)));
    let kept = "SELECT count(*) FROM event_streams WHERE to_jsonb(event_streams)::text LIKE '%tg\\_%'";
    assert_eq!(env.sql().one::<i64>(kept), 0);

    // Words about why something is given back are for the one who looks into it: a key in them is cut out.
    client.post("/v1/streams/orders/groups", &[], r#"{"name": "workers", "max_deliveries": 1}"#).expect(201);
    client.events(item("orders")).accepted(1, 0);
    reaches(client, "orders", 1);
    let park = format!(r#"{{"offset": 0, "reason": "401 for {key}"}}"#);
    client.post("/v1/streams/orders/groups/workers/park", &[], park).expect(200);
    let reason: String = env.sql().one("SELECT reason FROM dead_letter_events WHERE stage = 'consume'");
    assert_eq!(reason, "401 for tg_...");
    Ok(())
}
