//! Causal pairs: chains of events that share a correlation id, and parents.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};

use flate2::read::GzDecoder;
use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate::storage::embedded::READER;

use crate::books::Books;
use crate::derived::{again, all_pairs, assert_chains, hours_ago, id, settled, time};
use crate::env::{Engine, Env, Test, TestResult, until};
use crate::load::{real_events, real_events_missing};
use crate::postgres::Sql;
use crate::samples::seconds_from_now;
use crate::tests;

const SECOND: i64 = 1000;
const HOUR: i64 = 3600 * SECOND;

pub const TESTS: &[Test] = tests!(
    a_chain_and_its_figures,
    a_group_of_twenty_thousand,
    parents_wherever_they_are,
    a_parent_that_shares_the_id,
    tenants_do_not_meet,
    dashboards_and_the_lag,
);

pub const REAL: &[Test] = &[Test {
    name: "real_request_ids_are_groups",
    engines: &Engine::ALL,
    run: real_request_ids_are_groups,
    missing: real_events_missing,
}];

/// An event at a time in milliseconds, with more members.
pub fn event(number: u64, at_ms: i64, members: &str) -> String {
    format!(
        r#"{{"id":"{}","timestamp":"{}","source_module":"m{}","event_type":"t","payload":{{}}{members}}}"#,
        id(number),
        time(at_ms),
        number % 2
    )
}

/// The same with a correlation id.
pub fn of_group(number: u64, at_ms: i64, group: u64) -> String {
    event(number, at_ms, &format!(r#","correlation_id":"{}""#, id(1_000_000 + group)))
}

/// A pair of events by their numbers: type and rule, strength, confidence.
fn pairs(sql: &Sql) -> Vec<(String, String, String, f64, f64, Value)> {
    let rows = sql.rows(
        "SELECT primary_event_id::text, related_event_id::text, metadata->>'rule', strength, confidence, metadata \
         FROM correlations ORDER BY timestamp, 1, 2",
        &[],
    );
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4), row.get(5))).collect()
}

fn real_request_ids_are_groups(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let file = real_events();
    let (url, key) = (tidegate.client.url(), tidegate.client.key());
    // Its newest minute is over.
    let now = seconds_from_now(-120);
    let arguments = [
        "load",
        "--url",
        &url,
        "--key",
        key,
        "--json",
        "--file",
        file.to_str().unwrap(),
        "--kind",
        "events",
        "--shift-to-now",
        "--now",
        &now,
    ];
    let report = env.cli(&arguments).json();
    // 215 days of chunks in one request may take a busy machine longer than senders wait: then it is spooled.
    assert_eq!(report["committed"].as_u64().unwrap() + report["spooled"].as_u64().unwrap(), 6000, "{report}");
    Books::drained(&tidegate.client);
    // The rule, from the file itself: each event of a group with the one right before it, within a day.
    let mut groups: HashMap<(&str, String), Vec<Timestamp>> = HashMap::new();
    for line in BufReader::new(GzDecoder::new(std::fs::File::open(&file)?)).lines() {
        let event: Value = serde_json::from_str(&line?)?;
        // OpenSSH's sessions have theirs inside of the context.
        for (stream, correlation_id) in
            [("openstack", &event["correlation_id"]), ("openssh", &event["context"]["correlation_id"])]
        {
            if let Some(correlation_id) = correlation_id.as_str() {
                assert_eq!(event["stream"], stream);
                let at = event["timestamp"].as_str().unwrap().parse()?;
                groups.entry((stream, correlation_id.to_owned())).or_default().push(at);
            }
        }
    }
    let figures = |stream: &str| {
        let of_stream = || groups.iter().filter(|((of, _), _)| *of == stream).map(|(_, times)| times);
        let pairs = of_stream().map(|times| {
            let mut times = times.clone();
            times.sort();
            times.windows(2).filter(|two| two[1].duration_since(two[0]).as_hours() < 24).count()
        });
        (of_stream().count(), of_stream().map(Vec::len).sum::<usize>(), pairs.sum::<usize>())
    };
    // docs/CORRELATIONS.md names them.
    assert_eq!((figures("openstack"), figures("openssh")), ((938, 1845, 907), (519, 2000, 1481)));
    let sql = env.sql();
    settled(&sql);
    assert_eq!(assert_chains(&sql), 907 + 1481);
    let openstack: i64 = sql.one(
        "SELECT count(*) FROM correlations c WHERE correlation_type = 'causal' \
         AND EXISTS (SELECT FROM events e WHERE e.id = c.related_event_id AND e.stream = 'openstack')",
    );
    assert_eq!(openstack, 907);
    Ok(())
}

pub fn a_chain_and_its_figures(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let start = hours_ago(30) * SECOND;
    // At once, a minute apart, and a day and a second apart; modules alternate with the number.
    let times = [(1, 0), (2, 0), (4, 60 * SECOND), (5, 60 * SECOND + 24 * HOUR), (6, 60 * SECOND + 48 * HOUR + SECOND)];
    let body: Vec<String> =
        times.iter().filter(|(_, at)| *at < 29 * HOUR).map(|(n, at)| of_group(*n, start + at, 1)).collect();
    tidegate.client.events(format!("[{}]", body.join(","))).accepted(4, 0);
    let sql = env.sql();
    settled(&sql);
    let found = pairs(&sql);
    let expected = [(1, 2, 0, 1.0), (2, 4, 60_000, 0.8), (4, 5, 24 * HOUR, 1.0)];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((primary, related, gap_ms, confidence), found) in expected.into_iter().zip(&found) {
        assert_eq!((&found.0, &found.1, found.2.as_str()), (&id(primary), &id(related), "correlation_id"));
        let gap_s = f64::from(i32::try_from(gap_ms / 1000)?);
        assert!((found.3 - (0.5 + 0.5 * (-gap_s / 60.0).exp())).abs() < 1e-12, "{found:?}");
        assert!((found.4 - confidence).abs() < 1e-12, "{found:?}");
        let metadata = json!({"rule": "correlation_id", "correlation_id": id(1_000_001), "gap_ms": gap_ms});
        assert_eq!(found.5, metadata);
    }
    // Farther apart than a day is no pair, whichever comes first.
    tidegate.client.events(of_group(7, start - SECOND - 24 * HOUR, 1)).accepted(1, 0);
    settled(&sql);
    assert_eq!(pairs(&sql), found);
    // Everything once more changes not a byte.
    let before = all_pairs(&sql);
    again(&sql);
    assert_eq!(all_pairs(&sql), before);
    Ok(())
}

fn a_group_of_twenty_thousand(env: &Env) -> TestResult {
    const EVENTS: u64 = 20_000;
    let tidegate = env.serve();
    let start = hours_ago(3) * SECOND;
    let sql = env.sql();
    // Every other event within one minute, all of one group; then those between them.
    for parity in [0, 1] {
        for part in 0..5 {
            let numbers = (EVENTS / 5 * part..EVENTS / 5 * (part + 1)).filter(|number| number % 2 == parity);
            let body: Vec<String> = numbers.map(|n| of_group(n, start + i64::try_from(n).unwrap() * 2, 1)).collect();
            tidegate.client.events(format!("[{}]", body.join(","))).accepted(EVENTS / 10, 0);
        }
        settled(&sql);
    }
    let pairs = assert_chains(&sql);
    assert_eq!(pairs as u64, EVENTS - 1);
    // No transaction made more than a slice of them.
    let largest: i64 = sql.one("SELECT max(n) FROM (SELECT count(*) AS n FROM correlations GROUP BY xmin::text) t");
    assert!(largest <= 5001, "{largest} pairs in one transaction");
    let transactions: i64 = sql.one("SELECT count(DISTINCT xmin::text) FROM correlations");
    assert!(transactions >= 4, "{transactions} transactions");
    Ok(())
}

fn parents_wherever_they_are(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let start = hours_ago(30) * SECOND;
    let child = |number: u64, at: i64, parent: u64| {
        event(number, start + at, &format!(r#","parent_event_id":"{}""#, id(parent)))
    };
    let plain = |number: u64, at: i64| event(number, start + at, "");
    let send = |events: &[String]| {
        tidegate.client.events(format!("[{}]", events.join(","))).accepted(events.len() as u64, 0);
    };
    let sql = env.sql();
    let parents = || -> Vec<(String, String)> {
        let all = pairs(&sql).into_iter();
        all.inspect(|pair| assert_eq!((pair.2.as_str(), pair.3, pair.4), ("parent", 1.0, 1.0)))
            .map(|pair| (pair.0, pair.1))
            .collect()
    };
    let pair = |parent: u64, child: u64| (id(parent), id(child));
    send(&[
        // Near, and its own parent.
        plain(1, 0),
        child(2, 5 * SECOND, 1),
        child(3, 6 * SECOND, 3),
        // A day before its child; and beyond that.
        plain(4, HOUR),
        child(5, 25 * HOUR, 4),
        child(6, 25 * HOUR + SECOND, 4),
        // A clock that is five minutes behind; and six.
        child(7, 2 * HOUR, 8),
        plain(8, 2 * HOUR + 300 * SECOND),
        child(9, 3 * HOUR, 10),
        plain(10, 3 * HOUR + 301 * SECOND),
        // Nowhere yet.
        child(11, 4 * HOUR, 12),
        child(13, 4 * HOUR + 70 * SECOND, 12),
    ]);
    settled(&sql);
    assert_eq!(parents(), [pair(1, 2), pair(8, 7), pair(4, 5)]);
    // The parent comes late: neither minute of its children is touched.
    send(&[plain(12, 3 * HOUR + 59 * SECOND)]);
    settled(&sql);
    assert_eq!(parents(), [pair(1, 2), pair(8, 7), pair(12, 11), pair(12, 13), pair(4, 5)]);
    let before = all_pairs(&sql);
    again(&sql);
    assert_eq!(all_pairs(&sql), before);
    Ok(())
}

fn a_parent_that_shares_the_id(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let start = hours_ago(3) * SECOND;
    let group = format!(r#","correlation_id":"{}""#, id(1_000_001));
    let child = event(2, start + 60 * SECOND, &format!(r#"{group},"parent_event_id":"{}""#, id(1)));
    let sql = env.sql();
    // The child first: an orphan in a chain of one.
    for late in [child, event(1, start, &group), event(3, start + 30 * SECOND, &group)] {
        tidegate.client.events(late).accepted(1, 0);
        settled(&sql);
    }
    let found: Vec<(String, String, String)> = pairs(&sql).into_iter().map(|pair| (pair.0, pair.1, pair.2)).collect();
    // The pair of parent and child stays when another event of the group comes between them.
    let mut expected = vec![
        (id(1), id(3), "correlation_id".to_owned()),
        (id(1), id(2), "parent".to_owned()),
        (id(3), id(2), "correlation_id".to_owned()),
    ];
    expected[1..].sort();
    assert_eq!(found, expected);
    Ok(())
}

fn tenants_do_not_meet(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let start = hours_ago(3) * SECOND;
    let other = tidegate.with(&env.key("other", "ingest"));
    let parent = format!(r#","parent_event_id":"{}""#, id(1));
    tidegate
        .client
        .events(format!("[{},{}]", of_group(1, start, 1), of_group(3, start + 2 * SECOND, 1)))
        .accepted(2, 0);
    other.events(format!("[{},{}]", of_group(2, start + SECOND, 1), event(4, start + SECOND, &parent))).accepted(2, 0);
    let sql = env.sql();
    settled(&sql);
    let found: Vec<(String, String)> = pairs(&sql).into_iter().map(|pair| (pair.0, pair.1)).collect();
    assert_eq!(found, [(id(1), id(3))]);
    assert_eq!(sql.count("orphans"), 1);
    Ok(())
}

fn dashboards_and_the_lag(env: &Env) -> TestResult {
    let tidegate = env.serve();
    // Within the hour that the pattern asks for.
    let start = Timestamp::now().as_second() / 60 * 60 * SECOND - 30 * 60 * SECOND;
    let events: Vec<String> = (1..=3).map(|n| of_group(n, start + i64::try_from(n).unwrap() * SECOND, 1)).collect();
    tidegate.client.events(format!("[{}]", events.join(","))).accepted(3, 0);
    settled(&env.sql());
    let reader = env.sql_as(READER);
    // Seed ADR-002, query pattern 3, as it is written there.
    let rows = reader.rows(
        "SELECT e1.id as primary_event, e1.event_type as primary_type, e2.id as related_event, e2.event_type as related_type, \
         c.correlation_type, c.strength FROM correlations c JOIN events e1 ON c.primary_event_id = e1.id \
         JOIN events e2 ON c.related_event_id = e2.id WHERE c.timestamp >= NOW() - INTERVAL '1 hour' AND c.strength > 0.8 \
         ORDER BY c.strength DESC",
        &[],
    );
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.get::<_, String>(1) == "t" && row.get::<_, String>(4) == "causal"));
    let view = reader.rows(
        "SELECT primary_event_id::text, primary_source_module, related_event_id::text, related_source_module, strength \
         FROM correlated_events WHERE tenant_id = $1 AND timestamp >= now() - INTERVAL '1 hour' ORDER BY timestamp",
        &[&reader.one::<String>("SELECT tenant_id FROM organizations")],
    );
    let view: Vec<(String, String, String, String)> =
        view.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
    let modules = |a: u64, b: u64| (id(a), format!("m{}", a % 2), id(b), format!("m{}", b % 2));
    assert_eq!(view, [modules(1, 2), modules(2, 3)]);
    // Told at the end of a run, which may be the one that found the pairs.
    until("the lag is told", || {
        let scrape = tidegate.client.get("/metrics");
        scrape.text().lines().any(|line| line.starts_with("tidegate_correlation_lag_seconds ")).then_some(())
    });
    Ok(())
}
