//! One bad item of a thousand costs itself and nobody else, and is kept byte for byte.

use serde_json::{Value, json};

use crate::books::Books;
use crate::env::{Env, Test, TestResult};
use crate::process::Service;
use crate::samples::{array, event, event_with, hours_from_now, thousand_with};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    nul_in_a_payload,
    nul_or_bad_utf8_in_text,
    lone_surrogates,
    timestamps_out_of_range,
    timestamps_out_of_the_window,
    numbers_too_large,
    no_numbers_at_all,
    duplicate_keys,
    depth,
    fields_that_break_the_rules,
    a_row_that_only_postgres_refuses,
    twenty_rows_that_only_postgres_refuses,
    a_thousand_rows_that_only_postgres_refuses,
    a_neighbours_poison_costs_other_requests_nothing,
    no_more_than_a_hundred_errors_are_listed,
);

/// Number 411 of a thousand is refused alone.
fn refused_alone(env: &Env, tidegate: &Service, item: impl AsRef<[u8]>, stage: &str, code: &str) {
    let item = item.as_ref();
    let answer = tidegate.client.events(thousand_with(item)).accepted(999, 1);
    assert_eq!(answer["errors"].as_array().unwrap().len(), 1);
    let error = &answer["errors"][0];
    assert_eq!((&error["index"], &error["code"]), (&json!(411), &code.into()), "{answer}");
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer}");
    let receipt = answer["receipt"].as_str().unwrap();
    let sql = env.sql();
    let events: Vec<i32> =
        sql.column(&format!("SELECT (payload->>'n')::int FROM events WHERE receipt = '{receipt}' ORDER BY 1"));
    let expected: Vec<i32> = (0..1000).filter(|n| *n != 411).collect();
    assert_eq!(events, expected);
    let letters = sql.rows(
        &format!(
            "SELECT raw, stage, code, item_index, content_type FROM dead_letter_events WHERE receipt = '{receipt}'"
        ),
        &[],
    );
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert!(letter.get::<_, &[u8]>(0) == item, "the bytes of the dead letter differ");
    assert_eq!((letter.get(1), letter.get(2), letter.get(3)), (stage, code, 411));
    assert_eq!(letter.get::<_, &str>(4), "application/json");
    Books::of(&tidegate.client).assert_balanced();
}

fn all_refused_alone(env: &Env, items: &[(Vec<u8>, &str, &str)]) -> TestResult {
    let service = env.share();
    for (item, stage, code) in items {
        refused_alone(env, &service, item, stage, code);
    }
    let (sql, count) = (env.sql(), i64::try_from(items.len())?);
    assert_eq!((sql.count("events"), sql.count("dead_letter_events")), (999 * count, count));
    Ok(())
}

fn payload(value: &str) -> Vec<u8> {
    format!(r#"{{"event_type":"t","source_module":"s","payload":{{"v":{value}}}}}"#).into_bytes()
}

fn with(members: &str) -> Vec<u8> {
    event_with(411, members).into_bytes()
}

fn nul_in_a_payload(env: &Env) -> TestResult {
    all_refused_alone(
        env,
        &[
            (payload(r#""a\u0000b""#), "decode", "payload_nul"),
            (payload(r#"[{"k\u0000":1}]"#), "decode", "payload_nul"),
            (with(r#""metadata":{"a":"\u0000"}"#), "decode", "metadata_nul"),
            (with(r#""unknown":"\u0000""#), "decode", "metadata_nul"),
            (payload("\"a\0b\""), "decode", "invalid_json"),
        ],
    )
}

fn nul_or_bad_utf8_in_text(env: &Env) -> TestResult {
    let mut bad = b"{\"event_type\":\"t\",\"source_module\":\"s\",\"payload\":{},\"asset_id\":\"a\xff\xfeb\"}".to_vec();
    let in_text = bad.clone();
    bad = b"{\"event_type\":\"t\",\"source_module\":\"s\",\"payload\":{\"v\":\"\xc3\"}}".to_vec();
    all_refused_alone(
        env,
        &[
            (with(r#""asset_id":"a\u0000b""#), "decode", "field_nul"),
            (in_text, "decode", "invalid_utf8"),
            (bad, "decode", "invalid_utf8"),
        ],
    )
}

fn lone_surrogates(env: &Env) -> TestResult {
    all_refused_alone(
        env,
        &[
            (payload(r#""\ud800""#), "decode", "lone_surrogate"),
            (payload(r#""\udc00\ud800""#), "decode", "lone_surrogate"),
            (with(r#""asset_id":"\ud83d""#), "decode", "lone_surrogate"),
        ],
    )
}

fn timestamps_out_of_range(env: &Env) -> TestResult {
    all_refused_alone(
        env,
        &[
            (with(r#""timestamp":"294277-01-01T00:00:00Z""#), "validate", "invalid_timestamp"),
            (with(r#""timestamp":"infinity""#), "validate", "invalid_timestamp"),
            (with(r#""timestamp":"2026-02-30T00:00:00Z""#), "validate", "invalid_timestamp"),
            (with(r#""timestamp":"yesterday""#), "validate", "invalid_timestamp"),
            (with(r#""timestamp":1e30"#), "validate", "out_of_window"),
            (with(r#""timestamp":-1e30"#), "validate", "out_of_window"),
            (with(r#""timestamp":true"#), "validate", "invalid_field"),
        ],
    )
}

fn timestamps_out_of_the_window(env: &Env) -> TestResult {
    let at = |hours| with(&format!(r#""timestamp":"{}""#, hours_from_now(hours)));
    all_refused_alone(env, &[(at(-366 * 24), "validate", "out_of_window"), (at(8 * 24), "validate", "out_of_window")])
}

fn numbers_too_large(env: &Env) -> TestResult {
    let digits = format!("1{}", "0".repeat(2000));
    all_refused_alone(
        env,
        &[
            (payload("1e200000"), "decode", "number_too_large"),
            (payload("[-1E+99999999999999999999]"), "decode", "number_too_large"),
            (payload("1e-200000"), "decode", "number_too_large"),
            (payload(&digits), "decode", "number_too_large"),
        ],
    )
}

fn no_numbers_at_all(env: &Env) -> TestResult {
    let words = ["NaN", "Infinity", "-Infinity", "+1", "01", ".5", "1.", "0x10", "nul"];
    let items: Vec<_> = words.iter().map(|word| (payload(word), "decode", "invalid_json")).collect();
    all_refused_alone(env, &items)
}

fn duplicate_keys(env: &Env) -> TestResult {
    let many: String = (0..40).map(|n| format!(r#""k{n}":1,"#)).collect();
    all_refused_alone(
        env,
        &[
            (payload(r#"{"a":1,"a":2}"#), "decode", "duplicate_key"),
            (payload(r#"{"a":1,"\u0061":2}"#), "decode", "duplicate_key"),
            (payload(&format!(r#"{{{many}"k7":2}}"#)), "decode", "duplicate_key"),
            (with(r#""asset_id":"a","asset_id":"b""#), "decode", "duplicate_key"),
        ],
    )
}

fn nested(depth: usize) -> String {
    // The payload object itself is the first level.
    format!("{}{}", "[".repeat(depth - 1), "]".repeat(depth - 1))
}

fn depth(env: &Env) -> TestResult {
    let tidegate = env.share();
    tidegate.client.events(payload(&nested(64))).accepted(1, 0);
    refused_alone(env, &tidegate, payload(&nested(65)), "decode", "too_deep");
    refused_alone(env, &tidegate, payload(&nested(100_000)), "decode", "too_deep");
    let objects = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    refused_alone(env, &tidegate, payload(&objects), "decode", "too_deep");
    Ok(())
}

fn fields_that_break_the_rules(env: &Env) -> TestResult {
    let long = |name: &str, chars: usize| with(&format!(r#""{name}":"{}""#, "ä".repeat(chars)));
    let without = |members: &str| format!("{{{members}}}").into_bytes();
    all_refused_alone(
        env,
        &[
            (b"17".to_vec(), "decode", "not_an_object"),
            (b"null".to_vec(), "decode", "not_an_object"),
            (without(r#""source_module":"s","payload":{}"#), "validate", "missing_field"),
            (without(r#""event_type":"t","payload":{}"#), "validate", "missing_field"),
            (without(r#""event_type":"t","source_module":"s""#), "validate", "missing_field"),
            (without(r#""event_type":"t","source_module":"s","payload":[]"#), "validate", "invalid_field"),
            (without(r#""event_type":7,"source_module":"s","payload":{}"#), "validate", "invalid_field"),
            (without(r#""event_type":"","source_module":"s","payload":{}"#), "validate", "invalid_field"),
            (long("asset_id", 101), "validate", "field_too_long"),
            (long("severity", 21), "validate", "field_too_long"),
            (long("environment", 51), "validate", "field_too_long"),
            (long("stream", 101), "validate", "field_too_long"),
            (with(r#""event_version":0"#), "validate", "invalid_field"),
            (with(r#""event_version":2147483648"#), "validate", "invalid_field"),
            (with(r#""metadata":[]"#), "validate", "invalid_field"),
        ],
    )
}

/// A rule that Tidegate knows nothing of.
fn forbid(env: &Env) {
    env.sql().alter("ALTER TABLE events ADD CONSTRAINT no_forbidden CHECK (source_module <> 'forbidden')");
}

const FORBIDDEN: &str = r#"{"event_type":"t","source_module":"forbidden","payload":{"n":411}}"#;

fn a_row_that_only_postgres_refuses(env: &Env) -> TestResult {
    let tidegate = env.serve();
    forbid(env);
    refused_alone(env, &tidegate, FORBIDDEN, "write", "row_refused");
    Books::of(&tidegate.client).assert_items(&[("received", 1000), ("committed", 999), ("dead_lettered", 1)]);
    Ok(())
}

fn twenty_rows_that_only_postgres_refuses(env: &Env) -> TestResult {
    let tidegate = env.serve();
    forbid(env);
    let items = (0..1000).map(|n| if n % 50 == 7 { FORBIDDEN.to_owned() } else { event(n) });
    let answer = tidegate.client.events(array(items)).accepted(980, 20);
    let indexes: Vec<u64> =
        answer["errors"].as_array().unwrap().iter().map(|error| error["index"].as_u64().unwrap()).collect();
    assert_eq!(indexes, (0..20).map(|n| n * 50 + 7).collect::<Vec<u64>>());
    let sql = env.sql();
    let letters: Vec<i32> = sql.column("SELECT item_index FROM dead_letter_events WHERE stage = 'write' ORDER BY 1");
    assert_eq!(letters, (0..20).map(|n| n * 50 + 7).collect::<Vec<i32>>());
    let raws: Vec<Vec<u8>> = sql.column("SELECT DISTINCT raw FROM dead_letter_events");
    assert_eq!(raws, [FORBIDDEN.as_bytes()]);
    assert_eq!(sql.count("events"), 980);
    Books::of(&tidegate.client).assert_items(&[("received", 1000), ("committed", 980), ("dead_lettered", 20)]);
    Ok(())
}

fn a_thousand_rows_that_only_postgres_refuses(env: &Env) -> TestResult {
    let tidegate = env.serve();
    forbid(env);
    // The day's chunk is there: every trial of the search would otherwise create it again, and roll it back.
    tidegate.client.events(event(0)).accepted(1, 0);
    let refused = tidegate.client.events(array(vec![FORBIDDEN; 1000])).problem(422, "nothing_accepted");
    assert_eq!((&refused["accepted"], &refused["rejected"]), (&json!(0), &json!(1000)));
    assert_eq!(refused["errors"].as_array().unwrap().len(), 100);
    assert_eq!((env.sql().count("events"), env.sql().count("dead_letter_events")), (1, 1000));
    Books::of(&tidegate.client).assert_items(&[("received", 1001), ("committed", 1), ("dead_lettered", 1000)]);
    Ok(())
}

fn a_neighbours_poison_costs_other_requests_nothing(env: &Env) -> TestResult {
    // One writer and a long linger: the requests share a batch.
    let tidegate = env.serve_with(&["writers=1", "batch.linger_ms=300"]);
    forbid(env);
    let statuses: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let requests: Vec<_> = (0..12)
            .map(|n| {
                let client = tidegate.client.clone();
                let body = if n == 5 { FORBIDDEN.to_owned() } else { event(n) };
                scope.spawn(move || client.events(body))
            })
            .collect();
        requests
            .into_iter()
            .map(|request| request.join().unwrap())
            .map(|answer| (answer.status, answer.json()))
            .collect()
    });
    for (n, (status, body)) in statuses.iter().enumerate() {
        assert_eq!(*status, if n == 5 { 422 } else { 200 }, "{n}: {body}");
    }
    assert_eq!((env.sql().count("events"), env.sql().count("dead_letter_events")), (11, 1));
    Ok(())
}

fn no_more_than_a_hundred_errors_are_listed(env: &Env) -> TestResult {
    let tidegate = env.share();
    let items = (0..300).map(|n| if n % 2 == 0 { "{}".to_owned() } else { event(n) });
    let answer = tidegate.client.events(array(items)).accepted(150, 150);
    assert_eq!(answer["errors"].as_array().unwrap().len(), 100);
    assert_eq!(env.sql().count("dead_letter_events"), 150);
    Ok(())
}
