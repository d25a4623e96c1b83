//! The rowstore profile's unique index: events that are there already, and others under their ids and timestamps.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::books::Books;
use crate::env::{Env, Test, TestResult};
use crate::identity::{cloud, found, send};
use crate::samples::{array, event_with, seconds_from_now};
use crate::tests;

pub const TESTS: &[Test] = tests!(timescale:
    two_sources_on_the_rowstore,
    another_event_under_the_same_id_is_no_duplicate,
    conflicts_within_a_request_and_between_batches,
    a_spooled_conflict,
);

fn two_sources_on_the_rowstore(env: &Env) -> TestResult {
    env.begin_empty();
    let tidegate = env.serve_with(&["storage_profile=rowstore"]);
    let uuid = Uuid::from_u128(9).to_string();
    for id in ["1", &uuid] {
        let pair = [cloud("/a", id, 1, &json!({})), cloud("/b", id, 2, &json!({}))];
        assert!(send(&tidegate.client, &pair).accepted(2, 0).get("duplicates").is_none());
        assert_eq!(["/a", "/b"].map(|source| found(&tidegate.client, id, Some(source))), [1, 2]);
    }
    let at = seconds_from_now(-60);
    let pair = [cloud("/a", "t", 1, &json!({ "time": at })), cloud("/b", "t", 2, &json!({ "time": at }))];
    send(&tidegate.client, &pair).accepted(2, 0);
    assert_eq!(send(&tidegate.client, &pair).accepted(0, 0)["duplicates"], 2);
    assert_eq!(env.sql().count("events"), 6);
    Books::of(&tidegate.client).assert_items(&[("received", 8), ("committed", 6), ("deduplicated", 2)]);
    Ok(())
}

const ID: &str = "00000000-0000-0000-0000-0000000000";

fn identified(number: usize, at: &str, n: usize, more: &str) -> String {
    event_with(n, &format!(r#""id":"{ID}{number:02}","timestamp":"{at}"{more}"#))
}

pub fn another_event_under_the_same_id_is_no_duplicate(env: &Env) -> TestResult {
    env.begin_empty();
    let tidegate = env.serve_with(&["storage_profile=rowstore"]);
    let (client, at) = (&tidegate.client, seconds_from_now(-60));
    let first = identified(1, &at, 1, r#","asset_id":"a","metadata":{"m":1},"trace_id":"t""#);
    client.events(&first).accepted(1, 0);
    for (column, other) in [
        ("payload", first.replace("\"n\":1", "\"n\":2")),
        ("asset_id", first.replace(r#""asset_id":"a""#, r#""asset_id":"b""#)),
        ("asset_id", first.replace(r#","asset_id":"a""#, "")),
        ("metadata", first.replace(r#"{"m":1}"#, r#"{"m":2}"#)),
        ("severity", first.replacen('{', r#"{"severity":"error","#, 1)),
        ("event_type", first.replace("sample", "other")),
        ("source_module", first.replace("tests", "other")),
        ("stream", first.replacen('{', r#"{"stream":"other","#, 1)),
        ("event_version", first.replacen('{', r#"{"event_version":2,"#, 1)),
        ("environment", first.replacen('{', r#"{"environment":"test","#, 1)),
        ("trace_id", first.replace(r#""trace_id":"t""#, r#""trace_id":"u""#)),
        ("correlation_id", first.replacen('{', r#"{"correlation_id":"00000000-0000-0000-0000-0000000000aa","#, 1)),
        ("parent_event_id", first.replacen('{', r#"{"parent_event_id":"00000000-0000-0000-0000-0000000000aa","#, 1)),
        ("payload, metadata", first.replace("\"n\":1", "\"n\":2").replace(r#"{"m":1}"#, r#"{"m":2}"#)),
    ] {
        let answer = client.events(&other).expect(422);
        let error = &answer["errors"][0];
        assert_eq!((&answer["rejected"], &error["code"]), (&json!(1), &json!("id_conflict")), "{column}: {answer}");
        assert!(error["message"].as_str().unwrap().contains(&format!("differs in {column};")), "{column}: {error}");
        let kept: String = env.sql().one(
            "SELECT convert_from(raw, 'UTF8') FROM dead_letter_events WHERE stage = 'write' AND code = 'id_conflict' \
             ORDER BY failed_at DESC LIMIT 1",
        );
        assert_eq!(kept, other, "{column}");
    }
    // The same event again, whatever the order of its members and the request that brings it.
    let again = first.replace(r#""payload":{"n":1}"#, r#""payload":{ "n" : 1 }"#);
    assert_eq!(client.events(array([&first, &again])).accepted(0, 0)["duplicates"], 2);
    assert_eq!((env.sql().count("events"), env.sql().count("dead_letter_events")), (1, 14));
    let books = [("received", 17), ("committed", 1), ("dead_lettered", 14), ("deduplicated", 2)];
    Books::of(client).assert_items(&books);
    Ok(())
}

fn conflicts_within_a_request_and_between_batches(env: &Env) -> TestResult {
    env.begin_empty();
    let tidegate = env.serve_with(&["storage_profile=rowstore", "writers=1", "batch.linger_ms=200"]);
    let (client, at) = (&tidegate.client, seconds_from_now(-60));
    // Of items of one request the first is stored; its neighbours are.
    let items = [
        identified(1, &at, 1, ""),
        identified(1, &at, 2, ""),
        identified(1, &at, 1, ""),
        identified(2, &at, 3, ""),
        "{}".to_owned(),
    ];
    let answer = client.keyed("k", array(&items)).accepted(2, 2);
    assert_eq!((&answer["duplicates"], &answer["errors"][0]["index"]), (&json!(1), &json!(1)), "{answer}");
    assert_eq!(
        (&answer["errors"][0]["code"], &answer["errors"][1]["code"]),
        (&json!("id_conflict"), &json!("missing_field"))
    );
    // A replay says the same.
    let mut again = client.keyed("k", array(&items)).expect(200);
    again["duplicate"] = false.into();
    assert_eq!(again, answer);
    let stored: Vec<i32> = env.sql().column("SELECT (payload->>'n')::int FROM events ORDER BY 1");
    assert_eq!(stored, [1, 3]);
    // Requests of one batch: whichever comes first.
    std::thread::scope(|scope| {
        let of = |n: usize| {
            let body = array([identified(3, &at, n, ""), identified(10 + n, &at, n, "")]);
            move || client.events(body).expect(200)
        };
        let sent: Vec<_> = (0..4).map(|n| scope.spawn(of(n))).collect();
        let answers: Vec<Value> = sent.into_iter().map(|one| one.join().unwrap()).collect();
        let sum = |member: &str| answers.iter().map(|answer| answer[member].as_u64().unwrap()).sum::<u64>();
        assert_eq!((sum("accepted"), sum("rejected")), (5, 3), "{answers:?}");
    });
    assert_eq!((env.sql().count("events"), env.sql().count("dead_letter_events")), (7, 5));
    Books::of(client).assert_balanced();
    Ok(())
}

fn a_spooled_conflict(env: &Env) -> TestResult {
    env.begin_empty();
    let tidegate = env.serve_with(&["storage_profile=rowstore"]);
    let at = seconds_from_now(-60);
    tidegate.client.events(identified(1, &at, 1, "")).accepted(1, 0);
    let body = array([identified(1, &at, 1, ""), identified(1, &at, 2, ""), identified(2, &at, 2, "")]);
    let headers = [("content-type", "application/json")];
    let told = tidegate.client.post("/v1/events?ack=spooled", &headers, body).expect(202);
    Books::drained(&tidegate.client);
    let receipt = tidegate.client.get(&format!("/v1/receipts/{}", told["receipt"].as_str().unwrap())).expect(200);
    assert_eq!((&receipt["accepted"], &receipt["rejected"], &receipt["duplicates"]), (&json!(1), &json!(1), &json!(1)));
    let codes: Vec<String> = env.sql().column("SELECT code FROM dead_letter_events");
    assert_eq!((codes, env.sql().count("events")), (vec!["id_conflict".to_owned()], 2));
    Ok(())
}
