//! Reading dead letters back.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::env::{Env, Test, TestResult, until};
use crate::process::Service;
use crate::samples::{array, event_with, hours_from_now, texts};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    listed_and_filtered,
    paged,
    all_in_every_form,
    one_whole,
    anothers_are_not_there,
    kept_as_long_as_configured
);

/// Three dead letters of two stages and three codes; the receipt of their request.
fn three(tidegate: &Service) -> String {
    let old = event_with(0, &format!(r#""timestamp":"{}""#, hours_from_now(-24 * 400)));
    let items = ["{}".to_owned(), old, r#"{"a":"\u0000"}"#.to_owned()];
    let refused = tidegate.client.events(array(items)).problem(422, "nothing_accepted");
    refused["receipt"].as_str().unwrap().to_owned()
}

fn codes(tidegate: &Service, query: &str) -> Vec<String> {
    let list = tidegate.client.get(&format!("/v1/dead-letters?{query}")).expect(200);
    let mut codes: Vec<String> = texts(&list, "code").into_iter().map(str::to_owned).collect();
    codes.sort();
    codes
}

fn listed_and_filtered(env: &Env) -> TestResult {
    let tidegate = env.share();
    let receipt = three(&tidegate);
    assert_eq!(codes(&tidegate, ""), ["metadata_nul", "missing_field", "out_of_window"]);
    assert_eq!(codes(&tidegate, "stage=decode"), ["metadata_nul"]);
    assert_eq!(codes(&tidegate, "stage=decode,validate").len(), 3);
    assert_eq!(codes(&tidegate, "code=out_of_window,missing_field"), ["missing_field", "out_of_window"]);
    assert_eq!(codes(&tidegate, "stage=validate&code=metadata_nul").len(), 0);
    assert_eq!((codes(&tidegate, "from=-1h").len(), codes(&tidegate, "to=-1h").len()), (3, 0));
    let list = tidegate.client.get("/v1/dead-letters?code=missing_field").expect(200);
    let letter = &list["data"][0];
    assert_eq!((&letter["raw"], &letter["raw_bytes"], &letter["item_index"]), (&json!("{}"), &json!(2), &json!(0)));
    assert_eq!((&letter["receipt"], &letter["route"]), (&json!(receipt), &json!("/v1/events")));
    let csv = tidegate.client.get_as("/v1/dead-letters", &[("accept", "text/csv")]);
    assert!(csv.text().starts_with("id,failed_at,stage,code,reason,"), "{}", csv.text());
    let lines = tidegate.client.get_as("/v1/dead-letters", &[("accept", "application/x-ndjson")]);
    assert_eq!(lines.text().lines().count(), 3);
    Ok(())
}

fn paged(env: &Env) -> TestResult {
    let tidegate = env.share();
    for _ in 0..4 {
        tidegate.client.events(array(vec!["{}"; 25])).expect(422);
    }
    let expected: Vec<String> =
        env.sql().column("SELECT id::text FROM dead_letter_events ORDER BY failed_at DESC, id DESC");
    let (ids, cursor) = pages(&tidegate, 30);
    assert_eq!((ids.len(), &ids), (100, &expected));
    tidegate.client.get(&format!("/v1/dead-letters?stage=write{cursor}")).problem(400, "invalid_parameter");
    Ok(())
}

/// The ids of all dead letters, page by page, and the cursor of the last page.
fn pages(tidegate: &Service, limit: usize) -> (Vec<String>, String) {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let list: Value = tidegate.client.get(&format!("/v1/dead-letters?limit={limit}{cursor}")).expect(200);
        ids.extend(texts(&list, "id").into_iter().map(str::to_owned));
        let Some(next) = list["next_cursor"].as_str() else { return (ids, cursor) };
        cursor = format!("&cursor={next}");
    }
}

fn all_in_every_form(env: &Env) -> TestResult {
    const LETTERS: usize = 250;
    let tidegate = env.share();
    for _ in 0..5 {
        tidegate.client.events(array(vec!["{}"; LETTERS / 5])).expect(422);
    }
    let expected: Vec<String> =
        env.sql().column("SELECT id::text FROM dead_letter_events ORDER BY failed_at DESC, id DESC");
    assert_eq!((expected.len(), pages(&tidegate, 100).0), (LETTERS, expected.clone()));
    let csv = |query: &str| -> Vec<String> {
        let answer = tidegate.client.get_as(&format!("/v1/dead-letters?{query}"), &[("accept", "text/csv")]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text().lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect()
    };
    assert_eq!(csv(""), expected);
    assert_eq!(csv("limit=120"), expected[..120]);
    let first = tidegate.client.get("/v1/dead-letters?limit=50").expect(200);
    assert_eq!(csv(&format!("cursor={}", first["next_cursor"].as_str().unwrap())), expected[50..]);
    let lines = tidegate.client.get_as("/v1/dead-letters", &[("accept", "application/x-ndjson")]);
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(lines.text().lines().map(id).collect::<Vec<_>>(), expected);
    Ok(())
}

fn one_whole(env: &Env) -> TestResult {
    let tidegate = env.share();
    // Too large for a listing, and no UTF-8.
    let mut raw = vec![b' '; 100_000];
    raw[..2].copy_from_slice(b"\"\xff");
    tidegate.client.post("/v1/events?stream=s", &[], &raw).expect(400);
    let listed = tidegate.client.get("/v1/dead-letters").expect(200)["data"][0].clone();
    assert_eq!(
        (&listed["raw"], &listed["raw_base64"], &listed["raw_bytes"]),
        (&Value::Null, &Value::Null, &json!(100_000))
    );
    let path = format!("/v1/dead-letters/{}", listed["id"].as_str().unwrap());
    let whole = tidegate.client.get(&path).expect(200);
    assert!(STANDARD.decode(whole["raw_base64"].as_str().unwrap())? == raw);
    assert_eq!((&whole["raw"], &whole["parameters"]), (&Value::Null, &json!({ "stream": "s" })));
    for id in ["nonsense", "00000000-0000-0000-0000-000000000000"] {
        tidegate.client.get(&format!("/v1/dead-letters/{id}")).problem(404, "not_found");
    }
    Ok(())
}

fn anothers_are_not_there(env: &Env) -> TestResult {
    let tidegate = env.share();
    three(&tidegate);
    let list = tidegate.client.get("/v1/dead-letters?limit=2").expect(200);
    let other = tidegate.with(&env.key("other", "ingest,read"));
    assert_eq!(other.get("/v1/dead-letters").expect(200), json!({ "data": [], "next_cursor": null }));
    let cursor = list["next_cursor"].as_str().unwrap();
    other.get(&format!("/v1/dead-letters?limit=2&cursor={cursor}")).problem(404, "not_found");
    for id in texts(&list, "id") {
        other.get(&format!("/v1/dead-letters/{id}")).problem(404, "not_found");
    }
    Ok(())
}

fn kept_as_long_as_configured(env: &Env) -> TestResult {
    let tidegate = env.serve();
    three(&tidegate);
    drop(tidegate);
    let sql = env.sql();
    sql.run("UPDATE dead_letter_events SET failed_at = now() - interval '3 days' WHERE code = 'missing_field'");
    let _tidegate = env.serve_with(&["retention.dead_letters=2d"]);
    until("the expired one is gone", || (sql.count("dead_letter_events") == 2).then_some(()));
    assert_eq!(sql.one::<i64>("SELECT count(*) FROM dead_letter_events WHERE code = 'missing_field'"), 0);
    Ok(())
}
