//! Faults while metrics come in: what was acknowledged is stored, once, also beside events.

use serde_json::json;

use crate::books::Books;
use crate::env::{Env, Test, TestResult, until};
use crate::process::Tidegate;
use crate::proxy::{Cut, Proxy};
use crate::samples::{array, event, metric, metric_with};
use crate::tests;
use crate::traffic::{Patience, Sent, Traffic, assert_stored, assert_stored_of};

pub const TESTS: &[Test] = tests!(
    tidegate_killed_under_metrics,
    commits_of_metrics_lost,
    both_kinds_are_spooled_and_drained,
    a_spooled_key_that_another_request_took,
    metrics_do_not_wait_for_events,
);

fn tidegate_killed_under_metrics(env: &Env) -> TestResult {
    let mut tidegate = env.serve_with(&[&format!("data_dir={}", env.path().join("data").display())]);
    let (metrics, events) = (
        Traffic::of(Sent::Metrics, &tidegate.client, Patience::Retry),
        Traffic::of(Sent::Events, &tidegate.client, Patience::Retry),
    );
    for _ in 0..2 {
        metrics.flows(40);
        tidegate.kill();
        tidegate = env.serve_with(&[&format!("data_dir={}", env.path().join("data").display())]);
        metrics.redirect(&tidegate.client);
        events.redirect(&tidegate.client);
        metrics.flows(40);
    }
    let (of_metrics, of_events) = (metrics.finish(), events.finish());
    Books::drained(&tidegate.client);
    assert_eq!(assert_stored_of(Sent::Metrics, &env.sql(), &of_metrics), of_metrics.len());
    assert_eq!(assert_stored(&env.sql(), &of_events), of_events.len());
    Books::of(&tidegate.client).assert_balanced();
    assert_eq!(tidegate.stop(), Some(0));
    Ok(())
}

fn commits_of_metrics_lost(env: &Env) -> TestResult {
    let proxy = Proxy::start(&env.socket());
    let tidegate = Tidegate::serve(env, &env.variables_through(&proxy), &[]);
    let traffic = Traffic::of(Sent::Metrics, &tidegate.client, Patience::Retry);
    for round in 1..=6 {
        proxy.cut_next(if round % 2 == 0 { Cut::AfterCommit } else { Cut::BeforeCommit });
        until("a COMMIT is lost", || (proxy.cuts() == round).then_some(()));
        traffic.flows(4);
    }
    let acknowledged = traffic.finish();
    Books::drained(&tidegate.client);
    assert_eq!(assert_stored_of(Sent::Metrics, &env.sql(), &acknowledged), acknowledged.len());
    Books::of(&tidegate.client).assert_balanced();
    Ok(())
}

/// While the database is away, and by another process: requests of both kinds, one among them with bad items.
fn both_kinds_are_spooled_and_drained(env: &Env) -> TestResult {
    let proxy = Proxy::start(&env.socket());
    let data_dir = format!("data_dir={}", env.path().join("data").display());
    let flags = ["--set".to_owned(), data_dir.clone()];
    let mut tidegate = Tidegate::serve(env, &env.variables_through(&proxy), &flags);
    tidegate.client.metrics(metric(0)).accepted(1, 0);
    proxy.away();
    let spooled = |answer: &crate::client::Answer, accepted: u64, rejected: u64| {
        let told = answer.expect(202);
        let counts = (&told["status"], &told["accepted"], &told["rejected"]);
        assert_eq!(counts, (&json!("spooled"), &json!(accepted), &json!(rejected)), "{told}");
        told["receipt"].as_str().unwrap().to_owned()
    };
    let bad = metric_with("a", r#""value":"NaN""#);
    let first = spooled(&tidegate.client.metrics(array([metric(1), bad.clone(), metric(2)])), 2, 1);
    for n in 0..20 {
        spooled(&tidegate.client.events(event(n)), 1, 0);
        spooled(&tidegate.client.metrics(metric_with("spooled", &format!("\"values\":[{n},{n}]"))), 1, 0);
    }
    let told = tidegate.client.get(&format!("/v1/receipts/{first}"));
    assert_eq!(told.json()["status"], "spooled", "{told:?}");
    tidegate.kill();
    let tidegate = env.serve_with(&[&data_dir]);
    Books::drained(&tidegate.client);
    let sql = env.sql();
    assert_eq!((sql.count("events"), sql.count("metrics")), (20, 3 + 40));
    let letters: Vec<Vec<u8>> = sql.column("SELECT raw FROM dead_letter_events WHERE route = '/v1/metrics'");
    assert_eq!(letters, [bad.into_bytes()]);
    // In their order, each kind for itself.
    let order: Vec<f64> =
        sql.column("SELECT value_sum FROM metrics WHERE asset_id = 'spooled' ORDER BY batch_id, batch_seq");
    assert!(order.len() == 40 && order.is_sorted(), "{order:?}");
    let told = tidegate.client.get(&format!("/v1/receipts/{first}")).expect(200);
    assert_eq!((&told["status"], &told["accepted"], &told["rejected"]), (&json!("committed"), &json!(2), &json!(1)));
    let kinds = sql.rows("SELECT kind, sum(event_count)::bigint FROM ingest_batches GROUP BY 1 ORDER BY 1", &[]);
    let kinds: Vec<(String, i64)> = kinds.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(kinds, [("events".to_owned(), 20), ("metrics".to_owned(), 43)]);
    Books::of(&tidegate.client).assert_items(&[("recovered_from_spool", 43), ("committed", 42), ("dead_lettered", 1)]);
    Ok(())
}

/// An item with several values becomes one dead letter.
fn a_spooled_key_that_another_request_took(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sql = env.sql();
    sql.run("BEGIN; LOCK TABLE ingest_ledger IN ACCESS EXCLUSIVE MODE");
    let headers = [("content-type", "application/json"), ("idempotency-key", "k")];
    let body = array([metric_with("a", r#""values":[1,2,3]"#), metric(1)]);
    let told = tidegate.client.post("/v1/metrics?ack=spooled", &headers, &body).expect(202);
    assert_eq!(told["accepted"], json!(2));
    sql.run(
        "INSERT INTO ingest_ledger (tenant_id, idempotency_key, request_sha256, route, receipt, http_status, accepted, rejected) \
         VALUES ('default', 'k', decode(repeat('00', 32), 'hex'), '/v1/metrics', gen_random_uuid(), 200, 1, 0); COMMIT",
    );
    Books::drained(&tidegate.client);
    let codes: Vec<String> = sql.column("SELECT code FROM dead_letter_events ORDER BY item_index");
    assert_eq!(codes, ["idempotency_key_reused"; 2]);
    assert_eq!(sql.count("metrics"), 0);
    Books::of(&tidegate.client).assert_items(&[("received", 2), ("dead_lettered", 2)]);
    Ok(())
}

/// Each kind has writers of its own: events that wait for a lock do not hold up metrics.
fn metrics_do_not_wait_for_events(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["writers=1"]);
    tidegate.client.events(event(0)).accepted(1, 0);
    // Their chunks are there before: an event is not let wait for long.
    tidegate.client.metrics(array((0..5).map(metric))).accepted(5, 0);
    let blocker = env.sql();
    blocker.run("BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| tidegate.client.events(event(1)));
        crate::recovery::waits_for_a_lock(env, "writer");
        for n in 0..5 {
            tidegate.client.metrics(metric(n)).accepted(1, 0);
        }
        blocker.run("ROLLBACK");
        waiting.join().unwrap().accepted(1, 0);
    });
    Ok(())
}
