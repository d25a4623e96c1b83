//! Lists of events in both directions, by what is in their payload, within a budget of time, and as a tail.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::client::Client;
use crate::env::{Env, Test, TestResult};
use crate::process::Service;
use crate::samples::{array, encode, texts};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    every_list_is_what_sql_says,
    values_in_the_payload,
    numbers_in_the_payload,
    words_and_phrases,
    a_search_says_how_far_it_looked,
    a_tail_sees_what_comes,
    mistakes_are_told,
);

/// Ages in seconds, in batches of their own: dense, at one time, and years of nothing between.
const AGES_S: [i64; 7] = [0, 1, 2, 60, 3_700, 90_000, 3_000_000];

/// 100 events of each age, of four types, two assets and payloads that tell them apart.
fn sent(tidegate: &Service) {
    let now = Timestamp::now();
    for (batch, age) in AGES_S.iter().enumerate() {
        let items = (0..100).map(|n| {
            // Every second batch is of one microsecond.
            let us = if batch % 2 == 0 { n * 37 } else { 0 };
            let at = now.checked_sub(SignedDuration::from_secs(*age)).unwrap();
            let at = at.checked_sub(SignedDuration::from_micros(us)).unwrap();
            format!(
                r#"{{"event_type":"t{}","source_module":"s","asset_id":"a{}","timestamp":"{at}",
                    "payload":{{"n":{n},"half":{}.5,"deep":{{"list":[{{"x":"v{}"}}]}},"ok":{},"note":"Disk {} is FULL, \"really\""}}}}"#,
                n % 4,
                n % 2,
                n / 2,
                n % 5,
                n % 3 == 0,
                n % 7,
            )
        });
        tidegate.client.events(array(items)).accepted(100, 0);
    }
}

/// All pages of a list, as ids.
fn all(client: &Client, query: &str) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let list = client.get(&format!("/v1/events?{query}{cursor}")).expect(200);
        ids.extend(texts(&list, "id").into_iter().map(str::to_owned));
        let Some(next) = list["next_cursor"].as_str() else { return ids };
        assert!(list["searched_to"].is_string() || !texts(&list, "id").is_empty(), "{list}");
        cursor = format!("&cursor={next}");
    }
}

const PLACE_DOWN: &str = "timestamp DESC, batch_id DESC, batch_seq DESC";
const PLACE_UP: &str = "timestamp, batch_id, batch_seq";

/// Checks a filter against SQL's, in both directions and by pages of several lengths.
fn check(env: &Env, tidegate: &Service, query: &str, condition: &str) -> usize {
    let sql = env.sql();
    let mut count = 0;
    for (order, place) in [("", PLACE_DOWN), ("&order=desc", PLACE_DOWN), ("&order=asc", PLACE_UP)] {
        let expected: Vec<String> =
            sql.column(&format!("SELECT id::text FROM events WHERE {condition} ORDER BY {place}"));
        for limit in if order.is_empty() { [90, 1000] } else { [70, 1000] } {
            let found = all(&tidegate.client, &format!("{query}{order}&limit={limit}"));
            assert_eq!(found.len(), expected.len(), "{query}{order}");
            assert_eq!(found, expected, "{query}{order} by {limit}");
        }
        count = expected.len();
    }
    count
}

fn every_list_is_what_sql_says(env: &Env) -> TestResult {
    let tidegate = env.serve();
    sent(&tidegate);
    let ago = |seconds: i64| Timestamp::now().checked_sub(SignedDuration::from_secs(seconds)).unwrap();
    let (two, hours) = (ago(2), ago(20_000));
    for (query, condition) in [
        ("", "true".to_owned()),
        ("event_type=t3", "event_type = 't3'".into()),
        ("asset_id=a1&event_type=t0,t1", "asset_id = 'a1' AND event_type IN ('t0', 't1')".into()),
        ("event_type=none", "false".into()),
        (&format!("from={hours}"), format!("timestamp >= '{hours}'")),
        (&format!("to={two}"), format!("timestamp < '{two}'")),
        (&format!("from={hours}&to={two}&asset_id=a0"), {
            format!("timestamp >= '{hours}' AND timestamp < '{two}' AND asset_id = 'a0'")
        }),
    ] {
        check(env, &tidegate, query, &condition);
    }
    // Whatever was forgotten of batches, rows are found.
    env.sql().alter("DELETE FROM ingest_batches");
    assert_eq!(check(env, &tidegate, "", "true"), 700);
    Ok(())
}

pub fn values_in_the_payload(env: &Env) -> TestResult {
    let tidegate = env.serve();
    sent(&tidegate);
    let odd = r#"{"event_type":"odd","source_module":"s","payload":{"n":"7","ok":"true","nothing":null,"a b":{"é,":1.50},"x":[1,[2]]}}"#;
    tidegate.client.events(odd).accepted(1, 0);
    for (query, condition, least) in [
        ("payload.deep.list.0.x=v3", "payload #>> '{deep,list,0,x}' = 'v3'", 140),
        ("payload.deep.list.0.x=v3,v4", "payload #>> '{deep,list,0,x}' IN ('v3', 'v4')", 280),
        // A number and a text that are written alike; numbers by value.
        ("payload.n=7", "payload->>'n' = '7'", 8),
        ("payload.half=3.50", "(payload->>'half')::numeric = 3.5", 14),
        ("payload.ok=true", "payload->>'ok' = 'true'", 239),
        ("payload.nothing=null", "event_type = 'odd'", 1),
        ("payload.n=null", "false", 0),
        (&format!("payload.{}.{}=1.5", encode("a b"), encode("é,")), "event_type = 'odd'", 1),
        ("payload.x.1.0=2", "event_type = 'odd'", 1),
        ("payload.x.9=2", "false", 0),
        (
            "payload.deep.list.0.x=v3&payload.ok=true&event_type=t0",
            { "payload #>> '{deep,list,0,x}' = 'v3' AND payload->>'ok' = 'true' AND event_type = 't0'" },
            7,
        ),
        (&format!("payload.note={}", encode("Disk 3 is FULL, \"really\"")), "payload->>'note' LIKE 'Disk 3%'", 90),
        (&format!("payload.note={}", encode("' OR true --")), "false", 0),
    ] {
        let found = check(env, &tidegate, query, condition);
        assert!(found >= least, "{query}: {found}");
    }
    Ok(())
}

pub fn numbers_in_the_payload(env: &Env) -> TestResult {
    let tidegate = env.serve();
    sent(&tidegate);
    let texts = r#"{"event_type":"odd","source_module":"s","payload":{"n":"99","half":[99]}}"#;
    let exact = r#"{"event_type":"odd","source_module":"s","payload":{"exact":12345678901234567890.000000001}}"#;
    tidegate.client.events(array([texts, exact])).accepted(2, 0);
    let n = "CASE WHEN jsonb_typeof((payload->'n')::jsonb) = 'number' THEN (payload->>'n')::numeric END";
    for (query, condition) in [
        ("payload.n:gte=90", format!("{n} >= 90")),
        ("payload.n:gt=90", format!("{n} > 90")),
        ("payload.n:lt=3", format!("{n} < 3")),
        ("payload.n:lte=3.0", format!("{n} <= 3")),
        ("payload.n%3E=97", format!("{n} >= 97")),
        ("payload.n%3C=1", format!("{n} <= 1")),
        ("payload.n:gte=10&payload.n:lt=12", format!("{n} >= 10 AND {n} < 12")),
        ("payload.half:gt=-1e3", "event_type <> 'odd'".into()),
        ("payload.exact:gt=12345678901234567890", "payload::jsonb ? 'exact'".into()),
        ("payload.exact:gt=12345678901234567890.000000001", "false".into()),
    ] {
        check(env, &tidegate, query, &condition);
    }
    Ok(())
}

pub fn words_and_phrases(env: &Env) -> TestResult {
    let tidegate = env.serve();
    sent(&tidegate);
    let event = |kind: &str, payload: Value| json!({ "event_type": kind, "source_module": "s", "payload": payload });
    let odd = json!([
        event("Zug.Größe", json!({ "text": "50% off_sale \\ back" })),
        event("plain", json!({ "ÜBERMUT": "straße", "list": ["one two"] })),
        event("plain", json!({ "text": "ÉCLAIR", "percent": "500 off" })),
    ]);
    tidegate.client.events(odd.to_string()).accepted(3, 0);
    let found = |q: &str| all(&tidegate.client, &format!("q={}", encode(q))).len();
    for (q, expected) in [
        ("full", 700),
        ("DISK full", 700),
        ("\"disk 3 is full\"", 98),
        ("\"is full, really\"", 0),
        ("größe", 1),
        ("GRÖSSE", 0),
        ("zug", 1),
        ("50%", 1),
        ("off_sale", 1),
        ("off.sale", 0),
        ("\\", 1),
        ("\"\\ back\"", 1),
        ("übermut", 1),
        ("éclair", 1),
        ("eclair", 0),
        ("\"one two\"", 1),
        ("two one", 1),
        ("nowhere", 0),
    ] {
        assert_eq!(found(q), expected, "{q}");
    }
    assert_eq!(
        check(
            env,
            &tidegate,
            "q=full&event_type=t2&payload.n:lt=20",
            "event_type = 't2' AND (payload->>'n')::int < 20"
        ),
        35
    );
    Ok(())
}

/// With no time at all each page is a step, and all of them together are the list.
fn a_search_says_how_far_it_looked(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["search_time=0s"]);
    sent(&tidegate);
    for order in ["desc", "asc"] {
        let (mut ids, mut cursor, mut stops) = (Vec::new(), String::new(), Vec::new());
        loop {
            let list = tidegate
                .client
                .get(&format!("/v1/events?order={order}&q=full&payload.n=99&limit=5{cursor}"))
                .expect(200);
            ids.extend(texts(&list, "id").into_iter().map(str::to_owned));
            if let Some(at) = list["searched_to"].as_str() {
                stops.push(at.parse::<Timestamp>().unwrap());
            }
            let Some(next) = list["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (7, 7), "{order}");
        assert!(!stops.is_empty());
        let onward = |pair: &[Timestamp]| if order == "desc" { pair[0] > pair[1] } else { pair[0] < pair[1] };
        assert!(stops.windows(2).all(onward), "{order}: {stops:?}");
    }
    let lines = tidegate.client.get_as("/v1/events?payload.n=99", &[("accept", "application/x-ndjson")]);
    assert_eq!(lines.text().lines().count(), 7, "a stream goes on by itself");
    Ok(())
}

fn a_tail_sees_what_comes(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let send = |kind: &str, n: usize| {
        client.events(format!(r#"{{"event_type":"{kind}","source_module":"s","payload":{{"n":{n}}}}}"#)).accepted(1, 0);
    };
    let numbers = |list: &Value| -> Vec<u64> {
        list["data"].as_array().unwrap().iter().map(|event| event["payload"]["n"].as_u64().unwrap()).collect()
    };
    // Of a list that has nothing yet.
    let empty = client.get("/v1/events?event_type=a").expect(200);
    let mut since = empty["since"].as_str().unwrap().to_owned();
    let mut next = |limit: usize| {
        let list = client.get(&format!("/v1/events?event_type=a&limit={limit}&since={since}")).expect(200);
        let (mut found, mut page) = (numbers(&list), list);
        while let Some(cursor) = page["next_cursor"].as_str() {
            assert!(page["since"].is_null());
            page = client.get(&format!("/v1/events?event_type=a&limit={limit}&order=asc&cursor={cursor}")).expect(200);
            found.extend(numbers(&page));
        }
        since = page["since"].as_str().unwrap().to_owned();
        found
    };
    assert!(next(2).is_empty());
    for n in 0..5 {
        send("a", n);
        send("b", n);
    }
    assert_eq!(next(2), [0, 1, 2, 3, 4]);
    assert!(next(2).is_empty() && next(100).is_empty());
    send("a", 5);
    assert_eq!(next(100), [5]);
    // From what a reader sees first, newest first.
    let shown = client.get("/v1/events?limit=3").expect(200);
    let since = shown["since"].as_str().unwrap();
    assert!(client.get(&format!("/v1/events?since={since}")).expect(200)["data"].as_array().unwrap().is_empty());
    send("b", 9);
    assert_eq!(numbers(&client.get(&format!("/v1/events?order=asc&since={since}")).expect(200)), [9]);
    let second =
        client.get(&format!("/v1/events?limit=3&cursor={}", shown["next_cursor"].as_str().unwrap())).expect(200);
    assert!(second["since"].is_null());
    Ok(())
}

fn mistakes_are_told(env: &Env) -> TestResult {
    let tidegate = env.share();
    tidegate.client.events(r#"{"event_type":"t","source_module":"s","payload":{"n":1}}"#).accepted(1, 0);
    let page = tidegate.client.get("/v1/events?event_type=t").expect(200);
    let since = page["since"].as_str().unwrap();
    for bad in [
        "order=up".to_owned(),
        "order=".into(),
        "payload.=1".into(),
        "payload.a..b=1".into(),
        "payload.n:gte=x".into(),
        "payload.n:gte=".into(),
        "payload.n:gte=1,2".into(),
        "payload.n:gte=NaN".into(),
        "q=".into(),
        "q=%22%22".into(),
        "q=a+b+c+d+e+f+g+h+i".into(),
        "since=x".into(),
        format!("order=desc&event_type=t&since={since}"),
        format!("event_type=u&since={since}"),
        format!("event_type=t&cursor={since}"),
    ] {
        tidegate.client.get(&format!("/v1/events?{bad}")).problem(400, "invalid_parameter");
    }
    let named = tidegate.client.get("/v1/events?since=x").problem(400, "invalid_parameter");
    assert!(named["detail"].as_str().unwrap().contains("`since`"), "{named}");
    tidegate
        .with(&env.key("other", "read"))
        .get(&format!("/v1/events?event_type=t&since={since}"))
        .problem(404, "not_found");
    // Numbers beyond what PostgreSQL has are a mistake, not a failure.
    tidegate.client.get("/v1/events?payload.n:gte=1e200000").problem(400, "invalid_parameter");
    Ok(())
}
