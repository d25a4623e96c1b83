//! Dead letters sent again by a filter, from two sides at once, while Tidegate and PostgreSQL are killed (scenario 17).

use std::collections::BTreeSet;
use std::sync::Mutex;

use serde_json::Value;

use crate::books::Books;
use crate::client::Client;
use crate::cluster::Cluster;
use crate::env::{Env, TestResult, until};
use crate::process::Tidegate;
use crate::samples::{array, event_with, hours_from_now};
use crate::scenario;
use crate::scenario::Scenario;

pub const SCENARIOS: &[Scenario] = &[scenario!(s17_ten_thousand_are_replayed_through_crashes).slow()];

const LETTERS: usize = 10_000;
/// Those that are refused again, whatever is mended.
const HOPELESS: usize = 20;

/// Goes through all that the filter finds, call after call, until it has gone all the way without a call that broke off, and
/// nothing was left to do.
fn replay_all(client: &Mutex<Client>) {
    let (mut cursor, mut is_whole, mut done) = (String::new(), true, 0);
    loop {
        let part = until("a replay is answered", || {
            let path = format!("/v1/dead-letters/replay?limit=700{cursor}");
            let sender = client.lock().unwrap().clone();
            let answer = sender.send("POST", &path, &[], &[]).ok().filter(|answer| answer.status == 200);
            if answer.is_none() {
                (cursor, is_whole) = (String::new(), false);
            }
            answer.map(|answer| answer.json())
        });
        done += part["stored"].as_u64().unwrap() + part["refused"].as_u64().unwrap();
        cursor = part["next_cursor"].as_str().map(|next| format!("&cursor={next}")).unwrap_or_default();
        if cursor.is_empty() {
            if is_whole && done == 0 {
                return;
            }
            (is_whole, done) = (true, 0);
        }
    }
}

fn s17_ten_thousand_are_replayed_through_crashes(env: &Env) -> TestResult {
    let mut cluster = Cluster::start(env);
    let variables = cluster.variables();
    let refusing = Tidegate::serve(env, &variables, &[]);
    let old = |n: usize| event_with(n, &format!(r#""timestamp":"{}""#, hours_from_now(-24 * 400)));
    for first in (0..LETTERS).step_by(1000) {
        refusing.client.events(array((first..first + 1000).map(old))).problem(422, "nothing_accepted");
    }
    refusing.client.events(array((0..HOPELESS).map(|_| "{}"))).problem(422, "nothing_accepted");
    drop(refusing);

    let serve = || Tidegate::serve(env, &variables, &["--set".into(), "retention.events=800d".into()]);
    let mut tidegate = serve();
    let client = Mutex::new(tidegate.client.clone());
    let mut kills = Vec::new();
    std::thread::scope(|scope| {
        let replaying: Vec<_> = (0..2).map(|_| scope.spawn(|| replay_all(&client))).collect();
        for (round, least) in [1_000, 3_000, 5_000, 7_000].into_iter().enumerate() {
            let sql = cluster.sql();
            until("some are stored", || {
                let stored: i64 = sql.one("SELECT count(*) FROM dead_letter_events WHERE outcome = 'stored'");
                (stored >= least).then(|| kills.push(stored))
            });
            drop(sql);
            if round != 1 {
                tidegate.kill();
            }
            if round > 0 {
                cluster.crash();
                cluster.run(&[]);
            }
            if round != 1 {
                tidegate = serve();
            }
            *client.lock().unwrap() = tidegate.client.clone();
        }
        replaying.into_iter().for_each(|one| one.join().unwrap());
    });

    let sql = cluster.sql();
    let outcomes = "SELECT count(*) FROM dead_letter_events WHERE outcome = ";
    let of = |outcome: &str| sql.one::<i64>(&format!("{outcomes}'{outcome}'"));
    let (letters, hopeless) = (i64::try_from(LETTERS)?, i64::try_from(HOPELESS)?);
    assert_eq!((of("stored"), of("failed"), sql.count("dead_letter_events")), (letters, hopeless, letters + hopeless));
    assert_eq!(sql.count("events"), letters, "each is stored once");
    assert!(*kills.last().unwrap() < letters, "all were stored before the last crash: {kills:?}");
    let unlogged = "SELECT count(*) FROM ingest_batches m WHERE kind = 'events' AND NOT EXISTS (SELECT FROM batch_log l \
                    WHERE l.tenant_id = m.tenant_id AND l.batch_id = m.batch_id)";
    until("every batch has its offsets", || (sql.one::<i64>(unlogged) == 0).then_some(()));
    let lines = tidegate.client.get_as("/v1/streams/default/events", &[("accept", "application/x-ndjson")]);
    let events = lines.text().lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
    let numbers: BTreeSet<i64> = events.iter().map(|event| event["payload"]["n"].as_i64().unwrap()).collect();
    assert_eq!((events.len(), numbers.len()), (LETTERS, LETTERS), "each is read once");
    Books::of(&tidegate.client).assert_balanced();
    println!("{}: {LETTERS} replayed once; crashes when {kills:?} were stored", env.engine.as_str());
    Ok(())
}
