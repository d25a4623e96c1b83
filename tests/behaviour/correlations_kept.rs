//! Pairs beside what is kept no longer: samples that expired before them, and pairs that would expire at once.

use crate::correlations;
use crate::correlations_rules::{anomalies, bursts, event, metrics, series, temporal};
use crate::derived::{hours_ago, id, settled};
use crate::env::{Env, Test, TestResult, until};
use crate::lifecycle::run;
use crate::postgres::Sql;
use crate::tests;

pub const TESTS: &[Test] = tests!(
    anomalies_outlive_their_samples,
    orphans_of_what_is_kept_no_longer,
    temporal_pairs_of_what_is_kept_no_longer,
);

/// So that the window of pairs is shorter than that of events.
const KEPT: [&str; 1] = ["retention.correlations=1d"];

/// A late error judges its hour again, but not when the samples of the hour are gone: they would be none.
fn anomalies_outlive_their_samples(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sql = env.sql();
    let hour = hours_ago(80);
    let organizations = ["short", "long"].map(|name| (name, tidegate.with(&env.key(name, "ingest"))));
    let error = |number: u64, at: i64| event(number, at, "m", "t", r#","asset_id":"web-1","severity":"error""#);
    for (_, client) in &organizations {
        metrics(client, hour, "web-1", "latency", &series(100.0));
        client.events(error(1, hour + 60)).accepted(1, 0);
    }
    settled(&sql);
    let pair = |first: u64, second: u64| (id(first), id(second));
    let pairs = |tenant: &str| -> Vec<(String, String)> {
        anomalies(&sql, tenant).into_iter().map(|pair| (pair.0, pair.1)).collect()
    };
    assert_eq!((pairs("short"), pairs("long")), (vec![pair(1, 1)], vec![pair(1, 1)]));

    env.cli(&["orgs", "retention", "short", "--metrics", "2d", "--json"]).json();
    let left = "SELECT count(*) FROM metrics WHERE tenant_id = 'short'";
    until("the samples of the hour are gone", || {
        run(env, &[]);
        (sql.one::<i64>(left) == 0).then_some(())
    });
    for (_, client) in &organizations {
        client.events(error(2, hour + 70)).accepted(1, 0);
    }
    settled(&sql);
    assert_eq!((pairs("short"), pairs("long")), (vec![pair(1, 1)], vec![pair(1, 2)]));
    Ok(())
}

/// Orphans that nobody had time to look for until their pairs were kept no longer do not hold up those after them.
fn orphans_of_what_is_kept_no_longer(env: &Env) -> TestResult {
    const MINUTE: i64 = 60_000;
    let tidegate = env.serve_with(&KEPT);
    let sql = env.sql();
    let (old, new) = (hours_ago(72) * 1000, hours_ago(3) * 1000);
    let of = |number: u64, at: i64, parent: u64| {
        correlations::event(number, at, &format!(r#","parent_event_id":"{}""#, id(parent)))
    };
    let events = [correlations::event(1, old, ""), of(2, old + 2 * MINUTE, 1)];
    tidegate.client.events(format!("[{}]", events.join(","))).accepted(2, 0);
    settled(&sql);
    assert_eq!((sql.count("correlations"), sql.count("orphans")), (0, 0), "blocks that old are left out");
    // As it was noted when the pair would still have been kept.
    sql.run(&format!(
        "INSERT INTO orphans (tenant_id, parent_event_id, event_id, timestamp) \
         SELECT tenant_id, parent_event_id, id, timestamp FROM events WHERE id = '{}'",
        id(2)
    ));
    let events = [correlations::event(3, new, ""), of(4, new + 2 * MINUTE, 3)];
    tidegate.client.events(format!("[{}]", events.join(","))).accepted(2, 0);
    settled(&sql);
    assert_eq!(related(&sql), [(id(3), id(4))]);
    assert_eq!(sql.count("orphans"), 0);
    Ok(())
}

fn related(sql: &Sql) -> Vec<(String, String)> {
    let rows = sql.rows("SELECT primary_event_id::text, related_event_id::text FROM correlations ORDER BY 1, 2", &[]);
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Minutes whose types changed before a long downtime.
fn temporal_pairs_of_what_is_kept_no_longer(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sql = env.sql();
    let events = bursts(hours_ago(4));
    tidegate.client.events(format!("[{}]", events.join(","))).accepted(events.len() as u64, 0);
    settled(&sql);
    assert_eq!(temporal(&sql).len(), 2);
    drop(tidegate);
    // What the job knew and had still to do, three days ago.
    sql.run(
        "INSERT INTO touched_minutes (job, tenant_id, minute) SELECT DISTINCT 'temporal', tenant_id, minute FROM type_minutes; \
         UPDATE touched_minutes SET minute = minute - 4320 WHERE job = 'temporal'; \
         UPDATE type_minutes SET minute = minute - 4320, first_at = first_at - INTERVAL '3 days'; TRUNCATE correlations",
    );
    let tidegate = env.serve_with(&KEPT);
    let events = bursts(hours_ago(3));
    tidegate.client.events(format!("[{}]", events.join(","))).accepted(events.len() as u64, 0);
    settled(&sql);
    let kept: i64 = sql.one("SELECT count(*) FROM correlations WHERE timestamp > now() - INTERVAL '1 day'");
    assert_eq!((temporal(&sql).len(), kept), (2, 2), "{:#?}", temporal(&sql));
    Ok(())
}
