//! Events of a stream as text, one after the other.

use std::io::Write;

use bytes::Bytes;

use crate::budget::{NoRoom, Reservation};
use crate::http::export::on_one_line;
use crate::http::response::{HeldPieces, Pieces};
use crate::query::LogPage;

/// Milliseconds after which a browser connects again.
const RETRY_MS: u32 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedForm {
    /// NDJSON.
    Lines,
    ServerSent,
}

/// A part of an answer.
pub enum Chunk {
    Events(HeldPieces),
    /// A few bytes that nobody is charged for.
    Sign(Option<Bytes>),
}

impl Iterator for Chunk {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        match self {
            Self::Events(pieces) => pieces.next(),
            Self::Sign(bytes) => bytes.take(),
        }
    }
}

impl Chunk {
    /// Says where the stream is, before anything has come: who is cut off then goes on from there.
    pub fn position(cursor: &str) -> Self {
        Self::Sign(Some(format!("retry: {RETRY_MS}\nid: {cursor}\n\n").into()))
    }

    /// Nothing, for proxies that close what is silent.
    pub fn heartbeat() -> Self {
        Self::Sign(Some(Bytes::from_static(b": nothing new\n\n")))
    }

    /// The last thing that is said: why it does not go on.
    pub fn problem(body: &Bytes) -> Self {
        let mut bytes = b"event: problem\ndata: ".to_vec();
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(b"\n\n");
        Self::Sign(Some(bytes.into()))
    }

    /// The events of a page, in the memory that was taken for them.
    pub fn events(form: FeedForm, page: &LogPage, room: Reservation) -> Result<Self, NoRoom> {
        let mut pieces = Pieces::default();
        let mut line = Vec::new();
        for event in &page.data {
            line.clear();
            line.extend_from_slice(event.text().as_bytes());
            on_one_line(&mut line);
            let written = match form {
                FeedForm::Lines => pieces.write_all(&line).and_then(|()| pieces.write_all(b"\n")),
                FeedForm::ServerSent => {
                    let id = format!("id: {}\ndata: ", page.cursor_behind(event));
                    let before = pieces.write_all(id.as_bytes());
                    before.and_then(|()| pieces.write_all(&line)).and_then(|()| pieces.write_all(b"\n\n"))
                }
            };
            written.expect("memory takes what is written");
        }
        Ok(Self::Events(pieces.hold(room)?))
    }
}

/// Counts events that are handed out.
pub fn count(events: usize) {
    metrics::counter!("tidegate_stream_events_total").increment(events as u64);
}
