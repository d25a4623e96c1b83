//! Sends the requests of a feed over HTTP until each is answered for good, and keeps the books of it.
//!
//! Every request has an Idempotency-Key of its own; what is refused for the moment (429, 503) or got no answer is sent
//! again under the same key. Latency is counted from the moment when a request was due, so that a server that stalls does
//! not hide by making the generator wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Uri};
use serde::Deserialize;
use tidegate::load::{Connection, Endpoint, HttpReply, Latencies};
use tidegate::model::Kind;
use uuid::Uuid;

use super::common::Result;
use super::feed::{Feed, Shot};
use super::target::Target;

/// Attempts of one request; a server that refuses longer than this is not measured.
const ATTEMPTS_MAX: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);
/// Retry-After is obeyed up to this.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Longer than any deadline of the server.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// The books of one measurement.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// Events in requests that were answered for good.
    pub events: u64,
    /// Events that were in the database when the answer came.
    pub committed: u64,
    /// Events that were in the spool when the answer came.
    pub spooled: u64,
    /// Events refused one by one.
    pub rejected: u64,
    /// Attempts beyond each request's first.
    pub retries: u64,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    pub latencies: Latencies,
}

#[derive(Deserialize)]
struct Answer {
    status: serde_json::Value,
    accepted: u64,
    rejected: u64,
    receipt: Option<Uuid>,
}

/// Hears of every request that is answered for good: its receipt, and when the answer came.
type Hear = dyn Fn(Uuid, Instant) + Send + Sync;

/// What a sender needs to know of the server.
pub struct Sender {
    endpoint: Arc<Endpoint>,
    path: Uri,
    authorizations: Vec<HeaderValue>,
    run: String,
    takes_no: bool,
    hear: Option<Arc<Hear>>,
    /// Events answered so far: what others watch while it runs.
    pub safe: Arc<AtomicU64>,
}

impl Sender {
    /// Of the tenants with these keys, whose numbers are those of the feed.
    pub fn new(target: &Target, kind: Kind, keys: &[String]) -> Result<Self> {
        Self::at(Arc::clone(&target.endpoint), kind, keys)
    }

    /// The same of a server that is not a target.
    pub fn at(endpoint: Arc<Endpoint>, kind: Kind, keys: &[String]) -> Result<Self> {
        Ok(Self {
            path: endpoint.path(&format!("/v1/{}", kind.table()))?,
            endpoint,
            authorizations: keys.iter().map(|key| bearer(key)).collect::<Result<_>>()?,
            run: Uuid::now_v7().simple().to_string(),
            takes_no: false,
            hear: None,
            safe: Arc::default(),
        })
    }

    /// To another node of the same database.
    pub fn to(self, endpoint: Arc<Endpoint>) -> Self {
        Self { endpoint, ..self }
    }

    /// What is refused is not sent again, nor counted but by its status.
    pub fn that_takes_no(self) -> Self {
        Self { takes_no: true, ..self }
    }

    /// Somebody hears of every answer.
    pub fn heard_by(self, hear: impl Fn(Uuid, Instant) + Send + Sync + 'static) -> Self {
        Self { hear: Some(Arc::new(hear)), ..self }
    }

    /// Sends all of `feed` on `connections` connections.
    pub async fn send(self, feed: Feed, connections: usize) -> Result<Sent> {
        let (sender, feed, started) = (Arc::new(self), Arc::new(feed), Instant::now());
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..connections {
            let (sender, feed) = (Arc::clone(&sender), Arc::clone(&feed));
            workers.spawn(async move { sender.work(&feed, started).await });
        }
        let mut total = Sent::default();
        while let Some(worker) = workers.join_next().await {
            total.merge(worker??);
        }
        Ok(total)
    }

    async fn work(&self, feed: &Feed, started: Instant) -> Result<Sent> {
        let mut sent = Sent::default();
        let mut connection = Connection::new(Arc::clone(&self.endpoint));
        while let Some(shot) = feed.take(started) {
            if let Some(due) = shot.due {
                tokio::time::sleep_until((started + due).into()).await;
            }
            let due = shot.due.map_or_else(Instant::now, |due| started + due);
            let reply = self.deliver(&mut connection, &shot, &mut sent).await?;
            if self.takes_no && is_for_the_moment(reply.status.as_u16()) {
                continue;
            }
            let answered_at = Instant::now();
            sent.latencies.record(answered_at.duration_since(due));
            let answer = sent.count(shot.template.events, &reply)?;
            if let (Some(hear), Some(receipt)) = (&self.hear, answer.receipt) {
                hear(receipt, answered_at);
            }
            self.safe.fetch_add(answer.accepted, Ordering::Relaxed);
        }
        Ok(sent)
    }

    async fn deliver(&self, connection: &mut Connection, shot: &Shot<'_>, sent: &mut Sent) -> Result<HttpReply> {
        let mut body = Vec::new();
        shot.template.append_now(&mut body, shot.round);
        let body = Bytes::from(body);
        let key = format!("{}-{}", self.run, shot.number);
        let mut last = String::new();
        for attempt in 0..ATTEMPTS_MAX {
            sent.retries += u64::from(attempt > 0);
            let request = Request::post(self.path.clone())
                .header(AUTHORIZATION, &self.authorizations[shot.tenant])
                .header(CONTENT_TYPE, "application/x-ndjson")
                .header("idempotency-key", &key)
                .body(Full::new(body.clone()))?;
            let pause = match connection.send(request, TIMEOUT).await {
                Ok(reply) => {
                    let status = reply.status.as_u16();
                    *sent.statuses.entry(status).or_default() += 1;
                    if self.takes_no || !is_for_the_moment(status) {
                        return Ok(reply);
                    }
                    last = String::from_utf8_lossy(&reply.body).into_owned();
                    reply.retry_after()
                }
                Err(lost) => {
                    last = lost.to_string();
                    None
                }
            };
            tokio::time::sleep(pause.unwrap_or(PAUSE).min(PAUSE_MAX)).await;
        }
        Err(format!("a request was not taken in {ATTEMPTS_MAX} attempts, at last: {last}").into())
    }
}

/// The value of Authorization.
pub fn bearer(key: &str) -> Result<HeaderValue> {
    Ok(HeaderValue::from_str(&format!("Bearer {key}"))?)
}

/// Whether the same request may be taken a little later.
fn is_for_the_moment(status: u16) -> bool {
    matches!(status, 409 | 429 | 503)
}

impl Sent {
    /// Enters an answer.
    fn count(&mut self, events: u64, reply: &HttpReply) -> Result<Answer> {
        let unexpected = || format!("status {}: {}", reply.status, String::from_utf8_lossy(&reply.body));
        let answer: Answer = serde_json::from_slice(&reply.body).map_err(|_| unexpected())?;
        if answer.accepted + answer.rejected != events {
            return Err(format!("{events} events sent, but {}", unexpected()).into());
        }
        self.events += events;
        self.rejected += answer.rejected;
        let account = if answer.status == "spooled" { &mut self.spooled } else { &mut self.committed };
        *account += answer.accepted;
        Ok(answer)
    }

    fn merge(&mut self, other: Self) {
        self.events += other.events;
        self.committed += other.committed;
        self.spooled += other.spooled;
        self.rejected += other.rejected;
        self.retries += other.retries;
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.latencies.merge(&other.latencies);
    }

    /// Events that the server promised to keep.
    pub fn accepted(&self) -> u64 {
        self.committed + self.spooled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &'static str) -> HttpReply {
        let status = hyper::StatusCode::from_u16(status).expect("a status");
        HttpReply { status, headers: hyper::HeaderMap::new(), body: Bytes::from_static(body.as_bytes()) }
    }

    #[test]
    fn answers_are_entered_where_they_belong_and_none_may_leave_events_out() {
        let mut sent = Sent::default();
        let mut count = |status, body| sent.count(10, &reply(status, body)).map(|answer| answer.accepted);
        assert_eq!(count(200, r#"{"status":"committed","accepted":9,"rejected":1}"#).expect("ten"), 9);
        assert_eq!(count(202, r#"{"status":"spooled","accepted":10,"rejected":0}"#).expect("ten"), 10);
        assert!(count(200, r#"{"status":"committed","accepted":9,"rejected":0}"#).is_err());
        assert!(count(401, r#"{"status":401,"code":"unauthorized"}"#).is_err());
        assert_eq!((sent.committed, sent.spooled, sent.rejected, sent.accepted()), (9, 10, 1, 19));
    }
}
