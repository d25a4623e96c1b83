//! The rollups of both engines: right at every moment, whatever comes late, goes, or is switched off.

use std::fmt::Write as _;
use std::sync::LazyLock;

use tidegate::model::{Keep, Level};
use tidegate::storage::embedded::READER;

use crate::client::Client;
use crate::env::{Engine, Env, Test, TestResult, until};
use crate::postgres::Sql;
use crate::samples::{array, event_with, seconds_from_now};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    an_open_bucket_is_seen_at_once,
    summaries_count_with_their_weight,
    extremes_stop_nobody,
    a_level_is_switched_off_and_on,
    late_rows_of_events,
    a_daily_bucket_at_the_bound,
    the_lag_is_told,
    the_seeds_query_of_metrics,
);

/// Settings by which the levels that soon expire are kept for so long.
pub fn fine_levels_kept(age: &str) -> Vec<&'static str> {
    let key = |level: &Level| match level.keep {
        Keep::Configured { key, .. } if level.optional => Some(&*format!("{key}={age}").leak()),
        Keep::Configured { .. } | Keep::Fixed(_) => None,
    };
    Level::of_metrics().filter_map(key).collect()
}

/// The levels of metrics and the width of a bucket in seconds.
pub static LEVELS: LazyLock<Vec<(&str, i64)>> =
    LazyLock::new(|| Level::of_metrics().map(|level| (level.name, level.width_us() / 1_000_000)).collect());
pub const HOUR: i64 = 3600;
pub const DAY: i64 = 86_400;

/// A raw sample, so many seconds from now.
pub fn sample(seconds: i64, asset: &str, value: f64) -> String {
    let at = seconds_from_now(seconds);
    format!(
        r#"{{"timestamp":"{at}","asset_id":"{asset}","metric_type":"gauge","metric_name":"latency","value":{value:?}}}"#
    )
}

/// Sends metrics; all must be accepted.
pub fn send(client: &Client, items: &[String]) {
    let answer = client.post("/v1/metrics", &[("content-type", "application/json")], array(items));
    answer.accepted(items.len() as u64, 0);
}

/// How many buckets of a level differ from what is computed from the rows here and now: missing, left over, or with another
/// number. Raw samples only; a statement of its own, which shares nothing with the ones that make the buckets.
pub fn differences(sql: &Sql, level: &str, width: i64, condition: &str) -> i64 {
    let same = |column: &str| {
        format!("abs(f.{column} - w.{column}) <= 1e-9 * greatest(abs(f.{column}), abs(w.{column}), 1e-300)")
    };
    let mut exact = String::new();
    for column in ["count", "min_value", "max_value", "p50_value", "p95_value", "p99_value", "summarized_count"] {
        write!(exact, "f.{column} IS DISTINCT FROM w.{column} OR ").unwrap();
    }
    sql.one(&format!(
        "WITH raw AS ( \
             SELECT to_timestamp(floor(extract(epoch FROM timestamp) / {width}) * {width}) AS bucket, tenant_id, asset_id, \
                    metric_type, metric_name, series_id, value_sum AS v FROM metrics \
         ), mean AS ( \
             SELECT bucket, tenant_id, asset_id, metric_type, metric_name, series_id, avg(v) AS mean FROM raw GROUP BY 1, 2, 3, 4, 5, 6 \
         ), wanted AS ( \
             SELECT bucket, tenant_id, asset_id, metric_type, metric_name, series_id, count(*) AS count, sum(v) AS sum_value, \
                    sum(v) / count(*) AS avg_value, min(v) AS min_value, max(v) AS max_value, \
                    CASE WHEN count(*) > 1 THEN sqrt(sum((v - mean) * (v - mean)) / (count(*) - 1)) END AS stddev_value, \
                    percentile_disc(0.5) WITHIN GROUP (ORDER BY v) AS p50_value, \
                    percentile_disc(0.95) WITHIN GROUP (ORDER BY v) AS p95_value, \
                    percentile_disc(0.99) WITHIN GROUP (ORDER BY v) AS p99_value, 0::bigint AS summarized_count \
             FROM raw JOIN mean USING (bucket, tenant_id, asset_id, metric_type, metric_name, series_id) GROUP BY 1, 2, 3, 4, 5, 6 \
         ) \
         SELECT count(*) FROM (SELECT * FROM wanted WHERE {condition}) w \
         FULL JOIN (SELECT * FROM {level} WHERE {condition}) f USING (bucket, tenant_id, asset_id, metric_type, metric_name, series_id) \
         WHERE {exact} f.bucket IS NULL OR w.bucket IS NULL OR NOT ({sum} AND {avg}) \
            OR (f.stddev_value IS NULL) <> (w.stddev_value IS NULL) \
            OR abs(f.stddev_value - w.stddev_value) > 1e-9 * greatest(abs(w.stddev_value), abs(f.avg_value))",
        sum = same("sum_value"),
        avg = same("avg_value"),
    ))
}

/// Waits until every level says what the rows say.
pub fn right(env: &Env) {
    let sql = env.sql();
    for (level, width) in LEVELS.iter().copied() {
        until(&format!("{level} is right"), || (differences(&sql, level, width, "true") == 0).then_some(()));
    }
}

/// Refreshes every continuous aggregate now (timescale engine); on the postgres engine the job does it all the time.
pub fn refresh(env: &Env) {
    if env.engine == Engine::Timescale {
        let sql = env.sql();
        let jobs = until("there are refresh policies", || {
            let jobs = policies(&sql);
            (!jobs.is_empty()).then_some(jobs)
        });
        for (_, job) in jobs {
            // Not while Tidegate refreshes the same one.
            until("a refresh", || {
                let ran = sql.try_run(&format!("CALL run_job({job})"));
                assert!(matches!(ran.as_ref().map_err(String::as_str), Ok(()) | Err("55P03")), "{ran:?}");
                ran.ok()
            });
        }
    }
}

/// Levels and jobs of the refresh policies.
pub fn policies(sql: &Sql) -> Vec<(String, i32)> {
    let rows = sql.rows(
        "SELECT hypertable_name::text, job_id FROM timescaledb_information.jobs \
         WHERE proc_name = 'policy_refresh_continuous_aggregate' AND hypertable_schema = 'tidegate' ORDER BY 1",
        &[],
    );
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn an_open_bucket_is_seen_at_once(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sql = env.sql();
    for (n, count) in [(0, 1), (1, 2)] {
        send(&tidegate.client, &[sample(0, "a", f64::from(n))]);
        for (level, width) in LEVELS.iter().copied() {
            let sum: i64 = sql.one(&format!("SELECT sum(count)::bigint FROM {level}"));
            assert_eq!((sum, differences(&sql, level, width, "true")), (count, 0), "{level}");
        }
    }
    tidegate.client.events(event_with(1, r#""correlation_id":"11111111-1111-1111-1111-111111111111""#)).accepted(1, 0);
    assert_eq!(sql.one::<i64>("SELECT sum(count)::bigint FROM event_counts_hourly"), 1);
    assert_eq!(sql.one::<i64>("SELECT sum(count)::bigint FROM correlation_groups"), 1);
    Ok(())
}

fn summaries_count_with_their_weight(env: &Env) -> TestResult {
    let tidegate = env.serve();
    // Yesterday at noon, so that one bucket of each level has them all, and is closed.
    let noon = (jiff::Timestamp::now().as_second() / DAY - 1) * DAY + DAY / 2;
    let at = jiff::Timestamp::from_second(noon)?;
    let item = |asset: &str, values: &str| {
        format!(r#"{{"timestamp":"{at}","asset_id":"{asset}","metric_type":"gauge","metric_name":"latency",{values}}}"#)
    };
    let raw = |asset: &str, value: i32| item(asset, &format!(r#""value":{value}"#));
    send(
        &tidegate.client,
        &[
            raw("known", 10),
            raw("known", 20),
            // 30, 30, 60: squares 900 + 900 + 3600.
            item("known", r#""count":3,"sum":120,"min":30,"max":60,"sumsq":5400"#),
            raw("unknown", 10),
            item("unknown", r#""count":3,"sum":120,"min":30,"max":60"#),
            item("alone", r#""count":4,"sum":-8,"min":-5,"max":1,"sumsq":40"#),
            raw("single", 0),
        ],
    );
    refresh(env);
    let sql = env.sql();
    // 10, 20, 30, 30, 60: mean 30, deviations 400 + 100 + 0 + 0 + 900 over 4; -8 in 4: 40 - 64 / 4 over 3.
    let expected = [
        "alone 4 -8 -2 -5 1 2.828427 - - - 4",
        "known 5 150 30 10 60 18.708287 10 20 20 3",
        "single 1 0 0 0 0 - 0 0 0 0",
        "unknown 4 130 32.5 10 60 - 10 10 10 3",
    ];
    for (level, _) in LEVELS.iter() {
        let found = || -> Vec<String> {
            sql.column(&format!(
                "SELECT concat_ws(' ', asset_id, count, sum_value, avg_value, min_value, max_value, \
                 coalesce(round(stddev_value::numeric, 6)::text, '-'), coalesce(p50_value::text, '-'), \
                 coalesce(p95_value::text, '-'), coalesce(p99_value::text, '-'), summarized_count) \
                 FROM {level} ORDER BY asset_id"
            ))
        };
        until(level, || (found().len() == 4).then_some(()));
        assert_eq!(found(), expected, "{level}");
    }
    Ok(())
}

/// Whatever is accepted can be added up, squared and divided, so that no tenant's numbers fail the buckets of all.
fn extremes_stop_nobody(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let other = tidegate.with(&env.key("other", "ingest"));
    let at = seconds_from_now(-3 * HOUR);
    let item = |asset: &str, numbers: &str| {
        format!(r#"{{"timestamp":"{at}","asset_id":"{asset}","metric_name":"latency",{numbers}}}"#)
    };
    let many = r#""count":9007199254740992,"sum":0,"min":0,"max":0,"sumsq":0"#;
    let mut items = vec![
        item("tiny", r#""value":1e-100"#),
        item("tiny", r#""value":-1.0000000000000002e-100"#),
        item("tiny", many),
        item("huge", r#""value":1e140"#),
        item("huge", r#""value":-1e140"#),
        item("huge", r#""count":2,"sum":0,"min":-1e140,"max":1e140,"sumsq":1e280"#),
    ];
    // More than a bigint counts.
    items.extend((0..1100).map(|_| item("many", many)));
    send(&tidegate.client, &items);
    send(&other, &[sample(-3 * HOUR, "a", 2.0)]);
    refresh(env);
    let sql = env.sql();
    // At one moment: what leaves the one goes into the other.
    let waiting = "SELECT (SELECT count(*) FROM touched) + (SELECT count(*) FROM rollup_dirty)";
    until("nothing waits", || (sql.one::<i64>(waiting) == 0).then_some(()));
    for (level, _) in LEVELS.iter() {
        let count = |asset: &str| -> i64 { sql.one(&format!("SELECT count FROM {level} WHERE asset_id = '{asset}'")) };
        assert_eq!(["a", "huge", "tiny", "many"].map(count), [1, 4, (1 << 53) + 2, i64::MAX], "{level}");
        let finite = format!(
            "SELECT bool_and(isfinite(stddev_value) AND isfinite(avg_value)) FROM {level} WHERE asset_id <> 'a'"
        );
        assert!(sql.one::<bool>(&finite.replace("isfinite(", "'infinity' <> abs(")), "{level}");
    }
    Ok(())
}

fn a_level_is_switched_off_and_on(env: &Env) -> TestResult {
    let samples = |seconds: i64, value: f64| vec![sample(seconds, "a", value), sample(seconds - 70, "b", value + 0.5)];
    let tidegate = env.serve();
    send(&tidegate.client, &samples(-3 * HOUR, 1.0));
    refresh(env);
    right(env);
    drop(tidegate);

    let sql = env.sql();
    let tidegate = env.serve_with(&["rollups.levels=1h,1d"]);
    if env.engine == Engine::Timescale {
        until("two policies are gone", || (policies(&sql).len() == tidegate::model::LEVELS.len() - 2).then_some(()));
    }
    // Late in what was closed while it was on, and new.
    send(&tidegate.client, &samples(-3 * HOUR, 2.0));
    send(&tidegate.client, &samples(-2 * HOUR, 3.0));
    send(&tidegate.client, &samples(0, 4.0));
    refresh(env);
    right(env);
    let closed_until = || -> jiff::Timestamp {
        sql.one(
            "SELECT coalesce(nullif(closed_until, '-infinity'), 'epoch') FROM rollup_levels WHERE level = 'metrics_1m'",
        )
    };
    drop(tidegate);
    if env.engine == Engine::Postgres {
        // As if it had been off for ten minutes: the next minute to be closed may be a minute away.
        sql.run(
            "BEGIN; UPDATE rollup_levels SET closed_until = closed_until - INTERVAL '10 minutes', \
             noted_before = noted_before - INTERVAL '10 minutes' WHERE level = 'metrics_1m'; \
             DELETE FROM metrics_1m_closed WHERE bucket >= (SELECT closed_until FROM rollup_levels WHERE level = 'metrics_1m'); \
             COMMIT",
        );
    }
    let before = closed_until();

    let tidegate = env.serve();
    if env.engine == Engine::Timescale {
        until("all policies are back", || (policies(&sql).len() == tidegate::model::LEVELS.len()).then_some(()));
        // On its own schedule it may not run for a minute, so it is run here; Tidegate records the progress either way.
        refresh(env);
    }
    until("it is closed further", || (closed_until() > before).then_some(()));
    send(&tidegate.client, &samples(-2 * HOUR, 5.0));
    refresh(env);
    right(env);
    Ok(())
}

fn late_rows_of_events(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let event = |n: usize, at: i64, severity: &str| {
        let at = seconds_from_now(at);
        let correlation = format!("11111111-1111-1111-1111-11111111111{}", n % 3);
        event_with(n, &format!(r#""timestamp":"{at}","severity":"{severity}","correlation_id":"{correlation}""#))
    };
    let sql = env.sql();
    let right = || {
        let counts = "SELECT count(*) FROM (SELECT date_trunc('hour', timestamp) AS bucket, tenant_id, source_module, event_type, \
                      severity, count(*) AS count FROM events GROUP BY 1, 2, 3, 4, 5) w \
                      FULL JOIN event_counts_hourly f USING (bucket, tenant_id, source_module, event_type, severity, count) \
                      WHERE w.bucket IS NULL OR f.bucket IS NULL";
        let groups = "SELECT count(*) FROM (SELECT date_trunc('hour', timestamp) AS bucket, tenant_id, correlation_id, \
                      count(*) AS count, min(timestamp) AS first_at, max(timestamp) AS last_at FROM events GROUP BY 1, 2, 3) w \
                      FULL JOIN correlation_groups f USING (bucket, tenant_id, correlation_id, count, first_at, last_at) \
                      WHERE w.bucket IS NULL OR f.bucket IS NULL";
        (sql.one::<i64>(counts), sql.one::<i64>(groups)) == (0, 0)
    };
    for round in 0..3 {
        let items = (0..60)
            .map(|n| event(n + round, -((i64::try_from(n).unwrap() * 3571) % (3 * DAY)), ["info", "error"][n % 2]));
        tidegate.client.events(array(items)).accepted(60, 0);
        refresh(env);
        until("the counts are right", || right().then_some(()));
    }
    Ok(())
}

fn a_daily_bucket_at_the_bound(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&fine_levels_kept("100d"));
    send(&tidegate.client, &[sample(-20 * DAY, "a", 1.0)]);
    refresh(env);
    right(env);
    send(&tidegate.client, &[sample(-89 * DAY + 30, "a", 2.0)]);
    // Nobody asks for a refresh: it comes by itself in time.
    right(env);
    send(&tidegate.client, &[sample(-89 * DAY + 60, "a", 3.0), sample(-20 * DAY, "a", 2.0)]);
    refresh(env);
    right(env);
    Ok(())
}

fn the_lag_is_told(env: &Env) -> TestResult {
    let tidegate = env.serve();
    send(&tidegate.client, &[sample(0, "a", 1.0)]);
    for (level, width) in LEVELS.iter().copied() {
        let name = format!("tidegate_rollup_lag_seconds{{level=\"{level}\"}}");
        until(&name, || {
            let lag = crate::books::Books::of(&tidegate.client).get(&name);
            #[expect(clippy::cast_precision_loss, reason = "some days in seconds")]
            let most = 2.0 * width as f64;
            (lag > 0.0 && lag < most).then_some(())
        });
    }
    Ok(())
}

fn the_seeds_query_of_metrics(env: &Env) -> TestResult {
    // What expires soon is not part of what is asked here.
    let tidegate = env.serve_with(&fine_levels_kept("10d"));
    // One a bucket, whatever the clock does meanwhile.
    let this_hour = jiff::Timestamp::now().as_second() / HOUR * HOUR;
    let items: Vec<String> = (0..8 * 24)
        .map(|hour| {
            let at = jiff::Timestamp::from_second(this_hour - i64::from(hour) * HOUR).unwrap();
            let value = 100.0 + f64::from(hour);
            format!(r#"{{"timestamp":"{at}","asset_id":"gpt-4","metric_type":"gauge","metric_name":"latency","value":{value:?}}}"#)
        })
        .collect();
    send(&tidegate.client, &items);
    send(&tidegate.client, &[sample(-HOUR, "gpt-5", 1.0)]);
    refresh(env);
    right(env);
    let reader = env.sql_as(READER);
    let rows = reader.rows(
        "SELECT bucket, avg_value, p95_value, p99_value FROM metrics_hourly WHERE asset_id = 'gpt-4' \
         AND metric_name = 'latency' AND bucket >= NOW() - INTERVAL '7 days' ORDER BY bucket DESC",
        &[],
    );
    let found: Vec<f64> = rows.iter().map(|row| row.get("avg_value")).collect();
    let expected: Vec<f64> = (0..rows.len()).map(|hour| 100.0 + f64::from(u32::try_from(hour).unwrap())).collect();
    assert!((167..=169).contains(&rows.len()), "{}", rows.len());
    assert_eq!(found, expected);
    Ok(())
}
