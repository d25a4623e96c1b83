//! What is true of both engines: the window of time, and that neither turns into the other.

use serde_json::json;
use tidegate::storage::embedded::OWNER;

use crate::env::{Engine, Env, Test, TestResult};
use crate::samples::{array, event_with, seconds_from_now};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    the_window_of_time,
    a_window_as_configured,
    the_engine_is_announced,
    engines_do_not_change,
    manifests_name_batches
);

const DAY_S: i64 = 86_400;

/// Indexes that are refused as out of the window.
fn refused(env: &Env, settings: &[&str], seconds: &[i64]) -> Vec<u64> {
    let tidegate = env.serve_with(settings);
    let items =
        seconds.iter().enumerate().map(|(n, s)| event_with(n, &format!(r#""timestamp":"{}""#, seconds_from_now(*s))));
    let answer = tidegate.client.events(array(items)).expect(200);
    let errors = answer["errors"].as_array().unwrap();
    assert!(errors.iter().all(|error| error["code"] == "out_of_window"), "{answer}");
    let letters: Vec<String> = env.sql().column("SELECT DISTINCT stage || ' ' || code FROM dead_letter_events");
    assert_eq!(letters, ["validate out_of_window"]);
    assert_eq!(env.sql().count("events"), i64::try_from(seconds.len() - errors.len()).unwrap());
    errors.iter().map(|error| error["index"].as_u64().unwrap()).collect()
}

fn the_window_of_time(env: &Env) -> TestResult {
    let (oldest, newest) = (-365 * DAY_S, 7 * DAY_S);
    let seconds = [oldest - 60, oldest + 60, 0, newest - 60, newest + 60];
    assert_eq!(refused(env, &[], &seconds), [0, 4]);
    Ok(())
}

fn a_window_as_configured(env: &Env) -> TestResult {
    let seconds = [-10 * DAY_S - 60, -10 * DAY_S + 60, 0];
    assert_eq!(refused(env, &["retention.events=10d"], &seconds), [0]);
    Ok(())
}

fn the_engine_is_announced(env: &Env) -> TestResult {
    env.begin_empty();
    let tidegate = env.serve();
    let line = tidegate.welcome.lines().find(|line| line.contains("  engine ")).unwrap();
    assert!(line.contains(env.engine.as_str()), "{line}");
    let installed: String = env.sql().one("SELECT engine || ' ' || storage_profile FROM installation");
    let expected = match env.engine {
        Engine::Timescale => "timescale columnstore",
        Engine::Postgres => "postgres rowstore",
    };
    assert_eq!(installed, expected);
    Ok(())
}

fn engines_do_not_change(env: &Env) -> TestResult {
    env.begin_empty();
    if env.engine == Engine::Postgres {
        let finished = env.serve_fails(&["engine=timescale"]);
        assert_eq!(finished.code, Some(1), "{finished:?}");
        let words = "engine = timescale is configured, but TimescaleDB is not installed";
        assert!(finished.stderr.contains(words), "{finished:?}");
        drop(env.serve());
        let check = env.cli(&["migrate", "--check", "--engine", "timescale"]);
        assert!(check.code == Some(1) && check.stderr.contains("was installed with engine = postgres"), "{check:?}");
        assert_eq!(env.cli(&["migrate", "--check", "--engine", "postgres"]).code, Some(0));
        return Ok(());
    }
    drop(env.serve());
    for setting in ["engine=postgres", "storage_profile=rowstore"] {
        let finished = env.serve_fails(&[setting]);
        assert_eq!(finished.code, Some(1), "{finished:?}");
        let key = setting.split('=').next().unwrap();
        let said = format!("was installed with {key} = ");
        assert!(finished.stderr.contains(&said), "{finished:?}");
        // Those that only look say it as well.
        let check = env.cli(&["migrate", "--check", "--set", setting]);
        assert!(check.code == Some(1) && check.stderr.contains(&said), "{check:?}");
        let doctor = env.cli(&["doctor", "--set", setting]);
        assert!(doctor.code == Some(1) && doctor.stdout.contains(&said), "{doctor:?}");
    }
    drop(env.serve_with(&["engine=timescale"]));
    Ok(())
}

fn manifests_name_batches(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let at = |n: usize| seconds_from_now(-3600 * i64::try_from(n).unwrap());
    let items = (0..6).map(|n| event_with(n, &format!(r#""stream":"s{}","timestamp":"{}""#, n % 2, at(n))));
    tidegate.client.events(array(items)).accepted(6, 0);
    let sql = env.sql_as(OWNER);
    let manifests: Vec<serde_json::Value> = sql.column(
        "SELECT jsonb_build_object('stream', b.stream, 'count', b.event_count, \
         'rows', (SELECT count(*) FROM events e WHERE e.batch_id = b.batch_id AND e.stream = b.stream AND e.tenant_id = b.tenant_id), \
         'seq', (SELECT array_agg(batch_seq ORDER BY batch_seq) FROM events e WHERE e.batch_id = b.batch_id), \
         'bounds', (b.min_timestamp, b.max_timestamp) = (SELECT min(timestamp), max(timestamp) FROM events e WHERE e.batch_id = b.batch_id), \
         'hours', b.touched_hours = (SELECT array_agg(DISTINCT date_trunc('hour', timestamp)) FROM events e WHERE e.batch_id = b.batch_id)) \
         FROM ingest_batches b ORDER BY b.stream",
    );
    let expected = |stream: &str| json!({ "stream": stream, "count": 3, "rows": 3, "seq": [0, 1, 2], "bounds": true, "hours": true });
    assert_eq!(manifests, [expected("s0"), expected("s1")]);
    Ok(())
}
