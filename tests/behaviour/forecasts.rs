//! GET /v1/metrics/forecast: series whose future is known, as they come out of the rollups of both engines.

use serde_json::Value;

use crate::aggregates::{in_region, midnight, time};
use crate::env::{Env, Test, TestResult};
use crate::refresh::make_room;
use crate::rollups::{fine_levels_kept, refresh, send};
use crate::tests;

pub const TESTS: &[Test] = tests!(a_forecast_of_a_day_and_one_of_a_walk, forecasts_that_are_refused);

const HOUR: i64 = 3600;
const DAYS: i64 = 10;

/// What an hour of the day has.
fn day(hour: i64) -> f64 {
    50.0 + 20.0 * (std::f64::consts::TAU * (hour % 24) as f64 / 24.0).sin()
}

/// Numbers from -0.5 to 0.5 that depend on nothing, the same each time.
fn noise() -> impl FnMut() -> f64 {
    let mut state = 1_u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    }
}

fn a_forecast_of_a_day_and_one_of_a_walk(env: &Env) -> TestResult {
    // Longer than the data, so that nothing expires meanwhile.
    let tidegate = env.serve_with(&fine_levels_kept("60d"));
    make_room(env);
    let (client, end) = (&tidegate.client, midnight());
    let start = end - DAYS * 24 * HOUR;
    let (mut noise, mut walk) = (noise(), 100.0);
    let mut items = Vec::new();
    for hour in 0..DAYS * 24 {
        let at = start + hour * HOUR;
        walk += noise();
        items.push(in_region(at, "walk", "eu", walk));
        // Three hours without a sample, and one that is far off.
        if !(50..53).contains(&hour) {
            let value = if hour == 100 { 9000.0 } else { day(hour) + noise() };
            items.push(in_region(at, "load", "eu", value));
            items.push(in_region(at + 1800, "load", "us", 0.0));
        }
    }
    items.chunks(200).for_each(|items| send(client, items));
    let range = format!("from={}&to={}&resolution=1h", time(start), time(end));
    let check = |state: &str| {
        let forecast = |query: &str| client.get(&format!("/v1/metrics/forecast?{range}&{query}")).expect(200);
        let found = forecast("metric_name=load&dim.region=eu");
        assert_eq!((&found["resolution"], &found["interval"]), (&"1h".into(), &0.95.into()), "{state}");
        assert_eq!((&found["from"], &found["to"]), (&time(start).into(), &time(end - HOUR).into()), "{state}");
        assert_eq!((&found["points"], &found["missing"]), (&(DAYS * 24 - 3).into(), &3.into()), "{state}");
        assert_eq!((&found["method"], &found["beats_naive"]), (&"smoothing".into(), &true.into()), "{state}: {found}");
        assert_eq!((&found["season"], &found["smoothing"]["season"]), (&"day".into(), &"day".into()), "{state}");
        let backtest = &found["backtest"];
        assert_eq!((&backtest["horizon"], &backtest["season"]), (&24.into(), &"day".into()), "{state}");
        let error = |method: &str, figure: &str| backtest[method][figure].as_f64().expect("a figure");
        for figure in ["mae", "mase", "smape"] {
            assert!(error("smoothing", figure) < error("naive", figure) / 2.0, "{state} {figure}: {backtest}");
        }
        let buckets = found["forecast"].as_array().unwrap();
        assert_eq!(buckets.len(), 24, "{state}");
        for (hour, bucket) in (0..).zip(buckets) {
            let of = |name: &str| bucket[name].as_f64().expect("a figure");
            assert_eq!(bucket["bucket"], time(end + hour * HOUR), "{state}");
            assert!((of("value") - day(hour)).abs() < 3.0, "{state} {hour}: {bucket}");
            assert!(of("lower") <= day(hour) && day(hour) <= of("upper"), "{state} {hour}: {bucket}");
        }
        // Of both regions it is half as much. An hour changes it by at most 2.6.
        let half = forecast("metric_name=load&aggregate=avg&season=day&horizon=1h&interval=0.5");
        let near = half["forecast"][0]["value"].as_f64().unwrap() - day(0) / 2.0;
        assert!(near.abs() < 4.0 && half["forecast"].as_array().unwrap().len() == 1, "{state}: {half}");

        let walked = forecast("metric_name=walk&horizon=12h");
        assert_eq!((&walked["method"], &walked["beats_naive"]), (&"naive".into(), &false.into()), "{state}: {walked}");
        assert_eq!(walked["season"], Value::Null, "{state}");
        for bucket in walked["forecast"].as_array().unwrap() {
            assert!((bucket["value"].as_f64().unwrap() - walk).abs() < 1e-6, "{state}: {bucket} is not {walk}");
        }
    };
    check("open");
    refresh(env);
    check("closed");
    let other = tidegate.with(&env.key("other", "ingest,read"));
    other.get(&format!("/v1/metrics/forecast?metric_name=load&{range}")).problem(422, "too_few_points");
    Ok(())
}

fn forecasts_that_are_refused(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    for query in [
        "resolution=raw",
        "resolution=2h",
        "aggregate=mean",
        "from=then",
        "group_by=region",
        "limit=3",
        "horizon=0h",
        "horizon=12",
        "horizon=-1d",
        "resolution=1m&horizon=2d",
        "season=year",
        "season=day&resolution=1d",
        "season=week&resolution=1m",
        "interval=1",
        "interval=NaN",
        "interval=95",
    ] {
        client.get(&format!("/v1/metrics/forecast?metric_name=m&{query}")).problem(400, "invalid_parameter");
    }
    client.get("/v1/metrics/forecast").problem(400, "unbounded_query");
    let none = client.get("/v1/metrics/forecast?metric_name=nothing-of-this-name").problem(422, "too_few_points");
    assert!(none["detail"].as_str().unwrap().contains("GET /v1/metrics/catalog says which there are"), "{none}");
    let now = jiff::Timestamp::now().as_second();
    let minutes = |from: i64, count: i64| {
        (from..from + count).map(|n| in_region(now - 60 * n, "m", "eu", 1.0)).collect::<Vec<_>>()
    };
    send(client, &minutes(0, 12));
    let asked = "/v1/metrics/forecast?metric_name=m&resolution=1m&horizon=5m&from=-12h";
    client.get(asked).problem(422, "too_few_points");
    send(client, &minutes(12, 20));
    let found = client.get(asked).expect(200);
    // The minute that is not over is none of them.
    assert!((30..=32).contains(&found["points"].as_i64().unwrap()), "{found}");
    assert_eq!((&found["method"], &found["forecast"][4]["upper"]), (&"naive".into(), &1.0.into()), "{found}");
    assert_eq!(found["forecast"][0]["bucket"].as_str().map(|at| at.parse::<jiff::Timestamp>().is_ok()), Some(true));
    // A season that is asked for must be known three times.
    client.get(&format!("{asked}&season=day")).problem(422, "too_few_points");
    // Mostly gaps.
    send(client, &minutes(600, 1));
    client.get(asked).problem(422, "too_few_points");
    Ok(())
}
