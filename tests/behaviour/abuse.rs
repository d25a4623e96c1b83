//! HTTP/1 as nobody should speak it: heads that are refused, and peers that take their time. Every answer is a problem
//! document with a request id, and then the connection is closed.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::books::Books;
use crate::client::{Answer, Client, parse};
use crate::env::{Env, Test, TestResult, until};
use crate::frames::connect;
use crate::samples::event;
use crate::tests;

pub const TESTS: &[Test] = tests!(postgres:
    ambiguous_framing_is_refused,
    malformed_heads_are_refused,
    head_limits_are_exact,
    a_large_head_that_keeps_coming_is_answered,
    wrong_chunks_are_refused,
    half_a_head_is_closed_at_the_timeout,
    idle_connections_are_closed_at_the_timeout,
    a_trickling_body_is_answered_408,
    a_body_past_its_deadline_is_answered_408,
    a_stalled_body_gives_its_memory_back,
    a_peer_that_never_reads_is_cut,
    timeouts_out_of_bounds_are_refused,
);

/// No test waits for a timeout that it does not mean.
const PATIENT: [&str; 4] =
    ["http.head_timeout=10m", "http.idle_timeout=10m", "http.body_timeout=10m", "http.body_stall_timeout=10m"];

/// Everything until the server closes in order; a reset is an error.
fn until_closed(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap_or_else(|error| panic!("{error} after {} bytes", bytes.len()));
    bytes
}

/// The only answer before the server closes.
fn answer(stream: &TcpStream) -> Answer {
    let bytes = until_closed(stream);
    let text = String::from_utf8_lossy(&bytes);
    assert_eq!(text.matches("x-request-id: ").count(), 1, "{text}");
    parse(&bytes, "").unwrap_or_else(|| panic!("no complete answer: {text}"))
}

/// One answer of a connection that goes on; its body must have a length.
fn next_answer(mut stream: &TcpStream) -> Answer {
    let mut bytes = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error}: {bytes:?}"));
        bytes.push(byte[0]);
        if let Some(answer) = parse(&bytes, "") {
            return answer;
        }
    }
}

/// Sends a request that is refused, alone, behind another one and pipelined with it; each time it gets its problem, and
/// the connection is closed.
fn refused(client: &Client, request: &[u8], status: u16, code: &str) {
    let good = b"GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n";
    let assert = |answer: &Answer| {
        answer.problem(status, code);
        assert!(!answer.header("x-request-id").is_empty(), "{answer:?}");
        assert_eq!(answer.header("connection"), "close", "{answer:?}");
    };
    let mut alone = connect(client);
    alone.write_all(request).unwrap();
    assert(&answer(&alone));

    let mut behind = connect(client);
    behind.write_all(good).unwrap();
    next_answer(&behind).expect(200);
    behind.write_all(request).unwrap();
    assert(&answer(&behind));

    let mut pipelined = connect(client);
    pipelined.write_all(&[good.as_slice(), request].concat()).unwrap();
    next_answer(&pipelined).expect(200);
    assert(&answer(&pipelined));
}

fn ambiguous_framing_is_refused(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&PATIENT);
    let client = &tidegate.client;
    let fields = [
        "content-length: 0\r\ncontent-length: 0\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: +5\r\n",
        "content-length: -5\r\n",
        "content-length: 5, 5\r\n",
        "content-length: five\r\n",
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
    ];
    let head = format!("POST /v1/events HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {}\r\n", client.key());
    for field in fields {
        // Behind it stands a request that nobody may read.
        let request = format!("{head}{field}\r\n{head}content-length: {}\r\n\r\n{}", event(0).len(), event(0));
        refused(client, request.as_bytes(), 400, "ambiguous_framing");
    }
    assert_eq!(env.sql().count("events"), 0);
    let counted = Books::of(client).get("tidegate_http_refused_heads_total{code=\"ambiguous_framing\"}");
    assert_eq!(counted, 3.0 * f64::from(u32::try_from(fields.len())?));
    Ok(())
}

fn malformed_heads_are_refused(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&PATIENT);
    for request in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET / HTTP/1.1\nhost: t\n\n",
        b"GET / HTTP/3.0\r\nhost: t\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost : t\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: t\r\nhost: t\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: a\x00b\r\n\r\n",
        b"GET nowhere HTTP/1.1\r\nhost: t\r\n\r\n",
    ] {
        refused(&tidegate.client, request, 400, "malformed_head");
    }
    Ok(())
}

/// A request whose head has exactly so many bytes.
fn sized(bytes: usize) -> Vec<u8> {
    let (before, after) = ("GET /healthz HTTP/1.1\r\nhost: t\r\nconnection: close\r\nx: ", "\r\n\r\n");
    format!("{before}{}{after}", "v".repeat(bytes - before.len() - after.len())).into_bytes()
}

fn head_limits_are_exact(env: &Env) -> TestResult {
    const LIMIT: usize = 64 << 10;
    let tidegate = env.serve_with(&PATIENT);
    let mut stream = connect(&tidegate.client);
    stream.write_all(&sized(LIMIT))?;
    answer(&stream).expect(200);
    refused(&tidegate.client, &sized(LIMIT + 1), 431, "head_too_large");
    let fields = |count: usize| {
        let fields = "x: v\r\n".repeat(count - 2);
        format!("GET /healthz HTTP/1.1\r\nhost: t\r\nconnection: close\r\n{fields}\r\n").into_bytes()
    };
    let mut stream = connect(&tidegate.client);
    stream.write_all(&fields(100))?;
    answer(&stream).expect(200);
    refused(&tidegate.client, &fields(101), 431, "too_many_headers");
    Ok(())
}

fn a_large_head_that_keeps_coming_is_answered(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&PATIENT);
    let mut stream = connect(&tidegate.client);
    // Closing on what is unread would reset the connection before its answer was seen.
    stream.write_all(&sized(1 << 20))?;
    answer(&stream).problem(431, "head_too_large");
    Ok(())
}

fn wrong_chunks_are_refused(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&PATIENT);
    let key = tidegate.client.key();
    let send = |body: &str| {
        let mut stream = connect(&tidegate.client);
        let head = format!("POST /v1/events HTTP/1.1\r\nauthorization: Bearer {key}\r\ntransfer-encoding: chunked\r\n");
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
        stream
    };
    let event = event(0);
    let size = event.len();
    for body in [
        format!("{size:x}\n{event}\r\n0\r\n\r\n"),
        format!("{size:x}\r\n{event}0\r\n\r\n"),
        format!("{:x}\r\n{event}\r\n0\r\n\r\n", size - 1),
        format!("0x{size:x}\r\n{event}\r\n0\r\n\r\n"),
        format!("-1\r\n{event}\r\n0\r\n\r\n"),
    ] {
        answer(&send(&body)).problem(400, "ambiguous_framing");
    }
    assert_eq!(env.sql().count("events"), 0);
    // Right ones pass, and another request may follow.
    let mut stream =
        send(&format!("5\r\n{}\r\n{:X};x=y\r\n{}\r\n0\r\na: b\r\n\r\n", &event[..5], size - 5, &event[5..]));
    next_answer(&stream).accepted(1, 0);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n")?;
    answer(&stream).expect(200);
    Ok(())
}

fn half_a_head_is_closed_at_the_timeout(env: &Env) -> TestResult {
    // Long enough for a busy machine to say something after it has connected; all of them wait at once.
    let tidegate = env.serve_with(&["http.head_timeout=2s"]);
    let begun = |beginning: &[u8]| {
        let mut stream = connect(&tidegate.client);
        stream.write_all(beginning).unwrap();
        stream
    };
    let half = begun(b"POST /v1/events HTTP/1.1\r\nhost: t\r\n");
    let (silent, preface) = (begun(b""), begun(b"PRI * HT"));
    // The second request of a connection, however slowly its head comes.
    let second = begun(b"GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n");
    next_answer(&second).expect(200);
    let head = std::iter::once(&b"GET /"[..]).chain(std::iter::repeat(&b"x"[..]));
    let told = paced(&second, Duration::from_millis(10), head);
    parse(&told, "").ok_or("no answer")?.problem(408, "head_timeout");
    answer(&half).problem(408, "head_timeout");
    // Who never said anything is not answered either.
    assert_eq!(until_closed(&silent), b"");
    assert_eq!(until_closed(&preface), b"");
    Ok(())
}

fn idle_connections_are_closed_at_the_timeout(env: &Env) -> TestResult {
    // Long enough for a busy machine to ask again in time.
    let tidegate = env.serve_with(&["http.idle_timeout=2s", "http.head_timeout=10m"]);
    let mut stream = connect(&tidegate.client);
    for _ in 0..3 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n")?;
        next_answer(&stream).expect(200);
    }
    assert_eq!(until_closed(&stream), b"");
    let timeouts = || Books::of(&tidegate.client).get("tidegate_http_timeouts_total{what=\"idle\"}");
    until("it is counted", || (timeouts() == 1.0).then_some(()));
    Ok(())
}

/// Sends a body in pieces until the server has closed; the answer.
fn trickle(client: &Client, piece: &'static [u8], pace: Duration) -> Answer {
    let mut stream = connect(client);
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nauthorization: Bearer {}\r\ncontent-length: 10000000\r\n\r\n",
        client.key()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let bytes = paced(&stream, pace, std::iter::repeat(piece));
    parse(&bytes, "").unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(&bytes)))
}

/// Writes piece after piece, each after having waited in vain for an answer, until the server has closed; what it
/// answered. Later writes meet a closed connection, so its end may be a reset; what was read counts.
fn paced<'a>(mut stream: &TcpStream, pace: Duration, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    stream.set_read_timeout(Some(pace)).unwrap();
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    for piece in pieces {
        // A refused write is followed by what there is to be read.
        let _ = stream.write_all(piece);
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(size) => answer.extend_from_slice(&buffer[..size]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    answer
}

fn a_trickling_body_is_answered_408(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["http.body_stall_timeout=200ms", "http.body_timeout=10m"]);
    let answer = trickle(&tidegate.client, b" ", Duration::from_millis(10));
    let detail = answer.problem(408, "body_timeout")["detail"].to_string();
    assert!(detail.contains("1024 bytes a second over 200ms"), "{detail}");
    assert!(!answer.header("x-request-id").is_empty());
    Ok(())
}

fn a_body_past_its_deadline_is_answered_408(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["http.body_timeout=400ms", "http.body_bytes_per_second=1"]);
    let answer = trickle(&tidegate.client, &[b' '; 64], Duration::from_millis(5));
    let detail = answer.problem(408, "body_timeout")["detail"].to_string();
    assert!(detail.contains("within 400ms"), "{detail}");
    Ok(())
}

fn a_stalled_body_gives_its_memory_back(env: &Env) -> TestResult {
    // Long enough for a busy machine to send what it means to.
    let tidegate = env.serve_with(&["http.body_stall_timeout=2s", "http.body_timeout=10m"]);
    let client = &tidegate.client;
    let held = || Books::of(client).get("tidegate_body_bytes_held");
    let stalled: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = connect(client);
            let head = format!(
                "POST /v1/events HTTP/1.1\r\nauthorization: Bearer {}\r\ncontent-length: 2000000\r\n\r\n",
                client.key()
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&vec![b' '; 1 << 20]).unwrap();
            stream
        })
        .collect();
    for stream in &stalled {
        answer(stream).problem(408, "body_timeout");
    }
    until("the memory is given back", || (held() == 0.0).then_some(()));
    client.events(event(0)).accepted(1, 0);
    Ok(())
}

fn a_peer_that_never_reads_is_cut(env: &Env) -> TestResult {
    // Long enough for those who do read, on a busy machine.
    let tidegate = env.serve_with(&["http.write_timeout=2s", "http.head_timeout=10m"]);
    let requests = 20_000;
    let mut deaf = connect(&tidegate.client);
    let mut writer = deaf.try_clone()?;
    let asking = std::thread::spawn(move || {
        let request = b"GET /openapi.json HTTP/1.1\r\nhost: t\r\n\r\n";
        // May fail when the server has cut the connection, or end before that in buffers of the system.
        for _ in 0..requests {
            let _ = writer.write_all(request);
        }
    });
    let size = tidegate.anonymous().get("/openapi.json").bytes.len();
    let cut = || Books::of(&tidegate.client).get("tidegate_http_timeouts_total{what=\"write\"}");
    until("it is cut", || (cut() == 1.0).then_some(()));
    let mut bytes = 0;
    let mut scratch = vec![0; 1 << 16];
    loop {
        match deaf.read(&mut scratch) {
            Ok(0) => break,
            Ok(read) => bytes += read,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => return Err(error.into()),
        }
    }
    assert!(bytes < requests * size, "all of it was answered");
    asking.join().unwrap();
    Ok(())
}

fn timeouts_out_of_bounds_are_refused(env: &Env) -> TestResult {
    for (setting, what) in [
        ("http.head_timeout=1ms", "`http.head_timeout` (flag --set): must be between 50ms and 1d"),
        ("http.write_timeout=2d", "`http.write_timeout` (flag --set): must be between 50ms and 1d"),
        ("http.body_bytes_per_second=0", "`http.body_bytes_per_second` (flag --set): must be a whole number"),
    ] {
        let finished = env.serve_fails(&[setting]);
        assert!(finished.code == Some(64) && finished.stderr.contains(what), "{finished:?}");
    }
    Ok(())
}
