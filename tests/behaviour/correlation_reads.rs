//! GET /v1/correlations.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::Client;
use crate::derived::time;
use crate::env::{Env, Test, TestResult};
use crate::process::Tidegate;
use crate::refresh::make_room;
use crate::samples::{array, seconds_from_now, texts};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    filters,
    pages_are_the_whole,
    one_event_is_found_however_old,
    forms,
    mistakes_are_refused,
    tenants_see_only_their_own,
);

/// 40 events a minute apart, and a pair of each with the next but one, of type anomaly: nothing finds such pairs by itself.
fn pairs(env: &Env, tidegate: &Tidegate) {
    make_room(env);
    let start = Timestamp::now().as_second() - 7200;
    let events = (0..40).map(|n: u128| {
        format!(
            r#"{{"event_type":"t{n}","source_module":"m{}","payload":{{}},"id":"{}","timestamp":"{}"}}"#,
            n % 3,
            Uuid::from_u128(n + 1),
            time((start + i64::try_from(n).unwrap() * 60) * 1000)
        )
    });
    tidegate.client.events(array(events.collect::<Vec<_>>())).accepted(40, 0);
    env.sql().run(
        "INSERT INTO correlations (id, timestamp, tenant_id, correlation_type, primary_event_id, related_event_id, primary_timestamp,
                                   related_timestamp, strength, confidence, metadata)
         SELECT md5(a.id::text)::uuid, b.timestamp, 'default', 'anomaly', a.id, b.id, a.timestamp, b.timestamp,
                row_number() OVER (ORDER BY a.timestamp) / 100.0, row_number() OVER (ORDER BY a.timestamp DESC) / 50.0, '{\"why\": \"x,y\"}'
         FROM events a JOIN events b ON b.timestamp = a.timestamp + INTERVAL '2 minutes' WHERE a.tenant_id = 'default'",
    );
    // Two at the same time as another, of one event that has expired since.
    env.sql().run(
        "INSERT INTO correlations (id, timestamp, tenant_id, correlation_type, primary_event_id, related_event_id, primary_timestamp,
                                   related_timestamp, strength, confidence)
         SELECT md5('x' || id)::uuid, timestamp, tenant_id, correlation_type, md5('gone' || id)::uuid, related_event_id,
                related_timestamp - INTERVAL '20 days', related_timestamp, 1, 0
         FROM correlations ORDER BY timestamp DESC LIMIT 2",
    );
}

fn found(client: &Client, query: &str) -> Vec<Value> {
    client.get(&format!("/v1/correlations?type=anomaly&{query}")).expect(200)["data"].as_array().unwrap().clone()
}

fn expected(env: &Env, condition: &str) -> Vec<String> {
    env.sql().column(&format!(
        "SELECT id::text FROM correlations WHERE correlation_type = 'anomaly' AND {condition} ORDER BY timestamp DESC, id DESC"
    ))
}

fn filters(env: &Env) -> TestResult {
    let tidegate = env.serve();
    pairs(env, &tidegate);
    let second = Uuid::from_u128(10);
    let to = seconds_from_now(-6600);
    for (query, condition) in [
        (String::new(), "true".to_owned()),
        ("min_strength=0.2".into(), "strength >= 0.2".into()),
        ("min_confidence=0.5&min_strength=0.1".into(), "confidence >= 0.5 AND strength >= 0.1".into()),
        ("min_strength=1".into(), "strength = 1".into()),
        (format!("event_id={second}"), format!("(primary_event_id = '{second}' OR related_event_id = '{second}')")),
        (format!("to={to}"), format!("timestamp < '{to}'")),
        (format!("from={to}"), format!("timestamp >= '{to}'")),
        (format!("event_id={}", Uuid::from_u128(999)), "false".into()),
    ] {
        let list = json!({ "data": found(&tidegate.client, &query) });
        assert_eq!(texts(&list, "id"), expected(env, &condition), "{query}");
    }
    assert_eq!(found(&tidegate.client, &format!("event_id={second}")).len(), 2);
    for other in ["type=temporal", "type=causal,temporal&min_strength=0.99"] {
        let list = tidegate.client.get(&format!("/v1/correlations?{other}")).expect(200);
        assert!(!texts(&list, "correlation_type").contains(&"anomaly"));
    }
    // What the events are comes with it; of one that is gone, nothing.
    let pair = &found(&tidegate.client, &format!("event_id={second}&min_strength=0.1"))[0];
    assert_eq!(
        [
            &pair["primary_event_type"],
            &pair["primary_source_module"],
            &pair["related_event_type"],
            &pair["related_source_module"]
        ],
        [&json!("t9"), &json!("m0"), &json!("t11"), &json!("m2")],
        "{pair}"
    );
    assert_eq!((&pair["metadata"], &pair["strength"]), (&json!({ "why": "x,y" }), &json!(0.1)));
    let gone = &found(&tidegate.client, "min_strength=1")[0];
    assert_eq!(
        (&gone["primary_event_type"], &gone["primary_source_module"], &gone["metadata"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert!(gone["related_event_type"].is_string());
    Ok(())
}

fn pages_are_the_whole(env: &Env) -> TestResult {
    let tidegate = env.serve();
    pairs(env, &tidegate);
    let event = Uuid::from_u128(40);
    for query in ["min_confidence=0".to_owned(), format!("event_id={event}")] {
        let whole = found(&tidegate.client, &query);
        assert!(whole.len() > 1, "{query}");
        for limit in [1, 7] {
            let (mut all, mut cursor) = (Vec::new(), String::new());
            loop {
                let path = format!("/v1/correlations?type=anomaly&{query}&limit={limit}{cursor}");
                let list = tidegate.client.get(&path).expect(200);
                all.extend(list["data"].as_array().unwrap().iter().cloned());
                let Some(next) = list["next_cursor"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            assert_eq!(all, whole, "{query} by {limit}");
        }
    }
    Ok(())
}

/// Who asks about one event need not know its age: without `from` all that is kept is looked through.
fn one_event_is_found_however_old(env: &Env) -> TestResult {
    let tidegate = env.serve();
    make_room(env);
    let (event, bystander) = (Uuid::from_u128(7), Uuid::from_u128(8));
    // The last is older than what is kept, in the chunk that is the next to go.
    env.sql().run(&format!(
        "INSERT INTO correlations (id, timestamp, tenant_id, correlation_type, primary_event_id, related_event_id, primary_timestamp,
                                   related_timestamp, strength, confidence)
         SELECT md5(n || other)::uuid, at, 'default', 'anomaly',
                CASE WHEN n % 2 = 0 THEN '{event}'::uuid ELSE md5(other)::uuid END,
                CASE WHEN n % 2 = 0 THEN md5(other)::uuid ELSE '{event}'::uuid END, at, at, 0.5, 0.5
         FROM unnest(ARRAY[now() + INTERVAL '2 days', now() - INTERVAL '1 hour', now() - INTERVAL '25 hours', now() - INTERVAL '5 days',
                           now() - INTERVAL '20 days', now() - INTERVAL '80 days', date_trunc('day', now() - INTERVAL '90 days', 'UTC')])
              WITH ORDINALITY AS ages (at, n) CROSS JOIN (VALUES ('x'), ('y')) others (other)
         UNION ALL
         SELECT md5('z')::uuid, now() - INTERVAL '3 days', 'default', 'anomaly', '{bystander}', md5('z')::uuid, now(), now(), 0.5, 0.5"
    ));
    let ids = |query: &str| -> Vec<String> {
        let list = found(&tidegate.client, query);
        list.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    let of_event = format!("(primary_event_id = '{event}' OR related_event_id = '{event}')");
    let kept = expected(env, &format!("{of_event} AND timestamp > now() - INTERVAL '85 days'"));
    assert_eq!(kept.len(), 12);
    assert_eq!(ids(&format!("event_id={event}")), kept);
    let older = seconds_from_now(-2 * 86_400);
    assert_eq!(ids(&format!("event_id={event}&to={older}")), kept[6..], "up to a time");
    assert_eq!(ids(&format!("event_id={event}&from=-26h")), kept[..6], "`from` holds where it is given");
    assert_eq!(ids(&format!("event_id={event}&from=-95d")).len(), 14);
    assert_eq!(ids(""), kept[..4], "without an event, 24 hours");
    assert_eq!(ids(&format!("event_id={bystander}")).len(), 1);
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/correlations?type=anomaly&event_id={event}&limit=3{cursor}");
        let list = tidegate.client.get(&path).expect(200);
        pages.extend(texts(&list, "id").into_iter().map(str::to_owned));
        let Some(next) = list["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(pages, kept, "page by page");
    Ok(())
}

fn forms(env: &Env) -> TestResult {
    let tidegate = env.serve();
    pairs(env, &tidegate);
    let path = "/v1/correlations?type=anomaly";
    let lines = tidegate.client.get_as(path, &[("accept", "application/x-ndjson")]);
    let parsed: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(parsed, found(&tidegate.client, ""));
    let csv = tidegate.client.get_as(&format!("{path}&min_strength=0.38&limit=3"), &[("accept", "text/csv")]);
    let (header, rows) = csv.text().split_once("\r\n").unwrap();
    assert_eq!(
        header,
        "id,timestamp,correlation_type,primary_event_id,related_event_id,primary_timestamp,related_timestamp,strength,confidence,\
         metadata,primary_source_module,primary_event_type,related_source_module,related_event_type"
    );
    assert_eq!(rows.matches("\r\n").count(), 3);
    assert!(rows.contains(",\"{\"\"why\"\": \"\"x,y\"\"}\",m1,t37,m0,t39\r\n"), "{rows}");
    Ok(())
}

fn mistakes_are_refused(env: &Env) -> TestResult {
    let tidegate = env.share();
    for query in [
        "type=odd",
        "type=",
        "type=causal,odd",
        "min_strength=2",
        "min_strength=-0.1",
        "min_strength=NaN",
        "min_confidence=x",
        "event_id=",
        "from=soon",
        "limit=0",
        "cursor=x",
        "strength=1",
    ] {
        tidegate.client.get(&format!("/v1/correlations?{query}")).problem(400, "invalid_parameter");
    }
    tidegate.client.get("/v1/correlations?event_id=no-uuid").expect(200);
    Ok(())
}

fn tenants_see_only_their_own(env: &Env) -> TestResult {
    let tidegate = env.serve();
    pairs(env, &tidegate);
    let other = tidegate.with(&env.key("other", "read"));
    assert_eq!(found(&other, ""), [] as [Value; 0]);
    assert_eq!(found(&other, &format!("event_id={}", Uuid::from_u128(10))), [] as [Value; 0]);
    let list = tidegate.client.get("/v1/correlations?type=anomaly&limit=3").expect(200);
    let cursor = list["next_cursor"].as_str().unwrap();
    other.get(&format!("/v1/correlations?type=anomaly&cursor={cursor}")).problem(404, "not_found");
    tidegate.client.get(&format!("/v1/correlations?cursor={cursor}")).problem(400, "invalid_parameter");
    tidegate.client.get(&format!("/v1/events?cursor={cursor}")).problem(400, "invalid_parameter");
    Ok(())
}
