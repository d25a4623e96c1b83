//! Streams by offset, groups and replays: what the log of streams costs, how soon an event is delivered, how fast a
//! consumer catches up, what groups cost ingestion, and how long dead letters take. A consumer reads the first tenant's
//! stream, over HTTP as any.

mod catch_up;
mod client;
mod delivery;
mod groups;
mod member;
mod replay;
mod sequencer;

use std::time::{Duration, Instant};

use super::common::{Result, why};
use super::figures::Figures;
use super::options::{Options, Topic};
use super::target::Target;

/// The stream of events that name none.
const STREAM: &str = "default";
/// What a consumer's key may do.
const CONSUMER: &str = "read,consume";
/// For the log to have what is committed, and for consumers to have what is in the log.
const SETTLE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

/// `known` is the maximum rate where another part has measured it.
pub async fn run(target: &mut Target, options: &Options, known: Option<f64>, figures: &mut Figures) -> Result<()> {
    for topic in options.topics() {
        let measured = match topic {
            Topic::Sequencer => sequencer::run(target, options, figures).await,
            Topic::Delivery => delivery::run(target, options, figures).await,
            Topic::CatchUp => catch_up::run(target, options, known, figures).await,
            Topic::Groups => groups::run(target, options, figures).await,
            Topic::Replay => replay::run(target, options, figures).await,
        };
        if let Err(error) = measured {
            // The other questions are answered all the same.
            figures.fail(format!("{}: {}", topic.name(), why(&*error)));
        }
    }
    Ok(())
}

/// Events of the first tenant.
async fn stored(target: &Target) -> Result<u64> {
    target.count(&format!("SELECT count(*) FROM events WHERE tenant_id = '{}'", target.tenants[0])).await
}

/// Where the first tenant's stream ends, once exactly these events are in its log.
async fn logged(target: &Target, events: u64) -> Result<u64> {
    let of_stream = format!("WHERE tenant_id = '{}' AND stream = '{STREAM}'", target.tenants[0]);
    until_logged(target, &of_stream, events).await?;
    target.count(&format!("SELECT coalesce(max(base + span), 0)::bigint FROM batch_log {of_stream}")).await
}

/// Waits until the log, or the part of it that a condition names, has exactly these events.
async fn until_logged(target: &Target, condition: &str, events: u64) -> Result<()> {
    let counted = format!("SELECT coalesce(sum(event_count), 0)::bigint FROM batch_log {condition}");
    let started = Instant::now();
    loop {
        match target.count(&counted).await? {
            found if found == events => return Ok(()),
            found if found > events || started.elapsed() > SETTLE => {
                return Err(format!("the log holds {found} events instead of {events}").into());
            }
            _ => tokio::time::sleep(POLL).await,
        }
    }
}
