//! A tenant that sends ten times what its key may, beside others that keep to theirs: what it gets through, and what the
//! others notice of it.

use std::time::{Duration, Instant};

use tidegate::model::Kind;

use super::common::{Result, as_f64};
use super::feed::{Feed, Until};
use super::figures::Figures;
use super::runs::{Run, measure};
use super::sender::Sender;
use super::target::Target;
use super::templates::templates;

/// What the key may, in events a second.
const LIMIT: u64 = 2_000;
/// And what is to be sent with it.
const OFFERED: f64 = 20_000.0;
/// What may come at once: a second's worth, so that the burst is no large part of the run.
const BURST_S: u32 = 1;
const BATCH: u64 = 100;
const GREEDY_CONNECTIONS: usize = 16;
/// The others, together.
const HONEST_RATE: f64 = 20_000.0;
const HONEST_CONNECTIONS: usize = 32;

/// Measures the others for `length` alone, and for `length` beside the greedy one.
pub async fn run(target: &mut Target, length: Duration, figures: &mut Figures) -> Result<()> {
    let honest = || Feed::pool(BATCH, Until::Elapsed(length)).paced(HONEST_RATE);
    let before = measure(target, honest(), HONEST_CONNECTIONS, figures, "the others, before").await?;

    let key = target.add_limited(LIMIT, BURST_S).await?;
    let feed = Feed::in_turn(templates(200, BATCH), 1, Until::Elapsed(length)).paced(OFFERED);
    let started = Instant::now();
    let greedy =
        tokio::spawn(Sender::new(target, Kind::Events, &[key])?.that_takes_no().send(feed, GREEDY_CONNECTIONS));
    let during = Run::of(target, honest(), HONEST_CONNECTIONS).await?;
    let greedy = greedy.await??;
    let elapsed_s = started.elapsed().as_secs_f64();
    let stored = before.sent.accepted() + during.sent.accepted() + greedy.accepted();
    target.check_stored("events", stored).await?;
    during.add(figures, "the others, during");
    let p99 = |run: &Run| run.sent.latencies.ms().p99;
    let name = "p99 of others beside a tenant at ten times its quota / before";
    figures.add(name, "ratio", p99(&during) / p99(&before));
    let offered = greedy.statuses.values().sum::<u64>() * BATCH;
    for (what, events) in [("offered", offered), ("accepted", greedy.accepted())] {
        figures.add("a key that may send 2000 events/s", &format!("{what}/s"), as_f64(events) / elapsed_s);
    }
    for (status, answers) in &greedy.statuses {
        figures.add("its answers", &format!("status {status}"), as_f64(*answers));
    }
    Ok(())
}
