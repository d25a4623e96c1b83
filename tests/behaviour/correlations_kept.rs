//! Pairs beside what is kept no longer: samples that expired before them.

use crate::correlations_rules::{anomalies, event, metrics, series};
use crate::derived::{hours_ago, id, settled};
use crate::env::{Env, Test, TestResult, until};
use crate::lifecycle::run;
use crate::tests;

pub const TESTS: &[Test] = tests!(anomalies_outlive_their_samples,);

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
