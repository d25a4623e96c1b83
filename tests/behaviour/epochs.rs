//! Histories of a log: a restored dump, a failover, a backup that nobody noted; a consumer that has read more is told.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::env::{Engine, Env, Test, TestResult, until};
use crate::groups::{make, show, take, tell};
use crate::lifecycle::ended;
use crate::offsets::assert_whole;
use crate::postgres::{SUPERUSER, Sql};
use crate::process::Tidegate;
use crate::streams::{all, next, numbers, page, reaches, send};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    a_restored_dump_goes_on_where_it_was,
    a_failover_begins_an_epoch,
    a_database_that_is_accepted_begins_an_epoch,
    a_process_that_runs_on_notices_that_the_log_went_back,
    another_history_is_told_by_its_batches,
);

/// Copies the test's database by a dump, in the same cluster.
pub fn dumped(env: &Env, into: &str) -> Sql {
    let program = |name: &str| env.installation().program(name);
    let (server, file) = (Sql::bare(&env.url(SUPERUSER)), env.path().join("dump.sql"));
    let run = |program: &Path, arguments: &[&str]| {
        let done = Command::new(program).args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let url = |database: &str| env.url(SUPERUSER).replace(env.database(), database);
    run(&program("pg_dump"), &["-Fc", "-d", &env.url(SUPERUSER), "-f", file.to_str().unwrap()]);
    server.run(&format!("CREATE DATABASE {into} OWNER tidegate_owner"));
    let around = |function: &str| {
        if env.engine == Engine::Timescale {
            Sql::bare(&url(into)).run(&format!("SELECT public.{function}()"));
        }
    };
    if env.engine == Engine::Timescale {
        Sql::bare(&url(into)).run("SET client_min_messages = error; CREATE EXTENSION timescaledb SCHEMA public");
    }
    around("timescaledb_pre_restore");
    run(&program("pg_restore"), &["-d", &url(into), file.to_str().unwrap()]);
    around("timescaledb_post_restore");
    Sql::connect(&url(into))
}

fn a_restored_dump_goes_on_where_it_was(env: &Env) -> TestResult {
    let tidegate = env.serve();
    send(&tidegate.client, "s", 0, 3);
    send(&tidegate.client, "s", 3, 2);
    let before = all(&tidegate.client, "s", 5);
    let cursor = |page: &Value| page["cursor"].as_str().unwrap().to_owned();
    let read = cursor(&page(&tidegate.client, "s", "offset=1&limit=2"));
    // What is committed and not logged when the dump is made.
    ended(env, tidegate);
    let sql = env.sql();
    sql.run(
        "BEGIN; INSERT INTO ingest_batches (kind, tenant_id, batch_id, stream, event_count, min_timestamp, max_timestamp, touched_hours, \
         seq_span) VALUES ('events', 'default', 1, 's', 0, now(), now(), '{}', 4); \
         INSERT INTO batch_queue (tenant_id, stream, batch_id, span, event_count, min_timestamp, max_timestamp) \
         VALUES ('default', 's', 1, 4, 0, now(), now()); COMMIT",
    );
    let other = format!("{}_r", env.database());
    let restored = dumped(env, &other);
    let logged = restored.one::<i64>("SELECT count(*) FROM batch_log");

    // The first database goes on, and a consumer reads what comes.
    let first = env.serve();
    send(&first.client, "s", 5, 3);
    reaches(&first.client, "s", 12);
    let ahead = cursor(&page(&first.client, "s", "offset=9"));

    // So does the copy, without it.
    let variables =
        env.variables().into_iter().map(|(name, url)| (name, url.replace(env.database(), &other))).collect::<Vec<_>>();
    let elsewhere = ["--set".to_owned(), format!("data_dir={}", env.path().join("elsewhere").display())];
    let copy = Tidegate::serve(env, &variables, &elsewhere);
    until("the copy has logged what was not", || (restored.count("batch_log") == logged + 1).then_some(()));
    assert_eq!(all(&copy.client, "s", 5), before, "as before, and nothing is logged twice");
    assert_whole(&restored);
    assert_eq!(restored.one::<i64>("SELECT count(*) FROM log_epochs"), 2);
    let on = page(&copy.client, "s", &format!("cursor={read}"));
    assert_eq!(numbers(&on), before[3..], "what was read before is known");
    let gone = copy.client.get(&format!("/v1/streams/s/events?cursor={ahead}")).problem(410, "offset_gone");
    // What the log had when it was copied is the same; behind it other events come.
    assert_eq!((&gone["next_offset"], &gone["end"]), (&json!(5), &json!(9)), "{gone}");
    send(&copy.client, "s", 50, 4);
    reaches(&copy.client, "s", 13);
    copy.client.get(&format!("/v1/streams/s/events?cursor={ahead}")).problem(410, "offset_gone");
    let on = page(&copy.client, "s", &format!("cursor={}&limit=10", gone["cursor"].as_str().unwrap()));
    assert_eq!(numbers(&on), [(9, 50), (10, 51), (11, 52), (12, 53)]);
    drop(copy);
    drop(restored);
    Sql::bare(&env.url(SUPERUSER)).run(&format!("DROP DATABASE {other} WITH (FORCE)"));
    Ok(())
}

/// As the log sees it: the timeline is another one.
fn a_failover_begins_an_epoch(env: &Env) -> TestResult {
    let mut tidegate = env.serve();
    send(&tidegate.client, "s", 0, 3);
    let before = all(&tidegate.client, "s", 3);
    let (two, three) = (
        page(&tidegate.client, "s", "offset=0&limit=2")["cursor"].as_str().unwrap().to_owned(),
        page(&tidegate.client, "s", "offset=3")["cursor"].as_str().unwrap().to_owned(),
    );
    assert_eq!(tidegate.stop(), Some(0));
    let sql = env.sql();
    sql.run("UPDATE sequencer_ticks SET timeline = '00000000'");
    let tidegate = env.serve();
    until("an epoch has begun", || (sql.count("log_epochs") == 2).then_some(()));
    assert_eq!(all(&tidegate.client, "s", 3), before);
    send(&tidegate.client, "s", 3, 1);
    assert_eq!(numbers(&next(&tidegate.client, "s", &format!("cursor={two}"))).first(), Some(&(2, 2)));
    assert_eq!(numbers(&next(&tidegate.client, "s", &format!("cursor={three}"))), [(3, 3)]);
    assert_whole(&sql);
    // What a consumer has read that this server never had.
    sql.run("UPDATE stream_epochs SET ended = 2");
    let gone = tidegate.client.get(&format!("/v1/streams/s/events?cursor={three}")).problem(410, "offset_gone");
    assert_eq!(gone["next_offset"], 2);
    assert_eq!(numbers(&page(&tidegate.client, "s", &format!("cursor={two}"))).len(), 2);
    Ok(())
}

/// A group that has read two of three events, and a lease that is out.
fn group_in_between(client: &crate::client::Client) -> (Value, Value) {
    make(client, "s", json!({ "name": "g" }));
    let taken = take(client, "s", "g", "member=m&limit=2");
    assert!(taken["lease"].is_string(), "{taken}");
    (taken["lease"].clone(), show(client, "s", "g")["generation"].clone())
}

fn assert_fenced(client: &crate::client::Client, (lease, generation): &(Value, Value)) {
    let group = show(client, "s", "g");
    assert!(group["generation"].as_i64() > generation.as_i64(), "{group}");
    tell(client, "s", "g", "ack", json!({ "lease": lease })).problem(409, "lease_over");
}

/// As after a base backup that was started as it is: the database does not know, the operator does.
fn a_database_that_is_accepted_begins_an_epoch(env: &Env) -> TestResult {
    let mut tidegate = env.serve();
    send(&tidegate.client, "s", 0, 3);
    reaches(&tidegate.client, "s", 3);
    let cursor = page(&tidegate.client, "s", "offset=3")["cursor"].as_str().unwrap().to_owned();
    let held = group_in_between(&tidegate.client);
    assert_eq!(tidegate.stop(), Some(0));
    let sql = env.sql();
    let epochs = sql.count("log_epochs");
    env.cli(&["accept-database", "--json"]).json();
    let tidegate = env.serve();
    until("an epoch has begun", || (sql.count("log_epochs") == epochs + 1).then_some(()));
    assert_fenced(&tidegate.client, &held);
    // It had not read more than there is.
    send(&tidegate.client, "s", 3, 1);
    assert_eq!(numbers(&next(&tidegate.client, "s", &format!("cursor={cursor}"))), [(3, 3)]);
    assert_whole(&sql);
    assert_eq!(sql.count("log_epochs"), epochs + 1, "once");
    Ok(())
}

fn a_process_that_runs_on_notices_that_the_log_went_back(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    for n in 0..3 {
        send(client, "s", n, 1);
        reaches(client, "s", i64::try_from(n).unwrap() + 1);
    }
    let held = group_in_between(client);
    let sql = env.sql();
    let epochs = sql.count("log_epochs");
    // It has looked at what is behind the newest tick, and so knows it.
    until("older ticks are gone", || (sql.count("sequencer_ticks") == 1).then_some(()));
    sql.run(
        "BEGIN; LOCK TABLE lock_sequencer IN EXCLUSIVE MODE; INSERT INTO sequencer_ticks OVERRIDING SYSTEM VALUE \
         SELECT 1, snapshot, system_identifier, timeline, epoch, at FROM sequencer_ticks ORDER BY tick DESC LIMIT 1; \
         DELETE FROM sequencer_ticks WHERE tick > 1; \
         ALTER TABLE sequencer_ticks ALTER COLUMN tick RESTART WITH 2; COMMIT",
    );
    until("an epoch has begun", || (sql.count("log_epochs") == epochs + 1).then_some(()));
    assert_fenced(client, &held);
    send(client, "s", 3, 1);
    reaches(client, "s", 4);
    assert_whole(&sql);
    Ok(())
}

/// As after a base backup that was started as it is: the log went on from an earlier moment, and nothing says so.
fn another_history_is_told_by_its_batches(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    (0..6).for_each(|n| send(client, "s", n, 2));
    reaches(client, "s", 12);
    let cursor = |query: &str| page(client, "s", query)["cursor"].as_str().unwrap().to_owned();
    let cursors: Vec<(i64, String)> = (0..12).map(|n| (n, cursor(&format!("offset={n}&limit=1")))).collect();
    let (end, empty) = (cursor("offset=12"), cursor("offset=latest"));
    assert_eq!(end, empty);
    let feed = |cursor: &str| client.get(&format!("/v1/streams/s/events?cursor={cursor}&limit=1"));
    let sql = env.sql();
    // From offset 6 on other batches came.
    sql.run("UPDATE batch_log SET batch_id = batch_id + 1000000000 WHERE base >= 6");
    for (offset, cursor) in &cursors {
        if *offset < 6 {
            // What was read is the same; of what comes next the events are not there.
            let next = if *offset < 5 { offset + 2 } else { 12 };
            assert_eq!(feed(cursor).expect(200)["next_offset"], next, "{offset}");
        } else {
            let gone = feed(cursor).problem(410, "offset_gone");
            assert_eq!(gone["next_offset"], 0, "nobody knows from where on they differ");
        }
    }
    feed(&end).problem(410, "offset_gone");
    sql.run("DELETE FROM batch_log WHERE base >= 6");
    let gone = feed(&end).problem(410, "offset_gone");
    assert_eq!((&gone["next_offset"], &gone["end"]), (&json!(0), &json!(6)));
    assert_eq!(feed(gone["cursor"].as_str().unwrap()).expect(200)["next_offset"], 1);
    Ok(())
}
