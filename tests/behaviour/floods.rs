//! Floods: what comes as fast as it can, and must neither fill the memory nor keep others from being served. Memory is
//! looked at from outside, as the most that the process ever had.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::books::Books;
use crate::client::Client;
use crate::env::{Env, Test, TestResult, until};
use crate::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, GET, HEADERS, PING, POST, PREFACE, RST_STREAM, SETTINGS, connect, flood,
    frame,
};
use crate::process::Tidegate;
use crate::samples::event;
use crate::tests;

pub const TESTS: &[Test] = tests!(postgres:
    continuation_frames_without_end,
    rapid_resets,
    requests_taken_back_one_by_one,
    pings_and_settings_that_are_never_read,
    oversized_and_bomb_bodies,
    heads_in_pieces_on_every_connection,
);

/// What a flood may add to the process's memory.
const GROWTH_BYTES_MAX: u64 = 48 << 20;

/// Runs a flood and asserts what it added at its worst moment; afterwards the server serves.
fn flat(tidegate: &Tidegate, flood: impl FnOnce()) {
    tidegate.client.events(event(0)).accepted(1, 0);
    let before = tidegate.peak_resident_bytes();
    flood();
    tidegate.client.events(event(0)).accepted(1, 0);
    let after = tidegate.peak_resident_bytes();
    assert!(after <= before + GROWTH_BYTES_MAX, "{before} bytes grew to {after}");
}

fn continuation_frames_without_end(env: &Env) -> TestResult {
    let tidegate = env.serve();
    flat(&tidegate, || {
        // A head that never ends, of literal fields; once in large frames, once in many that carry nothing.
        let mut field = b"\x00\x01x\x7f\xe9\x7e".to_vec();
        field.extend(vec![b'v'; 16_360]);
        for payload in [field.as_slice(), b""] {
            flood(&tidegate.client, |n| match n {
                0 => frame(HEADERS, END_STREAM, 1, GET),
                _ => frame(CONTINUATION, 0, 1, payload),
            });
        }
    });
    Ok(())
}

fn rapid_resets(env: &Env) -> TestResult {
    let tidegate = env.serve();
    flat(&tidegate, || {
        let heard = flood(&tidegate.client, |n| {
            let stream = 2 * n + 1;
            [frame(HEADERS, END_STREAM | END_HEADERS, stream, GET), frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())]
                .concat()
        });
        // The server says why it goes: GOAWAY, ENHANCE_YOUR_CALM.
        assert!(heard.windows(4).any(|bytes| bytes == 11u32.to_be_bytes()), "{} bytes, no reason", heard.len());
    });
    Ok(())
}

fn requests_taken_back_one_by_one(env: &Env) -> TestResult {
    let tidegate = env.serve();
    flat(&tidegate, || {
        // Each is at work when it is taken back: its body is awaited, and the answer to a ping says that it was seen.
        let mut stream = connect(&tidegate.client);
        stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, b""), &frame(SETTINGS, 1, 0, b"")].concat()).unwrap();
        let key = tidegate.client.key();
        let mut head = POST.to_vec();
        head.extend(b"\x00\x09x-api-key");
        head.push(u8::try_from(key.len()).unwrap());
        head.extend(key.as_bytes());
        let ended = (0..10_000).any(|n| {
            let id = 2 * n + 1;
            let sent =
                [frame(HEADERS, END_HEADERS, id, &head), frame(PING, 0, 0, &u64::from(n).to_be_bytes())].concat();
            stream.write_all(&sent).is_err()
                || !ping_is_answered(&mut stream, u64::from(n))
                || stream.write_all(&frame(RST_STREAM, 0, id, &8u32.to_be_bytes())).is_err()
        });
        assert!(ended, "10,000 requests were taken back and the connection still stands");
    });
    assert_eq!(Books::of(&tidegate.client).get("tidegate_http2_floods_total"), 1.0);
    // The requests of a connection end after it, each in its own task.
    until("their memory is given back", || {
        (Books::of(&tidegate.client).get("tidegate_body_bytes_held") == 0.0).then_some(())
    });
    Ok(())
}

/// Reads frames up to the answer to this ping; false when the connection ends before.
fn ping_is_answered(stream: &mut TcpStream, number: u64) -> bool {
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).is_err() {
            return false;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        if stream.read_exact(&mut payload).is_err() {
            return false;
        }
        if head[3] == PING && head[4] == 1 && payload == number.to_be_bytes() {
            return true;
        }
    }
}

fn pings_and_settings_that_are_never_read(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["http.write_timeout=500ms", "http.idle_timeout=5s", "http.head_timeout=5s"]);
    flat(&tidegate, || {
        for (kind, payload) in [(PING, &b"pingpong"[..]), (SETTINGS, b"\x00\x03\x00\x00\x00\x64")] {
            let mut stream = connect(&tidegate.client);
            let piece = frame(kind, 0, 0, payload).repeat(1000);
            stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, b"")].concat()).unwrap();
            // Every one asks for an answer, and none is read.
            while stream.write_all(&piece).is_ok() {}
        }
    });
    Ok(())
}

/// Sends one request after another, each on a connection of its own, without caring for answers, until told to stop.
fn hammer(client: &Client, head: &str, body: &[u8], stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let mut stream = connect(client);
        let request =
            format!("POST /v1/events HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {}\r\n{head}\r\n", client.key());
        let _ = stream.write_all(request.as_bytes()).and_then(|()| stream.write_all(body));
        let _ = stream.read(&mut [0; 64]);
    }
}

fn oversized_and_bomb_bodies(env: &Env) -> TestResult {
    let settings = ["limits.body_bytes=1MiB", "limits.memory_bytes=16MiB"];
    let tidegate = env.serve_with(&settings);
    let spaces = vec![b' '; 8 << 20];
    let bomb = zstd::encode_all(vec![b' '; 64 << 20].as_slice(), 1)?;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&vec![b' '; 64 << 20])?;
    let gzip = gzip.finish()?;
    let chunks: Vec<u8> = (0..128).flat_map(|_| [b"10000\r\n", &spaces[..1 << 16], b"\r\n"].concat()).collect();
    let length = |bytes: &[u8], more: &str| format!("content-length: {}\r\n{more}", bytes.len());
    let floods = [
        (length(&spaces, ""), &spaces),
        ("transfer-encoding: chunked\r\n".to_owned(), &chunks),
        (length(&bomb, "content-encoding: zstd\r\n"), &bomb),
        (length(&gzip, "content-encoding: gzip\r\n"), &gzip),
    ];
    flat(&tidegate, || {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for (head, body) in &floods {
                for _ in 0..2 {
                    scope.spawn(|| hammer(&tidegate.client, head, body, &stop));
                }
            }
            let refused = || {
                let name = "tidegate_http_requests_total{route=\"/v1/events\",method=\"POST\",status=\"413\"}";
                Books::of(&tidegate.client).get(name)
            };
            // Others are served meanwhile, again and again, however fast the flood is answered.
            for n in 0.. {
                tidegate.client.events(event(n)).accepted(1, 0);
                if n > 1 && refused() >= 60.0 {
                    break;
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
    Ok(())
}

fn heads_in_pieces_on_every_connection(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["http.head_timeout=10m"]);
    flat(&tidegate, || {
        let head = format!("GET /healthz HTTP/1.1\r\nx: {}", "v".repeat(60_000));
        let mut connections: Vec<TcpStream> = (0..200).map(|_| connect(&tidegate.client)).collect();
        for stream in &mut connections {
            stream.write_all(head.as_bytes()).unwrap();
        }
        tidegate.client.events(event(0)).accepted(1, 0);
    });
    Ok(())
}
