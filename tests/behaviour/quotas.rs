//! What keys may send and tenants may hold: limits set beside a running server, 429 with a Retry-After that is true, and
//! everybody else unaffected.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use serde_json::{Value, json};
use tidegate::tenancy::ApiKey;

use crate::books::Books;
use crate::client::{Answer, Client, Key, parse};
use crate::env::{DEADLINE, Env, Test, TestResult, until};
use crate::process::{Finished, Tidegate};
use crate::samples::{array, batch, event, gzip};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    limits_on_the_command_line,
    limits_act_on_a_running_server,
    who_waits_as_told_is_served,
    bytes_count_after_decompression,
    what_was_read_and_refused_is_in_the_books,
    one_at_many_times_its_limit_beside_others,
    a_body_that_breaks_off_counts_with_what_came,
    what_is_to_be_sent_again_costs_nothing,
    stalled_bodies_hold_a_tenants_share_only,
    a_flood_of_unknown_keys_beside_new_ones,
    the_quota_of_dead_letters,
);

/// A key with limits.
fn limited(env: &Env, organization: &str, limits: &[&str]) -> Key {
    let _organization = env.key(organization, "read");
    let arguments = ["keys", "create", "--org", organization, "--scopes", "ingest,read", "--json"];
    Key::parse(&env.cli(&[&arguments[..], limits].concat()).json())
}

fn refusals(client: &Client, reason: &str) -> f64 {
    Books::of(client).get(&format!("tidegate_quota_refusals_total{{reason=\"{reason}\"}}"))
}

/// Settings by which a body whose rest does not come is waited for: those that tests hold back stay until they are dropped.
const PATIENT: [&str; 2] = ["http.body_stall_timeout=10m", "http.body_timeout=10m"];

/// What Retry-After says, in seconds.
fn retry_after(answer: &Answer) -> u64 {
    answer.header("retry-after").parse().unwrap_or_else(|_| panic!("no Retry-After: {answer:?}"))
}

fn listed(env: &Env, id: &str) -> Value {
    let keys = env.cli(&["keys", "list", "--json"]).json();
    keys.as_array().unwrap().iter().find(|key| key["id"] == id).unwrap().clone()
}

fn limits_of(key: &Value) -> [Value; 3] {
    ["events_per_second", "bytes_per_second", "burst_seconds"].map(|name| key[name].clone())
}

fn limits_on_the_command_line(env: &Env) -> TestResult {
    let key = limited(env, "one", &["--events-per-second", "100", "--bytes-per-second", "2MiB", "--burst", "30s"]);
    let limit = |changes: &[&str]| env.cli(&[&["keys", "limit", key.id(), "--json"], changes].concat()).json();
    assert_eq!(limits_of(&listed(env, key.id())), [json!(100), json!(2 << 20), json!(30)]);
    // What is not named stays.
    assert_eq!(limits_of(&limit(&["--events-per-second", "7"])), [json!(7), json!(2 << 20), json!(30)]);
    let table = env.cli(&["keys", "list"]);
    assert!(table.stdout.contains("7 events/s, 2097152 bytes/s, burst 30 s"), "{table:?}");
    assert!(table.stdout.contains("no limits"), "{table:?}");
    let successor = Key::parse(&env.cli(&["keys", "rotate", key.id(), "--json"]).json());
    assert_eq!(limits_of(&listed(env, successor.id())), [json!(7), json!(2 << 20), json!(30)], "a successor has them");
    assert_eq!(
        limits_of(&limit(&["--bytes-per-second", "none", "--burst", "none"])),
        [json!(7), Value::Null, Value::Null]
    );
    assert_eq!(limits_of(&limit(&["--events-per-second", "none"])), [Value::Null, Value::Null, Value::Null]);
    let wrong = |arguments: &[&str], code: i32, words: &str| {
        let finished: Finished = env.cli(arguments);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(code), ""), "{finished:?}");
        assert!(finished.stderr.contains(words), "{words}: {finished:?}");
    };
    wrong(&["keys", "limit", key.id()], 2, "--events-per-second");
    wrong(&["keys", "limit", key.id(), "--events-per-second", "0"], 2, "from 1 to");
    wrong(&["keys", "limit", key.id(), "--bytes-per-second", "lots"], 2, "64KiB");
    wrong(&["keys", "limit", key.id(), "--burst", "2h"], 2, "from 1s to 3600s");
    wrong(&["keys", "limit", key.id(), "--burst", "1500ms"], 2, "whole seconds");
    let nobody = "00000000-0000-0000-0000-000000000000";
    wrong(&["keys", "limit", nobody, "--events-per-second", "1"], 1, "no key has the id");
    Ok(())
}

fn limits_act_on_a_running_server(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let key = env.key("default", "ingest");
    let client = tidegate.with(&key);
    client.events(batch(100)).accepted(100, 0);
    env.cli(&["keys", "limit", key.id(), "--events-per-second", "1", "--burst", "1s", "--json"]).json();
    let refused = until("the limit is known", || Some(client.events(batch(100))).filter(|answer| answer.status == 429));
    refused.problem(429, "rate_limited");
    assert!(retry_after(&refused) > 1, "{refused:?}");
    assert!(refusals(&client, "events_per_second") >= 1.0);
    // Removed, with whatever it owes.
    env.cli(&["keys", "limit", key.id(), "--events-per-second", "none", "--json"]).json();
    until("the limit is gone", || (0..20).all(|n| client.events(event(n)).status == 200).then_some(()));
    Books::of(&client).assert_balanced();
    Ok(())
}

fn who_waits_as_told_is_served(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = tidegate.with(&limited(env, "default", &["--events-per-second", "2", "--burst", "2s"]));
    let served = AtomicUsize::new(0);
    let send = || {
        let answer = client.events(batch(20)).in_time();
        if answer.status == 200 {
            answer.accepted(20, 0);
            served.fetch_add(20, SeqCst);
        } else {
            answer.problem(429, "rate_limited");
        }
        answer
    };
    let refused = || until("it is refused", || Some(send()).filter(|answer| answer.status == 429));
    // Five times the burst passes, and is paid for: at once the next one is refused, and where a machine takes as long as that
    // for an answer, the one after it.
    assert_eq!(send().status, 200);
    let wait_s = retry_after(&refused());
    assert!((1..=14).contains(&wait_s), "16 to 20 events at 2 a second: {wait_s}");
    assert_eq!(env.sql().count("events"), i64::try_from(served.load(SeqCst))?, "nothing of it is stored");
    // What is refused at the head costs nothing and is in no book, so that asking again and again is free.
    until("the debt is paid", || (send().status == 200).then_some(()));
    // Another key of the tenant, and another tenant, never noticed.
    refused();
    tidegate.client.events(batch(100)).accepted(100, 0);
    tidegate.with(&env.key("other", "ingest")).events(batch(100)).accepted(100, 0);
    let items = 200 + served.load(SeqCst) as u64;
    Books::of(&client).assert_items(&[("received", items), ("committed", items)]);
    Ok(())
}

fn bytes_count_after_decompression(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = tidegate.with(&limited(env, "default", &["--bytes-per-second", "1000", "--burst", "1s"]));
    let plain = array([format!("{}{}", event(1), " ".repeat(100_000))]);
    let packed = gzip(&plain);
    assert!(packed.len() < 500, "{}", packed.len());
    let send = || {
        let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
        client.post("/v1/events", &headers, &packed)
    };
    send().accepted(1, 0);
    let refused = send();
    refused.problem(429, "rate_limited");
    assert!(retry_after(&refused) > 30, "99 s of debt: {refused:?}");
    assert!(refusals(&client, "bytes_per_second") >= 1.0);
    Ok(())
}

/// A request of which only a part is sent so far.
struct Unfinished {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Unfinished {
    fn start(client: &Client, body: &[u8], sent: usize) -> Self {
        let mut stream = TcpStream::connect(&client.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nhost: t\r\nconnection: close\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
            client.key(),
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body[..sent]).unwrap();
        Self { stream, rest: body[sent..].to_vec() }
    }

    fn finish(mut self) -> Answer {
        self.stream.write_all(&self.rest).unwrap();
        read_answer(self.stream)
    }
}

fn read_answer(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut bytes).unwrap();
    parse(&bytes, "").unwrap_or_else(|| panic!("no complete answer: {:?}", String::from_utf8_lossy(&bytes)))
}

fn bytes_held(client: &Client) -> f64 {
    Books::of(client).get("tidegate_body_bytes_held")
}

fn what_was_read_and_refused_is_in_the_books(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&PATIENT);
    let client = tidegate.with(&limited(env, "default", &["--events-per-second", "1", "--burst", "1s"]));
    // Both heads are let through while the bucket is full; the events of the first then empty it.
    let body = batch(500);
    let [first, second] = [(); 2].map(|()| Unfinished::start(&client, &body, 100));
    until("both bodies are being read", || (bytes_held(&client) >= 2.0 * body.len() as f64).then_some(()));
    first.finish().accepted(500, 0);
    let refused = second.finish();
    refused.problem(429, "rate_limited");
    assert!(retry_after(&refused) > 60, "{refused:?}");
    assert_eq!(env.sql().count("events"), 500);
    let books = Books::of(&client);
    books.assert_items(&[("received", 1000), ("committed", 500), ("refused", 500)]);
    until("the memory is given back", || (bytes_held(&client) < 1.0).then_some(()));
    Ok(())
}

fn one_at_many_times_its_limit_beside_others(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let greedy = tidegate.with(&limited(env, "greedy", &["--events-per-second", "10", "--burst", "1s"]));
    let neighbours = [tidegate.with(&env.key("greedy", "ingest")), tidegate.with(&env.key("other", "ingest"))];
    let (stop, accepted, refused) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(SeqCst) {
                    let answer = greedy.events(batch(10)).in_time();
                    match answer.status {
                        200 => accepted.fetch_add(1, SeqCst),
                        429 => refused.fetch_add(1, SeqCst),
                        other => panic!("{other}: {}", answer.text()),
                    };
                }
            });
        }
        until("the greedy one meets its limit", || (refused.load(SeqCst) > 0).then_some(()));
        // Each of these panics when it is not accepted.
        let sent = std::panic::catch_unwind(|| {
            (0..30).for_each(|_| neighbours.iter().for_each(|client| drop(client.events(batch(10)).accepted(10, 0))));
        });
        stop.store(true, SeqCst);
        sent.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let stored =
        |tenant: &str| -> i64 { env.sql().one(&format!("SELECT count(*) FROM events WHERE tenant_id = '{tenant}'")) };
    assert_eq!(stored("greedy"), i64::try_from(10 * accepted.load(SeqCst) + 300)?);
    assert_eq!(stored("other"), 300);
    let books = Books::of(&tidegate.client);
    books.assert_balanced();
    assert_eq!(books.items("in_flight"), 0);
    Ok(())
}

fn a_body_that_breaks_off_counts_with_what_came(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&PATIENT);
    let client = tidegate.with(&limited(env, "default", &["--bytes-per-second", "100", "--burst", "1s"]));
    let body = vec![b' '; 60_000];
    let broken = Unfinished::start(&client, &body, 10);
    until("the body is being read", || (bytes_held(&client) > 0.0).then_some(()));
    let refused = client.events(event(1));
    refused.problem(429, "rate_limited");
    assert!(retry_after(&refused) > 60, "what is announced is taken: {refused:?}");
    drop(broken);
    // Far sooner than the ten minutes that the announced bytes would take.
    until("what did not come is given back", || (client.events(event(1)).status == 200).then_some(()));
    Ok(())
}

fn what_is_to_be_sent_again_costs_nothing(env: &Env) -> TestResult {
    let small = ["limits.body_bytes=64KiB", "limits.memory_bytes=192KiB", "limits.dead_letter_bytes_per_day=0"];
    let tidegate = env.serve_with(&[&small[..], &PATIENT].concat());
    let client = tidegate.with(&limited(env, "default", &["--bytes-per-second", "500", "--burst", "1s"]));
    let stalled = [(); 3].map(|()| Unfinished::start(&tidegate.client, &[b' '; 64 << 10], 60 << 10));
    until("the memory is taken", || (bytes_held(&client) >= f64::from(192 << 10)).then_some(()));
    let body = format!("{}{}", event(1), " ".repeat(60_000));
    for _ in 0..20 {
        let refused = client.events(&body);
        refused.problem(503, "overloaded");
        assert!(retry_after(&refused) >= 1, "{refused:?}");
    }
    drop(stalled);
    until("the memory is given back", || (bytes_held(&client) < 1.0).then_some(()));
    // Refused after it was read and decoded.
    let junk = body.replace("event_type", "event_kind");
    (0..5).for_each(|_| drop(client.events(&junk).problem(429, "dead_letter_quota")));
    client.events(&body).accepted(1, 0);
    client.events(&body).problem(429, "rate_limited");
    Ok(())
}

fn stalled_bodies_hold_a_tenants_share_only(env: &Env) -> TestResult {
    let small = ["limits.body_bytes=64KiB", "limits.memory_bytes=512KiB"];
    let tidegate = env.serve_with(&[&small[..], &PATIENT].concat());
    let stalling = tidegate.with(&env.key("stalling", "ingest"));
    let other = tidegate.with(&env.key("other", "ingest"));
    let body = vec![b' '; 64 << 10];
    // Half of the memory: four bodies that never come to their end.
    let stalled: Vec<Unfinished> = (0..4).map(|_| Unfinished::start(&stalling, &body, 60 << 10)).collect();
    until("the share is taken", || (bytes_held(&other) >= f64::from(256 << 10)).then_some(()));
    let refused = stalling.events(event(1));
    refused.problem(429, "tenant_memory");
    assert!(retry_after(&refused) >= 1, "{refused:?}");
    assert!(refusals(&other, "tenant_memory") >= 1.0);
    other.events(batch(100)).accepted(100, 0);
    tidegate.client.events(batch(100)).accepted(100, 0);
    drop(stalled);
    until("the stalled bodies are given up", || (bytes_held(&other) < 1.0).then_some(()));
    stalling.events(event(1)).accepted(1, 0);
    Books::of(&other).assert_items(&[("received", 201), ("committed", 201)]);
    Ok(())
}

/// GET /v1/events from one of this machine's loopback addresses.
fn read_from(source: &str, client: &Client, key: &str) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(source.parse().unwrap(), 0)).unwrap();
        socket.connect(client.address.parse().unwrap()).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let head = format!(
        "GET /v1/events?limit=1 HTTP/1.1\r\nhost: t\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\r\n"
    );
    (&stream).write_all(head.as_bytes()).unwrap();
    read_answer(stream)
}

fn flood(tidegate: &Tidegate, stop: &AtomicBool, refused: &AtomicUsize) {
    while !stop.load(SeqCst) {
        let unknown = ApiKey::generate().unwrap().reveal();
        let answer = read_from("127.0.0.1", &tidegate.client, &unknown);
        match answer.status {
            401 => {}
            429 => {
                answer.problem(429, "key_lookups");
                assert!(retry_after(&answer) >= 1);
                refused.fetch_add(1, SeqCst);
            }
            other => panic!("{other}: {}", answer.text()),
        }
    }
}

fn a_flood_of_unknown_keys_beside_new_ones(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let fresh: Vec<Key> = (0..3).map(|_| env.key("default", "read")).collect();
    tidegate.client.get("/v1/events").expect(200);
    let (stop, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| flood(&tidegate, &stop, &refused));
        }
        until("the flood is stopped", || (refused.load(SeqCst) > 0).then_some(()));
        let served: Vec<u16> =
            fresh.iter().map(|key| read_from("127.0.0.2", &tidegate.client, &key.text).status).collect();
        let known = read_from("127.0.0.1", &tidegate.client, tidegate.client.key()).status;
        let at_work = refused.load(SeqCst);
        until("the flood goes on", || (refused.load(SeqCst) > at_work).then_some(()));
        stop.store(true, SeqCst);
        assert_eq!((served, known), (vec![200; 3], 200), "keys first used from elsewhere, and a known one from there");
    });
    assert!(refusals(&tidegate.client, "key_lookups") >= 1.0);
    Ok(())
}

fn the_quota_of_dead_letters(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["limits.dead_letter_bytes_per_day=4KiB"]);
    let junk = || tidegate.client.events(array(["{}"; 4]));
    junk().expect(422);
    let refused = until("the day's quota is used up", || Some(junk()).filter(|answer| answer.status == 429));
    refused.problem(429, "dead_letter_quota");
    assert!((1..=3600).contains(&retry_after(&refused)), "{refused:?}");
    // Of one day, unless midnight has come meanwhile.
    let of_days: Vec<i64> =
        env.sql().column("SELECT count(*) FROM dead_letter_events GROUP BY date_trunc('day', failed_at, 'UTC')");
    assert!(of_days.iter().all(|letters| (4..=8).contains(letters)), "512 bytes a letter and its own: {of_days:?}");
    // Good events are none of its business, and neither are other keys.
    tidegate.client.events(event(1)).accepted(1, 0);
    tidegate.with(&env.key("other", "ingest")).events(array(["{}"; 4])).expect(422);
    let books = Books::of(&tidegate.client);
    books.assert_balanced();
    assert_eq!(books.items("refused_total"), 4);
    assert!(refusals(&tidegate.client, "dead_letters") >= 1.0);
    Ok(())
}
