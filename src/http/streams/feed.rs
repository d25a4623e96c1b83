//! A stream from an offset on, as it comes: lines up to its end, and as long as events keep coming; or Server-Sent Events
//! without an end. While nothing comes it holds neither a reader nor memory.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use hyper::header::HeaderValue;
use hyper::{Response, StatusCode};

use super::waiting::{CatchUp, Waited, Waiting};
use super::written::{Chunk, FeedForm, count};
use crate::budget::Reservation;
use crate::http::Api;
use crate::http::call::Call;
use crate::http::reads::problem;
use crate::http::response::{Body, answer, streamed};
use crate::limits::{
    EXPORT_WAIT_MAX, LOG_LOOK_ROWS_FIRST, LOG_LOOK_TEXT_BYTES_MAX, STREAM_AWAY_PAUSE, STREAM_HEARTBEAT,
    STREAM_KEY_LOOK, STREAM_PAGE_ROWS,
};
use crate::protocols::Problem;
use crate::query::{LogPage, PageLimit, ReadError, Readers, Start};

/// What is sent next, or how it ends.
enum Next {
    Chunk(Chunk),
    /// Looked at, and there was nothing to send.
    Nothing,
    End,
}

pub struct Feed {
    readers: Readers,
    tenant_id: Arc<str>,
    stream: String,
    start: Start,
    /// Events that are still wanted, and how many are read at once.
    left: usize,
    at_once: usize,
    form: FeedForm,
    /// None: it ends where the stream does.
    waiting: Option<Waiting>,
    /// How long it waits for the next event; None: as long as it takes.
    patience: Option<Duration>,
    /// When something was sent last, and when an event was.
    sent_at: Instant,
    event_at: Instant,
    looked_at_key: Instant,
    catch_up: CatchUp,
    /// How long it read last.
    worked: Duration,
    /// Offsets from there to the end.
    behind: i64,
    /// The part that was read before the answer began.
    first: Option<Chunk>,
    is_at_end: bool,
    is_over: bool,
}

impl Feed {
    /// Reads its first events, so that what is wrong with the request is an error and not a broken answer.
    pub async fn begin(
        call: &Call<'_>,
        stream: String,
        start: Start,
        limit: Option<usize>,
        form: FeedForm,
        wait: Duration,
    ) -> Result<Self, Problem> {
        let follows = form == FeedForm::ServerSent || !wait.is_zero();
        let waiting = if follows { Some(Waiting::begin(call, &stream)?) } else { None };
        let mut feed = Self {
            readers: call.api.home(&call.principal.tenant_id)?.reads.clone(),
            tenant_id: Arc::clone(&call.principal.tenant_id),
            stream,
            start,
            left: limit.unwrap_or(usize::MAX),
            at_once: LOG_LOOK_ROWS_FIRST,
            form,
            waiting,
            patience: (form == FeedForm::Lines).then_some(wait),
            sent_at: Instant::now(),
            event_at: Instant::now(),
            looked_at_key: Instant::now(),
            catch_up: CatchUp::beside(call.api),
            worked: Duration::ZERO,
            behind: 0,
            first: None,
            is_at_end: false,
            is_over: false,
        };
        let first = feed.first_chunk(call.api).await?;
        feed.first = Some(first);
        Ok(feed)
    }

    async fn first_chunk(&mut self, api: &Api) -> Result<Chunk, Problem> {
        loop {
            return match self.look().await {
                Ok(Next::Chunk(chunk)) => Ok(chunk),
                Ok(Next::Nothing | Next::End) => Ok(match (&self.start, self.form) {
                    (Start::Cursor(cursor), FeedForm::ServerSent) => Chunk::position(cursor),
                    _ => Chunk::Sign(None),
                }),
                Err(ReadError::NotFound(_)) if self.may_begin().await => continue,
                Err(error) => Err(problem(api, error)),
            };
        }
    }

    /// Whether another look for a stream that is not there is worth it: lines wait for its first event as for any.
    async fn may_begin(&mut self) -> bool {
        let (Some(waiting), Some(patience)) = (&mut self.waiting, self.patience) else { return false };
        if let Start::Latest = self.start {
            // It begins after it was asked for.
            self.start = Start::Earliest;
        }
        waiting.wait(patience.saturating_sub(self.event_at.elapsed())).await == Waited::Look
    }

    /// The answer, made while it is sent.
    pub fn answer(self) -> Response<Body> {
        let content_type = match self.form {
            FeedForm::Lines => "application/x-ndjson",
            FeedForm::ServerSent => "text/event-stream",
        };
        let chunks = stream::try_unfold(self, async |mut feed| {
            let chunk = feed.next().await?;
            Ok::<_, io::Error>(chunk.map(|chunk| (chunk, feed)))
        });
        let pieces = chunks.map_ok(|chunk| stream::iter(chunk.map(Ok))).try_flatten();
        let mut response = answer(StatusCode::OK, content_type, streamed(pieces.boxed()));
        // Proxies that know it pass on what comes at once.
        response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }

    /// What is sent next; None at the end. An error cuts the answer off.
    async fn next(&mut self) -> io::Result<Option<Chunk>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        loop {
            if self.is_over || self.left == 0 {
                return Ok(None);
            }
            match self.go_on().await {
                Ok(Next::Chunk(chunk)) => {
                    self.sent_at = Instant::now();
                    return Ok(Some(chunk));
                }
                Ok(Next::Nothing) => {}
                Ok(Next::End) => return Ok(None),
                Err(error) => return self.broken(error),
            }
        }
    }

    async fn go_on(&mut self) -> Result<Next, ReadError> {
        if !self.is_at_end {
            if !self.is_permitted().await {
                return Ok(Next::End);
            }
            self.catch_up.give_way(self.behind, std::mem::take(&mut self.worked)).await;
            return self.patient_look().await;
        }
        let Some(waiting) = &mut self.waiting else { return Ok(Next::End) };
        let silence = match self.form {
            FeedForm::ServerSent => STREAM_HEARTBEAT.saturating_sub(self.sent_at.elapsed()),
            FeedForm::Lines => Duration::MAX,
        };
        let patience = self.patience.map_or(Duration::MAX, |patience| patience.saturating_sub(self.event_at.elapsed()));
        match waiting.wait(silence.min(patience)).await {
            Waited::Look => self.patient_look().await,
            Waited::Enough if silence < patience => Ok(Next::Chunk(Chunk::heartbeat())),
            Waited::Enough | Waited::Over => Ok(Next::End),
        }
    }

    /// Who is behind and never waits is asked for its key as well.
    async fn is_permitted(&mut self) -> bool {
        let Some(waiting) = &self.waiting else { return true };
        if self.looked_at_key.elapsed() < STREAM_KEY_LOOK {
            return true;
        }
        self.looked_at_key = Instant::now();
        !waiting.is_stopping() && waiting.is_permitted().await
    }

    /// What has begun is not broken off because there is no reader, or no memory, at once; nor are events, because the
    /// database is away: a browser that is refused when it connects again does not come back.
    async fn patient_look(&mut self) -> Result<Next, ReadError> {
        let begun = Instant::now();
        loop {
            let is_patient = self.form == FeedForm::ServerSent;
            let pause = match self.look().await {
                Err(ReadError::Busy { retry_after, .. })
                    if is_patient || begun.elapsed() + retry_after < EXPORT_WAIT_MAX =>
                {
                    retry_after
                }
                Err(ReadError::Storage(error)) if is_patient => {
                    tracing::debug!(%error, "a stream of events waits for the database");
                    STREAM_AWAY_PAUSE
                }
                found => return found,
            };
            tokio::time::sleep(pause).await;
            if is_patient {
                let is_silent = self.sent_at.elapsed() >= STREAM_HEARTBEAT;
                return Ok(if is_silent { Next::Chunk(Chunk::heartbeat()) } else { Next::Nothing });
            }
        }
    }

    async fn look(&mut self) -> Result<Next, ReadError> {
        let _turn = match &mut self.waiting {
            Some(waiting) => Some(waiting.look().await),
            None => None,
        };
        // Where there is no memory for so many, there is for fewer.
        let at_once = std::mem::replace(&mut self.at_once, LOG_LOOK_ROWS_FIRST);
        let begun = Instant::now();
        let (page, room) = self.read(at_once).await?;
        (self.worked, self.behind) = (begun.elapsed(), page.left());
        let chunk = if page.data.is_empty() { None } else { Some(Chunk::events(self.form, &page, room)?) };
        self.is_at_end = !page.has_more();
        self.at_once = STREAM_PAGE_ROWS;
        self.start = Start::Cursor(page.cursor);
        let Some(chunk) = chunk else { return Ok(Next::Nothing) };
        count(page.data.len());
        self.left -= page.data.len();
        self.event_at = Instant::now();
        Ok(Next::Chunk(chunk))
    }

    async fn read(&self, at_once: usize) -> Result<(LogPage, Reservation), ReadError> {
        let reads = self.readers.begin(&self.tenant_id).await?;
        let limit = PageLimit { events: self.left.min(at_once), text_bytes: LOG_LOOK_TEXT_BYTES_MAX };
        let page = reads.stream_page(self.readers.logs(), &self.tenant_id, &self.stream, &self.start, limit).await?;
        Ok((page, reads.into_reservation()))
    }

    /// Who reads events is told what it cannot find out by connecting again; else it is to do that.
    fn broken(&mut self, error: ReadError) -> io::Result<Option<Chunk>> {
        self.is_over = true;
        match (self.form, error) {
            (FeedForm::ServerSent, ReadError::Gone(gone)) => {
                Ok(Some(Chunk::problem(crate::http::reads::gone_problem(&gone).answer().body())))
            }
            (_, error) => {
                tracing::debug!(?error, "a stream broke off");
                Err(io::Error::other("the stream broke off"))
            }
        }
    }
}
