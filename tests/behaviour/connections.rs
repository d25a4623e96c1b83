//! Who holds how many connections: all together, one address, and those beyond that are asked about health.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use crate::books::Books;
use crate::client::{Answer, Client, parse};
use crate::env::{Env, Test, TestResult, until};
use crate::frames::{END_HEADERS, END_STREAM, GET, HEADERS, PREFACE, SETTINGS, connect_from, frame};
use crate::samples::event;
use crate::tests;

pub const TESTS: &[Test] = tests!(postgres:
    an_address_holds_its_share_and_others_are_served,
    with_all_taken_health_is_answered,
    what_holds_a_place_of_the_reserve_is_cut_soon,
);

const FIRST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const SECOND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const THIRD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);

/// A connection that has been answered, and so has its place; it stays open.
fn held(client: &Client, from: Ipv4Addr) -> TcpStream {
    let mut stream = connect_from(client, from);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    while parse(&bytes, "GET").is_none() {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
    stream
}

/// What is asked on a connection of its own, until it is closed; none: it was closed without an answer.
fn asked(client: &Client, from: Ipv4Addr, request: &str) -> Option<Answer> {
    let mut stream = connect_from(client, from);
    let mut bytes = Vec::new();
    let sent = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_end(&mut bytes).map(drop));
    if let Err(error) = sent {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    parse(&bytes, "GET")
}

/// Whether the server has left it open so far.
fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    stream.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

fn get(client: &Client, from: Ipv4Addr, path: &str) -> Option<Answer> {
    let key = client.key();
    let head = format!("GET {path} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n");
    asked(client, from, &head)
}

fn is_well(client: &Client, from: Ipv4Addr) {
    for path in ["/healthz", "/readyz"] {
        let answer = get(client, from, path).expect("an answer");
        answer.expect(200);
        assert_eq!(answer.header("connection"), "close");
    }
}

fn an_address_holds_its_share_and_others_are_served(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&[
        "limits.connections=40",
        "limits.connections_per_address=5",
        "http.head_timeout=10m",
        "http.idle_timeout=10m",
    ]);
    let client = &tidegate.client;
    let mut share: Vec<TcpStream> = (0..5).map(|_| held(client, FIRST)).collect();
    is_well(client, FIRST);
    let crowded = |path: &str| {
        let answer = get(client, FIRST, path).expect("an answer");
        answer.problem(429, "too_many_connections");
        assert!(!answer.header("retry-after").is_empty() && answer.header("connection") == "close", "{answer:?}");
    };
    ["/v1/events", "/metrics", "/openapi.json", "/"].into_iter().for_each(crowded);
    // A probe that speaks HTTP/2: HEADERS with :status 200 of the static table.
    let mut probe = connect_from(client, FIRST);
    let hello = [PREFACE, &frame(SETTINGS, 0, 0, b""), &frame(HEADERS, END_HEADERS | END_STREAM, 1, GET)].concat();
    probe.write_all(&hello)?;
    let mut heard = Vec::new();
    probe.read_to_end(&mut heard)?;
    assert!(heard.windows(6).any(|bytes| bytes[..1] == [HEADERS] && bytes[2..] == [0, 0, 0, 1]), "{heard:?}");
    // Four beyond the share, and no more: those are closed without a word. The four themselves stand for two seconds, which a
    // busy machine may need to open them.
    let beyond = until("four stand beyond the share", || {
        let beyond: Vec<TcpStream> = (0..4).map(|_| connect_from(client, FIRST)).collect();
        let fifth = get(client, FIRST, "/healthz");
        if !beyond.iter().all(is_open) {
            return None;
        }
        assert!(fifth.is_none(), "{fifth:?}");
        Some(beyond)
    });
    is_well(client, THIRD);
    assert_eq!(get(client, SECOND, "/v1/events").expect("an answer").expect(200)["data"], serde_json::json!([]));
    client.events(event(0)).accepted(1, 0);
    let books = Books::of(client);
    assert!(books.get("tidegate_http_connections_refused_total{share=\"address\"}") >= 1.0);
    // Who gives one back may have another.
    drop((share.pop(), beyond));
    until("there is a place again", || {
        get(client, FIRST, "/v1/events").filter(|answer| answer.status == 200).map(drop)
    });
    Ok(())
}

fn with_all_taken_health_is_answered(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&[
        "limits.connections=6",
        "limits.connections_per_address=3",
        "http.head_timeout=10m",
        "http.idle_timeout=10m",
    ]);
    let client = &tidegate.client;
    let _taken: Vec<TcpStream> = [FIRST, SECOND].into_iter().cycle().take(6).map(|from| held(client, from)).collect();
    let answer = get(client, THIRD, "/v1/events").expect("an answer");
    answer.problem(503, "too_many_connections");
    assert!(!answer.header("retry-after").is_empty());
    [FIRST, SECOND, THIRD].into_iter().for_each(|from| is_well(client, from));
    // Nobody writes past the limit either.
    let post = "POST /v1/events HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\n{}";
    asked(client, THIRD, post).expect("an answer").problem(503, "too_many_connections");
    Ok(())
}

fn what_holds_a_place_of_the_reserve_is_cut_soon(env: &Env) -> TestResult {
    let settings = ["limits.connections=1", "http.head_timeout=10m", "http.idle_timeout=10m"];
    let tidegate = env.serve_with(&settings);
    let client = &tidegate.client;
    let _taken = held(client, FIRST);
    // Half a head, nothing at all, and a client of HTTP/2 that asks nothing.
    let beginnings: [&[u8]; 3] = [b"GET /healthz HT", b"", PREFACE];
    let waiting = beginnings.map(|beginning| {
        let mut stream = connect_from(client, SECOND);
        stream.write_all(beginning).unwrap();
        stream
    });
    for mut stream in waiting {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
    }
    is_well(client, SECOND);
    Ok(())
}
