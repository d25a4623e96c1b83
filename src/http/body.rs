//! Reading a request body: bounded in bytes, time and memory, decompressed while it comes in.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::CONTENT_ENCODING;
use hyper::{HeaderMap, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::decompress::{Decoder, Encoding, Refused, Sink};
use super::problem::Problem;
use super::quota::Memory;
use crate::ingest::Reservation;
use crate::limits::{BODY_TIMEOUT, KIB, MIB};

/// Taken from the budget, at most, before a body is read.
const FIRST_RESERVATION_BYTES: usize = 64 * KIB;
/// Read and thrown away after a refusal, at most.
const DRAIN_BYTES_MAX: usize = 16 * MIB;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads a body of at most `bytes_max` bytes, after decompression as well as before; counts into `raw_bytes` what came.
pub async fn read(
    headers: &HeaderMap,
    incoming: &mut Incoming,
    bytes_max: usize,
    memory: &Memory<'_>,
    raw_bytes: &mut usize,
) -> Result<(Bytes, Reservation), Problem> {
    let encoding = encoding(headers)?;
    let announced = incoming.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if announced.is_some_and(|bytes| bytes > bytes_max) {
        return Err(too_large(bytes_max));
    }
    // What is only announced takes no memory from others; a body that comes takes it as it comes.
    let first = announced.map_or(FIRST_RESERVATION_BYTES, |bytes| bytes.min(FIRST_RESERVATION_BYTES));
    let reservation = memory.reserve(first)?;
    let sink = Sink::new(first, bytes_max, reservation);
    let mut decoder = Decoder::new(&encoding, sink).map_err(|error| undecodable(&error))?;
    let deadline = Instant::now() + BODY_TIMEOUT;
    loop {
        let frame = match timeout_at(deadline, incoming.frame()).await {
            Err(_) => return Err(too_slow()),
            Ok(None) => break,
            Ok(Some(Err(error))) => {
                return Err(Problem::bad_request("body_incomplete", format!("the body could not be read: {error}")));
            }
            Ok(Some(Ok(frame))) => frame,
        };
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
    match (decoder.finish(), refused) {
        (Ok(sink), _) => Ok(sink.into_parts()),
        (Err(_), Some(Refused::TooLarge)) => Err(too_large(bytes_max)),
        (Err(_), Some(Refused::NoMemory(no_room))) => Err(memory.refused(no_room)),
        (Err(error), None) => Err(undecodable(&error)),
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

fn encoding(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let mut named = headers.get_all(CONTENT_ENCODING).iter();
    let (first, second) = (named.next(), named.next());
    match (first.map(|value| value.as_bytes().to_ascii_lowercase()).as_deref(), second) {
        (None | Some(b"identity" | b""), None) => Ok(Encoding::Identity),
        (Some(b"gzip" | b"x-gzip"), None) => Ok(Encoding::Gzip),
        (Some(b"zstd"), None) => Ok(Encoding::Zstd),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            "Content-Encoding must be gzip, zstd or identity, and only one of them",
        )),
    }
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!(
            "the body is larger than limits.body_bytes, {bytes_max} bytes after decompression; send smaller batches"
        ),
    )
}

fn too_slow() -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "body_timeout",
        format!("the body did not arrive within {} s", BODY_TIMEOUT.as_secs()),
    )
}

fn undecodable(error: &io::Error) -> Problem {
    Problem::bad_request("undecodable_body", format!("the body is not what Content-Encoding says: {error}"))
}
