//! The open day of a tenant with a million events and a half in it: the newest of them, with a filter, deep in the list, and
//! counts of the open hour.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::AUTHORIZATION;
use tidegate::load::Connection;
use tidegate::model::Kind;

use super::ask::{ask, ask_paths};
use super::common::{BATCH_ROWS, Result};
use super::dataset::Dataset;
use super::feed::{Feed, Until};
use super::figures::Figures;
use super::options::Options;
use super::paths::over_http;
use super::reads::{OPEN_DAY, no_dataset};
use super::sender::{TIMEOUT, bearer};
use super::target::Target;
use super::templates::templates;

/// Events of a page, and the page that is asked for again and again.
const PAGE: u64 = 100;
const DEEP: u64 = 500;
/// Rows of a page on the way there, and how long that may take.
const STEP: u64 = 5000;
const WAY: Duration = Duration::from_secs(120);
/// A minute, what it takes to settle, and the pace of the jobs.
const CLOSED_WITHIN: Duration = Duration::from_secs(180);
const ANSWER_BYTES_MAX: usize = 64 << 20;

pub async fn run(target: &mut Target, options: &Options, figures: &mut Figures) -> Result<()> {
    let events = fill_open_day(target, options.open_day_events(), options.connections).await?;
    figures.add("open day", "events", super::common::as_f64(events));
    wait_until_closed(target, CLOSED_WITHIN).await?;
    let alone = Dataset { tenants: 1, ..no_dataset() };
    for clients in [1, 16] {
        for read in &OPEN_DAY {
            ask(target, alone, read, "hot", clients, options.reads(), figures).await?;
        }
    }
    match cursor(target, (DEEP - 1) * PAGE).await? {
        Some(cursor) => {
            let path: Arc<super::ask::PathOf> =
                Arc::new(move |_, _| format!("/v1/events?limit={PAGE}&cursor={cursor}"));
            let deep = format!("page {DEEP} of a tenant");
            ask_paths(target, 1, (&deep, path), "hot", 1, options.reads(), figures).await?;
        }
        None => figures.fail(format!("page {DEEP} of a tenant: the list ended, or took too long on the way")),
    }
    Ok(())
}

/// Empties the tables and sends so many events of one tenant at full speed, with times of the moment.
pub async fn fill_open_day(target: &mut Target, events: u64, connections: usize) -> Result<u64> {
    target.fresh().await?;
    fill_on(target, 0, events, connections).await
}

/// Sends so many more to a table of `stored` events; returns how many there are then.
pub async fn fill_on(target: &Target, stored: u64, events: u64, connections: usize) -> Result<u64> {
    let requests = events.div_ceil(BATCH_ROWS);
    let feed = Feed::in_turn(templates(requests.min(500), BATCH_ROWS), 1, Until::Requests(requests));
    over_http(target, Kind::Events, feed, connections).await?;
    let stored = stored + requests * BATCH_ROWS;
    target.check_stored(Kind::Events.table(), stored).await?;
    Ok(stored)
}

/// Waits until the minutes of what was sent are closed, as all but the newest are in an open hour.
pub async fn wait_until_closed(target: &Target, at_most: Duration) -> Result<()> {
    let closed = "SELECT count(*) FROM rollup_levels WHERE level = 'event_counts_1m' AND closed_until > \
                  (SELECT max(max_timestamp) FROM ingest_batches)";
    let started = Instant::now();
    while target.count(closed).await? == 0 {
        if started.elapsed() > at_most {
            return Err("the minutes of what was sent are not closed".into());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// The cursor behind the newest `rows` events of the first tenant.
async fn cursor(target: &Target, rows: u64) -> Result<Option<String>> {
    let mut connection = Connection::new(Arc::clone(&target.endpoint)).with_answers_of(ANSWER_BYTES_MAX);
    let (mut left, mut after, started) = (rows, String::new(), Instant::now());
    while left > 0 {
        let path = target.endpoint.path(&format!("/v1/events?limit={}{after}", left.min(STEP)))?;
        let request = Request::get(path).header(AUTHORIZATION, bearer(&target.keys[0])?);
        let reply = connection.send(request.body(Full::<Bytes>::default())?, TIMEOUT).await?;
        let answer: serde_json::Value = serde_json::from_slice(&reply.body)?;
        let Some(cursor) = answer["next_cursor"].as_str() else { return Ok(None) };
        left = left.saturating_sub(answer["data"].as_array().map_or(0, Vec::len) as u64);
        if started.elapsed() > WAY {
            return Ok(None);
        }
        after = format!("&cursor={cursor}");
    }
    Ok(after.strip_prefix("&cursor=").map(str::to_owned))
}
