//! Consumer groups while their cell is moved: members take, acknowledge, die with what they hold, and come back.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::load::{Load, assert_kept};
use crate::client::{Answer, Client};
use crate::env::{Env, TestResult, until};
use crate::groups::{make, offsets, path, tell_now};

const GROUPS: [&str; 3] = ["alone", "shared", "ordered"];
const MEMBERS: usize = 3;
/// Of so many batches that a member takes, it dies with one.
const DIES_EVERY: usize = 7;
/// The pace of a member that is refused, or has nothing to take: only another try tells whether that is over.
const PAUSE: Duration = Duration::from_millis(20);

/// A group, and what its members did.
struct Group<'a> {
    client: &'a Client,
    name: &'static str,
    done: &'a AtomicBool,
    /// Offsets that some member had done its work for, and said so, whatever it was told then.
    worked: Mutex<BTreeSet<i64>>,
    settled: AtomicUsize,
}

impl Group<'_> {
    /// Whether an answer is 200; what others may be is checked.
    fn is_taken(&self, answer: &Answer) -> bool {
        assert!(matches!(answer.status, 200 | 404 | 409 | 429 | 503), "{}: {}", self.name, answer.text());
        answer.status == 200
    }

    fn consume(&self, member: usize) {
        let own = if self.name == "alone" { String::new() } else { format!("&member=m{member}") };
        let place = format!("{}/events?limit=400&wait=300ms{own}", path("default", self.name));
        for turn in 0.. {
            if self.done.load(SeqCst) {
                return;
            }
            let answer = self.client.get(&place);
            if !self.is_taken(&answer) {
                std::thread::sleep(PAUSE);
                continue;
            }
            let taken = answer.json();
            let read = offsets(&taken);
            if read.is_empty() {
                continue;
            }
            if turn % DIES_EVERY == member {
                if self.name == "alone" {
                    // Who comes after it says so.
                    tell_now(self.client, "default", self.name, "takeover", &json!({}));
                }
                continue;
            }
            self.worked.lock().unwrap().extend(&read);
            if self.settle(&taken) {
                self.settled.fetch_add(read.len(), SeqCst);
            }
        }
    }

    fn settle(&self, taken: &Value) -> bool {
        let (what, body) = match taken["lease"].is_null() {
            true => ("offset", json!({ "cursor": taken["cursor"], "generation": taken["generation"] })),
            false => ("ack", json!({ "lease": taken["lease"] })),
        };
        self.is_taken(&tell_now(self.client, "default", self.name, what, &body))
    }

    /// Where the group is, for as long as it is asked: never behind where it was.
    fn watch(&self) {
        let mut last = [0, 0];
        while !self.done.load(SeqCst) {
            let answer = self.client.get(&path("default", self.name));
            if self.is_taken(&answer) {
                let group = answer.json();
                let now = ["committed", "generation"].map(|name| group[name].as_i64().unwrap());
                assert!(now[0] >= last[0] && now[1] >= last[1], "{}: {now:?} after {last:?}", self.name);
                last = now;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

pub fn groups_go_on_through_moves(env: &Env) -> TestResult {
    let cluster = Cluster::start(2);
    let tidegate = cluster.serve(env);
    let client = &tidegate.client;
    let load = Load::start([client]);
    load.flows(5);
    for name in GROUPS {
        let by = if name == "ordered" { json!("asset_id") } else { Value::Null };
        make(client, "default", json!({ "name": name, "max_deliveries": 0, "ack_timeout": "3s", "ordered_by": by }));
    }
    let done = AtomicBool::new(false);
    let groups = GROUPS.map(|name| Group {
        client,
        name,
        done: &done,
        worked: Mutex::default(),
        settled: AtomicUsize::default(),
    });
    let acknowledged = std::thread::scope(|scope| {
        // Whatever fails here, members end.
        let _ends = Ends(&done);
        for group in &groups {
            (0..MEMBERS).for_each(|member| drop(scope.spawn(move || group.consume(member))));
            scope.spawn(|| group.watch());
        }
        let go_on = || {
            let before = groups.each_ref().map(|group| group.settled.load(SeqCst));
            until("every group goes on", || {
                let more = groups.iter().zip(before).all(|(group, before)| group.settled.load(SeqCst) >= before + 100);
                more.then_some(())
            });
        };
        go_on();
        for _ in 0..2 {
            cluster.move_cell("default", 1 - cluster.worker_of("default"));
            load.flows(10);
            go_on();
        }
        let acknowledged = load.finish();
        let is_at_end = |group: &Group| {
            let answer = client.get(&format!("{}/lag", path("default", group.name)));
            let worked = group.worked.lock().unwrap().len();
            answer.status == 200 && answer.json()["lag"] == 0 && worked >= 20 * acknowledged[0].len()
        };
        until("every group has come to the end", || groups.iter().all(is_at_end).then_some(()));
        acknowledged
    });
    let sent = 20 * i64::try_from(acknowledged[0].len())?;
    let every: BTreeSet<i64> = (0..sent).collect();
    for group in &groups {
        let worked = group.worked.lock().unwrap();
        assert!(*worked == every, "{}: {} of {sent} events were worked on", group.name, worked.len());
    }
    assert_kept(&cluster, &[&tidegate], &[("default".to_owned(), client.clone())], &acknowledged);
    drop(tidegate);
    cluster.stop();
    Ok(())
}

struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}
