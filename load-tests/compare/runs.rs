//! Measurements over HTTP alone: full load for a while, latency at a rate, many small senders.

use std::sync::Arc;
use std::time::Duration;

use tidegate::model::Kind;

use super::ask::ask;
use super::common::{BATCH_ROWS, Result, as_f64};
use super::compact::compact;
use super::feed::{Feed, Until};
use super::figures::Figures;
use super::meter::{Meter, Sample, Sampler, Usage, flatness};
use super::options::Options;
use super::paths::REFERENCE;
use super::reads::{OPEN_DAY, no_dataset};
use super::reference;
use super::scrape::Scrape;
use super::sender::{Sender, Sent};
use super::target::Target;
use super::templates::templates;

/// Between two samples of memory and progress.
const SAMPLE: Duration = Duration::from_secs(1);
pub const LATENCY_BATCH: u64 = 100;
/// More than are needed for half the maximum rate: the sender must not be what waits.
pub const LATENCY_CONNECTIONS: usize = 64;
/// Has figures of its own: a day's first rows wait until its chunk is made, and connections are opened.
pub const BEGINNING: Duration = Duration::from_secs(2);
/// Holds the end of one minute at least, after which there is most to derive.
pub const A_MINUTE: Duration = Duration::from_secs(66);
pub const SMALL_BATCH: u64 = 10;
pub const SMALL_CONNECTIONS: usize = 200;

/// One measurement over HTTP.
pub struct Run {
    pub sent: Sent,
    pub usage: Usage,
    pub samples: Vec<Sample>,
}

impl Run {
    /// Sends a feed of events and measures it.
    pub async fn of(target: &Target, feed: Feed, connections: usize) -> Result<Self> {
        Self::by(target, Sender::new(target, Kind::Events, &target.keys)?, feed, connections).await
    }

    /// The same, with a sender that was made for it.
    pub async fn by(target: &Target, sender: Sender, feed: Feed, connections: usize) -> Result<Self> {
        let sampler = Sampler::start(target.pid(), SAMPLE, Arc::clone(&sender.safe));
        let meter = Meter::start(target);
        let sent = sender.send(feed, connections).await?;
        let usage = meter.stop(target);
        Ok(Self { sent, usage, samples: sampler.stop().await? })
    }

    /// Events a second that were committed.
    pub fn rate(&self) -> f64 {
        self.usage.rate(self.sent.committed)
    }

    pub fn add(&self, figures: &mut Figures, name: &str) {
        self.usage.add(figures, name, "event", self.sent.committed);
        let ms = self.sent.latencies.ms();
        figures.add_all(name, &[("p50 ms", ms.p50), ("p99 ms", ms.p99)]);
        let (spooled, retries) = (as_f64(self.sent.spooled), as_f64(self.sent.retries));
        figures.add_all(name, &[("spooled", spooled), ("retries", retries)]);
        if let Some((farthest, growth)) = flatness(&self.samples) {
            figures.add_all(name, &[("memory, farthest from median", farthest), ("memory, growth", growth)]);
        }
    }
}

/// Sends a feed to fresh tables and measures it; every event is looked for afterwards.
pub async fn measure(
    target: &mut Target,
    feed: Feed,
    connections: usize,
    figures: &mut Figures,
    name: &str,
) -> Result<Run> {
    target.fresh().await?;
    let run = Run::of(target, feed, connections).await?;
    target.check_stored("events", run.sent.accepted()).await?;
    run.add(figures, name);
    if let Some(rows) = rows_per_batch(target).await {
        figures.add(name, "rows/batch", rows);
    }
    Ok(run)
}

/// Full load in batches of a thousand; then what its table takes and answers, as written and compacted.
pub async fn sustained(
    target: &mut Target,
    options: &Options,
    reference: Option<f64>,
    figures: &mut Figures,
) -> Result<()> {
    let reference = match reference {
        Some(rate) => rate,
        None => {
            let made = templates(options.events.div_ceil(BATCH_ROWS), BATCH_ROWS);
            let usage = reference::run(target, &made, figures, REFERENCE).await?;
            usage.rate(made.len() as u64 * BATCH_ROWS)
        }
    };
    let feed = Feed::pool(BATCH_ROWS, Until::Elapsed(options.sustained));
    let run = measure(target, feed, options.connections, figures, "full load").await?;
    figures.add("full load / the reference", "ratio", run.rate() / reference);
    let events = run.sent.accepted();
    for state in ["hot", "compacted"] {
        if state == "compacted" {
            if !target.is_timescale() {
                break;
            }
            compact(target, Kind::Events, figures).await?;
            target.check_stored("events", events).await?;
        }
        figures.add(&format!("stored, {state}"), "bytes/event", target.bytes_per_event(events).await?);
        for read in &OPEN_DAY {
            ask(target, no_dataset(), read, state, 1, options.reads(), figures).await?;
        }
    }
    Ok(())
}

/// Events a second of full load; `known` where another part has measured it.
pub async fn maximum(target: &mut Target, options: &Options, known: Option<f64>, figures: &mut Figures) -> Result<f64> {
    if let Some(known) = known {
        return Ok(known);
    }
    let feed = Feed::pool(BATCH_ROWS, Until::Elapsed(options.short()));
    Ok(measure(target, feed, options.connections, figures, "the maximum rate").await?.rate())
}

/// Batches of a hundred at half of the maximum rate.
pub async fn latency(target: &mut Target, options: &Options, known: Option<f64>, figures: &mut Figures) -> Result<()> {
    let maximum = maximum(target, options, known, figures).await?;
    let feed = |length| Feed::pool(LATENCY_BATCH, Until::Elapsed(length)).paced(maximum / 2.0);
    target.fresh().await?;
    let first = Run::of(target, feed(BEGINNING), LATENCY_CONNECTIONS).await?;
    first.add(figures, "half the maximum rate, the first two seconds");
    let length = if options.quick { options.short() } else { A_MINUTE };
    let run = Run::of(target, feed(length), LATENCY_CONNECTIONS).await?;
    target.check_stored("events", first.sent.accepted() + run.sent.accepted()).await?;
    run.add(figures, "half the maximum rate");
    if let Some(rows) = rows_per_batch(target).await {
        figures.add("half the maximum rate", "rows/batch", rows);
    }
    Ok(())
}

pub async fn small(target: &mut Target, length: Duration, figures: &mut Figures) -> Result<()> {
    let feed = Feed::pool(SMALL_BATCH, Until::Elapsed(length));
    measure(target, feed, SMALL_CONNECTIONS, figures, "200 connections, 10 events a request").await?;
    Ok(())
}

/// Mean of the histogram `tidegate_batch_rows`; none when there is no such metric.
async fn rows_per_batch(target: &Target) -> Option<f64> {
    Scrape::of(target).await.ok()?.mean("tidegate_batch_rows")
}
