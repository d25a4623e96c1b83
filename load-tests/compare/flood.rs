//! Memory under a flood: bombs and oversized bodies, ten gigabytes a minute and more, beside an honest sender.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::StreamExt;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::Request;
use hyper::body::Frame;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use tidegate::load::{Connection, Endpoint};

use super::common::{GIB, Result, as_f64};
use super::feed::{Feed, Until};
use super::figures::Figures;
use super::runs::{Run, measure};
use super::sender::{TIMEOUT, bearer};
use super::target::Target;

const MIB: usize = 1 << 20;
/// Of a bomb, once decompressed: four times what a server with default limits takes.
const BOMB_BYTES: usize = 64 * MIB;
/// `limits.body_bytes` as it is by default: so much is decompressed, or read, before a body is refused.
const BODY_BYTES_MAX: usize = 16 * MIB;
/// Announced by Content-Length, and never sent.
const ANNOUNCED_BYTES: u64 = 1 << 30;
/// Bodies a second of each kind: 12 bombs of each encoding are 24 GiB a minute of decompressed bytes at 16 MiB each.
const EACH_PER_SECOND: u32 = 6;
/// The honest sender.
const HONEST_RATE: f64 = 20_000.0;
const HONEST_BATCH: u64 = 100;
const HONEST_CONNECTIONS: usize = 16;

/// A kind of body that is to be refused.
struct Kind {
    name: &'static str,
    header: Option<(HeaderName, String)>,
    /// Sent one after the other; then, where the length is announced, nothing more.
    chunks: Vec<Bytes>,
    stalls: bool,
    /// Bytes that reach memory or a decoder before it is refused.
    taken: usize,
}

impl Kind {
    fn all() -> Result<[Self; 4]> {
        // Spaces before an array that never comes: valid JSON so far.
        let plain = vec![b' '; BOMB_BYTES];
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&plain)?;
        let bomb = |name, encoding: &str, packed: Vec<u8>| {
            let header = Some((CONTENT_ENCODING, encoding.to_owned()));
            Self { name, header, chunks: vec![packed.into()], stalls: false, taken: BODY_BYTES_MAX }
        };
        let chunk = Bytes::copy_from_slice(&plain[..MIB]);
        Ok([
            bomb("gzip bomb", "gzip", gzip.finish()?),
            bomb("zstd bomb", "zstd", zstd::encode_all(plain.as_slice(), 3)?),
            Self {
                name: "oversized, chunked",
                header: None,
                // One chunk more than the server takes, without a length to refuse it by.
                chunks: vec![chunk.clone(); BODY_BYTES_MAX / MIB + 1],
                stalls: false,
                taken: BODY_BYTES_MAX,
            },
            Self {
                name: "oversized, announced",
                header: Some((CONTENT_LENGTH, ANNOUNCED_BYTES.to_string())),
                chunks: vec![chunk.slice(..64 * 1024)],
                stalls: true,
                taken: 0,
            },
        ])
    }

    fn request(&self, endpoint: &Endpoint, key: &HeaderValue) -> Result<Request<UnsyncBoxBody<Bytes, Infallible>>> {
        let frames = self.chunks.clone().into_iter().map(|chunk| Ok(Frame::data(chunk)));
        let sent = stream::iter(frames);
        let body = if self.stalls {
            StreamBody::new(sent.chain(stream::pending())).boxed_unsync()
        } else {
            StreamBody::new(sent).boxed_unsync()
        };
        let mut request = Request::post(endpoint.path("/v1/events")?).header(AUTHORIZATION, key);
        request = request.header(CONTENT_TYPE, "application/json");
        if let Some((name, value)) = &self.header {
            request = request.header(name, value);
        }
        Ok(request.body(body)?)
    }
}

/// Measures an honest sender for `length` alone, and for `length` beside the flood.
pub async fn run(target: &mut Target, length: Duration, figures: &mut Figures) -> Result<()> {
    let honest = || Feed::pool(HONEST_BATCH, Until::Elapsed(length)).paced(HONEST_RATE);
    let before = measure(target, honest(), HONEST_CONNECTIONS, figures, "honest sender, before").await?;
    // The last tenant is not spared: the honest sender sends as it, too.
    let key = bearer(target.keys.last().ok_or("no key")?)?;
    let (over, started) = (Arc::new(AtomicBool::new(false)), Instant::now());
    let mut floods = tokio::task::JoinSet::new();
    for kind in Kind::all()?.map(Arc::new) {
        for lane in 0..EACH_PER_SECOND {
            let (endpoint, key) = (Arc::clone(&target.endpoint), key.clone());
            floods.spawn(pour(endpoint, key, Arc::clone(&kind), lane, Arc::clone(&over)));
        }
    }
    let during = Run::of(target, honest(), HONEST_CONNECTIONS).await;
    over.store(true, Ordering::Relaxed);
    let (mut answers, mut taken) = (BTreeMap::<(&str, u16), u64>::new(), 0);
    while let Some(poured) = floods.join_next().await {
        let (kind, statuses) = poured?;
        for (status, count) in statuses {
            *answers.entry((kind.name, status)).or_default() += count;
            // What was refused for want of memory (503) or by a closed connection (0) was not taken.
            taken += if status == 413 { count * kind.taken as u64 } else { 0 };
        }
    }
    let during = during?;
    let minutes = started.elapsed().as_secs_f64() / 60.0;
    target.check_stored("events", before.sent.accepted() + during.sent.accepted()).await?;
    during.add(figures, "honest sender, during");
    figures.add("sent or decompressed before it was refused", "GiB/min", as_f64(taken) / as_f64(GIB) / minutes);
    for ((name, status), count) in answers {
        figures.add(&format!("{name}, answered {status}"), "times", as_f64(count));
    }
    Ok(())
}

/// Sends one body a second, each on a new connection, until it is over; 0 stands for no answer.
async fn pour(
    endpoint: Arc<Endpoint>,
    key: HeaderValue,
    kind: Arc<Kind>,
    lane: u32,
    over: Arc<AtomicBool>,
) -> (Arc<Kind>, BTreeMap<u16, u64>) {
    let mut statuses = BTreeMap::new();
    let first = tokio::time::Instant::now() + Duration::from_secs(1) * lane / EACH_PER_SECOND;
    let mut ticks = tokio::time::interval_at(first, Duration::from_secs(1));
    while !over.load(Ordering::Relaxed) {
        ticks.tick().await;
        let request = kind.request(&endpoint, &key).expect("every part is a constant or was checked");
        let answered = Connection::new(Arc::clone(&endpoint)).send(request, TIMEOUT).await;
        *statuses.entry(answered.map_or(0, |reply| reply.status.as_u16())).or_default() += 1;
    }
    (kind, statuses)
}
