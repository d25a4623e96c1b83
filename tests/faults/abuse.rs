//! What strangers and broken senders do to the HTTP side (scenarios 27 to 30).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::client::{Answer, Client, parse};
use crate::env::{DEADLINE, Env, TestResult};
use crate::invariants::Scene;
use crate::process::Tidegate;
use crate::samples::gzip;
use crate::scenario;
use crate::scenario::Scenario;
use crate::told::Told;

pub const SCENARIOS: &[Scenario] = &[
    scenario!(s27_bombs).on_one_engine(),
    scenario!(s27_the_key_comes_first).on_one_engine(),
    scenario!(s28_half_a_head).on_one_engine(),
    scenario!(s28_a_body_that_trickles).on_one_engine(),
    scenario!(s29_heads_that_are_refused).on_one_engine(),
];

const MIB: usize = 1 << 20;
/// A small server: bodies of 1 MiB, 3 MiB of them together.
const SMALL: [&str; 2] = ["limits.body_bytes=1MiB", "limits.memory_bytes=3MiB"];
const SMALL_MEMORY_BYTES: u64 = 3 << 20;

fn finish(env: &Env, tidegate: &Tidegate, told: &Told, memory_bytes: Option<u64>, name: &str) {
    told.both(&tidegate.client, 200);
    let sql = env.sql();
    let mut scene = Scene::new(env, tidegate, &sql, told);
    scene.memory_bytes = memory_bytes;
    scene.assert_invariants(name);
}

/// What a bomb expands to: many times what there is for all requests.
const BOMB_MIB: usize = 256;

/// Blanks, compressed.
fn bombs() -> [(&'static str, Vec<u8>); 2] {
    let blanks = vec![b' '; MIB];
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
    for _ in 0..BOMB_MIB {
        gzip.write_all(&blanks).unwrap();
        zstd.write_all(&blanks).unwrap();
    }
    [("gzip", gzip.finish().unwrap()), ("zstd", zstd.finish().unwrap())]
}

fn s27_bombs(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&SMALL);
    let told = Arc::new(Told::default());
    told.both(&tidegate.client, 200);
    let before = tidegate.peak_resident_bytes();
    for (encoding, bomb) in bombs() {
        assert!(bomb.len() < 2 * MIB, "{} bytes", bomb.len());
        std::thread::scope(|scope| {
            for _ in 0..16 {
                let (client, bomb) = (&tidegate.client, &bomb);
                scope.spawn(move || {
                    let headers = [("content-type", "application/json"), ("content-encoding", encoding)];
                    let answer = client.post("/v1/events", &headers, bomb);
                    match answer.status {
                        413 => drop(answer.problem(413, "body_too_large")),
                        // Together they want more than there is for all.
                        _ => drop(answer.problem(503, "overloaded")),
                    }
                });
            }
        });
        // Alone, it is told what is wrong with it.
        let headers = [("content-encoding", encoding)];
        tidegate.client.post("/v1/events", &headers, &bomb).problem(413, "body_too_large");
    }
    let grown = tidegate.peak_resident_bytes().saturating_sub(before);
    // 32 of them: their windows and buffers, and the 3 MiB; not 8 GiB, and not even their compressed bytes.
    assert!(grown < 32 * MIB as u64, "{grown} bytes more were resident");
    finish(env, &tidegate, &told, Some(SMALL_MEMORY_BYTES), "s27_bombs");
    Ok(())
}

fn s27_the_key_comes_first(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&SMALL);
    let told = Arc::new(Told::default());
    let stranger = Client::new(&tidegate.client.address, Some("tg_nobody"));
    let garbage = [0x1f, 0x8b, 8, 0, 0xff, 0xff];
    // With a key, what is wrong with the body is seen; without, nobody looks.
    for (encoding, body) in [("gzip", gzip(&vec![b' '; 64 * MIB])), ("gzip", garbage.to_vec())] {
        let headers = [("content-encoding", encoding)];
        let known = tidegate.client.post("/v1/events", &headers, &body);
        assert!(matches!(known.status, 400 | 413), "{}", known.text());
        stranger.post("/v1/events", &headers, &body).problem(401, "unauthorized");
    }
    finish(env, &tidegate, &told, Some(SMALL_MEMORY_BYTES), "s27_the_key_comes_first");
    Ok(())
}

fn connect(client: &Client) -> TcpStream {
    let stream = TcpStream::connect(&client.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Everything until the server closes; None when that is no answer.
fn until_closed(mut stream: TcpStream) -> Option<Answer> {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it is not closed: {error}");
    }
    if bytes.is_empty() {
        return None;
    }
    Some(parse(&bytes, "POST").unwrap_or_else(|| panic!("half an answer: {}", String::from_utf8_lossy(&bytes))))
}

fn s28_half_a_head(env: &Env) -> TestResult {
    // Long enough for the heads of those who send theirs on a busy machine.
    let tidegate = env.serve_with(&["http.head_timeout=5s"]);
    let told = Arc::new(Told::default());
    let beginnings: [&[u8]; 4] = [b"", b"P", b"POST /v1/events HTTP/1.1\r\nhost: t", b"GET / HTTP/1.1\r\nhost: t\r\n"];
    let streams = beginnings.map(|beginning| {
        let mut stream = connect(&tidegate.client);
        stream.write_all(beginning).unwrap();
        stream
    });
    // Nobody else is kept waiting meanwhile.
    told.both(&tidegate.client, 200);
    for stream in streams {
        let answer = until_closed(stream);
        assert!(answer.as_ref().is_none_or(|answer| answer.status == 408), "{answer:?}");
    }
    finish(env, &tidegate, &told, None, "s28_half_a_head");
    Ok(())
}

/// A sender's pace: it is never silent for long.
const PACE: Duration = Duration::from_millis(50);

/// Sends a body in pieces of this size, at the sender's pace, until it is answered.
fn trickle(client: &Client, piece: &[u8]) -> Answer {
    let mut stream = connect(client);
    let key = client.key();
    write!(
        stream,
        "POST /v1/events HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {key}\r\ncontent-length: 1000000\r\n\r\n"
    )
    .unwrap();
    stream.set_read_timeout(Some(PACE)).unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while stream.write_all(piece).is_ok() {
        // Waiting in vain for an answer is what slows it down.
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(size) => answer.extend_from_slice(&buffer[..size]),
            Err(_) if answer.is_empty() => {}
            Err(_) => break,
        }
    }
    parse(&answer, "POST").unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(&answer)))
}

fn s28_a_body_that_trickles(env: &Env) -> TestResult {
    let told = Arc::new(Told::default());
    // Far below the rate that is asked for, long before the deadline of the whole body.
    let tidegate = env.serve_with(&["http.body_stall_timeout=1s", "http.body_timeout=1h"]);
    trickle(&tidegate.client, b" ").problem(408, "body_timeout");
    told.both(&tidegate.client, 200);
    drop(tidegate);
    // Above the rate, and still without end.
    let tidegate =
        env.serve_with(&["http.body_stall_timeout=1s", "http.body_bytes_per_second=1", "http.body_timeout=2s"]);
    trickle(&tidegate.client, &[b' '; 512]).problem(408, "body_timeout");
    finish(env, &tidegate, &told, None, "s28_a_body_that_trickles");
    Ok(())
}

fn s29_heads_that_are_refused(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let told = Arc::new(Told::default());
    let key = tidegate.client.key();
    let length = |bytes: usize| format!("content-length: {bytes}\r\n");
    let many: String = (0..101).map(|n| format!("x-{n}: y\r\n")).collect();
    let cases = [
        (many, 431),
        (format!("x: {}\r\n", "y".repeat(128 * 1024)), 431),
        (length(17 * MIB), 413),
        (format!("{}{}", length(5), length(6)), 400),
        ("content-length: +5\r\n".into(), 400),
        ("content-length: -5\r\n".into(), 400),
        ("content-length: 5, 6\r\n".into(), 400),
        ("content-length: 99999999999999999999999\r\n".into(), 400),
        (format!("{}transfer-encoding: chunked\r\n", length(5)), 400),
        ("transfer-encoding: chunked, gzip\r\n".into(), 400),
    ];
    for (fields, status) in cases {
        let mut stream = connect(&tidegate.client);
        let head = format!("POST /v1/events HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {key}\r\n{fields}\r\n");
        // It may close while it is still being written to.
        let _ = stream.write_all(head.as_bytes());
        let shown: String = fields.chars().take(80).collect();
        if status == 413 {
            // The connection would be kept; the body that it waits for does not come.
            stream.shutdown(std::net::Shutdown::Write)?;
        }
        let answer = until_closed(stream);
        assert_eq!(answer.map(|answer| answer.status), Some(status), "{shown}");
    }
    finish(env, &tidegate, &told, None, "s29_heads_that_are_refused");
    Ok(())
}
