//! What a version of PostgreSQL or TimescaleDB can change, in few tests that run on every installation: the catalogue, the
//! columnstore, background workers, how the server was built.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use tidegate::storage::embedded::{DATABASE, EmbeddedConfig, EmbeddedServer, OWNER, READER};

use crate::env::{Engine, Env, Test, TestResult, until};
use crate::lifecycle::{events_at, run, statuses};
use crate::postgres::{SUPERUSER, Sql};
use crate::private;
use crate::process::{Finished, Tidegate};
use crate::refresh::close;
use crate::samples::hours_from_now;
use crate::tests;

pub const TESTS: &[Test] =
    tests!(doctor_says_the_versions, an_expired_slice_is_dropped, an_embedded_server_of_this_version);

pub const TIMESCALE: &[Test] = tests!(timescale:
    a_chunk_is_compressed_put_in_order_and_dropped,
    hidden_rows_are_found,
    late_metrics_are_counted,
    a_server_without_lz4_is_told_apart,
    workers_that_fail_are_told_once,
);

/// The finding of `doctor` under this name.
fn finding(env: &Env, check: &str) -> Value {
    let report = env.cli(&["doctor", "--json"]);
    let findings: Value = serde_json::from_str(&report.stdout).unwrap_or_else(|_| panic!("{report:?}"));
    let found = findings.as_array().unwrap().iter().find(|found| found["check"] == check);
    found.unwrap_or_else(|| panic!("{check}: {findings}")).clone()
}

fn relation(env: &Env, name: &str) -> Value {
    let status = env.cli(&["lifecycle", "status", "--json"]).json();
    let relations = status["relations"].as_array().unwrap();
    relations.iter().find(|relation| relation["relation"] == name).unwrap().clone()
}

fn doctor_says_the_versions(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let installation = env.installation();
    let postgres = finding(env, "PostgreSQL");
    assert_eq!(postgres["state"], "ok", "{postgres}");
    let text = postgres["found"].as_str().unwrap();
    assert!(text.starts_with(&installation.version) && text.contains("15 to 18 are supported"), "{text}");
    let extension = finding(env, "TimescaleDB");
    assert_eq!(extension["state"], "ok", "{extension}");
    let engine = tidegate.welcome.lines().find(|line| line.contains("  engine ")).unwrap();
    if env.engine == Engine::Timescale {
        let version = installation.timescaledb.as_deref().unwrap();
        assert!(extension["found"].as_str().unwrap().starts_with(version), "{extension}");
        let expected = format!("timescale (TimescaleDB {version} Community on PostgreSQL {})", installation.version);
        assert!(engine.contains(&expected), "{engine}");
    } else {
        assert!(extension["found"].as_str().unwrap().contains("engine postgres"), "{extension}");
        assert!(engine.contains("postgres ("), "{engine}");
    }
    Ok(())
}

/// Events of one moment, as many as this, into the columnstore or as rows: without a server at work, which would put them in order.
fn insert(sql: &Sql, rows: usize, at: &str, directly: bool) {
    sql.run(&format!(
        "SET timescaledb.enable_direct_compress_insert = {directly}; \
         INSERT INTO events SELECT gen_random_uuid(), '{at}', 'x', 'default', 's', 't', 1, \
         'info', 'p', 'a' || n % 7, NULL, NULL, NULL, '{{}}', NULL, 1, n, now() FROM generate_series(1, {rows}) n"
    ));
}

fn a_chunk_is_compressed_put_in_order_and_dropped(env: &Env) -> TestResult {
    let sql = env.sql();
    // Born in the columnstore and unordered; unordered with rows beside it; and rows that are old enough to be compressed.
    let [old, new] = [9, 3].map(|days| hours_from_now(-24 * days));
    insert(&sql, 2000, &old, true);
    insert(&sql, 2000, &old, true);
    insert(&sql, 2000, &new, true);
    insert(&sql, 20, &new, false);
    sql.run(
        "INSERT INTO metrics SELECT 1, n, now() - INTERVAL '40 days', now(), 'x', 'a', 't', 'm', 1, n FROM generate_series(1, 50) n",
    );
    assert_eq!((statuses(&sql, "events"), statuses(&sql, "metrics")), (vec![3, 11], vec![0]));
    let waiting = ["events", "metrics"].map(|name| relation(env, name)["waiting"].clone());
    assert_eq!(waiting, [json!(2), json!(1)]);
    let counts = run(env, &[]);
    assert_eq!((&counts["chunks_compressed"], &counts["chunks_recompressed"]), (&json!(1), &json!(2)), "{counts}");
    assert_eq!((statuses(&sql, "events"), statuses(&sql, "metrics")), (vec![1, 1], vec![1]));
    assert_eq!((sql.count("events"), sql.count("metrics")), (6020, 50));
    let metrics = relation(env, "metrics");
    assert_eq!((&metrics["compressed"], &metrics["waiting"]), (&json!(1), &json!(0)), "{metrics}");
    let bytes = |member: &str| metrics[member].as_i64().unwrap_or(0);
    assert!(bytes("bytes_before_compression") > 0 && bytes("bytes_after_compression") > 0, "{metrics}");
    assert!(bytes("bytes") >= bytes("bytes_after_compression"), "what is in the columnstore counts: {metrics}");
    assert_eq!(finding(env, "hidden rows")["state"], "ok");
    let dropped = run(env, &["retention.events=5d"]);
    assert_eq!((&dropped["chunks_dropped"], statuses(&sql, "events")), (&json!(1), vec![1]), "{dropped}");
    assert_eq!(sql.count("events"), 2020);
    Ok(())
}

/// Chunks or partitions of events.
fn slices(env: &Env) -> BTreeSet<String> {
    let all = match env.engine {
        Engine::Timescale => "SELECT public.show_chunks('tidegate.events')::text",
        Engine::Postgres => {
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'tidegate.events'::regclass"
        }
    };
    env.sql().column(all).into_iter().collect()
}

/// On both engines: the partitions of a day, or its chunks.
fn an_expired_slice_is_dropped(env: &Env) -> TestResult {
    let tidegate = env.serve();
    for days in [20, 0] {
        tidegate.client.events(events_at(60, &hours_from_now(-24 * days))).accepted(60, 0);
    }
    drop(tidegate);
    let before = slices(env);
    let settings = ["retention.events=10d"];
    let _tidegate = env.serve_with(&settings);
    until("it is gone", || {
        run(env, &settings);
        (env.sql().count("events") == 60).then_some(())
    });
    // Others may have been made meanwhile, for the days to come.
    assert_eq!(before.difference(&slices(env)).count(), 1, "{before:?}");
    Ok(())
}

/// What a rollup does not have yet is known from what the database itself notes.
fn late_metrics_are_counted(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let at = hours_from_now(-20);
    let put = |value: i64| {
        let sample =
            json!({ "timestamp": at, "asset_id": "a", "metric_type": "gauge", "metric_name": "m", "value": value });
        tidegate.client.metrics(sample.to_string()).accepted(1, 0);
    };
    let points = || {
        let answer = tidegate.client.get("/v1/metrics?metric_name=m&resolution=1h&from=-24h").expect(200);
        let rows = answer["data"].as_array().unwrap().clone();
        rows.iter().map(|row| (row["count"].as_i64(), row["max"].as_f64())).collect::<Vec<_>>()
    };
    put(1);
    close(env);
    assert_eq!(points(), [(Some(1), Some(1.0))]);
    put(7);
    assert_eq!(points(), [(Some(2), Some(7.0))], "before the rollup has it");
    close(env);
    assert_eq!(points(), [(Some(2), Some(7.0))]);
    Ok(())
}

/// Rows beside a columnstore that readers take for complete, as a writer leaves them that TimescaleDB did not see.
fn hidden_rows_are_found(env: &Env) -> TestResult {
    let (sql, at) = (env.sql(), hours_from_now(-24 * 3));
    insert(&sql, 2000, &at, true);
    insert(&sql, 20, &at, false);
    assert_eq!((statuses(&sql, "events"), sql.count("events")), (vec![11], 2020));
    assert_eq!(finding(env, "hidden rows")["state"], "ok");
    env.sql_as(SUPERUSER).run("UPDATE _timescaledb_catalog.chunk SET status = 3 WHERE status = 11");
    // What was changed behind TimescaleDB's back is in no cache of a new session.
    assert_eq!(env.sql().count("events"), 2000, "they are hidden");
    let found = finding(env, "hidden rows");
    assert_eq!(found["state"], "failed", "{found}");
    assert!(found["found"].as_str().unwrap().contains("_hyper_"), "{found}");
    Ok(())
}

fn a_server_without_lz4_is_told_apart(env: &Env) -> TestResult {
    let sql = env.sql();
    let tidegate = env.serve();
    tidegate.client.events(events_at(100, &hours_from_now(0))).accepted(100, 0);
    assert_eq!(statuses(&sql, "events"), [3], "directly into the columnstore");
    let has: bool = sql.one("SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'");
    let found = finding(env, "lz4");
    assert_eq!(found["state"], if has { "ok" } else { "warning" }, "{found}");
    assert_eq!(tidegate.log().contains("pglz is used instead"), !has, "{}", tidegate.log());
    Ok(())
}

/// The server's own background workers: where they fail (PostgreSQL 15.20), and where they do what they should.
fn workers_that_fail_are_told_once(env: &Env) -> TestResult {
    let dir = env.path().join("data");
    let flags = ["--data-dir", dir.to_str().unwrap()].map(str::to_owned);
    let mut tidegate = Tidegate::serve(env, &[], &flags);
    let status = || -> Vec<Value> {
        let arguments = ["lifecycle", "status", "--json", "--data-dir", dir.to_str().unwrap()];
        let status = Finished::run(env, &[], &arguments).json();
        let jobs = status["jobs"].as_array().unwrap().clone();
        jobs.into_iter().filter(|job| job["job"].as_str().unwrap().starts_with("refresh ")).collect()
    };
    let jobs = until("every level was refreshed, by whichever node", || {
        let jobs = status();
        for job in &jobs {
            assert!(job["failing"] == false || job["next_run"].is_null(), "a run that will not be: {job}");
        }
        let all = jobs.len() == tidegate::model::LEVELS.len()
            && jobs.iter().all(|job| !job["last_finished"].is_null() && job["failing"] == false);
        all.then_some(jobs)
    });
    let own = jobs.iter().filter(|job| job["by"] == "tidegate").count();
    let told = tidegate.log().matches("TimescaleDB's background workers fail").count();
    assert_eq!(told, usize::from(own > 0), "{}", tidegate.log());
    assert_eq!(tidegate.stop(), Some(0));
    Ok(())
}

/// Made, stopped and started again: checksums from initdb, settings that the build takes, extensions, and a psql line that works.
fn an_embedded_server_of_this_version(env: &Env) -> TestResult {
    let installation = env.installation();
    let start = || {
        let config = EmbeddedConfig {
            bin_dir: Some(installation.bin_dir.clone()),
            ..private::config(&env.path().join("data"), env.engine, &[("shared_buffers", "32MB")])
        };
        EmbeddedServer::start(config)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    for _ in ["made", "opened"] {
        let server = runtime.block_on(start())?;
        let sql = Sql::bare(&server.url(OWNER, DATABASE));
        let version: String = sql.one("SHOW server_version");
        assert!(version.starts_with(&installation.version), "{version}");
        assert_eq!(sql.one::<String>("SHOW data_checksums"), "on");
        assert_eq!(
            sql.one::<String>(
                "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()"
            ),
            "UTF8"
        );
        let has_lz4: bool =
            sql.one("SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'");
        let toast = if has_lz4 { "lz4" } else { "pglz" };
        assert_eq!(sql.one::<String>("SHOW default_toast_compression"), toast);
        let extension: Vec<String> = sql.column("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'");
        let expected = installation.timescaledb.iter().filter(|_| env.engine == Engine::Timescale);
        assert_eq!(extension, expected.cloned().collect::<Vec<_>>());
        if installation.bin_dir.join("psql").is_file() {
            let line = format!("{} -Atc 'SELECT 40 + 2'", server.psql_line(READER, DATABASE));
            let path = std::env::join_paths([installation.bin_dir.clone(), "/usr/bin".into(), "/bin".into()])?;
            let output = std::process::Command::new("sh").args(["-c", &line]).env("PATH", path).output()?;
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "42", "{line}: {output:?}");
        }
        runtime.block_on(server.stop())?;
    }
    Ok(())
}
