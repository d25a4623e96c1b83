//! Poolers between Tidegate and its database: sessions of their own are what is needed, and their absence is found at start.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use serde_json::{Value, json};
use tidegate::storage::embedded::{OWNER, READER, WRITER};

use crate::books::Books;
use crate::client::Client;
use crate::env::{Engine, Env, Test, TestResult, until};
use crate::groups::{next, tell};
use crate::pgbouncer::{PgBouncer, missing};
use crate::postgres::Sql;
use crate::process::{Finished, Tidegate};
use crate::samples::batch;
use crate::traffic::{Patience, Traffic, assert_stored};

const BOTH: &[Engine] = &Engine::ALL;

pub const TESTS: &[Test] = &[
    Test { name: "session_mode_serves", engines: BOTH, run: session_mode_serves, missing },
    Test { name: "other_modes_are_refused", engines: BOTH, run: other_modes_are_refused, missing },
    Test { name: "a_busy_pooler_is_refused_too", engines: BOTH, run: a_busy_pooler_is_refused_too, missing },
    Test {
        name: "a_mode_changed_meanwhile_loses_nothing",
        engines: BOTH,
        run: a_mode_changed_meanwhile_loses_nothing,
        missing,
    },
];

/// More than `serve` opens at most.
const ROOM: usize = 60;

const KEYS: [(&str, &str); 3] = [("DATABASE", OWNER), ("WRITER", WRITER), ("READER", READER)];

/// The variables of the program, with those URLs through the pooler that are named.
fn variables(env: &Env, pooler: &PgBouncer, through: &[&str]) -> Vec<(String, String)> {
    let url = |name: &str, role: &str| if through.contains(&name) { pooler.url(role) } else { env.url(role) };
    KEYS.map(|(name, role)| (format!("TIDEGATE_{name}_URL"), url(name, role))).to_vec()
}

fn findings(env: &Env, variables: &[(String, String)]) -> Vec<Value> {
    let finished = Finished::run(env, variables, &["doctor", "--json"]);
    serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished:?}"))
}

fn session_mode_serves(env: &Env) -> TestResult {
    let pooler = PgBouncer::start(env, "session", ROOM);
    let variables = variables(env, &pooler, &["DATABASE", "WRITER", "READER"]);
    let migrated = Finished::run(env, &variables, &["migrate"]);
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    let tidegate = Tidegate::serve(env, &variables, &[]);
    tidegate.client.events(batch(100)).accepted(100, 0);
    let arguments =
        ["load", "--url", &tidegate.client.url(), "--key", tidegate.client.key(), "--duration", "1s", "--json"];
    let report = Finished::run(env, &variables, &arguments).json();
    assert_eq!(report["conservation"]["ok"], true, "{report}");
    assert_eq!(tidegate.client.get("/v1/events?limit=100").expect(200)["data"].as_array().unwrap().len(), 100);
    reads_on(&tidegate.client);
    for found in findings(env, &variables) {
        let session = found["check"].as_str().unwrap().ends_with("_url session");
        assert!(!session || (found["state"] == "ok" && found["found"].as_str().unwrap().contains("pooler")), "{found}");
    }
    Ok(())
}

const STREAM: &str = "/v1/streams/default";
const GROUP: &str = "/v1/streams/default/groups/g";

/// A group is made, if there is none, and what it is given is acknowledged.
fn reads_on(client: &Client) {
    let made = client.post(&format!("{STREAM}/groups"), &[], r#"{"name":"g","max_deliveries":0,"ack_timeout":"1h"}"#);
    assert!(made.status == 201 || made.json()["code"] == "group_exists", "{}", made.text());
    for n in 0..8 {
        let taken = next(client, "default", "g", &format!("limit=1&member=m{n}"));
        tell(client, "default", "g", "ack", json!({ "lease": taken["lease"] })).expect(200);
    }
}

/// Refused by serve, and by doctor under the name of the URL.
fn refused(env: &Env, variables: &[(String, String)], key: &str) {
    let need = format!("{key} session");
    let finished = Finished::run(env, variables, &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished:?}");
    assert!(finished.stderr.contains(&need) && finished.stderr.contains("pool_mode = session"), "{finished:?}");
    let findings = findings(env, variables);
    let found = findings.iter().find(|found| found["check"] == need.as_str()).unwrap_or_else(|| panic!("{findings:?}"));
    assert_eq!(found["state"], "failed", "{found}");
}

fn other_modes_are_refused(env: &Env) -> TestResult {
    env.begin_empty();
    let is_empty = || env.sql().one::<bool>("SELECT to_regnamespace('tidegate') IS NULL");
    for (mode, size) in [("transaction", 4), ("statement", 1)] {
        let pooler = PgBouncer::start(env, mode, size);
        let owners = variables(env, &pooler, &["DATABASE"]);
        refused(env, &owners, "database_url");
        for command in [&["migrate"][..], &["migrate", "--check"], &["keys", "list"]] {
            let finished = Finished::run(env, &owners, command);
            assert_eq!(finished.code, Some(1), "{finished:?}");
            assert!(finished.stderr.contains("database_url session"), "{finished:?}");
        }
        assert!(is_empty(), "{mode}: something was made");
    }
    let pooler = PgBouncer::start(env, "transaction", 4);
    refused(env, &variables(env, &pooler, &["WRITER"]), "writer_url");
    refused(env, &variables(env, &pooler, &["READER"]), "reader_url");
    assert!(is_empty(), "something was made");
    Ok(())
}

/// Others who use the same pool at the same moment, so that the server process of a client is another each time, or is not.
fn a_busy_pooler_is_refused_too(env: &Env) -> TestResult {
    for size in [2, 8] {
        let pooler = PgBouncer::start(env, "transaction", size);
        let (url, stop) = (pooler.url(WRITER), Arc::new(AtomicBool::new(false)));
        let others: Vec<_> = (0..4)
            .map(|_| {
                let (other, stop) = (Sql::bare(&url), Arc::clone(&stop));
                std::thread::spawn(move || {
                    // The proof may take a server process from them; they go on with others.
                    while !stop.load(SeqCst) && other.try_run("BEGIN; SELECT 1; COMMIT").is_ok() {}
                })
            })
            .collect();
        refused(env, &variables(env, &pooler, &["WRITER"]), "writer_url");
        stop.store(true, SeqCst);
        others.into_iter().for_each(|other| other.join().unwrap());
    }
    Ok(())
}

/// What start has looked at can change later: statements are then missing, or there already, on the server process at hand.
fn a_mode_changed_meanwhile_loses_nothing(env: &Env) -> TestResult {
    let pooler = PgBouncer::start(env, "session", ROOM);
    let tidegate = Tidegate::serve(env, &variables(env, &pooler, &["WRITER"]), &[]);
    let traffic = Traffic::start(&tidegate.client, Patience::Retry);
    traffic.flows(20);
    tidegate
        .client
        .post(&format!("{STREAM}/groups"), &[], r#"{"name":"g","max_deliveries":0,"ack_timeout":"1h"}"#)
        .expect(201);
    pooler.set_mode("transaction", 2);
    // Safe in the spool, if not in the database.
    traffic.flows(40);
    // What groups do fails, or not; the sessions that were lost are not used again, and others are begun.
    for n in 0..16 {
        let _ = tidegate.client.get(&format!("{GROUP}/events?limit=1&member=m{n}"));
    }
    until("a session that was begun now serves", || {
        (tidegate.client.get(&format!("{GROUP}/events?limit=1&member=m")).status == 200).then_some(())
    });
    pooler.set_mode("session", ROOM);
    // Those who began meanwhile told their settings to these processes, and not to those that they have from now on.
    pooler.reconnect();
    traffic.flows(20);
    until("groups go on", || {
        let members = (0..16).map(|n| tidegate.client.get(&format!("{GROUP}/events?limit=1&member=m{n}")).status);
        members.max().filter(|status| *status == 200)
    });
    reads_on(&tidegate.client);
    let acknowledged = traffic.finish();
    Books::drained(&tidegate.client);
    until("the database takes batches again", || {
        (tidegate.client.get("/readyz").json()["status"] == "ready").then_some(())
    });
    assert_eq!(assert_stored(&env.sql(), &acknowledged), acknowledged.len());
    Books::of(&tidegate.client).assert_balanced();
    Ok(())
}
