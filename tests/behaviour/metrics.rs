//! POST /v1/metrics: every form of an item, what is refused, and the answers that events have as well.

use serde_json::json;

use crate::books::Books;
use crate::client::repeated;
use crate::env::{Engine, Env, Test, TestResult};
use crate::samples::{array, gzip, hours_from_now, metric, metric_with};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    each_form_is_stored,
    lines_gzip_and_defaults,
    each_refusal_has_its_code,
    one_of_a_thousand_costs_itself,
    a_row_that_only_postgres_refuses_takes_its_item,
    items_are_counted_and_not_rows,
    a_key_is_answered_once,
    the_same_key_on_both_routes,
    media_types_and_parameters,
    the_window_is_that_of_metrics,
    what_a_transaction_touched_is_noted,
    another_tenants_rows_are_not_mixed,
);

/// The numbers of all rows: count, sum, min, max, m2; in the order in which they were sent.
type Numbers = (i64, f64, Option<f64>, Option<f64>, Option<f64>);

fn numbers(env: &Env) -> Vec<Numbers> {
    let sql = "SELECT value_count, value_sum, value_min, value_max, value_m2 FROM metrics ORDER BY batch_id, batch_seq";
    let rows = env.sql().rows(sql, &[]);
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))).collect()
}

fn each_form_is_stored(env: &Env) -> TestResult {
    let tidegate = env.share();
    let body = array([
        metric_with("gpt-4", r#""value":-2.5,"dimensions":{"region":"eu","big":12345678901234567890.10}"#),
        metric_with("gpt-4", r#""values":[0,1e140,-3]"#),
        metric_with("gpt-4", r#""count":4,"sum":10,"min":1,"max":4,"sumsq":30"#),
        metric_with("gpt-4", r#""count":4,"sum":10,"min":1,"max":4,"stddev":1.2909944487358056"#),
        metric_with("gpt-4", r#""count":2,"sum":3,"min":1,"max":2"#),
        metric_with("gpt-4", r#""count":1,"sum":7,"min":7,"max":7,"stddev":0"#),
    ]);
    tidegate.client.metrics(body).accepted(6, 0);
    let stored = numbers(env);
    let raw = |value: f64| (1, value, None, None, None);
    let summary = |count, sum, min, max, m2| (count, sum, Some(min), Some(max), m2);
    assert_eq!(stored[..5], [raw(-2.5), raw(0.0), raw(1e140), raw(-3.0), summary(4, 10.0, 1.0, 4.0, Some(5.0))]);
    assert!((stored[5].4.unwrap() - 5.0).abs() < 1e-9, "{:?}", stored[5]);
    assert_eq!(stored[6..], [summary(2, 3.0, 1.0, 2.0, None), raw(7.0)]);
    let dimensions: Vec<Option<String>> =
        env.sql().column("SELECT dimensions->>'big' FROM metrics ORDER BY batch_id, batch_seq LIMIT 2");
    assert_eq!(dimensions, [Some("12345678901234567890.10".to_owned()), None], "digit by digit");
    Ok(())
}

fn lines_gzip_and_defaults(env: &Env) -> TestResult {
    let tidegate = env.share();
    let lines = "{\"asset_id\":\"a\",\"name\":\"n\",\"value\":1,\"unit\":\"ms\"}\n\n{\"asset_id\":\"b\",\"metric_name\":\"m\",\"type\":\"counter\",\"value\":2,\"time\":1}\nNaN\n";
    let headers = [("content-type", "application/x-ndjson"), ("content-encoding", "gzip")];
    let answer = tidegate.client.post("/v1/metrics", &headers, gzip(lines.as_bytes())).accepted(1, 2);
    let codes: Vec<&str> = answer["errors"].as_array().unwrap().iter().map(|e| e["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["out_of_window", "invalid_json"]);
    let sql =
        "SELECT tenant_id, asset_id, metric_type, metric_name, dimensions::text, timestamp = created_at FROM metrics";
    let rows = env.sql().rows(sql, &[]);
    assert_eq!(rows.len(), 1);
    let texts: Vec<String> = (0..5).map(|column| rows[0].get(column)).collect();
    assert_eq!(texts, [env.organization(), "a", "gauge", "n", r#"{"extra": {"unit": "ms"}}"#]);
    assert!(rows[0].get::<_, bool>(5), "without a time it is that of the request");
    let manifest = env.sql().rows("SELECT kind, stream, event_count FROM ingest_batches", &[]);
    assert_eq!((manifest[0].get(0), manifest[0].get(1), manifest[0].get(2)), ("metrics", "metrics", 1));
    Ok(())
}

const REFUSED: [(&str, &str); 16] = [
    (r#""value":"NaN""#, "metric_not_finite"),
    (r#""value":"-Infinity""#, "metric_not_finite"),
    (r#""values":[1,"Infinity"]"#, "metric_not_finite"),
    (r#""value":NaN"#, "invalid_json"),
    (r#""value":1e141"#, "metric_out_of_range"),
    (r#""value":1e400"#, "metric_out_of_range"),
    (r#""count":2,"sum":2,"min":0,"max":1,"sumsq":1e281"#, "metric_out_of_range"),
    (r#""value":1e-101"#, "metric_out_of_range"),
    (r#""values":[0,-5e-324]"#, "metric_out_of_range"),
    (r#""value":1,"values":[1]"#, "invalid_field"),
    (r#""count":2,"sum":9,"min":1,"max":2"#, "invalid_field"),
    (r#""count":2,"sum":3,"min":1"#, "missing_field"),
    (r#""unit":"ms""#, "missing_field"),
    (r#""value":1,"tenant_id":"globex""#, "tenant_mismatch"),
    (r#""value":1,"dimensions":{"a":"\u0000"}"#, "metadata_nul"),
    (r#""value":1,"dimensions":{"a":1,"a":2}"#, "duplicate_key"),
];

fn each_refusal_has_its_code(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let items = REFUSED.map(|(members, _)| metric_with("a", members));
    let answer = tidegate.client.metrics(array(items.iter().chain([&metric(1)]))).accepted(1, 16);
    for (n, (error, (members, code))) in answer["errors"].as_array().unwrap().iter().zip(REFUSED).enumerate() {
        assert_eq!((&error["index"], &error["code"]), (&json!(n), &json!(code)), "{members}: {error}");
    }
    let sql = "SELECT raw, code, route, event_id IS NULL FROM dead_letter_events ORDER BY item_index";
    let letters = env.sql().rows(sql, &[]);
    assert_eq!(letters.len(), REFUSED.len());
    for (letter, (item, (_, code))) in letters.iter().zip(items.iter().zip(REFUSED)) {
        assert_eq!((letter.get::<_, &[u8]>(0), letter.get::<_, &str>(1)), (item.as_bytes(), code));
        assert_eq!((letter.get::<_, &str>(2), letter.get::<_, bool>(3)), ("/v1/metrics", true));
    }
    let refused = tidegate.client.metrics(&items[0]).problem(422, "nothing_accepted");
    assert_eq!((&refused["accepted"], &refused["rejected"]), (&json!(0), &json!(1)));
    tidegate.client.metrics("asset=1").problem(400, "body_not_json");
    tidegate.client.metrics(" ").problem(400, "empty_body");
    Books::of(&tidegate.client).assert_items(&[("received", 19), ("committed", 1), ("dead_lettered", 18)]);
    Ok(())
}

fn one_of_a_thousand_costs_itself(env: &Env) -> TestResult {
    let tidegate = env.share();
    let poison = metric_with("asset-3", r#""value":1e200"#);
    let body = array((0..1000).map(|n| if n == 411 { poison.clone() } else { metric(n) }));
    let answer = tidegate.client.metrics(body).accepted(999, 1);
    assert_eq!(
        (&answer["errors"][0]["index"], &answer["errors"][0]["code"]),
        (&json!(411), &json!("metric_out_of_range"))
    );
    let stored: Vec<f64> = env.sql().column("SELECT value_sum FROM metrics ORDER BY value_sum");
    let expected: Vec<f64> = (0..1000u32).filter(|n| *n != 411).map(f64::from).collect();
    assert_eq!(stored, expected);
    let letters: Vec<Vec<u8>> = env.sql().column("SELECT raw FROM dead_letter_events");
    assert_eq!(letters, [poison.into_bytes()]);
    Ok(())
}

/// A rule that only the database knows, put there by somebody else.
fn a_row_that_only_postgres_refuses_takes_its_item(env: &Env) -> TestResult {
    let tidegate = env.serve();
    tidegate.client.metrics(metric(0)).accepted(1, 0);
    let sql = env.sql();
    sql.alter("ALTER TABLE metrics ADD CONSTRAINT no_thirteen CHECK (value_sum <> 13)");
    let unlucky = metric_with("asset-1", r#""values":[12,13,14]"#);
    let body = array((0..200).map(|n| if n == 50 { unlucky.clone() } else { metric(1000 + n) }));
    let answer = tidegate.client.metrics(body).accepted(199, 1);
    assert_eq!((&answer["errors"][0]["index"], &answer["errors"][0]["code"]), (&json!(50), &json!("row_refused")));
    assert_eq!(
        sql.one::<i64>("SELECT count(*) FROM metrics WHERE value_sum < 1000"),
        1,
        "no row of the item is stored"
    );
    assert_eq!(sql.count("metrics"), 200);
    let letters: Vec<Vec<u8>> = sql.column("SELECT raw FROM dead_letter_events");
    assert_eq!(letters, [unlucky.into_bytes()]);
    Books::of(&tidegate.client).assert_items(&[("received", 201), ("committed", 200), ("dead_lettered", 1)]);
    Ok(())
}

fn items_are_counted_and_not_rows(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let values = vec!["1"; 10_000].join(",");
    let item = metric_with("a", &format!("\"values\":[{values}]"));
    let answer = tidegate.client.post(
        "/v1/metrics",
        &[("content-type", "application/json"), ("idempotency-key", "k")],
        array([item.as_str(), &metric(7)]),
    );
    let answer = answer.accepted(2, 0);
    assert_eq!(env.sql().count("metrics"), 10_001);
    let receipt = answer["receipt"].as_str().unwrap();
    let told = tidegate.client.get(&format!("/v1/receipts/{receipt}")).expect(200);
    assert_eq!((&told["accepted"], &told["rejected"]), (&json!(2), &json!(0)));
    // Eleven of them are more rows than a request may make.
    tidegate.client.metrics(array(vec![item.as_str(); 11])).problem(413, "too_many_items");
    Books::of(&tidegate.client).assert_items(&[("received", 2), ("committed", 2)]);
    Ok(())
}

fn a_key_is_answered_once(env: &Env) -> TestResult {
    let tidegate = env.share();
    let keyed = |body: &str| {
        tidegate.client.post("/v1/metrics", &[("content-type", "application/json"), ("idempotency-key", "one")], body)
    };
    let body = format!("[{},{}]", metric(1), metric_with("a", r#""value":"NaN""#));
    let first = keyed(&body).accepted(1, 1);
    let again = repeated(|| keyed(&body));
    assert_eq!(again.header("idempotent-replayed"), "true");
    let again = again.accepted(1, 1);
    assert_eq!(
        (&again["duplicate"], &again["receipt"], &again["errors"]),
        (&json!(true), &first["receipt"], &first["errors"])
    );
    keyed(&metric(2)).problem(422, "idempotency_key_reused");
    let deduped = || tidegate.client.post("/v1/metrics?dedupe=body", &[], metric(3));
    assert_eq!(deduped().accepted(1, 0)["duplicate"], json!(false));
    assert_eq!(repeated(deduped).accepted(1, 0)["duplicate"], json!(true));
    assert_eq!((env.sql().count("metrics"), env.sql().count("dead_letter_events")), (2, 1));
    Ok(())
}

/// A body that is both an event and a metric: the route is part of what a key stands for.
fn the_same_key_on_both_routes(env: &Env) -> TestResult {
    let tidegate = env.share();
    let body = r#"{"event_type":"t","source_module":"s","payload":{},"asset_id":"a","metric_name":"m","value":1}"#;
    let headers = [("content-type", "application/json"), ("idempotency-key", "both")];
    tidegate.client.post("/v1/events", &headers, body).accepted(1, 0);
    repeated(|| tidegate.client.post("/v1/metrics", &headers, body)).problem(422, "idempotency_key_reused");
    assert_eq!((env.sql().count("events"), env.sql().count("metrics")), (1, 0));
    // The body's hash has the route in it.
    tidegate.client.post("/v1/events?dedupe=body", &[], body).accepted(1, 0);
    assert_eq!(tidegate.client.post("/v1/metrics?dedupe=body", &[], body).accepted(1, 0)["duplicate"], json!(false));
    Ok(())
}

fn media_types_and_parameters(env: &Env) -> TestResult {
    let tidegate = env.share();
    for media_type in ["application/cloudevents+json", "application/cloudevents-batch+json", "text/plain"] {
        let answer = tidegate.client.post("/v1/metrics", &[("content-type", media_type)], metric(1));
        answer.problem(415, "unsupported_media_type");
    }
    for query in ["event_type=a", "wrap=payload", "stream=s", "resolution=1m"] {
        tidegate.client.post(&format!("/v1/metrics?{query}"), &[], metric(1)).problem(400, "invalid_parameter");
    }
    tidegate.client.post("/v1/metrics?ack=committed", &[], metric(1)).accepted(1, 0);
    let reader = tidegate.with(&env.key("readers", "read"));
    reader.metrics(metric(1)).problem(403, "forbidden");
    tidegate.anonymous().metrics(metric(1)).expect(401);
    assert_eq!(env.sql().count("metrics"), 1);
    Ok(())
}

fn the_window_is_that_of_metrics(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["retention.metrics=10d", "retention.events=40d"]);
    let at = |hours: i64| metric_with("a", &format!(r#""value":1,"timestamp":"{}""#, hours_from_now(hours)));
    for hours in [-9 * 24 + 1, 0, 7 * 24 - 1] {
        tidegate.client.metrics(at(hours)).accepted(1, 0);
    }
    for hours in [-9 * 24 - 1, 7 * 24 + 1] {
        let refused = tidegate.client.metrics(at(hours)).expect(422);
        assert_eq!(refused["errors"][0]["code"], "out_of_window", "{refused}");
    }
    let refused = tidegate.client.metrics(at(-20 * 24)).expect(422);
    let message = refused["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("retention.metrics"), "{message}");
    Ok(())
}

/// Of each kind one row a tenant and transaction, with the minutes that its rows fall into.
fn what_a_transaction_touched_is_noted(env: &Env) -> TestResult {
    // The queue is looked at here, and not emptied by the job that spreads it.
    let tidegate = env.serve();
    let sql = env.sql();
    sql.run(
        "CREATE TABLE seen (kind text, tenant_id text, minutes integer[]); GRANT INSERT ON seen TO tidegate_writer; \
         CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN INSERT INTO seen VALUES (NEW.kind, NEW.tenant_id, NEW.minutes); RETURN NEW; END$$; \
         CREATE TRIGGER see AFTER INSERT ON touched FOR EACH ROW EXECUTE FUNCTION see()",
    );
    let (a, b) = (hours_from_now(-2), hours_from_now(-1));
    let item = |at: &str| metric_with("a", &format!(r#""value":1,"timestamp":"{at}""#));
    tidegate.client.metrics(array([item(&a), item(&b), item(&a)])).accepted(3, 0);
    let event = |at: &str| format!(r#"{{"event_type":"t","source_module":"s","payload":{{}},"timestamp":"{at}"}}"#);
    tidegate.client.events(array([event(&b), event(&b)])).accepted(2, 0);
    let minutes = |kind: &str, expected: &[&str]| {
        let text: String =
            sql.one(&format!("SELECT minutes::text FROM seen WHERE kind = '{kind}' AND tenant_id = 'default'"));
        let times: Vec<String> =
            expected.iter().map(|at| format!("floor(extract(epoch FROM timestamptz '{at}') / 60)::int")).collect();
        let wanted: String = sql.one(&format!("SELECT ARRAY[{}]::text", times.join(",")));
        assert_eq!(text, wanted, "{kind}");
    };
    minutes("metrics", &[&a, &b]);
    minutes("events", &[&b]);
    let hours: i64 = sql.one("SELECT cardinality(touched_hours)::bigint FROM ingest_batches WHERE kind = 'metrics'");
    assert_eq!(hours, 2);
    Ok(())
}

fn another_tenants_rows_are_not_mixed(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["batch.linger_ms=100"]);
    let keys = ["one", "two", "three"].map(|name| env.key(name, "ingest"));
    let at = hours_from_now(0);
    let sample = |n: usize| metric_with(&format!("asset-{}", n % 8), &format!(r#""value":{n},"timestamp":"{at}""#));
    std::thread::scope(|scope| {
        for (n, key) in keys.iter().enumerate() {
            let (client, count) = (tidegate.with(key), 60 * n + 10);
            let body = array((0..count).map(sample));
            scope.spawn(move || client.metrics(body).accepted(count as u64, 0));
        }
    });
    let rows = env.sql().rows("SELECT tenant_id, count(*) FROM metrics GROUP BY 1 ORDER BY 2", &[]);
    let counts: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(counts, [("one".to_owned(), 10), ("two".to_owned(), 70), ("three".to_owned(), 130)]);
    if env.engine == Engine::Postgres {
        assert_eq!(env.sql().one::<i64>("SELECT count(DISTINCT tableoid) FROM metrics"), 1);
    }
    Ok(())
}
