//! Delivering one request until it is answered for good: the same body with the same idempotency key, again and again.
//!
//! What may be tried again is decided here. With a key everything may: the server executes it once. Without one, only
//! what the server certainly did not execute.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Uri};
use serde::Deserialize;

use super::client::{Connection, Endpoint, HttpReply, Lost};
use super::feed::LoadRequest;
use super::report::{AnswerCounts, WorkerTally};
use crate::rng::Rng;

#[derive(Clone, Debug)]
pub(crate) struct RetryPolicy {
    /// Attempts after the first.
    pub(crate) retries_max: u32,
    /// First wait between attempts; doubled each time.
    pub(crate) backoff_min: Duration,
    pub(crate) backoff_max: Duration,
    /// Longest `Retry-After` that is obeyed in full.
    pub(crate) retry_after_max: Duration,
    /// One attempt, from connecting to the end of the answer.
    pub(crate) attempt_timeout: Duration,
    /// For requests in flight when the run ends; then they are given up.
    pub(crate) grace: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retries_max: 50,
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(5),
            retry_after_max: Duration::from_secs(60),
            // The server's own deadlines, body and write together, are 45 s.
            attempt_timeout: Duration::from_secs(60),
            grace: Duration::from_secs(20),
        }
    }
}

/// What all requests of a run have in common.
pub(crate) struct Delivery {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) path: Uri,
    /// `Authorization` values, one a tenant.
    pub(crate) authorizations: Vec<HeaderValue>,
    /// None: no idempotency keys.
    pub(crate) key_prefix: Option<String>,
    pub(crate) gzip: bool,
    pub(crate) policy: RetryPolicy,
    /// Events known to be safe, for the progress bar.
    pub(crate) safe: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeliveryEnd {
    /// Its counts are in the tally.
    Counted,
    /// Refused as a whole, and it would be again.
    Refused,
    /// Out of retries, or not to be retried.
    Failed,
}

/// An RFC 9457 answer, as far as it is shown.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ProblemBody {
    code: String,
    title: String,
    detail: String,
}

/// Sends one worker's requests over its connection.
pub(crate) struct Courier {
    envelope: Arc<Delivery>,
    connection: Connection,
    jitter: Rng,
}

impl Courier {
    pub(crate) fn new(envelope: Arc<Delivery>, worker: u64) -> Self {
        let connection = Connection::new(envelope.endpoint.clone());
        Self { envelope, connection, jitter: Rng::new(worker) }
    }

    /// Sends a request until it is answered for good or the retries run out. The body's buffer comes back through
    /// `job` for reuse, as far as the connection has let go of it.
    pub(crate) async fn deliver(&mut self, job: &mut LoadRequest, tally: &mut WorkerTally) -> DeliveryEnd {
        tally.begin(job);
        let plain = std::mem::take(&mut job.body);
        let (body, spare) = if self.envelope.gzip { (gzip(&plain), Some(plain)) } else { (plain, None) };
        let body = Bytes::from(body);
        let delivered = self.attempts(job, &body, tally).await;
        job.body = match spare {
            Some(plain) => plain,
            None if body.is_unique() => Vec::from(body),
            None => Vec::new(),
        };
        delivered
    }

    async fn attempts(&mut self, job: &LoadRequest, body: &Bytes, tally: &mut WorkerTally) -> DeliveryEnd {
        let started = Instant::now();
        let envelope = self.envelope.clone();
        let keyed = envelope.key_prefix.is_some();
        let mut attempt = 0;
        loop {
            let result =
                self.connection.send(envelope.request(job, body.clone()), envelope.policy.attempt_timeout).await;
            let (status, code, message, retry, retry_after) = match result {
                Ok(reply) => {
                    let status = reply.status.as_u16();
                    tally.answered(status);
                    if matches!(status, 200 | 202 | 400 | 422)
                        && let Ok(answer) = serde_json::from_slice::<AnswerCounts>(&reply.body)
                    {
                        let safe = tally.count(job, status, answer, started.elapsed());
                        envelope.safe.fetch_add(safe, Ordering::Relaxed);
                        return DeliveryEnd::Counted;
                    }
                    let (code, message) = explain(&reply);
                    (Some(status), code, message, may_retry(status, keyed), reply.retry_after())
                }
                Err(Lost { maybe_sent, message }) => {
                    tally.unanswered(&message);
                    (None, "connection".to_owned(), message, keyed || !maybe_sent, None)
                }
            };
            if !retry || attempt == envelope.policy.retries_max {
                tally.fail(job.events, status, &code, &message);
                return if status.is_some() && !retry { DeliveryEnd::Refused } else { DeliveryEnd::Failed };
            }
            tally.report.retries += 1;
            tokio::time::sleep(self.pause(attempt, retry_after)).await;
            attempt += 1;
        }
    }

    /// How long to wait before the next attempt: what the server asked for, else doubling. A tenth of it is left
    /// to chance, so that the connections do not come back all at once.
    fn pause(&mut self, attempt: u32, retry_after: Option<Duration>) -> Duration {
        let policy = &self.envelope.policy;
        let wait = match retry_after {
            Some(asked) => asked.clamp(policy.backoff_min, policy.retry_after_max),
            None => policy.backoff_min.saturating_mul(1 << attempt.min(20)).min(policy.backoff_max),
        };
        wait + wait * self.jitter.below(100) / 1000
    }
}

impl Delivery {
    fn request(&self, job: &LoadRequest, body: Bytes) -> Request<Full<Bytes>> {
        let tenant = usize::try_from(job.number % self.authorizations.len() as u64).expect("less than a length");
        let mut request = Request::post(self.path.clone())
            .header(AUTHORIZATION, &self.authorizations[tenant])
            .header(CONTENT_TYPE, job.format.media_type());
        if self.gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        if let Some(prefix) = &self.key_prefix {
            request = request.header("idempotency-key", format!("{prefix}-{}", job.number));
        }
        request.body(Full::new(body)).expect("every part was checked before the run")
    }
}

/// Whether a later attempt may go better, and can do no harm.
fn may_retry(status: u16, keyed: bool) -> bool {
    match status {
        // The server says that it has not stored anything.
        429 | 503 => true,
        // Still busy with the same key, timed out, or broken: stored or not is unknown.
        408 | 409 | 425 | 500 | 502 | 504 => keyed,
        _ => false,
    }
}

fn explain(reply: &HttpReply) -> (String, String) {
    if reply.status.is_success() {
        return ("answer_unreadable".into(), "an answer without receipt and counts: is this a Tidegate?".into());
    }
    let problem: ProblemBody = serde_json::from_slice(&reply.body).unwrap_or_default();
    let message = if problem.detail.is_empty() { problem.title } else { problem.detail };
    let reason = reply.status.canonical_reason().unwrap_or("refused");
    let code = if problem.code.is_empty() { format!("http_{}", reply.status.as_u16()) } else { problem.code };
    (code, if message.is_empty() { reason.to_owned() } else { message })
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("a Vec takes every write")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_key_only_what_was_surely_not_stored_is_tried_again() {
        let retried = |keyed| (100..600).filter(|&status| may_retry(status, keyed)).collect::<Vec<_>>();
        assert_eq!(retried(true), [408, 409, 425, 429, 500, 502, 503, 504]);
        assert_eq!(retried(false), [429, 503]);
    }
}
