//! What the wire brings: halves of connections, large bodies that are refused, headers given twice, frames of any size.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::books::Books;
use crate::client::{Answer, Client, parse};
use crate::env::{DEADLINE, Env, Test, TestResult, until};
use crate::postgres::SUPERUSER;
use crate::recovery::jobs_are_over;
use crate::samples::{array, event};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    a_sender_that_closed_its_side_is_answered,
    a_reader_that_closed_its_side_is_answered,
    a_large_body_that_is_refused_is_answered,
    a_large_body_to_nowhere_is_answered,
    a_sender_that_asks_first_is_refused_before_it_sends,
    idempotency_keys_sent_twice_or_with_blanks,
    zstd_of_whole_buffers,
    more_rows_than_the_memory_holds,
);

const JSON: (&str, &str) = ("content-type", "application/json");

fn connect(client: &Client) -> TcpStream {
    let stream = TcpStream::connect(&client.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// The head of a request, with a body of so many bytes to follow.
fn head(line: &str, key: &str, length: usize) -> String {
    format!("{line} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {key}\r\ncontent-length: {length}\r\n")
}

/// Everything until the server closes; an error of the connection is one of the test.
fn answer(mut stream: &TcpStream, method: &str) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap_or_else(|error| panic!("{error} after {} bytes", bytes.len()));
    parse(&bytes, method).unwrap_or_else(|| panic!("no complete answer: {:?}", String::from_utf8_lossy(&bytes)))
}

/// Sends, closes the writing side, and lets the database work on it only afterwards.
fn half_closed(env: &Env, role: &str, request: impl FnOnce(&Client) -> String) -> Answer {
    let tidegate = env.serve();
    tidegate.client.events(event(0)).accepted(1, 0);
    jobs_are_over(&tidegate);
    // A reader that closed its side is given a second: both connections are there before.
    let (blocker, observer) = (env.sql(), env.sql_as(SUPERUSER));
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
         AND application_name = 'tidegate {role}'"
    );
    blocker.run("BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE");
    let mut stream = connect(&tidegate.client);
    let request = request(&tidegate.client);
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    until("it waits for the lock", || (observer.one::<i64>(&waiting) > 0).then_some(()));
    blocker.run("ROLLBACK");
    answer(&stream, "").asked_by(&tidegate.client).in_time()
}

fn a_sender_that_closed_its_side_is_answered(env: &Env) -> TestResult {
    let answer = half_closed(env, "writer", |client| {
        format!("{}\r\n{}", head("POST /v1/events", client.key(), event(1).len()), event(1))
    });
    answer.accepted(1, 0);
    assert_eq!(env.sql().count("events"), 2);
    Ok(())
}

fn a_reader_that_closed_its_side_is_answered(env: &Env) -> TestResult {
    let answer = half_closed(env, "reader", |client| format!("{}\r\n", head("GET /v1/events", client.key(), 0)));
    assert_eq!(answer.expect(200)["data"].as_array().map(Vec::len), Some(1));
    Ok(())
}

/// More than the buffers of a socket may hold, and less.
const LARGE: [usize; 2] = [1 << 20, 16 << 20];

/// Writes a body whole before it reads anything.
fn send_large(client: &Client, line: &str, key: &str, length: usize) -> Answer {
    let mut stream = connect(client);
    let head = format!("{}connection: close\r\n\r\n", head(line, key, length));
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&vec![b' '; length]).unwrap_or_else(|error| panic!("{length} bytes: {error}"));
    answer(&stream, "POST")
}

fn a_large_body_that_is_refused_is_answered(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["limits.body_bytes=64KiB", "limits.memory_bytes=192KiB"]);
    for length in LARGE {
        let client = &tidegate.client;
        send_large(client, "POST /v1/events", client.key(), length).problem(413, "body_too_large");
        send_large(client, "POST /v1/events", "tg_nonsense", length).problem(401, "unauthorized");
        send_large(client, "POST /v1/events?stream=", client.key(), length).problem(400, "invalid_parameter");
    }
    tidegate.client.events(event(0)).accepted(1, 0);
    Books::of(&tidegate.client).assert_items(&[("received", 1), ("committed", 1)]);
    Ok(())
}

fn a_large_body_to_nowhere_is_answered(env: &Env) -> TestResult {
    let tidegate = env.serve();
    for length in LARGE {
        let client = &tidegate.client;
        send_large(client, "POST /v1/event", client.key(), length).problem(404, "not_found");
        send_large(client, "PUT /v1/events", client.key(), length).problem(405, "method_not_allowed");
    }
    Ok(())
}

fn a_sender_that_asks_first_is_refused_before_it_sends(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["limits.body_bytes=64KiB", "limits.memory_bytes=192KiB"]);
    let ask = |line: &str, key: &str, length: usize| {
        let mut stream = connect(&tidegate.client);
        let head = format!("{}connection: close\r\nexpect: 100-continue\r\n\r\n", head(line, key, length));
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let key = tidegate.client.key();
    answer(&ask("POST /v1/events", key, 1 << 20), "POST").problem(413, "body_too_large");
    answer(&ask("POST /v1/events", "tg_nonsense", 1 << 20), "POST").problem(401, "unauthorized");
    answer(&ask("POST /v1/event", key, 1 << 20), "POST").problem(404, "not_found");
    // One that is welcome is told to go on.
    let mut stream = ask("POST /v1/events", key, event(1).len());
    let mut line = [0; 25];
    stream.read_exact(&mut line)?;
    assert_eq!(std::str::from_utf8(&line)?, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(event(1).as_bytes())?;
    answer(&stream, "POST").asked_by(&tidegate.client).accepted(1, 0);
    Ok(())
}

fn idempotency_keys_sent_twice_or_with_blanks(env: &Env) -> TestResult {
    let tidegate = env.serve();
    for keys in [&["a", "b"][..], &["a", "a"], &["a", ""], &["a b"], &["a\tb"]] {
        let headers: Vec<_> = std::iter::once(JSON).chain(keys.iter().map(|key| ("idempotency-key", *key))).collect();
        let answer = tidegate.client.post("/v1/events", &headers, event(1));
        assert_eq!(answer.status, 400, "{keys:?}: {}", answer.text());
        answer.problem(400, "invalid_idempotency_key");
    }
    assert_eq!((env.sql().count("events"), env.sql().count("ingest_ledger")), (0, 0));
    // Blanks around a header's value are not part of it.
    tidegate.client.keyed("  k ", event(1)).accepted(1, 0);
    assert_eq!(tidegate.client.repeated("k", event(1)).accepted(1, 0)["duplicate"], true);
    Ok(())
}

fn zstd_of_whole_buffers(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sizes = [65_535, 65_536, 65_537, 131_071, 131_072, 131_073];
    for (n, size) in sizes.into_iter().enumerate() {
        let event = event(n);
        let plain = format!("{event}{}", " ".repeat(size - event.len()));
        let body = zstd::encode_all(plain.as_bytes(), 3)?;
        let answer = tidegate.client.post("/v1/events", &[JSON, ("content-encoding", "zstd")], body);
        assert!(matches!(answer.status, 200 | 202), "{size}: {}", answer.text());
        answer.accepted(1, 0);
    }
    let stored: Vec<i32> = env.sql().column("SELECT (payload->>'n')::int FROM events ORDER BY 1");
    assert_eq!(stored, [0, 1, 2, 3, 4, 5]);
    Ok(())
}

fn more_rows_than_the_memory_holds(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["limits.body_bytes=1MiB", "limits.memory_bytes=3MiB"]);
    // Short events and what is no event: encoded, each takes many times its bytes.
    let short = r#"{"event_type":"t","source_module":"s","payload":{}}"#;
    let bodies = [array(vec![short; 20_000]), array((0..30_000).map(|n| if n % 2 == 0 { short } else { "{}" }))];
    for body in &bodies {
        assert!(body.len() < 1 << 20, "{}", body.len());
        let refused = tidegate.client.events(body);
        refused.problem(503, "unavailable");
        assert!(refused.header("retry-after").parse::<u32>()? >= 1, "{refused:?}");
    }
    let sql = env.sql();
    assert_eq!((sql.count("events"), sql.count("dead_letter_events")), (0, 0));
    Books::of(&tidegate.client).assert_items(&[("received", 50_000), ("refused", 50_000)]);
    // What was taken has been given back.
    tidegate.client.events(array(vec![short; 2000])).accepted(2000, 0);
    Books::of(&tidegate.client).assert_items(&[("received", 52_000), ("refused", 50_000), ("committed", 2000)]);
    Ok(())
}
