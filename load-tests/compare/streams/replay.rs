//! Dead letters by a filter: events that are older than what is kept, all of which are refused; then more is kept, and they
//! are replayed.

use serde::Deserialize;
use serde_json::json;
use tidegate::model::Kind;

use super::super::common::{BATCH_ROWS, DAY_US, Result, as_f64};
use super::super::feed::{Feed, Until};
use super::super::figures::Figures;
use super::super::meter::Meter;
use super::super::options::Options;
use super::super::sender::Sender;
use super::super::target::Target;
use super::super::templates::{Template, templates};
use super::client::Client;

/// Older than what is kept by default, and not than this.
const AGE_DAYS: i64 = 400;
const MENDED: &str = "retention.events=800d";
/// Letters of one call, and the most that a call takes.
const PER_CALL: u64 = 10_000;
const CONNECTIONS: usize = 4;

#[derive(Deserialize)]
struct Replayed {
    stored: u64,
    failed: u64,
    refused: u64,
    next_cursor: Option<String>,
}

pub async fn run(target: &mut Target, options: &Options, figures: &mut Figures) -> Result<()> {
    target.fresh().await?;
    let letters = refuse(target, options.letters()).await?;
    target.settings = vec![MENDED.to_owned()];
    let restarted = match target.end() {
        Ok(()) => target.begin().await,
        ended => ended,
    };
    target.settings.clear();
    restarted?;
    replay(target, letters, figures).await
}

/// Sends so many events that are too old; each is a dead letter.
async fn refuse(target: &Target, letters: u64) -> Result<u64> {
    let first_us = jiff::Timestamp::now().as_microsecond() - AGE_DAYS * DAY_US;
    let requests = letters.div_ceil(BATCH_ROWS);
    let bodies = templates(requests, BATCH_ROWS).into_iter().map(|template| {
        let mut body = Vec::new();
        template.append(&mut body, first_us, 0);
        Template::fixed(body, BATCH_ROWS)
    });
    let feed = Feed::in_turn(bodies.collect(), 1, Until::Requests(requests));
    let sent = Sender::new(target, Kind::Events, &target.keys)?.send(feed, CONNECTIONS).await?;
    if sent.rejected != sent.events {
        return Err(format!("{} of {} events were refused: {:?}", sent.rejected, sent.events, sent.statuses).into());
    }
    target.check_stored("dead_letter_events", sent.rejected).await?;
    Ok(sent.rejected)
}

async fn replay(target: &Target, letters: u64, figures: &mut Figures) -> Result<()> {
    let mut client = Client::new(target, &target.add_key(0, "admin").await?)?;
    let meter = Meter::start(target);
    let (mut stored, mut after) = (0, String::new());
    loop {
        let path = format!("/v1/dead-letters/replay?code=out_of_window&limit={PER_CALL}{after}");
        let replayed: Replayed = serde_json::from_slice(&client.post(&path, &json!({})).await?)?;
        if replayed.failed + replayed.refused > 0 {
            return Err(format!("{} failed and {} were refused", replayed.failed, replayed.refused).into());
        }
        stored += replayed.stored;
        let Some(cursor) = replayed.next_cursor else { break };
        after = format!("&cursor={cursor}");
    }
    let usage = meter.stop(target);
    if stored != letters {
        return Err(format!("{stored} dead letters were stored of {letters}").into());
    }
    target.check_stored("events", letters).await?;
    let name = format!("replay of {letters} dead letters by a filter");
    figures.add(&name, "s", usage.elapsed_s);
    usage.add(figures, &name, "letter", letters);
    figures.add(&name, "ms/letter", usage.elapsed_s * 1000.0 / as_f64(letters));
    Ok(())
}
