//! Two nodes of the version before are replaced one after the other under load. The program of that version is the one that
//! `TIDEGATE_TEST_VERSION_BEFORE` names; without it the trial is left out, and said to be.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;

use crate::client::{Answer, Client};
use crate::env::{Engine, Env, Test, TestResult, until};
use crate::groups::{make, offsets, path, show};
use crate::nodes::node;
use crate::process::Tidegate;
use crate::samples::{array, event};
use crate::traffic::assert_stored;

const VARIABLE: &str = "TIDEGATE_TEST_VERSION_BEFORE";

pub const TESTS: &[Test] = &[
    Test {
        name: "two_nodes_of_the_version_before_are_replaced_under_load",
        engines: &Engine::ALL,
        run: two_nodes_of_the_version_before_are_replaced_under_load,
        missing,
    },
    Test {
        name: "a_node_starts_beside_a_newer_version_that_lets_it",
        engines: &Engine::ALL,
        run: a_node_starts_beside_a_newer_version_that_lets_it,
        missing: || None,
    },
];

fn missing() -> Option<String> {
    match std::env::var_os(VARIABLE).map(PathBuf::from) {
        None => Some(format!("{VARIABLE} names no program of the version before")),
        Some(program) if program.is_file() => None,
        Some(program) => Some(format!("{VARIABLE}: {} is not there", program.display())),
    }
}

const SENDERS: usize = 4;
/// As those of `traffic` have, which looks whether they are stored whole.
const ITEMS: u64 = 20;
/// The pace of tries of what asks to come again; Retry-After says when, and a second is long where many tries are to be seen.
const PAUSE: Duration = Duration::from_millis(50);

/// What a load balancer does: requests go to nodes in turn, and to the next one where a node takes no connection.
#[derive(Default)]
struct Balancer {
    nodes: Mutex<Vec<Client>>,
    turn: AtomicUsize,
    stop: AtomicBool,
    acknowledged: AtomicUsize,
    /// Answers that asked to come again, and connections that were refused or ended.
    again: AtomicUsize,
    lost: AtomicUsize,
    /// Answers that nothing covers.
    refused: Mutex<Vec<String>>,
}

impl Balancer {
    fn take(&self) -> Client {
        let nodes = self.nodes.lock().unwrap();
        nodes[self.turn.fetch_add(1, SeqCst) % nodes.len()].clone()
    }

    fn without(&self, node: &Tidegate) {
        self.nodes.lock().unwrap().retain(|client| client.address != node.client.address);
    }

    fn with(&self, node: &Tidegate) {
        self.nodes.lock().unwrap().push(node.client.clone());
    }

    /// The answer to a request that may be sent again; None: it is to be.
    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
        match self.take().send(method, path, headers, body) {
            Err(_) => self.lost.fetch_add(1, SeqCst),
            Ok(answer) if matches!(answer.status, 429 | 503) && answer.headers.contains_key("retry-after") => {
                self.again.fetch_add(1, SeqCst)
            }
            Ok(answer) if (200..300).contains(&answer.status) => return Some(answer),
            // A key whose answer was lost may be under way at the other node; a group may be at another's hands.
            Ok(answer) if answer.status == 409 => self.again.fetch_add(1, SeqCst),
            Ok(answer) => {
                let told = format!("{method} {path}: {} {}", answer.status, answer.text());
                self.refused.lock().unwrap().push(told);
                0
            }
        };
        std::thread::sleep(PAUSE);
        None
    }

    fn flows(&self, requests: usize) {
        let goal = self.acknowledged.load(SeqCst) + requests;
        until("requests are acknowledged", || (self.acknowledged.load(SeqCst) >= goal).then_some(()));
    }

    fn send(&self, sender: usize) -> BTreeSet<String> {
        let mut acknowledged = BTreeSet::new();
        for request in 0.. {
            if self.stop.load(SeqCst) {
                break;
            }
            let key = format!("{sender}-{request}");
            let item = |n| format!(r#"{{"event_type":"t","source_module":"s","payload":{{"key":"{key}","n":{n}}}}}"#);
            let body = array((0..ITEMS).map(item));
            let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
            let answer = until("a request is taken", || self.ask("POST", "/v1/events", &headers, &body));
            assert_eq!(answer.json()["accepted"], ITEMS, "{answer:?}");
            self.acknowledged.fetch_add(1, SeqCst);
            acknowledged.insert(key);
        }
        acknowledged
    }

    /// Reads as a member of a group, acknowledging all that it is given, until it has read so far; the offsets it had.
    fn consume(&self, until_offset: &AtomicUsize) -> Vec<i64> {
        let mut had = Vec::new();
        loop {
            let goal = i64::try_from(until_offset.load(SeqCst)).unwrap();
            if goal > 0 && had.iter().max().is_some_and(|last| last + 1 >= goal) {
                return had;
            }
            let take = format!("{}/events?member=m&limit=1000&wait=1s", path("default", "g"));
            let Some(answer) = self.ask("GET", &take, &[], b"") else { continue };
            let taken = answer.json();
            had.extend(offsets(&taken));
            if !taken["lease"].is_null() {
                let body = json!({ "lease": taken["lease"] }).to_string();
                let headers = [("content-type", "application/json")];
                // What was not acknowledged in time is handed out again.
                let _ = self.ask("POST", &format!("{}/ack", path("default", "g")), &headers, body.as_bytes());
            }
        }
    }
}

/// As a machine that fails while nodes are replaced, or that goes back to this version: the schema is a newer one's.
fn a_node_starts_beside_a_newer_version_that_lets_it(env: &Env) -> TestResult {
    let first = node(env, "a", &[]);
    first.client.events(event(1)).accepted(1, 0);
    let newest: i32 = env.sql().one("SELECT max(version) FROM schema_migrations");
    let apply = |runs_with: &str| {
        env.sql().run(&format!(
            "INSERT INTO schema_migrations (version, name, checksum, execution_ms, runs_with) \
             VALUES ({newest} + 1, 'of_tomorrow', 'its', 1, {runs_with}) \
             ON CONFLICT (version) DO UPDATE SET runs_with = excluded.runs_with"
        ));
    };
    apply(&newest.to_string());
    first.client.events(event(2)).accepted(1, 0);
    let second = node(env, "b", &[]);
    assert!(second.log().contains("the schema is a newer version's"), "{}", second.log());
    second.client.events(event(3)).accepted(1, 0);
    until("its reads work", || {
        (second.client.get("/v1/events").expect(200)["data"].as_array()?.len() == 3).then_some(())
    });
    let told = env.cli(&["migrate", "--check", "--json"]).json_whatever();
    assert_eq!((&told["newer"], &told["unknown"]), (&json!([newest + 1]), &json!([])), "{told}");
    assert_eq!(env.cli(&["keys", "list"]).code, Some(0));
    let doctor = env.cli(&["doctor", "--json"]).json_whatever();
    let schema = doctor.as_array().unwrap().iter().find(|finding| finding["check"] == "schema").unwrap();
    assert_eq!(schema["state"], "warning", "{schema}");
    // One that cannot work with it, or of which that is not said, does not start; those that run go on.
    for runs_with in [(newest + 1).to_string(), "NULL".to_owned()] {
        apply(&runs_with);
        let refused = env.serve_fails(&["data_dir=c"]);
        assert!(refused.stderr.contains("which this older version of Tidegate does not know"), "{refused:?}");
        first.client.events(event(4)).accepted(1, 0);
    }
    Ok(())
}

fn two_nodes_of_the_version_before_are_replaced_under_load(env: &Env) -> TestResult {
    env.begin_empty();
    let before = PathBuf::from(std::env::var_os(VARIABLE).expect("it is run with it"));
    let flags = |folder: &str| vec!["--set".to_owned(), format!("data_dir={folder}")];
    let old = |folder: &str| Tidegate::serve_program(&before, env, &env.variables(), &flags(folder));
    let new = |folder: &str| Tidegate::serve(env, &env.variables(), &flags(folder));
    let mut nodes = [old("a"), old("b")];
    let newest = || env.sql().one::<i32>("SELECT max(version) FROM schema_migrations");
    let schema_before = newest();
    let balancer = Arc::new(Balancer::default());
    nodes.iter().for_each(|node| balancer.with(node));
    let senders: Vec<JoinHandle<BTreeSet<String>>> = (0..SENDERS)
        .map(|sender| {
            let balancer = Arc::clone(&balancer);
            std::thread::spawn(move || balancer.send(sender))
        })
        .collect();
    balancer.flows(20);
    make(&nodes[0].client, "default", json!({ "name": "g", "start": "earliest", "ack_timeout": "10s" }));
    let end = Arc::new(AtomicUsize::new(0));
    let reader = {
        let (balancer, end) = (Arc::clone(&balancer), Arc::clone(&end));
        std::thread::spawn(move || balancer.consume(&end))
    };
    for (at, folder) in ["a", "b"].into_iter().enumerate() {
        // Both versions at once, after the first.
        balancer.flows(50);
        balancer.without(&nodes[at]);
        assert_eq!(nodes[at].stop(), Some(0), "{}", nodes[at].log());
        nodes[at] = new(folder);
        balancer.with(&nodes[at]);
        balancer.flows(50);
    }
    assert!(newest() >= schema_before);
    balancer.stop.store(true, SeqCst);
    let acknowledged: BTreeSet<String> = senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect();
    let refused = balancer.refused.lock().unwrap().clone();
    assert_eq!(refused, Vec::<String>::new(), "answers that no Retry-After covers");
    assert_stored(&env.sql(), &acknowledged);
    let stored = usize::try_from(env.sql().count("events"))?;
    end.store(stored, SeqCst);
    let had: BTreeSet<i64> = reader.join().unwrap().into_iter().collect();
    assert_eq!(had, (0..i64::try_from(stored)?).collect(), "every offset was handed out");
    let standing = until("the group is through", || {
        let standing = show(&nodes[0].client, "default", "g");
        (standing["lag"] == 0).then_some(standing)
    });
    assert_eq!(standing["parked"], 0, "{standing}");
    let (again, lost) = (balancer.again.load(SeqCst), balancer.lost.load(SeqCst));
    println!("{stored} events; {again} answers that asked to come again, {lost} connections refused or lost");
    Ok(())
}
