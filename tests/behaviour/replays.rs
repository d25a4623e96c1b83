//! Dead letters are sent again once what refused them is mended: stored once, as they first came in, and what came of it is
//! kept on them.

use serde_json::{Value, json};

use crate::books::Books;
use crate::client::Answer;
use crate::env::{Env, Test, TestResult, until};
use crate::process::Tidegate;
use crate::samples::{array, event, event_with, hours_from_now, metric_with, texts};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    one_is_stored_once,
    eight_at_once_store_one,
    what_fails_again_stays,
    what_was_no_item_is_none_again,
    each_is_what_it_was,
    what_did_not_fit_its_request_fits_one_of_its_own,
    a_new_series_once_there_is_room,
    anothers_is_not_there,
    what_cannot_be_replayed_says_why,
    thousands_by_a_filter,
    on_the_command_line,
);

/// What takes events of the days that [`old`] ones are of.
pub const MENDED: &str = "retention.events=800d";

/// An event that is too old unless [`MENDED`].
pub fn old(n: usize) -> String {
    event_with(n, &format!(r#""timestamp":"{}""#, hours_from_now(-24 * 400)))
}

/// The ids of all dead letters.
pub fn ids(env: &Env) -> Vec<String> {
    env.sql().column("SELECT id::text FROM dead_letter_events ORDER BY failed_at, item_index")
}

pub fn replay(tidegate: &Tidegate, id: &str) -> Answer {
    tidegate.client.post(&format!("/v1/dead-letters/{id}/replay"), &[], "")
}

/// Replays all that can be, call after call; how many were stored.
pub fn replay_all(tidegate: &Tidegate) -> u64 {
    let (mut stored, mut path) = (0, "/v1/dead-letters/replay".to_owned());
    loop {
        let part = tidegate.client.post(&path, &[], "").expect(200);
        stored += part["stored"].as_u64().unwrap();
        let Some(next) = part["next_cursor"].as_str() else { return stored };
        path = format!("/v1/dead-letters/replay?cursor={next}");
    }
}

/// Refuses every row of events that is written while it is there. A process does not start beside it, since a trigger keeps rows
/// out of the columnstore.
fn refuse_all(env: &Env) {
    let sql = env.sql();
    sql.run(
        "CREATE OR REPLACE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'not today' USING ERRCODE = 'P0001'; END $$",
    );
    sql.alter("CREATE OR REPLACE TRIGGER judge BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION judge()");
}

fn refuse_none(env: &Env) {
    env.sql().alter("DROP TRIGGER judge ON events");
}

fn one_is_stored_once(env: &Env) -> TestResult {
    let tidegate = env.serve();
    tidegate.client.events(array([old(1)])).problem(422, "nothing_accepted");
    drop(tidegate);
    let tidegate = env.serve_with(&[MENDED]);
    let id = &ids(env)[0];
    let before = tidegate.client.get(&format!("/v1/dead-letters/{id}")).expect(200);
    assert_eq!((&before["replayed_at"], &before["outcome"]), (&Value::Null, &Value::Null));
    let first = replay(&tidegate, id).expect(200);
    assert_eq!((&first["id"], &first["outcome"], &first["outcome_code"]), (&json!(id), &json!("stored"), &Value::Null));
    assert_eq!(replay(&tidegate, id).expect(200), first);
    let sql = env.sql();
    assert_eq!((sql.count("events"), sql.count("dead_letter_events")), (1, 1));
    let after = tidegate.client.get(&format!("/v1/dead-letters/{id}")).expect(200);
    assert_eq!((&after["replayed_at"], &after["outcome"]), (&first["replayed_at"], &first["outcome"]));
    assert_eq!((&after["raw"], &after["code"]), (&before["raw"], &json!("out_of_window")));
    // Known for longer than the ledger.
    sql.run("DELETE FROM ingest_ledger");
    assert_eq!(replay(&tidegate, id).expect(200), first);
    assert_eq!(sql.count("events"), 1);
    let books = Books::of(&tidegate.client);
    books.assert_items(&[("received", 1), ("committed", 1)]);
    assert_eq!(books.get("tidegate_dead_letter_replays_total{outcome=\"stored\"}"), 1.0);
    let listed = |query: &str| {
        let list = tidegate.client.get(&format!("/v1/dead-letters?{query}")).expect(200);
        texts(&list, "id").len()
    };
    assert_eq!((listed("outcome=stored"), listed("outcome=none,failed"), listed("")), (1, 0, 1));
    tidegate.client.get("/v1/dead-letters?outcome=gone").problem(400, "invalid_parameter");
    Ok(())
}

fn eight_at_once_store_one(env: &Env) -> TestResult {
    let tidegate = env.serve();
    refuse_all(env);
    tidegate.client.events(event(1)).expect(422);
    refuse_none(env);
    let id = &ids(env)[0];
    let gate = std::sync::Barrier::new(8);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let one = || {
            gate.wait();
            until("an answer other than 409", || {
                let answer = replay(&tidegate, id);
                if answer.status == 409 {
                    answer.problem(409, "replay_in_flight");
                    return None;
                }
                Some(answer)
            })
        };
        let sent: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
        sent.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let first = answers[0].expect(200);
    assert!(first["outcome"] == "stored" && answers.iter().all(|answer| answer.expect(200) == first), "{answers:?}");
    assert_eq!((env.sql().count("events"), env.sql().count("dead_letter_events")), (1, 1));
    Books::of(&tidegate.client).assert_balanced();
    Ok(())
}

fn what_fails_again_stays(env: &Env) -> TestResult {
    let tidegate = env.serve();
    tidegate.client.events(array([old(1), "{}".to_owned()])).expect(422);
    let ids = ids(env);
    for _ in 0..2 {
        let failed = replay(&tidegate, &ids[0]).problem(422, "replay_failed");
        assert_eq!((&failed["outcome"], &failed["outcome_code"]), (&json!("failed"), &json!("out_of_window")));
        assert!(failed["outcome_detail"].as_str().unwrap().contains("is outside"), "{failed}");
        let letter = tidegate.client.get(&format!("/v1/dead-letters/{}", ids[0])).expect(200);
        for name in ["replayed_at", "outcome", "outcome_code", "outcome_detail"] {
            assert_eq!(letter[name], failed[name], "{name}");
        }
    }
    // One that the database refuses, and that fails for another reason then.
    drop(tidegate);
    let tidegate = env.serve_with(&[MENDED]);
    refuse_all(env);
    let failed = replay(&tidegate, &ids[0]).problem(422, "replay_failed");
    assert_eq!(failed["outcome_code"], "row_refused", "{failed}");
    assert_eq!(replay(&tidegate, &ids[1]).problem(422, "replay_failed")["outcome_code"], "missing_field");
    let sql = env.sql();
    assert_eq!((sql.count("events"), sql.count("dead_letter_events"), sql.count("ingest_ledger")), (0, 2, 0));
    Books::of(&tidegate.client).assert_items(&[("received", 2), ("refused", 2)]);
    refuse_none(env);
    assert_eq!(replay(&tidegate, &ids[0]).expect(200)["outcome_code"], Value::Null);
    assert_eq!(sql.count("events"), 1);
    Ok(())
}

/// Of every stage before the database, whatever it is that was sent: refused for the same reason, and no other letter made.
fn what_was_no_item_is_none_again(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let send = |path: &str, content_type: &str, body: &[u8]| {
        tidegate.client.post(path, &[("content-type", content_type)], body).in_time();
    };
    for body in ["no json", "[{\"a\":", "{\"a\":1}}", "[[1],2,\"three\",null,{}]", "]", "[1] [2"] {
        send("/v1/events", "application/json", body.as_bytes());
        send("/v1/metrics", "application/json", body.as_bytes());
    }
    send(
        "/v1/events",
        "application/x-ndjson",
        b"{broken\n[1]\n{\"payload\":{\"a\":1,\"a\":2}}\n\"x\"\n\xff\xfe\n{\"a\":\"\\u0000\"}\n",
    );
    send("/v1/events?wrap=payload&event_type=e&source_module=m", "application/x-ndjson", b"{\"a\":\"\\ud800\"}\n");
    send("/v1/events", "application/cloudevents+json", b"{\"specversion\":\"0.3\"}");
    send("/v1/events", "application/cloudevents-batch+json", b"[{}, 5]");
    let sql = env.sql();
    let letters = sql.count("dead_letter_events");
    let stages: Vec<String> = sql.column("SELECT DISTINCT stage FROM dead_letter_events ORDER BY 1");
    assert!(letters > 20 && stages == ["decode", "validate"], "{letters} {stages:?}");
    let all = tidegate.client.post("/v1/dead-letters/replay", &[], "").expect(200);
    assert_eq!((&all["failed"], &all["stored"], &all["refused"]), (&json!(letters), &json!(0), &json!(0)), "{all}");
    let changed = "SELECT concat_ws(' ', code, outcome_code, outcome, convert_from(raw, 'LATIN1')) FROM dead_letter_events \
                   WHERE (outcome_code, outcome) IS DISTINCT FROM (code, 'failed')";
    assert_eq!(sql.column::<String>(changed), Vec::<String>::new());
    assert_eq!((sql.count("dead_letter_events"), sql.count("events"), sql.count("metrics")), (letters, 0, 0));
    Books::of(&tidegate.client).assert_balanced();
    Ok(())
}

fn each_is_what_it_was(env: &Env) -> TestResult {
    let tidegate = env.serve();
    refuse_all(env);
    let other = env.key("default", "ingest");
    let sender = tidegate.with(&other);
    let send = |path: &str, content_type: &str, body: &str| {
        sender.post(path, &[("content-type", content_type)], body).expect(422);
    };
    send(
        "/v1/events?stream=s1&source_module=m1",
        "application/x-ndjson",
        "{\"event_type\":\"lines\",\"payload\":{}}\n",
    );
    send(
        "/v1/events?wrap=payload&event_type=wrapped&source_module=m2",
        "application/json",
        r#"[{"payload":1},{"a":2}]"#,
    );
    let cloud = r#"{"specversion":"1.0","id":"c","source":"/s","type":"cloud","data":{"n":1}}"#;
    send("/v1/events", "application/cloudevents+json", cloud);
    send("/v1/events", "application/cloudevents-batch+json", &format!("[{}]", cloud.replace("\"c\"", "\"d\"")));
    let came_in: Vec<String> = env.sql().column("SELECT DISTINCT received_at::text FROM dead_letter_events");
    assert_eq!(came_in.len(), 4);
    refuse_none(env);
    let all = tidegate.client.post("/v1/dead-letters/replay", &[], "").expect(200);
    assert_eq!((&all["stored"], &all["left"], &all["next_cursor"]), (&json!(5), &json!(0), &Value::Null), "{all}");
    let rows = "SELECT concat_ws(' ', event_type, source_module, stream, payload::text) FROM events ORDER BY 1";
    let expected = [
        "cloud /s default {\"n\": 1}",
        "cloud /s default {\"n\": 1}",
        "lines m1 s1 {}",
        "wrapped m2 default {\"a\": 2}",
        "wrapped m2 default {\"payload\": 1}",
    ];
    let blank = |text: String| text.replace("\": ", "\":").replace("\":", "\": ");
    let stored: Vec<String> = env.sql().column::<String>(rows).into_iter().map(blank).collect();
    assert_eq!(stored, expected);
    // When it came in, not when it was replayed; and who sent it.
    let same = "SELECT count(*) FROM events e WHERE e.api_key_id = (SELECT min(api_key_id::text)::uuid FROM dead_letter_events) \
                AND EXISTS (SELECT FROM dead_letter_events d WHERE d.received_at = e.timestamp)";
    assert_eq!(env.sql().one::<i64>(same), 5);
    Ok(())
}

/// The stage between the rules and the database: an event like others, in a request that names more streams than one can.
fn what_did_not_fit_its_request_fits_one_of_its_own(env: &Env) -> TestResult {
    const STREAMS: usize = 65_536;
    let tidegate = env.serve_with(&["limits.streams_per_tenant=100000"]);
    let items = (0..=STREAMS)
        .map(|n| format!(r#"{{"event_type":"e","source_module":"m","stream":"s{n}","payload":{{"n":{n}}}}}"#));
    tidegate.client.events(array(items)).accepted(STREAMS as u64, 1);
    let sql = env.sql();
    assert_eq!(sql.count("events"), i64::try_from(STREAMS)?);
    let letter = sql.column::<String>("SELECT concat_ws(' ', stage, code, item_index) FROM dead_letter_events");
    assert_eq!(letter, ["package invalid_field 65536"]);
    let id = &ids(env)[0];
    let first = replay(&tidegate, id).expect(200);
    assert_eq!((&first["outcome"], replay(&tidegate, id).expect(200)), (&json!("stored"), first.clone()));
    assert_eq!(sql.one::<i64>("SELECT count(*) FROM events WHERE stream = 's65536'"), 1);
    Books::of(&tidegate.client).assert_balanced();
    Ok(())
}

fn a_new_series_once_there_is_room(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["limits.series_per_tenant=2"]);
    let item = |n: usize| metric_with("web", &format!(r#""value":{n},"dimensions":{{"shard":{n}}}"#));
    tidegate.client.metrics(array((0..3).map(item))).accepted(2, 1);
    let id = &ids(env)[0];
    assert_eq!(replay(&tidegate, id).problem(422, "replay_failed")["outcome_code"], "series_quota");
    assert_eq!((env.sql().count("metrics"), env.sql().count("dead_letter_events")), (2, 1));
    drop(tidegate);
    let tidegate = env.serve_with(&["limits.series_per_tenant=3"]);
    let first = replay(&tidegate, id).expect(200);
    assert_eq!((&first["outcome"], replay(&tidegate, id).expect(200)), (&json!("stored"), first.clone()));
    assert_eq!(env.sql().count("metrics"), 3);
    Ok(())
}

fn anothers_is_not_there(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&[MENDED]);
    tidegate.client.events("{}").expect(422);
    let id = &ids(env)[0];
    let path = format!("/v1/dead-letters/{id}/replay");
    let other = tidegate.with(&env.key("other", "ingest,read,admin"));
    other.post(&path, &[], "").problem(404, "not_found");
    let none = other.post("/v1/dead-letters/replay", &[], "").expect(200);
    assert_eq!((&none["stored"], &none["failed"], &none["left"]), (&json!(0), &json!(0), &json!(0)));
    for scopes in ["ingest,read", "consume"] {
        let client = tidegate.with(&env.key("default", scopes));
        client.post(&path, &[], "").problem(403, "forbidden");
        client.post("/v1/dead-letters/replay", &[], "").problem(403, "forbidden");
    }
    for missing in ["nonsense", "00000000-0000-0000-0000-000000000000"] {
        replay(&tidegate, missing).problem(404, "not_found");
    }
    tidegate.client.post("/v1/dead-letters/replay?cod=a", &[], "").problem(400, "invalid_parameter");
    tidegate.client.post("/v1/dead-letters/replay?outcome=stored", &[], "").problem(400, "invalid_parameter");
    assert_eq!(env.sql().one::<i64>("SELECT count(*) FROM dead_letter_events WHERE replayed_at IS NULL"), 1);
    Ok(())
}

fn what_cannot_be_replayed_says_why(env: &Env) -> TestResult {
    let tidegate = env.serve();
    refuse_all(env);
    let key = tidegate.client.key().to_owned();
    let holds_key = event_with(0, &format!(r#""metadata":{{"authorization":"{key}"}}"#));
    tidegate.client.events(array([holds_key, event(1), event(2), event(3)])).expect(422);
    let sql = env.sql();
    sql.run("UPDATE dead_letter_events SET received_at = NULL, redacted = NULL WHERE item_index = 1");
    sql.run("UPDATE dead_letter_events SET parameters = '{\"schema\": \"7\"}' WHERE item_index = 2");
    refuse_none(env);
    let ids = ids(env);
    for (id, said) in ids.iter().zip(["API key was cut out", "lacks received_at", "its parameters"]) {
        let why = replay(&tidegate, id).problem(422, "not_replayable");
        assert!(why["detail"].as_str().unwrap().contains(said), "{why}");
    }
    let all = tidegate.client.post("/v1/dead-letters/replay", &[], "").expect(200);
    assert_eq!((&all["stored"], &all["refused"], &all["failed"]), (&json!(1), &json!(3), &json!(0)), "{all}");
    assert!(all["errors"].as_array().unwrap().iter().all(|error| error["code"] == "not_replayable"), "{all}");
    assert_eq!(sql.count("events"), 1);
    let metrics = Books::of(&tidegate.client);
    assert_eq!(metrics.get("tidegate_dead_letter_replays_total{outcome=\"refused\"}"), 6.0);
    Ok(())
}

fn thousands_by_a_filter(env: &Env) -> TestResult {
    const LETTERS: usize = 2500;
    let tidegate = env.serve();
    let items = (0..LETTERS).map(old).chain(["{}".to_owned()]);
    tidegate.client.events(array(items)).problem(422, "nothing_accepted");
    drop(tidegate);
    let tidegate = env.serve_with(&[MENDED]);
    let call = |query: &str| tidegate.client.post(&format!("/v1/dead-letters/replay?{query}"), &[], "").expect(200);
    let filter = "code=out_of_window&stage=validate&from=-1h";
    let dry = call(&format!("{filter}&dry_run=1"));
    assert_eq!((&dry["left"], &dry["stored"], &dry["dry_run"]), (&json!(LETTERS), &json!(0), &json!(true)), "{dry}");
    assert_eq!(env.sql().count("events"), 0);
    let (mut stored, mut cursor, mut left) = (0, String::new(), Vec::new());
    loop {
        let part = call(&format!("{filter}&limit=1100{cursor}"));
        stored += part["stored"].as_u64().unwrap();
        left.push(part["left"].as_u64().unwrap());
        assert_eq!((&part["failed"], &part["refused"]), (&json!(0), &json!(0)), "{part}");
        let Some(next) = part["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    // As many as were asked for, unless a call took so long that it ended before.
    let is_bounded = left.iter().zip([1400, 300, 0]).all(|(left, least)| *left >= least);
    assert!(
        stored == 2500 && is_bounded && left.is_sorted_by(|a, b| a > b) && left.last() == Some(&0),
        "{stored} {left:?}"
    );
    tidegate.client.post(&format!("/v1/dead-letters/replay?code=missing_field{cursor}"), &[], "").expect(400);
    // What is stored is passed over; what fails again is not.
    let rest = call("");
    assert_eq!((&rest["stored"], &rest["failed"], &rest["left"]), (&json!(0), &json!(1), &json!(0)), "{rest}");
    assert_eq!(rest["errors"][0]["code"], "missing_field");
    assert_eq!(
        (call("outcome=none")["failed"].clone(), call("outcome=failed")["failed"].clone()),
        (json!(0), json!(1))
    );
    let distinct: i64 = env.sql().one("SELECT count(DISTINCT payload::text) FROM events");
    assert_eq!((env.sql().count("events"), distinct), (2500, 2500));
    Books::of(&tidegate.client).assert_items(&[("received", 2502), ("committed", 2500), ("refused", 2)]);
    Ok(())
}

fn on_the_command_line(env: &Env) -> TestResult {
    let tidegate = env.serve();
    tidegate.client.events(array([old(0), old(1), "{}".to_owned()])).expect(422);
    drop(tidegate);
    let tidegate = env.serve_with(&[MENDED]);
    let (url, key) = (tidegate.client.url(), tidegate.client.key().to_owned());
    let run = |arguments: &[&str]| env.cli(&[&["dead-letters"], arguments, &["--url", &url, "--key", &key]].concat());
    let ids = ids(env);
    let listed = run(&["list", "--code", "out_of_window", "--from", "-1h", "--json"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert!(run(&["list", "--limit", "1"]).stdout.lines().count() == 2);
    let shown = run(&["show", &ids[2]]);
    assert!(shown.stdout.contains("code: missing_field") && shown.stdout.contains("raw: {}"), "{shown:?}");
    assert_eq!(run(&["show", &ids[0], "--json"]).json()["id"], json!(ids[0]));
    let counted = run(&["replay", "--all", "--dry-run", "--json"]).json();
    assert_eq!((&counted["left"], &counted["stored"]), (&json!(3), &json!(0)));
    let vague = run(&["replay"]);
    assert!(vague.code == Some(2) && vague.stderr.contains("--all"), "{vague:?}");
    let one = run(&["replay", &ids[0], "--json"]).json();
    assert_eq!((&one["stored"], &one["failed"]), (&json!(1), &json!(0)));
    let rest = run(&["replay", "--all", "--json"]);
    let report: Value = serde_json::from_str(&rest.stdout)?;
    assert_eq!((rest.code, &report["stored"], &report["failed"]), (Some(1), &json!(1), &json!(1)), "{report}");
    assert_eq!(report["errors"][0]["id"], json!(ids[2]));
    let again = run(&["replay", &ids[0], &ids[1]]);
    assert!(again.code == Some(0) && again.stdout.starts_with("2 stored"), "{again:?}");
    assert_eq!(env.sql().count("events"), 2);
    let missing = run(&["show", "00000000-0000-0000-0000-000000000000"]);
    assert!(missing.code == Some(1) && missing.stderr.contains("not_found"), "{missing:?}");
    let keyless = env.cli(&["dead-letters", "list", "--url", &url]);
    assert!(keyless.code == Some(2) && keyless.stderr.contains("TIDEGATE_KEY"), "{keyless:?}");
    Ok(())
}
