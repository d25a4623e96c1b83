//! Samples and buckets from before there were series, brought up to date without losing one.

use crate::derived::hurry;
use crate::env::{Engine, Env, Test, TestResult, until};
use crate::rollups::{LEVELS, differences, fine_levels_kept, refresh};
use crate::{old, tests};

pub const TESTS: &[Test] =
    tests!(metrics_of_migration_19_get_their_series, a_database_without_metrics_is_brought_up_to_date);

/// The last version whose samples had no series.
const WITHOUT_SERIES: i32 = 19;

/// Eighteen days of samples of two organizations, with and without dimensions, in all forms; of counters too.
const SAMPLES: &str = "INSERT INTO metrics (batch_id, batch_seq, timestamp, created_at, tenant_id, asset_id, metric_type, metric_name, \
         value_count, value_sum, dimensions) \
     SELECT 1, n, now() - n * INTERVAL '29 minutes', now(), CASE WHEN n % 3 = 0 THEN 'short' ELSE 'default' END, 'asset-' || n % 2, \
         CASE WHEN n % 2 = 0 THEN 'gauge' ELSE 'counter' END, 'load', 1, n % 100, \
         CASE n % 5 WHEN 0 THEN NULL WHEN 1 THEN '{}'::jsonb \
             ELSE jsonb_build_object('region', CASE WHEN n % 5 < 4 THEN 'eu' ELSE 'us' END, 'n', 1.0) END \
     FROM generate_series(0, 893) n; \
     INSERT INTO metrics (batch_id, batch_seq, timestamp, created_at, tenant_id, asset_id, metric_type, metric_name, \
         value_count, value_sum, value_min, value_max, value_sumsq, dimensions) \
     SELECT 2, n, now() - n * INTERVAL '5 hours', now(), 'default', 'sums', 'gauge', 'load', 10, 450, 0, 90, \
         CASE WHEN n % 2 = 0 THEN 28500 END, '{\"host\": \"a\", \"extra\": {\"unit\": \"ms\"}}' FROM generate_series(0, 86) n; \
     INSERT INTO metric_catalog SELECT tenant_id, asset_id, metric_type, metric_name, min(timestamp), max(timestamp) \
     FROM metrics GROUP BY 1, 2, 3, 4";

/// Days back since when raw rows are there, of everybody and of the organization that keeps them shorter.
const WHOLE_DAYS: (i64, i64) = (14, 6);

/// Stores buckets of everything that is older than a day, then lets raw rows expire.
fn close_and_expire(env: &Env) {
    let sql = env.sql();
    let (all, short) = WHOLE_DAYS;
    let today: String = sql.one("SELECT quote_literal(date_trunc('day', now(), 'UTC')) || '::timestamptz'");
    for (level, width) in LEVELS.iter() {
        match env.engine {
            Engine::Timescale => {
                // Part by part: what one costs grows with its chunks, and no statement may run for as long as it likes.
                let mut from = "NULL".to_owned();
                for days in [14, 10, 6, 3, 1] {
                    let to = format!("{today} - INTERVAL '{days} days'");
                    sql.run(&format!("CALL refresh_continuous_aggregate('{level}', {from}, {to})"));
                    from = to;
                }
            }
            Engine::Postgres => sql.run(&format!(
                "CREATE TABLE {level}_all PARTITION OF {level}_closed FOR VALUES FROM ('2000-01-01') TO ('2100-01-01');
                 UPDATE rollup_levels SET closed_until = date_trunc('day', now(), 'UTC') - INTERVAL '1 day',
                     noted_before = date_trunc('day', now(), 'UTC') - INTERVAL '1 day' WHERE level = '{level}';
                 INSERT INTO {level}_closed
                 SELECT * FROM metrics_rollup(make_interval(secs => {width}), '-infinity', date_trunc('day', now(), 'UTC') - INTERVAL '1 day')"
            )),
        }
    }
    sql.run(&format!(
        "INSERT INTO organizations (tenant_id, name, metrics_retention_days) VALUES ('short', 'short', {short});
         INSERT INTO rollup_floors VALUES ('metrics', '', now() - INTERVAL '{all} days'), ('metrics', 'short', now() - INTERVAL '{short} days');
         DELETE FROM metrics WHERE timestamp < now() - INTERVAL '{all} days';
         DELETE FROM metrics WHERE tenant_id = 'short' AND timestamp < now() - INTERVAL '{short} days'"
    ));
    if env.engine == Engine::Timescale {
        sql.run("SELECT public.compress_chunk(c) FROM public.show_chunks('tidegate.metrics', older_than => INTERVAL '3 days') c");
        // And rows beside what is compressed.
        sql.run(
            "INSERT INTO metrics (batch_id, batch_seq, timestamp, created_at, tenant_id, asset_id, metric_type, metric_name, value_count, \
             value_sum, dimensions) SELECT 3, n, now() - INTERVAL '5 days' + n * INTERVAL '1 second', now(), 'default', 'late', 'gauge', 'load', 1, n, \
             '{\"region\": \"eu\"}' FROM generate_series(1, 20) n",
        );
        // They are late, and in the buckets before anything is brought up to date.
        for (level, _) in LEVELS.iter() {
            sql.run(&format!(
                "CALL refresh_continuous_aggregate('{level}', {today} - INTERVAL '5 days', {today} - INTERVAL '1 day')"
            ));
        }
    }
}

fn metrics_of_migration_19_get_their_series(env: &Env) -> TestResult {
    env.begin_empty();
    let sql = env.sql();
    old::install(&sql, env.engine, WITHOUT_SERIES);
    if env.engine == Engine::Postgres {
        sql.run(
            "DO $partitions$ DECLARE day timestamptz; BEGIN
                -- Tomorrow's too: midnight may come before the rows.
                FOR day IN SELECT date_trunc('day', now(), 'UTC') - n * INTERVAL '1 day' FROM generate_series(-1, 31) n LOOP
                    EXECUTE format('CREATE TABLE tidegate.metrics_p%s PARTITION OF tidegate.metrics FOR VALUES FROM (%L) TO (%L)',
                        to_char(day AT TIME ZONE 'UTC', 'YYYYMMDD_HH24MISS'), day, day + INTERVAL '1 day');
                END LOOP;
             END $partitions$",
        );
    }
    sql.run(SAMPLES);
    close_and_expire(env);
    let samples = "SELECT count(*) || ' ' || md5(string_agg(concat_ws('|', timestamp, tenant_id, asset_id, metric_type, value_count, value_sum, \
                   value_min, dimensions), ',' ORDER BY timestamp, asset_id, batch_seq)) FROM metrics";
    let before: String = sql.one(samples);
    let of_level = |level: &str| {
        format!(
            "SELECT bucket, tenant_id, asset_id, metric_type, metric_name, sum(count) AS count, round(sum(sum_value)::numeric, 6) AS sum_value, \
             min(min_value) AS min_value, max(max_value) AS max_value FROM {level} GROUP BY 1, 2, 3, 4, 5"
        )
    };
    for (level, _) in LEVELS.iter() {
        sql.run(&format!("CREATE TABLE before_{level} AS {}", of_level(level)));
        assert!(sql.count(&format!("before_{level}")) > 20, "{level}");
    }

    let migrated = env.cli(&["migrate", "--json"]);
    assert_eq!(migrated.json()["applied"][0], WITHOUT_SERIES + 1, "{migrated:?}");
    let nothing_lost = |when: &str| {
        for (level, _) in LEVELS.iter() {
            let changed = format!(
                "SELECT count(*) FROM (({} EXCEPT SELECT * FROM before_{level}) UNION ALL (SELECT * FROM before_{level} EXCEPT {})) d",
                of_level(level),
                of_level(level)
            );
            assert_eq!(sql.one::<i64>(&changed), 0, "{level} {when}");
        }
    };
    nothing_lost("as migrated, before anything ran");
    assert_eq!(env.cli(&["migrate", "--json"]).json()["applied"], serde_json::json!([]));

    let tidegate = env.serve_with(&fine_levels_kept("80d"));
    until("all samples have their series", || (sql.count("series_pending") == 0).then_some(()));
    refresh(env);
    let waiting = "SELECT (SELECT count(*) FROM touched) + (SELECT count(*) FROM rollup_dirty)";
    until("nothing waits", || (sql.one::<i64>(waiting) == 0).then_some(()));
    assert_eq!(sql.one::<String>(samples), before, "every sample is there, and as it was");
    nothing_lost("once all is done");
    assert_eq!(
        sql.one::<i64>(
            "SELECT count(*) FROM metrics WHERE series_id <> metric_series_id(dimensions) OR value_sumsq IS NOT NULL"
        ),
        0
    );
    assert_eq!(
        sql.column::<String>(
            "SELECT DISTINCT coalesce(value_m2::text, '-') FROM metrics WHERE value_min IS NOT NULL ORDER BY 1"
        ),
        ["-", "8250"]
    );
    let (all, short) = WHOLE_DAYS;
    for (level, width) in LEVELS.iter().copied() {
        // Where rows are whole buckets are of series; where they are gone what is known stays.
        let whole = format!(
            "asset_id <> 'sums' AND bucket > now() - make_interval(days => CASE WHEN tenant_id = 'short' THEN {short} ELSE {all} END) \
             + make_interval(secs => {width})"
        );
        until(&format!("{level} is right"), || (differences(&sql, level, width, &whole) == 0).then_some(()));
        let apart: i64 = sql.one(&format!("SELECT count(DISTINCT series_id) FROM {level} WHERE {whole}"));
        assert_eq!(apart, if env.engine == Engine::Timescale { 4 } else { 3 }, "{level}");
        let old: Vec<uuid::Uuid> = sql.column(&format!(
            "SELECT DISTINCT series_id FROM {level} WHERE bucket < now() - INTERVAL '{all} days' - make_interval(secs => {width})"
        ));
        assert_eq!(old, [uuid::Uuid::nil()], "{level}");
        let counters =
            format!("SELECT bool_and(increase IS NOT NULL) FROM {level} WHERE metric_type = 'counter' AND {whole}");
        assert!(sql.one::<bool>(&counters), "{level}");
    }
    let missing = "SELECT count(*) FROM (SELECT DISTINCT tenant_id, asset_id, metric_type, metric_name, series_id, metric_dimensions(dimensions) AS dimensions \
                   FROM metrics EXCEPT SELECT tenant_id, asset_id, metric_type, metric_name, series_id, dimensions FROM metric_series) m";
    assert_eq!(sql.one::<i64>(missing), 0);
    // An older process that runs on writes without series.
    sql.run(
        "INSERT INTO metrics (batch_id, batch_seq, timestamp, created_at, tenant_id, asset_id, metric_type, metric_name, value_count, \
         value_sum, dimensions) SELECT 9, n, now() - INTERVAL '26 hours', now(), 'default', 'stray', 'gauge', 'load', 1, n, \
         jsonb_build_object('region', n) FROM generate_series(1, 3) n;
         INSERT INTO touched VALUES ('metrics', 'default', ARRAY[floor(extract(epoch FROM now() - INTERVAL '26 hours') / 60)::int])",
    );
    let series_of = |relation: &str| -> i64 {
        sql.one(&format!("SELECT count(DISTINCT series_id) FROM {relation} WHERE asset_id = 'stray'"))
    };
    until("strays have their series", || {
        hurry(&sql);
        (series_of("metrics") == 3).then_some(())
    });
    refresh(env);
    until("the hours have them, too", || (series_of("metrics_hourly") == 3).then_some(()));
    let strays = "SELECT count(*) FROM metrics m JOIN metric_series s USING (tenant_id, asset_id, metric_type, metric_name, series_id) \
                  WHERE m.asset_id = 'stray' AND m.series_id = metric_series_id(m.dimensions) AND s.dimensions = m.dimensions";
    until("they are in the catalog", || (sql.one::<i64>(strays) == 3).then_some(()));
    let reader = tidegate.with(&env.key("default", "read"));
    let read =
        reader.get("/v1/metrics?asset_id=asset-0&metric_name=load&resolution=1h&from=-4d&limit=1000").expect(200);
    let regions: std::collections::BTreeSet<String> =
        read["data"].as_array().unwrap().iter().map(|point| point["dimensions"]["region"].to_string()).collect();
    assert_eq!(regions.into_iter().collect::<Vec<_>>(), ["\"eu\"", "\"us\"", "null"]);
    Ok(())
}

fn a_database_without_metrics_is_brought_up_to_date(env: &Env) -> TestResult {
    env.begin_empty();
    let sql = env.sql();
    old::install(&sql, env.engine, WITHOUT_SERIES);
    let tidegate = env.serve();
    tidegate.client.metrics(crate::samples::metric(1)).accepted(1, 0);
    for (level, _) in LEVELS.iter() {
        assert_eq!(sql.count(level), 1, "{level}");
    }
    Ok(())
}
