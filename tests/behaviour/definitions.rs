//! Streams that are defined: schemas with versions and modes, what is refused and mended, trials, compatibility, and who may.

use std::io::Write;

use serde_json::{Value, json};

use crate::client::Client;
use crate::env::{Env, Test, TestResult, until};
use crate::frames::connect;
use crate::process::Tidegate;
use crate::samples::{array, event_with};
use crate::streams::reaches;
use crate::tests;

pub const TESTS: &[Test] = tests!(
    a_schema_judges_and_what_it_refused_is_replayed_once_it_is_mended,
    what_warns_is_stored_and_counted,
    a_change_that_breaks_events_is_refused_with_them,
    versions_are_compatible_or_refused,
    a_deleted_stream_takes_nothing_until_it_is_defined_again,
    streams_that_must_be_defined,
    what_one_node_defines_another_knows,
);

pub const ON_ONE: &[Test] = tests!(
    postgres: definitions_by_command, definitions_are_bounded, what_its_sender_gives_up_holds_nothing,
);

pub fn define(client: &Client, body: Value) -> Value {
    client.post("/v1/streams", &[], body.to_string()).expect(201)
}

pub fn alter(client: &Client, stream: &str, body: &Value) -> crate::client::Answer {
    client.send("PATCH", &format!("/v1/streams/{stream}"), &[], body.to_string().as_bytes()).unwrap()
}

/// An event of the stream `orders`.
fn order(payload: &str) -> String {
    format!(r#"{{"event_type":"order","source_module":"tests","stream":"orders","payload":{payload}}}"#)
}

fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["amount"],
        "properties": { "amount": { "type": "number", "minimum": 0 }, "lines": { "items": { "required": ["sku"] } } },
    })
}

fn a_schema_judges_and_what_it_refused_is_replayed_once_it_is_mended(env: &Env) -> TestResult {
    let tidegate = env.share();
    let (client, sql) = (&tidegate.client, env.sql());
    let made = define(client, json!({ "name": "orders", "schema": schema(), "description": "What was ordered" }));
    assert_eq!(
        (&made["mode"], &made["schema_version"], &made["compatibility"]),
        (&json!("enforce"), &json!(1), &json!("none"))
    );
    assert_eq!((&made["schema"], &made["trial"]["tried"], &made["end"]), (&schema(), &json!(0), &json!(0)));
    client.post("/v1/streams", &[], json!({ "name": "orders" }).to_string()).problem(409, "stream_exists");

    let body = array([
        order(r#"{"amount":1.50}"#),
        order(r#"{"amount":-1}"#),
        order(r#"{"lines":[]}"#),
        order(r#"{"amount":2,"lines":[{"sku":1},{}]}"#),
        event_with(1, r#""stream":"free""#),
        order(r#"{"amount":9007199254740993}"#),
    ]);
    let answer = client.events(body).accepted(3, 3);
    let errors = answer["errors"].as_array().unwrap();
    assert_eq!(errors.iter().map(|error| error["index"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(errors.iter().all(|error| error["code"] == "schema_violation"), "{answer}");
    let message = errors[0]["message"].as_str().unwrap();
    assert!(
        message.contains("/amount") && message.contains("/properties/amount/minimum") && !message.contains("-1"),
        "{message}"
    );
    let letters = client.get("/v1/dead-letters?code=schema_violation").expect(200);
    let letters = letters["data"].as_array().unwrap().clone();
    let mut pointers: Vec<[&str; 3]> = letters
        .iter()
        .map(|one| ["stage", "field_pointer", "rule_pointer"].map(|name| one[name].as_str().unwrap()))
        .collect();
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        [
            ["validate", "/amount", "/properties/amount/minimum"],
            ["validate", "/amount", "/required"],
            ["validate", "/lines/1/sku", "/properties/lines/items/required"],
        ]
    );
    assert!(letters.iter().all(|one| one["schema_version"] == 1));
    let judged = "SELECT stream || ' ' || coalesce(schema_version::text, '-') FROM events ORDER BY 1";
    assert_eq!(sql.column::<String>(judged), ["free -", "orders 1", "orders 1"]);
    let listed = client.get("/v1/events?stream=orders").expect(200);
    assert!(listed["data"].as_array().unwrap().iter().all(|one| one["schema_version"] == 1), "{listed}");

    // Mended: what was refused is taken.
    let letter = letters.iter().find(|one| one["rule_pointer"] == "/properties/amount/minimum").unwrap();
    let replay = format!("/v1/dead-letters/{}/replay", letter["id"].as_str().unwrap());
    client.post(&replay, &[], "").problem(422, "replay_failed");
    let mut wider = schema();
    wider["properties"]["amount"] = json!({ "type": "number" });
    reaches(client, "orders", 2);
    let altered = alter(client, "orders", &json!({ "schema": wider })).expect(200);
    assert_eq!((&altered["schema_version"], &altered["trial"]["tried"]), (&json!(2), &json!(2)));
    assert_eq!(client.post(&replay, &[], "").expect(200)["outcome"], "stored");
    assert_eq!(sql.one::<i64>("SELECT count(*) FROM events WHERE schema_version = 2 AND payload->>'amount' = '-1'"), 1);

    // Versions never change, and are not given twice.
    assert_eq!(
        alter(client, "orders", &json!({ "schema": wider })).expect(200)["schema_version"],
        2,
        "the same is no other"
    );
    let versions = client.get("/v1/streams/orders/schemas").expect(200);
    assert_eq!(
        versions["data"].as_array().unwrap().iter().map(|one| one["version"].as_i64().unwrap()).collect::<Vec<_>>(),
        [2, 1]
    );
    assert_eq!(client.get("/v1/streams/orders/schemas/1").expect(200)["schema"], schema());
    client.get("/v1/streams/orders/schemas/3").problem(404, "not_found");
    let first = client.get("/v1/streams/orders/schemas?limit=1").expect(200);
    let next =
        client.get(&format!("/v1/streams/orders/schemas?limit=1&cursor={}", first["next_cursor"].as_str().unwrap()));
    assert_eq!(next.expect(200)["data"][0]["version"], 1);

    // Off: nothing is judged, and no version is noted.
    alter(client, "orders", &json!({ "mode": "off" })).expect(200);
    client.events(order(r#"{"none":1}"#)).accepted(1, 0);
    assert_eq!(sql.one::<i64>("SELECT count(*) FROM events WHERE stream = 'orders' AND schema_version IS NULL"), 1);
    // It would refuse that one now.
    reaches(client, "orders", 4);
    alter(client, "orders", &json!({ "mode": "enforce" })).problem(409, "schema_refuses_events");
    assert_eq!(alter(client, "orders", &json!({ "schema": null })).expect(200)["schema"], Value::Null);
    alter(client, "orders", &json!({ "mode": "warn" })).problem(400, "invalid_body");
    Ok(())
}

fn what_warns_is_stored_and_counted(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    define(client, json!({ "name": "orders", "schema": schema(), "mode": "warn" }));
    client.events(array([order(r#"{"amount":-1}"#), order(r#"{"amount":1}"#), order("{}")])).accepted(3, 0);
    client.keyed("once", order("{}")).accepted(1, 0);
    client.repeated("once", order("{}")).expect(200);
    assert_eq!(env.sql().one::<i64>("SELECT count(*) FROM events WHERE schema_version = 1"), 4);
    let warned = until("warnings are written down", || {
        let shown = client.get("/v1/streams/orders").expect(200)["warnings"].clone();
        (shown["events"] == 3).then_some(shown)
    });
    assert_eq!((&warned["field"], &warned["rule"]), (&json!("/amount"), &json!("/required")), "{warned}");
    let metrics = client.get("/metrics");
    assert!(metrics.text().contains("tidegate_schema_warnings_total 3"), "{}", metrics.text());
    Ok(())
}

fn a_change_that_breaks_events_is_refused_with_them(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    // What lies behind the newest 10,000 is not looked at.
    client.events(array((0..50).map(|_| order(r#"{"amount":"old"}"#)))).accepted(50, 0);
    reaches(client, "orders", 50);
    for part in 0..10 {
        let broken = |n: usize| matches!(n, 17 | 4_711 | 9_999);
        let payload =
            |n: usize| if broken(n) { r#"{"amount":"x"}"#.to_owned() } else { format!(r#"{{"amount":{n}}}"#) };
        client.events(array((part * 1000..(part + 1) * 1000).map(|n| order(&payload(n))))).accepted(1000, 0);
    }
    reaches(client, "orders", 10_050);
    let refused = alter(client, "orders", &json!({ "schema": schema() })).problem(409, "schema_refuses_events");
    assert_eq!((&refused["tried"], &refused["refused"]), (&json!(10_000), &json!(3)), "{refused}");
    let events = refused["events"].as_array().unwrap();
    assert_eq!(events.iter().map(|event| event["offset"].as_i64().unwrap()).collect::<Vec<_>>(), [10_049, 4_761, 67]);
    assert!(
        events.iter().all(|event| event["field"] == "/amount" && event["rule"] == "/properties/amount/type"),
        "{refused}"
    );
    let id = events[1]["id"].as_str().unwrap();
    assert_eq!(client.get(&format!("/v1/events/{id}")).expect(200)["payload"]["amount"], "x");
    assert_eq!(client.get("/v1/streams/orders").expect(200)["schema_version"], Value::Null);
    // One that only warns would refuse nothing; what breaks it is told all the same.
    let warns = alter(client, "orders", &json!({ "schema": schema(), "mode": "warn" })).expect(200);
    assert_eq!((&warns["schema_version"], &warns["trial"]["refused"]), (&json!(1), &json!(3)));
    assert_eq!(warns["trial"]["events"], refused["events"]);
    alter(client, "orders", &json!({ "mode": "enforce" })).problem(409, "schema_refuses_events");
    let forced = alter(client, "orders", &json!({ "mode": "enforce", "force": true })).expect(200);
    assert_eq!((&forced["mode"], &forced["trial"]["refused"]), (&json!("enforce"), &json!(3)));
    Ok(())
}

fn versions_are_compatible_or_refused(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    define(client, json!({ "name": "orders", "schema": schema(), "compatibility": "backward" }));
    let mut narrower = schema();
    narrower["properties"]["amount"]["minimum"] = json!(1);
    let refused = alter(client, "orders", &json!({ "schema": narrower })).problem(409, "schema_incompatible");
    assert!(refused["reasons"][0].as_str().unwrap().starts_with("/properties/amount/minimum: "), "{refused}");
    let mut wider = schema();
    wider["required"] = json!([]);
    alter(client, "orders", &json!({ "schema": wider })).expect(200);
    alter(client, "orders", &json!({ "schema": schema(), "compatibility": "forward" })).expect(200);
    alter(client, "orders", &json!({ "schema": wider })).problem(409, "schema_incompatible");
    alter(client, "orders", &json!({ "schema": wider, "compatibility": "full" })).problem(409, "schema_incompatible");
    assert_eq!(
        alter(client, "orders", &json!({ "schema": wider, "compatibility": "none" })).expect(200)["schema_version"],
        4
    );
    Ok(())
}

fn a_deleted_stream_takes_nothing_until_it_is_defined_again(env: &Env) -> TestResult {
    let tidegate = env.share();
    let (client, sql) = (&tidegate.client, env.sql());
    define(client, json!({ "name": "orders", "schema": schema() }));
    client.events(order(r#"{"amount":1}"#)).accepted(1, 0);
    reaches(client, "orders", 1);
    let delete = |stream: &str| client.send("DELETE", &format!("/v1/streams/{stream}"), &[], b"").unwrap();
    assert_eq!(delete("orders").status, 204);
    delete("orders").problem(404, "not_found");
    client.get("/v1/streams/orders").problem(404, "not_found");
    client.get("/v1/streams/orders/schemas").problem(404, "not_found");
    assert_eq!(client.get("/v1/streams").expect(200)["data"], json!([]));
    assert_eq!(client.get("/v1/streams/orders/events?offset=0").expect(200)["data"].as_array().unwrap().len(), 1);
    let refused = client.events(order(r#"{"amount":1}"#)).expect(422);
    assert_eq!(refused["errors"][0]["code"], "stream_deleted", "{refused}");
    assert!(sql.one::<bool>("SELECT deleted_at IS NOT NULL FROM event_streams"));
    let again = define(client, json!({ "name": "orders", "schema": { "type": "object" } }));
    assert_eq!(again["schema_version"], 2, "numbers go on: {again}");
    client.events(order("{}")).accepted(1, 0);
    assert_eq!(client.post("/v1/dead-letters/replay", &[], "").expect(200)["stored"], 1);
    // One that nobody has defined.
    client.events(event_with(1, r#""stream":"free""#)).accepted(1, 0);
    reaches(client, "free", 1);
    assert_eq!(delete("free").status, 204);
    client.events(event_with(1, r#""stream":"free""#)).expect(422);
    // Another organization's is another.
    let other = tidegate.with(&env.key("other", "ingest,read,admin"));
    other.get("/v1/streams/orders").problem(404, "not_found");
    alter(&other, "orders", &json!({ "mode": "off" })).problem(404, "not_found");
    other.events(event_with(1, r#""stream":"free""#)).accepted(1, 0);
    tidegate.with(&env.key("default", "ingest,read,consume")).post("/v1/streams", &[], "{}").problem(403, "forbidden");
    Ok(())
}

fn streams_that_must_be_defined(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["streams.auto_create=false"]);
    let client = &tidegate.client;
    let refused = client.events(event_with(1, r#""stream":"orders""#)).expect(422);
    assert_eq!(refused["errors"][0]["code"], "stream_unknown", "{refused}");
    define(client, json!({ "name": "orders" }));
    client.events(event_with(1, r#""stream":"orders""#)).accepted(1, 0);
    assert_eq!(client.post("/v1/dead-letters/replay", &[], "").expect(200)["stored"], 1);
    Ok(())
}

fn what_one_node_defines_another_knows(env: &Env) -> TestResult {
    let one = env.serve();
    let elsewhere = ["--set".to_owned(), format!("data_dir={}", env.path().join("elsewhere").display())];
    let other = Tidegate::serve(env, &env.variables(), &elsewhere);
    let client = Client::new(&other.client.address, Some(one.client.key()));
    define(&one.client, json!({ "name": "orders", "schema": schema() }));
    until("the other knows", || (client.events(order("{}")).status == 422).then_some(()));
    alter(&one.client, "orders", &json!({ "mode": "off" })).expect(200);
    one.client.events(order("{}")).accepted(1, 0);
    until("the other knows that too", || (client.events(order("{}")).status == 200).then_some(()));
    Ok(())
}

fn definitions_by_command(env: &Env) -> TestResult {
    let tidegate = env.share();
    let (url, key) = (tidegate.client.url(), tidegate.client.key().to_owned());
    let run = |arguments: &[&str]| env.cli(&[&["streams"], arguments, &["--url", &url, "--key", &key]].concat());
    let file = env.path().join("schema.json");
    std::fs::write(&file, schema().to_string())?;
    let file = file.to_str().unwrap();
    let made =
        run(&["create", "orders", "--schema", file, "--mask", "/card=remove", "--mask", "/user/mail=hash", "--json"])
            .json();
    assert_eq!(
        (&made["mode"], &made["mask"][1]),
        (&json!("enforce"), &json!({ "path": "/user/mail", "action": "hash" }))
    );
    assert_eq!(run(&["alter", "orders", "--mode", "warn", "--no-mask", "--json"]).json()["mask"], json!([]));
    assert!(run(&["describe", "orders"]).stdout.contains("mode: warn\n"));
    assert!(run(&["list"]).stdout.contains("warn"));
    assert_eq!(run(&["schemas", "orders", "--json"]).json()[0]["version"], 1);
    assert_eq!(serde_json::from_str::<Value>(&run(&["schemas", "orders", "1"]).stdout)?, schema());
    std::fs::write(file, "{")?;
    let bad = run(&["alter", "orders", "--schema", file]);
    assert!(bad.code == Some(2) && bad.stderr.contains("schema.json"), "{bad:?}");
    std::fs::write(file, r#"{"$ref":"https://example.com/x"}"#)?;
    let refused = run(&["alter", "orders", "--schema", file]);
    assert!(refused.code == Some(1) && refused.stderr.contains("invalid_schema"), "{refused:?}");
    assert_eq!(run(&["alter", "orders"]).code, Some(2));
    assert!(run(&["delete", "orders"]).stdout.contains("takes nothing more"));
    assert_eq!(run(&["describe", "orders"]).code, Some(1));
    Ok(())
}

fn definitions_are_bounded(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let post = |body: Value| client.post("/v1/streams", &[], body.to_string());
    for (schema, code) in [
        (json!({ "$ref": "https://example.com/x" }), "invalid_schema"),
        (json!({ "pattern": "((a{1,1000}){1,1000}){1,1000}" }), "invalid_schema"),
        (json!({ "pattern": "(?=a)" }), "invalid_schema"),
        (json!({ "type": "strin" }), "invalid_schema"),
        (json!(7), "invalid_schema"),
        (json!({ "description": "x".repeat(70_000) }), "invalid_schema"),
        (serde_json::from_str(&format!("{}true{}", r#"{"not":"#.repeat(40), "}".repeat(40)))?, "invalid_schema"),
    ] {
        post(json!({ "name": "s", "schema": schema })).problem(400, code);
    }
    // What compiling would multiply beyond any memory.
    let mut multiplied = json!({ "$ref": "#/$defs/d24", "$defs": { "d0": { "properties": { "a": true } } } });
    for n in 1..=24 {
        let to = json!({ "$ref": format!("#/$defs/d{}", n - 1) });
        multiplied["$defs"][format!("d{n}")] = json!({ "allOf": vec![to; 10] });
    }
    for keyword in ["unevaluatedProperties", "unevaluatedItems"] {
        let mut schema = multiplied.clone();
        schema[keyword] = json!(false);
        post(json!({ "name": "s", "schema": schema })).problem(400, "invalid_schema");
    }
    for body in [
        json!({}),
        json!({ "name": "" }),
        json!({ "name": "s", "mode": "strict" }),
        json!({ "name": "s", "mode": "enforce" }),
        json!({ "name": "s", "compatibility": "all" }),
        json!({ "name": "s", "mask": [{ "path": "a", "action": "hash" }] }),
        json!({ "name": "s", "mask": [{ "path": "/a", "action": "forget" }] }),
        json!({ "name": "s", "description": "x".repeat(1001) }),
        json!({ "name": "s", "more": 1 }),
    ] {
        post(body).problem(400, "invalid_body");
    }
    client.get("/v1/streams/s").problem(404, "not_found");
    Ok(())
}

/// Whose sender goes while it waits for another's change is rolled back.
fn what_its_sender_gives_up_holds_nothing(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (client, sql, other) = (&tidegate.client, env.sql(), env.sql());
    sql.run("BEGIN; SELECT FROM event_stream_revision FOR UPDATE");
    let ask = || {
        let mut connection = connect(client);
        let (key, body) = (client.key(), r#"{"name":"given up"}"#);
        let head = format!(
            "POST /v1/streams HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        connection.write_all(head.as_bytes()).unwrap();
        connection
    };
    let open = |which: &str| {
        other.one::<i64>(&format!(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%event_stream_revision%' AND pid <> pg_backend_pid() \
             AND datname = current_database() AND application_name LIKE 'tidegate%' AND {which}"
        ))
    };
    let mut connection = ask();
    until("it waits", || {
        let waits = open("wait_event_type = 'Lock'") == 1;
        // It waits for two seconds, in which nobody may have looked.
        connection.set_nonblocking(true).unwrap();
        if !waits && connection.peek(&mut [0]).is_ok() {
            connection = ask();
        }
        waits.then_some(())
    });
    drop(connection);
    until("nothing of it is open", || (open("xact_start IS NOT NULL") == 0).then_some(()));
    sql.run("ROLLBACK");
    client.get("/v1/streams/given%20up").problem(404, "not_found");
    define(client, json!({ "name": "taken" }));
    Ok(())
}
