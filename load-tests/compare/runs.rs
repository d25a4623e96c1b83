//! Measurements over HTTP alone: full load for a while, latency at a rate, many small senders.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate::load::Generator;

use super::bodies::templates;
use super::feed::{Feed, Until};
use super::http::{Connection, address};
use super::meter::{Meter, Sampler, growth, unevenness};
use super::report::{Latency, Run};
use super::sender::Sender;
use super::target::Target;
use super::{ASSETS, BATCH_ROWS, Result, SEED, TENANTS};

/// Events of the bodies that are sent again and again with new timestamps and correlations.
const POOL_EVENTS: u64 = 200_000;
/// Pools fill, and the allocator finds its size, in this time.
const WARM_UP: Duration = Duration::from_secs(15);
/// Between two samples of memory and progress.
const SAMPLE: Duration = Duration::from_secs(1);
const LATENCY_BATCH: u64 = 100;
/// More than are needed for half the maximum rate: the sender must not be what waits.
const LATENCY_CONNECTIONS: usize = 64;
const SMALL_BATCH: u64 = 10;
const SMALL_CONNECTIONS: usize = 200;

/// Bodies of `batch` events for the tenants in turn.
pub fn pool(batch: u64, until: Until) -> Feed {
    let count = (POOL_EVENTS / batch).max(TENANTS as u64);
    Feed::in_turn(templates(&Generator { seed: SEED, assets: ASSETS }, count, batch), TENANTS, until)
}

/// Sends a feed and measures it. Every event is looked for afterwards, besides the `before` that were there.
pub async fn run(target: &Target, feed: Feed, batch: u64, connections: usize, before: u64) -> Result<Run> {
    let run = send(target, feed, batch, connections).await?;
    target.check_stored(before + run.sent.accepted()).await?;
    Ok(run)
}

/// The same for a caller that looks for the events itself.
pub async fn send(target: &Target, feed: Feed, batch: u64, connections: usize) -> Result<Run> {
    let sender = Sender::new(target)?;
    let safe = Arc::clone(&sender.safe);
    let sampler = Sampler::start(target.pid(), SAMPLE, move || safe.load(Ordering::Relaxed));
    let meter = Meter::start(target);
    let sent = sender.send(feed, connections).await?;
    let usage = meter.stop(target);
    let samples = sampler.stop().await?;
    Ok(Run {
        batch,
        connections,
        p50_ms: sent.latency_ms(500),
        p99_ms: sent.latency_ms(990),
        sent,
        usage,
        memory_unevenness: unevenness(&samples, WARM_UP),
        memory_growth: growth(&samples, WARM_UP),
        samples,
        rows_per_batch: rows_per_batch(target).await,
    })
}

/// Full load in batches of a thousand for `length`, on fresh tables.
pub async fn sustained(target: &mut Target, length: Duration, connections: usize) -> Result<Run> {
    target.fresh().await?;
    run(target, pool(BATCH_ROWS, Until::Elapsed(length)), BATCH_ROWS, connections, 0).await
}

/// Batches of a hundred at half of `maximum` events a second.
pub async fn latency(target: &mut Target, maximum: f64, length: Duration) -> Result<Latency> {
    target.fresh().await?;
    let rate = maximum / 2.0;
    let feed = pool(LATENCY_BATCH, Until::Elapsed(length)).paced(rate);
    Ok(Latency { maximum, rate, run: run(target, feed, LATENCY_BATCH, LATENCY_CONNECTIONS, 0).await? })
}

/// Two hundred connections, ten events a request.
pub async fn small(target: &mut Target, length: Duration) -> Result<Run> {
    target.fresh().await?;
    let feed = pool(SMALL_BATCH, Until::Elapsed(length));
    run(target, feed, SMALL_BATCH, SMALL_CONNECTIONS, 0).await
}

/// Mean of the histogram `tidegate_batch_rows`; none when there is no such metric.
async fn rows_per_batch(target: &Target) -> Option<f64> {
    let mut connection = Connection::open(address(&target.url).ok()?).await.ok()?;
    let reply = connection.exchange(b"GET /metrics HTTP/1.1\r\nHost: tidegate\r\n\r\n").await.ok()?;
    let text = String::from_utf8(reply.body).ok()?;
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    Some(value("tidegate_batch_rows_sum")? / value("tidegate_batch_rows_count")?)
}
