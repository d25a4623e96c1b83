//! A tenant that sends ten times what its key may, beside others that keep to theirs: what it gets through, and what the
//! others notice of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate::load::Generator;
use uuid::Uuid;

use super::bodies::templates;
use super::feed::{Feed, Until};
use super::http::{Connection, address, head};
use super::report::Quota;
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
    let feed = Arc::new(Feed::in_turn(made, 1, Until::Elapsed(length)).paced(OFFERED));
    let request_head = head("POST", "/v1/events", target.url.trim_start_matches("http://"), &key);
    let (address, started) = (address(&target.url)?, Instant::now());
    let mut greedy = tokio::task::JoinSet::new();
    for _ in 0..GREEDY_CONNECTIONS {
        let (feed, head, connection) = (Arc::clone(&feed), request_head.clone(), Connection::open(address).await?);
        greedy.spawn(insist(connection, feed, head, started));
    }
    let during = runs::send(target, honest(), BATCH, HONEST_CONNECTIONS).await?;
    let (mut answers, mut accepted) = (BTreeMap::new(), 0);
    while let Some(done) = greedy.join_next().await {
        let (statuses, events) = done??;
        accepted += events;
        for (status, count) in statuses {
            *answers.entry(status).or_insert(0) += count;
        }
    }
    let a_second = |events: u64| as_f64(events) / started.elapsed().as_secs_f64();
    let (greedy_events_per_second, offered) = (a_second(accepted), a_second(answers.values().sum::<u64>() * BATCH));
    target.check_stored(before.sent.accepted() + during.sent.accepted() + accepted).await?;
    Ok(Quota { limit: as_f64(LIMIT), offered, greedy_events_per_second, answers, before, during })
}

/// Sends by the clock and takes no for an answer: what is refused is not sent again. Returns the answers by status, and
/// the events that were accepted.
async fn insist(
    mut connection: Connection,
    feed: Arc<Feed>,
    head: String,
    started: Instant,
) -> Result<(BTreeMap<u16, u64>, u64)> {
    let (mut statuses, mut accepted, mut request) = (BTreeMap::new(), 0, Vec::new());
    while let Some(shot) = feed.take(started) {
        if let Some(due) = shot.due {
            tokio::time::sleep_until((started + due).into()).await;
        }
        request.clear();
        let (key, length) = (Uuid::now_v7(), shot.template.len());
        request.extend_from_slice(
            format!(
                "{head}Content-Type: application/x-ndjson\r\nIdempotency-Key: {key}\r\nContent-Length: {length}\r\n\r\n"
            )
            .as_bytes(),
        );
        shot.template.append_now(&mut request, shot.round);
        let reply = connection.exchange(&request).await?;
        *statuses.entry(reply.status).or_insert(0) += 1;
        if matches!(reply.status, 200 | 202) {
            let answer: serde_json::Value = serde_json::from_slice(&reply.body)?;
            accepted += answer["accepted"].as_u64().ok_or("an answer without a count")?;
        }
    }
    Ok((statuses, accepted))
}
