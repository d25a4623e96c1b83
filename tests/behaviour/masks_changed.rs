//! A stream is masked while its events are on their way: in the spool, behind a database that was away, at another node, sent again.

use std::time::Instant;

use jiff::Timestamp;
use serde_json::json;
use tidegate::limits::{DEFINITIONS_AGE_MAX, DEFINITIONS_WAIT_MAX, DRAIN_ALONE_DEADLINE};
use tidegate::storage::embedded::WRITER;

use crate::client::Client;
use crate::definitions::{alter, define};
use crate::env::{Env, Test, TestResult, until};
use crate::masks::{SECRET, item, rows_with_secret};
use crate::postgres::Sql;
use crate::process::Tidegate;
use crate::proxy::Proxy;
use crate::samples::{array, seconds_from_now};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    what_was_spooled_before_is_masked_when_it_is_drained,
    a_node_that_was_away_knows_before_it_writes,
    a_request_sent_again_is_known_again,
);

pub const SLOW: &[Test] = tests!(what_waits_to_be_drained_is_masked_as_it_is_defined_then);

pub const ON_HYPERTABLES: &[Test] = tests!(timescale: on_the_rowstore_it_is_the_event_that_is_stored);

fn mask() -> serde_json::Value {
    json!([{ "path": "/mail", "action": "hash" }])
}

fn secret(n: usize) -> String {
    item(&format!(r#"{{"mail":"{SECRET}","n":{n}}}"#))
}

/// A node behind a proxy, and another one on the same database.
fn two_nodes(env: &Env) -> (Proxy, Tidegate, Tidegate) {
    env.database();
    let proxy = Proxy::start(&env.socket());
    let behind = Tidegate::serve(env, &env.variables_all_through(&proxy), &[]);
    let elsewhere = ["--set".to_owned(), format!("data_dir={}", env.path().join("elsewhere").display())];
    let other = Tidegate::serve(env, &env.variables(), &elsewhere);
    (proxy, behind, other)
}

fn what_was_spooled_before_is_masked_when_it_is_drained(env: &Env) -> TestResult {
    let (proxy, behind, other) = two_nodes(env);
    let (sql, elsewhere) = (env.sql(), Client::new(&other.client.address, Some(behind.client.key())));
    behind.client.events(item(r#"{"n":0}"#)).accepted(1, 0);
    proxy.away();
    let broken = [
        format!("[{}, {{\"payload\": {{\"mail\":\"{SECRET}\", ], {}]", secret(1), secret(2)),
        format!("{}\n{{\"mail\":\"{SECRET}\"\n{}\n\"{SECRET}\n{}", secret(3), secret(4), secret(5)),
        format!("[{},{{\"mail\" \"{SECRET}\"}},{}", secret(6), secret(7)),
        format!("{} x {SECRET} {{\"a\" {} [{{\"b\":\"{SECRET}\"}}", secret(8), secret(9)),
    ];
    let mut told = (0, 0);
    for body in &broken {
        let answer = behind.client.events(body);
        let body = answer.expect(202);
        told.0 += body["accepted"].as_i64().unwrap();
        told.1 += body["rejected"].as_i64().unwrap();
    }
    behind.client.events(array([secret(10), item(r#"{"n":"x"}"#)])).expect(202);
    let schema = json!({ "properties": { "n": { "type": "integer" } } });
    define(&elsewhere, json!({ "name": "people", "mask": mask(), "schema": schema }));
    proxy.back();
    until("all is drained", || {
        (sql.count("events") == told.0 + 2 && sql.count("dead_letter_events") == told.1 + 1).then_some(())
    });
    assert_eq!(rows_with_secret(env), [] as [String; 0]);
    let refused = "SELECT count(*) FROM dead_letter_events WHERE code = 'schema_violation'";
    assert_eq!(sql.one::<i64>(refused), 1, "it is judged by what is defined when it is drained");
    assert_eq!(env.cli(&["spool", "list", "--json"]).json(), json!([]));
    Ok(())
}

/// Since when a writer has waited for what `holder` holds.
fn waits(sql: &Sql, holder: &Sql) -> Option<Timestamp> {
    let pid: i32 = holder.one("SELECT pg_backend_pid()");
    let blocked = format!(
        "SELECT query_start FROM pg_stat_activity WHERE {pid} = ANY (pg_blocking_pids(pid)) AND usename = '{WRITER}'"
    );
    sql.column(&blocked).into_iter().max()
}

fn what_waits_to_be_drained_is_masked_as_it_is_defined_then(env: &Env) -> TestResult {
    let (proxy, behind, other) = two_nodes(env);
    let (sql, holder) = (env.sql(), env.sql());
    let elsewhere = Client::new(&other.client.address, Some(behind.client.key()));
    behind.client.events(item(r#"{"n":0}"#)).accepted(1, 0);
    proxy.away();
    // Whether they are tried together or one by one, each try ends after a while.
    (1..=2).for_each(|n| drop(behind.client.events(secret(n)).expect(202)));
    holder.run("BEGIN; LOCK TABLE ingest_ledger IN SHARE MODE");
    proxy.back();
    until("the drain is about to write them", || waits(&sql, &holder));
    define(&elsewhere, json!({ "name": "people", "mask": mask() }));
    let defined: Timestamp = sql.one("SELECT clock_timestamp()");
    until("what was read before has been given up", || {
        waits(&sql, &holder).filter(|now| *now > defined + DRAIN_ALONE_DEADLINE)
    });
    holder.run("ROLLBACK");
    until("they are written", || (sql.count("events") == 3).then_some(()));
    assert_eq!(rows_with_secret(env), [] as [String; 0]);
    Ok(())
}

fn a_node_that_was_away_knows_before_it_writes(env: &Env) -> TestResult {
    let (proxy, behind, other) = two_nodes(env);
    let elsewhere = Client::new(&other.client.address, Some(behind.client.key()));
    behind.client.events(item(r#"{"n":0}"#)).accepted(1, 0);
    // Nothing is sent to it meanwhile, so that it does not find out.
    proxy.away();
    define(&elsewhere, json!({ "name": "people", "mask": mask() }));
    let defined = Instant::now();
    until("what it knows is old", || (defined.elapsed() > DEFINITIONS_AGE_MAX).then_some(()));
    proxy.back();
    let sent = Instant::now();
    behind.client.events(secret(1)).in_time().accepted(1, 0);
    // A machine on which a look takes so long shows nothing.
    if sent.elapsed() < DEFINITIONS_WAIT_MAX {
        assert_eq!(rows_with_secret(env), [] as [String; 0]);
    }
    Ok(())
}

fn a_request_sent_again_is_known_again(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    client.keyed("plain", secret(1)).accepted(1, 0);
    define(client, json!({ "name": "people", "mask": mask() }));
    let again = |key: &str, n| {
        assert_eq!(client.repeated(key, secret(n)).expect(200)["duplicate"], true, "{key}");
        client.keyed(key, secret(n + 10)).problem(422, "idempotency_key_reused");
    };
    again("plain", 1);
    client.keyed("masked", secret(2)).accepted(1, 0);
    again("masked", 2);
    alter(client, "people", &json!({ "mask": [] })).expect(200);
    again("plain", 1);
    again("masked", 2);
    assert_eq!(env.sql().count("events"), 2);
    Ok(())
}

fn on_the_rowstore_it_is_the_event_that_is_stored(env: &Env) -> TestResult {
    env.begin_empty();
    let tidegate = env.serve_with(&["storage_profile=rowstore"]);
    let (client, sql, at) = (&tidegate.client, env.sql(), seconds_from_now(-60));
    let event = |n: u32| {
        let known = format!(r#"{{"id":"{}","timestamp":"{at}","#, uuid::Uuid::from_u128(n.into()));
        secret(1).replacen('{', &known, 1)
    };
    client.events(event(1)).accepted(1, 0);
    define(
        client,
        json!({ "name": "people", "mask": mask(), "schema": { "properties": { "mail": { "type": "string" } } } }),
    );
    client.events(event(2)).accepted(1, 0);
    assert_eq!(client.events(event(2)).accepted(0, 0)["duplicates"], 1, "masked twice it is the same");
    client.events(event(1)).in_time();
    let letters: Vec<String> =
        sql.column("SELECT code || ' ' || reason || convert_from(raw, 'UTF8') FROM dead_letter_events");
    assert!(letters[0].starts_with("id_conflict ") && !letters[0].contains(SECRET), "{letters:?}");
    // Judged by another version it is the same event, too.
    alter(client, "people", &json!({ "schema": { "required": ["mail"] } })).expect(200);
    assert_eq!(client.events(event(2)).accepted(0, 0)["duplicates"], 1);
    assert_eq!((sql.count("events"), letters.len()), (2, 1));
    Ok(())
}
