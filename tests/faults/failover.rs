//! A primary is lost, replaced, or comes back as what it is no more, and copies are read (scenarios 14 and 42): the node has all
//! servers in its URLs and finds the right one by itself.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::books::Books;
use crate::cluster::{Cluster, DATABASE};
use crate::env::{Env, TestResult, until};
use crate::invariants::Scene;
use crate::postgres::Sql;
use crate::private::variables;
use crate::process::{Finished, Tidegate};
use crate::proxy::Proxy;
use crate::samples::{array, event};
use crate::scenario;
use crate::scenario::Scenario;
use crate::senders::Senders;
use crate::told::Told;
use crate::traffic::Patience;

pub const SCENARIOS: &[Scenario] = &[
    scenario!(failover_to_a_synchronous_standby),
    scenario!(failover_from_a_frozen_primary).slow(),
    scenario!(failover_loses_what_no_standby_had),
    scenario!(failover_leaves_an_old_primary),
    scenario!(failover_loses_no_commit_that_waited).slow(),
    scenario!(failover_of_reads),
    scenario!(failover_cancels_reads),
    scenario!(failover_past_a_host_that_hangs),
];

/// How long a node may take until it stores again, on a busy machine.
const AGAIN_MAX: Duration = Duration::from_secs(15);

fn sessions(sql: &Sql, name: &str) -> i64 {
    sql.one(&format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tidegate {name}'"))
}

/// What `doctor` finds of one thing, and how it calls that.
fn doctor(env: &Env, variables: &[(String, String)], check: &str) -> (String, String) {
    let found = Finished::run(env, variables, &["doctor", "--json"]).json_whatever();
    let one = found.as_array().unwrap().iter().find(|one| one["check"] == check).unwrap_or_else(|| panic!("{found}"));
    (one["state"].as_str().unwrap().to_owned(), one["found"].as_str().unwrap().to_owned())
}

/// Nobody tells the node: it has both hosts, and goes where writes are taken.
fn failover_to_a_synchronous_standby(env: &Env) -> TestResult {
    let mut primary = Cluster::start(env);
    let told = Arc::new(Told::default());
    let mut standby = primary.standby(env);
    let both = Cluster::variables_of(&[&primary, &standby], "", "");
    let mut tidegate = Tidegate::serve(env, &both, &[]);
    primary.replicate_synchronously();
    let senders = Senders::start(&told, &tidegate.client, Patience::Retry);
    senders.flow(20);
    primary.crash();
    senders.spool(5);
    standby.promote();
    let promoted = Instant::now();
    senders.flow(5);
    let took = promoted.elapsed();
    assert!(took < AGAIN_MAX, "it stored again after {took:?}");
    println!("{}: it stored again {:.1} s after the promotion", env.engine.as_str(), took.as_secs_f64());
    // The old primary comes back at its place, which is the first one in the URLs, and takes over in its turn.
    primary.rejoin(&standby);
    senders.flow(5);
    standby.replicate_synchronously();
    senders.flow(5);
    standby.crash();
    senders.spool(1);
    primary.promote();
    senders.flow(5);
    senders.finish();
    assert!(tidegate.log().contains("another timeline"), "it was not noticed");
    let sql = primary.sql();
    Scene::new(env, &tidegate, &sql, &told).assert_invariants("failover_to_a_synchronous_standby");
    assert_eq!(sql.one::<i64>("SELECT count(*) FROM dead_letter_events WHERE stage = 'write'"), 0, "a good row");
    assert_eq!(tidegate.stop(), Some(0));
    Ok(())
}

/// The primary is there and says nothing; when it speaks again it is an old one, and nobody listens.
fn failover_from_a_frozen_primary(env: &Env) -> TestResult {
    let primary = Cluster::start(env);
    let told = Arc::new(Told::default());
    let standby = primary.standby(env);
    let tidegate = Tidegate::serve(env, &Cluster::variables_of(&[&primary, &standby], "", ""), &[]);
    told.both(&tidegate.client, 200);
    primary.caught_up(&standby);
    primary.freeze();
    let senders = Senders::start(&told, &tidegate.client, Patience::Retry);
    senders.spool(1);
    standby.promote();
    let promoted = Instant::now();
    senders.flow(5);
    let took = promoted.elapsed();
    assert!(took < AGAIN_MAX, "it stored again after {took:?}");
    println!("{}: it stored again {:.1} s after the promotion", env.engine.as_str(), took.as_secs_f64());
    primary.thaw();
    until("it is seen that both take writes", || tidegate.log().contains("several servers take writes").then_some(()));
    let (old, stored) = (primary.sql(), "SELECT count(*) FROM events");
    senders.flow(5);
    let before: i64 = old.one(stored);
    senders.flow(5);
    senders.finish();
    assert_eq!(old.one::<i64>(stored), before, "written to an old primary");
    let scene = "failover_from_a_frozen_primary";
    Scene::new(env, &tidegate, &standby.sql(), &told).assert_invariants(scene);
    Ok(())
}

/// Without synchronous standbys PostgreSQL forgets what it acknowledged: who has read it is told, and no number of a batch is
/// given out twice.
fn failover_loses_what_no_standby_had(env: &Env) -> TestResult {
    let mut primary = Cluster::start(env);
    let told = Arc::new(Told::default());
    let mut standby = primary.standby(env);
    let tidegate = Tidegate::serve(env, &Cluster::variables_of(&[&primary, &standby], "", ""), &[]);
    let client = &tidegate.client;
    told.both(client, 200);
    let page = |cursor: &str| client.get(&format!("/v1/streams/default/events?limit=1000{cursor}"));
    let read = |count: usize| {
        let read = Some(page("")).filter(|read| read.status == 200)?.json();
        (read["data"].as_array()?.len() == count).then_some(read)
    };
    until("they have offsets", || read(6));
    primary.caught_up(&standby);
    standby.stop();
    told.both(client, 200);
    let all = until("the others have, too", || read(12));
    let cursor = format!("&cursor={}", all["cursor"].as_str().unwrap());
    let used: Vec<i64> = primary.sql().column("SELECT batch_id FROM ingest_batches");
    primary.crash();
    standby.run(&[]);
    standby.promote();
    let sql = standby.sql();
    let kept: Vec<i64> = sql.column("SELECT batch_id FROM ingest_batches");
    assert!(kept.len() < used.len(), "nothing was lost");
    let gone = until("a consumer is told", || {
        let answer = page(&cursor);
        (answer.status == 410).then_some(answer)
    });
    gone.problem(410, "offset_gone");
    told.both(client, 200);
    until("they have offsets here", || read(12));
    let all: Vec<i64> = sql.column("SELECT batch_id FROM ingest_batches");
    assert!(all.len() > kept.len() && all.iter().all(|id| kept.contains(id) || !used.contains(id)), "{all:?} {used:?}");
    assert_eq!(sql.count("events"), 12, "what is stored");
    Ok(())
}

/// Both take writes: the one that was promoted is the right one, and nothing is written to the other, although it is named
/// first; not after a start either, and not where it is the only one that is named.
fn failover_leaves_an_old_primary(env: &Env) -> TestResult {
    let primary = Cluster::start(env);
    let told = Arc::new(Told::default());
    let standby = primary.standby(env);
    let both = Cluster::variables_of(&[&primary, &standby], "", "");
    let mut tidegate = Tidegate::serve(env, &both, &[]);
    told.both(&tidegate.client, 200);
    primary.caught_up(&standby);
    standby.promote();
    until("both take writes, and that is said", || {
        let primaries = Books::of(&tidegate.client).get("tidegate_database_servers{state=\"primary\"}");
        (primaries > 1.5 && tidegate.log().contains("several servers take writes")).then_some(())
    });
    let (state, found) = doctor(env, &both, "database_url hosts");
    assert!(state == "failed" && found.contains("timeline 1") && found.contains("timeline 2"), "{state}: {found}");
    let old = primary.sql();
    let stored = "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM ingest_ledger)";
    let senders = Senders::start(&told, &tidegate.client, Patience::Retry);
    senders.flow(5);
    let before: i64 = old.one(stored);
    senders.flow(10);
    senders.finish();
    assert_eq!(old.one::<i64>(stored), before, "written to an old primary");
    assert_eq!(tidegate.stop(), Some(0));
    tidegate = Tidegate::serve(env, &both, &[]);
    let senders = Senders::start(&told, &tidegate.client, Patience::Retry);
    senders.flow(5);
    senders.finish();
    assert_eq!(old.one::<i64>(stored), before, "written to an old primary after a start");
    assert_eq!(tidegate.stop(), Some(0));
    let finished = Finished::run(env, &primary.variables(), &["serve", "--listen", "127.0.0.1:0"]);
    assert!(finished.code == Some(1) && finished.stderr.contains("an old primary"), "{finished:?}");
    tidegate = Tidegate::serve(env, &both, &[]);
    Scene::new(env, &tidegate, &standby.sql(), &told).assert_invariants("failover_leaves_an_old_primary");
    Ok(())
}

/// A COMMIT that waits for its standby is there for everybody on the primary once its backend is ended, and on no standby: what it
/// wrote is kept until one has it.
fn failover_loses_no_commit_that_waited(env: &Env) -> TestResult {
    let mut primary = Cluster::start(env);
    let told = Arc::new(Told::default());
    let mut standby = primary.standby(env);
    let tidegate = Tidegate::serve(env, &Cluster::variables_of(&[&primary, &standby], "", ""), &[]);
    told.both(&tidegate.client, 200);
    primary.replicate_synchronously();
    primary.caught_up(&standby);
    standby.stop();
    let stored: i64 = primary.sql().one("SELECT count(*) FROM events");
    told.both(&tidegate.client, 202);
    let old = primary.superuser();
    until("what waited is seen", || {
        let sql = format!("SELECT count(*) > {stored} FROM tidegate.events");
        old.one::<bool>(&sql).then_some(())
    });
    until("it is waited for", || {
        let waits =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%ROLLBACK TO seen%'";
        (old.one::<i64>(waits) > 0).then_some(())
    });
    assert!(Books::of(&tidegate.client).get("tidegate_spool_records") > 0.5, "the spool let it go");
    drop(old);
    primary.crash();
    standby.run(&[]);
    standby.promote();
    let scene = "failover_loses_no_commit_that_waited";
    Scene::new(env, &tidegate, &standby.sql(), &told).assert_invariants(scene);
    Ok(())
}

/// Reads go to the copy, to the primary while the copy lags or is gone, and back.
fn failover_of_reads(env: &Env) -> TestResult {
    let primary = Cluster::start(env);
    let mut standby = primary.standby(env);
    let mut settings = Cluster::variables_of(&[&primary, &standby], "", "target_session_attrs=prefer-standby");
    settings.push(("TIDEGATE_READER_LAG_MAX".into(), "2s".into()));
    let tidegate = Tidegate::serve(env, &settings, &[]);
    let client = &tidegate.client;
    let (of_primary, of_standby) = (primary.superuser(), standby.superuser());
    let read = |id: &str| client.get(&format!("/v1/events/{id}")).status;
    let send = |n: usize| {
        let answer = client.keyed(&format!("key-{n}"), array([event(n)])).in_time();
        let id: String = primary.sql().one(&format!(
            "SELECT id::text FROM events WHERE payload->>'n' = '{n}' OR payload->>'seq' = '{n}' ORDER BY created_at DESC LIMIT 1"
        ));
        (id, answer.expect(200)["receipt"].as_str().unwrap().to_owned())
    };
    let (first, _) = send(1);
    until("the copy has it", || (read(&first) == 200).then_some(()));
    assert!(sessions(&of_standby, "reader") > 0 && sessions(&of_primary, "reader") == 0, "the primary was read");
    of_standby.run("SELECT pg_wal_replay_pause()");
    let (second, receipt) = send(2);
    // What was promised is answered for at once, by the primary.
    client.get(&format!("/v1/receipts/{receipt}")).expect(200);
    assert_eq!(read(&second), 404, "the copy was not read");
    until("the copy lags too much, and is left", || (read(&second) == 200).then_some(()));
    let gauge = |state: &str| Books::of(client).get(&format!("tidegate_reader_servers{{state=\"{state}\"}}"));
    assert!(gauge("behind") > 0.5 && sessions(&of_primary, "reader") > 0);
    let ready = client.get("/readyz").expect(200);
    assert_eq!((&ready["status"], &ready["reads"]["behind"]), (&"ready".into(), &1.into()), "{ready}");
    of_standby.run("SELECT pg_wal_replay_resume()");
    until("the copy is read again", || {
        assert_eq!(read(&second), 200);
        (gauge("behind") < 0.5 && sessions(&of_primary, "reader") == 0).then_some(())
    });
    drop(of_standby);
    standby.crash();
    assert_eq!(read(&second), 200, "a copy that is gone is passed over");
    until("it is said that it is away", || (gauge("away") > 0.5).then_some(()));
    standby.run(&[]);
    until("it is read again", || {
        assert_eq!(read(&second), 200);
        (sessions(&standby.superuser(), "reader") > 0).then_some(())
    });
    Ok(())
}

/// What a standby replays ends reads that are in its way; they are begun once more.
fn failover_cancels_reads(env: &Env) -> TestResult {
    let primary = Cluster::start(env);
    let standby = primary.standby(env);
    let settings = Cluster::variables_of(&[&primary, &standby], "", "target_session_attrs=standby");
    let tidegate = Tidegate::serve(env, &settings, &[]);
    let client = &tidegate.client;
    let (state, found) = doctor(env, &settings, "replication");
    assert!(state == "warning" && found.contains("1 standbys, none of them synchronous"), "{state}: {found}");
    let (state, found) = doctor(env, &settings, "database_url hosts");
    assert!(state == "ok" && found.contains("a standby") && found.contains("read-write"), "{state}: {found}");
    client.events(format!(r#"[{},{{"event_type":"t"}}]"#, event(1))).in_time().accepted(1, 1);
    let owner = primary.superuser();
    let server = standby.superuser();
    server.run("ALTER SYSTEM SET max_standby_streaming_delay = 0");
    server.run("SELECT pg_reload_conf()");
    // Looking at a dead letter takes a second.
    owner.run(
        "CREATE POLICY slow ON tidegate.dead_letter_events FOR SELECT USING (pg_sleep(1) IS NOT NULL); \
         ALTER TABLE tidegate.dead_letter_events ENABLE ROW LEVEL SECURITY",
    );
    primary.caught_up(&standby);
    let repeated = || Books::of(client).get("tidegate_reads_repeated_total");
    assert!(repeated() < 0.5);
    let reading = std::thread::scope(|scope| {
        let reading = scope.spawn(|| client.get("/v1/dead-letters"));
        until("it is read", || {
            let reads = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tidegate reader' AND wait_event = 'PgSleep'";
            (server.one::<i64>(reads) > 0).then_some(())
        });
        owner.run("BEGIN; LOCK TABLE tidegate.dead_letter_events IN ACCESS EXCLUSIVE MODE; COMMIT");
        reading.join().unwrap()
    });
    assert_eq!(reading.expect(200)["data"].as_array().unwrap().len(), 1);
    assert!(repeated() > 0.5, "nothing was in its way");
    Ok(())
}

/// The first host takes connections and says nothing, as one that is frozen.
fn failover_past_a_host_that_hangs(env: &Env) -> TestResult {
    let cluster = Cluster::start(env);
    let proxy = Proxy::start(&cluster.socket());
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let settings = variables(|role| {
        let right = proxy.url(role, DATABASE);
        right.replace("host=127.0.0.1 port=", &format!("host=127.0.0.1,127.0.0.1 port={port},"))
    });
    let told = Arc::new(Told::default());
    let tidegate = Tidegate::serve(env, &settings, &[]);
    told.both(&tidegate.client, 200);
    // All connections are to be made again, each past the host that hangs.
    proxy.reset_all();
    let begun = Instant::now();
    told.both(&tidegate.client, 200);
    assert!(begun.elapsed() < AGAIN_MAX, "{:?}", begun.elapsed());
    Scene::new(env, &tidegate, &cluster.sql(), &told).assert_invariants("failover_past_a_host_that_hangs");
    Ok(())
}
