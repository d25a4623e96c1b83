//! Reads are guarded as writes are: pages have a size, answers a budget, tenants a share of the readers, and who does not
//! read is cut.

use std::collections::{HashSet, VecDeque};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::books::Books;
use crate::client::{Answer, Client};
use crate::env::{Env, Test, TestResult, until};
use crate::frames::connect_slow;
use crate::postgres::Sql;
use crate::process::Tidegate;
use crate::samples::{array, encode, event, event_with, metric_with};
use crate::tests;

pub const TESTS: &[Test] = tests!(a_page_has_its_size_whatever_a_row_holds, other_rows_that_are_large);
pub const ON_ONE: &[Test] = tests!(postgres:
    a_tenant_has_a_share_of_the_readers,
    answers_that_are_not_read_hold_their_tenants_memory_until_they_are_cut,
    a_trickle_is_cut,
    an_export_that_waits_for_its_reader_holds_no_connection,
    an_export_that_is_given_up_is_cancelled,
    counting_has_its_time,
);

const MIB: usize = 1 << 20;
const PAGE_BYTES: usize = 8 * MIB;

/// All pages of a list, each within its size.
fn pages(client: &Client, path: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = client.get(&format!("{path}{cursor}"));
        assert!(answer.bytes.len() <= PAGE_BYTES, "{path}: {} bytes", answer.bytes.len());
        let page = answer.expect(200);
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next_cursor"].as_str() else { return all };
        cursor = format!("&cursor={}", encode(next));
    }
}

fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200);
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn a_page_has_its_size_whatever_a_row_holds(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let large = |members: &str| format!(r#"{{"event_type":"large","source_module":"tests",{members}}}"#);
    let xs = |bytes: usize| "x".repeat(bytes);
    // Larger than a page, in the payload or beside it; larger than is listed; what is short in the database and long as text.
    let control = format!(r#""payload":{{"k":"{}"}}"#, r"\u0001".repeat(300_000));
    let digits = format!(r#""payload":{{"k":[{}]}}"#, vec!["1e300"; 4_000].join(","));
    let bodies = [
        large(&format!(r#""payload":{{"k":"{}"}}"#, xs(15 * MIB))),
        large(&format!(r#""payload":{{}},"unknown":"{}""#, xs(9 * MIB))),
        large(&format!(r#""payload":{{"k":"{}"}}"#, xs(5 * MIB))),
        large(&format!(r#""payload":{{"k":"{}"}},"metadata":{{"m":"{}"}}"#, xs(3 * MIB), xs(3 * MIB))),
        large(&control),
        large(&digits),
    ];
    for body in &bodies {
        client.events(event(0)).accepted(1, 0);
        client.events(body).accepted(1, 0);
    }
    // Many that are listed, and together more than a page.
    for _ in 0..3 {
        let events = (0..10).map(|n| event_with(n, &format!(r#""metadata":{{"m":"{}"}}"#, xs(400_000))));
        client.events(array(events)).accepted(10, 0);
    }
    let listed = pages(client, "/v1/events?limit=100");
    let ids: HashSet<&str> = listed.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!((listed.len(), ids.len()), (42, 42));
    let exported = lines(&client.get_as("/v1/events", &[("accept", "application/x-ndjson")]));
    assert_eq!(exported.len(), 42);
    let left_out: Vec<&Value> = listed.iter().filter(|event| event["payload"].is_null()).collect();
    assert_eq!(left_out.len(), 2, "those that no page holds");
    for (one, whole) in listed.iter().zip(&exported) {
        assert_eq!(one["id"], whole["id"]);
        if one["payload"].is_null() {
            assert!(one["metadata"].is_null());
            let by_id = client.get(&format!("/v1/events/{}", one["id"].as_str().unwrap())).expect(200);
            assert!(by_id == *whole && !whole["payload"].is_null());
        } else {
            assert!(one == whole, "{}", one["id"]);
        }
    }
    let sent: HashSet<usize> =
        exported.iter().map(|event| event["payload"]["k"].as_str().map_or(0, str::len)).collect();
    assert_eq!(sent, HashSet::from([0, 15 * MIB, 5 * MIB, 3 * MIB, 300_000]));
    let csv = client.get_as("/v1/events", &[("accept", "text/csv")]);
    assert!(csv.status == 200 && csv.bytes.len() > 40 * MIB);
    // An answer is here before the server has let go of its last piece.
    until("the memory is given back", || (Books::of(client).get("tidegate_answer_bytes_held") == 0.0).then_some(()));
    Ok(())
}

fn other_rows_that_are_large(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    // A dead letter of many times the size of what is listed, which is all escapes as text.
    let junk = format!("[{{\"event_type\":\"{}\"}}]", "\u{7f}\"\\\"".repeat(MIB));
    client.events(&junk).problem(400, "body_not_json");
    let letter = client.get("/v1/dead-letters").expect(200)["data"][0].clone();
    assert!(letter["raw"].is_null() && letter["raw_bytes"].as_u64() > Some(3 * MIB as u64), "{letter}");
    let whole = client.get(&format!("/v1/dead-letters/{}", letter["id"].as_str().unwrap())).expect(200);
    let raw = whole["raw"].as_str().unwrap();
    assert!(junk.contains(raw) && raw.len() as u64 == letter["raw_bytes"].as_u64().unwrap());
    assert!(whole["raw_base64"].as_str().unwrap().len() > raw.len());
    // Dimensions are JSON of any size as well.
    let dimensions = |bytes: usize| format!(r#""value":1,"dimensions":{{"d":"{}"}}"#, "x".repeat(bytes));
    for bytes in [10, 9 * MIB, 2 * MIB] {
        client.metrics(metric_with("a", &dimensions(bytes))).accepted(1, 0);
    }
    let samples = pages(client, "/v1/metrics?resolution=raw&asset_id=a");
    let lengths: Vec<Option<usize>> = samples.iter().map(|one| one["dimensions"]["d"].as_str().map(str::len)).collect();
    assert_eq!(lengths, [Some(2 * MIB), None, Some(10)]);
    let exported = client.get_as("/v1/metrics?resolution=raw&asset_id=a", &[("accept", "application/x-ndjson")]);
    assert_eq!(lines(&exported)[1]["dimensions"]["d"].as_str().map(str::len), Some(9 * MIB));
    // Related events are listed without what is too large for a list.
    let parent = "01890000-0000-7000-8000-000000000001";
    let large = |id: &str, more: &str| {
        format!(r#"{{"id":"{id}","event_type":"r","source_module":"t","payload":{{"k":"{}"}}{more}}}"#, "x".repeat(MIB))
    };
    client.events(large(parent, "")).accepted(1, 0);
    client
        .events(large("01890000-0000-7000-8000-000000000002", &format!(r#","parent_event_id":"{parent}""#)))
        .accepted(1, 0);
    let related = client.get(&format!("/v1/events/{parent}/related")).expect(200);
    assert!(related["data"][0]["event"]["payload"].is_null(), "{related}");
    Ok(())
}

/// A statement that holds a lock on a table until it is dropped.
fn locked(env: &Env, table: &str) -> Sql {
    let sql = env.sql();
    sql.run(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"));
    sql
}

fn reads(client: &Client, state: &str) -> f64 {
    Books::of(client).get(&format!("tidegate_reads{{state=\"{state}\"}}"))
}

fn a_tenant_has_a_share_of_the_readers(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["readers=4", "readers_per_tenant=2"]);
    let [a, b, c] = ["a", "b", "c"].map(|org| tidegate.with(&env.key(org, "read,ingest")));
    let books = &tidegate.client;
    let lock = locked(env, "dead_letter_events");
    std::thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let ask = |client: &Client, count: usize| {
            for _ in 0..count {
                let (client, tell) = (client.clone(), tell.clone());
                scope.spawn(move || tell.send(client.get("/v1/dead-letters")).unwrap());
            }
        };
        // Two are under way, eight wait, and the rest is refused at once. How long the eight wait is another matter.
        ask(&a, 12);
        for _ in 0..2 {
            let refused = told.recv().unwrap();
            refused.problem(429, "tenant_reads");
            assert!(refused.header("retry-after").parse::<u32>().is_ok());
        }
        until("its share is under way", || (reads(books, "running") == 2.0).then_some(()));
        assert!(reads(books, "waiting") <= 8.0);
        // Others do not wait behind them.
        for client in [&b, &c, &tidegate.client] {
            client.get("/v1/events").expect(200);
        }
        // With all readers taken, it is nobody's share that is used up, and not the database that is away.
        ask(&b, 2);
        until("all readers are taken", || (reads(books, "running") == 4.0).then_some(()));
        let waited = Instant::now();
        c.get("/v1/events").problem(503, "reads_busy");
        assert!(waited.elapsed() < Duration::from_secs(15));
        assert_eq!(tidegate.anonymous().get("/readyz").expect(200)["status"], "ready");
        c.events(event(0)).accepted(1, 0);
        lock.run("COMMIT");
        // Those that were under way are answered; those that waited for long were told whose share was used up.
        let served = (0..12).map(|_| told.recv().unwrap()).filter(|answer| match answer.status {
            429 => answer.problem(429, "tenant_reads").is_null(),
            _ => answer.expect(200).is_object(),
        });
        assert!(served.count() >= 4);
    });
    until("nothing is under way", || (reads(books, "running") == 0.0 && reads(books, "waiting") == 0.0).then_some(()));
    let books = Books::of(books);
    assert!(books.get("tidegate_read_refusals_total{reason=\"tenant_readers\"}") >= 2.0);
    assert_eq!(books.get("tidegate_read_refusals_total{reason=\"readers\"}"), 1.0);
    a.get("/v1/dead-letters").expect(200);
    Ok(())
}

/// A request on a connection with a small window of its own, whose answer nobody reads.
fn unread(client: &Client, path: &str, accept: &str) -> TcpStream {
    let mut stream = connect_slow(client);
    let key = client.key();
    let head = format!("GET {path} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {key}\r\naccept: {accept}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// A tenant with several full pages of events.
fn with_pages(tidegate: &Tidegate, client: &Client) {
    let payload = format!(r#""metadata":{{"m":"{}"}}"#, "x".repeat(400_000));
    for _ in 0..4 {
        client.events(array((0..20).map(|n| event_with(n, &payload)))).accepted(20, 0);
    }
    let held = || Books::of(&tidegate.client).get("tidegate_answer_bytes_held");
    until("nothing of an answer is held", || (held() == 0.0).then_some(()));
}

fn answers_that_are_not_read_hold_their_tenants_memory_until_they_are_cut(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["http.write_timeout=8s"]);
    let [a, b] = ["a", "b"].map(|org| tidegate.with(&env.key(org, "read,ingest")));
    with_pages(&tidegate, &a);
    b.events(event(0)).accepted(1, 0);
    let held = || Books::of(&tidegate.client).get("tidegate_answer_bytes_held");
    let ask = || unread(&a, "/v1/events?limit=100", "application/json");
    let mut deaf: VecDeque<TcpStream> = (0..24).map(|_| ask()).collect();
    let refused = || {
        // On a busy machine the first ones are cut before the last ones are answered: others take their places.
        deaf.pop_front();
        deaf.push_back(ask());
        (a.get("/v1/events?limit=100").status == 429).then_some(())
    };
    until("the tenant is told", refused);
    assert!(held() <= 32.0 * MIB as f64, "a tenant's part of half the memory");
    // Others read, and all write.
    b.get("/v1/events").expect(200);
    for client in [&a, &b] {
        client.events(event(0)).accepted(1, 0);
    }
    until("they are cut", || (held() == 0.0).then_some(()));
    assert!(Books::of(&tidegate.client).get("tidegate_http_timeouts_total{what=\"write\"}") >= 1.0);
    drop(deaf);
    a.get("/v1/events?limit=100").expect(200);
    Ok(())
}

fn a_trickle_is_cut(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["http.write_timeout=2s"]);
    let client = &tidegate.client;
    with_pages(&tidegate, client);
    for accept in ["application/json", "application/x-ndjson", "text/csv"] {
        let mut stream = unread(client, "/v1/events?limit=10000", accept);
        stream.set_read_timeout(Some(Duration::from_millis(20)))?;
        let cut = || Books::of(client).get("tidegate_http_timeouts_total{what=\"write\"}");
        let before = cut();
        // A byte now and then is no reading.
        until("it is cut", || {
            let ended = matches!(stream.read(&mut [0]), Ok(0));
            (ended || cut() > before).then_some(())
        });
        assert!(cut() > before, "{accept}");
    }
    until("the memory is given back", || (Books::of(client).get("tidegate_answer_bytes_held") == 0.0).then_some(()));
    Ok(())
}

/// So many requests of 1,000 rows, of which no fetch is cut off: after that an export would have no connection either. It finds
/// some 2,600 ahead of a reader that takes none, whatever a socket takes.
fn with_rows(client: &Client, requests: usize) {
    let payload = format!(r#""metadata":{{"m":"{}"}}"#, "x".repeat(3_300));
    for _ in 0..requests {
        client.events(array((0..1000).map(|n| event_with(n, &payload)))).accepted(1000, 0);
    }
}

/// An export that has begun, and waits for its reader with neither a reader nor a transaction.
fn stalled(env: &Env, client: &Client, accept: &str) -> TcpStream {
    let stream = unread(client, "/v1/events", accept);
    // The first rows are read before the answer begins.
    assert_eq!(stream.peek(&mut [0]).unwrap(), 1, "the connection ended");
    let sql = env.sql();
    let open = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tidegate export' AND xact_start IS NOT NULL \
                AND datname = current_database()";
    until("a page waits for its reader", || {
        // What is open is looked at last: while a slice is opened, its read is running.
        (reads(client, "running") == 0.0 && sql.one::<i64>(open) == 0).then_some(())
    });
    stream
}

fn an_export_that_waits_for_its_reader_holds_no_connection(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["readers=1", "http.write_timeout=10m"]);
    let client = &tidegate.client;
    with_rows(client, 10);
    let stalled = ["application/x-ndjson", "text/csv"].map(|accept| stalled(env, client, accept));
    assert_eq!(client.get("/v1/events?limit=1").expect(200)["data"].as_array().map(Vec::len), Some(1));
    // They go on where they were when somebody reads.
    for mut stream in stalled {
        let mut bytes = vec![0; 64 * 1024];
        let mut total = 0;
        while total < 30 * MIB {
            let read = stream.read(&mut bytes)?;
            assert!(read > 0, "cut off after {total} bytes");
            total += read;
        }
    }
    Ok(())
}

fn an_export_that_is_given_up_is_cancelled(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["http.write_timeout=10m"]);
    let client = &tidegate.client;
    with_rows(client, 5);
    let mut stream = stalled(env, client, "application/x-ndjson");
    let lock = locked(env, "events");
    let sql = env.sql();
    let asking = || {
        sql.one::<i64>("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tidegate export' AND wait_event_type = 'Lock' AND datname = current_database()")
    };
    // It reads until the next page is asked for.
    stream.set_read_timeout(Some(Duration::from_millis(20)))?;
    until("the next page is asked for", || {
        let mut bytes = [0; 64 * 1024];
        let _ = (0..100).take_while(|_| stream.read(&mut bytes).is_ok()).count();
        (asking() > 0).then_some(())
    });
    drop(stream);
    until("it is cancelled", || (asking() == 0).then_some(()));
    lock.run("ROLLBACK");
    client.get("/v1/events?limit=1").expect(200);
    Ok(())
}

fn counting_has_its_time(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let lock = locked(env, "events");
    let begun = Instant::now();
    let problem = tidegate
        .client
        .get("/v1/events/counts?from=-1h&group_by=asset_id,stream&bucket=1m")
        .problem(503, "query_timeout");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("group by fewer fields")), "{problem}");
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    lock.run("ROLLBACK");
    assert_eq!(tidegate.client.get("/v1/events/counts?from=-1h").expect(200)["data"], json!([{ "count": 0 }]));
    Ok(())
}
