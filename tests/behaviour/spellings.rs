//! Whatever was stored is found by its spelling in a query; times, and forms of lists, however they are written.

use serde_json::{Value, json};

use crate::client::Client;
use crate::env::{Env, Test, TestResult};
use crate::process::Service;
use crate::samples::{array, encode, event_with, texts};
use crate::tests;

pub const TESTS: &[Test] =
    tests!(events_by_every_filter, series_by_every_filter, ids_in_paths, ends_of_time, forms_in_any_case, safe_csv,);

/// What clients and people put into names; each differs from the others only in what must not be lost.
const VALUES: [&str; 16] = [
    "pool:type=Threads,name=web",
    "app,node 1",
    "app",
    "node 1",
    " edge",
    "edge ",
    "edge",
    "a+b",
    "a b",
    "a%2Cb",
    "x&y=z#1",
    ",",
    "null",
    "\u{1f600} Überwachung/\u{65e5}",
    "tab\tand\nline",
    "\"quoted\" \\ 'text'; --",
];

/// Asserts that each value gives its own item, alone and in a list, written with every byte encoded.
fn assert_found(client: &Client, list: &str, parameter: &str, member: &str, values: &[&str]) {
    let get = |query: String| client.get(&format!("{list}{parameter}={query}")).expect(200);
    for value in values {
        assert_eq!(texts(&get(encode(value)), member), [*value], "{parameter}");
    }
    let all = values.iter().map(|value| encode(value)).collect::<Vec<_>>().join(",");
    let (list, mut found) = (get(all), values.to_vec());
    let mut listed = texts(&list, member);
    listed.sort_unstable();
    found.sort_unstable();
    assert_eq!(listed, found, "{parameter}");
    // Encoded, a comma is no separator.
    assert_eq!(texts(&get(encode("edge,app")), member), [] as [&str; 0], "{parameter}");
}

fn events_by_every_filter(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let short: Vec<&str> = VALUES.iter().copied().filter(|value| value.chars().count() <= 20).collect();
    let items = VALUES.iter().map(|value| {
        let severity = if short.contains(value) { *value } else { "" };
        json!({ "event_type": value, "source_module": value, "asset_id": value, "environment": value, "stream": value,
            "trace_id": value, "severity": severity, "correlation_id": value, "payload": { "v": value } })
        .to_string()
    });
    client.events(array(items)).accepted(VALUES.len() as u64, 0);
    for field in ["event_type", "source_module", "asset_id", "environment", "stream", "trace_id"] {
        assert_found(client, "/v1/events?", field, field, &VALUES);
    }
    assert_found(client, "/v1/events?", "severity", "severity", &short);
    assert_found(client, "/v1/events?", "correlation_id", "asset_id", &VALUES);
    assert_found(client, "/v1/events/counts?from=-1h&group_by=asset_id&", "asset_id", "asset_id", &VALUES);
    assert_found(
        client,
        "/v1/events/counts?group_by=event_type,source_module&",
        "event_type",
        "source_module",
        &VALUES,
    );
    for value in VALUES {
        let payload = encode(&json!({ "v": value }).to_string());
        assert_eq!(texts(&client.get(&format!("/v1/events?payload={payload}")).expect(200), "asset_id"), [value]);
    }
    client.get("/v1/events/counts?group_by=event_type%2Cseverity").problem(400, "invalid_parameter");
    client.get("/v1/events?asset_id=,").problem(400, "invalid_parameter");
    client.get("/v1/events?asset_id=a%00b").problem(400, "invalid_parameter");
    Ok(())
}

fn series_by_every_filter(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    let items = VALUES
        .iter()
        .map(|value| json!({ "metric_name": value, "asset_id": value, "metric_type": value, "value": 1 }).to_string());
    client.metrics(array(items)).accepted(VALUES.len() as u64, 0);
    for (parameter, query) in [("metric_name", ""), ("asset_id", ""), ("metric_type", "metric_name=")] {
        let names = VALUES.map(encode).join(",");
        let query = if query.is_empty() { String::new() } else { format!("{query}{names}&") };
        assert_found(client, &format!("/v1/metrics?resolution=raw&{query}"), parameter, "metric_name", &VALUES);
    }
    // The catalog's job would take its minute.
    env.sql().run(
        "INSERT INTO metric_series SELECT tenant_id, asset_id, metric_type, metric_name, series_id, '{}', timestamp, timestamp FROM metrics ON CONFLICT DO NOTHING",
    );
    for parameter in ["metric_name", "asset_id", "metric_type"] {
        assert_found(client, "/v1/metrics/catalog?", parameter, "metric_name", &VALUES);
    }
    for value in ["Threads,name", "a+b", "%2C", "&y=z#", "TAB\tAND"] {
        let found = client.get(&format!("/v1/metrics/catalog?search={}", encode(value))).expect(200);
        assert_eq!(found["data"].as_array().unwrap().len(), 1, "{value}: {found}");
    }
    // Dead letters and pairs have closed lists, in which a comma is never data.
    client.get("/v1/dead-letters?stage=decode,validate&code=invalid_json").expect(200);
    client.get("/v1/correlations?type=causal%2Ctemporal").problem(400, "invalid_parameter");
    Ok(())
}

fn ids_in_paths(env: &Env) -> TestResult {
    let tidegate = env.share();
    for id in VALUES.into_iter().chain(["a/b", "counts", "..", "a?b", "%2F", "{id}"]) {
        let sent = event_with(1, &format!(r#""id":{},"asset_id":{0}"#, json!(id)));
        tidegate.client.events(sent).accepted(1, 0);
        let read = tidegate.client.get(&format!("/v1/events/{}", encode(id)));
        // As a segment of its own `counts` is a route: encoded in part it is an id.
        let read = if id == "counts" { tidegate.client.get("/v1/events/%63ounts") } else { read };
        assert_eq!(read.expect(200)["asset_id"], id);
        let related = tidegate.client.get(&format!("/v1/events/{}/related", encode(id)));
        assert_eq!(related.expect(200)["data"], json!([]), "{id}");
    }
    Ok(())
}

/// Bounds at the ends of the calendar, and in every form, on every list that takes them.
fn ends_of_time(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    client.events(event_with(1, r#""asset_id":"a""#)).accepted(1, 0);
    client.metrics(r#"{"metric_name":"m","asset_id":"a","values":[1,2]}"#).accepted(1, 0);
    client.events("[{}]").expect(422);
    let lists = [
        "/v1/events?asset_id=a&",
        "/v1/events/counts?",
        "/v1/events/counts?bucket=1h&",
        "/v1/events/counts?bucket=1m&group_by=asset_id&",
        "/v1/metrics?metric_name=m&resolution=raw&",
        "/v1/metrics?metric_name=m&",
        "/v1/metrics?metric_name=m&resolution=1d&",
        "/v1/correlations?",
        "/v1/dead-letters?",
    ];
    let rows = |path: &str| client.get(path).expect(200)["data"].as_array().unwrap().len();
    for list in lists {
        // More than a day: a day's bucket begins before it also when midnight comes meanwhile.
        let near = rows(&format!("{list}from=-36h&to=now"));
        for to in ["9999-12-31", "9999-12-31T23:59:59.999999999-23:59", "now"] {
            let from = encode(&(jiff::Timestamp::now().as_second() - 36 * 3600).to_string());
            // What a bucket begins before now, `now` has as well.
            assert_eq!(rows(&format!("{list}from={from}&to={to}")), near, "{list} {to}");
        }
        for from in ["2000-01-01", "946684800", "946684800000", "-20w"] {
            let path = format!("{list}from={from}&to=9999-12-31");
            // Many buckets of a minute are refused, with advice; nothing is an error of the server.
            let answer = client.get(&path);
            assert!(matches!(answer.status, 200 | 400), "{path}: {}", answer.text());
        }
        for bad in
            ["2026-01-01T12:30:60Z", "2026-02-30", "tomorrow", "2026-01-01T00:00:00+24:00", "%2D009999-01-02T00:00:00Z"]
        {
            client.get(&format!("{list}from={bad}")).problem(400, "invalid_parameter");
        }
    }
    Ok(())
}

fn forms_in_any_case(env: &Env) -> TestResult {
    let tidegate = env.share();
    tidegate.client.events(event_with(1, r#""asset_id":"a""#)).accepted(1, 0);
    for (accept, form) in [
        ("Application/JSON", "application/json"),
        ("text/csv;Q=0.1, application/json", "application/json"),
        ("TEXT/CSV", "text/csv; charset=utf-8"),
        (r#"text/html;note="text/csv, x", Application/X-NDJSON;q=0.3"#, "application/x-ndjson"),
    ] {
        for list in
            ["/v1/events", "/v1/metrics?metric_name=m", "/v1/metrics/catalog", "/v1/correlations", "/v1/dead-letters"]
        {
            let answer = tidegate.client.get_as(list, &[("accept", accept)]);
            assert_eq!((answer.status, answer.header("content-type")), (200, form), "{list} {accept}");
        }
    }
    let anonymous = tidegate.anonymous();
    let bearer = format!("bEARER {}", tidegate.client.key());
    assert_eq!(anonymous.get_as("/v1/events", &[("authorization", &bearer)]).status, 200);
    let twice = [("authorization", bearer.as_str()), ("authorization", "Bearer tg_x_y")];
    anonymous.get_as("/v1/events", &twice).problem(401, "unauthorized");
    Ok(())
}

fn cells(tidegate: &Service, query: &str) -> Vec<String> {
    let answer = tidegate.client.get_as(&format!("/v1/events?{query}"), &[("accept", "text/csv")]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().lines().map(str::to_owned).collect()
}

fn safe_csv(env: &Env) -> TestResult {
    let tidegate = env.share();
    let formula = "=HYPERLINK(\"http://x\")";
    let sent = json!({ "event_type": "-1", "source_module": "@cmd", "asset_id": formula, "payload": { "n": -1 } });
    tidegate.client.events(sent.to_string()).accepted(1, 0);
    let (plain, safe) = (cells(&tidegate, ""), cells(&tidegate, "csv=safe"));
    assert_eq!((plain[0].as_str(), plain.len()), (safe[0].as_str(), 2));
    for text in [",-1,", ",@cmd,", ",\"=HYPERLINK(\"\"http://x\"\")\","] {
        assert!(plain[1].contains(text), "{}", plain[1]);
        let marked =
            if let Some(rest) = text.strip_prefix(",\"") { format!(",\"'{rest}") } else { text.replacen(',', ",'", 1) };
        assert!(safe[1].contains(&marked) && !safe[1].contains(text), "{}", safe[1]);
    }
    assert_eq!(cells(&tidegate, "csv=plain"), plain);
    tidegate.client.metrics(r#"{"metric_name":"=m","asset_id":"a","value":-5}"#).accepted(1, 0);
    let samples = tidegate.client.get_as("/v1/metrics?asset_id=a&resolution=raw&csv=safe", &[("accept", "text/csv")]);
    assert!(samples.text().contains("'=m") && samples.text().contains(",-5"), "{}", samples.text());
    let json: Value = tidegate.client.get("/v1/events?csv=safe").expect(200);
    assert_eq!(texts(&json, "asset_id"), [formula]);
    tidegate.client.get("/v1/events?csv=excel").problem(400, "invalid_parameter");
    Ok(())
}
