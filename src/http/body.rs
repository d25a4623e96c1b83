//! Reading a request body: bounded in bytes, time and memory, decompressed while it comes in.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::CONTENT_ENCODING;
use hyper::{HeaderMap, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::problem::Problem;
use crate::ingest::{Budget, Reservation};
use crate::limits::{BODY_TIMEOUT, KIB};

/// Taken from the budget before a body of unknown length is read.
const FIRST_RESERVATION_BYTES: usize = 64 * KIB;
/// Largest zstd window accepted, as a power of two: 16 MiB, more than any level without `--ultra` uses.
const ZSTD_WINDOW_LOG_MAX: u32 = 24;

enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// Where decompressed bytes go: a buffer that refuses to grow past its limit or the budget.
struct Sink {
    bytes: Vec<u8>,
    bytes_max: usize,
    reservation: Reservation,
    refused: Option<Refused>,
}

#[derive(Clone, Copy)]
enum Refused {
    TooLarge,
    NoMemory,
}

impl Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let size = self.bytes.len() + data.len();
        if size > self.bytes_max {
            self.refused = Some(Refused::TooLarge);
        } else if size > self.bytes.capacity() {
            // Grown by doubling, so that the budget knows of the capacity and not only of what is filled.
            let capacity = size.max(2 * self.bytes.capacity()).min(self.bytes_max);
            if self.reservation.grow_to(capacity) {
                self.bytes.reserve_exact(capacity - self.bytes.len());
            } else {
                self.refused = Some(Refused::NoMemory);
            }
        }
        if self.refused.is_some() {
            return Err(io::Error::other("refused"));
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Decoder {
    Identity(Sink),
    Gzip(Box<MultiGzDecoder<Sink>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Sink>>),
}

impl Decoder {
    fn new(encoding: &Encoding, sink: Sink) -> io::Result<Self> {
        Ok(match encoding {
            Encoding::Identity => Self::Identity(sink),
            Encoding::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(sink))),
            Encoding::Zstd => {
                let mut decoder = zstd::stream::write::Decoder::new(sink)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Self::Zstd(Box::new(decoder))
            }
        })
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Identity(sink) => sink.write_all(data),
            Self::Gzip(decoder) => decoder.write_all(data),
            Self::Zstd(decoder) => decoder.write_all(data),
        }
    }

    fn sink(&self) -> &Sink {
        match self {
            Self::Identity(sink) => sink,
            Self::Gzip(decoder) => decoder.get_ref(),
            Self::Zstd(decoder) => decoder.get_ref(),
        }
    }

    fn finish(self) -> io::Result<Sink> {
        match self {
            Self::Identity(sink) => Ok(sink),
            Self::Gzip(decoder) => decoder.finish(),
            Self::Zstd(mut decoder) => {
                decoder.flush()?;
                Ok(decoder.into_inner())
            }
        }
    }
}

/// Reads a body of at most `bytes_max` bytes, after decompression as well as before.
pub async fn read(
    headers: &HeaderMap,
    mut incoming: Incoming,
    bytes_max: usize,
    budget: &Arc<Budget>,
) -> Result<(Bytes, Reservation), Problem> {
    let encoding = encoding(headers)?;
    let announced = incoming.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if announced.is_some_and(|bytes| bytes > bytes_max) {
        return Err(too_large(bytes_max));
    }
    let first = announced.unwrap_or(FIRST_RESERVATION_BYTES);
    let reservation = budget.reserve(first).ok_or_else(no_memory)?;
    let sink = Sink { bytes: Vec::with_capacity(first), bytes_max, reservation, refused: None };
    let mut decoder = Decoder::new(&encoding, sink).map_err(|error| undecodable(&error))?;
    let deadline = Instant::now() + BODY_TIMEOUT;
    let mut raw_bytes = 0;
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
        raw_bytes += data.len();
        if raw_bytes > bytes_max {
            return Err(too_large(bytes_max));
        }
        if let Err(error) = decoder.write(&data) {
            return Err(match decoder.sink().refused {
                Some(Refused::TooLarge) => too_large(bytes_max),
                Some(Refused::NoMemory) => no_memory(),
                None => undecodable(&error),
            });
        }
    }
    let refused = decoder.sink().refused;
    match (decoder.finish(), refused) {
        (Ok(sink), _) => Ok((sink.bytes.into(), sink.reservation)),
        (Err(_), Some(Refused::TooLarge)) => Err(too_large(bytes_max)),
        (Err(_), Some(Refused::NoMemory)) => Err(no_memory()),
        (Err(error), None) => Err(undecodable(&error)),
    }
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

fn no_memory() -> Problem {
    Problem::unavailable("overloaded", "requests of other senders fill the memory set aside for bodies", 1)
}

fn undecodable(error: &io::Error) -> Problem {
    Problem::bad_request("undecodable_body", format!("the body is not what Content-Encoding says: {error}"))
}
