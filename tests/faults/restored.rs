//! Backups that are taken under load and restored elsewhere, as docs/OPERATIONS.md says (scenario 48): a dump, a base backup, a
//! moment of the WAL archive.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use crate::client::Client;
use crate::cluster::{Cluster, DATABASE};
use crate::env::{Engine, Env, TestResult, until};
use crate::groups_kept::Kept;
use crate::invariants::Scene;
use crate::postgres::Sql;
use crate::private::own;
use crate::process::{Finished, Tidegate};
use crate::proxy::{Point, Proxy};
use crate::samples::{array, hours_from_now, metric_with};
use crate::scenario;
use crate::scenario::Scenario;
use crate::senders::Senders;
use crate::told::Told;
use crate::traffic::Patience;
use crate::{derived, shape};

pub const SCENARIOS: &[Scenario] = &[
    scenario!(s48_a_dump).slow().needs(missing),
    scenario!(s48_a_base_backup).slow().needs(missing),
    scenario!(s48_a_point_in_time).slow().needs(missing),
    scenario!(s48_what_waits_is_not_taken_for_written).slow().needs(missing),
];

/// Server tools that are not beside the servers of this machine.
fn missing() -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let installations = runtime.block_on(tidegate::storage::embedded::installations());
    let programs = ["pg_dump", "pg_restore", "pg_basebackup"].into_iter();
    let lack = |name: &&str| installations.iter().any(|installation| !installation.program(name).exists());
    let missing: Vec<&str> = programs.filter(lack).collect();
    (!missing.is_empty()).then(|| format!("{} not there beside each PostgreSQL server", missing.join(", ")))
}

fn dump(env: &Env, cluster: &Cluster) -> PathBuf {
    let file = cluster.folder("dump").join("tidegate.dump");
    cluster.tool("pg_dump", |command| {
        command.args(["-Fc", "-d", DATABASE, "-f"]).arg(&file);
    });
    println!("{}: the dump has {} bytes", env.engine.as_str(), std::fs::metadata(&file).unwrap().len());
    file
}

/// Into a new server, whose roles and empty database with the extension are there.
fn restore_dump(env: &Env, file: &PathBuf) -> Cluster {
    let restored = Cluster::start(env);
    let around = |function: &str| {
        if env.engine == Engine::Timescale {
            restored.superuser().run(&format!("SELECT public.{function}()"));
        }
    };
    // The account of the server reads it in the folder of the other one.
    let copy = restored.folder("dump").join("tidegate.dump");
    std::fs::copy(file, &copy).unwrap();
    own(&copy, &restored.data());
    around("timescaledb_pre_restore");
    restored.tool("pg_restore", |command| {
        command.args(["-d", DATABASE, "--exit-on-error"]).arg(&copy);
    });
    around("timescaledb_post_restore");
    restored
}

fn s48_a_dump(env: &Env) -> TestResult {
    let take = |cluster: &Cluster, ()| dump(env, cluster);
    restored(env, "s48_a_dump", Process::Started, |_| (), take, |_, file| restore_dump(env, &file))
}

fn s48_a_base_backup(env: &Env) -> TestResult {
    let take = |cluster: &Cluster, ()| cluster.base_backup(env, &[]);
    let restore = |_: &Cluster, mut backup: Cluster| {
        backup.run(&[]);
        backup
    };
    restored(env, "s48_a_base_backup", Process::Kept, |_| (), take, restore)
}

/// A moment that is in the archive.
fn mark(cluster: &Cluster) {
    let server = cluster.superuser();
    let wal: String =
        server.one("SELECT pg_walfile_name(pg_create_restore_point('moment')) FROM (SELECT pg_switch_wal()) s");
    server.run("SELECT pg_switch_wal()");
    let archived = format!("SELECT coalesce(last_archived_wal >= '{wal}', false) FROM pg_stat_archiver");
    until("the moment is archived", || server.one::<bool>(&archived).then_some(()));
}

fn s48_a_point_in_time(env: &Env) -> TestResult {
    let prepare = |cluster: &mut Cluster| {
        let archive = cluster.folder("archive");
        let server = cluster.superuser();
        server.run("ALTER SYSTEM SET archive_mode = on");
        let copy = format!("test ! -f {0}/%f && cp %p {0}/%f", archive.display());
        server.run(&format!("ALTER SYSTEM SET archive_command = '{copy}'"));
        drop(server);
        cluster.stop();
        cluster.run(&[]);
        cluster.base_backup(env, &[])
    };
    let take = |cluster: &Cluster, backup: Cluster| {
        mark(cluster);
        backup
    };
    restored(env, "s48_a_point_in_time", Process::Started, prepare, take, |cluster, mut backup| {
        let settings = backup.data().join("postgresql.auto.conf");
        let mut settings = OpenOptions::new().append(true).open(settings).unwrap();
        writeln!(
            settings,
            "archive_mode = off\nrestore_command = 'cp {}/%f %p'\nrecovery_target_name = 'moment'\n\
             recovery_target_action = promote",
            cluster.folder("archive").display()
        )
        .unwrap();
        let signal = backup.data().join("recovery.signal");
        std::fs::write(&signal, "").unwrap();
        own(&signal, &backup.data());
        backup.run(&[]);
        let server = backup.superuser();
        until("it is there", || (!server.one::<bool>("SELECT pg_is_in_recovery()")).then_some(()));
        drop(server);
        backup
    })
}

/// Samples of these days back, ten of each, of an asset that tells them apart.
fn samples(client: &Client, asset: &str, days: &[i64]) {
    let sample = |day: i64, n: i64| {
        let at = hours_from_now(-24 * day - 1);
        metric_with(asset, &format!(r#""value":{n},"timestamp":"{at}""#))
    };
    let items = days.iter().flat_map(|&day| (0..10).map(move |n| sample(day, n)));
    let count = u64::try_from(days.len() * 10).unwrap();
    client.metrics(array(items)).accepted(count, 0);
}

fn samples_of(sql: &Sql, asset: &str) -> i64 {
    sql.one(&format!("SELECT count(*) FROM metrics WHERE asset_id = '{asset}'"))
}

/// Runs the lifecycle job with these settings until nobody else is at what is due; returns how many chunks or partitions it
/// dropped.
fn upkeep(env: &Env, variables: &[(String, String)], settings: &[&str]) -> u64 {
    let flags = settings.iter().flat_map(|setting| ["--set", setting]);
    let arguments: Vec<&str> = ["lifecycle", "run", "--json"].into_iter().chain(flags).collect();
    let mut dropped = 0;
    until("nobody else is at what is due", || {
        let counts = Finished::run(env, variables, &arguments).json();
        dropped += counts["chunks_dropped"].as_u64().or(counts["partitions_dropped"].as_u64()).unwrap_or(0);
        (counts["chunks_busy"] == 0).then_some(())
    });
    dropped
}

/// The checks of `doctor` that are not in order, as far as they are about the database.
fn complaints(env: &Env, variables: &[(String, String)]) -> BTreeMap<String, String> {
    let finished = Finished::run(env, variables, &["doctor", "--json"]);
    let found: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"));
    let complaint = |finding: &Value| {
        let text = |name: &str| finding[name].as_str().unwrap().to_owned();
        // Bad items of the senders, and chunks of yesterday that the next minute takes up.
        let expected = finding["state"] == "ok" || matches!(text("check").as_str(), "dead letters" | "chunks");
        (!expected).then(|| (text("check"), format!("{} {}", text("state"), text("found"))))
    };
    found.as_array().unwrap().iter().filter_map(complaint).collect()
}

/// The process that writes to what was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Process {
    /// Started on it, as it should be.
    Started,
    /// There all along, since nobody stopped it; what is as young as in a test is not told apart from what was there before.
    Kept,
}

/// A backup is taken under load, the server is lost some time later, and the backup takes its place: what was acknowledged before
/// the moment is there, what senders repeat and what waits in the spool is stored once, and everything goes on.
fn restored<P, K>(
    env: &Env,
    name: &str,
    process: Process,
    prepare: impl FnOnce(&mut Cluster) -> P,
    take: impl FnOnce(&Cluster, P) -> K,
    restore: impl FnOnce(&Cluster, K) -> Cluster,
) -> TestResult {
    let mut cluster = Cluster::start(env);
    let prepared = prepare(&mut cluster);
    let proxy = Proxy::start(&cluster.socket());
    let variables = Cluster::variables_all_through(&proxy);
    let mut tidegate = Tidegate::serve(env, &variables, &[]);
    samples(&tidegate.client, "before", &[9, 4, 2, 0]);
    upkeep(env, &variables, &[]);
    let complained = complaints(env, &variables);
    let made = shape::of(&cluster.sql());

    let told = Arc::new(Told::default());
    let senders = Senders::start(&told, &tidegate.client, Patience::Retry);
    senders.flow(30);
    let before: BTreeSet<Uuid> =
        told.records().iter().filter(|record| record.is_committed()).map(|record| record.good[0]).collect();
    let logged = log_of(&cluster.sql());
    let stream = logged.first().expect("a batch is logged").0.clone();
    let consumer =
        |client: &Client, place: &str| client.get(&format!("/v1/streams/{stream}/events?limit=5&wait=10s&{place}"));
    let cursor = |page: &Value| page["cursor"].as_str().unwrap().to_owned();
    let behind = consumer(&tidegate.client, "offset=0").expect(200);
    let mut groups = Kept::begin(&tidegate.client, &stream);
    let kept = take(&cluster, prepared);
    let end = || tidegate.client.get(&format!("/v1/streams/{stream}/events?offset=latest")).expect(200);
    let moment = end()["end"].as_i64().unwrap();
    senders.flow(30);
    let ahead = until("more is logged", || Some(end()).filter(|page| page["end"].as_i64().unwrap() > moment));
    groups.read_on(&tidegate.client, ahead["end"].as_i64().unwrap());
    samples(&tidegate.client, "after", &[4, 1, 0]);
    proxy.away();
    cluster.crash();
    senders.spool(8);
    if process == Process::Started {
        tidegate.signal(nix::sys::signal::Signal::SIGKILL);
        tidegate.wait();
    }

    let restored = restore(&cluster, kept);
    proxy.lead_to(&restored.socket());
    proxy.back();
    for command in [["accept-database", "--json"], ["migrate", "--check"]] {
        let finished = Finished::run(env, &variables, &command);
        assert_eq!(finished.code, Some(0), "{finished:?}");
    }
    shape::assert_alike(&made, &shape::of(&restored.sql()));
    if process == Process::Started {
        tidegate = Tidegate::serve(env, &variables, &[]);
        senders.redirect(&tidegate.client);
    }
    senders.flow(10);
    senders.finish();
    sent_once_more(env, &told, &tidegate.client);
    if process == Process::Kept {
        // Its books speak of what was lost, too.
        assert_eq!(tidegate.stop(), Some(0));
        tidegate = Tidegate::serve(env, &variables, &[]);
    }

    let sql = restored.sql();
    let now = log_of(&sql);
    assert!(logged.is_subset(&now), "I3: batches have other offsets than before the moment");
    // Who had read less than that goes on, who had read more is told where to.
    let next = consumer(&tidegate.client, &format!("cursor={}", cursor(&behind))).expect(200);
    assert_eq!(next["data"][0]["offset"], behind["next_offset"]);
    let gone = consumer(&tidegate.client, &format!("cursor={}", cursor(&ahead))).problem(410, "offset_gone");
    let next = consumer(&tidegate.client, &format!("cursor={}", cursor(&gone))).expect(200);
    assert_eq!(next["data"][0]["offset"], gone["next_offset"]);
    groups.assert_restored(&tidegate.client);
    let lost = Scene::new(env, &tidegate, &sql, &told).check(name);
    // Who sends without a key cannot repeat, and what came after the moment is lost with the server.
    let wrongly: Vec<_> =
        lost.iter().filter(|record| record.key.is_some() || before.contains(&record.good[0])).collect();
    assert!(wrongly.is_empty(), "I1: acknowledged before the moment, or repeated, and lost: {wrongly:?}");
    println!("{}: {name}: {} before the moment, {} lost after it", env.engine.as_str(), before.len(), lost.len());

    assert_eq!((samples_of(&sql, "before"), samples_of(&sql, "after")), (40, 0));
    samples(&tidegate.client, "after", &[4, 3, 1, 0]);
    derived::settled(&sql);
    assert_eq!(samples_of(&sql, "after"), 40);
    assert!(upkeep(env, &variables, &["retention.metrics=6d"]) > 0, "nothing has expired");
    until("what has expired is gone", || (samples_of(&sql, "before") == 30).then_some(()));
    derived::settled(&sql);
    let more: Vec<_> =
        complaints(env, &variables).into_iter().filter(|(check, _)| !complained.contains_key(check)).collect();
    assert_eq!(more, [], "doctor says no more than it said before");
    let failed: i64 = sql.one("SELECT count(*) FROM job_runs WHERE last_error_at = finished_at");
    assert_eq!(failed, 0, "a job's last run failed");
    until("it is ready", || (tidegate.client.get("/readyz").json()["status"] == "ready").then_some(()));
    Ok(())
}

/// Which batch begins at which offset of its stream.
fn log_of(sql: &Sql) -> BTreeSet<(String, i64, i64)> {
    let rows = sql.rows("SELECT stream, base, batch_id FROM batch_log", &[]);
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

/// As senders do that were not answered, or do not believe that they were.
fn sent_once_more(env: &Env, told: &Told, client: &Client) {
    let (mut duplicates, mut again) = (0, 0);
    for request in told.keyed() {
        let answer = told.send(client, &request).expect("an answer").in_time().expect(200);
        if answer["duplicate"] == true { duplicates += 1 } else { again += 1 }
    }
    println!("{}: sent once more: {duplicates} were there, {again} were not", env.engine.as_str());
    assert!(duplicates > 0 && again > 0, "{duplicates}, {again}");
}

/// A request went into the spool because the reply to its COMMIT was lost. The database that is restored has not given out the
/// numbers of its batches yet, so that others could get them before the spool is drained.
fn s48_what_waits_is_not_taken_for_written(env: &Env) -> TestResult {
    let mut cluster = Cluster::start(env);
    let proxy = Proxy::start(&cluster.socket());
    // Jobs commit as well: their connections are not led through it.
    let tidegate = Tidegate::serve(env, &cluster.variables_through(&proxy), &[]);
    let file = dump(env, &cluster);
    let told = Arc::new(Told::default());
    told.both(&tidegate.client, 200);
    let held = proxy.held();
    let request = told.request(false, 3, 1);
    std::thread::scope(|scope| {
        proxy.hold_next(Point::Commit);
        let (client, told) = (tidegate.client.clone(), &told);
        let sender = scope.spawn(move || told.send(&client, &request).expect("an answer").expect(202));
        until("its COMMIT is held", || (proxy.held() > held).then_some(()));
        proxy.away();
        sender.join().unwrap();
    });
    cluster.crash();
    tidegate.signal(nix::sys::signal::Signal::SIGKILL);
    drop(tidegate);

    let restored = restore_dump(env, &file);
    // Another node writes first.
    let elsewhere = ["--set".to_owned(), format!("data_dir={}", env.path().join("elsewhere").display())];
    let other = Tidegate::serve(env, &restored.variables(), &elsewhere);
    for _ in 0..10 {
        told.both(&other.client, 200);
    }
    drop(other);
    let tidegate = Tidegate::serve(env, &restored.variables(), &[]);
    told.both(&tidegate.client, 200);
    let lost = Scene::new(env, &tidegate, &restored.sql(), &told).check("s48_what_waits_is_not_taken_for_written");
    let waited = lost.iter().filter(|record| record.attempts.iter().any(|attempt| attempt.reply.status() == Some(202)));
    assert_eq!(waited.count(), 0, "I1: it was acknowledged and waited in the spool: {lost:?}");
    Ok(())
}
