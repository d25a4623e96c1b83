//! Sends the requests of a feed over HTTP until each is answered for good, and keeps the books of it.
//!
//! Every request has an Idempotency-Key of its own; what is refused for the moment (429, 503) or got no answer is sent
//! again under the same key. Latency is counted from the moment when a request was due, so that a server that stalls does
//! not hide by making the generator wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::feed::{Feed, Shot};
use super::http::{Connection, Reply, address, head};
use super::target::Target;
use super::{Result, as_f64};

/// Attempts of one request; a server that refuses longer than this is not measured.
const ATTEMPTS_MAX: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);
/// Retry-After is obeyed up to this.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The books of one measurement.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sent {
    /// Requests answered for good.
    pub requests: u64,
    /// Events in them.
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
    /// Latency of every request, in microseconds, sorted.
    #[serde(skip)]
    pub latencies_us: Vec<u64>,
}

#[derive(Deserialize)]
struct Answer {
    status: serde_json::Value,
    accepted: u64,
    rejected: u64,
}

/// What a sender needs to know of the server.
pub struct Sender {
    address: std::net::SocketAddr,
    heads: Vec<String>,
    run: String,
    /// What is refused for the moment is not sent again.
    takes_no: bool,
    /// Events answered so far: what others watch while it runs.
    pub safe: Arc<AtomicU64>,
}

impl Sender {
    /// Of events, for the tenants of `target`, whose numbers are those of the feed.
    pub fn new(target: &Target) -> Result<Self> {
        Self::to(target, "/v1/events")
    }

    /// The same of what `path` takes.
    pub fn to(target: &Target, path: &str) -> Result<Self> {
        Self::with(target, path, &target.keys, false)
    }

    /// Of events with one key; it takes no for an answer: what is refused is not sent again, nor counted but by its status.
    pub fn that_takes_no(target: &Target, key: &str) -> Result<Self> {
        Self::with(target, "/v1/events", &[key.to_owned()], true)
    }

    fn with(target: &Target, path: &str, keys: &[String], takes_no: bool) -> Result<Self> {
        let host = target.url.trim_start_matches("http://");
        let head =
            |key: &String| head("POST", path, host, key) + "Content-Type: application/x-ndjson\r\nIdempotency-Key: ";
        Ok(Self {
            address: address(&target.url)?,
            heads: keys.iter().map(head).collect(),
            run: Uuid::now_v7().simple().to_string(),
            takes_no,
            safe: Arc::default(),
        })
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
        total.latencies_us.sort_unstable();
        Ok(total)
    }

    async fn work(&self, feed: &Feed, started: Instant) -> Result<Sent> {
        let (mut sent, mut request) = (Sent::default(), Vec::new());
        let mut connection = Connection::open(self.address).await?;
        while let Some(shot) = feed.take(started) {
            if let Some(due) = shot.due {
                tokio::time::sleep_until((started + due).into()).await;
            }
            let due = shot.due.map_or_else(Instant::now, |due| started + due);
            self.write(&mut request, &shot);
            let reply = self.deliver(&mut connection, &request, &mut sent).await?;
            if self.takes_no && is_for_the_moment(reply.status) {
                continue;
            }
            sent.latencies_us.push(u64::try_from(due.elapsed().as_micros())?);
            let safe = sent.count(shot.template.events, &reply)?;
            self.safe.fetch_add(safe, Ordering::Relaxed);
        }
        Ok(sent)
    }

    fn write(&self, request: &mut Vec<u8>, shot: &Shot<'_>) {
        request.clear();
        request.extend_from_slice(self.heads[shot.tenant].as_bytes());
        let (run, number, length) = (&self.run, shot.number, shot.template.len());
        request.extend_from_slice(format!("{run}-{number}\r\nContent-Length: {length}\r\n\r\n").as_bytes());
        shot.template.append_now(request, shot.round);
    }

    async fn deliver(&self, connection: &mut Connection, request: &[u8], sent: &mut Sent) -> Result<Reply> {
        let mut last = String::new();
        for attempt in 0..ATTEMPTS_MAX {
            sent.retries += u64::from(attempt > 0);
            match connection.exchange(request).await {
                Ok(reply) => {
                    *sent.statuses.entry(reply.status).or_default() += 1;
                    if self.takes_no || !is_for_the_moment(reply.status) {
                        return Ok(reply);
                    }
                    let pause = reply.retry_after_s.map_or(PAUSE, Duration::from_secs);
                    tokio::time::sleep(pause.min(PAUSE_MAX)).await;
                    last = String::from_utf8_lossy(&reply.body).into_owned();
                }
                Err(error) => {
                    last = error.to_string();
                    tokio::time::sleep(PAUSE).await;
                    *connection = Connection::open(self.address).await?;
                }
            }
        }
        Err(format!("a request was not taken in {ATTEMPTS_MAX} attempts, at last: {last}").into())
    }
}

/// Whether the same request may be taken a little later.
fn is_for_the_moment(status: u16) -> bool {
    matches!(status, 409 | 429 | 503)
}

impl Sent {
    /// Enters an answer; returns how many events are safe because of it.
    fn count(&mut self, events: u64, reply: &Reply) -> Result<u64> {
        let unexpected = || format!("status {}: {}", reply.status, String::from_utf8_lossy(&reply.body));
        let answer: Answer = serde_json::from_slice(&reply.body).map_err(|_| unexpected())?;
        if answer.accepted + answer.rejected != events {
            return Err(format!("{events} events sent, but {}", unexpected()).into());
        }
        self.requests += 1;
        self.events += events;
        self.rejected += answer.rejected;
        let account = if answer.status == "spooled" { &mut self.spooled } else { &mut self.committed };
        *account += answer.accepted;
        Ok(answer.accepted)
    }

    fn merge(&mut self, other: Self) {
        self.requests += other.requests;
        self.events += other.events;
        self.committed += other.committed;
        self.spooled += other.spooled;
        self.rejected += other.rejected;
        self.retries += other.retries;
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.latencies_us.extend(other.latencies_us);
    }

    /// Events that the server promised to keep.
    pub fn accepted(&self) -> u64 {
        self.committed + self.spooled
    }

    /// The latency that `permille` of all requests did not exceed, in milliseconds; 0 without requests.
    pub fn latency_ms(&self, permille: usize) -> f64 {
        percentile(&self.latencies_us, permille).map_or(0.0, |us| as_f64(us) / 1000.0)
    }
}

/// The smallest of some sorted values that `permille` of them do not exceed.
pub fn percentile<T: Copy>(sorted: &[T], permille: usize) -> Option<T> {
    let rank = (sorted.len() * permille).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, retry_after_s: None, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn answers_are_entered_where_they_belong() {
        let mut sent = Sent::default();
        let committed = reply(200, r#"{"status":"committed","accepted":9,"rejected":1}"#);
        let spooled = reply(202, r#"{"status":"spooled","accepted":10,"rejected":0}"#);
        assert_eq!(sent.count(10, &committed).expect("ten"), 9);
        assert_eq!(sent.count(10, &spooled).expect("ten"), 10);
        assert_eq!((sent.committed, sent.spooled, sent.rejected, sent.accepted()), (9, 10, 1, 19));
    }

    #[test]
    fn an_answer_that_leaves_events_out_ends_the_measurement() {
        let mut sent = Sent::default();
        assert!(sent.count(10, &reply(200, r#"{"status":"committed","accepted":9,"rejected":0}"#)).is_err());
        assert!(sent.count(10, &reply(401, r#"{"status":401,"code":"unauthorized"}"#)).is_err());
        assert_eq!(sent.accepted(), 0);
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let values: Vec<u64> = (1..=200).collect();
        assert_eq!([1, 500, 990, 1000].map(|p| percentile(&values, p)), [1, 100, 198, 200].map(Some));
        assert_eq!(percentile::<u64>(&[], 500), None);
    }
}
