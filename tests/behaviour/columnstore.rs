//! What the lifecycle job does with chunks of the timescale engine: compression, order, and policies of earlier versions.

use serde_json::json;

use crate::env::{Env, Test, TestResult};
use crate::held::HeldJob;
use crate::lifecycle::{events_at, run, statuses};
use crate::samples::hours_from_now;
use crate::tests;

pub const TESTS: &[Test] = tests!(timescale:
    an_unordered_chunk_is_put_in_order,
    rows_beside_a_columnstore_are_taken_in,
    old_chunks_are_compressed,
    metrics_follow_their_own_age,
    the_open_chunk_is_left_alone,
    stock_policies_are_removed,
    one_chunk_that_fails_does_not_stop_the_others,
);

fn an_unordered_chunk_is_put_in_order(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let lifecycle = HeldJob::hold(env, "lifecycle");
    let (sql, at) = (env.sql(), hours_from_now(-50));
    for _ in 0..3 {
        tidegate.client.events(events_at(500, &at)).accepted(500, 0);
    }
    assert_eq!(statuses(&sql, "events"), [3], "direct compress leaves it unordered");
    let sum = "SELECT sum((payload->>'n')::int)::bigint FROM events";
    let before: i64 = sql.one(sum);
    lifecycle.alone(env, tidegate);
    let counts = run(env, &[]);
    assert_eq!(counts["chunks_recompressed"].as_u64(), Some(1), "{counts}");
    assert_eq!(statuses(&sql, "events"), [1]);
    assert_eq!((sql.count("events"), sql.one::<i64>(sum)), (1500, before));
    // In the order of the columnstore: an asset's rows are in one segment and not in three.
    let columnstore: String = sql.one(
        "SELECT compress_relid::text FROM _timescaledb_catalog.compression_settings \
         WHERE relid IN (SELECT public.show_chunks('tidegate.events'))",
    );
    assert_eq!(sql.one::<i64>(&format!("SELECT count(*) FROM {columnstore}")), 2, "1,500 rows are two segments");
    assert_eq!(run(env, &[])["chunks_recompressed"], 0);
    Ok(())
}

fn rows_beside_a_columnstore_are_taken_in(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let lifecycle = HeldJob::hold(env, "lifecycle");
    let sql = env.sql();
    let at = hours_from_now(-50);
    tidegate.client.events(events_at(500, &at)).accepted(500, 0);
    lifecycle.aside(|| run(env, &[]));
    tidegate.client.events(events_at(20, &at)).accepted(20, 0);
    assert_eq!(statuses(&sql, "events"), [9], "late rows are beside it");
    lifecycle.aside(|| run(env, &[]));
    assert_eq!((statuses(&sql, "events"), sql.count("events")), (vec![1], 520));
    // Both at once: unordered, and rows beside.
    tidegate.client.events(events_at(500, &at)).accepted(500, 0);
    tidegate.client.events(events_at(20, &at)).accepted(20, 0);
    assert_eq!(statuses(&sql, "events"), [11]);
    lifecycle.aside(|| run(env, &[]));
    assert_eq!((statuses(&sql, "events"), sql.count("events")), (vec![1], 1040));
    Ok(())
}

/// Rows in row form, as the rowstore profile writes them.
fn old_chunks_are_compressed(env: &Env) -> TestResult {
    env.begin_empty();
    let tidegate = env.serve_with(&["storage_profile=rowstore"]);
    let lifecycle = HeldJob::hold(env, "lifecycle");
    let sql = env.sql();
    for days in [9, 5, 0] {
        tidegate.client.events(events_at(300, &hours_from_now(-24 * days))).accepted(300, 0);
    }
    lifecycle.alone(env, tidegate);
    let settings = ["storage_profile=rowstore"];
    assert_eq!(run(env, &settings)["chunks_compressed"], 1);
    assert_eq!(statuses(&sql, "events"), [1, 0, 0]);
    let earlier = ["storage_profile=rowstore", "compress_after.events=2d"];
    assert_eq!(run(env, &earlier)["chunks_compressed"], 1);
    assert_eq!((statuses(&sql, "events"), sql.count("events")), (vec![1, 1, 0], 900));
    Ok(())
}

fn metrics_follow_their_own_age(env: &Env) -> TestResult {
    drop(env.serve());
    let sql = env.sql();
    sql.run(
        "INSERT INTO metrics SELECT 1, n, now() - d * INTERVAL '1 day', now(), 'x', 'a', 't', 'm', 1, n \
         FROM generate_series(1, 50) n CROSS JOIN (VALUES (40), (20), (0)) v (d)",
    );
    assert_eq!(run(env, &[])["chunks_compressed"], 1);
    assert_eq!((statuses(&sql, "metrics"), sql.count("metrics")), (vec![1, 0, 0], 150));
    Ok(())
}

fn the_open_chunk_is_left_alone(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let lifecycle = HeldJob::hold(env, "lifecycle");
    let sql = env.sql();
    let at = hours_from_now(0);
    for _ in 0..3 {
        tidegate.client.events(events_at(200, &at)).accepted(200, 0);
    }
    lifecycle.alone(env, tidegate);
    // A session that locks the open chunk would wait for this one, and run into its lock_timeout.
    let holder = env.sql();
    holder.run("BEGIN");
    holder.one::<i64>("SELECT count(*) FROM events");
    let counts = env.cli(&["lifecycle", "run", "--json", "--set", "compress_after.events=1h"]).json();
    assert_eq!((&counts["chunks_busy"], &counts["chunks_recompressed"]), (&json!(0), &json!(0)), "{counts}");
    holder.run("COMMIT");
    assert_eq!(statuses(&sql, "events"), [3]);
    Ok(())
}

/// Of a database that an earlier version has set up.
fn stock_policies_are_removed(env: &Env) -> TestResult {
    drop(env.serve());
    let sql = env.sql();
    let stock = || -> i64 {
        sql.one(
            "SELECT count(*) FROM timescaledb_information.jobs WHERE proc_name IN ('policy_compression', 'policy_retention')",
        )
    };
    assert_eq!(stock(), 0);
    sql.run(
        "SELECT public.add_compression_policy('tidegate.events', INTERVAL '7 days'), \
         public.add_retention_policy('tidegate.events', INTERVAL '365 days'), \
         public.add_retention_policy('tidegate.metrics_1m_buckets', INTERVAL '7 days')",
    );
    assert_eq!(stock(), 3);
    drop(env.serve());
    assert_eq!(stock(), 0);
    Ok(())
}

fn one_chunk_that_fails_does_not_stop_the_others(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let lifecycle = HeldJob::hold(env, "lifecycle");
    let sql = env.sql();
    for at in [5, 4, 3].map(|days| hours_from_now(-24 * days)) {
        for _ in 0..2 {
            tidegate.client.events(events_at(200, &at)).accepted(200, 0);
        }
    }
    lifecycle.alone(env, tidegate);
    // The second one cannot be rewritten: somebody else holds it in a way that no reader does.
    let holder = env.sql();
    let chunk: String = sql.one(
        "SELECT chunk::text FROM (SELECT chunk FROM public.show_chunks('tidegate.events') chunk) c OFFSET 1 LIMIT 1",
    );
    holder.run(&format!("BEGIN; LOCK TABLE {chunk} IN SHARE MODE"));
    let counts = env.cli(&["lifecycle", "run", "--json"]).json();
    assert_eq!(counts["chunks_busy"], 1, "{counts}");
    assert_eq!(statuses(&sql, "events").iter().filter(|status| **status == 1).count(), 2);
    holder.run("COMMIT");
    run(env, &[]);
    assert_eq!(statuses(&sql, "events"), [1, 1, 1]);
    Ok(())
}
