//! Exports of events in one pass, compressed answers, and what a read asked of the database.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::client::Client;
use crate::copied::{parsed, unpacked};
use crate::env::{Env, Test, TestResult, until};
use crate::process::Service;
use crate::samples::{array, batch, event};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    an_export_is_what_copy_gives,
    an_export_goes_on_beside_writers,
    rows_in_no_order_are_all_there_once,
    answers_are_compressed_as_they_are_wanted,
    plans_are_for_admins,
);

const LINES: (&str, &str) = ("accept", "application/x-ndjson");
const CSV: (&str, &str) = ("accept", "text/csv");

/// 4,500 events: of the open day, of closed days, of one microsecond, and ahead.
fn sent(tidegate: &Service) {
    let now = Timestamp::now();
    for (n, age_s) in [0, 5, 5, 90_000, 90_000, 400_000, 3_000_000, -86_400, 20].into_iter().enumerate() {
        let start = now.checked_sub(SignedDuration::from_secs(age_s)).unwrap();
        let items = (0..500).map(|item| {
            let step = if n % 3 == 1 { 0 } else { item };
            let at = start.checked_sub(SignedDuration::from_millis(step)).unwrap();
            format!(
                r#"{{"event_type":"t{}","source_module":"s, \"x\"","asset_id":"a{}","timestamp":"{at}","payload":{{"n":{item},"text":"a,\nü \"b\" =1","decimal":1.500}}}}"#,
                item % 3,
                item % 40
            )
        });
        tidegate.client.events(array(items)).accepted(500, 0);
    }
}

fn ids(client: &Client, query: &str) -> Vec<String> {
    let answer = client.get_as(&format!("/v1/events?{query}"), &[LINES]);
    assert_eq!(answer.status, 200);
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
    answer.text().lines().map(id).collect()
}

pub fn an_export_is_what_copy_gives(env: &Env) -> TestResult {
    let tidegate = env.serve();
    sent(&tidegate);
    let (client, sql) = (&tidegate.client, env.sql());
    let to = Timestamp::now().checked_sub(SignedDuration::from_secs(6)).unwrap();
    let compacted = env.cli(&["lifecycle", "run", "--json"]);
    assert_eq!(compacted.code, Some(0), "{compacted:?}");
    for forgotten in [false, true] {
        if forgotten {
            // What manifests do not tell is found all the same.
            sql.alter("DELETE FROM ingest_batches WHERE max_timestamp < now() - interval '1 day'");
        }
        for (query, condition) in [
            ("", "true".to_owned()),
            ("asset_id=a7,a8", "asset_id IN ('a7', 'a8')".into()),
            (&format!("to={to}&event_type=t1"), format!("timestamp < '{to}' AND event_type = 't1'")),
            ("from=-30h&to=now", "timestamp >= now() - interval '30 h' AND timestamp < now()".into()),
            ("event_type=none", "false".into()),
        ] {
            for (order, place) in
                [("desc", "timestamp DESC, batch_id DESC, batch_seq DESC"), ("asc", "timestamp, batch_id, batch_seq")]
            {
                let expected: Vec<String> =
                    sql.column(&format!("SELECT id::text FROM events WHERE {condition} ORDER BY {place}"));
                let found = ids(client, &format!("{query}&order={order}"));
                assert!(found == expected, "{query} {order}: {} and {}", found.len(), expected.len());
                let some = ids(client, &format!("{query}&order={order}&limit=777"));
                assert!(some == expected[..expected.len().min(777)], "{query} {order}");
            }
        }
    }
    // From a page's cursor on.
    let page = client.get("/v1/events?limit=1234").expect(200);
    let rest = ids(client, &format!("cursor={}", page["next_cursor"].as_str().unwrap()));
    assert_eq!(rest.len(), 4500 - 1234);
    // Every value, as PostgreSQL has it; metadata is put together of several.
    let csv = client.get_as("/v1/events", &[CSV]);
    let columns = csv.text().lines().next().unwrap().to_owned();
    let time = |name: &str| format!("rtrim(rtrim(to_char({name}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US'), '0'), '.') || 'Z'");
    let list: Vec<String> = columns
        .split(',')
        .filter(|name| *name != "metadata")
        .map(|name| if matches!(name, "timestamp" | "created_at") { time(name) } else { name.to_owned() })
        .collect();
    let expected: Vec<String> = sql.column(&format!(
        "SELECT concat_ws(E'\\x1f', {}) FROM events ORDER BY timestamp DESC, batch_id DESC, batch_seq DESC",
        list.join(", ")
    ));
    let mut rows = parsed(csv.text());
    assert_eq!(rows.remove(0).join(","), columns);
    assert_eq!(rows.len(), expected.len());
    let metadata = columns.split(',').position(|name| name == "metadata").unwrap();
    for (mut row, expected) in rows.into_iter().zip(expected) {
        assert!(row.remove(metadata).starts_with("{\"receipt\": "));
        row.retain(|cell| !cell.is_empty());
        assert_eq!(row.join("\x1f"), expected);
    }
    Ok(())
}

fn an_export_goes_on_beside_writers(env: &Env) -> TestResult {
    let tidegate = env.serve();
    sent(&tidegate);
    let (client, sql) = (&tidegate.client, env.sql());
    let before: Vec<String> =
        sql.column("SELECT id::text FROM events ORDER BY timestamp DESC, batch_id DESC, batch_seq DESC");
    let exported = std::thread::scope(|scope| {
        let export = scope.spawn(|| ids(client, "event_type=t0,t1,t2"));
        for _ in 0..10 {
            client.events(batch(50)).accepted(50, 0);
        }
        export.join().unwrap()
    });
    assert_eq!(exported, before);
    let open = "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('tidegate reader', 'tidegate export') \
                AND state <> 'idle' AND datname = current_database()";
    until("nothing is left open", || (sql.one::<i64>(open) == 0).then_some(()));
    Ok(())
}

fn rows_in_no_order_are_all_there_once(env: &Env) -> TestResult {
    let tidegate = env.serve();
    sent(&tidegate);
    let (client, sql) = (&tidegate.client, env.sql());
    // Values that no list has beside others, each between small ones.
    for n in 0..3 {
        let text = "x".repeat(600_000 + n);
        let large = format!(r#"{{"event_type":"large","source_module":"s","payload":{{"text":"{text}"}}}}"#);
        client.events(array([event(10), large, event(11)])).accepted(3, 0);
    }
    let compacted = env.cli(&["lifecycle", "run", "--json"]);
    assert_eq!(compacted.code, Some(0), "{compacted:?}");
    let ways = [("", "true"), ("&asset_id=a7,a8", "asset_id IN ('a7', 'a8')"), ("&event_type=none", "false")];
    for (query, condition) in ways {
        let mut found = ids(client, &format!("order=none{query}"));
        found.sort_unstable();
        let expected: Vec<String> =
            sql.column(&format!("SELECT id::text FROM events WHERE {condition} ORDER BY id::text COLLATE \"C\""));
        assert!(found == expected, "{query}: {} and {}", found.len(), expected.len());
    }
    let lines = client.get_as("/v1/events?order=none", &[LINES]);
    let long = lines.text().lines().filter(|line| line.contains(&"x".repeat(600_000))).count();
    assert_eq!(long, 3, "large values are whole");
    assert_eq!(ids(client, "order=none&limit=777").len(), 777);
    client.get("/v1/events?order=none").problem(400, "invalid_parameter");
    let page = client.get("/v1/events?limit=2").expect(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    let since = page["since"].as_str().unwrap();
    for beside in [format!("cursor={cursor}"), format!("since={since}")] {
        client.get_as(&format!("/v1/events?order=none&{beside}"), &[CSV]).problem(400, "invalid_parameter");
    }
    Ok(())
}

fn answers_are_compressed_as_they_are_wanted(env: &Env) -> TestResult {
    let tidegate = env.share();
    tidegate.client.events(batch(2500)).accepted(2500, 0);
    let client = &tidegate.client;
    for form in [("accept", "application/json"), LINES, CSV] {
        let plain = client.get_as("/v1/events?limit=2500", &[form]);
        assert!(plain.header("content-encoding").is_empty());
        for coding in ["gzip", "zstd"] {
            let packed = client.get_as("/v1/events?limit=2500", &[form, ("accept-encoding", coding)]);
            assert_eq!((packed.status, packed.header("content-encoding")), (200, coding));
            assert!(packed.header("vary").to_ascii_lowercase().contains("accept-encoding"));
            assert!(packed.bytes.len() * 3 < plain.bytes.len());
            assert!(unpacked(coding, &packed.bytes) == plain.text(), "{form:?} {coding}");
        }
        let none = client.get_as("/v1/events?limit=2500", &[form, ("accept-encoding", "gzip;q=0, br")]);
        assert!(none.bytes == plain.bytes);
    }
    let short = client.get_as("/v1/events?limit=1", &[("accept-encoding", "gzip")]);
    assert!(short.header("content-encoding").is_empty() && short.status == 200);
    client.get_as("/v1/events?order=x", &[("accept-encoding", "gzip")]).problem(400, "invalid_parameter");
    Ok(())
}

fn plans_are_for_admins(env: &Env) -> TestResult {
    let tidegate = env.serve();
    tidegate.client.events(batch(10)).accepted(10, 0);
    let admin = tidegate.with(&env.key("default", "read,admin"));
    for path in [
        "/v1/events?limit=3",
        "/v1/events/counts?from=-1h&bucket=1m",
        "/v1/metrics/catalog?limit=1",
        "/v1/correlations?limit=1",
    ] {
        let answer = admin.get(&format!("{path}&explain=1")).expect(200);
        let asked = answer["explain"].as_array().unwrap();
        assert!(!asked.is_empty(), "{answer}");
        for one in asked {
            assert!(one["statement"].as_str().unwrap().contains("SELECT") && one["ms"].as_f64().unwrap() > 0.0);
            assert!(one["plan"][0]["Execution Time"].as_f64().is_some() && one["rows"].is_u64(), "{one}");
        }
        let plain = admin.get(&format!("{path}&explain=0")).expect(200);
        assert!(plain["explain"].is_null() && plain["data"] == answer["data"]);
        tidegate.with(&env.key("default", "read")).get(&format!("{path}&explain=1")).problem(403, "forbidden");
    }
    for bad in ["explain=yes", "explain="] {
        admin.get(&format!("/v1/events?{bad}")).problem(400, "invalid_parameter");
    }
    admin.get_as("/v1/events?explain=1", &[CSV]).problem(400, "invalid_parameter");
    Ok(())
}
