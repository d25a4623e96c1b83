//! Consumer groups with one member: what is read and committed, and who is refused.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::env::{Env, Test, TestResult, until};
use crate::samples::encode;
use crate::streams::{follow, reaches, send};
use crate::tests;
use crate::waits::waits;

pub const TESTS: &[Test] = tests!(
    one_member_reads_and_commits,
    two_groups_are_two_places,
    who_took_over_is_the_one_that_commits,
    what_is_anothers_is_not_there,
    below_retention_it_is_said_where_to_go_on,
    what_is_wrong_with_a_request_is_said,
);

/// Nothing was handed out.
pub const NOTHING: [i64; 0] = [];

pub fn path(stream: &str, group: &str) -> String {
    format!("/v1/streams/{}/groups/{}", encode(stream), encode(group))
}

/// Makes a group with these settings. What is handed out is not another's before the test is at its end, however slow the machine is,
/// where it does not say so.
pub fn make(client: &Client, stream: &str, mut settings: Value) -> Value {
    if settings["ack_timeout"].is_null() {
        settings["ack_timeout"] = json!("1h");
    }
    client.post(&format!("/v1/streams/{}/groups", encode(stream)), &[], settings.to_string()).expect(201)
}

/// What is handed out now, once no job is at the group.
pub fn take(client: &Client, stream: &str, group: &str, query: &str) -> Value {
    at_last(|| client.get(&format!("{}/events?{query}", path(stream, group)))).expect(200)
}

/// What is handed out to one that waits for it.
pub fn wait(client: &Client, stream: &str, group: &str, query: &str) -> Value {
    waits(client, &format!("{}/events?wait=30s&{query}", path(stream, group)), &[]).expect(200)
}

/// Whether it is to be asked again, since others were at the group just then: nothing was done.
pub fn is_busy(answer: &Answer) -> bool {
    matches!(answer.status, 429 | 503) || answer.status == 409 && answer.json()["code"] == "group_busy"
}

/// An answer that is not of a moment at which others were at the group.
pub fn at_last(ask: impl Fn() -> Answer) -> Answer {
    until("others have let it go", || Some(ask()).filter(|answer| !is_busy(answer)))
}

/// What is handed out once there is something.
pub fn next(client: &Client, stream: &str, group: &str, query: &str) -> Value {
    until("something is handed out", || {
        let taken = take(client, stream, group, &format!("{query}&wait=5s"));
        (!offsets(&taken).is_empty()).then_some(taken)
    })
}

/// POST of what a group takes: `ack`, `offset` and so on; once no job is at the group.
pub fn tell(client: &Client, stream: &str, group: &str, what: &str, body: Value) -> Answer {
    at_last(|| tell_now(client, stream, group, what, &body))
}

/// The same, also while another is at the group.
pub fn tell_now(client: &Client, stream: &str, group: &str, what: &str, body: &Value) -> Answer {
    client.post(&format!("{}/{what}", path(stream, group)), &[], body.to_string())
}

pub fn show(client: &Client, stream: &str, group: &str) -> Value {
    at_last(|| client.get(&path(stream, group))).expect(200)
}

/// The offsets of what was taken.
pub fn offsets(taken: &Value) -> Vec<i64> {
    taken["events"].as_array().unwrap().iter().map(|event| event["offset"].as_i64().unwrap()).collect()
}

pub fn commit(client: &Client, stream: &str, group: &str, taken: &Value) -> Answer {
    let body = json!({ "cursor": taken["cursor"], "generation": taken["generation"] });
    tell(client, stream, group, "offset", body)
}

/// A stream with so many events, each a batch of three or fewer.
pub fn filled(client: &Client, stream: &str, events: usize) {
    for first in (0..events).step_by(3) {
        send(client, stream, first, 3.min(events - first));
    }
    reaches(client, &encode(stream), i64::try_from(events).unwrap());
}

fn one_member_reads_and_commits(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    // Before the stream has anything.
    let made = client.post("/v1/streams/s/groups", &[], r#"{"name":"g"}"#).expect(201);
    assert_eq!((&made["lag"], &made["committed"], &made["generation"]), (&json!(0), &json!(0), &json!(1)), "{made}");
    let defaults = json!([5, "30s", [], null, false]);
    let names = ["max_deliveries", "ack_timeout", "event_types", "ordered_by", "paused"];
    assert_eq!(json!(names.map(|name| &made[name])), defaults);
    filled(client, "s", 7);
    let first = take(client, "s", "g", "limit=4");
    assert_eq!(
        (offsets(&first), &first["lag"], &first["lease"]),
        (vec![0, 1, 2, 3], &json!(7), &Value::Null),
        "{first}"
    );
    assert_eq!(first["events"][2]["payload"]["n"], 2);
    // Not committed: it comes again. Read on before that: what comes behind it.
    assert_eq!(offsets(&take(client, "s", "g", "limit=2")), [0, 1]);
    let behind = take(client, "s", "g", &format!("cursor={}", first["cursor"].as_str().unwrap()));
    assert_eq!(offsets(&behind), [4, 5, 6]);
    let committed = commit(client, "s", "g", &first).expect(200);
    assert_eq!((&committed["committed"], &committed["lag"]), (&json!(4), &json!(3)), "{committed}");
    // Said again, or late: nothing changes.
    assert_eq!(commit(client, "s", "g", &first).expect(200)["committed"], 4);
    let second = take(client, "s", "g", "");
    assert_eq!((offsets(&second), &second["next_offset"]), (vec![4, 5, 6], &json!(7)));
    let by_offset = json!({ "next_offset": 6, "generation": 1 });
    assert_eq!(tell(client, "s", "g", "offset", by_offset).expect(200)["committed"], 6);
    assert_eq!(commit(client, "s", "g", &second).expect(200)["committed"], 7);
    assert_eq!(tell(client, "s", "g", "offset", json!({ "offset": 5, "generation": 1 })).expect(200)["committed"], 7);
    let end = take(client, "s", "g", "");
    assert_eq!((offsets(&end), &end["lag"], &end["deliveries"]), (vec![], &json!(0), &json!(0)));
    // Who waits is told.
    let waiting = {
        let client = client.clone();
        std::thread::spawn(move || wait(&client, "s", "g", ""))
    };
    follow(client, 1);
    let sent = Instant::now();
    send(client, "s", 7, 2);
    assert_eq!(offsets(&waiting.join().unwrap()), [7, 8]);
    let lag = client.get(&format!("{}/lag", path("s", "g"))).expect(200);
    assert_eq!((&lag["lag"], &lag["end"]), (&json!(2), &json!(9)), "{lag}");
    assert!(lag["oldest_unread_s"].as_f64().unwrap() <= sent.elapsed().as_secs_f64() + 1.0, "{lag}");
    let metrics = until("the job has counted", || {
        let metrics = client.get("/metrics").text().to_owned();
        metrics.contains("tidegate_group_lag{tenant=\"default\",stream=\"s\",group=\"g\"} 2\n").then_some(metrics)
    });
    assert!(metrics.contains("tidegate_group_parked{tenant=\"default\",stream=\"s\",group=\"g\"} 0\n"), "{metrics}");
    let other = tidegate.with(&env.key("other", "read"));
    assert!(!other.get("/metrics").text().contains("tidegate_group_lag"), "another tenant's");
    Ok(())
}

fn two_groups_are_two_places(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    filled(client, "s", 5);
    make(client, "s", json!({ "name": "a" }));
    make(client, "s", json!({ "name": "b", "start": "latest" }));
    make(client, "s", json!({ "name": "c/ü", "start": "3" }));
    let a = take(client, "s", "a", "limit=2");
    commit(client, "s", "a", &a).expect(200);
    assert_eq!(offsets(&take(client, "s", "a", "")), [2, 3, 4]);
    assert_eq!(offsets(&take(client, "s", "b", "")), NOTHING);
    assert_eq!(offsets(&take(client, "s", "c/ü", "")), [3, 4]);
    send(client, "s", 5, 1);
    reaches(client, "s", 6);
    assert_eq!(offsets(&take(client, "s", "b", "")), [5]);
    let listed = client.get("/v1/streams/s/groups?limit=2").expect(200);
    let names = |listed: &Value| -> Vec<String> {
        listed["data"].as_array().unwrap().iter().map(|group| group["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&listed), ["a", "b"]);
    let cursor = listed["next_cursor"].as_str().unwrap();
    let rest = client.get(&format!("/v1/streams/s/groups?limit=2&cursor={cursor}")).expect(200);
    assert_eq!((names(&rest), &rest["next_cursor"]), (vec!["c/ü".to_owned()], &Value::Null));
    client.post("/v1/streams/s/groups", &[], r#"{"name":"a"}"#).problem(409, "group_exists");
    // Of the same name in another stream: another.
    make(client, "t", json!({ "name": "a" }));
    assert_eq!(offsets(&take(client, "t", "a", "")), NOTHING);
    Ok(())
}

fn who_took_over_is_the_one_that_commits(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    filled(client, "s", 6);
    make(client, "s", json!({ "name": "g" }));
    let zombies = take(client, "s", "g", "limit=3");
    let taken_over = tell(client, "s", "g", "takeover", json!({})).expect(200);
    assert_eq!((&taken_over["generation"], &taken_over["committed"]), (&json!(2), &json!(0)), "{taken_over}");
    let refused = commit(client, "s", "g", &zombies).problem(409, "generation_over");
    assert_eq!(refused["generation"], 2);
    let own = take(client, "s", "g", "limit=3");
    assert_eq!((offsets(&own), &own["generation"]), (vec![0, 1, 2], &json!(2)));
    assert_eq!(commit(client, "s", "g", &own).expect(200)["committed"], 3);
    commit(client, "s", "g", &zombies).problem(409, "generation_over");
    assert_eq!(show(client, "s", "g")["committed"], 3, "the zombie changed nothing");
    let past = tell(client, "s", "g", "offset", json!({ "next_offset": 7, "generation": 2 }));
    assert_eq!(past.problem(400, "offset_past_end")["end"], 6);
    // A cursor of another stream is none of this.
    send(client, "t", 0, 1);
    reaches(client, "t", 1);
    let others = client.get("/v1/streams/t/events").expect(200)["cursor"].clone();
    let body = json!({ "cursor": others, "generation": 2 });
    tell(client, "s", "g", "offset", body).problem(400, "invalid_parameter");
    Ok(())
}

fn what_is_anothers_is_not_there(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    filled(client, "s", 3);
    make(client, "s", json!({ "name": "g" }));
    let taken = take(client, "s", "g", "member=m");
    let other = tidegate.with(&env.key("other", "ingest,read,consume,admin"));
    let missing = other.get(&path("s", "nothing")).problem(404, "not_found");
    let sender = tidegate.with(&env.key("other", "ingest"));
    let place = path("s", "g");
    for (method, what, body) in [
        ("GET", "", ""),
        ("PATCH", "", r#"{"max_deliveries":3}"#),
        ("DELETE", "", ""),
        ("GET", "/events", ""),
        ("GET", "/events?member=m", ""),
        ("GET", "/lag", ""),
        ("GET", "/parked", ""),
        ("POST", "/offset", r#"{"next_offset":1,"generation":1}"#),
        ("POST", "/takeover", ""),
        ("POST", "/ack", r#"{"lease":"1-1"}"#),
        ("POST", "/nack", r#"{"lease":"1-1"}"#),
        ("POST", "/extend", r#"{"lease":"1-1"}"#),
        ("POST", "/leave", r#"{"member":"m"}"#),
        ("POST", "/park", r#"{"offset":0}"#),
        ("POST", "/parked/replay", r#"{"all":true}"#),
        ("POST", "/parked/drop", r#"{"all":true}"#),
        ("POST", "/reset", r#"{"to":"latest"}"#),
        ("POST", "/pause", ""),
        ("POST", "/resume", ""),
    ] {
        let answer = other.send(method, &format!("{place}{what}"), &[], body.as_bytes())?;
        assert_eq!(answer.problem(404, "not_found"), missing, "{method} {what}");
        sender.send(method, &format!("{place}{what}"), &[], body.as_bytes())?.problem(403, "forbidden");
        tidegate
            .anonymous()
            .send(method, &format!("{place}{what}"), &[], body.as_bytes())?
            .problem(401, "unauthorized");
    }
    assert_eq!(other.get("/v1/streams/s/groups").expect(200)["data"], json!([]));
    let group = show(client, "s", "g");
    assert_eq!((&group["committed"], &group["paused"], &group["generation"]), (&json!(0), &json!(false), &json!(1)));
    tell(client, "s", "g", "ack", json!({ "lease": taken["lease"] })).expect(200);
    // Who reads sees how groups stand, and takes nothing from them.
    let reader = tidegate.with(&env.key("default", "read"));
    show(&reader, "s", "g");
    reader.get(&format!("{place}/events")).problem(403, "forbidden");
    reader.post(&format!("{place}/reset"), &[], r#"{"to":"latest"}"#).problem(403, "forbidden");
    Ok(())
}

/// Lets the first batch of a stream expire, as if it were that old.
/// The first batch of the stream `s` expires, of three events.
pub fn expire_first(env: &Env) {
    let sql = env.sql();
    let aged =
        "min_timestamp = min_timestamp - interval '400 days', max_timestamp = max_timestamp - interval '400 days'";
    let first: i64 = sql.one("SELECT batch_id FROM batch_log WHERE base = 0 AND stream = 's'");
    sql.run(&format!(
        "UPDATE batch_log SET {aged} WHERE batch_id = {first}; UPDATE ingest_batches SET {aged} WHERE batch_id = {first}"
    ));
    env.cli(&["lifecycle", "run", "--json"]).json();
    assert_eq!(sql.one::<i64>("SELECT begins FROM stream_begins WHERE stream = 's'"), 3);
}

fn below_retention_it_is_said_where_to_go_on(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 9);
    for name in ["alone", "shared", "done"] {
        make(client, "s", json!({ "name": name }));
    }
    make(client, "s", json!({ "name": "ordered", "ordered_by": "asset_id" }));
    let old = take(client, "s", "alone", "limit=2");
    let all = take(client, "s", "done", "");
    commit(client, "s", "done", &all).expect(200);
    expire_first(env);
    for (group, query) in [("alone", ""), ("shared", "?member=m"), ("ordered", "?member=m")] {
        let gone = client.get(&format!("{}/events{query}", path("s", group))).problem(410, "offset_gone");
        assert_eq!(
            (&gone["begin"], &gone["next_offset"], &gone["end"]),
            (&json!(3), &json!(3), &json!(9)),
            "{group}: {gone}"
        );
        let stands = show(client, "s", group);
        assert_eq!((&stands["committed"], &stands["lag"]), (&json!(0), &json!(6)), "{group}: what expired is no lag");
    }
    let gone = commit(client, "s", "alone", &old).problem(410, "offset_gone");
    assert_eq!(gone["begin"], 3);
    let by_offset = json!({ "next_offset": 2, "generation": 1 });
    tell(client, "s", "alone", "offset", by_offset).problem(410, "offset_gone");
    // There it goes on.
    let body = json!({ "cursor": gone["cursor"], "generation": 1 });
    assert_eq!(tell(client, "s", "alone", "offset", body).expect(200)["committed"], 3);
    assert_eq!(offsets(&take(client, "s", "alone", "")), (3..9).collect::<Vec<_>>());
    for group in ["shared", "ordered"] {
        tell(client, "s", group, "reset", json!({ "to": "earliest" })).expect(200);
        assert_eq!(offsets(&take(client, "s", group, "member=m")), (3..9).collect::<Vec<_>>());
    }
    assert_eq!(offsets(&take(client, "s", "done", "")), NOTHING, "it had come so far");
    tell(client, "s", "done", "reset", json!({ "offset": 2 })).problem(410, "offset_gone");
    Ok(())
}

fn what_is_wrong_with_a_request_is_said(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    let create = |body: &str| client.post("/v1/streams/s/groups", &[], body);
    create("{").problem(400, "body_not_json");
    for (body, says) in [
        ("", "missing field `name`"),
        (r#"{"name":"g","max_delivery":1}"#, "unknown field `max_delivery`"),
        (r#"{"name":""}"#, "`name`"),
        (r#"{"name":"a\nb"}"#, "`name`"),
        (r#"{"name":"g","max_deliveries":1001}"#, "`max_deliveries`"),
        (r#"{"name":"g","max_deliveries":-1}"#, "`max_deliveries`"),
        (r#"{"name":"g","ack_timeout":"1ms"}"#, "`ack_timeout`"),
        (r#"{"name":"g","ack_timeout":"30"}"#, "`ack_timeout`"),
        (r#"{"name":"g","ordered_by":"severity"}"#, "asset_id, correlation_id, source_module"),
        (r#"{"name":"g","event_types":[""]}"#, "`event_types`"),
        (r#"{"name":"g","start":""}"#, "`earliest`"),
    ] {
        let problem = create(body).problem(400, "invalid_body");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{body}: {problem}");
    }
    create(&format!(r#"{{"name":"{}"}}"#, "x".repeat(300 * 1024))).problem(413, "body_too_large");
    create(r#"{"name":"g","start":"nowhere"}"#).problem(400, "invalid_parameter");
    create(r#"{"name":"g","start":"7"}"#).problem(400, "offset_past_end");
    make(client, "s", json!({ "name": "g", "start": "-1h" }));
    make(client, "s", json!({ "name": "ordered", "ordered_by": "source_module" }));
    let place = path("s", "g");
    for query in ["limit=0", "limit=1001", "wait=31s", "member=", "from=-1h", "cursor=x"] {
        client.get(&format!("{place}/events?{query}")).problem(400, "invalid_parameter");
    }
    client.get(&format!("{}/events", path("s", "ordered"))).problem(400, "group_kind");
    tell(client, "s", "ordered", "offset", json!({ "next_offset": 0, "generation": 1 })).problem(400, "group_kind");
    let patched = client.send("PATCH", &path("s", "ordered"), &[], br#"{"ordered_by":"asset_id"}"#)?;
    patched.problem(400, "invalid_body");
    for (what, body) in [
        ("offset", json!({ "generation": 1 })),
        ("offset", json!({ "next_offset": -1, "generation": 1 })),
        ("offset", json!({ "next_offset": 1, "cursor": "x", "generation": 1 })),
        ("ack", json!({ "lease": "x" })),
        ("nack", json!({ "lease": "1-1", "delay": "25h" })),
        ("park", json!({ "offset": "x" })),
    ] {
        tell(client, "s", "g", what, body).problem(400, "invalid_body");
    }
    tell(client, "s", "g", "ack", json!({ "lease": "1-1" })).problem(409, "lease_over");
    client.post(&format!("{place}/events"), &[], "{}").problem(405, "method_not_allowed");
    let begun = Instant::now();
    assert_eq!(offsets(&take(client, "s", "g", "wait=300ms")), NOTHING);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    Ok(())
}
