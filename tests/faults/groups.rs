//! Consumer groups through everything that dies (scenarios 20 to 22): eight writers, others that write beside them in transactions of any
//! length which they commit or give up, two nodes, kill -9 for either and for PostgreSQL, and three groups of three members whose effects are rows beside the offset. Every committed event has its effect once in each
//! group, in the order of its key where that is asked.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Client;
use crate::cluster::Cluster;
use crate::draw::Draw;
use crate::env::{Env, TestResult, until};
use crate::postgres::{SUPERUSER, Sql};
use crate::process::Tidegate;
use crate::samples::array;
use crate::scenario;
use crate::scenario::Scenario;
use crate::streams::{Fates, Late, write};

pub const SCENARIOS: &[Scenario] = &[scenario!(s22_groups_through_crashes).slow()];

const WRITERS: usize = 8;
/// Who writes without Tidegate, and commits late or never.
const OTHERS: u64 = 4;
const KEYS: usize = 24;
/// Events of a request.
const ITEMS: usize = 6;
const ROUNDS: usize = 4;
const GROUPS: [&str; 3] = ["alone", "shared", "ordered"];
const MEMBERS: usize = 3;
/// The pace of attempts while something is away, or has nothing to give: only another one tells whether it still is.
const PAUSE: Duration = Duration::from_millis(20);

/// What all of them share.
struct Stage {
    url: String,
    clients: Mutex<Vec<Client>>,
    /// Writers come to an end; then members, once all is done.
    written: AtomicBool,
    done: AtomicBool,
    committed: AtomicUsize,
    effects: AtomicUsize,
    /// Effects that were undone, because another was first.
    undone: AtomicUsize,
}

impl Stage {
    fn client(&self, turn: usize) -> Client {
        let clients = self.clients.lock().unwrap();
        clients[turn % clients.len()].clone()
    }

    /// Sends requests of events of one key each, each until it is answered 200: of a key the numbers rise.
    fn write(&self, writer: usize) {
        let mut draw = Draw::new(writer as u64);
        let mut numbers = [0; KEYS];
        for request in 0.. {
            if self.written.load(Ordering::Relaxed) {
                return;
            }
            let items: Vec<String> = (0..ITEMS)
                .map(|_| {
                    // Each key has one writer.
                    let key = draw.below(KEYS / WRITERS) * WRITERS + writer;
                    numbers[key] += 1;
                    let n = numbers[key];
                    format!(
                        r#"{{"stream":"s","event_type":"t","source_module":"m","asset_id":"k{key}","payload":{{"n":{n}}}}}"#
                    )
                })
                .collect();
            let (body, key) = (array(items), format!("w{writer}-{request}"));
            let headers = [("content-type", "application/json"), ("idempotency-key", &*key)];
            let mut nodes = (writer..).map(|turn| self.client(turn));
            until("a node takes it", || {
                let sent = nodes.next()?.send("POST", "/v1/events", &headers, &body);
                sent.is_ok_and(|answer| answer.status == 200).then_some(())
            });
            self.committed.fetch_add(ITEMS, Ordering::Relaxed);
        }
    }

    /// Takes, writes its effects, and says so in the same transaction; sometimes it dies before that.
    fn consume(&self, group: &str, member: usize) {
        let mut draw = Draw::new(100 + member as u64);
        let mut sql = None;
        let named = if group == "alone" { String::new() } else { format!("&member=m{member}") };
        let path = format!("/v1/streams/s/groups/{group}/events?limit=40&wait=500ms{named}");
        let mut nodes = (member..).map(|turn| self.client(turn));
        loop {
            let answered = until("a node answers, or all is done", || {
                if self.done.load(Ordering::Relaxed) {
                    return Some(None);
                }
                let client = nodes.next()?;
                client.send("GET", &path, &[], &[]).ok().map(|answer| Some((client, answer)))
            });
            let Some((client, answer)) = answered else { return };
            if answer.status != 200 {
                assert!([404, 409, 429, 503].contains(&answer.status), "{group}: {}", answer.text());
                // The pace of a member that is refused: another one may have the group for as long as it likes.
                std::thread::sleep(PAUSE);
                continue;
            }
            let taken: Value = answer.json();
            let events = taken["events"].as_array().unwrap();
            if events.is_empty() || draw.below(15) == 0 {
                continue;
            }
            if group == "alone" && draw.below(10) == 0 {
                let _ = client.send("POST", "/v1/streams/s/groups/alone/takeover", &[], b"");
            }
            let connected =
                sql.take().unwrap_or_else(|| until("the database is back", || Sql::try_connect(&self.url).ok()));
            match effects(&connected, group, &taken) {
                Ok(()) => drop(self.effects.fetch_add(events.len(), Ordering::Relaxed)),
                Err(code) if code.starts_with("TG") => drop(self.undone.fetch_add(events.len(), Ordering::Relaxed)),
                // Nobody knows whether it was committed; both are, or neither.
                Err(_) => continue,
            }
            if connected.try_run("ROLLBACK").is_ok() {
                sql = Some(connected);
            }
        }
    }
}

fn effects(sql: &Sql, group: &str, taken: &Value) -> Result<(), String> {
    let events = taken["events"].as_array().unwrap();
    let values: Vec<String> = events
        .iter()
        .map(|event| format!("('{group}', {}, '{}')", event["offset"], event["asset_id"].as_str().unwrap()))
        .collect();
    let end = match taken["lease"].as_str() {
        Some(lease) => format!("ack_lease('default', 's', '{group}', '{lease}')"),
        None => format!(
            "commit_offset('default', 's', '{group}', {}, {}, {})",
            taken["next_offset"], taken["generation"], events[0]["offset"]
        ),
    };
    sql.try_run(&format!(
        "BEGIN; INSERT INTO effects.done (consumer, at, key) VALUES {}; SELECT tidegate.{end}",
        values.join(", ")
    ))?;
    sql.try_run("COMMIT")
}

fn s22_groups_through_crashes(env: &Env) -> TestResult {
    let mut cluster = Cluster::start(env);
    let variables = cluster.variables();
    let serve = |number: usize| {
        let folder = ["--set".to_owned(), format!("data_dir={}", env.path().join(format!("node{number}")).display())];
        Tidegate::serve(env, &variables, &folder)
    };
    let mut nodes = [serve(0), serve(1)];
    let url = cluster.url(SUPERUSER);
    Sql::connect(&url).run(
        "CREATE SCHEMA effects; CREATE TABLE effects.done (turn bigserial, consumer text NOT NULL, at bigint NOT NULL, key text NOT NULL)",
    );
    for group in GROUPS {
        let mut settings = json!({ "name": group, "max_deliveries": 0, "ack_timeout": "3s" });
        if group == "ordered" {
            settings["ordered_by"] = json!("asset_id");
        }
        nodes[0].client.post("/v1/streams/s/groups", &[], settings.to_string()).expect(201);
    }
    let stage = Stage {
        url: url.clone(),
        clients: Mutex::new(nodes.iter().map(|node| node.client.clone()).collect()),
        written: AtomicBool::new(false),
        done: AtomicBool::new(false),
        committed: AtomicUsize::new(0),
        effects: AtomicUsize::new(0),
        undone: AtomicUsize::new(0),
    };
    let (fates, owner) = (Fates::default(), cluster.url(tidegate::storage::embedded::OWNER));
    std::thread::scope(|scope| {
        let (stage, fates) = (&stage, &fates);
        let mut writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || stage.write(writer))).collect();
        let flows = |counter: &AtomicUsize, more: usize| {
            let before = counter.load(Ordering::Relaxed);
            until("it goes on", || (counter.load(Ordering::Relaxed) >= before + more).then_some(()));
        };
        // There is a place for their events once others have written.
        flows(&stage.committed, ITEMS);
        let late = Late { url: &owner, stream: "s", has_events: true };
        writers.extend((0..OTHERS).map(|seed| scope.spawn(move || write(late, fates, &stage.written, seed))));
        for group in GROUPS {
            for member in 0..MEMBERS {
                scope.spawn(move || stage.consume(group, member));
            }
        }
        for round in 0..ROUNDS {
            flows(&stage.committed, 300);
            flows(&stage.effects, 600);
            let before = fates.commits();
            until("others commit", || (fates.commits() >= before + 20).then_some(()));
            let dies = round % 2;
            nodes[dies].kill();
            if round > 0 {
                cluster.crash();
                cluster.run(&[]);
            }
            nodes[dies] = serve(dies);
            stage.clients.lock().unwrap()[dies] = nodes[dies].client.clone();
        }
        flows(&stage.committed, 300);
        stage.written.store(true, Ordering::Relaxed);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        until("every group has come to the end", || {
            let lag = |group: &str| nodes[0].client.get(&format!("/v1/streams/s/groups/{group}/lag"));
            let at_end = |answer: crate::client::Answer| answer.status == 200 && answer.json()["lag"] == 0;
            GROUPS.iter().all(|group| at_end(lag(group))).then_some(())
        });
        stage.done.store(true, Ordering::Relaxed);
    });

    let sql = Sql::connect(&url);
    let rows = sql.rows(
        "SELECT l.base + e.batch_seq, e.asset_id, e.batch_id FROM events e JOIN batch_log l ON l.tenant_id = e.tenant_id \
         AND l.batch_id = e.batch_id WHERE l.stream = 's' ORDER BY 1",
        &[],
    );
    let stored: Vec<(i64, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let sent = rows.iter().filter(|row| row.get::<_, i64>(2) > 0).count();
    assert_eq!(sent, stage.committed.load(Ordering::Relaxed), "what was answered is stored, once");
    let of_others = sql.one::<i64>("SELECT coalesce(sum(span), 0)::bigint FROM batch_log WHERE batch_id < 0");
    assert_eq!(i64::try_from(stored.len() - sent).unwrap(), of_others, "and so is what others wrote");
    let [committed, given_up] = fates.assert_logged(&sql);
    assert!(given_up > 0);
    for group in GROUPS {
        let effects = "SELECT at, key FROM effects.done WHERE consumer = $1 ORDER BY at";
        let effects: Vec<(i64, String)> =
            sql.rows(effects, &[&group]).iter().map(|row| (row.get(0), row.get(1))).collect();
        assert_eq!(effects.len(), stored.len(), "{group}: effects, and events");
        assert!(effects == stored, "{group}: each event once, and none that is not stored");
    }
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    for row in sql.rows("SELECT key, at FROM effects.done WHERE consumer = 'ordered' ORDER BY turn", &[]) {
        let (key, at): (String, i64) = (row.get(0), row.get(1));
        let before = last.insert(key.clone(), at);
        assert!(before.is_none_or(|before| before < at), "{key}: {at} after {before:?}");
    }
    assert_eq!(sql.count("consumer_parked"), 0);
    println!(
        "{}: {} events, each once in {GROUPS:?}; {committed} late transactions, {given_up} given up; {} effects undone because \
         another was first",
        env.engine.as_str(),
        stored.len(),
        stage.undone.load(Ordering::Relaxed)
    );
    Ok(())
}
