//! GET /v1/metrics/trend: the line through buckets, beside the same line computed from what GET /v1/metrics answers.

use serde_json::Value;

use crate::aggregates::{in_region, midnight, open_and_closed, time};
use crate::env::{Env, Test, TestResult};
use crate::metric_reads::points;
use crate::refresh::make_room;
use crate::rollups::send;
use crate::tests;

pub const TESTS: &[Test] = tests!(a_trend_is_that_of_the_buckets, trends_that_are_refused);

const HOUR: i64 = 3600;

/// Median of the slopes a day between any two buckets.
fn slope(rows: &[Value]) -> f64 {
    let of = |row: &Value| {
        let at: jiff::Timestamp = row["bucket"].as_str().unwrap().parse().unwrap();
        (at.as_second() as f64 / 86_400.0, row["value"].as_f64().unwrap())
    };
    let mut slopes = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let (at, value) = of(row);
        slopes.extend(rows[..index].iter().map(of).map(|(other, was)| (value - was) / (at - other)));
    }
    slopes.sort_by(f64::total_cmp);
    let half = slopes.len() / 2;
    if slopes.len() % 2 == 1 { slopes[half] } else { (slopes[half - 1] + slopes[half]) / 2.0 }
}

fn a_trend_is_that_of_the_buckets(env: &Env) -> TestResult {
    let tidegate = env.serve();
    make_room(env);
    let (client, start) = (&tidegate.client, midnight());
    let mut items = Vec::new();
    // Three hours without a sample, and an hour that is far off.
    for hour in (0..24).filter(|hour| !(5..8).contains(hour)) {
        let value = if hour == 20 { 9000.0 } else { 2.0 * hour as f64 - 10.0 };
        items.push(in_region(start + hour * HOUR, "load", "eu", value));
        items.push(in_region(start + hour * HOUR + 1800, "load", "us", value + 1.0));
    }
    send(client, &items);
    let range = format!("metric_name=load&resolution=1h&from={}&to={}", time(start), time(start + 24 * HOUR));
    open_and_closed(env, |state| {
        let near = |found: &Value, expected: f64| {
            let found = found.as_f64().unwrap_or_else(|| panic!("{state}: no figure but {found}"));
            assert!((found - expected).abs() < 1e-6 * expected.abs().max(1.0), "{state}: {found} is not {expected}");
        };
        let found = client.get(&format!("/v1/metrics/trend?{range}&dim.region=eu")).expect(200);
        assert_eq!(found["resolution"], "1h", "{state}");
        assert_eq!(found["points"], 21, "{state}");
        assert_eq!(found["from"], time(start), "{state}");
        assert_eq!(found["to"], time(start + 23 * HOUR), "{state}");
        near(&found["slope_per_day"], 48.0);
        near(&found["level_start"], -10.0);
        near(&found["level_end"], 36.0);
        near(&found["change"], 46.0);
        assert!(found["r2"].as_f64().unwrap() < 0.5, "{state}: {found}");
        for aggregate in ["avg", "sum", "max", "count", "p95"] {
            let query = format!("{range}&aggregate={aggregate}");
            let found = client.get(&format!("/v1/metrics/trend?{query}")).expect(200);
            near(&found["slope_per_day"], slope(&points(client, &query)));
        }
        // By default it is the average.
        let found = client.get(&format!("/v1/metrics/trend?{range}")).expect(200);
        near(&found["level_start"], -9.5);
    });
    let other = tidegate.with(&env.key("other", "ingest,read"));
    other.get(&format!("/v1/metrics/trend?{range}")).problem(422, "too_few_points");
    Ok(())
}

fn trends_that_are_refused(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    for query in
        ["resolution=raw", "resolution=2h", "aggregate=mean", "from=then", "group_by=region", "limit=3", "fill=zero"]
    {
        client.get(&format!("/v1/metrics/trend?metric_name=m&{query}")).problem(400, "invalid_parameter");
    }
    client.get("/v1/metrics/trend").problem(400, "unbounded_query");
    let none = client.get("/v1/metrics/trend?metric_name=nothing-of-this-name").problem(422, "too_few_points");
    assert!(none["detail"].as_str().unwrap().contains("GET /v1/metrics/catalog says which there are"), "{none}");
    let now = jiff::Timestamp::now().as_second();
    let minutes =
        |count: i64| (0..count).map(|minute| in_region(now - 60 * minute, "m", "eu", 1.0)).collect::<Vec<_>>();
    send(client, &minutes(2));
    client.get("/v1/metrics/trend?metric_name=m&resolution=1m").problem(422, "too_few_points");
    send(client, &minutes(1002));
    client.get("/v1/metrics/trend?metric_name=m&resolution=1m").problem(400, "unbounded_query");
    let found = client.get("/v1/metrics/trend?metric_name=m&resolution=1h").expect(200);
    assert_eq!((&found["slope_per_day"], &found["r2"]), (&0.0.into(), &Value::Null));
    Ok(())
}
