//! Numbers in payloads are stored as they were sent, and those that no reader could bear are refused.

use crate::env::{Env, Test, TestResult};
use crate::samples::event;
use crate::tests;

pub const TESTS: &[Test] =
    tests!(numbers_are_exact, numbers_are_exact_when_read_back, numbers_that_explode_are_refused);

const NUMBERS: [&str; 8] = [
    "0.1000",
    "12345678901234567890.123456789",
    "1e400",
    "-0.0",
    "1E-5",
    "9007199254740993",
    "1e1000",
    "123456789012345678901234567890",
];

fn numbers_are_exact(env: &Env) -> TestResult {
    let tidegate = env.share();
    let sql = env.sql();
    for number in NUMBERS {
        let body = format!(r#"{{"event_type":"t","source_module":"s","payload":{{"n":{number},"sent":"{number}"}}}}"#);
        tidegate.client.events(body).accepted(1, 0);
        let (stored, exact): (String, String) = {
            let query = format!(
                "SELECT payload->>'n', ('{number}'::numeric)::text FROM events WHERE payload->>'sent' = '{number}'"
            );
            let rows = sql.rows(&query, &[]);
            (rows[0].get(0), rows[0].get(1))
        };
        assert_eq!(stored, exact, "{number}");
    }
    Ok(())
}

fn numbers_are_exact_when_read_back(env: &Env) -> TestResult {
    let tidegate = env.share();
    let body = r#"{"event_type":"t","source_module":"s","payload":{"a":0.1000,"b":12345678901234567890.123456789}}"#;
    tidegate.client.events(body).accepted(1, 0);
    for accept in ["application/json", "application/x-ndjson"] {
        let text = tidegate.client.get_as("/v1/events", &[("accept", accept)]).text().to_owned();
        assert!(text.contains(r#""a": 0.1000"#) && text.contains("12345678901234567890.123456789"), "{text}");
    }
    Ok(())
}

fn numbers_that_explode_are_refused(env: &Env) -> TestResult {
    let tidegate = env.share();
    // 76 KB on the wire, over a gigabyte once expanded: it would make its row unreadable for everybody.
    let numbers = vec!["1e131071"; 8500].join(",");
    let body = format!(r#"{{"event_type":"t","source_module":"s","payload":{{"n":[{numbers}]}}}}"#);
    let refused = tidegate.client.events(&body).expect(422);
    assert_eq!(refused["errors"][0]["code"], "number_too_large", "{refused}");
    assert_eq!(env.sql().count("events"), 0);
    let letters: Vec<Vec<u8>> = env.sql().column("SELECT raw FROM dead_letter_events WHERE code = 'number_too_large'");
    assert_eq!(letters, [body.into_bytes()]);
    // Many numbers that are each allowed may not expand together past the limit on bodies either.
    let numbers = vec!["1e1000"; 20_000].join(",");
    let body = format!(r#"{{"event_type":"t","source_module":"s","payload":{{"n":[{numbers}]}}}}"#);
    assert_eq!(tidegate.client.events(body).expect(422)["errors"][0]["code"], "number_too_large");
    tidegate.client.events(event(1)).accepted(1, 0);
    assert_eq!(env.sql().count("events"), 1);
    Ok(())
}
