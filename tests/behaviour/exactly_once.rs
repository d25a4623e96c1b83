//! A request that is sent again is answered again, and stored once.

use serde_json::json;

use crate::books::Books;
use crate::client::{Answer, Client, repeated};
use crate::env::{Env, Test, TestResult, until};
use crate::samples::{array, batch, event};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    a_replay_gets_the_first_answer,
    another_body_under_the_same_key_is_refused,
    another_route_parameter_is_another_request,
    tenants_do_not_share_keys,
    fifty_identical_requests_at_once,
    refusals_are_replayed_too,
    a_partly_rejected_request_is_replayed_whole,
    the_bodys_hash_as_key,
    a_failed_attempt_leaves_no_trace,
    the_same_keys_in_opposite_order,
    a_contended_key_delays_no_other,
    receipts_can_be_asked_for,
    what_was_spooled_is_told_by_its_receipt,
    without_a_key_every_request_counts,
    the_ledger_is_kept_as_long_as_configured,
);

/// Sends these requests at the same moment; the answers in their order.
fn at_once(requests: Vec<Box<dyn Fn() -> Answer + Send>>) -> Vec<Answer> {
    let gate = std::sync::Barrier::new(requests.len());
    std::thread::scope(|scope| {
        let gate = &gate;
        let sent: Vec<_> = requests
            .into_iter()
            .map(|request| {
                scope.spawn(move || {
                    gate.wait();
                    request()
                })
            })
            .collect();
        sent.into_iter().map(|request| request.join().unwrap()).collect()
    })
}

/// Sends until it is not told that the same request is being written.
fn patiently(client: &Client, key: &str, body: &[u8]) -> Answer {
    until("an answer other than 409", || {
        let answer = client.keyed(key, body);
        if answer.status == 409 {
            answer.problem(409, "idempotency_key_in_flight");
            return None;
        }
        Some(answer)
    })
}

fn assert_replayed(first: &Answer, again: &Answer) {
    assert_eq!((again.status, again.header("idempotent-replayed")), (first.status, "true"));
    assert_eq!(first.header("idempotent-replayed"), "");
    let (mut first, again) = (first.json(), again.json());
    assert_eq!((&first["duplicate"], &again["duplicate"]), (&json!(false), &json!(true)));
    first["duplicate"] = true.into();
    assert_eq!(first, again, "but for `duplicate` the answers are the same");
}

fn a_replay_gets_the_first_answer(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let first = tidegate.client.keyed("k", batch(20));
    first.accepted(20, 0);
    assert_replayed(&first, &tidegate.client.repeated("k", batch(20)));
    assert_replayed(&first, &tidegate.client.repeated("k", batch(20)));
    assert_eq!((env.sql().count("events"), env.sql().count("ingest_ledger")), (20, 1));
    Books::of(&tidegate.client).assert_items(&[("received", 60), ("committed", 20), ("deduplicated", 40)]);
    // Another process on the same database knows it as well.
    drop(tidegate);
    let other = env.serve();
    assert_replayed(&first, &other.client.repeated("k", batch(20)));
    assert_eq!(env.sql().count("events"), 20);
    Ok(())
}

fn another_body_under_the_same_key_is_refused(env: &Env) -> TestResult {
    let tidegate = env.serve();
    tidegate.client.keyed("k", event(1)).accepted(1, 0);
    for body in [event(2), format!("{} ", event(1)), "{}".into(), "hello".into()] {
        tidegate.client.keyed("k", &body).problem(422, "idempotency_key_reused");
    }
    let sql = env.sql();
    assert_eq!((sql.count("events"), sql.count("dead_letter_events"), sql.count("ingest_ledger")), (1, 0, 1));
    Books::of(&tidegate.client).assert_items(&[("received", 5), ("committed", 1), ("refused", 4)]);
    Ok(())
}

fn another_route_parameter_is_another_request(env: &Env) -> TestResult {
    let tidegate = env.share();
    let headers = [("idempotency-key", "k")];
    tidegate.client.post("/v1/events?stream=a", &headers, event(1)).accepted(1, 0);
    let other = repeated(|| tidegate.client.post("/v1/events?stream=b", &headers, event(1)));
    other.problem(422, "idempotency_key_reused");
    assert_eq!(env.sql().count("events"), 1);
    Ok(())
}

fn tenants_do_not_share_keys(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let other = tidegate.with(&env.key("other", "ingest"));
    let first = tidegate.client.keyed("k", event(1)).accepted(1, 0);
    let second = other.keyed("k", event(1)).accepted(1, 0);
    other.keyed("k", event(1)).accepted(1, 0);
    assert_eq!((&first["duplicate"], &second["duplicate"]), (&json!(false), &json!(false)));
    assert_ne!(first["receipt"], second["receipt"]);
    let tenants: Vec<String> = env.sql().column("SELECT tenant_id FROM events ORDER BY 1");
    assert_eq!(tenants, ["default", "other"]);
    Ok(())
}

fn fifty_identical_requests_at_once(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let requests = (0..50).map(|_| {
        let client = tidegate.client.clone();
        Box::new(move || client.keyed("k", batch(10))) as Box<dyn Fn() -> Answer + Send>
    });
    let answers = at_once(requests.collect());
    let (mut executed, mut spooled) = (0, 0);
    let mut receipts = Vec::new();
    for answer in &answers {
        if answer.status == 409 {
            let problem = answer.problem(409, "idempotency_key_in_flight");
            assert_eq!(answer.header("retry-after"), "1", "{problem}");
            continue;
        }
        let body = answer.accepted(10, 0);
        if answer.status == 202 {
            // Too slow a database: nobody is told whether it was the first, and it has a receipt of its own.
            spooled += 1;
            continue;
        }
        executed += usize::from(body["duplicate"] == false);
        receipts.push(body["receipt"].as_str().unwrap().to_owned());
    }
    receipts.dedup();
    assert!(executed == 1 || executed == 0 && spooled > 0, "{answers:?}");
    assert!(receipts.len() <= 1, "{receipts:?}");
    assert_eq!(env.sql().count("events"), 10);
    assert_eq!(tidegate.client.repeated("k", batch(10)).accepted(10, 0)["duplicate"], true);
    Books::of(&tidegate.client).assert_items(&[("received", 510), ("committed", 10)]);
    Ok(())
}

fn refusals_are_replayed_too(env: &Env) -> TestResult {
    let tidegate = env.serve();
    for (key, body, status) in [("a", "[{},1]", 422), ("b", "hello", 400)] {
        let first = tidegate.client.keyed(key, body);
        assert_eq!(first.status, status, "{}", first.text());
        assert_replayed(&first, &tidegate.client.keyed(key, body));
    }
    assert_eq!(env.sql().count("dead_letter_events"), 3);
    Books::of(&tidegate.client).assert_items(&[("received", 6), ("dead_lettered", 3), ("deduplicated", 3)]);
    Ok(())
}

fn a_partly_rejected_request_is_replayed_whole(env: &Env) -> TestResult {
    let tidegate = env.share();
    let body = array([event(0), "{}".into(), event(2)]);
    let first = tidegate.client.keyed("k", &body);
    first.accepted(2, 1);
    assert_replayed(&first, &tidegate.client.keyed("k", &body));
    assert_eq!((env.sql().count("events"), env.sql().count("dead_letter_events")), (2, 1));
    Ok(())
}

fn the_bodys_hash_as_key(env: &Env) -> TestResult {
    let tidegate = env.share();
    let post = |query: &str, body: String| tidegate.client.post(&format!("/v1/events?dedupe=body{query}"), &[], body);
    let first = post("", event(1));
    first.accepted(1, 0);
    assert_replayed(&first, &post("", event(1)));
    assert_eq!(post("", event(2)).accepted(1, 0)["duplicate"], false);
    assert_eq!(post("&stream=s", event(1)).accepted(1, 0)["duplicate"], false);
    assert_eq!(env.sql().count("events"), 3);
    Ok(())
}

fn a_failed_attempt_leaves_no_trace(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["spool.enabled=false"]);
    let sql = env.sql();
    sql.alter("REVOKE INSERT ON events FROM tidegate_writer");
    let body = array([event(0), "{}".into()]);
    let refused = tidegate.client.keyed("k", &body);
    refused.problem(503, "unavailable");
    assert!(refused.header("retry-after").parse::<u32>()? >= 1);
    let left = ["events", "dead_letter_events", "ingest_ledger", "ingest_batches"].map(|table| sql.count(table));
    assert_eq!(left, [0, 0, 0, 0]);
    sql.alter("GRANT INSERT ON events TO tidegate_writer");
    assert_eq!(tidegate.client.keyed("k", &body).accepted(1, 1)["duplicate"], false);
    assert_eq!(tidegate.client.repeated("k", &body).accepted(1, 1)["duplicate"], true);
    assert_eq!((sql.count("events"), sql.count("dead_letter_events")), (1, 1));
    let expected = [("received", 6), ("committed", 1), ("dead_lettered", 1), ("deduplicated", 2), ("refused", 2)];
    Books::of(&tidegate.client).assert_items(&expected);
    Ok(())
}

fn the_same_keys_in_opposite_order(env: &Env) -> TestResult {
    // Two writers whose batches take many requests each, and so many of the same keys.
    let tidegate = env.serve_with(&["writers=2", "batch.linger_ms=20"]);
    let (client, keys) = (&tidegate.client, 0..50);
    let forwards: Vec<usize> = keys.clone().collect();
    let backwards: Vec<usize> = keys.rev().collect();
    let send = |order: &[usize]| {
        for part in order.chunks(25) {
            std::thread::scope(|scope| {
                for n in part {
                    scope.spawn(move || patiently(client, &format!("key-{n}"), event(*n).as_bytes()).accepted(1, 0));
                }
            });
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| send(&forwards));
        scope.spawn(|| send(&backwards));
    });
    let sql = env.sql();
    let stored: Vec<i32> = sql.column("SELECT (payload->>'n')::int FROM events ORDER BY 1");
    assert_eq!(stored, (0..50).collect::<Vec<i32>>());
    assert_eq!(sql.one::<i64>("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), 0);
    Books::of(client).assert_balanced();
    Ok(())
}

/// The name of the lock under which a key is claimed.
pub fn claim(tenant: &str, key: &str) -> String {
    format!(
        "(SELECT ('x' || encode(substr(sha256(convert_to(salt || '{tenant}' || chr(31) || '{key}', 'UTF8')), 1, 8), \
         'hex'))::bit(64)::bigint FROM claim_salt)"
    )
}

fn a_contended_key_delays_no_other(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["writers=1", "batch.linger_ms=300"]);
    // As another node does that is writing this very request.
    let elsewhere = env.sql();
    elsewhere.run(&format!("BEGIN; SELECT pg_advisory_xact_lock({})", claim("default", "key-7")));
    let requests = (0..20).map(|n| {
        let client = tidegate.client.clone();
        Box::new(move || client.keyed(&format!("key-{n}"), event(n))) as Box<dyn Fn() -> Answer + Send>
    });
    for (n, answer) in at_once(requests.collect()).iter().enumerate() {
        if n == 7 {
            answer.problem(409, "idempotency_key_in_flight");
        } else {
            answer.accepted(1, 0);
        }
    }
    elsewhere.run("ROLLBACK");
    assert_eq!(tidegate.client.keyed("key-7", event(7)).accepted(1, 0)["duplicate"], false);
    assert_eq!(env.sql().count("events"), 20);
    Ok(())
}

fn receipts_can_be_asked_for(env: &Env) -> TestResult {
    let tidegate = env.share();
    let body = array([event(0), "{}".into()]);
    let answer = tidegate.client.keyed("k", body).accepted(1, 1);
    let path = format!("/v1/receipts/{}", answer["receipt"].as_str().unwrap());
    let receipt = tidegate.client.get(&path).expect(200);
    let names = ["receipt", "status", "accepted", "rejected", "errors"];
    assert_eq!(names.map(|name| &receipt[name]), names.map(|name| &answer[name]));
    assert!(receipt["committed_at"].is_string());
    // A sender may ask for its own; another tenant finds nothing.
    tidegate.with(&env.key("default", "ingest")).get(&path).expect(200);
    tidegate.with(&env.key("other", "read")).get(&path).problem(404, "not_found");
    tidegate.client.get("/v1/receipts/nonsense").problem(404, "not_found");
    // Of requests without a key nothing is remembered.
    let unkeyed = tidegate.client.events(event(1)).accepted(1, 0);
    tidegate.client.get(&format!("/v1/receipts/{}", unkeyed["receipt"].as_str().unwrap())).problem(404, "not_found");
    Ok(())
}

/// As [`Answer::in_time`] puts them together, on which tests rely wherever a busy machine spools what they send.
fn what_was_spooled_is_told_by_its_receipt(env: &Env) -> TestResult {
    let tidegate = env.share();
    let post = |query: &str, body: &[u8]| {
        tidegate.client.post(&format!("/v1/events{query}"), &[("content-type", "application/json")], body)
    };
    let body = array([event(0), "{}".into(), event(1)]);
    let mut told = post("", &body).accepted(2, 1);
    let answer = post("?ack=spooled", &body);
    assert_eq!(answer.expect(202)["status"], "spooled");
    let waited = answer.accepted(2, 1);
    told["receipt"] = waited["receipt"].clone();
    assert_eq!(waited, told);
    let sql = env.sql();
    assert_eq!((sql.count("events"), sql.count("dead_letter_events")), (4, 2), "it is stored when it is told");
    post("?ack=spooled", b"[{}]").in_time().problem(422, "nothing_accepted");
    post("?ack=spooled", b"no JSON").in_time().problem(400, "body_not_json");
    assert_eq!(sql.count("dead_letter_events"), 4, "and so is what was refused");
    Ok(())
}

fn without_a_key_every_request_counts(env: &Env) -> TestResult {
    let tidegate = env.share();
    let receipts: Vec<String> =
        (0..3).map(|_| tidegate.client.events(event(1)).accepted(1, 0)["receipt"].to_string()).collect();
    assert!(receipts[0] != receipts[1] && receipts[1] != receipts[2]);
    assert_eq!((env.sql().count("events"), env.sql().count("ingest_ledger")), (3, 0));
    Ok(())
}

fn the_ledger_is_kept_as_long_as_configured(env: &Env) -> TestResult {
    let tidegate = env.serve();
    for key in ["old", "new"] {
        tidegate.client.keyed(key, event(1)).accepted(1, 0);
    }
    drop(tidegate);
    let sql = env.sql();
    sql.run("UPDATE ingest_ledger SET created_at = now() - interval '2 hours' WHERE idempotency_key = 'old'");
    let _tidegate = env.serve_with(&["retention.ledger=1h"]);
    until("the expired row is gone", || (sql.count("ingest_ledger") == 1).then_some(()));
    assert_eq!(sql.column::<String>("SELECT idempotency_key FROM ingest_ledger"), ["new"]);
    Ok(())
}
