//! Readers that do not read, and one tenant that reads as dearly as it can (scenarios 36 and 37).

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::books::Books;
use crate::client::Client;
use crate::env::{Env, TestResult, until};
use crate::frames::{END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, connect_slow, frame};
use crate::process::Tidegate;
use crate::samples::{array, event, event_with};
use crate::scenario;
use crate::scenario::Scenario;

pub const SCENARIOS: &[Scenario] = &[
    scenario!(s36_readers_that_never_read),
    scenario!(s36_followers_that_never_read).slow(),
    scenario!(s37_one_tenant_repeats_its_dearest_read).slow(),
];

const MIB: u64 = 1 << 20;
/// The default of `limits.memory_bytes`.
const MEMORY_BYTES: u64 = 128 * MIB;
/// Its threads and connections, rows on their way from the database, and what the allocator keeps.
const OVERHEAD_BYTES: u64 = 32 * MIB;
/// The default of `read_ahead_bytes`: what was read of streams is kept beside the answers, for others who come to the same place.
const READ_AHEAD_BYTES: u64 = 64 * MIB;
/// What may be resident of all that a minute later: 22 to 28 MiB on an idle machine; how full the allocator's pages are left
/// depends on which thread had which answer.
const LEFT_BYTES: u64 = 48 * MIB;

fn held(tidegate: &Tidegate, what: &str) -> f64 {
    Books::of(&tidegate.client).get(&format!("tidegate_{what}_bytes_held"))
}

fn ask(client: &Client, path: &str, accept: &str) -> TcpStream {
    let mut stream = connect_slow(client);
    let key = client.key();
    let head = format!("GET {path} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {key}\r\naccept: {accept}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// One connection of HTTP/2 that asks 64 times and makes no room for an answer.
fn ask_64_times(client: &Client, path: &str) -> TcpStream {
    let mut stream = connect_slow(client);
    let mut head = b"\x82\x86\x01\x01t\x04".to_vec();
    for (name, value) in [(None, path), (Some(&b"\x00\x09x-api-key"[..]), client.key())] {
        head.extend(name.unwrap_or_default());
        head.push(u8::try_from(value.len()).unwrap());
        head.extend(value.as_bytes());
    }
    // SETTINGS_INITIAL_WINDOW_SIZE: 0.
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, b"\x00\x04\x00\x00\x00\x00")].concat()).unwrap();
    for n in 0..64 {
        stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, &head)).unwrap();
    }
    stream
}

/// Fifty MB of events, most of them large.
fn fill(client: &Client) {
    let text = |bytes: usize| "x".repeat(bytes);
    for _ in 0..5 {
        let rows = (0..24).map(|n| event_with(n, &format!(r#""metadata":{{"m":"{}"}}"#, text(400_000))));
        client.events(array(rows)).accepted(24, 0);
    }
    for bytes in [15_000_000, 3_000_000, 3_000_000] {
        let body = format!(r#"{{"event_type":"large","source_module":"tests","payload":{{"k":"{}"}}}}"#, text(bytes));
        client.events(body).accepted(1, 0);
    }
}

/// Asks for so many answers that are never read: they are held within bounds, with `beside` bytes of what they were made of; others
/// read and write meanwhile, each is cut, and all that was theirs is given back.
fn never_read(
    env: &Env,
    name: &str,
    tidegate: &Tidegate,
    beside: u64,
    ask_all: impl FnOnce(&Client) -> Vec<TcpStream>,
    others: impl Fn(&Client),
) {
    let client = &tidegate.client;
    let (before, peak_before) = (tidegate.resident_bytes(), tidegate.peak_resident_bytes());
    let other = tidegate.with(&env.key("other", "ingest,read,consume"));
    other.events(event(0)).accepted(1, 0);
    let deaf = ask_all(client);
    let asked = Instant::now();
    until("answers wait for their readers", || (held(tidegate, "answer") > 4e6).then_some(()));
    while asked.elapsed() < Duration::from_secs(4) {
        others(&other);
        assert!(held(tidegate, "answer") <= MEMORY_BYTES as f64 / 2.0);
    }
    client.events(event(0)).accepted(1, 0);
    // Also to the system.
    until("all memory is given back", || (held(tidegate, "answer") + held(tidegate, "body") < 0.5).then_some(()));
    let back = until("it is given back to the system", || {
        let resident = tidegate.resident_bytes();
        // Of what is kept beside the answers the allocator still has pages that are partly used.
        (resident <= LEFT_BYTES + beside / 4).then_some(resident)
    });
    let peak = tidegate.peak_resident_bytes();
    println!(
        "{}: {name}: resident {} MiB before (peak {}), {} at most, {} after {:.1} s",
        env.engine.as_str(),
        before / MIB,
        peak_before / MIB,
        peak / MIB,
        back / MIB,
        asked.elapsed().as_secs_f64()
    );
    assert!(peak <= MEMORY_BYTES + beside + OVERHEAD_BYTES, "{peak} bytes were resident");
    let books = Books::of(client);
    books.assert_balanced();
    assert!(books.get("tidegate_http_timeouts_total{what=\"write\"}") >= 1.0);
    drop(deaf);
}

fn s36_readers_that_never_read(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["http.write_timeout=5s"]);
    let client = &tidegate.client;
    fill(client);
    client.get("/v1/events?limit=100");
    let begun = Instant::now();
    let ask_all = |client: &Client| {
        let mut deaf: Vec<TcpStream> =
            (0..80).map(|_| ask(client, "/v1/events?limit=100", "application/json")).collect();
        deaf.push(ask_64_times(client, "/v1/events?limit=100"));
        for n in 0..100 {
            deaf.push(ask(client, "/v1/events", ["text/csv", "application/x-ndjson"][n % 2]));
        }
        deaf
    };
    never_read(env, "s36_readers_that_never_read", &tidegate, 0, ask_all, |other| {
        assert_eq!(other.get("/v1/events").expect(200)["data"].as_array().map(Vec::len), Some(1));
    });
    assert!(begun.elapsed() < Duration::from_secs(60));
    client.get("/v1/events?limit=1").expect(200);
    Ok(())
}

/// The same of those who follow a stream, and of members of a group, whose leases come back.
fn s36_followers_that_never_read(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["http.write_timeout=5s"]);
    let client = &tidegate.client;
    fill(client);
    let group = r#"{"name":"g","ack_timeout":"2s","max_deliveries":0}"#;
    client.post("/v1/streams/default/groups", &[], group).expect(201);
    let end = until("all is logged", || {
        let answer = client.get("/v1/streams/default/events?offset=latest");
        (answer.status == 200).then(|| answer.json()["end"].as_i64()).flatten().filter(|end| *end >= 123)
    });
    let ask_all = |client: &Client| {
        let mut deaf: Vec<TcpStream> = Vec::new();
        let place = "/v1/streams/default/events?offset=0";
        for n in 0..60 {
            deaf.push(ask(client, place, "text/event-stream"));
            deaf.push(ask(client, &format!("{place}&wait=30s"), "application/x-ndjson"));
            let member = format!("/v1/streams/default/groups/g/events?limit=100&wait=30s&member=m{n}");
            deaf.push(ask(client, &member, "application/json"));
        }
        deaf.push(ask_64_times(client, &format!("{place}&wait=30s")));
        deaf
    };
    never_read(env, "s36_followers_that_never_read", &tidegate, READ_AHEAD_BYTES, ask_all, |other| {
        let page = other.get("/v1/streams/default/events?offset=0&wait=5s").expect(200);
        assert_eq!(page["data"].as_array().map(Vec::len), Some(1));
    });
    until("nobody follows", || (Books::of(client).get("tidegate_stream_followers") < 0.5).then_some(()));
    // What the deaf members were given is handed out again, each event once.
    let mut seen = std::collections::BTreeSet::new();
    until("all of it is had", || {
        let taken = client.get("/v1/streams/default/groups/g/events?limit=100&wait=5s&member=there").expect(200);
        let lease = taken["lease"].as_str()?;
        let body = format!(r#"{{"lease":"{lease}"}}"#);
        client.post("/v1/streams/default/groups/g/ack", &[], body).expect(200);
        for event in taken["events"].as_array().unwrap() {
            assert!(seen.insert(event["offset"].as_i64().unwrap()), "twice");
        }
        (i64::try_from(seen.len()).unwrap() > end).then_some(())
    });
    Ok(())
}

/// How long a read of five events takes, of so many, sorted.
fn latencies(client: &Client, count: usize) -> Vec<Duration> {
    let timed = |_| {
        let begun = Instant::now();
        client.get("/v1/events?limit=5").expect(200);
        begun.elapsed()
    };
    let mut all: Vec<Duration> = (0..count).map(timed).collect();
    all.sort();
    all
}

/// What a read may take for whatever reason: other tests and compilers run beside this one, and for them one in ten may take
/// longer. Without a share of the readers it was seconds, and then refusals; the line that is printed has the figures.
const UNSEEN: Duration = Duration::from_millis(100);

fn s37_one_tenant_repeats_its_dearest_read(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let [greedy, other] = ["greedy", "other"].map(|org| tidegate.with(&env.key(org, "ingest,read")));
    other.events(array((0..100).map(event))).accepted(100, 0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for part in 0..40 {
                    let rows = (0..1500).map(|n| event_with(n, &format!(r#""asset_id":"asset-{}""#, n * 40 + part)));
                    greedy.events(array(rows)).accepted(1500, 0);
                }
            });
        }
    });
    latencies(&other, 50);
    let before = latencies(&other, 400);
    let (stop, refused, served) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let dearest = "/v1/events/counts?from=-1h&group_by=asset_id,event_type,stream&bucket=1m&limit=100";
    let during = std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let answer = greedy.get(dearest);
                    match answer.status {
                        200 => served.fetch_add(1, Ordering::Relaxed),
                        429 => {
                            answer.problem(429, "tenant_reads");
                            // The pace of a client that presses on: one that heeds Retry-After waits longer.
                            std::thread::sleep(Duration::from_millis(50));
                            refused.fetch_add(1, Ordering::Relaxed)
                        }
                        status => panic!("{status}: {}", answer.text()),
                    };
                }
            });
        }
        until("it is refused", || (refused.load(Ordering::Relaxed) > 0).then_some(()));
        let during = latencies(&other, 400);
        stop.store(true, Ordering::Relaxed);
        during
    });
    let [p50, p99] = [200, 396].map(|at| (before[at], during[at]));
    println!(
        "{}: s37_one_tenant_repeats_its_dearest_read: another tenant's read: p50 {:?}, then {:?}; p99 {:?}, then {:?}; the \
         first was served {} times and refused {} times",
        env.engine.as_str(),
        p50.0,
        p50.1,
        p99.0,
        p99.1,
        served.load(Ordering::Relaxed),
        refused.load(Ordering::Relaxed)
    );
    let most = during[360];
    assert!(most <= 2 * p99.0.max(UNSEEN), "nine in ten within {most:?}: {p99:?}");
    Ok(())
}
