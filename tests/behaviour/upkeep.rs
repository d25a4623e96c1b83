//! What `tidegate doctor` says of upkeep: compression, growth, bloat, jobs, rollups, slow reads.

use serde_json::Value;

use crate::env::{Env, Test, TestResult, until};
use crate::lifecycle::run;
use crate::postgres::SUPERUSER;
use crate::samples::{array, event_with, hours_from_now};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    nothing_to_say_of_a_young_database,
    bloat_is_reported,
    growth_is_reported,
    a_failing_job_is_reported,
    a_job_that_nobody_runs_is_reported,
    rollups_that_are_behind_are_reported,
);

pub const TIMESCALE: &[Test] =
    tests!(timescale: compression_is_reported, chunks_that_wait_are_reported, a_failing_refresh_is_reported);

/// A finding of `doctor`, which must succeed: what it found may be a warning.
fn finding(env: &Env, check: &str) -> Value {
    let report = env.cli(&["doctor", "--json"]).stdout;
    let findings: Vec<Value> = serde_json::from_str(&report).unwrap_or_else(|_| panic!("{report}"));
    findings.into_iter().find(|found| found["check"] == check).unwrap_or_else(|| panic!("{check}: {report}"))
}

#[track_caller]
fn assert_warns(found: &Value, word: &str) {
    assert_eq!(found["state"], "warning", "{found}");
    assert!(found["found"].as_str().unwrap().contains(word), "{word}: {found}");
    assert!(found["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{found}");
}

fn nothing_to_say_of_a_young_database(env: &Env) -> TestResult {
    let _tidegate = env.serve();
    run(env, &[]);
    for check in ["chunks", "bloat", "growth", "indexes"] {
        assert_eq!(finding(env, check)["state"], "ok", "{check}");
    }
    assert_eq!(finding(env, "slow reads")["state"], "unknown", "pg_stat_statements is not in this database");
    until("every job has run and every rollup is stored", || {
        (finding(env, "jobs")["state"] == "ok" && finding(env, "rollups")["state"] == "ok").then_some(())
    });
    Ok(())
}

fn bloat_is_reported(env: &Env) -> TestResult {
    drop(env.serve());
    let sql = env.sql();
    sql.run("ALTER TABLE touched SET (autovacuum_enabled = false)");
    sql.run("INSERT INTO touched SELECT 'events', 'x', '{}' FROM generate_series(1, 20000); DELETE FROM touched");
    until("the server has counted them", || {
        let found = finding(env, "bloat");
        (found["state"] == "warning").then(|| {
            // In a cell it is a shard of it.
            assert_warns(&found, "tidegate.touched");
            assert_warns(&found, ": 20000 dead rows");
        })
    });
    Ok(())
}

fn growth_is_reported(env: &Env) -> TestResult {
    drop(env.serve());
    let sql = env.sql();
    sql.run("DELETE FROM storage_samples");
    assert!(finding(env, "growth")["found"].as_str().unwrap().contains("not known yet"));
    sql.run(
        "INSERT INTO storage_samples SELECT now() - d * INTERVAL '1 day', r.relation, (10 - d) * r.step::bigint * 1073741824, NULL \
         FROM generate_series(0, 7) d CROSS JOIN (VALUES ('database', 3), ('events', 2), ('metrics', 1)) r (relation, step)",
    );
    let found = finding(env, "growth");
    let text = found["found"].as_str().unwrap();
    assert!(text.contains("+3.00 GiB a day over 7 days") && text.contains("mostly events"), "{found}");
    Ok(())
}

fn a_failing_job_is_reported(env: &Env) -> TestResult {
    drop(env.serve());
    let sql = env.sql();
    sql.run(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no key may go'; END $$; \
         CREATE TRIGGER refuse BEFORE DELETE ON ingest_ledger FOR EACH ROW EXECUTE FUNCTION refuse(); \
         INSERT INTO ingest_ledger (tenant_id, idempotency_key, request_sha256, route, receipt, http_status, accepted, rejected, created_at) \
         VALUES ('x', 'k', sha256('x'), '/', gen_random_uuid(), 200, 1, 0, now() - INTERVAL '80 hours')",
    );
    assert_eq!(env.cli(&["lifecycle", "run"]).code, Some(1));
    assert_warns(&finding(env, "jobs"), "lifecycle: ");
    assert!(finding(env, "jobs")["found"].as_str().unwrap().contains("no key may go"));
    sql.run("DROP TRIGGER refuse ON ingest_ledger");
    run(env, &[]);
    assert!(!finding(env, "jobs")["found"].as_str().unwrap().contains("no key may go"));
    Ok(())
}

fn a_job_that_nobody_runs_is_reported(env: &Env) -> TestResult {
    drop(env.serve());
    run(env, &[]);
    env.sql().run("UPDATE job_runs SET finished_at = finished_at - INTERVAL '1 hour' WHERE job = 'lifecycle'");
    assert_warns(&finding(env, "jobs"), "not run lately: lifecycle");
    Ok(())
}

fn rollups_that_are_behind_are_reported(env: &Env) -> TestResult {
    drop(env.serve());
    let sql = env.sql();
    sql.run("UPDATE rollup_levels SET closed_until = date_trunc('hour', now()) - INTERVAL '5 hours' WHERE level = 'metrics_hourly'");
    assert_warns(&finding(env, "rollups"), "metrics_hourly: ");
    sql.run(
        "UPDATE rollup_levels SET closed_until = date_bin(width, now(), TIMESTAMPTZ '1970-01-01 00:00:00+00'); \
         INSERT INTO rollup_dirty VALUES ('event_counts_hourly', now() - INTERVAL '9 hours', 'x', now() - INTERVAL '1 hour')",
    );
    assert_warns(&finding(env, "rollups"), "event_counts_hourly: 1 late buckets wait");
    Ok(())
}

fn compression_is_reported(env: &Env) -> TestResult {
    let tidegate = env.serve();
    // Rows that are much like each other, and rows that are noise.
    let at = hours_from_now(-50);
    let plain = (0..20_000).map(|n| {
        event_with(
            n,
            &format!(r#""timestamp":"{at}","asset_id":"a{}","metadata":{{"text":"{}"}}"#, n % 7, "x".repeat(300)),
        )
    });
    for part in plain.collect::<Vec<_>>().chunks(5000) {
        tidegate.client.events(array(part)).accepted(part.len() as u64, 0);
    }
    run(env, &[]);
    let found = finding(env, "compression");
    assert_eq!(found["state"], "ok", "{found}");
    assert!(found["found"].as_str().unwrap().starts_with("events: "), "{found}");
    drop(tidegate);
    let noisy = env.serve();
    let mut seed = 1_u64;
    let mut noise = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:016x}", seed ^ (seed >> 29))
    };
    let later = hours_from_now(-26);
    for _ in 0..6 {
        let items = (0..500).map(|n| {
            let text: String = (0..100).map(|_| noise()).collect();
            event_with(n, &format!(r#""timestamp":"{later}","metadata":{{"text":"{text}"}}"#))
        });
        noisy.client.events(array(items)).accepted(500, 0);
    }
    run(env, &[]);
    env.sql().run(&format!(
        "SELECT public.drop_chunks('tidegate.events', older_than => TIMESTAMPTZ '{at}' + INTERVAL '1 day')"
    ));
    assert_warns(&finding(env, "compression"), "events: ");
    Ok(())
}

fn chunks_that_wait_are_reported(env: &Env) -> TestResult {
    drop(env.serve());
    run(env, &[]);
    let sql = env.sql();
    sql.run(
        "SET timescaledb.enable_direct_compress_insert = on; \
         INSERT INTO events SELECT gen_random_uuid(), now() - INTERVAL '3 days', 'x', 'default', 's', 't', 1, 'info', 'p', 'a', \
         NULL, NULL, NULL, '{}', NULL, 1, n, now() FROM generate_series(1, 2000) n",
    );
    assert_eq!(crate::lifecycle::statuses(&sql, "events").len(), 1);
    let found = finding(env, "chunks");
    assert_warns(&found, "events: 1 wait");
    run(env, &[]);
    assert_eq!(finding(env, "chunks")["state"], "ok");
    Ok(())
}

/// A policy that TimescaleDB's own worker could not run, as it notes that.
fn a_failing_refresh_is_reported(env: &Env) -> TestResult {
    drop(env.serve());
    // Makes the policies.
    run(env, &[]);
    let sql = env.sql_as(SUPERUSER);
    sql.run(
        "INSERT INTO _timescaledb_internal.bgw_job_stat SELECT id, now() - INTERVAL '1 minute', now(), now() + INTERVAL '1 minute', \
         '-infinity', false, 1, INTERVAL '1 second', INTERVAL '1 second', 0, 1, 0, 1, 0 FROM _timescaledb_catalog.bgw_job \
         WHERE proc_name = 'policy_refresh_continuous_aggregate' AND hypertable_id = (SELECT mat_hypertable_id FROM \
         _timescaledb_catalog.continuous_agg WHERE user_view_name = 'metrics_hourly_buckets') \
         ON CONFLICT (job_id) DO UPDATE SET last_run_success = false, total_failures = 1, last_finish = now()",
    );
    env.sql().run(
        "SELECT public.alter_job(job_id, scheduled => true) FROM timescaledb_information.jobs \
         WHERE proc_name = 'policy_refresh_continuous_aggregate'",
    );
    assert_warns(&finding(env, "jobs"), "refresh metrics_hourly");
    Ok(())
}
