//! Temporal pairs and anomalies.

use serde_json::{Value, json};

use crate::client::Client;
use crate::derived::{again, all_pairs, hours_ago, id, settled, time};
use crate::env::{Env, Test, TestResult};
use crate::held::HeldJob;
use crate::postgres::Sql;
use crate::tests;

pub const TESTS: &[Test] = tests!(
    bursts_that_coincide_are_temporal_pairs,
    a_late_event_recomputes_the_minutes_after_it,
    an_outlier_is_tied_to_the_errors_of_its_asset,
    late_metrics_and_errors_judge_the_hour_again,
    more_series_than_one_transaction_judges,
);

pub fn event(number: u64, at_s: i64, module: &str, kind: &str, members: &str) -> String {
    format!(
        r#"{{"id":"{}","timestamp":"{}","source_module":"{module}","event_type":"{kind}","payload":{{}}{members}}}"#,
        id(number),
        time(at_s * 1000)
    )
}

/// Two types that occur together twice in an hour, one of the first's module that does as well, and one that is always there.
pub fn bursts(start: i64) -> Vec<String> {
    let mut events: Vec<String> =
        (0..64).map(|minute| event(1000 + minute, start + 60 * minute.cast_signed(), "noise", "tick", "")).collect();
    for (burst, minute) in [20, 45].into_iter().enumerate() {
        let at = start + 60 * minute;
        let number = 10 * (1 + burst as u64);
        events.push(event(number, at + 5, "database", "slow", ""));
        events.push(event(number + 1, at + 7, "database", "locks", ""));
        events.push(event(number + 2, at + 63, "gateway", "timeout", ""));
    }
    events
}

pub fn temporal(sql: &Sql) -> Vec<(String, String, f64, f64, Value)> {
    let rows = sql.rows(
        "SELECT primary_event_id::text, related_event_id::text, strength, confidence, metadata FROM correlations \
         WHERE correlation_type = 'temporal' ORDER BY timestamp, primary_timestamp",
        &[],
    );
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))).collect()
}

fn bursts_that_coincide_are_temporal_pairs(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sql = env.sql();
    let start = hours_ago(4);
    let events = bursts(start);
    tidegate.client.events(format!("[{}]", events.join(","))).accepted(events.len() as u64, 0);
    settled(&sql);
    let found = temporal(&sql);
    // The first burst has four common windows, which is too few. At the second there are eight, in 42 windows since the tenant's
    // first minute: each type is in ten of them but for the gateway's, whose second burst is only beginning.
    let told: Vec<(&str, &str)> = found.iter().map(|pair| (pair.0.as_str(), pair.1.as_str())).collect();
    assert_eq!(told, [(id(20).as_str(), id(22).as_str()), (&id(21), &id(22))], "{found:#?}");
    for (_, _, strength, confidence, metadata) in &found {
        // Of the 47 windows up to the minute of the timeout: types of the database are in 5 + 2, the timeout in 5 + 1, both in
        // 4 + 1 of them.
        let (support, windows, lift) = (5.0, 47.0, 5.0 * 47.0 / (7.0 * 6.0));
        assert!((metadata["lift"].as_f64().unwrap() - lift).abs() < 1e-9, "{metadata}");
        assert_eq!((&metadata["support"], &metadata["windows"]), (&json!(5), &json!(47)));
        assert!((strength - (1.0 - 1.0 / lift)).abs() < 1e-9 && (0.0..=1.0).contains(strength));
        assert!((confidence - support / (support + 5.0) * (5.0 / 6.0)).abs() < 1e-9, "{confidence} {windows}");
        assert_eq!(
            (&metadata["rule"], &metadata["types"][1]),
            (&json!("lift"), &json!({"source_module": "gateway", "event_type": "timeout"}))
        );
    }
    let before = all_pairs(&sql);
    again(&sql);
    assert_eq!(all_pairs(&sql), before);
    Ok(())
}

fn a_late_event_recomputes_the_minutes_after_it(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sql = env.sql();
    let start = hours_ago(4);
    let (first, second): (Vec<String>, Vec<String>) =
        bursts(start).into_iter().partition(|event| !event.contains(&id(10)) && !event.contains(&id(12)));
    tidegate.client.events(format!("[{}]", first.join(","))).accepted(first.len() as u64, 0);
    settled(&sql);
    assert_eq!(temporal(&sql), [], "without the first burst of the gateway");
    tidegate.client.events(format!("[{}]", second.join(","))).accepted(2, 0);
    settled(&sql);
    let late = temporal(&sql);
    // The same as all at once.
    let held = HeldJob::hold(env, "correlations");
    sql.run("TRUNCATE correlations, type_minutes");
    drop(held);
    again(&sql);
    assert_eq!(temporal(&sql), late);
    assert_eq!(late.len(), 2);
    // And what no longer holds goes: the gateway turns out to time out all the time.
    let always: Vec<String> =
        (0..60).map(|n| event(5000 + n, start + 60 * n.cast_signed(), "gateway", "timeout", "")).collect();
    tidegate.client.events(format!("[{}]", always.join(","))).accepted(60, 0);
    settled(&sql);
    assert_eq!(temporal(&sql), []);
    Ok(())
}

pub fn anomalies(sql: &Sql, tenant: &str) -> Vec<(String, String, f64, f64, Value)> {
    let rows = sql.rows(
        "SELECT primary_event_id::text, related_event_id::text, strength, confidence, metadata FROM correlations \
         WHERE correlation_type = 'anomaly' AND tenant_id = $1 \
         ORDER BY metadata->>'bucket', metadata->>'metric_name', related_timestamp",
        &[&tenant],
    );
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))).collect()
}

/// Samples of a metric: hours before `hour`, and value.
pub fn metrics(client: &Client, hour: i64, asset: &str, name: &str, samples: &[(i64, f64)]) {
    let body: Vec<String> = samples
        .iter()
        .map(|(before, value)| {
            let at = time((hour - before * 3600 + 600) * 1000);
            format!(
                r#"{{"timestamp":"{at}","asset_id":"{asset}","metric_type":"gauge","metric_name":"{name}","value":{value}}}"#
            )
        })
        .collect();
    client.metrics(format!("[{}]", body.join(","))).accepted(samples.len() as u64, 0);
}

/// A day and a half around 10, then what it is in the hour itself.
pub fn series(value: f64) -> Vec<(i64, f64)> {
    (1..=36).map(|n| (n, 10.0 + f64::from(i32::try_from(n % 5).unwrap()))).chain([(0, value)]).collect()
}

fn an_outlier_is_tied_to_the_errors_of_its_asset(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sql = env.sql();
    let hour = hours_ago(3);
    metrics(&tidegate.client, hour, "web-1", "latency", &series(100.0));
    metrics(&tidegate.client, hour, "web-1", "load", &series(12.0));
    metrics(&tidegate.client, hour, "web-2", "latency", &series(100.0));
    metrics(&tidegate.client, hour, "web-3", "latency", &series(100.0));
    metrics(&tidegate.client, hour, "web-4", "latency", &series(100.0)[20..]);
    let on = |asset: &str, severity: &str| format!(r#","asset_id":"{asset}","severity":"{severity}""#);
    let events = [
        // Just too early, just in time, in the hour, just in time, just too late.
        event(1, hour - 301, "m", "t", &on("web-1", "error")),
        event(2, hour - 300, "m", "t", &on("web-1", "Critical")),
        event(3, hour + 60, "m", "t", &on("web-1", "info")),
        event(4, hour + 61, "m", "t", &on("web-1", "FATAL")),
        event(5, hour + 3899, "m", "t", &on("web-1", "emergency")),
        event(6, hour + 3900, "m", "t", &on("web-1", "alert")),
        // The only one; one that is no error; one with too short a history.
        event(7, hour + 62, "m", "t", &on("web-2", "error")),
        event(8, hour + 62, "m", "t", &on("web-3", "warning")),
        event(9, hour + 62, "m", "t", &on("web-4", "error")),
    ];
    tidegate.client.events(format!("[{}]", events.join(","))).accepted(9, 0);
    settled(&sql);
    let found = anomalies(&sql, "default");
    let told: Vec<(&str, &str)> = found.iter().map(|pair| (pair.0.as_str(), pair.1.as_str())).collect();
    let (one, two, five, seven) = (id(2), id(4), id(5), id(7));
    let expected: [(&str, &str); 3] = [(&one, &two), (&seven, &seven), (&one, &five)];
    assert_eq!(told, expected, "{found:#?}");
    let (_, _, strength, confidence, metadata) = &found[0];
    // Median 12, median deviation 1.
    let z = 0.6745 * (100.0 - 12.0);
    assert!((metadata["z"].as_f64().unwrap() - z).abs() < 1e-9, "{metadata}");
    assert!((strength - z / (z + 3.5)).abs() < 1e-9 && (confidence - 36.0 / 60.0).abs() < 1e-9);
    let about = ["rule", "asset_id", "metric_type", "metric_name", "statistic", "value", "median", "mad"];
    let about: Vec<&Value> = about.iter().map(|name| &metadata[name]).collect();
    assert_eq!(json!(about), json!(["robust_z", "web-1", "gauge", "latency", "avg", 100.0, 12.0, 1.0]));
    assert_eq!(metadata["bucket"], json!(time(hour * 1000)));
    let before = all_pairs(&sql);
    again(&sql);
    assert_eq!(all_pairs(&sql), before);
    Ok(())
}

fn late_metrics_and_errors_judge_the_hour_again(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sql = env.sql();
    let hour = hours_ago(50);
    let error = |number: u64, at: i64| event(number, at, "m", "t", r#","asset_id":"web-1","severity":"error""#);
    tidegate.client.events(error(1, hour + 60)).accepted(1, 0);
    settled(&sql);
    assert_eq!(anomalies(&sql, "default"), []);
    metrics(&tidegate.client, hour, "web-1", "latency", &series(100.0));
    settled(&sql);
    let ids =
        || -> Vec<(String, String)> { anomalies(&sql, "default").into_iter().map(|pair| (pair.0, pair.1)).collect() };
    assert_eq!(ids(), [(id(1), id(1))]);
    // A second error: the first is not alone any more. An earlier one: it comes first.
    tidegate.client.events(error(2, hour + 70)).accepted(1, 0);
    settled(&sql);
    assert_eq!(ids(), [(id(1), id(2))]);
    tidegate.client.events(error(3, hour - 60)).accepted(1, 0);
    settled(&sql);
    assert_eq!(ids(), [(id(3), id(1)), (id(3), id(2))]);
    // Late samples: the hour is no outlier in any respect after all, since its history was as wide.
    let wide: Vec<(i64, f64)> = (1..=36).flat_map(|n| [(n, 100.0), (n, 12.0)]).collect();
    metrics(&tidegate.client, hour, "web-1", "latency", &wide);
    settled(&sql);
    assert_eq!(ids().len(), 2, "an hour is judged by what was known when it was touched");
    metrics(&tidegate.client, hour, "web-1", "latency", &[(0, 12.0), (0, 10.0)]);
    settled(&sql);
    assert_eq!(ids(), []);
    Ok(())
}

fn more_series_than_one_transaction_judges(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sql = env.sql();
    let hour = hours_ago(3);
    let mut events = Vec::new();
    for asset in 0..60_u64 {
        for name in ["a", "b", "c", "d", "e"] {
            metrics(&tidegate.client, hour, &format!("web-{asset:02}"), name, &series(100.0));
        }
        let members = format!(r#","asset_id":"web-{asset:02}","severity":"error""#);
        events.push(event(1 + asset, hour + 60, "m", "t", &members));
    }
    tidegate.client.events(format!("[{}]", events.join(","))).accepted(60, 0);
    settled(&sql);
    assert_eq!(anomalies(&sql, "default").len(), 300);
    let before = all_pairs(&sql);
    again(&sql);
    assert_eq!(all_pairs(&sql), before);
    Ok(())
}
