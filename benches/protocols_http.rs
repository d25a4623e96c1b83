//! Each protocol over HTTP into the database, beside Tidegate's own format in the same run: with a server that runs,
//! `TIDEGATE_URL=http://127.0.0.1:8080 TIDEGATE_KEY=tg_... cargo bench --bench protocols_http`. Rounds of all of them are interleaved.
//! Without these variables it measures nothing and says so.
//!
//! `VICTORIAMETRICS_URL` and `INFLUXDB_URL` are sent remote write and line protocol in the same rounds. `TIDEGATE_PIDS`,
//! `VICTORIAMETRICS_PIDS` and `INFLUXDB_PIDS` (with commas between them; their children count) have the processor's time printed as well.

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
fn request(body: &Body, receiver: &Receiver) -> Request {
    let is_snappy = body.content_type == "application/x-protobuf" && !body.route.starts_with("/v1/");
    let bytes = match is_snappy {
        true => snap::raw::Encoder::new().compress_vec(&body.bytes).expect("it is small enough"),
        false => body.bytes.to_vec(),
    };
    let encoding = if is_snappy { "Content-Encoding: snappy\r\n" } else { "" };
    let authorization = match &*receiver.key {
        "" => String::new(),
        key => format!("Authorization: Bearer {key}\r\n"),
    };
    // Of version 1 where it is not Tidegate.
    let is_lines = body.name.starts_with("line protocol") && !receiver.name.is_empty();
    let route = if is_lines { "/write?db=bench" } else { body.route };
    let head = format!(
        "POST {route} HTTP/1.1\r\nHost: tidegate\r\n{authorization}Content-Type: {}\r\n{encoding}Content-Length: {}\r\n\r\n",
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

/// Somebody who is sent to.
struct Receiver {
    name: &'static str,
    address: String,
    key: String,
    pids: Vec<u32>,
}

impl Receiver {
    /// Of these variables, if there is an address.
    fn of(name: &'static str, variable: &str) -> Option<Self> {
        let of = |what: &str| std::env::var(format!("{variable}_{what}")).ok();
        let address = of("URL")?.strip_prefix("http://").expect("an http:// URL").trim_end_matches('/').to_owned();
        let pids = of("PIDS").unwrap_or_default();
        let pids = pids.split(',').filter_map(|pid| pid.trim().parse().ok()).collect();
        Some(Self { name, address, key: of("KEY").unwrap_or_default(), pids })
    }

    /// What its processes and their children have had of the processors.
    fn processor_time(&self) -> Duration {
        let stats = std::fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| {
            let stat = std::fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
            let (pid, rest) = (stat.split_once(' ')?.0.parse::<u32>().ok()?, stat.rsplit_once(") ")?.1);
            let fields: Vec<&str> = rest.split(' ').collect();
            let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
            let parent = u32::try_from(number(1)?).ok()?;
            let is_of_it = self.pids.contains(&pid) || self.pids.contains(&parent);
            // In hundredths of a second; of those of its children that have ended as well.
            is_of_it.then_some(number(11)? + number(12)? + number(13)? + number(14)?)
        });
        Duration::from_millis(10 * stats.sum::<u64>())
    }
}

/// What was sent of one body to one receiver, and what it took.
#[derive(Default)]
struct Taken {
    items: usize,
    time: Duration,
    processor: Duration,
}

fn main() {
    let Some(tidegate) = Receiver::of("", "TIDEGATE").filter(|tidegate| !tidegate.key.is_empty()) else {
        println!("protocols over HTTP: not measured; set TIDEGATE_URL and TIDEGATE_KEY");
        return;
    };
    let victoria = Receiver::of(", to VictoriaMetrics", "VICTORIAMETRICS");
    let influx = Receiver::of(", to InfluxDB", "INFLUXDB");
    let receivers: Vec<&Receiver> =
        [Some(&tidegate), victoria.as_ref(), influx.as_ref()].into_iter().flatten().collect();
    let takes = |receiver: &Receiver, body: &Body| match receiver.name {
        "" => true,
        ", to InfluxDB" => body.name.starts_with("line protocol"),
        _ => body.name.starts_with("remote write") || body.name.starts_with("line protocol"),
    };
    let now_ns = u64::try_from(jiff::Timestamp::now().as_nanosecond()).expect("after 1970");
    let all = |ns: u64| bodies::native(ns).into_iter().chain(bodies::all(ns));
    let names: Vec<&str> = all(now_ns).map(|body| body.name).collect();
    let mut taken: BTreeMap<(usize, &str), Taken> = BTreeMap::new();
    let mut at_ns = now_ns - 3_600_000_000_000;
    for number in 0..=ROUNDS {
        for which in 0..names.len() {
            let bodies: Vec<Body> = (0..REQUESTS)
                .map(|_| {
                    // Every body is another one, or it would be known again.
                    at_ns += 10_000_000;
                    all(at_ns).nth(which).expect("as many as names")
                })
                .collect();
            for receiver in receivers.iter().filter(|receiver| takes(receiver, &bodies[0])) {
                let requests = bodies.iter().map(|body| request(body, receiver)).collect();
                let before = receiver.processor_time();
                let time = round(&receiver.address, requests);
                // The first round opens chunks and series.
                if number > 0 {
                    let sum = taken.entry((which, receiver.name)).or_default();
                    sum.items += bodies.iter().map(|body| body.items).sum::<usize>();
                    sum.time += time;
                    sum.processor += receiver.processor_time() - before;
                }
            }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "figures are rounded")]
    let per = |taken: &Taken, time: Duration| taken.items as f64 / time.as_secs_f64();
    let rate = |which: usize| per(&taken[&(which, "")], taken[&(which, "")].time);
    println!("{:<52} {:>12} {:>8} {:>14}", "over HTTP, into the database", "items/s", "/ native", "us CPU an item");
    let metrics = ["native metrics", "otlp metrics", "remote write", "line protocol"];
    for ((which, receiver), found) in &taken {
        let native = usize::from(metrics.iter().any(|metric| names[*which].starts_with(metric)));
        let name = format!("{}{receiver}", names[*which]);
        let rate_of = per(found, found.time);
        println!(
            "{name:<52} {rate_of:>12.0} {:>8.2} {:>14.2}",
            rate_of / rate(native),
            1e6 / per(found, found.processor)
        );
    }
}
