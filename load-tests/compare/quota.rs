//! A tenant that sends ten times what its key may, beside others that keep to theirs: what it gets through, and what the
//! others notice of it.

use std::time::{Duration, Instant};

use tidegate::load::Generator;

use super::bodies::templates;
use super::feed::{Feed, Until};
use super::report::Quota;
use super::sender::Sender;
use super::target::Target;
use super::{ASSETS, Result, SEED, as_f64, runs};

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
pub async fn run(target: &mut Target, length: Duration) -> Result<Quota> {
    target.fresh().await?;
    let key = target.add_limited(LIMIT, BURST_S).await?;
    let honest = || runs::pool(BATCH, Until::Elapsed(length)).paced(HONEST_RATE);
    let before = runs::run(target, honest(), BATCH, HONEST_CONNECTIONS, 0).await?;

    let made = templates(&Generator { seed: SEED + 1, assets: ASSETS }, 200, BATCH);
    let feed = Feed::in_turn(made, 1, Until::Elapsed(length)).paced(OFFERED);
    let (greedy, started) = (Sender::that_takes_no(target, &key)?, Instant::now());
    let greedy = tokio::spawn(greedy.send(feed, GREEDY_CONNECTIONS));
    let during = runs::send(target, honest(), BATCH, HONEST_CONNECTIONS).await?;
    let greedy = greedy.await??;
    let (answers, accepted) = (greedy.statuses.clone(), greedy.accepted());
    let a_second = |events: u64| as_f64(events) / started.elapsed().as_secs_f64();
    let (greedy_events_per_second, offered) = (a_second(accepted), a_second(answers.values().sum::<u64>() * BATCH));
    target.check_stored(before.sent.accepted() + during.sent.accepted() + accepted).await?;
    Ok(Quota { limit: as_f64(LIMIT), offered, greedy_events_per_second, answers, before, during })
}
