//! A whole server is killed, frozen, filled up or replaced (scenarios 1, 3, 6 and 14), and a clock is wrong (13).

use std::sync::Arc;
use std::time::Instant;

use jiff::SignedDuration;
use tidegate::limits::{KEY_CACHE_TTL, KEY_LOOKUP_TIMEOUT, SPOOL_AFTER};

use crate::books::Books;
use crate::cluster::Cluster;
use crate::env::{Env, TestResult, until};
use crate::invariants::Scene;
use crate::process::Tidegate;
use crate::proxy::{Point, Proxy};
use crate::scenario;
use crate::scenario::Scenario;
use crate::senders::Senders;
use crate::shim::{self, Call, Clock, Harm, Rule, Shim};
use crate::stage::{Stage, small_spool};
use crate::told::Told;
use crate::traffic::Patience;

pub const SCENARIOS: &[Scenario] = &[
    scenario!(s01_postmaster_killed_inside_copy),
    scenario!(s01_everything_killed_inside_copy),
    scenario!(s03_postgres_frozen).slow(),
    scenario!(s03_a_frozen_server_costs_a_sender_one_deadline).on_one_engine(),
    scenario!(s06_tablespace_full).needs(shim::missing),
    scenario!(s13_clock_a_day_ahead).needs(shim::missing),
    scenario!(s13_clock_a_day_behind).needs(shim::missing),
    scenario!(s14_failover_to_a_standby),
];

fn killed_inside_copy(env: &Env, name: &str, kill: fn(&mut Cluster)) -> TestResult {
    let mut cluster = Cluster::start(env);
    let proxy = Proxy::start(&cluster.socket());
    let tidegate = Tidegate::serve(env, &cluster.variables_through(&proxy), &[]);
    let told = Arc::new(Told::default());
    let senders = Senders::start(&told, &tidegate.client, Patience::Retry);
    for round in 1..=2 {
        senders.flow(10);
        proxy.hold_next(Point::CopyData);
        until("a writer is inside COPY", || (proxy.held() == round).then_some(()));
        kill(&mut cluster);
        proxy.release();
        senders.spool(10);
        cluster.run(&[]);
        senders.flow(10);
    }
    senders.finish();
    Scene::new(env, &tidegate, &cluster.sql(), &told).assert_invariants(name);
    Ok(())
}

fn s01_postmaster_killed_inside_copy(env: &Env) -> TestResult {
    killed_inside_copy(env, "s01_postmaster_killed_inside_copy", Cluster::kill_postmaster)
}

fn s01_everything_killed_inside_copy(env: &Env) -> TestResult {
    killed_inside_copy(env, "s01_everything_killed_inside_copy", Cluster::crash)
}

fn s03_postgres_frozen(env: &Env) -> TestResult {
    let cluster = Cluster::start(env);
    let mut variables = cluster.variables();
    variables.extend(small_spool());
    let tidegate = Tidegate::serve(env, &variables, &[]);
    let told = Arc::new(Told::default());
    told.both(&tidegate.client, 200);
    cluster.freeze();
    // Nothing tells that it is frozen but that it does not answer: then what was sent is spooled.
    told.both(&tidegate.client, 202);
    let senders = Senders::start(&told, &tidegate.client, Patience::Retry);
    senders.spool(20);
    assert_eq!(tidegate.client.get("/healthz").status, 200);
    assert_eq!(tidegate.client.get("/readyz").expect(200)["status"], "degraded");
    let read = tidegate.client.get("/v1/events");
    assert!(matches!(read.status, 503 | 504), "{}: {}", read.status, read.text());
    let full = until("the spool is full", || {
        let answer = told.send(&tidegate.client, &told.request_of(false, 20, 0, 2000))?;
        (answer.status != 202).then_some(answer)
    });
    assert_eq!(full.status, 503, "{}", full.text());
    cluster.thaw();
    senders.flow(20);
    senders.finish();
    Scene::new(env, &tidegate, &cluster.sql(), &told).assert_invariants("s03_postgres_frozen");
    Ok(())
}

/// Whatever a request waits for the database for, it waits no longer than is promised: here for its key to be looked up
/// again, and then for a writer.
fn s03_a_frozen_server_costs_a_sender_one_deadline(env: &Env) -> TestResult {
    let cluster = Cluster::start(env);
    let tidegate = Tidegate::serve(env, &cluster.variables(), &[]);
    let told = Arc::new(Told::default());
    told.both(&tidegate.client, 200);
    let looked_up = Instant::now();
    until("the key is to be looked up again", || (looked_up.elapsed() > KEY_CACHE_TTL).then_some(()));
    cluster.freeze();
    let sent = Instant::now();
    let answer = told.send(&tidegate.client, &told.request(true, 3, 1)).expect("an answer");
    answer.expect(202);
    // Had it waited for both in full, it would have been no less than this.
    let (took, both) = (sent.elapsed(), SPOOL_AFTER + KEY_LOOKUP_TIMEOUT);
    assert!(took < both, "answered after {took:?}");
    cluster.thaw();
    let scene = "s03_a_frozen_server_costs_a_sender_one_deadline";
    Scene::new(env, &tidegate, &cluster.sql(), &told).assert_invariants(scene);
    Ok(())
}

fn s06_tablespace_full(env: &Env) -> TestResult {
    let mut cluster = Cluster::start(env);
    let shim = Shim::new(&cluster.folder("shim"), &cluster.data().join("base"));
    cluster.run_with(&shim);
    let tidegate = Tidegate::serve(env, &cluster.variables(), &[]);
    let told = Arc::new(Told::default());
    told.both(&tidegate.client, 200);
    shim.arm(Rule::always(Call::GROW, Harm::Full, ""));
    // What still fits into the pages that are there is committed; then nothing is.
    let mut spooled = 0;
    until("requests are spooled, one after another", || {
        let answer = told.send(&tidegate.client, &told.request_of(false, 20, 2, 500)).expect("an answer");
        assert!(matches!(answer.status, 200 | 202), "{}: {}", answer.status, answer.text());
        spooled = if answer.status == 202 { spooled + 1 } else { 0 };
        (spooled == 5).then_some(())
    });
    assert!(shim.hits() > 0, "the disk was not full");
    shim.clear();
    until("it is written again", || {
        let answer = told.send(&tidegate.client, &told.request(true, 3, 1))?;
        (answer.status == 200).then_some(())
    });
    let sql = cluster.sql();
    Scene::new(env, &tidegate, &sql, &told).assert_invariants("s06_tablespace_full");
    assert_eq!(sql.one::<i64>("SELECT count(*) FROM dead_letter_events WHERE stage = 'write'"), 0, "a good row");
    Ok(())
}

const DAY_S: i64 = 86_400;

fn clock_off_by(env: &Env, name: &str, seconds: i64) -> TestResult {
    let stage = Stage::new(env);
    let mut tidegate = stage.serve();
    stage.told.both(&tidegate.client, 200);
    let request = stage.told.request(true, 3, 1);
    let first = stage.told.send(&tidegate.client, &request).unwrap().accepted(3, 1);
    stage.proxy.away();
    stage.told.both(&tidegate.client, 202);
    tidegate.kill();
    stage.proxy.back();
    // The next process believes in another day: it drains what the first one spooled, and expires nothing early.
    let clock = Clock::new(env.path());
    clock.set(SignedDuration::from_secs(seconds));
    let mut variables = clock.variables();
    variables.push(("TIDEGATE_RETENTION_LEDGER".into(), "1h".into()));
    tidegate = stage.serve_with(&variables);
    stage.drained(&tidegate);
    until("the jobs have run", || {
        let books = Books::of(&tidegate.client);
        (books.get("tidegate_job_runs_total{job_name=\"lifecycle\"}") > 0.5).then_some(())
    });
    let again = stage.told.send(&tidegate.client, &request).unwrap().accepted(3, 1);
    assert_eq!((&again["receipt"], &again["duplicate"]), (&first["receipt"], &true.into()));
    stage.told.both(&tidegate.client, 200);
    let off: f64 = env.sql().one(
        "SELECT extract(epoch FROM max(abs_off))::float8 FROM (SELECT greatest(created_at - now(), \
         now() - created_at) AS abs_off FROM events) AS e",
    );
    assert!(off > 80_000.0, "its clock is right");
    // In order all the same: one request after another through the spool, then the batches' numbers say which was first.
    stage.proxy.away();
    let ids: Vec<String> = (0..8)
        .map(|n| {
            let request = stage.told.request(n % 2 == 0, 1, 0);
            stage.told.send(&tidegate.client, &request).expect("an answer").expect(202);
            stage.told.records().last().unwrap().good[0].to_string()
        })
        .collect();
    stage.proxy.back();
    stage.drained(&tidegate);
    let sql = env.sql();
    let order = "SELECT id::text FROM events WHERE id::text = ANY ($1) ORDER BY batch_id, batch_seq";
    let stored: Vec<String> = sql.rows(order, &[&ids]).iter().map(|row| row.get(0)).collect();
    assert_eq!(stored, ids, "drained in another order");
    // And back to the right time, with another process's promises in the spool.
    stage.proxy.away();
    stage.told.both(&tidegate.client, 202);
    tidegate.kill();
    stage.proxy.back();
    tidegate = stage.serve();
    let again = stage.told.send(&tidegate.client, &request).unwrap().accepted(3, 1);
    assert_eq!(again["duplicate"], true);
    stage.assert_invariants(&tidegate, name);
    Ok(())
}

fn s13_clock_a_day_ahead(env: &Env) -> TestResult {
    clock_off_by(env, "s13_clock_a_day_ahead", DAY_S)
}

fn s13_clock_a_day_behind(env: &Env) -> TestResult {
    clock_off_by(env, "s13_clock_a_day_behind", -DAY_S)
}

fn s14_failover_to_a_standby(env: &Env) -> TestResult {
    let mut primary = Cluster::start(env);
    let proxy = Proxy::start(&primary.socket());
    let tidegate = Tidegate::serve(env, &Cluster::variables_all_through(&proxy), &[]);
    let told = Arc::new(Told::default());
    told.both(&tidegate.client, 200);
    let standby = primary.standby(env);
    let senders = Senders::start(&told, &tidegate.client, Patience::Retry);
    senders.flow(10);
    senders.finish();
    primary.caught_up(&standby);
    // The name now leads to a server that only reads.
    primary.crash();
    proxy.lead_to(&standby.socket());
    let senders = Senders::start(&told, &tidegate.client, Patience::Retry);
    senders.spool(10);
    assert_eq!(tidegate.client.get("/readyz").expect(200)["status"], "degraded");
    assert!(standby.superuser().one::<bool>("SELECT pg_is_in_recovery()"), "it was never read-only");
    standby.promote();
    senders.flow(10);
    senders.finish();
    let sql = standby.sql();
    Scene::new(env, &tidegate, &sql, &told).assert_invariants("s14_failover_to_a_standby");
    assert_eq!(sql.one::<i64>("SELECT count(*) FROM dead_letter_events WHERE stage = 'write'"), 0, "a good row");
    Ok(())
}
