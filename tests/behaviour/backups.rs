//! `tidegate backup`: made under load, listed, verified, restored on another cluster; damage is found; retention never takes the last
//! good one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tidegate::storage::embedded::{OWNER, locate_running};

use crate::env::{Engine, Env, Test, TestResult, until};
use crate::groups::{commit, make, offsets, show, take};
use crate::postgres::{SUPERUSER, Sql};
use crate::process::{Finished, Tidegate};
use crate::samples::{array, event, metric};
use crate::streams::{reaches, send};
use crate::tests;
use crate::traffic::{Patience, Traffic};

pub const TESTS: &[Test] =
    tests!(an_embedded_server_is_restored_to_a_backup_and_to_a_second, a_dump_is_verified_damaged_kept_and_restored,);

/// A command, and its answer as JSON.
struct Commands<'a> {
    env: &'a Env,
    variables: Vec<(String, String)>,
    flags: Vec<String>,
}

impl Commands<'_> {
    fn run(&self, arguments: &[&str]) -> Finished {
        let flags = self.flags.iter().map(String::as_str);
        let all: Vec<&str> = std::iter::once("backup").chain(arguments.iter().copied()).chain(flags).collect();
        Finished::run(self.env, &self.variables, &all)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        self.run(&[arguments, &["--json"]].concat()).json()
    }

    fn ids(&self) -> Vec<String> {
        let list = self.json(&["list"]);
        list.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    }
}

fn serve(env: &Env, data_dir: &Path, settings: &[&str]) -> Tidegate {
    let engine = format!("engine={}", env.engine.as_str());
    let settings = settings.iter().copied().chain([engine.as_str()]).flat_map(|setting| ["--set", setting]);
    let flags = ["--data-dir", data_dir.to_str().unwrap()].into_iter().chain(settings).map(str::to_owned);
    Tidegate::serve(env, &[], &flags.collect::<Vec<_>>())
}

fn sql(data_dir: &Path, role: &str) -> Sql {
    Sql::connect(&locate_running(data_dir).expect("a running server").url(role, "tidegate"))
}

/// What WAL there is now is in the archive.
fn archived(superuser: &Sql) {
    let written: String = superuser.one("SELECT pg_current_wal_flush_lsn()::text");
    let received = format!(
        "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'pg_receivewal' AND write_lsn >= '{written}'::pg_lsn"
    );
    until("it is archived", || (superuser.one::<i64>(&received) == 1).then_some(()));
}

fn count(sql: &Sql, n: usize) -> i64 {
    sql.one(&format!("SELECT count(*) FROM events WHERE payload->>'n' = '{n}' AND stream = 'marks'"))
}

fn mark(tidegate: &Tidegate, n: usize) {
    send(&tidegate.client, "marks", n, 1);
}

fn an_embedded_server_is_restored_to_a_backup_and_to_a_second(env: &Env) -> TestResult {
    let (data_dir, backups) = (env.path().join("data"), env.path().join("backups"));
    let folder = format!("backup.dir={}", backups.display());
    let mut tidegate = serve(env, &data_dir, &[&folder, "backup.every=1d"]);
    let commands = Commands {
        env,
        variables: Vec::new(),
        flags: ["--data-dir", data_dir.to_str().unwrap(), "--set", &folder].map(str::to_owned).to_vec(),
    };
    // The first one is made at once.
    until("a backup by schedule", || (!commands.ids().is_empty()).then_some(()));
    send(&tidegate.client, "s", 0, 10);
    reaches(&tidegate.client, "s", 10);
    make(&tidegate.client, "s", json!({ "name": "g" }));
    let taken = take(&tidegate.client, "s", "g", "limit=4");
    commit(&tidegate.client, "s", "g", &taken).expect(200);
    tidegate.client.metrics(array((0..50).map(metric))).accepted(50, 0);
    tidegate.client.keyed("once", event(1)).accepted(1, 0);

    let traffic = Traffic::start(&tidegate.client, Patience::Retry);
    traffic.flows(40);
    let made = commands.json(&["create"]);
    traffic.flows(40);
    let acknowledged = traffic.finish();
    let id = made["id"].as_str().unwrap();
    assert_eq!((&made["kind"], made["wal"].is_object()), (&json!("base"), true), "{made}");
    assert_eq!(commands.ids().len(), 2);
    // In a folder of another installation nothing is made, and nothing removed.
    let owner = backups.join("installation");
    let own = std::fs::read_to_string(&owner)?;
    std::fs::write(&owner, "0123456789abcdef\n")?;
    let refused = commands.run(&["create", "--prune", "--set", "backup.keep=1"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("of another Tidegate"), "{refused:?}");
    assert_eq!(commands.ids().len(), 2);
    std::fs::write(&owner, own)?;

    let superuser = sql(&data_dir, SUPERUSER);
    mark(&tidegate, 1);
    let second: String =
        superuser.one("SELECT to_char(date_trunc('second', now()) + interval '1 s', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')");
    until("the second is over", || superuser.one::<bool>(&format!("SELECT now() > '{second}'")).then_some(()));
    mark(&tidegate, 2);
    archived(&superuser);
    drop(superuser);
    assert_eq!(tidegate.stop(), Some(0));
    let cluster = data_dir.join("postgres").canonicalize()?;
    std::fs::remove_dir_all(&data_dir)?;
    let _ = std::fs::remove_dir_all(cluster);

    // Restored for a look, beside nothing that runs.
    let found = commands.json(&["verify", id, "--restore"]);
    assert_eq!((&found["good"], &found["restored"]), (&json!(true), &json!(true)), "{found}");

    // As it was when the backup was complete.
    let first = env.path().join("first");
    let into = |folder: &PathBuf| folder.to_str().unwrap().to_owned();
    let restored = commands.json(&["restore", id, "--into", &into(&first)]);
    assert_eq!((&restored["same"], &restored["differences"]), (&json!(true), &json!([])), "{restored}");
    let again = commands.run(&["restore", id, "--into", &into(&first)]);
    assert!(again.code == Some(1) && again.stderr.contains("is not empty"), "{again:?}");
    // A schedule makes nothing in the folder of another installation either.
    let foreign = env.path().join("foreign");
    std::fs::create_dir(&foreign)?;
    std::fs::write(foreign.join("installation"), "0123456789abcdef\n")?;
    let there = format!("backup.dir={}", foreign.display());
    let restarted = serve(env, &first, &["backup.every=1h", &there]);
    until("the schedule has failed", || {
        restarted.client.get("/metrics").text().contains("tidegate_backup_failures_total 1\n").then_some(())
    });
    assert_eq!(std::fs::read_dir(&foreign)?.count(), 1);
    let database = sql(&first, OWNER);
    assert_eq!((database.count("metrics"), count(&database, 1)), (50, 0));
    assert!(database.count("events") >= 11 && database.count("ingest_ledger") >= 1);
    until("the log knows that it was restored", || (database.count("log_epochs") == 2).then_some(()));
    // The group goes on where it was, and the ledger knows what it knew.
    assert_eq!(show(&restarted.client, "s", "g")["committed"], 4);
    assert_eq!(offsets(&take(&restarted.client, "s", "g", "limit=3")), [4, 5, 6]);
    assert_eq!(restarted.client.keyed("once", event(1)).expect(200)["duplicate"], true);
    drop(database);
    drop(restarted);

    // As it was at a second, of the newest backup before it.
    let second_place = env.path().join("second");
    let late = commands.run(&["restore", "--into", &into(&second_place), "--to", "2100-01-01T00:00:00Z"]);
    assert!(late.code == Some(1) && late.stderr.contains("the archive ends with a transaction of 2"), "{late:?}");
    commands.json(&["restore", "--into", &into(&second_place), "--to", &second]);
    let restarted = serve(env, &second_place, &[]);
    let database = sql(&second_place, OWNER);
    assert_eq!((count(&database, 1), count(&database, 2)), (1, 0), "to {second}");
    let stored =
        database.column::<String>("SELECT DISTINCT payload->>'key' FROM events WHERE payload->>'key' IS NOT NULL");
    let stored: BTreeSet<String> = stored.into_iter().collect();
    assert!(acknowledged.is_subset(&stored), "all that was acknowledged before");
    drop(database);
    drop(restarted);

    // Nothing is restored of what is damaged, also where no count would notice it.
    flip(&backups.join(id).join("base/global/pg_filenode.map"));
    let third = env.path().join("third");
    let damaged = commands.run(&["restore", id, "--into", &into(&third)]);
    assert!(damaged.code == Some(1) && damaged.stderr.contains("is damaged"), "{damaged:?}");
    assert!(!third.exists());
    Ok(())
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn a_dump_is_verified_damaged_kept_and_restored(env: &Env) -> TestResult {
    let tidegate = env.serve();
    send(&tidegate.client, "s", 0, 5);
    reaches(&tidegate.client, "s", 5);
    tidegate.client.metrics(array((0..20).map(metric))).accepted(20, 0);
    let backups = env.path().join("backups");
    let folder = format!("backup.dir={}", backups.display());
    let flags = ["--set", &folder, "--set", "backup.keep=2"].map(str::to_owned).to_vec();
    let commands = Commands { env, variables: env.variables(), flags };
    assert_eq!(commands.json(&["list"]), json!([]), "and no folder is made for it");
    assert!(!backups.exists());
    let nothing = commands.run(&["verify"]);
    assert!(nothing.code == Some(1) && nothing.stderr.contains("no good backup"), "{nothing:?}");

    let create = || commands.json(&["create", "--prune"])["id"].as_str().unwrap().to_owned();
    let one = create();
    // What is being made, or was never finished, is no backup; the next one clears it away.
    let unfinished = backups.join("20200101T000000Z.partial");
    std::fs::create_dir(&unfinished)?;
    assert_eq!(commands.ids(), [one.as_str()]);
    let two = create();
    assert!(!unfinished.exists());
    assert_eq!(commands.ids(), [one.as_str(), two.as_str()]);

    // Damage is found, noted, and does not count.
    let dump = backups.join(&two).join("tidegate.dump");
    flip(&dump);
    let damaged = commands.run(&["verify", &two, "--json"]);
    assert_eq!((damaged.code, &damaged.json_whatever()["good"]), (Some(1), &json!(false)), "{damaged:?}");
    assert_eq!(commands.json(&["list"])[1]["verified"]["good"], false);
    let good = commands.json(&["verify"]);
    assert_eq!((&good["id"], &good["good"]), (&json!(one), &json!(true)), "the newest good one");
    let three = create();
    assert_eq!(
        commands.ids(),
        [one.as_str(), two.as_str(), three.as_str()],
        "of two good ones the older is one of two kept"
    );
    let four = create();
    assert_eq!(commands.ids(), [three.as_str(), four.as_str()]);

    // Two at once.
    let held = tidegate::backup::Folder::at(&backups).hold()?;
    let second = commands.run(&["create"]);
    assert!(second.code == Some(1) && second.stderr.contains("makes a backup"), "{second:?}");
    drop(held);

    // It can be restored, in a server made for that, and into an empty database.
    let found = commands.json(&["verify", "--restore"]);
    assert_eq!((&found["good"], &found["restored"]), (&json!(true), &json!(true)), "{found}");
    let other = format!("{}_r", env.database());
    let server = Sql::bare(&env.url(SUPERUSER));
    server.run(&format!("CREATE DATABASE {other} OWNER tidegate_owner"));
    let url = env.url(SUPERUSER).replace(env.database(), &other);
    let file = env.path().join("url");
    std::fs::write(&file, &url)?;
    let restore = ["restore", "--into-url-file", file.to_str().unwrap()];
    let restored = commands.json(&restore);
    assert_eq!((&restored["same"], &restored["contents"]["metrics"]), (&json!(true), &json!(20)), "{restored}");
    let full = commands.run(&restore);
    assert!(full.code == Some(1) && full.stderr.contains("is not empty"), "{full:?}");
    let copy = Sql::connect(&url);
    assert_eq!((copy.count("events"), copy.count("metrics"), copy.count("batch_log")), (5, 20, 1));
    if env.engine == Engine::Timescale {
        assert!(copy.one::<i64>("SELECT count(*) FROM timescaledb_information.hypertables") > 1);
    }
    drop(copy);
    server.run(&format!("DROP DATABASE {other} WITH (FORCE)"));
    // A dump needs a database, not a folder.
    let folder = commands.run(&["restore", "--into", env.path().join("nowhere").to_str().unwrap()]);
    assert!(folder.code == Some(1) && folder.stderr.contains("--into-url-file"), "{folder:?}");
    assert_eq!(commands.run(&["restore"]).code, Some(2));
    Ok(())
}
