//! Streams by offset through everything that dies (scenarios 20 to 22): transactions of any length that commit in any order or
//! not at all, two nodes, kill -9 for either and for PostgreSQL, and consumers that read all the while.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::Client;
use crate::cluster::Cluster;
use crate::draw::Draw;
use crate::env::{DEADLINE, Env, TestResult, until};
use crate::invariants::Scene;
use crate::postgres::Sql;
use crate::process::Tidegate;
use crate::scenario;
use crate::scenario::Scenario;
use crate::senders::Senders;
use crate::told::Told;
use crate::traffic::Patience;

pub const SCENARIOS: &[Scenario] = &[scenario!(s20_what_commits_late_through_crashes).slow()];

const WRITERS: u64 = 8;
const ROUNDS: usize = 4;
/// How long a transaction is left open, at most.
const OPEN_MS: usize = 60;
/// The stream of the transactions; its batches have no events, which are the senders'.
const STREAM: &str = "late";

/// What became of the writers' transactions, by the numbers of their batches.
#[derive(Default)]
pub struct Fates {
    committed: Mutex<BTreeSet<i64>>,
    /// Rolled back on purpose.
    given_up: Mutex<BTreeSet<i64>>,
    next: AtomicI64,
}

impl Fates {
    pub fn commits(&self) -> usize {
        self.committed.lock().unwrap().len()
    }

    /// What was committed is in the log, and what was given up is not; how many that are.
    pub fn assert_logged(self, sql: &Sql) -> [usize; 2] {
        let logged: BTreeSet<i64> =
            sql.column("SELECT batch_id FROM batch_log WHERE batch_id < 0").into_iter().collect();
        let (committed, given_up) = (self.committed.into_inner().unwrap(), self.given_up.into_inner().unwrap());
        assert!(committed.is_subset(&logged), "committed and not logged: {:?}", committed.difference(&logged));
        assert!(given_up.is_disjoint(&logged), "rolled back and logged: {:?}", given_up.intersection(&logged));
        [committed.len(), given_up.len()]
    }
}

/// Batches that others than Tidegate write: without events, or with one for each ordinal.
#[derive(Clone, Copy)]
pub struct Late<'a> {
    pub url: &'a str,
    pub stream: &'a str,
    pub has_events: bool,
}

impl Late<'_> {
    fn insert(self, batch: i64, span: usize) -> String {
        let Self { stream, has_events, .. } = self;
        let count = if has_events { span } else { 0 };
        format!(
            "BEGIN; INSERT INTO tidegate.events (id, timestamp, tenant_id, stream, source_module, event_type, event_version, \
             severity, environment, asset_id, payload, batch_id, batch_seq, created_at) \
             SELECT gen_random_uuid(), now(), 'default', '{stream}', 'm', 't', 1, 'info', 'production', 'late-' || n, '{{}}', \
             {batch}, n, now() FROM generate_series(0, {count} - 1) n; \
             INSERT INTO tidegate.ingest_batches (kind, tenant_id, batch_id, stream, event_count, min_timestamp, max_timestamp, \
             touched_hours, seq_span) VALUES ('events', 'default', {batch}, '{stream}', {count}, now(), now(), '{{}}', {span}); \
             INSERT INTO tidegate.batch_queue (tenant_id, stream, batch_id, span, event_count, min_timestamp, max_timestamp) \
             VALUES ('default', '{stream}', {batch}, {span}, {count}, now(), now())"
        )
    }
}

/// Commits and gives up, connecting again when the server dies, until it is told to stop.
pub fn write(late: Late<'_>, fates: &Fates, stop: &AtomicBool, seed: u64) {
    let mut draw = Draw::new(seed);
    while !stop.load(Ordering::Relaxed) {
        let sql =
            until("the server is back, or nothing is to be written any more", || match Sql::try_connect(late.url) {
                Ok(sql) => Some(Some(sql)),
                Err(_) => stop.load(Ordering::Relaxed).then_some(None),
            });
        let Some(sql) = sql else { return };
        while !stop.load(Ordering::Relaxed) {
            let batch = -1 - fates.next.fetch_add(1, Ordering::Relaxed);
            let span = 1 + draw.below(5);
            let begun = sql.try_run(&late.insert(batch, span));
            // What is tested: transactions that stay open for a while, each for another.
            std::thread::sleep(Duration::from_millis(draw.below(OPEN_MS) as u64));
            let gives_up = draw.below(8) == 0;
            let ended = begun.and_then(|()| sql.try_run(if gives_up { "ROLLBACK" } else { "COMMIT" }));
            // Of a COMMIT that was not answered nobody knows.
            match ended {
                Ok(()) if gives_up => drop(fates.given_up.lock().unwrap().insert(batch)),
                Ok(()) => drop(fates.committed.lock().unwrap().insert(batch)),
                Err(_) => break,
            }
        }
    }
}

/// Reads a stream from its beginning, from whichever node answers, until it is told to stop and has come to the end.
fn consume(nodes: &Mutex<Vec<Client>>, stream: &str, stop: &AtomicBool) -> Vec<(i64, String)> {
    let (mut read, mut place) = (Vec::new(), "offset=0".to_owned());
    let mut answered = Instant::now();
    for turn in 0.. {
        assert!(answered.elapsed() < DEADLINE, "no answer about {stream}");
        let clients = nodes.lock().unwrap().clone();
        let stops = stop.load(Ordering::Relaxed);
        let path = format!("/v1/streams/{stream}/events?{place}&limit=50&wait=1s");
        let Ok(answer) = clients[turn % clients.len()].send("GET", &path, &[], &[]) else { continue };
        if answer.status == 404 || answer.status >= 500 {
            continue;
        }
        let page: Value = answer.expect(200);
        answered = Instant::now();
        for event in page["data"].as_array().unwrap() {
            read.push((event["offset"].as_i64().unwrap(), event["id"].as_str().unwrap().to_owned()));
        }
        place = format!("cursor={}", page["cursor"].as_str().unwrap());
        if stops && page["next_offset"] == page["end"] {
            return read;
        }
    }
    unreachable!("turns do not end")
}

fn s20_what_commits_late_through_crashes(env: &Env) -> TestResult {
    let mut cluster = Cluster::start(env);
    let variables = cluster.variables();
    let serve = |number: usize| {
        let folder = ["--set".to_owned(), format!("data_dir={}", env.path().join(format!("node{number}")).display())];
        Tidegate::serve(env, &variables, &folder)
    };
    let mut nodes = [serve(0), serve(1)];
    let clients = Mutex::new(nodes.iter().map(|node| node.client.clone()).collect::<Vec<_>>());
    let told = Arc::new(Told::default());
    let senders = Senders::start(&told, &nodes[0].client, Patience::Retry);
    senders.flow(4);
    let stream: String = cluster.sql().one("SELECT min(stream) FROM ingest_batches WHERE kind = 'events'");
    let (fates, stop, read_out) = (Fates::default(), AtomicBool::new(false), AtomicBool::new(false));
    let url = cluster.url(tidegate::storage::embedded::OWNER);

    let (consumed, others) = std::thread::scope(|scope| {
        let (fates, stop, read_out, url, clients) = (&fates, &stop, &read_out, &url, &clients);
        let late = Late { url, stream: STREAM, has_events: false };
        let writers: Vec<_> = (0..WRITERS).map(|seed| scope.spawn(move || write(late, fates, stop, seed))).collect();
        let events = scope.spawn(|| consume(clients, &stream, read_out));
        let others = scope.spawn(|| consume(clients, STREAM, read_out));
        let flows = |more: usize| {
            let before = fates.commits();
            until("transactions commit", || (fates.commits() >= before + more).then_some(()));
        };
        for round in 0..ROUNDS {
            senders.flow(6);
            flows(40);
            let dies = round % 2;
            nodes[dies].kill();
            if round > 0 {
                cluster.crash();
                cluster.run(&[]);
            }
            flows(10);
            nodes[dies] = serve(dies);
            clients.lock().unwrap()[dies] = nodes[dies].client.clone();
            senders.redirect(&nodes[dies].client);
        }
        senders.flow(6);
        flows(20);
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        senders.finish();
        let sql = cluster.sql();
        Scene::new(env, &nodes[(ROUNDS - 1) % 2], &sql, &told)
            .assert_invariants("s20_what_commits_late_through_crashes");
        read_out.store(true, Ordering::Relaxed);
        (events.join().unwrap(), others.join().unwrap())
    });

    let sql = cluster.sql();
    let [committed, given_up] = fates.assert_logged(&sql);
    let stored = "SELECT l.base + e.batch_seq, e.id::text FROM events e \
                  JOIN batch_log l ON l.tenant_id = e.tenant_id AND l.batch_id = e.batch_id WHERE l.stream = $1 ORDER BY 1";
    let stored: Vec<(i64, String)> = sql.rows(stored, &[&stream]).iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(consumed.len(), stored.len());
    assert!(consumed == stored, "read otherwise than in the order of offsets, each once");
    assert_eq!(others, [], "batches without events have offsets and nothing to read");
    println!(
        "{}: {} transactions committed, {} given up, {} events read in order",
        env.engine.as_str(),
        committed,
        given_up,
        consumed.len()
    );
    Ok(())
}
