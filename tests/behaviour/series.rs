//! Series: what differs in a dimension is apart, in raw rows, at every level, in the catalog; and what a level keeps of them.

use serde_json::{Value, json};

use tidegate::model::Level;

use crate::derived::hurry;
use crate::env::{Env, Test, TestResult, until};
use crate::rollups::{DAY, HOUR, LEVELS, refresh, right, send};
use crate::samples::{array, metric_with, seconds_from_now};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    ids_are_those_that_sql_computes,
    dimensions_are_apart_everywhere,
    the_catalog_is_joined_only_when_asked,
    large_values_keep_their_spread,
    counters_know_resets,
    a_series_is_in_the_catalog_at_once,
    an_organization_has_so_many_series_and_no_more,
);

/// Objects that are easily spelt in more than one way.
const ODD: [&str; 15] = [
    "{}",
    " { } ",
    r#"{"region":"eu"}"#,
    r#"{ "regi\u006fn" : "\u0065u" }"#,
    r#"{"b":1,"a":2,"cc":3,"":4}"#,
    r#"{"":4,"cc":3,"a":2,"b":1}"#,
    r#"{"n":1}"#,
    r#"{"n":1.0}"#,
    r#"{"n":10.0e-1,"m":-0.0,"k":0e5,"j":1E+20,"i":-1.50e-7,"h":0.00e1}"#,
    r#"{"n":123456789012345678901234567890.12345678901234567890}"#,
    r#"{"s":"\u0001\u001f\b\f\n\r\t\"\\\/\u007f","é":"ü","😀":"\ud83d\ude00"}"#,
    r#"{"a":[1,[2,{"z":null,"y":[]}],{}],"b":{"c":{"d":{"e":[true,false]}}}}"#,
    r#"{"extra":"mine"}"#,
    r#"{"extra":{"x":1},"a":1}"#,
    r#"{"path":"C:\\temp\\\"x\"","quote":"'$$'"}"#,
];

fn ids_are_those_that_sql_computes(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let plain =
        |n: usize, odd: &str| metric_with(&format!("plain-{n:02}"), &format!(r#""value":1,"dimensions":{odd}"#));
    let beside = |n: usize, odd: &str| {
        metric_with(&format!("beside-{n:02}"), &format!(r#""value":1,"unit":"ms","dimensions":{odd}"#))
    };
    let items: Vec<String> = ODD.iter().enumerate().flat_map(|(n, odd)| [plain(n, odd), beside(n, odd)]).collect();
    send(&tidegate.client, &items);
    let sql = env.sql();
    let wrong = "SELECT count(*) FROM metrics WHERE series_id <> metric_series_id(dimensions)";
    assert_eq!(sql.one::<i64>(wrong), 0);
    for (n, odd) in ODD.iter().enumerate() {
        let of_sent = "SELECT CASE WHEN $1::text::jsonb = '{}' THEN '00000000-0000-0000-0000-000000000000'::uuid \
                       ELSE encode(substr(sha256(convert_to($1::text::jsonb::text, 'UTF8')), 1, 16), 'hex')::uuid END";
        let of_sent: uuid::Uuid = sql.rows(of_sent, &[odd])[0].get(0);
        for asset in ["plain", "beside"] {
            let found: uuid::Uuid =
                sql.one(&format!("SELECT series_id FROM metrics WHERE asset_id = '{asset}-{n:02}'"));
            assert_eq!(found, of_sent, "{asset} {odd}");
            let same = format!(
                "SELECT dimensions = $1::text::jsonb AND series_id = $2 FROM metric_series WHERE asset_id = '{asset}-{n:02}'"
            );
            assert!(sql.rows(&same, &[odd, &of_sent])[0].get::<_, bool>(0), "the catalog has what was sent: {odd}");
        }
    }
    let read = tidegate.client.get("/v1/metrics?asset_id=beside-02&metric_name=latency&resolution=raw").expect(200);
    assert_eq!(read["data"][0]["dimensions"], json!({ "region": "eu", "extra": { "unit": "ms" } }));
    Ok(())
}

/// Samples that differ only in a dimension, at these seconds from now.
fn of_regions(at: &[i64]) -> Vec<String> {
    let item = |seconds: i64, value: f64, dimensions: &str| {
        let at = seconds_from_now(seconds);
        metric_with("web", &format!(r#""timestamp":"{at}","value":{value:?}{dimensions}"#))
    };
    let of = |seconds: &i64| {
        [
            item(*seconds, 10.0, r#","dimensions":{"region":"eu"}"#),
            item(*seconds, 30.0, r#","dimensions":{"region":"us"}"#),
            item(*seconds, 500.0, ""),
        ]
    };
    at.iter().flat_map(of).collect()
}

fn dimensions_are_apart_everywhere(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let times = [-3 * HOUR, -3 * HOUR + 1, -2 * DAY, 0];
    send(&tidegate.client, &of_regions(&times));
    let sql = env.sql();
    let apart = || {
        for level in Level::of_metrics() {
            let found: Vec<String> = sql.column(&format!(
                "SELECT concat_ws(' ', coalesce(dimensions->>'region', '-'), min(avg_value), max(avg_value), sum(count)) \
                 FROM {} GROUP BY dimensions ORDER BY 1",
                level.name
            ));
            assert_eq!(found, ["- 500 500 4", "eu 10 10 4", "us 30 30 4"], "{}", level.name);
            let resolution = level.resolution.unwrap();
            let path = format!("/v1/metrics?asset_id=web&metric_name=latency&from=-4d&resolution={resolution}&limit=1");
            let mut cursor = String::new();
            let mut seen: Vec<(Value, Value)> = Vec::new();
            loop {
                let page = tidegate.client.get(&format!("{path}{cursor}")).expect(200);
                seen.extend(
                    page["data"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|point| (point["dimensions"].clone(), point["avg"].clone())),
                );
                let Some(next) = page["next_cursor"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            for (dimensions, avg) in &seen {
                let expected = match dimensions["region"].as_str() {
                    Some("eu") => 10.0,
                    Some(_) => 30.0,
                    None => 500.0,
                };
                assert_eq!(avg, &json!(expected), "{dimensions} {resolution}");
            }
            let buckets: i64 = sql.one(&format!("SELECT count(*) FROM {}", level.name));
            assert_eq!(i64::try_from(seen.len()).unwrap(), buckets, "{resolution}");
        }
    };
    right(env);
    apart();
    refresh(env);
    right(env);
    apart();
    // Late ones as well.
    send(&tidegate.client, &of_regions(&[-3 * HOUR + 2]));
    right(env);
    Ok(())
}

fn the_catalog_is_joined_only_when_asked(env: &Env) -> TestResult {
    let tidegate = env.serve();
    send(&tidegate.client, &of_regions(&[-HOUR]));
    let sql = env.sql_as(tidegate::storage::embedded::READER);
    for (level, _) in LEVELS.iter() {
        let plan = |columns: &str| -> String {
            let query = format!(
                "EXPLAIN SELECT {columns} FROM {level} WHERE asset_id = 'web' AND metric_name = 'latency' \
                 AND bucket >= NOW() - INTERVAL '7 days' ORDER BY bucket DESC"
            );
            sql.column::<String>(&query).join("\n")
        };
        assert!(!plan("bucket, avg_value, p95_value, p99_value").contains("metric_series"), "{level}");
        assert!(plan("bucket, dimensions").contains("metric_series"), "{level}");
    }
    Ok(())
}

/// 1e12 + 0, 10, ..., 90, as samples, as a summary, and both in one bucket.
fn large_values_keep_their_spread(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let at = seconds_from_now(-3 * HOUR);
    let item = |asset: &str, numbers: &str| metric_with(asset, &format!(r#""timestamp":"{at}",{numbers}"#));
    let values: Vec<String> = (0..10).map(|n| format!("{}", 1_000_000_000_000_i64 + 10 * n)).collect();
    let values = format!(r#""values":[{}]"#, values.join(","));
    let summary =
        r#""count":10,"sum":10000000000450,"min":1000000000000,"max":1000000000090,"stddev":30.276503540974916"#;
    send(
        &tidegate.client,
        &[
            item("values", &values),
            item("summary", summary),
            item("both", &values),
            item("both", summary),
            // Drowned: the spread is not known, and is not made up.
            item(
                "drowned",
                r#""count":10,"sum":10000000000450,"min":1000000000000,"max":1000000000090,"sumsq":1.00000000009e25"#,
            ),
            // Small ones, in a form that tells it.
            item("squares", r#""count":4,"sum":10,"min":1,"max":4,"sumsq":30"#),
        ],
    );
    let sql = env.sql();
    let check = || {
        for (level, _) in LEVELS.iter() {
            let found: Vec<String> = sql.column(&format!(
                "SELECT concat_ws(' ', asset_id, coalesce(round(stddev_value::numeric, 4)::text, '-')) FROM {level} ORDER BY 1"
            ));
            assert_eq!(
                found,
                ["both 29.4690", "drowned -", "squares 1.2910", "summary 30.2765", "values 30.2765"],
                "{level}"
            );
        }
    };
    let waiting = "SELECT (SELECT count(*) FROM touched) + (SELECT count(*) FROM rollup_dirty)";
    let settle = || until("nothing waits", || (sql.one::<i64>(waiting) == 0).then_some(()));
    settle();
    check();
    refresh(env);
    settle();
    check();
    // Across buckets the same aggregate.
    let all = "SELECT round(stddev_merge(ARRAY[count, sum_value, CASE WHEN count = 1 THEN 0 ELSE stddev_value ^ 2 * (count - 1) END])::numeric, 4)::text \
               FROM metrics_1m WHERE asset_id IN ('values', 'summary')";
    assert_eq!(sql.one::<String>(all), "29.4690");
    Ok(())
}

/// A counter with restarts within buckets and between them, in disorder, with late samples, beside a gauge.
fn counters_know_resets(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let start = jiff::Timestamp::now().as_second() / DAY * DAY - DAY;
    let item = |n: i64, kind: &str, host: &str| {
        let at = jiff::Timestamp::from_second(start + n * 97).unwrap();
        // Restarts every 13 samples.
        let value = n % 13 * 7 + n % 5;
        metric_with(
            "web",
            &format!(r#""metric_type":"{kind}","timestamp":"{at}","value":{value},"dimensions":{{"host":"{host}"}}"#),
        )
    };
    let of = |numbers: &mut dyn Iterator<Item = i64>| -> Vec<String> {
        numbers.flat_map(|n| [item(n, "counter", "a"), item(n + 3, "counter", "b"), item(n, "gauge", "a")]).collect()
    };
    send(&tidegate.client, &of(&mut (0..400).rev().filter(|n| n % 3 != 1)));
    let sql = env.sql();
    let differ = |level: &str, width: i64| -> i64 {
        sql.one(&format!(
            "WITH steps AS (
                SELECT to_timestamp(floor(extract(epoch FROM timestamp) / {width}) * {width}) AS bucket, series_id, timestamp, value_sum AS v,
                    value_sum - lag(value_sum) OVER (PARTITION BY series_id, floor(extract(epoch FROM timestamp) / {width})
                                                     ORDER BY timestamp) AS step
                FROM metrics WHERE metric_type = 'counter'
             ), wanted AS (
                SELECT bucket, series_id, (array_agg(v ORDER BY timestamp))[1] AS first, (array_agg(v ORDER BY timestamp DESC))[1] AS last,
                    sum(CASE WHEN step IS NULL THEN 0 WHEN step < 0 THEN v ELSE step END) AS increase
                FROM steps GROUP BY 1, 2
             )
             SELECT count(*) FROM wanted w
             FULL JOIN (SELECT * FROM {level} WHERE metric_type = 'counter') f USING (bucket, series_id)
             WHERE (w.first, w.last, w.increase) IS DISTINCT FROM (f.first_value, f.last_value, f.increase)"
        ))
    };
    let gauges = |level: &str| -> i64 {
        sql.one(&format!(
            "SELECT count(*) FROM {level} WHERE metric_type = 'gauge' AND num_nonnulls(first_value, last_value, increase) > 0"
        ))
    };
    let check = |when: &str| {
        for (level, width) in LEVELS.iter().copied() {
            until(&format!("{level} {when}"), || (differ(level, width) == 0).then_some(()));
            assert_eq!(gauges(level), 0);
        }
    };
    check("as computed when it is read");
    refresh(env);
    check("as it is stored");
    send(&tidegate.client, &of(&mut (0..400).filter(|n| n % 3 == 1)));
    refresh(env);
    check("after late samples");
    Ok(())
}

fn a_series_is_in_the_catalog_at_once(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sql = env.sql();
    for n in 0..5 {
        let item = |m: usize| metric_with("web", &format!(r#""value":1,"dimensions":{{"shard":{}}}"#, n * 10 + m));
        tidegate.client.metrics(array((0..10).map(item))).accepted(10, 0);
        assert_eq!(sql.count("metric_series"), i64::try_from((n + 1) * 10).unwrap(), "committed together");
        let catalog = tidegate.client.get("/v1/metrics/catalog?limit=1000").expect(200);
        assert_eq!(catalog["data"].as_array().unwrap().len(), (n + 1) * 10);
    }
    // Known series cost nothing more, and what is no series is none.
    let again = metric_with("web", r#""value":2,"unit":"ms","dimensions":{ "shard" : 7 }"#);
    tidegate.client.metrics(array([again])).accepted(1, 0);
    assert_eq!(sql.count("metric_series"), 50);
    // A catalog that lost a row gets it again from the samples.
    sql.run("DELETE FROM metric_series WHERE dimensions = '{\"shard\": 7}'");
    sql.run(
        "INSERT INTO touched SELECT 'metrics', tenant_id, array_agg(DISTINCT floor(extract(epoch FROM timestamp) / 60)::int) \
         FROM metrics GROUP BY tenant_id",
    );
    until("the row is back", || {
        hurry(&sql);
        (sql.count("metric_series") == 50).then_some(())
    });
    let seen = "SELECT dimensions FROM metric_series WHERE first_seen > last_seen OR series_id <> metric_series_id(dimensions)";
    assert!(sql.column::<Value>(seen).is_empty());
    Ok(())
}

fn an_organization_has_so_many_series_and_no_more(env: &Env) -> TestResult {
    let mut tidegate = env.serve_with(&["limits.series_per_tenant=5"]);
    let other = tidegate.with(&env.key("other", "ingest"));
    let sql = env.sql();
    let item = |n: usize| metric_with("web", &format!(r#""value":{n},"dimensions":{{"shard":{n}}}"#));
    tidegate.client.metrics(array((0..3).map(item))).accepted(3, 0);
    // In the order in which they came; those that are there go on, with both of their samples.
    let items = [item(1), item(10), item(11), item(12), item(13), item(12), item(10)];
    let answer = tidegate.client.metrics(array(items)).accepted(4, 3);
    let errors = answer["errors"].as_array().unwrap();
    assert!(errors.iter().all(|error| error["code"] == "series_quota"), "{answer}");
    assert_eq!(errors.iter().map(|error| error["index"].as_u64().unwrap()).collect::<Vec<_>>(), [3, 4, 5]);
    assert!(errors[0]["message"].as_str().unwrap().contains("limits.series_per_tenant allows (5)"), "{answer}");
    assert_eq!((sql.count("metric_series"), sql.count("metrics")), (5, 7));
    let letters: Vec<String> = sql.column("SELECT concat_ws(' ', stage, code) FROM dead_letter_events");
    assert_eq!(letters, ["write series_quota"; 3]);
    tidegate.client.metrics(array([item(14)])).expect(422);
    other.metrics(array((0..5).map(item))).accepted(5, 0);
    other.metrics(array([item(5)])).expect(422);
    let noted = || -> Vec<String> { sql.column("SELECT concat_ws(' ', what, tenant_id) FROM over_quota ORDER BY 1") };
    until("it is noted", || (noted() == ["series default", "series other"]).then_some(()));
    // Which is said right after that.
    let said = || tidegate.log().matches("as many series as limits.series_per_tenant").count();
    until("it is said of both", || (said() >= 2).then_some(()));
    assert_eq!(said(), 2);
    let metrics = tidegate.client.get("/metrics");
    assert!(metrics.text().contains("tidegate_series_samples_refused_total 5"), "{}", metrics.text());
    let doctor = env.cli(&["doctor", "--json"]);
    assert!(doctor.stdout.contains("series of default ("), "{doctor:?}");
    // A process that knows nothing yet counts what is there; what has grown old makes room.
    tidegate.stop();
    let tidegate = env.serve_with(&["limits.series_per_tenant=5"]);
    tidegate.client.metrics(array([item(14), item(0)])).accepted(1, 1);
    until("they are counted", || {
        tidegate.client.get("/metrics").text().contains("tidegate_tenant_series{tenant=\"default\"} 5").then_some(())
    });
    drop(tidegate);
    // Nor does a job come upon its sample again.
    sql.run(
        "UPDATE metric_series SET last_seen = last_seen - INTERVAL '100 days' \
         WHERE tenant_id = 'default' AND dimensions = '{\"shard\": 2}'; \
         DELETE FROM touched; DELETE FROM touched_minutes; DELETE FROM touched_passes",
    );
    let tidegate = env.serve_with(&["limits.series_per_tenant=5"]);
    tidegate.client.metrics(array([item(14), item(0)])).accepted(2, 0);
    Ok(())
}
