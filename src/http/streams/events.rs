//! GET /v1/streams/{name}/events.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Response;
use hyper::header::HeaderName;
use hyper::http::request::Parts;

use super::feed::Feed;
use super::waiting::{CatchUp, Waited, Waiting};
use super::written::{FeedForm, count};
use crate::config::parse_duration;
use crate::http::call::Call;
use crate::http::compress::{Coding, compressed};
use crate::http::reads::{ListAnswer, best, problem};
use crate::http::response::{Body, held_json};
use crate::limits::{ENCODER_BYTES, PAGE_BYTES_MAX, PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX, READ_TIMEOUT, STREAM_WAIT_MAX};
use crate::protocols::params::{Params, invalid, invalid_value};
use crate::protocols::problem::Problem;
use crate::query::{PageLimit, ReadError, Start};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

#[derive(Debug, Clone, Copy)]
enum Form {
    /// One JSON document.
    Page,
    /// All of it.
    Feed(FeedForm),
}

const FORMS: [(Form, &[&str]); 3] = [
    (Form::Page, &["application/json", "application/*", "*/*"]),
    (Form::Feed(FeedForm::Lines), &["application/x-ndjson", "application/ndjson", "application/*", "*/*"]),
    (Form::Feed(FeedForm::ServerSent), &["text/event-stream", "text/*", "*/*"]),
];

pub async fn events(mut call: Call<'_>) -> ListAnswer {
    let form = best(&call.parts.headers, &FORMS)?;
    let params = &mut call.params;
    let start = start(call.parts, params)?;
    let limit = params.take_count("limit", PAGE_ROWS_MAX)?;
    let wait = wait(params)?;
    std::mem::take(params).finish()?;
    let stream = call.path.get("name").to_owned();
    match form {
        Form::Page => page(&call, &stream, start, limit.unwrap_or(PAGE_ROWS_DEFAULT), wait).await,
        Form::Feed(form) => {
            let is_plain = form == FeedForm::Lines && wait.is_zero();
            let feed = Feed::begin(&call, stream, start, limit, form, wait).await?;
            // What is packed comes when there is enough of it.
            Ok(if is_plain { packed(&call, feed.answer())? } else { feed.answer() })
        }
    }
}

/// A page, once it has an event or the time is over. Nobody holds a reader while waiting.
async fn page(call: &Call<'_>, stream: &str, mut start: Start, limit: usize, wait: Duration) -> ListAnswer {
    let (api, tenant_id) = (call.api, &call.principal.tenant_id);
    let readers = &api.home(tenant_id)?.reads;
    let begun = Instant::now();
    let limit = PageLimit { events: limit, text_bytes: PAGE_BYTES_MAX };
    let mut waiting = if wait.is_zero() { None } else { Some(Waiting::begin(call, stream)?) };
    loop {
        let turn = match &mut waiting {
            Some(waiting) => Some(waiting.look().await),
            None => None,
        };
        let read = async {
            let reads = readers.begin(tenant_id).await?;
            let page = reads.stream_page(readers.logs(), tenant_id, stream, &start, limit).await?;
            Ok((page, reads.into_reservation()))
        };
        let looked_at = Instant::now();
        let read = read.await;
        let worked = looked_at.elapsed();
        drop(turn);
        let found = match read {
            // Others read as well.
            Err(error @ ReadError::Busy { .. }) if waiting.is_some() => Err(error),
            // Its first event may be what is waited for.
            Err(ReadError::NotFound(what)) => {
                if let Start::Latest = start {
                    // It begins after it was asked for.
                    start = Start::Earliest;
                }
                Err(ReadError::NotFound(what))
            }
            Err(error) => return Err(problem(api, error)),
            Ok((page, room)) => {
                // Where all that was looked at has expired there may be more behind it.
                let looks_on = page.data.is_empty() && page.has_more() && begun.elapsed() < READ_TIMEOUT;
                start = Start::Cursor(page.cursor.clone());
                if looks_on {
                    continue;
                }
                if !page.data.is_empty() {
                    CatchUp::beside(api).give_way(page.left(), worked).await;
                    count(page.data.len());
                    let answer = held_json(&page, room).map_err(|no_room| problem(api, no_room.into()))?;
                    return packed(call, answer);
                }
                Ok((page, room))
            }
        };
        let left = wait.saturating_sub(begun.elapsed());
        let waited = match (&mut waiting, &found) {
            (None, _) => Waited::Enough,
            (Some(_), Err(ReadError::Busy { retry_after, .. })) if *retry_after < left => {
                tokio::time::sleep(*retry_after).await;
                Waited::Look
            }
            (Some(waiting), _) => waiting.wait(left).await,
        };
        match (waited, found) {
            (Waited::Look, _) => {}
            (Waited::Enough | Waited::Over, Err(error)) => return Err(problem(api, error)),
            (Waited::Enough | Waited::Over, Ok((page, room))) => {
                return held_json(&page, room).map_err(|no_room| problem(api, no_room.into()));
            }
        }
    }
}

fn packed(call: &Call<'_>, answer: Response<Body>) -> ListAnswer {
    let (readers, tenant_id) =
        (&call.api.home(&call.principal.tenant_id)?.reads, Arc::clone(&call.principal.tenant_id));
    let room = || readers.room(&tenant_id, ENCODER_BYTES);
    let coding = Coding::wanted(&call.parts.headers);
    Ok(compressed(answer, coding.and_then(|coding| Some((coding, room()?)))))
}

/// Where to begin. A browser that connects again says what it saw last, whatever its URL says.
fn start(parts: &Parts, params: &mut Params) -> Result<Start, Problem> {
    let (offset, cursor) = (params.take("offset"), params.take("cursor"));
    if let Some(last) = parts.headers.get(&LAST_EVENT_ID).filter(|last| !last.is_empty()) {
        let last = last.to_str().map_err(|_| invalid("Last-Event-ID", "is not a cursor of this service"))?;
        return Ok(Start::Cursor(last.to_owned()));
    }
    match (offset, cursor) {
        (Some(_), Some(_)) => Err(invalid("cursor", "is given beside offset; both say where to begin")),
        (None, None) => Ok(Start::Earliest),
        (None, Some(cursor)) => Ok(Start::Cursor(cursor)),
        (Some(offset), None) => match offset.as_str() {
            "earliest" => Ok(Start::Earliest),
            "latest" => Ok(Start::Latest),
            number if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                number.parse().map(Start::Offset).map_err(|_| not_an_offset(number))
            }
            other => Err(not_an_offset(other)),
        },
    }
}

fn not_an_offset(text: &str) -> Problem {
    invalid_value("offset", text, "must be a whole number from 0 on, `earliest` or `latest`")
}

/// How long a request waits for events.
pub fn wait(params: &mut Params) -> Result<Duration, Problem> {
    let Some(text) = params.take("wait") else { return Ok(Duration::ZERO) };
    let wait = if text == "0" { Some(Duration::ZERO) } else { parse_duration(&text).ok() };
    wait.filter(|wait| *wait <= STREAM_WAIT_MAX).ok_or_else(|| {
        let most = STREAM_WAIT_MAX.as_secs();
        invalid_value("wait", &text, &format!("must be a time with its unit such as 500ms or {most}s, {most}s at most"))
    })
}
