//! Payload and metadata kept as json: all that looks into them does as with jsonb, and their text is what was sent.

use serde_json::{Value, json};

use crate::env::{Engine, Env, Test, TestResult};
use crate::process::Tidegate;
use crate::samples::{array, encode, texts};
use crate::{conflicts, correlations, event_lists, exports, related, schema, tests};

pub const TESTS: &[Test] = tests!(
    text_is_what_was_sent,
    what_jsonb_refuses_is_refused,
    values,
    numbers,
    words,
    export,
    relations,
    chains,
    contract,
    an_installation_with_json_decides,
    an_installation_with_jsonb_decides,
    an_installation_that_was_cut_short,
);

pub const ROWSTORE: &[Test] = tests!(timescale: another_event_under_the_same_id);

macro_rules! as_json {
    ($($name:ident: $test:path;)+) => {
        $(fn $name(env: &Env) -> TestResult {
            env.keep_as_json();
            $test(env)?;
            assert_kept(env, "json");
            Ok(())
        })+
    };
}

as_json! {
    values: event_lists::values_in_the_payload;
    numbers: event_lists::numbers_in_the_payload;
    words: event_lists::words_and_phrases;
    export: exports::an_export_is_what_copy_gives;
    relations: related::family_and_correlations;
    chains: correlations::a_chain_and_its_figures;
    contract: schema::the_contract_with_readers;
    another_event_under_the_same_id: conflicts::another_event_under_the_same_id_is_no_duplicate;
}

fn assert_kept(env: &Env, expected: &str) {
    let types: Vec<String> = env.sql().column(
        "SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = 'events'::regclass \
         AND attname IN ('payload', 'metadata')",
    );
    assert_eq!(types, [expected, expected]);
}

/// What jsonb would change: blanks, order, digits, escapes; and a line break where NDJSON has none.
const SENT: &str =
    "{ \"z\" : 1.10,\r\n\t\"a\":-0.0 ,\"e\":1E+5, \"t\":\"gr\\u00f6\\u00dfer \\n Text\",\n\"in\":{\"b\":[1, 2.0]}}";

fn send(tidegate: &Tidegate, payload: &str) {
    let event = format!(
        "{{\"event_type\":\"t\",\"source_module\":\"s\",\"metadata\":{{ \"m\":\n{payload}}},\"payload\":{payload},\"zone\":1.0}}"
    );
    tidegate.client.events(event).accepted(1, 0);
}

fn text_is_what_was_sent(env: &Env) -> TestResult {
    env.keep_as_json();
    let tidegate = env.serve();
    send(&tidegate, SENT);
    send(&tidegate, "{}");
    let stored: (String, String) = {
        let rows = env.sql().rows("SELECT payload::text, metadata::text FROM events WHERE payload::text <> '{}'", &[]);
        (rows[0].get(0), rows[0].get(1))
    };
    assert_eq!(stored.0, SENT);
    assert_eq!(stored.1, format!("{{\"m\":{SENT},\"extra\":{{\"zone\":1.0}}}}"));
    let list = tidegate.client.get("/v1/events?payload.z=1.1").expect(200);
    let id = texts(&list, "id")[0];
    for path in ["/v1/events?payload.z=1.1".to_owned(), format!("/v1/events/{id}")] {
        let answer = tidegate.client.get(&path);
        assert!(answer.text().contains(SENT), "{path}: {}", answer.text());
        let event = answer.json().get("data").map_or(answer.json(), |data| data[0].clone());
        assert_eq!(
            (&event["metadata"]["m"], &event["metadata"]["extra"]),
            (&event["payload"], &json!({ "zone": 1.0 }))
        );
        assert!(event["metadata"]["receipt"].is_string() && event["metadata"]["api_key_id"].is_string());
    }
    // A line is an event; text keeps its own line breaks.
    let lines = tidegate.client.get_as("/v1/events", &[("accept", "application/x-ndjson")]);
    assert_eq!(lines.text().lines().count(), 2, "{}", lines.text());
    let first: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(first.iter().any(|event| event["payload"]["t"] == "größer \n Text"));
    let table = tidegate.client.get_as("/v1/events", &[("accept", "text/csv")]);
    assert!(table.text().contains(&SENT.replace('"', "\"\"")), "{}", table.text());
    // By value, whatever the spelling.
    for (query, expected) in [
        ("payload={\"in\":{\"b\":[2]}}", 1),
        ("payload={\"e\":100000,\"a\":0}", 1),
        ("payload={\"z\":1.2}", 0),
        ("payload.a=0", 1),
        ("payload.t=größer \n Text", 1),
        ("payload.in.b.1=2", 1),
        ("payload.e:gte=100000", 1),
        ("q=GRÖSSER", 0),
        ("q=Größer", 1),
        ("q=\"größer \n text\"", 1),
        ("q=100000", 1),
        ("q=1E+5", 0),
    ] {
        let (name, value) = query.split_once('=').unwrap();
        let list = tidegate.client.get(&format!("/v1/events?{name}={}", encode(value))).expect(200);
        assert_eq!(texts(&list, "id").len(), expected, "{query}");
    }
    // Counted from an array's end, beside another array of the same depth.
    send(&tidegate, r#"{"n":{"x":[{"y":1}]},"far":{"c":[10,{"d":5}]}}"#);
    for query in ["payload.far.c.-1.d=5", "payload.far.c.-1.d:gt=4", "payload.far.c.1.d=5", "payload.far.c.-2=10"] {
        let list = tidegate.client.get(&format!("/v1/events?{query}")).expect(200);
        assert_eq!(texts(&list, "id").len(), 1, "{query}");
    }
    Ok(())
}

/// json takes some of it, and is unreadable then.
fn what_jsonb_refuses_is_refused(env: &Env) -> TestResult {
    env.keep_as_json();
    let tidegate = env.serve();
    let event = |payload: &str| format!(r#"{{"event_type":"t","source_module":"s","payload":{payload}}}"#);
    let deep = format!("{}{}", "{\"a\":".repeat(70), "1".to_owned() + &"}".repeat(70));
    let bad = [
        r#"{"a":"x\u0000"}"#,
        r#"{"a\u0000":1}"#,
        r#"{"a":"\ud800"}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"a":1e131071}"#,
        &deep,
    ];
    let mut items: Vec<String> = bad.iter().map(|payload| event(payload)).collect();
    items.push(event(r#"{"good":"\\u0000"}"#));
    let answer = tidegate.client.events(array(&items)).accepted(1, 6);
    let codes: Vec<&str> =
        answer["errors"].as_array().unwrap().iter().map(|error| error["code"].as_str().unwrap()).collect();
    assert_eq!(
        codes,
        ["payload_nul", "payload_nul", "lone_surrogate", "duplicate_key", "number_too_large", "too_deep"]
    );
    // What was kept of a dead letter is taken again once it is mended.
    let raw: String =
        env.sql().one("SELECT convert_from(raw, 'UTF8') FROM dead_letter_events WHERE code = 'duplicate_key'");
    tidegate.client.events(raw.replace("\\u0061", "b")).accepted(1, 0);
    let read: Vec<String> = env.sql().column(
        "SELECT coalesce(payload->>'good', payload->>'b') FROM events WHERE payload::jsonb IS NOT NULL ORDER BY 1",
    );
    assert_eq!(read, ["2", "\\u0000"]);
    Ok(())
}

fn an_installation_with_json_decides(env: &Env) -> TestResult {
    the_installation_decides(env, "json", "jsonb", "{ \"n\":2}")
}

fn an_installation_with_jsonb_decides(env: &Env) -> TestResult {
    the_installation_decides(env, "jsonb", "json", "{\"n\": 2}")
}

fn the_installation_decides(env: &Env, made: &str, other: &str, second: &str) -> TestResult {
    env.begin_empty();
    let tidegate = env.serve_with(&[&format!("storage_payload={made}")]);
    send(&tidegate, "{\"n\":1}");
    drop(tidegate);
    let said = format!("was installed with storage_payload = {made}");
    let setting = format!("storage_payload={other}");
    let finished = env.serve_fails(&[&setting]);
    assert!(finished.code == Some(1) && finished.stderr.contains(&said), "{finished:?}");
    for command in [&["migrate", "--set", &setting][..], &["migrate", "--check", "--set", &setting]] {
        let finished = env.cli(command);
        assert!(finished.code == Some(1) && finished.stderr.contains(&said), "{finished:?}");
    }
    let doctor = env.cli(&["doctor", "--set", &setting]);
    assert!(doctor.code == Some(1) && doctor.stdout.contains(&said), "{doctor:?}");
    // Who asks for nothing goes on with what is there.
    let doctor = env.cli(&["doctor"]);
    assert!(doctor.stdout.contains(&format!("payload as {made}")), "{doctor:?}");
    let tidegate = env.serve();
    send(&tidegate, "{ \"n\":2}");
    drop(tidegate);
    assert_kept(env, made);
    let stored: Vec<String> = env.sql().column("SELECT payload::text FROM events ORDER BY payload->>'n'");
    assert_eq!(stored[1], second);
    Ok(())
}

/// Whose tables were there already, but not what it was made as.
fn an_installation_that_was_cut_short(env: &Env) -> TestResult {
    env.begin_empty();
    for made in ["json", "jsonb", "json"] {
        assert_eq!(env.cli(&["migrate", "--set", &format!("storage_payload={made}")]).code, Some(0));
        assert_kept(env, made);
        if env.engine == Engine::Timescale {
            let store: (Option<String>, Option<String>, String) = {
                let rows = env.sql().rows(
                    "SELECT segmentby, orderby, index::text FROM timescaledb_information.hypertable_columnstore_settings \
                     WHERE hypertable = 'events'::regclass",
                    &[],
                );
                (rows[0].get(0), rows[0].get(1), rows[0].get(2))
            };
            assert_eq!(store.0.as_deref(), Some("tenant_id"));
            assert!(store.1.unwrap().starts_with("asset_id,"), "{}", store.2);
            for column in ["correlation_id", "id", "parent_event_id", "bare_id"] {
                assert!(store.2.contains(&format!("\"{column}\"")), "{}", store.2);
            }
        }
        env.sql().alter("DELETE FROM installation");
    }
    Ok(())
}
