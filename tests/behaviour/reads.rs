//! Reading events back: filters, pages, forms, counts; always of one's own tenant.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use tidegate::model::Level;

use crate::client::Client;
use crate::env::{Env, Test, TestResult};
use crate::process::Service;
use crate::samples::{array, batch, encode, event_with, hours_from_now, seconds_from_now, texts};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    filters_by_field,
    filters_by_payload,
    filters_by_time,
    limits,
    cursors_through_everything,
    cursors_while_events_arrive,
    cursors_of_others,
    lines_and_csv,
    one_event,
    counts,
    mistakes_are_refused,
    tenants_see_only_their_own,
);

/// Twelve events, `n` seconds apart, the newest last.
fn twelve(tidegate: &Service) -> Uuid {
    let flow = Uuid::now_v7();
    let items = (0..12).map(|n| {
        let (asset, severity) = (["a", "b", "c"][n % 3], ["info", "error"][n % 2]);
        let at = seconds_from_now(i64::try_from(n).unwrap() - 100);
        let correlation = if n < 2 { format!(r#","correlation_id":"{flow}""#) } else { String::new() };
        event_with(
            n,
            &format!(
                r#""id":"{}","asset_id":"{asset}","severity":"{severity}","timestamp":"{at}","environment":"env{}",
                "stream":"stream{}","trace_id":"trace{n}"{correlation}"#,
                Uuid::from_u128(n as u128 + 1),
                n % 4,
                n % 5,
            ),
        )
    });
    tidegate.client.events(array(items)).accepted(12, 0);
    flow
}

/// The `n` of the events that a query gives, in its order.
fn found(client: &Client, query: &str) -> Vec<u64> {
    let list = client.get(&format!("/v1/events?{query}")).expect(200);
    numbers(&list)
}

fn numbers(list: &Value) -> Vec<u64> {
    list["data"].as_array().unwrap().iter().map(|event| event["payload"]["n"].as_u64().unwrap()).collect()
}

fn filters_by_field(env: &Env) -> TestResult {
    let tidegate = env.share();
    let flow = twelve(&tidegate);
    let client = &tidegate.client;
    assert_eq!(found(client, ""), (0..12).rev().collect::<Vec<u64>>(), "newest first");
    assert_eq!(found(client, "asset_id=a"), [9, 6, 3, 0]);
    assert_eq!(found(client, "asset_id=a,c"), [11, 9, 8, 6, 5, 3, 2, 0]);
    assert_eq!(found(client, "asset_id=a,c&severity=error"), [11, 9, 5, 3]);
    assert_eq!(found(client, "environment=env3"), [11, 7, 3]);
    assert_eq!(found(client, "stream=stream4,stream3"), [9, 8, 4, 3]);
    assert_eq!(found(client, "trace_id=trace5"), [5]);
    assert_eq!(found(client, "event_type=sample").len(), 12);
    assert_eq!(found(client, "event_type=other").len(), 0);
    assert_eq!(found(client, "source_module=tests,other").len(), 12);
    assert_eq!(found(client, &format!("correlation_id={flow}")), [1, 0]);
    assert_eq!(found(client, &format!("correlation_id={flow},{}", Uuid::now_v7())), [1, 0]);
    // Values are values, whatever they look like.
    assert_eq!(found(client, &format!("asset_id={}", encode("a' OR '1'='1"))).len(), 0);
    Ok(())
}

fn filters_by_payload(env: &Env) -> TestResult {
    let tidegate = env.share();
    twelve(&tidegate);
    let nested = r#"{"event_type":"t","source_module":"s","payload":{"n":99,"a":{"b":[1,2]}}}"#;
    tidegate.client.events(nested).accepted(1, 0);
    let by = |json: &str| found(&tidegate.client, &format!("payload={}", encode(json)));
    assert_eq!(by(r#"{"n":7}"#), [7]);
    assert_eq!(by(r#"{"a":{"b":[2]}}"#), [99]);
    assert_eq!(by("{}").len(), 13);
    for bad in ["[]", "1", "{", r#"{"a":"\u0000"}"#, "{'a':1}"] {
        let path = format!("/v1/events?payload={}", encode(bad));
        tidegate.client.get(&path).problem(400, "invalid_parameter");
    }
    Ok(())
}

fn filters_by_time(env: &Env) -> TestResult {
    let tidegate = env.share();
    let hours = [0, -2, -25, -49, 24];
    let items = hours
        .iter()
        .enumerate()
        .map(|(n, hours)| event_with(n, &format!(r#""timestamp":"{}""#, hours_from_now(*hours))));
    tidegate.client.events(array(items)).accepted(5, 0);
    let client = &tidegate.client;
    assert_eq!(found(client, "from=-24h"), [4, 0, 1]);
    assert_eq!(found(client, "from=-2d"), [4, 0, 1, 2]);
    assert_eq!(found(client, "to=-24h"), [2, 3]);
    assert_eq!(found(client, "from=-26h&to=-90m"), [1, 2]);
    // [from, to)
    let at: String = env
        .sql()
        .one("SELECT to_char(timestamp, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM events WHERE payload->>'n' = '1'");
    assert_eq!(found(client, &format!("from={at}")), [4, 0, 1]);
    assert_eq!(found(client, &format!("to={at}")), [2, 3]);
    let offset = at.replace('Z', "%2B00:00");
    assert_eq!(found(client, &format!("from={offset}")), [4, 0, 1]);
    Ok(())
}

fn limits(env: &Env) -> TestResult {
    let tidegate = env.share();
    tidegate.client.events(batch(150)).accepted(150, 0);
    let page = tidegate.client.get("/v1/events").expect(200);
    assert_eq!(numbers(&page).len(), 100);
    assert!(page["next_cursor"].is_string());
    let all = tidegate.client.get("/v1/events?limit=150").expect(200);
    assert_eq!((numbers(&all).len(), &all["next_cursor"]), (150, &Value::Null));
    assert_eq!(found(&tidegate.client, "limit=10000").len(), 150);
    for limit in ["0", "10001", "-1", "x", ""] {
        tidegate.client.get(&format!("/v1/events?limit={limit}")).problem(400, "invalid_parameter");
    }
    Ok(())
}

/// Follows the cursors; the ids in their order, and how many pages there were.
fn follow(client: &Client, query: &str, mut between: impl FnMut()) -> (Vec<String>, usize) {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    for page in 1.. {
        let list = client.get(&format!("/v1/events?{query}{cursor}")).expect(200);
        ids.extend(texts(&list, "id").into_iter().map(str::to_owned));
        let Some(next) = list["next_cursor"].as_str() else { return (ids, page) };
        cursor = format!("&cursor={next}");
        between();
    }
    unreachable!()
}

fn cursors_through_everything(env: &Env) -> TestResult {
    let tidegate = env.share();
    // Many of them at the very same microsecond, so that the timestamp alone tells no order.
    let at = hours_from_now(-1);
    for _ in 0..2 {
        let items = (0..1000).map(|n| event_with(n, &format!(r#""timestamp":"{at}""#)));
        tidegate.client.events(array(items)).accepted(1000, 0);
    }
    tidegate.client.events(batch(500)).accepted(500, 0);
    let (ids, pages) = follow(&tidegate.client, "limit=300", || {});
    assert_eq!((ids.len(), pages), (2500, 9));
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 2500, "each exactly once");
    let expected: Vec<String> =
        env.sql().column("SELECT id::text FROM events ORDER BY timestamp DESC, batch_id DESC, batch_seq DESC");
    assert_eq!(ids, expected);
    Ok(())
}

fn cursors_while_events_arrive(env: &Env) -> TestResult {
    let tidegate = env.share();
    let at = hours_from_now(-1);
    let items = (0..500).map(|n| event_with(n, &format!(r#""timestamp":"{at}""#)));
    tidegate.client.events(array(items)).accepted(500, 0);
    let before: BTreeSet<String> = env.sql().column("SELECT id::text FROM events").into_iter().collect();
    let (ids, pages) = follow(&tidegate.client, "limit=100", || {
        tidegate.client.events(batch(10)).accepted(10, 0);
    });
    assert_eq!((pages, ids.len()), (5, 500));
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), before);
    Ok(())
}

fn cursors_of_others(env: &Env) -> TestResult {
    let tidegate = env.share();
    tidegate.client.events(batch(10)).accepted(10, 0);
    let cursor = tidegate.client.get("/v1/events?limit=3&severity=info").expect(200)["next_cursor"].clone();
    let cursor = cursor.as_str().unwrap();
    let path = format!("/v1/events?limit=3&severity=info&cursor={cursor}");
    assert_eq!(numbers(&tidegate.client.get(&path).expect(200)).len(), 3);
    tidegate.with(&env.key("other", "read")).get(&path).problem(404, "not_found");
    for filters in ["", "severity=error&", "severity=info&asset_id=a&"] {
        let path = format!("/v1/events?{filters}cursor={cursor}");
        tidegate.client.get(&path).problem(400, "invalid_parameter");
    }
    let dead_letters = format!("/v1/dead-letters?cursor={cursor}");
    tidegate.client.get(&dead_letters).problem(400, "invalid_parameter");
    for bad in ["", "x", "AAAA", &cursor[1..], &format!("{cursor}AAAA")] {
        tidegate.client.get(&format!("/v1/events?severity=info&cursor={bad}")).problem(400, "invalid_parameter");
    }
    Ok(())
}

fn lines_and_csv(env: &Env) -> TestResult {
    let tidegate = env.share();
    for _ in 0..3 {
        tidegate.client.events(batch(800)).accepted(800, 0);
    }
    let awkward = event_with(9, r#""asset_id":"a,\"b\"\nc""#);
    tidegate.client.events(awkward).accepted(1, 0);
    let lines = tidegate.client.get_as("/v1/events", &[("accept", "application/x-ndjson")]);
    assert_eq!((lines.status, lines.header("content-type")), (200, "application/x-ndjson"));
    let ids: BTreeSet<String> = lines
        .text()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((ids.len(), lines.text().lines().count()), (2401, 2401));
    let csv = tidegate.client.get_as("/v1/events?limit=1", &[("accept", "text/csv")]);
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    let (header, row) = csv.text().split_once("\r\n").unwrap();
    assert!(header.starts_with("id,timestamp,tenant_id,stream,source_module,event_type"), "{header}");
    assert!(row.contains(",\"a,\"\"b\"\"\nc\",") && row.contains(",\"{\"\"n\"\": 9}\","), "{row}");
    assert!(row.ends_with("\r\n"), "{row:?}");
    let all = tidegate.client.get_as("/v1/events?asset_id=none", &[("accept", "text/csv")]);
    assert_eq!(all.text(), format!("{header}\r\n"));
    tidegate.client.get_as("/v1/events", &[("accept", "image/png")]).problem(406, "not_acceptable");
    Ok(())
}

fn one_event(env: &Env) -> TestResult {
    let tidegate = env.share();
    twelve(&tidegate);
    let id = Uuid::from_u128(5);
    let path = format!("/v1/events/{id}");
    let event = tidegate.client.get(&path).expect(200);
    assert_eq!((&event["id"], &event["payload"]), (&json!(id), &json!({ "n": 4 })));
    tidegate.with(&env.key("other", "read")).get(&path).problem(404, "not_found");
    tidegate.client.get(&format!("/v1/events/{}", Uuid::now_v7())).problem(404, "not_found");
    tidegate.client.get("/v1/events/not-a-uuid").problem(404, "not_found");
    Ok(())
}

fn counts(env: &Env) -> TestResult {
    let tidegate = env.serve();
    twelve(&tidegate);
    let old = (0..30).map(|n| event_with(n, &format!(r#""timestamp":"{}","asset_id":"z""#, hours_from_now(-30))));
    tidegate.client.events(array(old)).accepted(30, 0);
    let client = &tidegate.client;
    assert_eq!(client.get("/v1/events/counts").expect(200)["data"], json!([{ "count": 42 }]));
    let sql = env.sql();
    for level in Level::of_metrics() {
        let (bucket, width) = (level.resolution.expect("of metrics"), level.interval());
        let answer =
            client.get(&format!("/v1/events/counts?bucket={bucket}&group_by=asset_id,severity&from=-7d")).expect(200);
        let expected: Vec<Value> = sql.column(&format!(
            "SELECT json_build_object('bucket', to_char(date_bin('{width}', timestamp, 'epoch'), 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), \
             'asset_id', asset_id, 'severity', severity, 'count', count(*)) FROM events \
             GROUP BY date_bin('{width}', timestamp, 'epoch'), asset_id, severity \
             ORDER BY date_bin('{width}', timestamp, 'epoch') DESC, count(*) DESC, asset_id, severity"
        ));
        assert_eq!(answer["data"], Value::from(expected), "{bucket}");
    }
    let grouped = client.get("/v1/events/counts?group_by=asset_id&from=-1h").expect(200)["data"].clone();
    let four = |asset: &str| json!({ "asset_id": asset, "count": 4 });
    assert_eq!(grouped, json!([four("a"), four("b"), four("c")]));
    let filtered = client.get("/v1/events/counts?severity=error&asset_id=a&from=-7d").expect(200);
    assert_eq!(filtered["data"], json!([{ "count": 2 }]));
    let csv = client.get_as("/v1/events/counts?group_by=asset_id&from=-1h", &[("accept", "text/csv")]);
    assert_eq!(csv.text(), "asset_id,count\r\na,4\r\nb,4\r\nc,4\r\n");
    for bad in ["bucket=2m", "group_by=payload", "group_by=trace_id", "group_by=nonsense", "limit=0"] {
        client.get(&format!("/v1/events/counts?{bad}")).problem(400, "invalid_parameter");
    }
    Ok(())
}

fn mistakes_are_refused(env: &Env) -> TestResult {
    let tidegate = env.share();
    let bad =
        ["sevrity=info", "asset_id=a&asset_id=b", "from=yesterday", "to=2026-13-01T00:00:00Z", "asset_id=%00", "%ff=1"];
    for query in bad {
        tidegate.client.get(&format!("/v1/events?{query}")).problem(400, "invalid_parameter");
    }
    for path in ["/v1/events/x?limit=1", "/v1/receipts/x?a=b", "/v1/dead-letters?codes=x", "/v1/dead-letters/x?a"] {
        tidegate.client.get(path).problem(400, "invalid_parameter");
    }
    Ok(())
}

fn tenants_see_only_their_own(env: &Env) -> TestResult {
    let tidegate = env.share();
    twelve(&tidegate);
    let other = tidegate.with(&env.key("other", "ingest,read"));
    other.events(event_with(77, &format!(r#""id":"{}""#, Uuid::from_u128(1)))).accepted(1, 0);
    assert_eq!(found(&other, ""), [77]);
    assert_eq!(found(&other, "asset_id=a").len(), 0);
    assert_eq!(other.get("/v1/events/counts").expect(200)["data"], json!([{ "count": 1 }]));
    let first = format!("/v1/events/{}", Uuid::from_u128(1));
    assert_eq!(other.get(&first).expect(200)["payload"]["n"], 77);
    assert_eq!(tidegate.client.get(&first).expect(200)["payload"]["n"], 0);
    assert_eq!(found(&tidegate.client, "").len(), 12);
    Ok(())
}
