//! Agents' protocols: what each sends is stored as it says, once, and answered in its own words.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::books::Books;
use crate::definitions::define;
use crate::env::{Env, Test, TestResult};
use crate::protocols_sent::{JSON, PROTOBUF, REMOTE_WRITE, TEXT, now_ms, now_ns, samples};
use crate::tests;
use crate::wired::{gauge, otlp, snappy, span, time_series};

pub const TESTS: &[Test] = tests!(
    each_is_stored_and_answered_in_its_words,
    a_key_is_taken_from_where_agents_put_it,
    refusals_are_in_the_words_of_the_protocol,
    what_an_agent_sends_again_is_stored_once,
    a_dead_letter_has_what_was_sent_and_what_was_made_of_it,
    spans_are_events_with_their_parents,
    otlp_in_json_is_told_from_metrics_of_our_own,
    probes_are_answered_without_a_key,
    cut_and_flipped_bodies_are_answered,
    what_is_masked_is_not_kept_as_it_was_sent,
);

pub const SLOW: &[Test] = tests!(bodies_cut_at_every_byte);

fn each_is_stored_and_answered_in_its_words(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sql = env.sql();
    let mut rows = 0;
    for sample in samples(0) {
        let before = sql.count(sample.table);
        let answer = sample.send(&tidegate.client);
        assert_eq!(answer.status, sample.status, "{}: {}", sample.name, answer.text());
        assert_eq!(sql.count(sample.table) - before, sample.rows, "{}", sample.name);
        rows += u64::try_from(sample.rows)?;
        match sample.name {
            "otlp logs" => {
                assert_eq!((&*answer.bytes, answer.header("content-type")), (&b""[..], "application/x-protobuf"))
            }
            "otlp logs in JSON" => assert_eq!(answer.json(), json!({})),
            "splunk" => assert_eq!(answer.json(), json!({ "text": "Success", "code": 0 })),
            "elastic" => {
                let told = answer.json();
                assert_eq!((&told["errors"], told["items"].as_array().map(Vec::len)), (&json!(false), Some(2)));
                assert_eq!(told["items"][1]["create"]["status"], 201, "{told}");
                assert_eq!(answer.header("x-elastic-product"), "Elasticsearch");
            }
            _ => {}
        }
    }
    let values =
        "SELECT concat_ws(' ', asset_id, metric_type, metric_name, value_sum, dimensions) FROM metrics ORDER BY 1";
    let told = sql.column::<String>(values).join("\n");
    for expected in [
        "host-0 gauge latency 41.5 ",
        "host-0 untyped up 0.5 {\"job\": \"node\"}",
        "host-0 untyped up 1 {\"job\": \"node\"}",
        "host-0 counter requests 7 ",
        "\"cpu\": \"cpu0\"",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    let events = "SELECT concat_ws(' ', asset_id, source_module, event_type, severity, payload) FROM events ORDER BY 1";
    let told = sql.column::<String>(events).join("\n");
    for expected in
        ["host-0 shop log ", "\"body\": \"hello\"", "trace.span", "\"line\": \"one\"", "nginx", "{\"n\": 0}"]
    {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    Books::of(&tidegate.client).assert_items(&[("received", rows), ("committed", rows), ("dead_lettered", 0)]);
    Ok(())
}

fn a_key_is_taken_from_where_agents_put_it(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let key = tidegate.client.key().to_owned();
    let basic = |pair: String| format!("Basic {}", STANDARD.encode(pair));
    let lines = format!("up,host=a value=1 {}", now_ns());
    let bulk = "{\"index\":{}}\n{\"a\":1}\n";
    let stranger = crate::client::Client::new(&tidegate.client.address, None);
    let (token, splunk, api_key) = (
        format!("Token {key}"),
        format!("Splunk {key}"),
        format!("ApiKey {}", STANDARD.encode(format!("agent:{key}"))),
    );
    let (user, alone) = (basic(format!("agent:{key}")), basic(format!("{key}:")));
    for (path, authorization, body) in [
        ("/api/v2/write", &token, &*lines),
        ("/write", &user, &lines),
        ("/write", &alone, &lines),
        ("/services/collector", &splunk, "{\"event\":\"e\"}"),
        ("/services/collector", &user, "{\"event\":\"e\"}"),
        ("/elastic/logs/_bulk", &api_key, bulk),
        ("/elastic/logs/_bulk", &user, bulk),
        ("/loki/api/v1/push", &user, "{\"streams\":[{\"stream\":{},\"values\":[[\"1\",\"x\"]]}]}"),
    ] {
        let headers = [("authorization", &**authorization), ("content-type", "application/json")];
        let answer = stranger.post(path, &headers, body);
        // What is too old is refused as an item: its key was good.
        assert!(
            [200, 204, 400].contains(&answer.status),
            "{path} {authorization}: {} {}",
            answer.status,
            answer.text()
        );
    }
    let answer = stranger.post(&format!("/write?u=agent&p={key}"), TEXT, &lines);
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert!(!tidegate.log().contains(&key[40..]), "no key reaches the log");
    Ok(())
}

fn refusals_are_in_the_words_of_the_protocol(env: &Env) -> TestResult {
    let tidegate = env.share();
    let reader = tidegate.with(&env.key("default", "read"));
    for sample in samples(1) {
        let unknown = sample.send(&tidegate.anonymous());
        assert_eq!(unknown.status, 401, "{}: {}", sample.name, unknown.text());
        let forbidden = sample.send(&reader);
        assert_eq!(forbidden.status, 403, "{}: {}", sample.name, forbidden.text());
        for answer in [&unknown, &forbidden] {
            assert!(!answer.header("x-request-id").is_empty());
            let json = serde_json::from_slice::<Value>(&answer.bytes).unwrap_or_default();
            match sample.name {
                "otlp logs" | "otlp traces" | "otlp metrics" => {
                    assert_eq!(answer.header("content-type"), "application/x-protobuf", "{}", sample.name);
                    // Field 1 is the code of gRPC: 16 or 7.
                    assert_eq!(answer.bytes[..2], [8, if answer.status == 401 { 16 } else { 7 }]);
                }
                "otlp logs in JSON" | "otlp traces in JSON" => assert!(json["message"].is_string(), "{json}"),
                "splunk" | "splunk raw" => assert!(json["text"].is_string() && json["code"].is_u64(), "{json}"),
                "elastic" => assert_eq!(json["error"]["type"], "security_exception", "{json}"),
                "influx v2" => assert!(json["code"].is_string() && json["message"].is_string(), "{json}"),
                "influx v1" | "influx v3" => assert!(json["error"].is_string(), "{json}"),
                "remote write" | "loki" | "loki in JSON" => {
                    assert!(answer.header("content-type").starts_with("text/plain"), "{}", sample.name);
                }
                _ => {}
            }
        }
    }
    let client = &tidegate.client;
    let answer = client.post("/v1/logs", &[("content-type", "text/plain")], b"x");
    assert_eq!(answer.status, 415, "{}", answer.text());
    let answer = client.post("/v1/logs", &[("content-type", "application/json"), ("content-encoding", "br")], b"{}");
    assert_eq!(answer.status, 415, "{}", answer.text());
    let answer = client.post("/api/v1/write", &[("content-type", "application/json")], b"{}");
    assert_eq!(answer.status, 415, "{}", answer.text());
    Ok(())
}

fn what_an_agent_sends_again_is_stored_once(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sql = env.sql();
    let mut twice = 0;
    for sample in samples(2) {
        let before = sql.count(sample.table);
        let first = sample.send(&tidegate.client);
        let again = sample.send(&tidegate.client);
        assert_eq!((first.status, again.status), (sample.status, sample.status), "{}: {}", sample.name, again.text());
        if !sample.name.starts_with("elastic") && !sample.name.starts_with("splunk") {
            assert_eq!(first.bytes, again.bytes, "{}", sample.name);
        }
        // What promises duplicates has them: Splunk's and Elastic's events have no ids here.
        let times = if ["splunk", "splunk raw", "elastic"].contains(&sample.name) { 2 } else { 1 };
        twice += u64::from(times == 1);
        assert_eq!(sql.count(sample.table) - before, times * sample.rows, "{}", sample.name);
        let keyed = [sample.headers, &[("idempotency-key", sample.name.split(' ').next().unwrap())]].concat();
        if sample.name == "splunk" {
            let before = sql.count("events");
            for _ in 0..3 {
                assert_eq!(tidegate.client.post(sample.path, &keyed, &sample.body).status, 200);
            }
            assert_eq!(sql.count("events") - before, sample.rows);
        }
    }
    assert_eq!(twice, 12);
    // Of what cannot be read the item says nothing: it is told apart by what was sent.
    let before = sql.count("dead_letter_events");
    for body in ["no line", "no line either", "no line"] {
        assert_eq!(tidegate.client.post("/write", TEXT, body).status, 400);
    }
    assert_eq!(sql.count("dead_letter_events") - before, 2);
    // Lines without times may be meant twice.
    let before = sql.count("metrics");
    for _ in 0..2 {
        assert_eq!(tidegate.client.post("/write", TEXT, b"door,host=h opened=1i").status, 204);
    }
    assert_eq!(sql.count("metrics") - before, 2);
    Ok(())
}

fn a_dead_letter_has_what_was_sent_and_what_was_made_of_it(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    let good = time_series(&[("__name__", "good"), ("instance", "a")], &[(1.0, now_ms())]);
    let old = time_series(&[("__name__", "old"), ("instance", "a")], &[(1.0, 1000)]);
    let answer = client.post("/api/v1/write", REMOTE_WRITE, snappy(&[good, old.clone()].concat()));
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(env.sql().count("metrics"), 1, "the good one is kept");
    let letter = client.get("/v1/dead-letters").expect(200)["data"][0].clone();
    assert_eq!((&letter["code"], &letter["route"]), (&json!("out_of_window"), &json!("/api/v1/write")));
    // Without tag and length, which are the request's.
    let sent = STANDARD.decode(letter["original_base64"].as_str().unwrap())?;
    assert_eq!((&*sent, &letter["original_bytes"]), (&old[2..], &json!(old.len() - 2)));
    let made: Value = serde_json::from_str(letter["raw"].as_str().unwrap())?;
    assert_eq!((&made["metric_name"], &made["asset_id"]), (&json!("old"), &json!("a")));
    let path = format!("/v1/dead-letters/{}", letter["id"].as_str().unwrap());
    let original = client.get(&format!("{path}/original"));
    assert_eq!((original.status, &*original.bytes), (200, &*sent));
    let admin = tidegate.with(&env.key("default", "admin"));
    let replayed = admin.post(&format!("{path}/replay"), &[], b"").problem(422, "replay_failed");
    assert_eq!(replayed["outcome_code"], "out_of_window");

    let lines = format!("good,host=a value=1 {0}\nbad line here\ngood,host=a value=2 {0}", now_ns() + 5000);
    let answer = client.post("/write", TEXT, &lines);
    assert!(answer.status == 400 && answer.text().contains("line 2"), "{}", answer.text());
    let letter = client.get("/v1/dead-letters?code=undecodable").expect(200)["data"][0].clone();
    assert_eq!(STANDARD.decode(letter["original_base64"].as_str().unwrap())?, b"bad line here");
    assert!(letter["reason"].as_str().is_some_and(|reason| reason.contains("line 2")), "{letter}");
    let path = format!("/v1/dead-letters/{}", letter["id"].as_str().unwrap());
    admin.post(&format!("{path}/replay"), &[], b"").problem(422, "not_replayable");
    assert_eq!(env.sql().count("metrics"), 3);

    // A body that cannot be read at all is one dead letter, whole.
    let junk = [b'\xff'; 70_000];
    let answer = client.post("/v1/logs", PROTOBUF, junk);
    assert_eq!(answer.status, 400);
    let letter = client.get("/v1/dead-letters?code=undecodable&limit=1").expect(200)["data"][0].clone();
    assert_eq!((&letter["original_bytes"], &letter["original_base64"]), (&json!(70_000), &Value::Null));
    let path = format!("/v1/dead-letters/{}", letter["id"].as_str().unwrap());
    assert!(client.get(&format!("{path}/original")).bytes == junk);
    tidegate.client.events(b"[{}]").expect(422);
    let own = client.get("/v1/dead-letters?code=missing_field").expect(200)["data"][0].clone();
    client.get(&format!("/v1/dead-letters/{}/original", own["id"].as_str().unwrap())).problem(404, "not_found");
    Ok(())
}

fn spans_are_events_with_their_parents(env: &Env) -> TestResult {
    let tidegate = env.share();
    let ns = now_ns();
    let (trace, root, child) = ([9; 16], [1; 8], [2; 8]);
    let spans = [
        span(&trace, &root, b"", "GET /checkout", ns, ns + 5_000_000),
        span(&trace, &child, &root, "SELECT", ns + 1_000_000, ns + 2_000_000),
    ];
    let answer = tidegate.client.post("/v1/traces", PROTOBUF, otlp("shop", "h", &spans));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let list = tidegate.client.get("/v1/events?event_type=trace.span&order=asc").expect(200);
    let (first, second) = (&list["data"][0], &list["data"][1]);
    assert_eq!(second["parent_event_id"], first["id"], "{list}");
    assert_eq!(first["trace_id"], "09".repeat(16));
    assert_eq!((&first["payload"]["name"], &first["parent_event_id"]), (&json!("GET /checkout"), &Value::Null));
    Ok(())
}

fn otlp_in_json_is_told_from_metrics_of_our_own(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    client.metrics(b"{}").problem(422, "nothing_accepted");
    client.metrics(b"[]").problem(422, "nothing_accepted");
    let own = r#"{"asset_id":"a","metric_name":"m","value":1,"dimensions":{"resourceMetrics":"x"}}"#;
    client.metrics(own).accepted(1, 0);
    client.metrics(format!("{own}\n{own}")).accepted(2, 0);
    let empty = client.metrics(br#"{"resourceMetrics":[]}"#);
    assert_eq!(empty.expect(200), json!({}));
    assert_eq!(client.post("/v1/metrics", PROTOBUF, b"").status, 200);
    assert_eq!(client.post("/v1/logs", PROTOBUF, b"").status, 200);
    let rejected = otlp("s", "h", &[gauge("old", &[(1000, 1.0)]), gauge("new", &[(now_ns(), 1.0)])]);
    let answer = client.post("/v1/metrics", PROTOBUF, rejected);
    // Partial success: field 1, with one rejected data point and why.
    assert_eq!((answer.status, answer.bytes[0]), (200, 10), "{answer:?}");
    assert!(answer.bytes[2..5].windows(2).any(|field| field == [8, 1]), "{answer:?}");
    assert_eq!(env.sql().count("metrics"), 4);
    Ok(())
}

fn probes_are_answered_without_a_key(env: &Env) -> TestResult {
    let tidegate = env.share();
    let stranger = tidegate.anonymous();
    for (path, status, what) in [
        ("/ping", 204, ""),
        ("/health", 200, "pass"),
        ("/loki/api/v1/status/buildinfo", 200, "version"),
        ("/services/collector/health", 200, "HEC is healthy"),
        ("/elastic", 200, "You Know, for Search"),
    ] {
        let answer = stranger.get(path);
        assert!(answer.status == status && answer.text().contains(what), "{path}: {} {}", answer.status, answer.text());
    }
    let agent = stranger.get_as("/", &[("accept", "application/json")]);
    assert!(agent.text().contains("You Know, for Search"), "{}", agent.text());
    let person = stranger.get_as("/", &[("accept", "text/html,application/xhtml+xml,*/*;q=0.8")]);
    assert!(person.header("content-type").starts_with("text/html"), "{person:?}");
    Ok(())
}

/// Bodies cut and with bytes flipped: an answer, and every item in the books. Each decoder's own tests do it at every byte.
fn cut_and_flipped_bodies_are_answered(env: &Env) -> TestResult {
    cut_and_flipped(env, 11)
}

fn bodies_cut_at_every_byte(env: &Env) -> TestResult {
    cut_and_flipped(env, 1)
}

fn cut_and_flipped(env: &Env, step: usize) -> TestResult {
    let tidegate = env.serve_with(&["limits.dead_letter_bytes_per_day=1GiB"]);
    for sample in samples(3) {
        for at in (0..sample.plain.len()).step_by(step) {
            let cut = sample.send_plain(&tidegate.client, &sample.plain[..at]);
            let mut flipped = sample.plain.clone();
            flipped[at] ^= 0x40;
            let flipped = sample.send_plain(&tidegate.client, &flipped);
            for answer in [cut, flipped] {
                assert!(
                    [200, 202, 204, 400, 413, 415, 422].contains(&answer.status),
                    "{} at {at}: {} {}",
                    sample.name,
                    answer.status,
                    answer.text()
                );
            }
        }
    }
    let books = Books::of(&tidegate.client);
    books.assert_balanced();
    let sql = env.sql();
    let stored = sql.count("events") + sql.count("metrics");
    assert_eq!(books.items("committed_total"), u64::try_from(stored)?);
    assert_eq!(books.items("dead_lettered_total"), u64::try_from(sql.count("dead_letter_events"))?);
    assert!(!tidegate.log().contains("panicked"));
    Ok(())
}

fn what_is_masked_is_not_kept_as_it_was_sent(env: &Env) -> TestResult {
    let tidegate = env.share();
    let admin = tidegate.with(&env.key("default", "admin"));
    define(&admin, json!({ "name": "default", "mask": [{ "path": "/line", "action": "hash" }] }));
    let body = json!({ "streams": [{ "stream": { "job": "a" }, "values": [["1", "secret-text"], [now_ns().to_string(), "secret-text"]] }] });
    let answer = tidegate.client.post("/loki/api/v1/push", JSON, body.to_string());
    assert_eq!(answer.status, 400, "the first is too old: {}", answer.text());
    let sql = env.sql();
    assert_eq!((sql.count("events"), sql.count("dead_letter_events")), (1, 1));
    let kept = "SELECT concat(raw, original) FROM dead_letter_events UNION ALL SELECT payload::text FROM events";
    let kept: Vec<String> = sql.column(kept);
    let hex: String = b"secret-text".iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(kept.iter().all(|kept| !kept.contains("secret-text") && !kept.contains(&hex)), "{kept:?}");
    Ok(())
}
