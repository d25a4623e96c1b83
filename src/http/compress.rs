//! Answers compressed while they are sent, for readers that take it (`Accept-Encoding`).

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame};
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue, VARY};
use hyper::{HeaderMap, Response};
use zstd::stream::write::Encoder as ZstdEncoder;

use super::response::Body;
use crate::budget::Reservation;
use crate::limits::{COMPRESSED_BYTES_MIN, ZSTD_WINDOW_LOG};
use crate::protocols::header::{list, quality};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Zstd,
    Gzip,
}

impl Coding {
    /// The one that is liked best; None: none is wanted.
    pub fn wanted(headers: &HeaderMap) -> Option<Self> {
        let listed = list(headers, ACCEPT_ENCODING);
        let liked = |names: &[&str]| {
            let of = |name: &&str| listed.iter().find(|coding| coding.token == *name).map(quality);
            names.iter().find_map(of).unwrap_or(0.0)
        };
        let codings = [(Self::Zstd, liked(&["zstd", "*"])), (Self::Gzip, liked(&["gzip", "x-gzip", "*"]))];
        // Of two that are liked equally the first.
        let best = codings.into_iter().rev().max_by(|a, b| a.1.total_cmp(&b.1));
        best.filter(|(_, quality)| *quality > 0.0 && *quality >= liked(&["identity"])).map(|(coding, _)| coding)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }
}

/// The answer in this coding, whose encoder takes so much memory; short ones as they are.
pub fn compressed(mut response: Response<Body>, coding: Option<(Coding, Reservation)>) -> Response<Body> {
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    let is_short = response.body().size_hint().exact().is_some_and(|bytes| bytes < COMPRESSED_BYTES_MIN);
    let (Some((coding, room)), false) = (coding, is_short) else { return response };
    let Ok(encoder) = Encoder::new(coding) else { return response };
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    response.map(|body| Compressed { body, encoder: Some((encoder, room)), has_more: false }.boxed_unsync())
}

/// Writes into memory, from where what is done is taken.
enum Encoder {
    Zstd(ZstdEncoder<'static, Vec<u8>>),
    Gzip(GzEncoder<Vec<u8>>),
}

impl Encoder {
    /// The fastest of each: what is sent is still a fifth.
    fn new(coding: Coding) -> io::Result<Self> {
        Ok(match coding {
            Coding::Zstd => {
                let mut encoder = ZstdEncoder::new(Vec::new(), 1)?;
                encoder.window_log(ZSTD_WINDOW_LOG)?;
                Self::Zstd(encoder)
            }
            Coding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Compression::fast())),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Zstd(encoder) => encoder.write_all(bytes).map(|()| std::mem::take(encoder.get_mut())),
            Self::Gzip(encoder) => encoder.write_all(bytes).map(|()| std::mem::take(encoder.get_mut())),
        }
    }

    /// What was written so far, all of it.
    fn flush(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Self::Zstd(encoder) => encoder.flush().map(|()| std::mem::take(encoder.get_mut())),
            Self::Gzip(encoder) => encoder.flush().map(|()| std::mem::take(encoder.get_mut())),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Gzip(encoder) => encoder.finish(),
        }
    }
}

/// A body that is compressed piece by piece, as they are asked for.
struct Compressed {
    body: Body,
    /// None: it is at its end.
    encoder: Option<(Encoder, Reservation)>,
    /// The encoder holds what has not been sent.
    has_more: bool,
}

impl Compressed {
    fn frame(bytes: Vec<u8>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(Some(Ok(Frame::data(bytes.into()))))
    }
}

impl hyper::body::Body for Compressed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            let Some((mut encoder, room)) = self.encoder.take() else { return Poll::Ready(None) };
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => {
                    // Its reader is not kept waiting for what is there.
                    let flushed = if self.has_more { encoder.flush()? } else { Vec::new() };
                    self.has_more = false;
                    self.encoder = Some((encoder, room));
                    return if flushed.is_empty() { Poll::Pending } else { Self::frame(flushed) };
                }
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else {
                        self.encoder = Some((encoder, room));
                        continue;
                    };
                    let written = encoder.write(&data)?;
                    self.has_more = true;
                    self.encoder = Some((encoder, room));
                    if !written.is_empty() {
                        return Self::frame(written);
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return Self::frame(encoder.finish()?),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use futures_util::stream;

    use super::*;
    use crate::budget::{Budget, HeldFor, Shares};
    use crate::http::response::{answer, full, streamed};

    fn wanted(text: &'static str) -> Option<Coding> {
        Coding::wanted(&[(ACCEPT_ENCODING, HeaderValue::from_static(text))].into_iter().collect())
    }

    #[test]
    fn the_coding_that_is_liked_best() {
        for (text, coding) in [
            ("gzip, deflate, br", Some(Coding::Gzip)),
            ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
            ("gzip;q=1.0, zstd;q=0.5", Some(Coding::Gzip)),
            ("GZIP", Some(Coding::Gzip)),
            ("x-gzip", Some(Coding::Gzip)),
            ("*", Some(Coding::Zstd)),
            ("*;q=0.1, zstd;q=0", Some(Coding::Gzip)),
            ("gzip;q=0", None),
            ("gzip;q=0.2, identity;q=0.5", None),
            ("identity", None),
            ("br", None),
            ("", None),
        ] {
            assert_eq!(wanted(text), coding, "{text}");
        }
    }

    #[test]
    fn what_is_compressed_reads_as_it_was_and_gives_its_room_back() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let budget = Budget::new(Shares { total: 100, tenant: 100, answers: 100, tenant_answers: 100 });
        let text: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
        for coding in [Coding::Zstd, Coding::Gzip] {
            let room = budget.reserve(&"a".into(), HeldFor::Answer, 10).ok();
            let pieces: Vec<io::Result<Bytes>> =
                text.as_bytes().chunks(999).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            let response = answer(hyper::StatusCode::OK, "text/plain", streamed(stream::iter(pieces)));
            let response = compressed(response, room.map(|room| (coding, room)));
            assert_eq!(response.headers()[CONTENT_ENCODING], coding.name());
            let sent = runtime.block_on(response.into_body().collect()).expect("a body").to_bytes();
            assert!(sent.len() * 2 < text.len());
            let mut read = String::new();
            match coding {
                Coding::Zstd => zstd::Decoder::new(&sent[..]).and_then(|mut decoder| decoder.read_to_string(&mut read)),
                Coding::Gzip => flate2::read::GzDecoder::new(&sent[..]).read_to_string(&mut read),
            }
            .expect("it decodes");
            assert!(read == text && budget.used(HeldFor::Answer) == 0);
        }
        // Short, or without memory for it: as it is. Broken off: not complete.
        let room = || budget.reserve(&"a".into(), HeldFor::Answer, 10).ok();
        for (body, room) in [("short".to_owned(), room()), (text.clone(), None)] {
            let response = compressed(
                answer(hyper::StatusCode::OK, "text/plain", full(body)),
                room.map(|room| (Coding::Gzip, room)),
            );
            assert!(!response.headers().contains_key(CONTENT_ENCODING) && response.headers().contains_key(VARY));
        }
        let broken = stream::iter([Ok(Bytes::from(text)), Err(io::Error::other("broken"))]);
        let response = compressed(
            answer(hyper::StatusCode::OK, "text/plain", streamed(broken)),
            room().map(|room| (Coding::Zstd, room)),
        );
        assert!(runtime.block_on(response.into_body().collect()).is_err());
    }
}
