//! Rollups outlive the rows that they were made of, and a node that dies meanwhile.

use crate::env::{Engine, Env, Test, TestResult, until};
use crate::postgres::{SUPERUSER, Sql};
use crate::refresh::make_room;
use crate::rollups::{DAY, HOUR, LEVELS, differences, fine_levels_kept, policies, refresh, right, sample, send};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    buckets_outlive_their_rows,
    an_organization_that_keeps_its_rows_shorter,
    an_outage_longer_than_the_shortest_retention,
    two_nodes_at_once,
    killed_while_buckets_are_made,
);

pub const POLICIES: &[Test] = tests!(timescale: policies_follow_the_configuration);

/// So that no level expires in a test about raw rows.
fn rollups_kept() -> Vec<&'static str> {
    fine_levels_kept("200d")
}

/// All of a level's rows under a condition, as text.
fn rows(sql: &Sql, level: &str, condition: &str) -> Vec<String> {
    sql.column(&format!("SELECT {level}::text FROM {level} WHERE {condition} ORDER BY 1"))
}

/// The raw rows before a time are gone as the lifecycle job removes them: chunk by chunk, partition by partition.
fn drop_raw(env: &Env, days: i64) {
    let sql = env.sql();
    let gone = || {
        match env.engine {
            Engine::Timescale => {
                // Tidegate may be at it as well.
                let _ = sql
                    .try_run(&format!("SELECT drop_chunks('metrics', older_than => now() - INTERVAL '{days} days')"));
            }
            Engine::Postgres => {
                let partitions: Vec<String> = sql.column(&format!(
                    "SELECT c.oid::regclass::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
                     WHERE i.inhparent = 'metrics'::regclass \
                     AND substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \\(''([^'']+)''')::timestamptz \
                         <= now() - INTERVAL '{days} days'"
                ));
                for partition in partitions {
                    let _ = sql.try_run(&format!("DROP TABLE IF EXISTS {partition}"));
                }
            }
        }
        let left: i64 =
            sql.one(&format!("SELECT count(*) FROM metrics WHERE timestamp < now() - INTERVAL '{} days'", days + 2));
        (left == 0).then_some(())
    };
    until("the raw rows are gone", gone);
}

fn floor_reached(sql: &Sql, tenant: &str, days: i64) {
    let there = format!(
        "SELECT EXISTS (SELECT FROM rollup_floors WHERE source = 'metrics' AND tenant_id = '{tenant}' \
         AND floor > now() - INTERVAL '{days} days 1 hour')"
    );
    until("the floor", || sql.one::<bool>(&there).then_some(()));
}

/// Waits until every level has buckets that are closed: what comes then and belongs into one of them is late.
fn begun(sql: &Sql) {
    let begun = "SELECT bool_and(isfinite(closed_until)) FROM rollup_levels";
    until("every level has begun", || sql.one::<bool>(begun).then_some(()));
}

fn buckets_outlive_their_rows(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&rollups_kept());
    // Two days of which one goes and the other stays, and the hours on both sides.
    let items: Vec<String> = [-30 * DAY, -30 * DAY - 70, -29 * DAY, -9 * DAY, -8 * DAY + HOUR, -3 * DAY]
        .iter()
        .flat_map(|at| [sample(*at, "a", 1.0), sample(*at + 1, "a", 5.0), sample(*at, "b", -2.0)])
        .collect();
    send(&tidegate.client, &items);
    refresh(env);
    right(env);
    let sql = env.sql();
    let old = "bucket < now() - INTERVAL '13 days'";
    let before = LEVELS.iter().map(|(level, _)| rows(&sql, level, old)).collect::<Vec<_>>();
    assert!(before.iter().all(|rows| rows.len() >= 4), "{before:?}");
    drop(tidegate);

    let tidegate = env.serve_with(&[&rollups_kept()[..], &["retention.metrics=10d"]].concat());
    floor_reached(&sql, "", 10);
    drop_raw(env, 10);
    // Late at the bound of what is accepted now, next to what is gone, and later ones.
    let late = [sample(-9 * DAY + 60, "a", 7.0), sample(-8 * DAY, "a", 7.0), sample(-3 * DAY, "b", 7.0)];
    send(&tidegate.client, &late);
    refresh(env);
    let recent = "bucket > now() - INTERVAL '10 days'";
    let outlived = || LEVELS.iter().map(|(level, _)| rows(&sql, level, old)).collect::<Vec<_>>() == before;
    for (level, width) in LEVELS.iter().copied() {
        until(level, || (differences(&sql, level, width, recent) == 0).then_some(()));
    }
    assert!(outlived());
    drop(tidegate);

    // Retention is made longer again: the rows do not come back, and what is late there changes no bucket that was whole.
    let tidegate = env.serve_with(&rollups_kept());
    send(&tidegate.client, &[sample(-30 * DAY, "a", 100.0), sample(-3 * DAY, "a", 8.0)]);
    refresh(env);
    for (level, width) in LEVELS.iter().copied() {
        until(level, || (differences(&sql, level, width, recent) == 0).then_some(()));
        until("nothing waits", || (sql.count("touched") == 0 && sql.count("rollup_dirty") == 0).then_some(()));
    }
    refresh(env);
    assert!(outlived());
    Ok(())
}

fn an_organization_that_keeps_its_rows_shorter(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&rollups_kept());
    let short = tidegate.with(&env.key("short", "ingest"));
    let long = tidegate.with(&env.key("long", "ingest"));
    for client in [&short, &long] {
        send(client, &[sample(-20 * DAY, "a", 1.0), sample(-20 * DAY, "a", 3.0), sample(-2 * DAY, "a", 2.0)]);
    }
    refresh(env);
    right(env);
    let sql = env.sql();
    let old = "tenant_id = 'short' AND bucket < now() - INTERVAL '15 days'";
    let before = LEVELS.iter().map(|(level, _)| rows(&sql, level, old)).collect::<Vec<_>>();
    assert!(before.iter().all(|rows| !rows.is_empty()), "{before:?}");

    sql.run("UPDATE organizations SET metrics_retention_days = 7 WHERE tenant_id = 'short'");
    floor_reached(&sql, "short", 7);
    if env.engine == Engine::Timescale {
        let days: f64 = sql.one(
            "SELECT max(extract(epoch FROM (config->>'start_offset')::interval))::float8 / 86400 \
             FROM timescaledb_information.jobs WHERE hypertable_name LIKE 'metrics%' AND config ? 'start_offset'",
        );
        assert!(days < 7.1, "no refresh of everybody looks further back than {days} days");
    }
    sql.run("DELETE FROM metrics WHERE tenant_id = 'short' AND timestamp < now() - INTERVAL '8 days'");
    // Late rows of the other one in the same buckets, and of itself where its own are gone.
    send(&long, &[sample(-20 * DAY, "a", 100.0), sample(-20 * DAY, "b", 9.0)]);
    send(&short, &[sample(-2 * DAY, "a", 4.0)]);
    // It would be refused by now; this one was under way when its organization's retention became shorter.
    sql.run(
        "INSERT INTO metrics (batch_id, batch_seq, timestamp, created_at, tenant_id, asset_id, metric_type, metric_name, \
         value_count, value_sum) VALUES (0, 0, now() - INTERVAL '20 days', now(), 'short', 'a', 'gauge', 'latency', 1, 50)",
    );
    sql.run(
        "INSERT INTO touched (kind, tenant_id, minutes) \
         VALUES ('metrics', 'short', ARRAY[extract(epoch FROM now() - INTERVAL '20 days')::int / 60])",
    );
    refresh(env);
    let whole = "(tenant_id = 'long' OR bucket > now() - INTERVAL '5 days')";
    for (level, width) in LEVELS.iter().copied() {
        until(level, || (differences(&sql, level, width, whole) == 0).then_some(()));
    }
    until("nothing waits", || (sql.count("touched") == 0 && sql.count("rollup_dirty") == 0).then_some(()));
    assert_eq!(LEVELS.iter().map(|(level, _)| rows(&sql, level, old)).collect::<Vec<_>>(), before);

    // It keeps them as long as the others again; what is gone stays gone, and its buckets stay.
    sql.run("UPDATE organizations SET metrics_retention_days = NULL WHERE tenant_id = 'short'");
    send(&long, &[sample(-20 * DAY, "a", 101.0)]);
    drop(tidegate);
    let _tidegate = env.serve_with(&rollups_kept());
    refresh(env);
    for (level, width) in LEVELS.iter().copied() {
        until(level, || (differences(&sql, level, width, whole) == 0).then_some(()));
    }
    assert_eq!(LEVELS.iter().map(|(level, _)| rows(&sql, level, old)).collect::<Vec<_>>(), before);
    Ok(())
}

/// The program was away for five days, and an organization keeps its rows for two: what the others sent before is closed all
/// the same.
fn an_outage_longer_than_the_shortest_retention(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&rollups_kept());
    env.key("short", "ingest");
    let sql = env.sql();
    sql.run("UPDATE organizations SET metrics_retention_days = 2 WHERE tenant_id = 'short'");
    floor_reached(&sql, "short", 2);
    begun(&sql);
    drop(tidegate);

    make_room(env);
    let five_days = "INTERVAL '5 days'";
    sql.run(&format!(
        "UPDATE rollup_floors SET floor = floor - {five_days}; \
         UPDATE rollup_levels SET refreshed_at = now() - {five_days}, \
             closed_until = date_bin(width, now() - {five_days}, TIMESTAMPTZ '1970-01-01 00:00:00+00'), \
             noted_before = date_bin(width, now() - {five_days}, TIMESTAMPTZ '1970-01-01 00:00:00+00')"
    ));
    if env.engine == Engine::Timescale {
        env.sql_as(SUPERUSER).run(&format!(
            "UPDATE _timescaledb_catalog.continuous_aggs_watermark \
             SET watermark = extract(epoch FROM date_trunc('day', now() - {five_days}, 'UTC'))::bigint * 1000000"
        ));
    }
    sql.run(
        "INSERT INTO metrics (batch_id, batch_seq, timestamp, created_at, tenant_id, asset_id, metric_type, metric_name, \
         value_count, value_sum) SELECT 0, n, now() - days * INTERVAL '1 day', now(), 'default', 'a', 'gauge', 'latency', 1, n \
         FROM generate_series(1, 5) n, (VALUES (3.0), (1.5)) d (days)",
    );
    let _tidegate = env.serve_with(&rollups_kept());
    let closed = "SELECT bool_and(closed_until > now() - INTERVAL '2 days 6 hours') FROM rollup_levels WHERE level LIKE 'metrics%'";
    until("all is closed again", || sql.one::<bool>(closed).then_some(()));
    for (level, width) in LEVELS.iter().copied() {
        assert_eq!(rows(&sql, level, "tenant_id = 'default'").len(), 2, "{level}");
        assert_eq!(differences(&sql, level, width, "true"), 0, "{level}");
    }
    Ok(())
}

fn policies_follow_the_configuration(env: &Env) -> TestResult {
    let sql = env.sql_as(tidegate::storage::embedded::OWNER);
    let figures = || -> Vec<String> {
        sql.column(
            "SELECT concat_ws(' ', hypertable_name, extract(epoch FROM (config->>'start_offset')::interval)::int / 3600, \
             extract(epoch FROM (config->>'end_offset')::interval)::int, schedule_interval) \
             FROM timescaledb_information.jobs WHERE proc_name = 'policy_refresh_continuous_aggregate' ORDER BY 1",
        )
    };
    let wait = |expected: &[&str]| {
        until("the policies", || (figures() == expected).then_some(()));
        policies(&sql)
    };
    let tidegate = env.serve();
    let first = wait(&[
        "correlation_groups 216 600 00:00:30",
        "event_counts_1m 72 10 00:00:30",
        "event_counts_hourly 8761 600 00:00:30",
        "metrics_1m_buckets 192 10 00:00:30",
        "metrics_5m_buckets 192 60 00:00:30",
        "metrics_daily_buckets 2160 7200 00:00:30",
        "metrics_hourly_buckets 2160 600 00:00:30",
    ]);
    drop(tidegate);
    // With the same figures nothing is remade; the floors' new time says that the policies were looked at.
    let floor = || -> f64 { sql.one("SELECT coalesce(extract(epoch FROM max(floor)), 0)::float8 FROM rollup_floors") };
    let before = floor();
    let tidegate = env.serve();
    until("the policies were looked at", || (floor() > before).then_some(()));
    assert_eq!(policies(&sql), first);
    drop(tidegate);
    // A day's bucket fits into two days, to the second.
    let _tidegate = env.serve_with(&["retention.metrics=2d", "retention.events=30d", "rollups.levels=5m"]);
    let second = wait(&[
        "correlation_groups 216 600 00:00:30",
        "event_counts_1m 72 10 00:00:30",
        "event_counts_hourly 721 600 00:00:30",
        "metrics_5m_buckets 48 60 00:00:30",
        "metrics_daily_buckets 48 120 00:00:30",
        "metrics_hourly_buckets 48 600 00:00:30",
    ]);
    for (_, job) in second {
        until("a refresh", || sql.try_run(&format!("CALL run_job({job})")).ok());
    }
    // Compression and retention are the lifecycle job's.
    let others: i64 = sql.one(
        "SELECT count(*) FROM timescaledb_information.jobs WHERE proc_name IN ('policy_compression', 'policy_retention') \
         AND hypertable_name <> 'events'",
    );
    assert_eq!(others, 0);
    Ok(())
}

fn two_nodes_at_once(env: &Env) -> TestResult {
    let nodes = [env.serve(), env.serve_with(&["data_dir=./second"])];
    for round in 0..20_i64 {
        for (n, node) in nodes.iter().enumerate() {
            let items: Vec<String> = (0..10)
                .map(|k| {
                    sample(
                        -(k * 1700 + round * 97) % (2 * DAY),
                        ["a", "b"][n],
                        0.5 + f64::from(i32::try_from(k * round).unwrap()),
                    )
                })
                .collect();
            send(&crate::client::Client::new(&node.client.address, env.first_key.borrow().as_deref()), &items);
        }
    }
    right(env);
    let sql = env.sql();
    if env.engine == Engine::Timescale {
        until("each level has its policy", || (policies(&sql).len() == tidegate::model::LEVELS.len()).then_some(()));
    }
    assert_eq!(sql.one::<i64>("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), 0);
    Ok(())
}

fn killed_while_buckets_are_made(env: &Env) -> TestResult {
    let sql = env.sql_as(tidegate::storage::embedded::OWNER);
    for round in 0..4_i64 {
        let mut tidegate = env.serve();
        let waits = round % 2 == 0 && env.engine == Engine::Postgres;
        if waits {
            begun(&sql);
        }
        let items: Vec<String> = (0..400)
            .map(|n| {
                sample(
                    -HOUR - n * 211 % (3 * DAY),
                    ["a", "b", "c"][usize::try_from(n % 3).unwrap()],
                    f64::from(i32::try_from(n + round).unwrap()),
                )
            })
            .collect();
        send(&tidegate.client, &items);
        if waits {
            until("late buckets are noted", || (sql.count("rollup_dirty") > 0).then_some(()));
        }
        tidegate.kill();
    }
    let _tidegate = env.serve();
    refresh(env);
    right(env);
    Ok(())
}
