//! The lifecycle job: what it drops, compresses, puts in order and deletes, and how it says so.

use serde_json::{Value, json};

use crate::books::Books;
use crate::env::{Engine, Env, Test, TestResult, until};
use crate::postgres::{SUPERUSER, Sql};
use crate::process::Tidegate;
use crate::samples::{array, batch, event_with, hours_from_now, on_one_day};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    expired_rows_go_with_their_chunks,
    expired_rollups_go_with_their_chunks,
    expired_rows_of_ordinary_tables_go,
    manifests_that_stay_hold_up_none_that_go,
    status_on_the_command_line_and_over_http,
    status_needs_an_admin,
    a_job_that_fails_is_shown,
    a_chunk_that_others_hold_is_left_for_later,
    sizes_are_noted_once_a_day,
);

/// Runs what is due, as an operator would; others may be at some of it.
pub fn run_once(env: &Env, settings: &[&str]) -> Value {
    let flags: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let arguments: Vec<&str> = ["lifecycle", "run", "--json"].into_iter().chain(flags).collect();
    env.cli(&arguments).json()
}

/// The same, until others are at none of it.
pub fn run(env: &Env, settings: &[&str]) -> Value {
    let mut sum = serde_json::Map::new();
    until("nobody else is at what is due", || {
        let counts = run_once(env, settings);
        for (what, count) in counts.as_object().unwrap() {
            let so_far = sum.get(what).and_then(Value::as_u64).unwrap_or(0);
            sum.insert(what.clone(), (so_far + count.as_u64().unwrap()).into());
        }
        (counts["chunks_busy"] == 0).then_some(())
    });
    sum.into()
}

/// A process whose own first run is over: the next one is a minute away, and what is due until then is left to the test.
pub fn idle(tidegate: Tidegate) -> Tidegate {
    until("the first run is over", || {
        let books = Books::of(&tidegate.client);
        (books.get("tidegate_job_runs_total{job_name=\"lifecycle\"}") > 0.5).then_some(())
    });
    tidegate
}

/// Ends a process at once, and returns when what its sessions were at has ended too, with their locks.
pub fn ended(env: &Env, tidegate: Tidegate) {
    drop(tidegate);
    let sql = env.sql_as(SUPERUSER);
    let sessions = "SELECT count(*) FROM pg_stat_activity \
                    WHERE datname = current_database() AND application_name LIKE 'tidegate %'";
    until("its sessions have ended", || (sql.one::<i64>(sessions) == 0).then_some(()));
}

/// What the status says of events.
fn of_events(status: &Value) -> &Value {
    status["relations"].as_array().unwrap().iter().find(|found| found["relation"] == "events").unwrap()
}

/// Events of one moment; `n` counts from 0.
pub fn events_at(count: usize, at: &str) -> Vec<u8> {
    array((0..count).map(|n| event_with(n, &format!(r#""timestamp":"{at}","asset_id":"a{}""#, n % 7))))
}

/// Status bits of the chunks of a hypertable, oldest first.
pub fn statuses(sql: &Sql, hypertable: &str) -> Vec<i32> {
    sql.column(&format!(
        "SELECT _timescaledb_functions.chunk_status(format('%I.%I', chunk_schema, chunk_name)::regclass) \
         FROM timescaledb_information.chunks WHERE hypertable_name = '{hypertable}' AND hypertable_schema = 'tidegate' \
         ORDER BY range_start, chunk_name"
    ))
}

fn expired_rows_go_with_their_chunks(env: &Env) -> TestResult {
    let tidegate = idle(env.serve());
    for days in [60, 20, 1, 0] {
        tidegate.client.events(events_at(3, &hours_from_now(-24 * days))).accepted(3, 0);
    }
    drop(tidegate);
    let settings = ["retention.events=10d"];
    let _tidegate = idle(env.serve_with(&settings));
    let sql = env.sql();
    until("expired events are gone", || {
        run(env, &settings);
        (sql.count("events") == 6).then_some(())
    });
    let oldest: i64 = sql.one("SELECT (extract(epoch FROM now() - min(timestamp)) / 86400)::bigint FROM events");
    assert!(oldest <= 1, "{oldest}");
    // Of events nothing is left to be dropped. Other relations may have something again: rollups of the events that went.
    let status = env.cli(&["lifecycle", "status", "--json", "--set", settings[0]]).json();
    assert_eq!(of_events(&status)["expired"], 0, "{status}");
    Ok(())
}

/// A rollup's rows expire by its own retention, not by that of what it is made of.
fn expired_rollups_go_with_their_chunks(env: &Env) -> TestResult {
    const LEVELS: [&str; 3] = ["metrics_1m", "metrics_hourly", "metrics_daily"];
    if env.engine == Engine::Timescale {
        // One rollup is refreshed by one session at a time.
        ended(env, env.serve());
    }
    // On the postgres engine the database is as `tidegate migrate` leaves it: partitions that `serve` makes would be in the way of these.
    let sql = env.sql();
    let stored: Vec<String> = match env.engine {
        Engine::Timescale => {
            sql.run(
                "INSERT INTO metrics SELECT 1, n, now() - n * INTERVAL '100 days', now(), 'x', 'a', 't', 'm', 1, n \
                 FROM generate_series(1, 4) n",
            );
            for level in LEVELS {
                sql.run(&format!(
                    "CALL public.refresh_continuous_aggregate('{level}_buckets', NULL, now() - INTERVAL '10 days')"
                ));
            }
            let stored = |level| {
                sql.one(&format!(
                    "SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) \
                     FROM timescaledb_information.continuous_aggregates WHERE view_name = '{level}_buckets'"
                ))
            };
            LEVELS.map(stored).to_vec()
        }
        Engine::Postgres => {
            for (level, n) in LEVELS.into_iter().flat_map(|level| (1..=4).map(move |n| (level, n))) {
                let days_ago = |days: i64| hours_from_now(-24 * days);
                sql.run(&format!(
                    "CREATE TABLE {level}_closed_p2000010{n}_000000 PARTITION OF {level}_closed \
                     FOR VALUES FROM ('{}') TO ('{}'); \
                     INSERT INTO {level}_closed VALUES ('{}', 'x', 'a', 't', 'm', 1, 1, 1, 1, 1, NULL, 1, 1, 1, 0)",
                    days_ago(100 * n + 1),
                    days_ago(100 * n - 1),
                    days_ago(100 * n)
                ));
            }
            LEVELS.map(|level| format!("{level}_closed")).to_vec()
        }
    };
    let rows = || stored.iter().map(|level| sql.count(level)).collect::<Vec<i64>>();
    assert_eq!(rows(), [4, 4, 4]);
    // Counted from the end of a chunk, which is up to a month wide.
    run(env, &["retention.rollups.1m=8d", "retention.rollups.hourly=150d", "retention.metrics=500d"]);
    let left = rows();
    assert_eq!((left[0], left[1], left[2]), (0, 1, 4));
    Ok(())
}

fn expired_rows_of_ordinary_tables_go(env: &Env) -> TestResult {
    let tidegate = idle(env.serve());
    let sql = env.sql();
    tidegate.client.keyed("k", batch(3)).accepted(3, 0);
    tidegate.client.events("[{}]").expect(422);
    sql.run(
        "UPDATE ingest_ledger SET created_at = now() - INTERVAL '73 hours'; \
         UPDATE dead_letter_events SET failed_at = now() - INTERVAL '31 days'; \
         INSERT INTO ingest_batches SELECT 'x', -n, 'default', 1, t.at, t.at, '{}', now(), k.kind \
             FROM (VALUES (1, now() - INTERVAL '366 days'), (2, now() - INTERVAL '91 days'), (3, now())) t (n, at) \
             CROSS JOIN (VALUES ('events', 0), ('metrics', 10)) k (kind, more) WHERE k.more = 0; \
         INSERT INTO ingest_batches SELECT tenant_id, batch_id - 10, stream, 1, min_timestamp, max_timestamp, '{}', now(), \
             'metrics' FROM ingest_batches WHERE tenant_id = 'x'; \
         INSERT INTO storage_samples VALUES (now() - INTERVAL '3 years', 'x', 1, 1), (now(), 'x', 1, 1)",
    );
    sql.run(LOG_ALL);
    run(env, &[]);
    let left = |table: &str, filter: &str| -> i64 { sql.one(&format!("SELECT count(*) FROM {table} WHERE {filter}")) };
    assert_eq!(left("ingest_ledger", "true"), 0);
    assert_eq!(left("dead_letter_events", "true"), 0);
    // Events are kept for a year and metrics for ninety days.
    assert_eq!(left("ingest_batches", "tenant_id = 'x' AND kind = 'events'"), 2);
    assert_eq!(left("ingest_batches", "tenant_id = 'x' AND kind = 'metrics'"), 1);
    assert_eq!(left("storage_samples", "relation = 'x'"), 1);
    Ok(())
}

/// Gives all batches of events their offsets, as the sequencer does.
const LOG_ALL: &str = "INSERT INTO batch_log SELECT tenant_id, stream, row_number() OVER (PARTITION BY stream ORDER BY batch_id), 1, \
     batch_id, event_count, min_timestamp, max_timestamp FROM ingest_batches WHERE kind = 'events' \
     ON CONFLICT (tenant_id, batch_id) DO NOTHING";

/// Manifests of events that lay ahead outlive those around them: more of them than one statement looks at.
fn manifests_that_stay_hold_up_none_that_go(env: &Env) -> TestResult {
    let sql = env.sql();
    sql.run(
        "INSERT INTO ingest_batches SELECT 'x', n, m.stream, 1, m.at, m.at, '{}', now() - m.age, 'events' \
         FROM (VALUES (1, 10050, 'ahead', now() - INTERVAL '364 days', INTERVAL '370 days'), \
                      (10051, 22000, 'expired', now() - INTERVAL '370 days', INTERVAL '370 days'), \
                      (22001, 22100, 'recent', now(), INTERVAL '0 days')) m (first, last, stream, at, age) \
         CROSS JOIN LATERAL generate_series(m.first - 30000, m.last - 30000) n",
    );
    assert_eq!(run(env, &[])["manifests_deleted"], 0, "those that are not logged must get their offsets");
    sql.run(LOG_ALL);
    assert_eq!(run(env, &[])["manifests_deleted"], 11_950);
    let left =
        sql.column::<String>("SELECT concat_ws(' ', stream, count(*)) FROM ingest_batches GROUP BY stream ORDER BY 1");
    assert_eq!(left, ["ahead 10050", "recent 100"]);
    Ok(())
}

fn status_on_the_command_line_and_over_http(env: &Env) -> TestResult {
    on_one_day();
    let tidegate = idle(env.serve());
    for days in [6, 1, 0] {
        tidegate.client.events(events_at(2000, &hours_from_now(-24 * days))).accepted(2000, 0);
    }
    run(env, &[]);
    // For an hour and a minute after midnight yesterday is open as well.
    let open = || if jiff::Timestamp::now().as_second().rem_euclid(86_400) < 3660 { 2 } else { 1 };
    let before = open();
    let by_http = tidegate.with(&env.key("default", "admin")).get("/v1/lifecycle").expect(200);
    let by_cli = env.cli(&["lifecycle", "status", "--json"]).json();
    let open = [before, open()];
    for status in [&by_http, &by_cli] {
        assert_eq!(status["engine"], env.engine_name());
        let events = of_events(status);
        let compress_after = match env.engine {
            Engine::Timescale => json!(7 * 86_400),
            Engine::Postgres => Value::Null,
        };
        assert_eq!((&events["keep_s"], &events["compress_after_s"]), (&json!(365 * 86_400), &compress_after));
        assert!(events["bytes"].as_i64() > Some(100_000), "{events}");
        assert_eq!((&events["waiting"], &events["expired"]), (&json!(0), &json!(0)), "{events}");
        let days = |member: &str| -> i64 {
            let at: jiff::Timestamp = events[member].as_str().unwrap().parse().unwrap();
            (at.as_second() - jiff::Timestamp::now().as_second()).div_euclid(86_400)
        };
        assert_eq!(days("oldest"), -7);
        match env.engine {
            Engine::Timescale => {
                assert_eq!((&events["chunks"], &events["compressed"]), (&json!(3), &json!(3)));
                assert!(open.iter().any(|open| events["open"] == *open), "{events}");
                assert_eq!(days("newest"), 0);
            }
            Engine::Postgres => {
                // Six days ago, yesterday, today, and a week ahead.
                assert_eq!((&events["chunks"], &events["compressed"]), (&json!(10), &json!(0)));
                assert_eq!(days("newest"), 7);
            }
        }
        let relations: Vec<&str> =
            status["relations"].as_array().unwrap().iter().map(|found| found["relation"].as_str().unwrap()).collect();
        for relation in ["metrics", "correlations", "metrics_1m", "metrics_daily", "event_counts_hourly"] {
            assert!(relations.contains(&relation), "{relation}: {relations:?}");
        }
        let job = status["jobs"].as_array().unwrap().iter().find(|job| job["job"] == "lifecycle").unwrap().clone();
        assert_eq!(
            (&job["by"], &job["failing"], &job["last_error"]),
            (&json!("tidegate"), &json!(false), &Value::Null)
        );
        assert!(job["runs"].as_i64() >= Some(1), "{job}");
        let at = |member: &str| -> jiff::Timestamp { job[member].as_str().unwrap().parse().unwrap() };
        assert!((at("next_run") - at("last_finished")).get_seconds() == 60, "{job}");
        assert_eq!(status["rollups"].as_array().unwrap().len(), tidegate::model::LEVELS.len(), "{status}");
    }
    let text = env.cli(&["lifecycle", "status"]);
    assert!(text.code == Some(0) && text.stdout.contains("events") && text.stdout.contains("365d"), "{text:?}");
    Ok(())
}

fn status_needs_an_admin(env: &Env) -> TestResult {
    let tidegate = idle(env.serve());
    tidegate.with(&env.key("reader", "read,ingest")).get("/v1/lifecycle").problem(403, "forbidden");
    tidegate.anonymous().get("/v1/lifecycle").problem(401, "unauthorized");
    tidegate.client.get("/v1/lifecycle?x=1").expect(400);
    Ok(())
}

fn a_job_that_fails_is_shown(env: &Env) -> TestResult {
    let tidegate = idle(env.serve());
    let sql = env.sql();
    sql.run("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no key may go'; END $$");
    sql.run("CREATE TRIGGER refuse BEFORE DELETE ON ingest_ledger FOR EACH ROW EXECUTE FUNCTION refuse()");
    sql.run(
        "INSERT INTO ingest_ledger (tenant_id, idempotency_key, request_sha256, route, receipt, http_status, accepted, rejected, created_at) \
         VALUES ('x', 'k', sha256('x'), '/', gen_random_uuid(), 200, 1, 0, now() - INTERVAL '80 hours'); \
         INSERT INTO storage_samples VALUES (now() - INTERVAL '3 years', 'x', 1, 1)",
    );
    let finished = env.cli(&["lifecycle", "run"]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("no key may go"), "{finished:?}");
    let job = || {
        let status = tidegate.client.get("/v1/lifecycle").expect(200);
        status["jobs"].as_array().unwrap().iter().find(|job| job["job"] == "lifecycle").unwrap().clone()
    };
    let failed = job();
    assert_eq!(failed["failing"], true, "{failed}");
    assert!(failed["last_error"].as_str().unwrap().contains("no key may go"), "{failed}");
    // What came after it was done all the same.
    assert_eq!(sql.one::<i64>("SELECT count(*) FROM storage_samples WHERE relation = 'x'"), 0);
    sql.run("DROP TRIGGER refuse ON ingest_ledger");
    run(env, &[]);
    let mended = job();
    assert_eq!((&mended["failing"], mended["failures"].as_i64() >= Some(1)), (&json!(false), true), "{mended}");
    assert!(mended["last_error"].is_string(), "{mended}");
    Ok(())
}

/// A lock that somebody holds on an expired chunk costs that chunk a round, and nobody else anything.
fn a_chunk_that_others_hold_is_left_for_later(env: &Env) -> TestResult {
    let tidegate = idle(env.serve());
    for days in [60, 40, 0] {
        tidegate.client.events(events_at(60, &hours_from_now(-24 * days))).accepted(60, 0);
    }
    drop(tidegate);
    let settings = ["retention.events=10d"];
    let (sql, holder) = (env.sql(), env.sql());
    if env.engine == Engine::Timescale {
        // Before there is a process for which it has expired.
        let (since, to) = (hours_from_now(-24 * 61), hours_from_now(-24 * 59));
        let held = format!("SELECT count(*) FROM events WHERE timestamp BETWEEN '{since}' AND '{to}'");
        holder.run("BEGIN");
        assert_eq!(holder.one::<i64>(&held), 60);
    }
    let _tidegate = env.serve_with(&settings);
    if env.engine == Engine::Timescale {
        until("the other one is gone", || {
            run_once(env, &settings);
            (sql.count("events") < 180).then_some(())
        });
        assert_eq!(sql.count("events"), 120, "what is held stays");
        holder.run("COMMIT");
    }
    until("all expired ones are gone", || {
        run(env, &settings);
        (sql.count("events") == 60).then_some(())
    });
    Ok(())
}

fn sizes_are_noted_once_a_day(env: &Env) -> TestResult {
    let tidegate = idle(env.serve());
    tidegate.client.events(batch(10)).accepted(10, 0);
    run(env, &[]);
    run(env, &[]);
    let sql = env.sql();
    let noted = |relation: &str| -> i64 {
        sql.one(&format!("SELECT count(*) FROM storage_samples WHERE relation = '{relation}' AND bytes > 0"))
    };
    assert_eq!((noted("database"), noted("ingest_ledger"), noted("organizations")), (1, 1, 1));
    sql.run("UPDATE storage_samples SET at = at - INTERVAL '1 day'");
    run(env, &[]);
    assert_eq!((noted("database"), noted("events")), (2, noted("events").max(1)));
    Ok(())
}
