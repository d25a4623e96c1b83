//! GET /v1/events/counts: exact at any time, from the hourly rollup and from events.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::client::Client;
use crate::env::{Engine, Env, Test, TestResult, until};
use crate::process::Tidegate;
use crate::refresh::{close, make_room};
use crate::samples::array;
use crate::tests;

pub const TESTS: &[Test] = tests!(
    exact_at_any_time,
    an_open_hour_is_told_by_its_minutes,
    unbounded_questions_are_refused,
    the_rollup_answers_for_expired_events,
    pages_are_the_whole,
    more_groups_than_a_page_has,
);

/// Events of the last days, in whole hours and at odd times, `late` of them older.
fn send(tidegate: &Tidegate, seed: usize, late: i64) {
    let now = Timestamp::now();
    let events = (0..600).map(|n| {
        let k = n * 7 + seed;
        let age_s = i64::try_from(k * 433 % 200_000).unwrap() + late;
        let at = now.checked_sub(SignedDuration::from_secs(age_s)).unwrap();
        let at = if n % 10 == 0 { Timestamp::from_second(at.as_second() / 3600 * 3600).unwrap() } else { at };
        format!(
            r#"{{"event_type":"t{}","source_module":"m{}","severity":"{}","payload":{{"n":{n}}},"asset_id":"a{}","timestamp":"{at}"}}"#,
            k % 3,
            k % 4,
            ["info", "error"][k % 2],
            k % 5
        )
    });
    tidegate.client.events(array(events.collect::<Vec<_>>())).accepted(600, 0);
}

/// A question, and the condition and the groups of the same in SQL.
const QUESTIONS: [(&str, &str, &str, &str); 10] = [
    ("", "true", "", ""),
    ("bucket=1h", "true", "1 hour", ""),
    ("bucket=1d&group_by=severity", "true", "1 day", "severity"),
    ("bucket=1h&group_by=event_type,source_module,severity", "true", "1 hour", "event_type, source_module, severity"),
    ("group_by=event_type&severity=error", "severity = 'error'", "", "event_type"),
    (
        "severity=error,info&source_module=m1,m2&event_type=t0",
        "source_module IN ('m1', 'm2') AND event_type = 't0'",
        "",
        "",
    ),
    ("event_type=none", "false", "", ""),
    ("bucket=5m&group_by=event_type", "true", "5 minutes", "event_type"),
    (
        "bucket=1m&group_by=severity,event_type&source_module=m1",
        "source_module = 'm1'",
        "1 minute",
        "severity, event_type",
    ),
    ("group_by=asset_id&event_type=t1", "event_type = 't1'", "", "asset_id"),
];

fn check(env: &Env, client: &Client, state: &str) {
    let sql = env.sql();
    let now = Timestamp::now();
    let ago = |seconds: i64| now.checked_sub(SignedDuration::from_secs(seconds)).unwrap();
    let hour = |hours: i64| Timestamp::from_second((now.as_second() / 3600 - hours) * 3600).unwrap();
    let ranges = [
        (None, None),
        (Some(ago(100_000)), None),
        (None, Some(ago(5_000))),
        (Some(ago(90_001)), Some(ago(3_333))),
        (Some(ago(1_200)), Some(ago(60))),
        (Some(hour(30)), Some(hour(2))),
        (Some(hour(30)), Some(ago(7_777))),
        (Some(hour(2)), Some(hour(2))),
        (Some(hour(1)), Some(hour(2))),
        (Some(ago(40 * 86_400)), Some(hour(-24))),
    ];
    for (question, condition, width, fields) in QUESTIONS {
        for (from, to) in ranges {
            let raw = question.contains("m&") || question.contains("asset_id");
            if raw && from.is_none() {
                continue;
            }
            let bound = |name: &str, at: Option<Timestamp>| at.map_or_else(String::new, |at| format!("&{name}={at}"));
            let path = format!("/v1/events/counts?{question}{}{}", bound("from", from), bound("to", to));
            let path = path.replace("?&", "?");
            let found = client.get(&path).expect(200)["data"].clone();
            let within = |sign: &str, at: Option<Timestamp>| {
                at.map_or_else(|| "true".to_owned(), |at| format!("timestamp {sign} '{at}'"))
            };
            let bucket = format!("date_bin('{width}', timestamp, 'epoch')");
            let mut members: Vec<String> = Vec::new();
            let mut groups: Vec<String> = Vec::new();
            let mut order: Vec<String> = Vec::new();
            if !width.is_empty() {
                members.push(format!("'bucket', to_char({bucket}, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"));
                groups.push(bucket.clone());
                order.push(format!("{bucket} DESC"));
            }
            order.push("count(*) DESC".into());
            for field in fields.split(", ").filter(|field| !field.is_empty()) {
                members.push(format!("'{field}', {field}"));
                groups.push(field.into());
                order.push(field.into());
            }
            members.push("'count', count(*)".into());
            let grouping = if groups.is_empty() { String::new() } else { format!("GROUP BY {}", groups.join(", ")) };
            let expected: Vec<Value> = sql.column(&format!(
                "SELECT json_build_object({}) FROM events WHERE tenant_id = 'default' AND {condition} AND {} AND {} {grouping} ORDER BY {}",
                members.join(", "),
                within(">=", from),
                within("<", to),
                order.join(", ")
            ));
            assert_eq!(found, Value::from(expected), "{state}: {path}");
        }
    }
}

fn exact_at_any_time(env: &Env) -> TestResult {
    let tidegate = env.serve();
    make_room(env);
    tidegate
        .with(&env.key("other", "ingest"))
        .events(array([r#"{"event_type":"t0","source_module":"m1","payload":{}}"#]))
        .accepted(1, 0);
    send(&tidegate, 0, 0);
    check(env, &tidegate.client, "not closed yet");
    close(env);
    check(env, &tidegate.client, "closed");
    send(&tidegate, 3, 20_000);
    check(env, &tidegate.client, "late events that the rollup does not have");
    close(env);
    check(env, &tidegate.client, "late events that it has");
    send(&tidegate, 5, 30 * 86_400);
    check(env, &tidegate.client, "very late ones");
    Ok(())
}

/// Each closed minute of an hour is counted once, whether events come late or not; the events that are read are few.
fn an_open_hour_is_told_by_its_minutes(env: &Env) -> TestResult {
    let tidegate = env.serve();
    make_room(env);
    let admin = tidegate.with(&env.key("default", "read,admin"));
    let sql = env.sql();
    let now = Timestamp::now();
    let at = |age_s: i64| now.checked_sub(SignedDuration::from_secs(age_s)).unwrap();
    let mut sent = 0;
    // Three minutes to six hours old, the hours that are not closed among them.
    let mut send = |ages: &dyn Fn(i64) -> i64| {
        let event = |n: i64| {
            let (of_type, at) = (n % 4, at(ages(n)));
            format!(r#"{{"event_type":"t{of_type}","source_module":"m","payload":{{"n":{n}}},"timestamp":"{at}"}}"#)
        };
        tidegate.client.events(array((0..500).map(event).collect::<Vec<_>>())).accepted(500, 0);
        sent += 500;
        sent
    };
    let right = |sent: i64, state: &str| {
        for bucket in ["", "&bucket=1m", "&bucket=5m", "&bucket=1h", "&bucket=1d"] {
            let answer =
                admin.get(&format!("/v1/events/counts?from=-7h&group_by=event_type{bucket}&explain=1")).expect(200);
            let counts = answer["data"].as_array().unwrap().iter().map(|count| count["count"].as_i64().unwrap());
            assert_eq!(counts.sum::<i64>(), sent, "{state}: {bucket}: {}", answer["data"]);
            let asked = answer["explain"].as_array().unwrap();
            let read = |one: &Value| one["statement"].as_str().unwrap().contains("event_counts_1m");
            assert!(asked.iter().any(read) || state == "just sent", "{state}: {bucket}");
        }
    };
    let first = send(&|n| 180 + n * 43);
    right(first, "just sent");
    close(env);
    let closed = match env.engine {
        Engine::Timescale => "SELECT true",
        Engine::Postgres => {
            "SELECT closed_until > now() - INTERVAL '2 minutes' FROM rollup_levels WHERE level = 'event_counts_1m'"
        }
    };
    until("the minutes are closed", || sql.one::<bool>(closed).then_some(()));
    right(first, "closed");
    assert_eq!(sql.one::<i64>("SELECT sum(count)::bigint FROM event_counts_1m"), first);
    // What the minutes say is what is read: a count that is made wrong there shows.
    if env.engine == Engine::Postgres {
        let owner = env.sql_as(tidegate::storage::embedded::OWNER);
        let count = || admin.get("/v1/events/counts?from=-2h&event_type=t1").expect(200)["data"][0]["count"].clone();
        let is = count();
        owner.run("UPDATE event_counts_1m_closed SET count = count + 1 WHERE event_type = 't1'");
        assert_ne!(count(), is);
        owner.run("UPDATE event_counts_1m_closed SET count = count - 1 WHERE event_type = 't1'");
    }
    let late = send(&|n| 200 + n * 31);
    right(late, "late events that the minutes do not have");
    close(env);
    right(late, "late events that they have");
    Ok(())
}

fn unbounded_questions_are_refused(env: &Env) -> TestResult {
    let tidegate = env.serve();
    for question in
        ["bucket=1m", "bucket=5m&to=-1h", "group_by=asset_id", "stream=default", "correlation_id=x", "payload=%7B%7D"]
    {
        let path = format!("/v1/events/counts?{question}");
        let problem = tidegate.client.get(&path).problem(400, "unbounded_query");
        assert!(problem["detail"].as_str().unwrap().contains("from"), "{problem}");
        tidegate.client.get(&format!("{path}&from=-7d")).expect(200);
    }
    Ok(())
}

/// Rows that are gone, of hours that are kept: counted still.
fn the_rollup_answers_for_expired_events(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["retention.events=45d"]);
    make_room(env);
    send(&tidegate, 0, 40 * 86_400);
    send(&tidegate, 0, 0);
    close(env);
    let path = "/v1/events/counts?bucket=1d&group_by=event_type";
    let before = tidegate.client.get(path).expect(200);
    assert!(before["data"].as_array().unwrap().len() > 9);
    let total = |client: &Client| client.get("/v1/events/counts").expect(200)["data"].clone();
    assert_eq!(total(&tidegate.client), json!([{ "count": 1200 }]));
    drop(tidegate);
    let tidegate = env.serve_with(&["retention.events=30d"]);
    let client = tidegate.with(&env.key("default", "read"));
    let sql = env.sql();
    let floor = "SELECT count(*) FROM rollup_floors WHERE source = 'events' AND floor > now() - INTERVAL '31 days'";
    until("no bucket of expired events is recomputed", || (sql.one::<i64>(floor) == 1).then_some(()));
    // Old chunks expire; TimescaleDB then says that the rollup lags there, which is not so.
    match env.engine {
        Engine::Timescale => sql.run("SELECT drop_chunks('events', now() - INTERVAL '30 days')"),
        Engine::Postgres => sql.run("DELETE FROM events WHERE timestamp < now() - INTERVAL '30 days'"),
    }
    assert_eq!(sql.count("events"), 600);
    assert_eq!(total(&client), json!([{ "count": 1200 }]));
    assert_eq!(client.get(path).expect(200)["data"], before["data"]);
    Ok(())
}

/// All groups of a question, page by page, each with its number of groups.
fn paged(client: &Client, path: &str, limit: usize) -> (Vec<Value>, Vec<usize>) {
    let (mut groups, mut sizes, mut cursor) = (Vec::new(), Vec::new(), String::new());
    loop {
        let list = client.get(&format!("{path}&limit={limit}{cursor}")).expect(200);
        let data = list["data"].as_array().unwrap();
        groups.extend(data.iter().cloned());
        sizes.push(data.len());
        let Some(next) = list["next_cursor"].as_str() else { return (groups, sizes) };
        cursor = format!("&cursor={next}");
    }
}

fn pages_are_the_whole(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    make_room(env);
    send(&tidegate, 0, 0);
    close(env);
    send(&tidegate, 3, 20_000);
    let range = format!("from={}&to={}", crate::samples::hours_from_now(-70), crate::samples::hours_from_now(-1));
    for (question, ..) in QUESTIONS {
        let path = format!("/v1/events/counts?{range}&{question}");
        let whole = client.get(&path).expect(200);
        assert_eq!(whole["next_cursor"], Value::Null, "{path}");
        let whole = whole["data"].as_array().unwrap().clone();
        // The last page may be full.
        for limit in [7, whole.len().max(1)] {
            let (groups, sizes) = paged(client, &path, limit);
            assert_eq!(groups, whole, "{path} by {limit}");
            assert_eq!(sizes.len(), whole.len().div_ceil(limit).max(1), "{path} by {limit}: {sizes:?}");
        }
        let lines = client.get_as(&format!("{path}&limit=2"), &[("accept", "application/x-ndjson")]);
        let lines: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines, whole[..whole.len().min(2)], "{path}");
    }
    let path = format!("/v1/events/counts?{range}");
    let list = client.get(&format!("{path}&bucket=1h&group_by=event_type&limit=3")).expect(200);
    let cursor = list["next_cursor"].as_str().unwrap();
    for other in ["bucket=1h", "bucket=1d&group_by=event_type", "bucket=1h&group_by=event_type&severity=info"] {
        client.get(&format!("{path}&{other}&cursor={cursor}")).problem(400, "invalid_parameter");
    }
    client.get(&format!("/v1/events?cursor={cursor}")).problem(400, "invalid_parameter");
    for mistake in ["limit=0", "limit=10001", "limit=x", "cursor=x"] {
        client.get(&format!("{path}&{mistake}")).problem(400, "invalid_parameter");
    }
    let other = tidegate.with(&env.key("other", "read"));
    other.get(&format!("{path}&bucket=1h&group_by=event_type&cursor={cursor}")).problem(404, "not_found");
    Ok(())
}

fn more_groups_than_a_page_has(env: &Env) -> TestResult {
    const GROUPS: usize = 10_050;
    let tidegate = env.serve();
    let client = &tidegate.client;
    let events = (0..GROUPS).map(|n| crate::samples::event_with(n, &format!(r#""asset_id":"a{n}""#)));
    client.events(array(events)).accepted(GROUPS as u64, 0);
    let path = "/v1/events/counts?group_by=asset_id&from=-1d";
    let problem = client.get(path).problem(400, "too_many_groups");
    assert!(problem["detail"].as_str().unwrap().contains("limit"), "{problem}");
    let (groups, sizes) = paged(client, path, 4000);
    assert_eq!(sizes, [4000, 4000, 2050]);
    let assets: std::collections::HashSet<&str> =
        groups.iter().map(|group| group["asset_id"].as_str().unwrap()).collect();
    assert_eq!(assets.len(), GROUPS);
    assert!(groups.iter().all(|group| group["count"] == 1));
    // A cursor alone: pages of 10,000, and no stream that ends in silence before its end.
    let first = client.get(&format!("{path}&limit=1")).expect(200);
    let second = format!("{path}&cursor={}", first["next_cursor"].as_str().unwrap());
    let list = client.get(&second).expect(200);
    assert_eq!(list["data"].as_array().unwrap()[..], groups[1..10_001]);
    let third = format!("{path}&cursor={}", list["next_cursor"].as_str().unwrap());
    assert_eq!(client.get(&third).expect(200), json!({ "data": groups[10_001..], "next_cursor": null }));
    let csv = [("accept", "text/csv")];
    client.get_as(path, &csv).problem(400, "too_many_groups");
    client.get_as(&second, &csv).problem(400, "too_many_groups");
    assert_eq!(client.get_as(&third, &csv).text().lines().count(), 1 + GROUPS - 10_001);
    assert_eq!(client.get_as(&format!("{second}&limit=10000"), &csv).text().lines().count(), 10_001);
    Ok(())
}
