//! Reading a request body: bounded in bytes, time and memory, decompressed while it comes in, and charged to its key.

use std::error::Error as _;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, Incoming};
use hyper::{HeaderMap, StatusCode};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Api;
use super::deadline::timed_out;
use super::decompress::Decompressor;
use super::quota::{self, Memory};
use super::sink::{BodySink, Refused, Unfinished};
use crate::budget::Reservation;
use crate::config::HttpConfig;
use crate::limits::{KIB, MIB, SMALL_BODY_BYTES_MAX};
use crate::protocols::{Encoding, Problem, ProblemCode};
use crate::tenancy::{Charge, Principal};

/// Taken from the budget, at most, before a body is read.
const FIRST_RESERVATION_BYTES: usize = 64 * KIB;
/// Read and thrown away after a refusal, at most.
const DRAIN_BYTES_MAX: usize = 16 * MIB;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads a body on the account of its key: the bytes announced are taken before any is read, and settled to those that
/// came.
pub async fn read(
    api: &Api,
    principal: &Principal,
    encoding: Result<Encoding, Problem>,
    incoming: &mut Incoming,
) -> Result<(Bytes, Reservation, Arc<Charge>), Problem> {
    // More than the largest body is refused without being read.
    let announced = incoming.size_hint().exact().unwrap_or(0).min(api.limits.now().body_bytes as u64);
    let now = std::time::Instant::now;
    let charge = api.limiter.begin(principal.id(), principal.limits, announced, now()).map_err(quota::rate_limited)?;
    let memory = Memory { ingest: &api.ingest, tenant_id: &principal.tenant_id };
    let mut raw_bytes = 0;
    let bytes_max = api.limits.now().body_bytes;
    let read = match encoding {
        Ok(encoding) => receive(encoding, incoming, bytes_max, &memory, &api.timeouts, &mut raw_bytes).await,
        Err(problem) => Err(problem),
    };
    match read {
        Ok((bytes, reservation)) => {
            charge.settle_bytes(bytes.len() as u64, now());
            Ok((bytes, reservation, Arc::new(charge)))
        }
        Err(problem) => {
            charge.settle_bytes(raw_bytes as u64, now());
            Err(quota::unpaid(problem, &charge))
        }
    }
}

/// Reads a small body, such as administrators and consumers send; no quota of a key counts it.
pub async fn small(
    api: &Api,
    tenant_id: &Arc<str>,
    headers: &HeaderMap,
    incoming: &mut Incoming,
) -> Result<Bytes, Problem> {
    let memory = Memory { ingest: &api.ingest, tenant_id };
    let encoding = Encoding::of(headers, &[Encoding::Identity, Encoding::Gzip, Encoding::Zstd])?;
    let received = receive(encoding, incoming, SMALL_BODY_BYTES_MAX, &memory, &api.timeouts, &mut 0).await?;
    Ok(Bytes::from_owner(Small(received)))
}

/// With the memory that was taken for it.
struct Small((Bytes, Reservation));

impl AsRef<[u8]> for Small {
    fn as_ref(&self) -> &[u8] {
        &self.0.0
    }
}

/// Receives a body of at most `bytes_max` bytes, after decompression as well as before, that comes in time; counts into
/// `raw_bytes` what came.
async fn receive(
    encoding: Encoding,
    incoming: &mut Incoming,
    bytes_max: usize,
    memory: &Memory<'_>,
    timeouts: &HttpConfig,
    raw_bytes: &mut usize,
) -> Result<(Bytes, Reservation), Problem> {
    let announced = incoming.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if announced.is_some_and(|bytes| bytes > bytes_max) {
        return Err(too_large(bytes_max));
    }
    // What is only announced takes no memory from others; a body that comes takes it as it comes.
    let first = announced.map_or(FIRST_RESERVATION_BYTES, |bytes| bytes.min(FIRST_RESERVATION_BYTES));
    let reservation = memory.reserve(first)?;
    let sink = BodySink::new(first, bytes_max, reservation);
    let mut decoder = Decompressor::new(encoding, sink).map_err(|error| undecodable(&error))?;
    let mut pace = Pace::new(timeouts);
    let mut timer = pin!(sleep_until(pace.due()));
    loop {
        let Some(frame) = pace.next(incoming, timer.as_mut(), *raw_bytes).await? else { break };
        let Ok(data) = frame.into_data() else { continue };
        *raw_bytes += data.len();
        if *raw_bytes > bytes_max {
            return Err(too_large(bytes_max));
        }
        if let Err(error) = decoder.write(&data) {
            return Err(match decoder.refused() {
                Some(Refused::TooLarge) => too_large(bytes_max),
                Some(Refused::NoMemory(no_room)) => memory.refused(no_room),
                None => undecodable(&error),
            });
        }
    }
    let refused = decoder.refused();
    match decoder.finish().map_err(|unfinished| refused.map_or(unfinished, Unfinished::Refused)) {
        Ok(sink) => Ok(sink.into_parts()),
        Err(Unfinished::Refused(Refused::TooLarge)) => Err(too_large(bytes_max)),
        Err(Unfinished::Refused(Refused::NoMemory(no_room))) => Err(memory.refused(no_room)),
        Err(Unfinished::Broken(error)) => Err(undecodable(&error)),
    }
}

/// How fast a body must come: it has a deadline as a whole, and in every span a part to bring, so that one that stalls
/// gives its memory back early.
struct Pace<'a> {
    timeouts: &'a HttpConfig,
    deadline: Instant,
    span_end: Instant,
    /// By when the body must have brought so many bytes, as it came over the wire.
    span_goal: usize,
}

impl<'a> Pace<'a> {
    fn new(timeouts: &'a HttpConfig) -> Self {
        let now = Instant::now();
        let mut pace = Self { timeouts, deadline: now + timeouts.body, span_end: now, span_goal: 0 };
        pace.begin_span(now, 0);
        pace
    }

    fn begin_span(&mut self, now: Instant, raw_bytes: usize) {
        self.span_end = now + self.timeouts.body_stall;
        let share = self.timeouts.body_rate as u128 * self.timeouts.body_stall.as_millis() / 1000;
        self.span_goal = raw_bytes.saturating_add(usize::try_from(share).unwrap_or(usize::MAX).max(1));
    }

    /// The next moment at which the body may turn out to be too slow.
    fn due(&self) -> Instant {
        self.deadline.min(self.span_end)
    }

    /// The next frame; `raw_bytes` have come before it. `timer` is that of the whole body: one for each frame would
    /// cost more than the frame.
    async fn next(
        &mut self,
        incoming: &mut Incoming,
        mut timer: Pin<&mut Sleep>,
        raw_bytes: usize,
    ) -> Result<Option<Frame<Bytes>>, Problem> {
        loop {
            tokio::select! {
                biased;
                frame = incoming.frame() => return frame.transpose().map_err(|error| incomplete(&error)),
                () = timer.as_mut() => {
                    if self.deadline <= timer.deadline() {
                        timed_out("body");
                        return Err(too_slow(format!("did not arrive within {:?}", self.timeouts.body)));
                    }
                    if raw_bytes < self.span_goal {
                        timed_out("body");
                        let (rate, span) = (self.timeouts.body_rate, self.timeouts.body_stall);
                        return Err(too_slow(format!("brought less than {rate} bytes a second over {span:?}")));
                    }
                    self.begin_span(timer.deadline(), raw_bytes);
                    timer.as_mut().reset(self.due());
                }
            }
        }
    }
}

/// Reads on for a moment and throws away what comes: a sender that is still writing when its request is refused would
/// otherwise find the connection broken and never see why.
pub async fn drain(incoming: &mut Incoming) {
    let mut left = DRAIN_BYTES_MAX;
    let read = async {
        while let Some(Ok(frame)) = incoming.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, bytes::Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    // Whether it came to the end or not, the answer goes out now.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, read).await;
}

/// A body, or what was made of it, that is larger than bodies may be.
pub fn too_large(bytes_max: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        ProblemCode::BodyTooLarge,
        format!(
            "the body is larger than it may be here, {bytes_max} bytes after decompression (limits.body_bytes for items): \
             send less at once"
        ),
    )
}

/// Items that take more memory than their organization can have.
pub fn too_much_made(bytes_max: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        ProblemCode::BodyTooLarge,
        format!(
            "the body and what is made of it are more than the {bytes_max} bytes that an organization's requests may take here \
             (a part of limits.memory_bytes): send less at once"
        ),
    )
}

fn too_slow(how: String) -> Problem {
    let detail = format!("the body {how}; send smaller batches, or over a faster connection");
    Problem::new(StatusCode::REQUEST_TIMEOUT, ProblemCode::BodyTimeout, detail)
}

fn incomplete(error: &hyper::Error) -> Problem {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match source.map(io::Error::kind) {
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => Problem::bad_request(
            ProblemCode::AmbiguousFraming,
            "where the body ends is not clear: the framing of its chunks is wrong",
        ),
        _ => Problem::bad_request(ProblemCode::BodyIncomplete, format!("the body could not be read: {error}")),
    }
}

fn undecodable(error: &io::Error) -> Problem {
    Problem::bad_request(ProblemCode::UndecodableBody, format!("the body cannot be decompressed: {error}"))
}
