//! Memory under a flood: bombs and oversized bodies, ten gigabytes a minute and more, beside an honest sender.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::feed::Until;
use super::http::{Connection, address, head};
use super::report::Flood;
use super::target::Target;
use super::{Result, as_f64, runs};

const MIB: usize = 1 << 20;
const GIB: f64 = 1024.0 * 1024.0 * 1024.0;
/// Of a bomb, once decompressed: four times what a server with default limits takes.
const BOMB_BYTES: usize = 64 * MIB;
/// `limits.body_bytes` as it is by default: so much is decompressed, or read, before a body is refused.
const BODY_BYTES_MAX: usize = 16 * MIB;
/// Announced by Content-Length, and never sent.
const ANNOUNCED_BYTES: u64 = 1 << 30;
/// Bodies a second of each kind: 12 bombs of each encoding are 24 GiB a minute of decompressed bytes at 16 MiB each.
const EACH_PER_SECOND: u64 = 6;
/// The honest sender.
const HONEST_RATE: f64 = 20_000.0;
const HONEST_BATCH: u64 = 100;
const HONEST_CONNECTIONS: usize = 16;

/// A kind of body that is to be refused.
struct Kind {
    name: &'static str,
    request: Vec<u8>,
    /// Bytes that reach memory or a decoder before it is refused.
    taken: usize,
    /// Bytes that it would have been.
    announced: u64,
}

fn kinds(host: &str, key: &str) -> Result<Vec<Kind>> {
    let post = |headers: &str, body: &[u8]| {
        let head = head("POST", "/v1/events", host, key);
        [format!("{head}Content-Type: application/json\r\n{headers}\r\n").as_bytes(), body].concat()
    };
    let packed = |name: &str, body: &[u8]| {
        post(&format!("Content-Encoding: {name}\r\nContent-Length: {}\r\n", body.len()), body)
    };
    // Spaces before an array that never comes: valid JSON so far.
    let plain = vec![b' '; BOMB_BYTES];
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&plain)?;
    let bomb = |name, request| Kind { name, request, taken: BODY_BYTES_MAX, announced: BOMB_BYTES as u64 };
    // One chunk more than the server takes, without a length to refuse it by.
    let chunk = [format!("{MIB:x}\r\n").as_bytes(), &plain[..MIB], b"\r\n"].concat();
    let chunked = chunk.repeat(BODY_BYTES_MAX / MIB + 1);
    Ok(vec![
        bomb("gzip bomb", packed("gzip", &gzip.finish()?)),
        bomb("zstd bomb", packed("zstd", &zstd::encode_all(plain.as_slice(), 3)?)),
        Kind {
            name: "oversized, chunked",
            request: post("Transfer-Encoding: chunked\r\n", &chunked),
            taken: BODY_BYTES_MAX,
            announced: chunked.len() as u64,
        },
        Kind {
            name: "oversized, announced",
            request: post(&format!("Content-Length: {ANNOUNCED_BYTES}\r\n"), &plain[..64 * 1024]),
            taken: 0,
            announced: ANNOUNCED_BYTES,
        },
    ])
}

/// Measures an honest sender for `length` alone, and for `length` beside the flood.
pub async fn run(target: &mut Target, length: Duration) -> Result<Flood> {
    target.fresh().await?;
    let honest = || runs::pool(HONEST_BATCH, Until::Elapsed(length)).paced(HONEST_RATE);
    let before = runs::run(target, honest(), HONEST_BATCH, HONEST_CONNECTIONS, 0).await?;
    let (address, host) = (address(&target.url)?, target.url.trim_start_matches("http://"));
    // The last tenant is not spared: the honest sender sends as it, too.
    let kinds: Vec<Arc<Kind>> = kinds(host, target.keys.last().ok_or("no key")?)?.into_iter().map(Arc::new).collect();
    let (over, started) = (Arc::new(AtomicBool::new(false)), Instant::now());
    let mut floods = tokio::task::JoinSet::new();
    for (kind, lane) in kinds.iter().flat_map(|kind| (0..EACH_PER_SECOND).map(move |lane| (kind, lane))) {
        floods.spawn(pour(address, Arc::clone(kind), lane, Arc::clone(&over), started));
    }
    let stored = before.sent.accepted();
    let during = runs::run(target, honest(), HONEST_BATCH, HONEST_CONNECTIONS, stored).await;
    over.store(true, Ordering::Relaxed);
    let mut answers: BTreeMap<String, BTreeMap<u16, u64>> = BTreeMap::new();
    while let Some(poured) = floods.join_next().await {
        let (name, statuses) = poured?;
        let of_kind = answers.entry(name.to_owned()).or_default();
        for (status, count) in statuses {
            *of_kind.entry(status).or_default() += count;
        }
    }
    let length_s = started.elapsed().as_secs_f64();
    // What was refused for want of memory (503) or by a closed connection (0) was not taken.
    let count = |kind: &Kind, status: Option<u16>| -> u64 {
        let of_kind = answers.get(kind.name).into_iter().flatten();
        of_kind.filter(|(answered, _)| status.is_none_or(|status| **answered == status)).map(|(_, count)| count).sum()
    };
    let per_minute = |bytes: f64| bytes / GIB * 60.0 / length_s;
    let taken = kinds.iter().map(|kind| as_f64(count(kind, Some(413)) * kind.taken as u64)).sum::<f64>();
    let announced = kinds.iter().map(|kind| as_f64(count(kind, None) * kind.announced)).sum::<f64>();
    Ok(Flood {
        length_s,
        taken_gib_per_minute: per_minute(taken),
        announced_gib_per_minute: per_minute(announced),
        answers,
        before,
        during: during?,
    })
}

/// Sends one body a second, each on a new connection, until it is over.
async fn pour(
    address: SocketAddr,
    kind: Arc<Kind>,
    lane: u64,
    over: Arc<AtomicBool>,
    started: Instant,
) -> (&'static str, BTreeMap<u16, u64>) {
    let mut statuses = BTreeMap::new();
    let offset = Duration::from_secs(1).mul_f64(as_f64(lane) / as_f64(EACH_PER_SECOND));
    let mut ticks = tokio::time::interval_at((started + offset).into(), Duration::from_secs(1));
    while !over.load(Ordering::Relaxed) {
        ticks.tick().await;
        let answered = async { Connection::open(address).await?.exchange_refused(&kind.request).await };
        let status = answered.await.map_or(0, |reply| reply.status);
        *statuses.entry(status).or_default() += 1;
    }
    (kind.name, statuses)
}
