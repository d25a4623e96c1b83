//! The database is away when the process starts (scenario 41), or it comes back as another one (42).

use std::sync::Arc;

use jiff::SignedDuration;

use crate::cluster::{Cluster, DATABASE};
use crate::env::{Engine, Env, TestResult, until};
use crate::invariants::Scene;
use crate::postgres::{SUPERUSER, Sql};
use crate::process::{Finished, Tidegate};
use crate::proxy::Proxy;
use crate::scenario;
use crate::scenario::Scenario;
use crate::shim::{self, Clock};
use crate::told::Told;

pub const SCENARIOS: &[Scenario] = &[
    scenario!(s41_ten_thousand_events_without_the_database),
    scenario!(s41_killed_again_and_again_while_it_is_away),
    scenario!(s42_an_empty_database),
    scenario!(s42_another_installation).slow(),
    scenario!(s42_another_encoding).slow(),
    scenario!(s42_without_the_extension).slow().of(&[Engine::Timescale]),
    scenario!(s42_an_older_backup).slow().needs(shim::missing),
    scenario!(s42_read_only),
    scenario!(s42_a_standby),
];

/// The keys that a process remembers are on disk.
fn remembered(env: &Env) {
    until("the key is kept", || env.path().join(".tidegate/keys").exists().then_some(()));
}

fn s41_ten_thousand_events_without_the_database(env: &Env) -> TestResult {
    let mut cluster = Cluster::start(env);
    let mut tidegate = Tidegate::serve(env, &cluster.variables(), &[]);
    let told = Arc::new(Told::default());
    told.both(&tidegate.client, 200);
    remembered(env);
    cluster.stop();
    tidegate.kill();
    let mut tidegate = Tidegate::listening(env, &cluster.variables(), &[]);
    for n in 0..10 {
        let answer = told.send(&tidegate.client, &told.request(n % 2 == 0, 1000, 0)).expect("an answer");
        assert_eq!(answer.expect(202)["accepted"], 1000);
    }
    cluster.run(&[]);
    tidegate.ready(env);
    told.both(&tidegate.client, 200);
    let sql = cluster.sql();
    Scene::new(env, &tidegate, &sql, &told).assert_invariants("s41_ten_thousand_events_without_the_database");
    assert_eq!(sql.count("events"), 10_000 + 4 * 3);
    Ok(())
}

fn s41_killed_again_and_again_while_it_is_away(env: &Env) -> TestResult {
    let mut cluster = Cluster::start(env);
    let mut tidegate = Tidegate::serve(env, &cluster.variables(), &[]);
    let told = Arc::new(Told::default());
    told.both(&tidegate.client, 200);
    remembered(env);
    cluster.crash();
    told.both(&tidegate.client, 202);
    let again = told.request(true, 3, 1);
    for _ in 0..3 {
        tidegate.kill();
        tidegate = Tidegate::listening(env, &cluster.variables(), &[]);
        told.both(&tidegate.client, 202);
        told.send(&tidegate.client, &again).expect("an answer").expect(202);
        let read = tidegate.client.get("/v1/events");
        read.problem(503, "database_unavailable");
        assert!(!read.header("retry-after").is_empty());
        tidegate.client.get("/readyz").expect(503);
    }
    cluster.run(&[]);
    tidegate.ready(env);
    told.both(&tidegate.client, 200);
    // A process that is stopped and started as usual finds nothing odd.
    assert_eq!(tidegate.stop(), Some(0));
    tidegate = Tidegate::serve(env, &cluster.variables(), &[]);
    told.both(&tidegate.client, 200);
    let sql = cluster.sql();
    Scene::new(env, &tidegate, &sql, &told).assert_invariants("s41_killed_again_and_again_while_it_is_away");
    Ok(())
}

/// What there is in a database, for comparing: relations, and rows of those of Tidegate that a process writes first.
fn contents(cluster: &Cluster) -> Vec<i64> {
    let sql = cluster.superuser();
    let mut found = vec![sql.count("pg_class")];
    for table in ["events", "ingest_ledger", "ingest_batches", "dead_letter_events", "organizations", "job_runs"] {
        let there: bool = sql.one(&format!("SELECT to_regclass('tidegate.{table}') IS NOT NULL"));
        found.push(if there { sql.count(&format!("tidegate.{table}")) } else { -1 });
    }
    found
}

fn is_refused(tidegate: &Tidegate, word: &str) {
    until("it says that it is another database", || {
        let answer = tidegate.client.get("/readyz");
        let reason = answer.json()["reason"].as_str().unwrap_or_default().to_owned();
        (answer.status == 503 && reason.contains(word)).then_some(())
    });
}

/// The database goes away and comes back as what `make` makes: while the process runs, while it waits, and when it starts.
/// Nothing is written to it; what was acknowledged goes into the right one in the end.
fn comes_back_as(env: &Env, name: &str, word: &str, make: impl FnOnce(&Env, &mut Cluster) -> Cluster) -> TestResult {
    let mut cluster = Cluster::start(env);
    let proxy = Proxy::start(&cluster.socket());
    let variables = Cluster::variables_all_through(&proxy);
    let mut tidegate = Tidegate::serve(env, &variables, &[]);
    let told = Arc::new(Told::default());
    told.both(&tidegate.client, 200);
    remembered(env);
    let other = make(env, &mut cluster);
    let before = contents(&other);
    proxy.away();
    told.both(&tidegate.client, 202);
    proxy.lead_to(&other.socket());
    proxy.back();
    is_refused(&tidegate, word);
    told.both(&tidegate.client, 202);
    tidegate.kill();
    proxy.away();
    tidegate = Tidegate::listening(env, &variables, &[]);
    told.both(&tidegate.client, 202);
    proxy.back();
    is_refused(&tidegate, word);
    told.both(&tidegate.client, 202);
    tidegate.kill();
    let finished = Finished::run(env, &variables, &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished:?}");
    assert!(finished.stderr.contains(word) && finished.stderr.contains("accept-database"), "{finished:?}");
    assert_eq!(contents(&other), before, "something was written to another database");
    proxy.lead_to(&cluster.socket());
    tidegate = Tidegate::serve(env, &variables, &[]);
    told.both(&tidegate.client, 200);
    Scene::new(env, &tidegate, &cluster.sql(), &told).assert_invariants(name);
    Ok(())
}

fn s42_an_empty_database(env: &Env) -> TestResult {
    comes_back_as(env, "s42_an_empty_database", "holds nothing of Tidegate", |env, _| Cluster::start(env))
}

fn s42_another_installation(env: &Env) -> TestResult {
    comes_back_as(env, "s42_another_installation", "is the installation", |env, _| {
        let other = Cluster::start(env);
        assert_eq!(Finished::run(env, &other.variables(), &["migrate"]).code, Some(0));
        other
    })
}

fn s42_another_encoding(env: &Env) -> TestResult {
    comes_back_as(env, "s42_another_encoding", "holds nothing of Tidegate", |env, _| {
        let other = Cluster::start(env);
        let server = Sql::connect(&other.url_of(SUPERUSER, "postgres"));
        server.run(&format!("DROP DATABASE {DATABASE} WITH (FORCE)"));
        server.run(&format!(
            "CREATE DATABASE {DATABASE} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        ));
        other
    })
}

fn s42_without_the_extension(env: &Env) -> TestResult {
    comes_back_as(env, "s42_without_the_extension", "TimescaleDB", |env, cluster| {
        let other = cluster.copy(env);
        other.superuser().run("SET client_min_messages = error; DROP EXTENSION timescaledb CASCADE");
        other
    })
}

/// Backups are hours old: what was written in the last minutes a standby might lack, and is not asked for. So the clock
/// of each next process is an hour later.
fn s42_an_older_backup(env: &Env) -> TestResult {
    let mut cluster = Cluster::start(env);
    let proxy = Proxy::start(&cluster.socket());
    let clock = Clock::new(env.path());
    let mut variables = Cluster::variables_all_through(&proxy);
    variables.extend(clock.variables());
    let told = Arc::new(Told::default());
    let mut tidegate = Tidegate::serve(env, &variables, &[]);
    let backup = cluster.copy(env);
    let before = contents(&backup);
    told.both(&tidegate.client, 200);
    for hour in 1..=2 {
        assert_eq!(tidegate.stop(), Some(0));
        clock.set(SignedDuration::from_hours(hour));
        tidegate = Tidegate::serve(env, &variables, &[]);
        told.both(&tidegate.client, 200);
    }
    proxy.away();
    told.both(&tidegate.client, 202);
    proxy.lead_to(&backup.socket());
    proxy.back();
    is_refused(&tidegate, "an older state");
    told.both(&tidegate.client, 202);
    tidegate.kill();
    let finished = Finished::run(env, &variables, &["serve", "--listen", "127.0.0.1:0"]);
    assert!(finished.code == Some(1) && finished.stderr.contains("an older state"), "{finished:?}");
    assert_eq!(contents(&backup), before, "something was written to a backup");
    proxy.lead_to(&cluster.socket());
    tidegate = Tidegate::serve(env, &variables, &[]);
    told.both(&tidegate.client, 200);
    Scene::new(env, &tidegate, &cluster.sql(), &told).assert_invariants("s42_an_older_backup");
    Ok(())
}

/// What an operator must mend ends a start, and is waited out where it is found later.
fn s42_read_only(env: &Env) -> TestResult {
    let cluster = Cluster::start(env);
    let proxy = Proxy::start(&cluster.socket());
    let variables = Cluster::variables_all_through(&proxy);
    let mut tidegate = Tidegate::serve(env, &variables, &[]);
    let told = Arc::new(Told::default());
    told.both(&tidegate.client, 200);
    remembered(env);
    tidegate.kill();
    let before = contents(&cluster);
    cluster.superuser().run(&format!("ALTER DATABASE {DATABASE} SET default_transaction_read_only = on"));
    let finished = Finished::run(env, &variables, &["serve", "--listen", "127.0.0.1:0"]);
    assert!(finished.code == Some(1) && finished.stderr.contains("read-only"), "{finished:?}");
    proxy.away();
    tidegate = Tidegate::listening(env, &variables, &[]);
    proxy.back();
    is_refused(&tidegate, "read-only");
    told.both(&tidegate.client, 202);
    assert_eq!(contents(&cluster), before, "something was written to it");
    let server = Sql::connect(&cluster.url_of(SUPERUSER, "postgres"));
    server.run(&format!("ALTER DATABASE {DATABASE} RESET default_transaction_read_only"));
    tidegate.ready(env);
    told.both(&tidegate.client, 200);
    Scene::new(env, &tidegate, &cluster.sql(), &told).assert_invariants("s42_read_only");
    Ok(())
}

/// What passes by itself is waited for, also at the start: a node that was started in the middle of a failover.
fn s42_a_standby(env: &Env) -> TestResult {
    let mut cluster = Cluster::start(env);
    let proxy = Proxy::start(&cluster.socket());
    let variables = Cluster::variables_all_through(&proxy);
    let mut tidegate = Tidegate::serve(env, &variables, &[]);
    let told = Arc::new(Told::default());
    told.both(&tidegate.client, 200);
    remembered(env);
    let standby = cluster.standby(env);
    tidegate.kill();
    cluster.caught_up(&standby);
    cluster.crash();
    proxy.lead_to(&standby.socket());
    tidegate = Tidegate::listening(env, &variables, &[]);
    is_refused(&tidegate, "standby");
    told.both(&tidegate.client, 202);
    standby.promote();
    tidegate.ready(env);
    told.both(&tidegate.client, 200);
    Scene::new(env, &tidegate, &standby.sql(), &told).assert_invariants("s42_a_standby");
    Ok(())
}
