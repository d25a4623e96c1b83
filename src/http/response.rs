//! Bodies and answers that are no errors.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::budget::{NoRoom, Reservation};
use crate::limits::ANSWER_PIECE_BYTES;
use crate::protocols::{Answer, Trailers};

pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A body that is at hand.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// An answer with the trailers that it may have.
pub fn of(answer: Answer) -> Response<Body> {
    let (mut parts, bytes) = answer.into_parts();
    let body = match parts.extensions.remove::<Trailers>() {
        None => full(bytes),
        Some(Trailers(trailers)) => {
            let frames = [Frame::data(bytes), Frame::trailers(trailers)];
            StreamBody::new(futures_util::stream::iter(frames.map(Ok))).boxed_unsync()
        }
    };
    Response::from_parts(parts, body)
}

/// A body that is made while it is sent; an error cuts it off, so that a reader does not take it for complete.
pub fn streamed(chunks: impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static) -> Body {
    use futures_util::StreamExt;
    StreamBody::new(chunks.map(|chunk| chunk.map(Frame::data))).boxed_unsync()
}

/// An answer with a content type.
pub fn answer(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let body = serde_json::to_vec(value).expect("answers are made of plain values");
    answer(status, "application/json", full(body))
}

/// What was read, as JSON, on the account of its tenant.
pub fn held_json(value: &impl Serialize, room: Reservation) -> Result<Response<Body>, NoRoom> {
    let mut pieces = Pieces::default();
    serde_json::to_writer(&mut pieces, value).expect("answers are made of plain values");
    let body = pieces.hold(room)?;
    Ok(answer(StatusCode::OK, "application/json", body.boxed_unsync()))
}

/// An answer that is being made, in pieces: what is sent of it is given back while its reader takes the rest.
#[derive(Default)]
pub struct Pieces {
    full: VecDeque<Bytes>,
    open: Vec<u8>,
}

impl Pieces {
    /// All of it, with exactly as much of `room` as it takes.
    pub fn hold(mut self, mut room: Reservation) -> Result<HeldPieces, NoRoom> {
        self.close();
        let bytes = self.bytes();
        room.grow_to(bytes)?;
        room.shrink_to(bytes);
        Ok(HeldPieces { pieces: self.full, room })
    }

    /// How many bytes it is so far.
    pub fn bytes(&self) -> usize {
        self.full.iter().map(Bytes::len).sum::<usize>() + self.open.len()
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.full.push_back(std::mem::take(&mut self.open).into());
        }
    }
}

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(ANSWER_PIECE_BYTES - self.open.len());
        self.open.extend_from_slice(&bytes[..taken]);
        if self.open.len() == ANSWER_PIECE_BYTES {
            self.close();
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An answer that waits for its reader.
pub struct HeldPieces {
    pieces: VecDeque<Bytes>,
    room: Reservation,
}

/// A piece on its way out; its memory is given back when it is dropped.
struct HeldPiece {
    bytes: Bytes,
    _room: Reservation,
}

impl AsRef<[u8]> for HeldPiece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Iterator for HeldPieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let bytes = self.pieces.pop_front()?;
        let room = self.room.split(bytes.len());
        Some(Bytes::from_owner(HeldPiece { bytes, _room: room }))
    }
}

impl hyper::body::Body for HeldPieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(self.next().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.pieces.iter().map(|piece| piece.len() as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::budget::{Budget, HeldFor, Shares};

    #[test]
    fn what_is_sent_is_given_back() {
        let bytes = 10 * ANSWER_PIECE_BYTES;
        let budget = Budget::new(Shares { total: bytes, tenant: bytes, answers: bytes, tenant_answers: bytes });
        let room = || budget.reserve(&"a".into(), HeldFor::Answer, 1).expect("room");
        let mut pieces = Pieces::default();
        pieces.write_all(&vec![b'x'; 3 * ANSWER_PIECE_BYTES + 1]).expect("memory");
        let mut held = pieces.hold(room()).expect("room");
        assert_eq!(budget.used(HeldFor::Answer), 3 * ANSWER_PIECE_BYTES + 1);
        let first = held.next().expect("a piece");
        assert_eq!((first.len(), budget.used(HeldFor::Answer)), (ANSWER_PIECE_BYTES, 3 * ANSWER_PIECE_BYTES + 1));
        drop(first);
        assert_eq!(budget.used(HeldFor::Answer), 2 * ANSWER_PIECE_BYTES + 1);
        assert_eq!(
            held.by_ref().map(|piece| piece.len()).collect::<Vec<_>>(),
            [ANSWER_PIECE_BYTES, ANSWER_PIECE_BYTES, 1]
        );
        assert_eq!(budget.used(HeldFor::Answer), 0);
        let mut pieces = Pieces::default();
        pieces.write_all(&vec![b'x'; bytes + 1]).expect("memory");
        assert_eq!(pieces.hold(room()).err(), Some(NoRoom::All));
        assert_eq!(budget.used(HeldFor::Answer), 0);
    }
}
