//! Series found by their dimensions: in the catalog, among samples, at every level.

use serde_json::{Value, json};

use crate::env::{Env, Test, TestResult};
use crate::metric_reads::points;
use crate::rollups::send;
use crate::samples::{encode, seconds_from_now};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    filters_find_their_series,
    every_text_can_be_asked_for,
    the_catalog_has_dimensions,
    too_many_sets_are_refused
);

/// Sends a sample of each of these dimensions, with its index as the value.
fn send_each(client: &crate::client::Client, dimensions: &[Value]) {
    let at = seconds_from_now(-30);
    let item = |(n, dimensions): (usize, &Value)| {
        format!(r#"{{"timestamp":"{at}","asset_id":"a","metric_name":"load","value":{n},"dimensions":{dimensions}}}"#)
    };
    send(client, &dimensions.iter().enumerate().map(item).collect::<Vec<_>>());
}

fn filters_find_their_series(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    send_each(
        client,
        &[
            json!({"region":"eu-west","host":1}),
            json!({"region":"eu-east","host":2,"tags":{"team":"x","on":true}}),
            json!({"region":"us","host":"1","on":false}),
            json!({"host":1.5}),
            json!({"region":null}),
            json!({"http.method":"GET","region":["eu"]}),
            json!({}),
            json!({"region":""}),
        ],
    );
    let found = |path: &str, filter: &str, column: &str| {
        let rows = points_of(client, path, filter);
        let mut found: Vec<f64> = rows.iter().map(|row| row[column].as_f64().unwrap()).collect();
        found.sort_by(f64::total_cmp);
        found
    };
    for (filter, expected) in [
        ("", vec![0, 1, 2, 3, 4, 5, 6, 7]),
        ("&dim.region=us", vec![2]),
        ("&dim.region=us,eu-west", vec![0, 2]),
        ("&dim.region=us,", vec![2, 7]),
        ("&dim.region=,ap", vec![7]),
        ("&dim.region=!,!us", vec![0, 1, 3, 4, 5, 6]),
        ("&dim.region=eu*", vec![0, 1]),
        ("&dim.region=eu*,us", vec![0, 1, 2]),
        ("&dim.region=eu*,!eu-east", vec![0]),
        ("&dim.region=!us", vec![0, 1, 3, 4, 5, 6, 7]),
        ("&dim.region=!us,!eu*", vec![3, 4, 5, 6, 7]),
        ("&dim.region=*", vec![0, 1, 2, 5, 7]),
        ("&dim.region=!*", vec![3, 4, 6]),
        ("&dim.host=1", vec![0, 2]),
        ("&dim.host=1.50", vec![3]),
        ("&dim.host=!1", vec![1, 3, 4, 5, 6, 7]),
        ("&dim.on=false", vec![2]),
        ("&dim.http.method=GET", vec![5]),
        ("&dim.region=eu-west&dim.host=1", vec![0]),
        ("&dim.region=eu-west&dim.host=2", vec![]),
        ("&dim.nothing=x", vec![]),
        (&format!("&dimensions={}", encode(r#"{"host":1}"#)), vec![0]),
        (&format!("&dimensions={}", encode(r#"{"tags":{"team":"x"}}"#)), vec![1]),
        (&format!("&dimensions={}", encode(r#"{"region":["eu"]}"#)), vec![5]),
        (&format!("&dimensions={}&dim.region=us", encode("{}")), vec![2]),
    ] {
        let expected: Vec<f64> = expected.into_iter().map(f64::from).collect();
        assert_eq!(found("resolution=raw", filter, "value"), expected, "{filter}");
        for resolution in ["1m", "1d"] {
            assert_eq!(
                found(&format!("from=-2d&resolution={resolution}"), filter, "sum"),
                expected,
                "{resolution} {filter}"
            );
        }
        let summed = points(client, &format!("metric_name=load&from=-2d&resolution=1d&aggregate=count{filter}"));
        let count: f64 = summed.iter().filter_map(|row| row["value"].as_f64()).sum();
        assert_eq!(count, expected.len() as f64, "{filter}");
        let catalog = client.get(&format!("/v1/metrics/catalog?metric_name=load{filter}")).expect(200);
        assert_eq!(catalog["data"].as_array().unwrap().len(), expected.len(), "{filter}");
    }
    Ok(())
}

fn points_of(client: &crate::client::Client, path: &str, filter: &str) -> Vec<Value> {
    points(client, &format!("metric_name=load&{path}{filter}"))
}

/// What ingestion takes has a spelling in the query, alone and beside others.
fn every_text_can_be_asked_for(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let texts = [
        "a,b", "!a", "a*", "*", "!", "\\", "\\*", "C:\\x*", " a ", "ü+&%=#", "null", "true", "1", "a\"b", "%", "_",
        "{}",
    ];
    // As a value, and as a name.
    let mut all: Vec<Value> = texts.iter().map(|text| json!({ "value": text })).collect();
    all.extend(texts.iter().map(|text| json!({ *text: "named" })));
    send_each(client, &all);
    for (n, text) in texts.iter().enumerate() {
        let escaped = text.replace('\\', "\\\\").replace('*', "\\*").replace('!', "\\!");
        let rows = points_of(client, "resolution=raw", &format!("&dim.value={}", encode(&escaped)));
        assert_eq!(rows.iter().map(|row| &row["value"]).collect::<Vec<_>>(), [&json!(n as f64)], "{text}");
        let beside = points_of(client, "resolution=raw", &format!("&dim.value={},nothing,!other", encode(&escaped)));
        assert_eq!(beside.len(), 1, "{text}");
        let rows = points_of(client, "resolution=raw", &format!("&dim.{}=named", encode(text)));
        assert_eq!(
            rows.iter().map(|row| &row["value"]).collect::<Vec<_>>(),
            [&json!((n + texts.len()) as f64)],
            "{text}"
        );
        let query = format!(
            "metric_name=load&from=-2d&resolution=1d&aggregate=count&top=1&group_by=dim.{}&dim.{}=named",
            encode(text),
            encode(text)
        );
        let grouped = points(client, &query);
        assert_eq!(grouped[0]["dimensions"], json!({ format!("dim.{text}"): "named" }), "{text}");
    }
    Ok(())
}

fn the_catalog_has_dimensions(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let all: Vec<Value> = (0..25).map(|n| json!({"n": n, "half": n % 2})).chain([json!({})]).collect();
    send_each(client, &all);
    // A new series is there with its first sample.
    let whole = client.get("/v1/metrics/catalog").expect(200);
    assert!(whole["totals"].is_null());
    let stored = whole["data"].as_array().unwrap().len();
    for path in ["/v1/metrics/catalog?totals=1", "/v1/metrics/catalog?totals=1&limit=1&dim.n=none"] {
        assert_eq!(client.get(path).expect(200)["totals"], json!({ "stored": stored, "active": stored }), "{path}");
    }
    client.get("/v1/metrics/catalog?totals=yes").problem(400, "invalid_parameter");
    let rows = whole["data"].as_array().unwrap();
    assert_eq!(rows.len(), 26);
    assert!(all.iter().all(|dimensions| rows.iter().any(|row| row["dimensions"] == *dimensions)), "{whole}");
    let time = |text: &Value| text.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(rows.iter().all(|row| time(&row["first_seen"]) <= time(&row["last_seen"])));
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/v1/metrics/catalog?limit=4{cursor}")).expect(200);
        paged.extend(page["data"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, *rows);
    // By its id each set is found alone, also the empty one.
    for row in rows {
        let query = format!("metric_name=load&resolution=raw&series_id={}", row["series_id"].as_str().unwrap());
        let found = points(client, &query);
        assert_eq!(found.iter().map(|sample| &sample["dimensions"]).collect::<Vec<_>>(), [&row["dimensions"]]);
    }
    client.get("/v1/metrics/catalog?series_id=eu").problem(400, "invalid_parameter");
    let odd = client.get("/v1/metrics/catalog?dim.half=1&dim.n=!1&search=LOAD").expect(200);
    assert_eq!(odd["data"].as_array().unwrap().len(), 11);
    let csv = client.get_as("/v1/metrics/catalog?dim.n=7", &[("accept", "text/csv")]);
    assert!(
        csv.text()
            .starts_with("metric_name,asset_id,metric_type,dimensions,first_seen,last_seen,series_id\r\nload,a,gauge,"),
        "{}",
        csv.text()
    );
    Ok(())
}

fn too_many_sets_are_refused(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    env.sql().run(
        "INSERT INTO metric_series (tenant_id, asset_id, metric_type, metric_name, series_id, dimensions, first_seen, last_seen)
         SELECT 'default', 'a', 'gauge', 'load', metric_series_id(d), d, now(), now()
         FROM generate_series(1, 10001) n CROSS JOIN LATERAL jsonb_build_object('n', n, 'all', 1) d",
    );
    for query in ["dim.all=1", "dim.all=1&aggregate=avg", "aggregate=avg&group_by=n", "dim.all=1&resolution=raw"] {
        let problem = client.get(&format!("/v1/metrics?metric_name=load&{query}")).problem(400, "unbounded_query");
        assert!(problem["detail"].as_str().unwrap().contains("10000 sets of dimensions"), "{problem}");
    }
    for query in ["dim.n=!1", "aggregate=avg&group_by=n&dim.n=!1", "aggregate=avg&group_by=asset_id"] {
        client.get(&format!("/v1/metrics?metric_name=load&{query}")).expect(200);
    }
    Ok(())
}
