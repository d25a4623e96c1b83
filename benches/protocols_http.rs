//! Each protocol over HTTP into the database, beside Tidegate's own format in the same run: with a server that runs,
//! `TIDEGATE_URL=http://127.0.0.1:8080 TIDEGATE_KEY=tg_... cargo bench --bench protocols_http`. Rounds of all of them are interleaved.
//! Without these variables it measures nothing and says so.

#[path = "protocols/bodies.rs"]
mod bodies;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bodies::Body;

const ROUNDS: usize = 4;
/// Of a round and protocol.
const REQUESTS: usize = 40;
const CONNECTIONS: usize = 4;

struct Request {
    head: String,
    body: Vec<u8>,
}

/// As its agents send it: remote write and Loki in Snappy's format.
fn request(body: &Body, key: &str) -> Request {
    let is_snappy = body.content_type == "application/x-protobuf" && !body.route.starts_with("/v1/");
    let bytes = match is_snappy {
        true => snap::raw::Encoder::new().compress_vec(&body.bytes).expect("it is small enough"),
        false => body.bytes.to_vec(),
    };
    let encoding = if is_snappy { "Content-Encoding: snappy\r\n" } else { "" };
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: tidegate\r\nAuthorization: Bearer {key}\r\nContent-Type: {}\r\n{encoding}Content-Length: {}\r\n\r\n",
        body.route,
        body.content_type,
        bytes.len()
    );
    Request { head, body: bytes }
}

/// Sends a request and reads its answer, which must be a success.
fn send(connection: &mut BufReader<TcpStream>, request: &Request) {
    connection.get_mut().write_all(request.head.as_bytes()).expect("the server reads");
    connection.get_mut().write_all(&request.body).expect("the server reads");
    let (mut line, mut length) = (String::new(), 0);
    connection.read_line(&mut line).expect("an answer");
    let status = line.clone();
    loop {
        line.clear();
        connection.read_line(&mut line).expect("a head");
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
    }
    let mut answer = vec![0; length];
    connection.read_exact(&mut answer).expect("a body");
    assert!(status.contains(" 20"), "{} {}", status.trim(), String::from_utf8_lossy(&answer));
}

fn round(address: &str, requests: Vec<Request>) -> Duration {
    let queue = Mutex::new(requests);
    let mut connections: Vec<_> =
        (0..CONNECTIONS).map(|_| BufReader::new(TcpStream::connect(address).expect("the server listens"))).collect();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for connection in &mut connections {
            let queue = &queue;
            scope.spawn(move || {
                while let Some(request) = { queue.lock().expect("nobody panics").pop() } {
                    send(connection, &request);
                }
            });
        }
    });
    begun.elapsed()
}

fn main() {
    let (Ok(url), Ok(key)) = (std::env::var("TIDEGATE_URL"), std::env::var("TIDEGATE_KEY")) else {
        println!("protocols over HTTP: not measured; set TIDEGATE_URL and TIDEGATE_KEY");
        return;
    };
    let address = url.strip_prefix("http://").expect("an http:// URL").trim_end_matches('/').to_owned();
    let now_ns = u64::try_from(jiff::Timestamp::now().as_nanosecond()).expect("after 1970");
    let all = |ns: u64| bodies::native(ns).into_iter().chain(bodies::all(ns));
    let names: Vec<&str> = all(now_ns).map(|body| body.name).collect();
    let mut took: BTreeMap<&str, (usize, Duration)> = BTreeMap::new();
    let mut at_ns = now_ns - 3_600_000_000_000;
    for number in 0..=ROUNDS {
        for (which, name) in names.iter().enumerate() {
            let bodies: Vec<Body> = (0..REQUESTS)
                .map(|_| {
                    // Every body is another one, or it would be known again.
                    at_ns += 10_000_000;
                    all(at_ns).nth(which).expect("as many as names")
                })
                .collect();
            let items: usize = bodies.iter().map(|body| body.items).sum();
            let spent = round(&address, bodies.iter().map(|body| request(body, &key)).collect());
            // The first round opens chunks and series.
            if number > 0 {
                let (sum, time) = took.entry(name).or_default();
                *sum += items;
                *time += spent;
            }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "figures are rounded")]
    let rate = |name: &str| took[name].0 as f64 / took[name].1.as_secs_f64();
    println!("{:<36} {:>12} {:>8}", "over HTTP, into the database", "items/s", "/ native");
    let metrics = ["native metrics", "otlp metrics", "remote write", "line protocol"];
    for name in names {
        let native =
            if metrics.iter().any(|metric| name.starts_with(metric)) { "native metrics" } else { "native events" };
        println!("{name:<36} {:>12.0} {:>8.2}", rate(name), rate(name) / rate(native));
    }
}
