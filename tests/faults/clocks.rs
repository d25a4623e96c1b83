//! The clock on the wall jumps while the program runs and senders send (scenario 45): its own, or that of the whole machine,
//! the database's too; by a day, there and back, or back by a second again and again.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::books::Books;
use crate::client::{Client, Key};
use crate::cluster::Cluster;
use crate::derived;
use crate::env::{Env, TestResult, until};
use crate::invariants::Scene;
use crate::postgres::Sql;
use crate::process::Tidegate;
use crate::proxy::Proxy;
use crate::samples::{array, event};
use crate::scenario;
use crate::scenario::Scenario;
use crate::senders::Senders;
use crate::shim::{self, Clock};
use crate::stage::small_spool;
use crate::told::{Request, Told};
use crate::traffic::Patience;

pub const SCENARIOS: &[Scenario] = &[
    scenario!(s45_the_clock_of_the_node_jumps).needs(shim::missing).slow(),
    scenario!(s45_the_clock_of_the_machine_jumps).needs(shim::missing).slow(),
    scenario!(s45_seconds_are_set_back_again_and_again).needs(shim::missing).slow(),
    scenario!(s45_quotas_do_not_freeze).needs(shim::missing).on_one_engine(),
    scenario!(s45_a_node_whose_clock_is_wrong_lives).needs(shim::missing),
];

const NONE: SignedDuration = SignedDuration::ZERO;
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// There and back, each way.
const JUMPS: [SignedDuration; 4] = [DAY, NONE, SignedDuration::from_hours(-24), NONE];
/// Jobs that run every few seconds, whatever the engine.
const JOBS: [&str; 5] = ["touched", "late_rollups", "correlations", "inferred", "rollups"];

/// A program whose clock can be moved, with a request that it has committed.
struct Scenery<'a> {
    env: &'a Env,
    proxy: Proxy,
    clock: Clock,
    told: Arc<Told>,
    tidegate: Tidegate,
    /// With a key, its receipt.
    first: (Request, String),
}

impl<'a> Scenery<'a> {
    fn new(env: &'a Env, clock: Clock, proxy: Proxy, mut variables: Vec<(String, String)>) -> Self {
        variables.extend(clock.variables());
        variables.extend(small_spool());
        // Short of a day: what jumps must not end it.
        variables.push(("TIDEGATE_RETENTION_LEDGER".into(), "1h".into()));
        let tidegate = Tidegate::serve(env, &variables, &[]);
        let told = Arc::new(Told::default());
        told.both(&tidegate.client, 200);
        let request = told.request(true, 3, 1);
        let receipt = told.send(&tidegate.client, &request).unwrap().accepted(3, 1)["receipt"].to_string();
        Self { env, proxy, clock, told, tidegate, first: (request, receipt) }
    }

    fn client(&self) -> &Client {
        &self.tidegate.client
    }

    /// Sent once more it is the one that was stored.
    fn is_remembered(&self) {
        let (request, receipt) = &self.first;
        let again = self.told.send(self.client(), request).unwrap().accepted(3, 1);
        assert_eq!((&again["receipt"].to_string(), &again["duplicate"]), (receipt, &true.into()));
    }

    /// Six days ahead are taken and eight are not, by the clock as it is; the same a day from the other end of the window.
    fn judges_by_its_clock(&self, off: SignedDuration) {
        let at = |hours: i64| Timestamp::now() + off + SignedDuration::from_hours(hours);
        let times = [at(6 * 24 + 12), at(-364 * 24), at(0), at(7 * 24 + 12), at(-366 * 24)];
        self.told.send(self.client(), &self.told.request_at(true, &times, 3)).expect("an answer").accepted(3, 2);
    }

    /// Each of these jobs has begun and ended a run after now.
    fn jobs_run(&self) {
        let runs = |job: &str| Books::of(self.client()).get(&format!("tidegate_job_runs_total{{job_name=\"{job}\"}}"));
        for job in JOBS {
            let before = runs(job);
            until(&format!("the job {job} runs"), || (runs(job) > before + 1.5).then_some(()));
        }
    }

    /// What the database did not take is written afterwards, and its receipt knows of it all the while.
    fn spools(&self, senders: &Senders) {
        self.proxy.away();
        senders.spool(8);
        let request = self.told.request(true, 3, 1);
        let receipt = self.told.send(self.client(), &request).expect("an answer").expect(202)["receipt"].clone();
        let path = format!("/v1/receipts/{}", receipt.as_str().unwrap());
        assert_eq!(self.client().get(&path).expect(200)["status"], "spooled");
        let age = Books::of(self.client()).get("tidegate_spool_oldest_age_seconds");
        assert!((0.0..120.0).contains(&age), "it has not been waiting for {age} s");
        self.proxy.back();
        until("it is written", || (self.client().get(&path).json()["status"] == "committed").then_some(()));
        let again = self.told.send(self.client(), &request).unwrap().accepted(3, 1);
        assert_eq!((&again["receipt"], &again["duplicate"]), (&receipt, &true.into()));
    }

    /// Newest first, all of them, also what lies ahead.
    fn reads(&self) {
        for path in [
            "/v1/events?limit=10",
            "/v1/events?from=-2h&to=now",
            "/v1/metrics?metric_name=told&from=-48h&resolution=1h",
        ] {
            self.client().get(path).expect(200);
        }
    }

    /// Once the clock is right: everything derived is right, and the invariants hold.
    fn ends(&self, sql: &Sql, name: &str) {
        Books::drained(self.client());
        derived::settled(sql);
        assert_rollups(sql);
        Scene::new(self.env, &self.tidegate, sql, &self.told).assert_invariants(name);
    }
}

/// The rollups of samples say what the rows say.
pub fn assert_rollups(sql: &Sql) {
    let columns = "tenant_id, asset_id, metric_type, metric_name, bucket, count, sum_value, min_value, max_value";
    for (level, width) in [("metrics_1m", "1 minute"), ("metrics_hourly", "1 hour"), ("metrics_daily", "1 day")] {
        let rows = format!("SELECT {columns} FROM metrics_rollup('{width}', '-infinity', 'infinity')");
        let kept = format!("SELECT {columns} FROM {level}");
        let differ = format!(
            "SELECT (SELECT count(*) FROM ({rows} EXCEPT ALL {kept}) a) + (SELECT count(*) FROM ({kept} EXCEPT ALL {rows}) b)"
        );
        until(&format!("{level} says what the rows say"), || (sql.one::<i64>(&differ) == 0).then_some(()));
    }
}

fn s45_the_clock_of_the_node_jumps(env: &Env) -> TestResult {
    let proxy = Proxy::start(&env.socket());
    let variables = env.variables_through(&proxy);
    let scenery = Scenery::new(env, Clock::new(env.path()), proxy, variables);
    let senders = Senders::start(&scenery.told, scenery.client(), Patience::Retry);
    for off in JUMPS {
        senders.flow(8);
        scenery.clock.set(off);
        senders.flow(8);
        scenery.is_remembered();
        scenery.judges_by_its_clock(off);
        scenery.told.send(scenery.client(), &scenery.told.samples(true, 20, 1)).expect("an answer").accepted(20, 1);
        scenery.spools(&senders);
        scenery.reads();
        scenery.jobs_run();
    }
    senders.finish();
    let sql = env.sql();
    let off: f64 = sql.one("SELECT extract(epoch FROM max(created_at) - now())::float8 FROM events");
    assert!(off > 80_000.0, "its clock has never jumped");
    scenery.ends(&sql, "s45_the_clock_of_the_node_jumps");
    Ok(())
}

/// A program and its database with one clock between them.
fn machine(env: &Env) -> (Cluster, Scenery<'_>) {
    let mut cluster = Cluster::start(env);
    let clock = Clock::new(env.path());
    cluster.stop();
    cluster.run(&clock.variables());
    let proxy = Proxy::start(&cluster.socket());
    let variables = Cluster::variables_all_through(&proxy);
    (cluster, Scenery::new(env, clock, proxy, variables))
}

/// How far the clock of a database is off, in hours.
fn hours_off(sql: &Sql, column: &str) -> f64 {
    let at: f64 = sql.one(&format!("SELECT extract(epoch FROM {column})::float8"));
    (at - Timestamp::now().as_second() as f64) / 3600.0
}

fn s45_the_clock_of_the_machine_jumps(env: &Env) -> TestResult {
    let (cluster, scenery) = machine(env);
    let sql = cluster.sql();
    let senders = Senders::start(&scenery.told, scenery.client(), Patience::Retry);
    let samples = |off: SignedDuration| {
        let samples = scenery.told.samples(true, 20, 1);
        scenery.told.send(scenery.client(), &samples).expect("an answer").accepted(20, 1);
        // What is noted while it is off lies in minutes of the right time as well.
        let right = scenery.told.request_at(false, &[Timestamp::now(), Timestamp::now() + off], 2);
        scenery.told.send(scenery.client(), &right).expect("an answer").accepted(2, 0);
    };
    for off in JUMPS {
        samples(off);
        senders.flow(8);
        scenery.clock.set(off);
        senders.flow(8);
        samples(off);
        scenery.is_remembered();
        scenery.judges_by_its_clock(off);
        scenery.spools(&senders);
        scenery.jobs_run();
        if off == DAY {
            let closed = "(SELECT closed_until FROM rollup_levels WHERE level = 'metrics_1m')";
            until("buckets are closed by the wrong clock", || (hours_off(&sql, closed) > 12.0).then_some(()));
            // Every minute, from the last run on: time enough for it to take the ledger for a day old.
            let runs = || Books::of(scenery.client()).get("tidegate_job_runs_total{job_name=\"lifecycle\"}");
            let before = runs();
            let begun = std::time::Instant::now();
            while runs() < before + 0.5 {
                assert!(begun.elapsed().as_secs() < 150, "the job lifecycle does not run");
                senders.flow(8);
            }
            scenery.is_remembered();
        }
    }
    senders.finish();
    scenery.ends(&sql, "s45_the_clock_of_the_machine_jumps");
    Ok(())
}

fn s45_seconds_are_set_back_again_and_again(env: &Env) -> TestResult {
    let (cluster, scenery) = machine(env);
    let senders = Senders::start(&scenery.told, scenery.client(), Patience::Retry);
    for second in 1..=30 {
        scenery.clock.set(SignedDuration::from_secs(-second));
        senders.flow(4);
        scenery.told.send(scenery.client(), &scenery.told.samples(true, 20, 1)).expect("an answer").accepted(20, 1);
        scenery.is_remembered();
        if second % 10 == 0 {
            scenery.spools(&senders);
        }
    }
    scenery.jobs_run();
    senders.finish();
    scenery.ends(&cluster.sql(), "s45_seconds_are_set_back_again_and_again");
    Ok(())
}

/// Of two nodes one has its clock a day wrong, either way: nobody takes it for lost, nor it the other, and it is said.
fn s45_a_node_whose_clock_is_wrong_lives(env: &Env) -> TestResult {
    let clock = Clock::new(env.path());
    let mut variables = env.variables();
    variables.extend(clock.variables());
    let flags = |name: &str| {
        let settings = [format!("data_dir={name}"), format!("node.name={name}")];
        settings.into_iter().flat_map(|setting| ["--set".to_owned(), setting]).collect::<Vec<_>>()
    };
    let wrong = Tidegate::serve(env, &variables, &flags("wrong"));
    let right = Tidegate::serve(env, &env.variables(), &flags("right"));
    let operator = env.key("default", "operator");
    let named = |answer: &Value, name: &str| {
        answer["nodes"].as_array().unwrap().iter().find(|node| node["name"] == name).cloned()
    };
    for off in [DAY, SignedDuration::from_hours(-24)] {
        clock.set(off);
        for client in [wrong.with(&operator), right.with(&operator)] {
            let seen = until("its clock is seen to be wrong", || {
                let answer = client.get("/v1/nodes").expect(200);
                let skew_ms = named(&answer, "wrong")?["clock_skew_ms"].as_i64()?;
                (i128::from(skew_ms) - off.as_millis()).abs().lt(&60_000).then_some(answer)
            });
            let mut last_seen = named(&seen, "wrong").unwrap()["last_seen"].clone();
            // For longer than it takes to be lost.
            for _ in 0..8 {
                let next = until("it is heard of again", || {
                    let answer = client.get("/v1/nodes").expect(200);
                    for name in ["wrong", "right"] {
                        assert_eq!(named(&answer, name).unwrap()["state"], "ready", "{answer}");
                    }
                    let next = named(&answer, "wrong").unwrap()["last_seen"].clone();
                    (next != last_seen).then_some(next)
                });
                last_seen = next;
            }
        }
        let doctor = env.cli(&["doctor", "--json"]).json_whatever();
        let clocks = doctor.as_array().unwrap().iter().find(|finding| finding["check"] == "clocks of nodes").unwrap();
        assert_eq!(clocks["state"], "warning", "{clocks}");
    }
    Ok(())
}

/// Retry-After of a refusal: sane, whatever the clock says.
fn refused(answer: &crate::client::Answer, code: &str) -> bool {
    if answer.status == 200 {
        return false;
    }
    answer.problem(429, code);
    let seconds: u32 = answer.header("retry-after").parse().expect("Retry-After");
    assert!((1..=3600 + 900).contains(&seconds), "{answer:?}");
    true
}

fn s45_quotas_do_not_freeze(env: &Env) -> TestResult {
    let clock = Clock::new(env.path());
    let mut variables = env.variables();
    variables.extend(clock.variables());
    variables.push(("TIDEGATE_LIMITS_DEAD_LETTER_BYTES_PER_DAY".into(), "4KiB".into()));
    let tidegate = Tidegate::serve(env, &variables, &[]);
    drop(env.key("limited", "ingest"));
    let arguments = ["keys", "create", "--org", "limited", "--scopes", "ingest", "--json"];
    let limited = env.cli(&[&arguments[..], &["--events-per-second", "20", "--burst", "1s"]].concat());
    let limited = tidegate.with(&Key::parse(&limited.json()));
    let client = &tidegate.client;
    let mut ids: Vec<uuid::Uuid> = Vec::new();
    for off in JUMPS {
        clock.set(off);
        // Three seconds' events come back after three seconds, whichever they are.
        until("the rate is met", || refused(&limited.events(array((0..60).map(event))), "rate_limited").then_some(()));
        until("it is over", || (!refused(&limited.events(event(0)), "rate_limited")).then_some(()));
        // A day's dead letters are used up, and another day has its own.
        client.events(r#"[{"event_type":"t"}]"#).expect(422);
        until("they are used up", || {
            let answer = client.events(r#"[{"event_type":"t"}]"#);
            (answer.status != 422).then(|| refused(&answer, "dead_letter_quota"))
        });
        // Ids tell the time at which they were made, and none is given twice.
        let now = Timestamp::now() + off;
        client.events(array((0..50).map(event))).accepted(50, 0);
        let newest =
            env.sql().column("SELECT id FROM events WHERE tenant_id = 'default' ORDER BY batch_id DESC LIMIT 50");
        for id in &newest {
            let (seconds, _) = uuid::Uuid::get_timestamp(id).expect("a UUIDv7").to_unix();
            assert!(now.as_second().abs_diff(i64::try_from(seconds).unwrap()) < 60, "{id} is not of {now}");
        }
        ids.extend(newest);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 50 * JUMPS.len());
    Books::of(client).assert_balanced();
    Ok(())
}
