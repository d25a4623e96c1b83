//! One measurement of one way to write: its requests over HTTP, and the figure of what was written by whichever way.

use super::feed::Feed;
use super::meter::{Meter, Usage};
use super::report::Figure;
use super::sender::Sender;
use super::target::Target;
use super::{BATCH_ROWS, Result, as_f64};

/// A measurement that begins: what is compared with afterwards.
pub struct Begun {
    wal_bytes: f64,
}

impl Begun {
    /// On fresh tables.
    pub async fn new(target: &mut Target) -> Result<Self> {
        target.fresh().await?;
        Ok(Self { wal_bytes: target.wal_bytes().await? })
    }

    /// The figure of `events` events, every one of which is looked for.
    pub async fn figure(
        self,
        target: &Target,
        path: &str,
        events: u64,
        connections: usize,
        usage: Usage,
    ) -> Result<Figure> {
        target.check_stored(events).await?;
        let figure = Figure {
            path: path.to_owned(),
            events,
            batch: BATCH_ROWS,
            connections,
            usage,
            bytes_per_event: target.bytes_per_event(events).await?,
            wal_bytes_per_event: (target.wal_bytes().await? - self.wal_bytes) / as_f64(events),
        };
        println!("  {:<36} {:>9.0} events/s, {:.0} bytes an event", figure.path, figure.rate(), figure.bytes_per_event);
        Ok(figure)
    }
}

/// Sends all of a feed, which must be committed and not spooled.
pub async fn over_http(target: &Target, feed: Feed, connections: usize) -> Result<Usage> {
    let sender = Sender::new(target)?;
    let meter = Meter::start(target);
    let sent = sender.send(feed, connections).await?;
    let usage = meter.stop(target);
    if sent.committed != sent.events {
        return Err(format!("{} of {} events committed: {:?}", sent.committed, sent.events, sent.statuses).into());
    }
    println!("    latency p50 {:.1} ms, p99 {:.1} ms", sent.latency_ms(500), sent.latency_ms(990));
    Ok(usage)
}
