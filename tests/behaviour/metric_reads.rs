//! GET /v1/metrics: the numbers of every level are those of the samples, whatever is closed, late, expired or switched off.

use serde_json::Value;

use tidegate::model::Level;

use crate::client::Client;
use crate::env::{Env, Test, TestResult};
use crate::refresh::{close, make_room, put_metrics};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    every_level_is_right_at_any_time,
    a_level_that_keeps_less_goes_on_in_samples,
    a_level_that_is_switched_off_is_computed,
    samples_as_they_were_sent,
    auto_chooses,
    auto_has_what_samples_tell,
    unbounded_questions_are_refused,
    mistakes_are_refused,
);

/// Samples of three assets and two names over three days, some as summaries, in a tenant; another tenant has others.
const SAMPLES: &str = "SELECT date_trunc('hour', now()) - n * INTERVAL '97 seconds' AS timestamp, tenant.id AS tenant_id,
        'asset-' || n % 3 AS asset_id, 'gauge' AS metric_type, CASE WHEN n % 5 = 0 THEN 'latency' ELSE 'load' END AS metric_name,
        CASE WHEN n % 11 = 0 THEN 4 ELSE 1 END::bigint AS value_count, (n % 37 - 5)::double precision AS value_sum,
        CASE WHEN n % 11 = 0 THEN -9.5 END::double precision AS value_min,
        CASE WHEN n % 11 = 0 THEN 99.25 END::double precision AS value_max,
        CASE WHEN n % 22 = 0 THEN 12345.5 END::double precision AS value_m2, NULL::jsonb AS dimensions
     FROM generate_series(1, 2700) n CROSS JOIN (VALUES ('default'), ('other')) tenant (id)";

/// What is late: days old, in buckets that had none and in buckets that had some.
const LATE: &str = "SELECT date_trunc('hour', now()) - n * INTERVAL '41 minutes' AS timestamp, 'default' AS tenant_id,
        'asset-' || n % 4 AS asset_id, 'gauge' AS metric_type, 'load' AS metric_name, 1::bigint AS value_count,
        (1000 + n)::double precision AS value_sum, NULL::double precision AS value_min, NULL::double precision AS value_max,
        NULL::double precision AS value_m2, NULL::jsonb AS dimensions
     FROM generate_series(2, 100) n";

/// What SQL says of the samples, in the order of the answer; phrased on its own.
fn expected(env: &Env, width: &str, conditions: &str) -> Vec<Value> {
    env.sql().column(&format!(
        "SELECT to_jsonb(p) FROM (
            SELECT date_bin('{width}', timestamp, 'epoch') AS bucket, asset_id, metric_type, metric_name,
                sum(value_count)::bigint AS count, sum(value_sum) AS sum, sum(value_sum) / sum(value_count) AS avg,
                min(least(value_min, CASE WHEN value_min IS NULL THEN value_sum END)) AS min,
                max(greatest(value_max, CASE WHEN value_max IS NULL THEN value_sum END)) AS max,
                percentile_disc(0.5) WITHIN GROUP (ORDER BY value_sum) FILTER (WHERE value_min IS NULL) AS p50,
                percentile_disc(0.95) WITHIN GROUP (ORDER BY value_sum) FILTER (WHERE value_min IS NULL) AS p95,
                percentile_disc(0.99) WITHIN GROUP (ORDER BY value_sum) FILTER (WHERE value_min IS NULL) AS p99,
                coalesce(sum(value_count) FILTER (WHERE value_min IS NOT NULL), 0)::bigint AS summarized_count
            FROM metrics WHERE tenant_id = 'default' AND {conditions}
            GROUP BY 1, 2, 3, 4 ORDER BY 1 DESC, 2, 3, 4) p"
    ))
}

/// All points that an answer has, from page to page.
pub fn points(client: &Client, query: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let list = client.get(&format!("/v1/metrics?{query}{cursor}")).expect(200);
        all.extend(list["data"].as_array().unwrap().iter().cloned());
        let Some(next) = list["next_cursor"].as_str() else { return all };
        cursor = format!("&cursor={next}");
    }
}

/// Compares points with what SQL says: texts and counts exactly, numbers but for the order in which they were added up.
fn assert_same(found: &[Value], expected: &[Value], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        for (name, wanted) in expected.as_object().unwrap() {
            let value = &found[name];
            let same = match (value.as_f64(), wanted.as_f64()) {
                (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * b.abs().max(1.0),
                _ if name == "bucket" => {
                    let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
                    time(value) == time(wanted)
                }
                _ => value == wanted,
            };
            assert!(same, "{what}: {name} is {value}, not {wanted}, of {found}");
        }
    }
}

fn check(env: &Env, client: &Client, state: &str) {
    for level in Level::of_metrics() {
        let (resolution, width) = (level.resolution.expect("of metrics"), level.interval());
        for (series, condition) in [
            ("metric_name=load", "metric_name = 'load'"),
            ("metric_name=load,latency&asset_id=asset-1", "asset_id = 'asset-1'"),
            ("asset_id=asset-0,asset-2&metric_type=gauge,other", "asset_id IN ('asset-0', 'asset-2')"),
        ] {
            let found = points(client, &format!("resolution={resolution}&from=-20d&limit=2000&{series}"));
            let all = expected(env, &width, condition);
            assert_same(&found, &all, &format!("{state}, {resolution}, {series}"));
            assert!(found.iter().all(|point| point["resolution"] == resolution));
        }
    }
}

fn every_level_is_right_at_any_time(env: &Env) -> TestResult {
    let tidegate = env.serve();
    make_room(env);
    put_metrics(env, SAMPLES);
    check(env, &tidegate.client, "not closed yet");
    close(env);
    check(env, &tidegate.client, "closed");
    put_metrics(env, LATE);
    check(env, &tidegate.client, "late samples that no level has yet");
    close(env);
    check(env, &tidegate.client, "late samples that every level has");
    // The bounds of a range are those of buckets' starts, wherever parts meet.
    put_metrics(env, LATE);
    let hour: i64 = env.sql().one("SELECT extract(epoch FROM date_trunc('hour', now()))::bigint");
    for (from, to) in [(50, 3), (49, 48), (30, 30), (72, 1)] {
        let at = |hours: i64, seconds: i64| jiff::Timestamp::from_second(hour - hours * 3600 + seconds).unwrap();
        for shift in [0, 1, 1801] {
            let (from, to) = (at(from, shift), at(to, shift));
            let found = points(&tidegate.client, &format!("resolution=1h&metric_name=load&from={from}&to={to}"));
            let bucket = "date_bin('1 hour', timestamp, 'epoch')";
            let range = format!("metric_name = 'load' AND {bucket} >= '{from}' AND {bucket} < '{to}'");
            assert_same(&found, &expected(env, "1 hour", &range), &range);
        }
    }
    Ok(())
}

/// The last second before the level's retention counts: its chunk goes as a whole, so that what is older is dropped by hand.
fn a_level_that_keeps_less_goes_on_in_samples(env: &Env) -> TestResult {
    let keeping_more = env.serve();
    make_room(env);
    put_metrics(env, SAMPLES);
    close(env);
    drop(keeping_more);
    let tidegate = env.serve_with(&["retention.rollups.1m=25h", "retention.rollups.5m=26h"]);
    // Once for all: with each minute that passes one more bucket is as old.
    let bound: String = env.sql().one("SELECT (now() - INTERVAL '27 hours')::text");
    let old = format!("bucket < '{bound}'");
    for level in ["metrics_1m", "metrics_5m"] {
        let table = match env.engine {
            crate::env::Engine::Postgres => format!("{level}_closed"),
            crate::env::Engine::Timescale => env.sql().one(&format!(
                "SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)
                 FROM timescaledb_information.continuous_aggregates WHERE view_name = '{level}_buckets'"
            )),
        };
        env.sql().run(&format!("DELETE FROM {table} WHERE {old}"));
        assert_eq!(
            env.sql().one::<i64>(&format!("SELECT count(*) FROM {level} WHERE {old}")),
            0,
            "{level} has expired"
        );
    }
    check(env, &tidegate.client, "expired");
    Ok(())
}

fn a_level_that_is_switched_off_is_computed(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["rollups.levels=1h,1d"]);
    make_room(env);
    put_metrics(env, SAMPLES);
    check(env, &tidegate.client, "switched off");
    let auto = tidegate.client.get("/v1/metrics?metric_name=load&from=-1h").expect(200);
    assert_eq!(auto["resolution"], "1h", "auto takes no level that is off");
    Ok(())
}

fn samples_as_they_were_sent(env: &Env) -> TestResult {
    let tidegate = env.serve();
    make_room(env);
    put_metrics(env, SAMPLES);
    let found = points(&tidegate.client, "resolution=raw&asset_id=asset-1&from=-20d&limit=500");
    let expected: Vec<Value> = env.sql().column(
        "SELECT jsonb_build_object('timestamp', timestamp, 'asset_id', asset_id, 'metric_type', metric_type, 'metric_name', metric_name,
            'value', CASE WHEN value_min IS NULL THEN value_sum END, 'count', value_count, 'sum', value_sum,
            'min', coalesce(value_min, value_sum), 'max', coalesce(value_max, value_sum),
            'sumsq', coalesce(value_m2, CASE WHEN value_min IS NULL THEN 0 END) + value_sum / value_count * value_sum,
            'stddev', sqrt(value_m2 / (value_count - 1)), 'dimensions', dimensions)
         FROM metrics WHERE tenant_id = 'default' AND asset_id = 'asset-1' ORDER BY timestamp DESC, batch_id DESC, batch_seq DESC",
    );
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        let time = |value: &Value| value["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        assert_eq!(time(found), time(expected));
        for (name, wanted) in expected.as_object().unwrap().iter().filter(|(name, _)| *name != "timestamp") {
            let same = found[name].as_f64().zip(wanted.as_f64()).map_or(found[name] == *wanted, |(a, b)| a == b);
            assert!(same, "{name} of {found} is not {wanted}");
        }
    }
    let page = tidegate.client.get("/v1/metrics?resolution=raw&asset_id=asset-1&from=-20d").expect(200);
    assert_eq!((&page["resolution"], page["data"].as_array().unwrap().len()), (&"raw".into(), 900.min(expected.len())));
    Ok(())
}

fn auto_chooses(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let now: i64 = env.sql().one("SELECT extract(epoch FROM date_trunc('day', now()))::bigint");
    let at = |seconds: i64| jiff::Timestamp::from_second(now - seconds).unwrap();
    let chosen = |from: i64, to: i64| {
        let path = format!("/v1/metrics?metric_name=x&from={}&to={}", at(from), at(to));
        tidegate.client.get(&path).expect(200)["resolution"].as_str().unwrap().to_owned()
    };
    let (minute, hour, day) = (60, 3600, 24 * 3600);
    assert_eq!(chosen(1000 * minute, 0), "1m");
    assert_eq!(chosen(1000 * minute + 1, 0), "1m");
    assert_eq!(chosen(1001 * minute, 0), "5m");
    assert_eq!(chosen(5000 * minute, 0), "5m");
    assert_eq!(chosen(5005 * minute, 0), "1h");
    assert_eq!(chosen(1000 * hour, 0), "1h");
    assert_eq!(chosen(1001 * hour, 0), "1d");
    assert_eq!(chosen(9000 * day, 0), "1d");
    // Minutes are kept for 7 days, hours for 730; that of which they are counted back may be over by now.
    assert_eq!(chosen(5 * day, 5 * day - hour), "1m");
    assert_eq!(chosen(9 * day, 9 * day - hour), "1h");
    assert_eq!(chosen(740 * day, 740 * day - hour), "1d");
    let default = tidegate.client.get("/v1/metrics?metric_name=x").expect(200);
    assert_eq!((&default["resolution"], &default["data"]), (&"5m".into(), &serde_json::json!([])), "24 hours");
    Ok(())
}

/// A part of an hour, of which hours have nothing to say and minutes are not kept: not an empty list where there are samples.
fn auto_has_what_samples_tell(env: &Env) -> TestResult {
    for levels in ["rollups.levels=1m,5m,1h,1d", "rollups.levels=1h,1d"] {
        let tidegate = env.serve_with(&[levels]);
        make_room(env);
        let ten: i64 =
            env.sql().one("SELECT extract(epoch FROM date_trunc('day', now(), 'UTC'))::bigint - 8 * 86400 + 36000");
        put_metrics(env, &SAMPLES.replace("now())", &format!("to_timestamp({ten}) + INTERVAL '2 hours')")));
        let at = |seconds: i64| jiff::Timestamp::from_second(ten + seconds).unwrap();
        let (from, to) = (at(5 * 60), at(50 * 60));
        let query = format!("metric_name=load&from={from}&to={to}");
        let found = points(&tidegate.client, &format!("{query}&limit=5"));
        let all = expected(
            env,
            "1 minute",
            &format!("metric_name = 'load' AND timestamp >= '{from}' AND timestamp < '{to}'"),
        );
        assert!(all.len() > 10, "{all:?}");
        assert_same(&found, &all, levels);
        assert!(found.iter().all(|point| point["resolution"] == "1m"));
        let chosen = |from, to| {
            let list = tidegate.client.get(&format!("/v1/metrics?metric_name=load&from={from}&to={to}")).expect(200);
            (list["resolution"].as_str().unwrap().to_owned(), list["data"].as_array().unwrap().len())
        };
        assert_eq!(chosen(from, at(3601)).0, "1h", "one bucket of an hour");
        assert_eq!(chosen(at(301), at(359)), ("1m".into(), 0), "no minute begins there");
        let before = 90 * 86_400;
        assert_eq!(chosen(at(300 - before), at(3000 - before)), ("1h".into(), 0), "samples have expired");
    }
    Ok(())
}

fn unbounded_questions_are_refused(env: &Env) -> TestResult {
    let tidegate = env.serve();
    for query in [
        "",
        "metric_type=gauge",
        "resolution=raw",
        "metric_name=x&resolution=1m&from=-35d",
        "metric_name=x&resolution=5m&from=-180d",
        "metric_name=x&resolution=1h&from=-2100d",
        "metric_name=x&from=0001-01-01T00:00:00Z",
    ] {
        let problem = tidegate.client.get(&format!("/v1/metrics?{query}")).problem(400, "unbounded_query");
        assert!(problem["detail"].as_str().unwrap().len() > 40, "says what to do: {problem}");
    }
    tidegate.client.get("/v1/metrics?metric_name=x&resolution=1m&from=-34d").expect(200);
    tidegate.client.get("/v1/metrics?metric_name=x&from=-2100d").expect(200);
    Ok(())
}

fn mistakes_are_refused(env: &Env) -> TestResult {
    let tidegate = env.serve();
    for query in [
        "metric_name=x&resolution=2m",
        "metric_name=x&resolution=",
        "metric_name=",
        "metric_name=x&asset_id=,",
        "metric_name=x&metric_type=",
        "metric_name=x&from=yesterday",
        "metric_name=x&to=24h",
        "metric_name=x&limit=0",
        "metric_name=x&limit=10001",
        "metric_name=x&cursor=nonsense",
        "metric_name=x&severity=info",
        "metric_name=a&metric_name=b",
    ] {
        tidegate.client.get(&format!("/v1/metrics?{query}")).problem(400, "invalid_parameter");
    }
    for query in ["limit=0", "search=", "from=-1h", "metric_name=", "cursor=x"] {
        tidegate.client.get(&format!("/v1/metrics/catalog?{query}")).problem(400, "invalid_parameter");
    }
    // A range of nothing is no mistake.
    for query in ["from=-1h&to=-2h", "from=-1h&to=-1h", "resolution=raw&from=-1h&to=-2h"] {
        let list = tidegate.client.get(&format!("/v1/metrics?metric_name=x&{query}")).expect(200);
        assert_eq!((&list["data"], &list["next_cursor"]), (&serde_json::json!([]), &Value::Null));
    }
    let keyless = Client::new(&tidegate.client.address, None);
    keyless.get("/v1/metrics?metric_name=x").problem(401, "unauthorized");
    tidegate.with(&env.key("sender", "ingest")).get("/v1/metrics?metric_name=x").problem(403, "forbidden");
    Ok(())
}
