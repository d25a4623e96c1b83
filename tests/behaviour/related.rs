//! GET /v1/events/{id}/related: parent, children and correlated events, each once, the strongest first.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::Client;
use crate::env::{Env, Test, TestResult};
use crate::process::Tidegate;
use crate::refresh::make_room;
use crate::samples::{array, seconds_from_now};
use crate::tests;

pub const TESTS: &[Test] =
    tests!(family_and_correlations, pages_are_the_whole, forms, of_one_s_own_tenant, mistakes_are_refused);

const ORIGIN: u128 = 100;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn event(n: u128, seconds_ago: i64, more: &str) -> String {
    let at = seconds_from_now(-seconds_ago);
    format!(
        r#"{{"event_type":"t{n}","source_module":"s","payload":{{"n":{n}}},"id":"{}","timestamp":"{at}"{more}}}"#,
        id(n)
    )
}

fn child_of(n: u128) -> String {
    format!(r#","parent_event_id":"{}""#, id(n))
}

/// The event, its parent of four days before, children of the next days, one that is too young and one that seems a little
/// older; a grandchild, whose parent is too old for it as well; unrelated ones.
fn family(env: &Env, tidegate: &Tidegate) {
    make_room(env);
    const DAY: i64 = 86_400;
    let events = [
        event(1, 15 * DAY, ""),
        event(ORIGIN, 11 * DAY, &child_of(1)),
        event(2, 11 * DAY - 5, &child_of(ORIGIN)),
        event(3, 5 * DAY, &child_of(ORIGIN)),
        event(4, 11 * DAY + 1800, &child_of(ORIGIN)),
        event(5, DAY, &child_of(ORIGIN)),
        event(6, 2 * DAY, &child_of(2)),
        event(7, 11 * DAY - 60, ""),
        event(8, 11 * DAY + 60, ""),
    ];
    tidegate.client.events(array(events)).accepted(9, 0);
}

/// Puts a correlation of two events, of a type that nothing finds by itself among these.
fn correlate(env: &Env, primary: u128, related: u128, strength: f64) {
    env.sql().run(&format!(
        "INSERT INTO correlations (id, timestamp, tenant_id, correlation_type, primary_event_id, related_event_id,
                                   primary_timestamp, related_timestamp, strength, confidence)
         SELECT gen_random_uuid(), greatest(a.timestamp, b.timestamp), 'default', 'anomaly', a.id, b.id, a.timestamp, b.timestamp,
                {strength}, 0.5
         FROM events a, events b WHERE a.id = '{}' AND b.id = '{}'",
        id(primary),
        id(related)
    ));
}

fn summary(related: &Value) -> (u64, String, f64) {
    let n = related["event"]["payload"]["n"].as_u64().unwrap();
    (n, related["relation"].as_str().unwrap().to_owned(), related["strength"].as_f64().unwrap())
}

fn found(client: &Client, n: u128) -> Vec<(u64, String, f64)> {
    let list = client.get(&format!("/v1/events/{}/related", id(n))).expect(200);
    assert_eq!(list["next_cursor"], Value::Null);
    list["data"].as_array().unwrap().iter().map(summary).collect()
}

pub fn family_and_correlations(env: &Env) -> TestResult {
    let tidegate = env.serve();
    family(env, &tidegate);
    let one = |n: u64, relation: &str, strength: f64| (n, relation.to_owned(), strength);
    let close = [one(3, "child", 1.0), one(2, "child", 1.0), one(4, "child", 1.0), one(1, "parent", 1.0)];
    assert_eq!(
        found(&tidegate.client, ORIGIN),
        close,
        "the newest first; what is younger than seven days is not looked for"
    );
    correlate(env, ORIGIN, 7, 0.25);
    correlate(env, 8, ORIGIN, 0.75);
    // Twice, and of an event that is a child already: each other event once, by what is strongest.
    correlate(env, 7, ORIGIN, 0.5);
    correlate(env, ORIGIN, 2, 0.9);
    let all = found(&tidegate.client, ORIGIN);
    assert_eq!(all[..4], close);
    assert_eq!(all[4..], [one(8, "correlated", 0.75), one(7, "correlated", 0.5)]);
    assert_eq!(found(&tidegate.client, 1), [one(100, "child", 1.0)]);
    assert_eq!(found(&tidegate.client, 6), []);
    assert_eq!(found(&tidegate.client, 7), [one(100, "correlated", 0.5)]);
    let list = tidegate.client.get(&format!("/v1/events/{}/related", id(7))).expect(200);
    let related = &list["data"][0];
    assert_eq!((&related["confidence"], &related["correlation_type"]), (&json!(0.5), &json!("anomaly")));
    assert_eq!(
        related["event"],
        tidegate.client.get(&format!("/v1/events/{}", id(ORIGIN))).expect(200),
        "the whole event"
    );
    Ok(())
}

fn pages_are_the_whole(env: &Env) -> TestResult {
    let tidegate = env.serve();
    make_room(env);
    let children = (0..30).map(|n| event(n + 1, 3000 - i64::try_from(n / 3).unwrap(), &child_of(ORIGIN)));
    let others = (0..20).map(|n| event(n + 200, 3600, ""));
    let origin = [event(ORIGIN, 3600, "")];
    tidegate.client.events(array(origin.into_iter().chain(children).chain(others))).accepted(51, 0);
    for n in 0..20 {
        correlate(env, ORIGIN, n + 200, [0.0, 0.3, 0.9, 1.0][usize::try_from(n % 4).unwrap()]);
    }
    let path = format!("/v1/events/{}/related", id(ORIGIN));
    let whole = tidegate.client.get(&path).expect(200)["data"].as_array().unwrap().clone();
    assert_eq!(whole.len(), 50);
    for limit in [7, 49, 50] {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let list = tidegate.client.get(&format!("{path}?limit={limit}{cursor}")).expect(200);
            all.extend(list["data"].as_array().unwrap().iter().cloned());
            let Some(next) = list["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(all, whole, "by {limit}");
    }
    Ok(())
}

fn forms(env: &Env) -> TestResult {
    let tidegate = env.serve();
    family(env, &tidegate);
    let path = format!("/v1/events/{}/related", id(ORIGIN));
    let lines = tidegate.client.get_as(&path, &[("accept", "application/x-ndjson")]);
    let parsed: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(Value::from(parsed), tidegate.client.get(&path).expect(200)["data"]);
    let csv = tidegate.client.get_as(&format!("{path}?limit=1"), &[("accept", "text/csv")]);
    assert!(
        csv.text()
            .starts_with("relation,strength,confidence,correlation_type,event\r\nchild,1.0,1.0,causal,\"{\"\"id\"\":"),
        "{}",
        csv.text()
    );
    let missing = format!("/v1/events/{}/related", id(999));
    tidegate.client.get_as(&missing, &[("accept", "text/csv")]).problem(404, "not_found");
    Ok(())
}

fn of_one_s_own_tenant(env: &Env) -> TestResult {
    let tidegate = env.serve();
    family(env, &tidegate);
    correlate(env, ORIGIN, 7, 0.5);
    let other = tidegate.with(&env.key("other", "ingest,read"));
    let path = format!("/v1/events/{}/related", id(ORIGIN));
    other.get(&path).problem(404, "not_found");
    let cursor =
        tidegate.client.get(&format!("{path}?limit=1")).expect(200)["next_cursor"].as_str().unwrap().to_owned();
    // The other tenant's event of the same id has none of these relations, and its cursors are its own.
    other.events(event(ORIGIN, 11 * 86_400, "")).accepted(1, 0);
    assert_eq!(other.get(&path).expect(200)["data"], json!([]));
    other.get(&format!("{path}?cursor={cursor}")).problem(404, "not_found");
    tidegate.client.get(&format!("/v1/events/{}/related?cursor={cursor}", id(7))).problem(400, "invalid_parameter");
    assert_eq!(found(&tidegate.client, ORIGIN).len(), 5);
    Ok(())
}

fn mistakes_are_refused(env: &Env) -> TestResult {
    let tidegate = env.serve();
    family(env, &tidegate);
    let path = format!("/v1/events/{}/related", id(ORIGIN));
    for query in ["limit=0", "limit=10001", "cursor=x", "type=causal", "from=-1h"] {
        tidegate.client.get(&format!("{path}?{query}")).problem(400, "invalid_parameter");
    }
    tidegate.client.get("/v1/events/no-uuid/related").problem(404, "not_found");
    tidegate.client.get(&format!("/v1/events/{}/relatives", id(ORIGIN))).problem(404, "not_found");
    Ok(())
}
