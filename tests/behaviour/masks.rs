//! What streams mask is kept nowhere: not among events, dead letters and receipts, not in the spool, not in logs.

use std::path::Path;

use serde_json::json;
use tidegate::storage::embedded::WRITER;

use crate::client::Client;
use crate::definitions::{alter, define};
use crate::env::{Env, Test, TestResult, until};
use crate::postgres::Sql;
use crate::process::Tidegate;
use crate::proxy::Proxy;
use crate::samples::array;
use crate::tests;

pub const TESTS: &[Test] = tests!(
    what_is_masked_is_kept_nowhere,
    what_is_broken_costs_nothing_beside_it,
    what_takes_long_to_mask_is_masked_and_what_grows_too_much_refused,
    what_is_masked_is_not_in_the_spool,
    a_node_that_knows_no_masks_writes_nothing_of_masked_streams,
);

pub const SECRET: &str = "jane.doe@example.com";

pub fn item(payload: &str) -> String {
    format!(r#"{{"event_type":"a","source_module":"tests","stream":"people","payload":{payload}}}"#)
}

fn people(client: &Client) {
    let mask = json!([{ "path": "/mail", "action": "hash" }, { "path": "/cards/*/number", "action": "remove" }]);
    define(
        client,
        json!({ "name": "people", "mask": mask, "schema": { "properties": { "n": { "type": "integer" } } } }),
    );
}

/// Rows of all relations that hold the secret.
pub fn rows_with_secret(env: &Env) -> Vec<String> {
    let sql = env.sql();
    let tables = "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'tidegate'::regnamespace AND c.relkind IN ('r', 'p') \
                  AND NOT c.relispartition";
    sql.column::<String>(tables)
        .into_iter()
        .filter(|table| {
            let found = format!(
                "SELECT count(*) FROM tidegate.{table:?} t WHERE t::text LIKE '%{SECRET}%' OR t::text LIKE '%{}%'",
                hex(SECRET)
            );
            sql.one::<i64>(&found) > 0
        })
        .collect()
}

/// As bytea is written.
fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a file below a folder has the secret in it.
fn on_disk(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(on_disk(&path));
        } else if std::fs::read(&path)
            .is_ok_and(|bytes| bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()))
        {
            found.push(path.display().to_string());
        }
    }
    found
}

fn what_is_masked_is_kept_nowhere(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (client, sql) = (&tidegate.client, env.sql());
    people(client);
    let secret = format!(r#""mail":"{SECRET}""#);
    let body = array([
        item(&format!(r#"{{{secret},"n":1,"cards":[{{"number":"{SECRET}","kind":"x"}}]}}"#)),
        item(&format!(r#"{{{secret},"n":2}}"#)),
        // Refused, by its schema and by a rule; and what is no object.
        item(&format!(r#"{{{secret},"n":"x"}}"#)),
        format!(r#"{{"source_module":"tests","stream":"people","payload":{{{secret}}}}}"#),
        format!(r#""{SECRET}""#),
        // A payload that nobody has wrapped.
        format!(r#"{{"stream":"people",{secret},"n":1}}"#),
    ]);
    client.keyed("k", &body).accepted(2, 4);
    assert_eq!(client.repeated("k", &body).expect(200)["duplicate"], true, "equal bodies are known again");
    client.keyed("k", String::from_utf8(body.clone())?.replace("jane", "june")).problem(422, "idempotency_key_reused");
    client.events(format!(r#"[{{"payload": {{{secret}, ]"#)).expect(400);
    client.events(SECRET).expect(400);
    let wrapped = "/v1/events?wrap=payload&event_type=a&source_module=m&stream=people";
    client.post(wrapped, &[("content-type", "application/json")], format!(r#"{{{secret}}}"#)).accepted(1, 0);
    assert_eq!(rows_with_secret(env), [] as [String; 0]);
    assert_eq!(on_disk(&env.path().join(".tidegate")), [] as [String; 0]);
    assert!(!tidegate.log().contains(SECRET), "{}", tidegate.log());

    let stored: Vec<String> = sql.column("SELECT payload::text FROM events ORDER BY batch_seq, batch_id");
    assert!(
        stored
            .iter()
            .any(|payload| payload.contains(r#""cards": [{"kind": "x"}]"#)
                || payload.contains(r#""cards":[{"kind":"x"}]"#)),
        "{stored:?}"
    );
    let hashes: Vec<String> = sql.column("SELECT DISTINCT payload->>'mail' FROM events");
    assert!(hashes.len() == 1 && hashes[0].starts_with("masked:") && hashes[0].len() == 47, "{hashes:?}");
    let letters = client.get("/v1/dead-letters").expect(200);
    let letters = letters["data"].as_array().unwrap();
    let refused = letters.iter().find(|one| one["code"] == "schema_violation").unwrap();
    assert!(refused["raw"].as_str().unwrap().contains(&hashes[0]), "{refused}");
    let withheld: Vec<_> = letters.iter().filter(|one| one["redacted"] == true).collect();
    assert_eq!(withheld.len(), 3, "{letters:?}");
    assert!(
        withheld.iter().all(|one| one["raw"].as_str().unwrap().bytes().all(|byte| b"*[\"".contains(&byte))),
        "{withheld:?}"
    );
    let replay = |letter: &serde_json::Value| {
        client.post(&format!("/v1/dead-letters/{}/replay", letter["id"].as_str().unwrap()), &[], "")
    };
    replay(withheld[0]).problem(422, "not_replayable");

    // Replayed once the schema is mended, it has the hash that it had.
    alter(client, "people", &json!({ "mode": "off" })).expect(200);
    replay(refused).expect(200);
    assert_eq!(sql.one::<i64>("SELECT count(DISTINCT payload->>'mail') FROM events"), 1);
    assert_eq!(sql.one::<i64>("SELECT count(*) FROM events"), 4);
    Ok(())
}

fn what_is_broken_costs_nothing_beside_it(env: &Env) -> TestResult {
    let tidegate = env.share();
    let other = tidegate.with(&env.key("other", "ingest,read"));
    let client = &tidegate.client;
    people(client);
    let mail = format!(r#"{{"mail":"{SECRET}"}}"#);
    let (good, event) = (item(&mail), r#"{"event_type":"a","source_module":"tests","stream""#);
    let bodies = [
        [&good, &item(&format!(r#"{{"mail" "{SECRET}"}}"#)), &good].map(String::as_str).concat(),
        format!("{}\n{good}", item(&format!(r#"{{mail":"{SECRET}"}}"#))),
        [&item(&format!(r#"{{"mail":"{SECRET}" "b":2}}"#)), &good, &good].map(String::as_str).concat(),
        format!("[{good},,{good},{{\"mail\":\"{SECRET}\",]"),
        // Refused because of what the payload is; because of the stream, which may be the masked one.
        array([item(&format!("[{mail}]")), item(&json!(mail).to_string()), good.clone()])
            .into_iter()
            .map(char::from)
            .collect(),
        format!(r#"{event}:"","stream_name":"people","payload":{mail}}}{good}"#),
        format!(r#"{event}:"x","stream":"people","payload":{mail}}}{good}"#),
    ];
    for body in &bodies {
        let [masked, plain] = [client, &other].map(|client| {
            let answer = client.events(body).in_time();
            (answer.status, answer.json()["accepted"].clone(), answer.json()["rejected"].clone())
        });
        assert_eq!(masked, plain, "{body}");
    }
    let sql = env.sql();
    let letters = format!("SELECT count(*) FROM dead_letter_events WHERE tenant_id = '{}'", env.organization());
    assert!(sql.one::<i64>(&letters) >= 8);
    let readable = format!("{letters} AND convert_from(raw, 'UTF8') LIKE '%{SECRET}%'");
    assert_eq!(sql.one::<i64>(&readable), 0);
    // Those of which bytes were withheld say so.
    let said = format!(
        "{letters} AND redacted <> (convert_from(raw, 'UTF8') LIKE '%**%' OR convert_from(raw, 'UTF8') LIKE '%*withheld*%')"
    );
    assert_eq!(sql.one::<i64>(&said), 0);
    Ok(())
}

fn what_takes_long_to_mask_is_masked_and_what_grows_too_much_refused(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (client, sql) = (&tidegate.client, env.sql());
    define(client, json!({ "name": "people", "mask": [{ "path": "/mails/*", "action": "hash" }] }));
    let payload = |value: &str, count: usize| format!(r#"{{"mails":[{}]}}"#, vec![value; count].join(","));
    // More than is masked where it is read.
    client.events(item(&payload(&format!(r#""{SECRET}-{SECRET}""#), 10_000))).accepted(1, 0);
    let masked = "SELECT count(*) FROM events e, jsonb_array_elements_text((e.payload->'mails')::jsonb) m WHERE m LIKE 'masked:%'";
    assert_eq!((sql.one::<i64>(masked), rows_with_secret(env)), (10_000, vec![]));
    // A hash is many times as large as a digit.
    let refused = client.events(item(&payload("1", 10_000))).problem(413, "body_too_large");
    assert!(refused["detail"].as_str().unwrap().contains("four times as large"), "{refused}");
    client.events(item(&payload("1", 1000))).accepted(1, 0);
    assert_eq!((sql.one::<i64>(masked), sql.count("dead_letter_events")), (11_000, 0));
    Ok(())
}

fn what_is_masked_is_not_in_the_spool(env: &Env) -> TestResult {
    env.database();
    let proxy = Proxy::start(&env.socket());
    let variables = env.variables_all_through(&proxy);
    let mut tidegate = Tidegate::serve(env, &variables, &[]);
    people(&tidegate.client);
    let key = env.key("default", "ingest,read");
    tidegate.with(&key).events(item(r#"{"n":0}"#)).accepted(1, 0);
    let keys = env.path().join(".tidegate/keys");
    until("the key is kept", || std::fs::read_to_string(&keys).is_ok_and(|text| text.contains(key.id())).then_some(()));
    tidegate.kill();
    proxy.away();
    // What is masked is known without the database.
    let mut tidegate = Tidegate::listening(env, &variables, &[]);
    let client = tidegate.with(&key);
    let secret = format!(r#""mail":"{SECRET}""#);
    client
        .events(array([item(&format!(r#"{{{secret},"n":1}}"#)), item(&format!(r#"{{{secret},"n":"x"}}"#))]))
        .expect(202);
    // Its dead letter waits in the spool as well.
    assert_eq!(client.events(SECRET).status, 400);
    client.events(format!(r#"[{}, {{"payload": {{{secret}, ]"#, item(&format!("{{{secret}}}")))).expect(202);
    assert_eq!(on_disk(&env.path().join(".tidegate")), [] as [String; 0]);
    proxy.back();
    tidegate.ready(env);
    let sql = env.sql();
    until("it is drained", || (sql.count("events") == 3).then_some(()));
    until("its refusals too", || (sql.count("dead_letter_events") >= 2).then_some(()));
    assert_eq!(
        sql.one::<i64>("SELECT count(*) FROM dead_letter_events WHERE code = 'schema_violation'"),
        1,
        "judged when it is drained"
    );
    assert_eq!(sql.one::<i64>("SELECT count(DISTINCT payload->>'mail') FROM events"), 1);
    assert_eq!(rows_with_secret(env), [] as [String; 0]);
    assert_eq!(tidegate.stop(), Some(0));
    Ok(())
}

fn a_node_that_knows_no_masks_writes_nothing_of_masked_streams(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let writer = Sql::bare(&env.url(WRITER));
    let manifest = "INSERT INTO tidegate.ingest_batches (kind, tenant_id, batch_id, stream, event_count, min_timestamp, max_timestamp, \
                    touched_hours, seq_span) VALUES ('events', 'default', -1, 'people', 1, now(), now(), '{}', 1)";
    let letters = "INSERT INTO tidegate.dead_letter_events (tenant_id, id, stage, code, reason, raw, route, content_type, parameters, \
                   item_index, receipt, api_key_id) VALUES ('default', gen_random_uuid(), 'write', 'row_refused', '', '', '', '', '{}', 0, \
                   gen_random_uuid(), gen_random_uuid())";
    let tried = |sql: &str| {
        let tried = writer.try_run(&format!("BEGIN; {sql}"));
        writer.run("ROLLBACK");
        tried
    };
    assert_eq!([manifest, letters].map(tried), [Ok(()), Ok(())], "nothing is masked");
    people(&tidegate.client);
    assert_eq!([manifest, letters].map(tried), [Err("0A000".to_owned()), Err("0A000".to_owned())]);
    writer.run("SET tidegate.masks = 'known'");
    assert_eq!([manifest, letters].map(tried), [Ok(()), Ok(())]);
    Ok(())
}
