//! Syslog: a message of RFC 5424 or RFC 3164 becomes an event. What cannot be read as either is an event as well, whose
//! message is the whole text: nobody hears of a refusal, so that nothing is refused. Messages come from a listener of
//! their own ([`crate::syslog`]), or as the body of a request, framed as in a stream.

mod bsd;
mod data;
pub mod framing;
mod message;
mod parts;
#[cfg(test)]
mod tests;
mod write;

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use hyper::Method;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::agent;
use super::convert::Converter;
use super::native;
use super::problem::{Answer, Problem};
use super::protocol::{Head, Items, Protocol, Reading, Route, Sent};
use super::report::Report;
use crate::limits::SYSLOG_MESSAGE_BYTES_MAX;
use crate::model::Kind;
use framing::{Frame, Framing};
use parts::Message;

pub use parts::Context;

/// The route of all messages, whichever way they came.
pub const ROUTE: &str = "/syslog";

pub struct Syslog;

impl Protocol for Syslog {
    fn routes(&self) -> &'static [Route] {
        const ROUTES: &[Route] = &[Route { method: Method::POST, path: ROUTE, name: ROUTE, kind: Kind::Events }];
        ROUTES
    }

    fn credential<'a>(&self, head: &Head<'a>) -> Result<Cow<'a, str>, Problem> {
        agent::required_key(head.headers, &[], "`Authorization: Bearer tg_...`, Basic, or `X-API-Key: tg_...`")
    }

    fn reading(&self, head: &Head<'_>) -> Result<Reading, Problem> {
        agent::reading(head, false)
    }

    fn items(&self, _head: &Head<'_>, body: &Bytes, into: &mut Converter<'_>) -> Result<Items, Problem> {
        let received_at_us = Timestamp::now().as_microsecond();
        let context = Context { received_at_us, zone: &TimeZone::UTC, sender: "" };
        let mut framing = Framing::default();
        let mut pieces = body.chunks(SYSLOG_MESSAGE_BYTES_MAX).peekable();
        while let Some(piece) = pieces.next() {
            framing.push(piece);
            while let Some(Frame { message, at, cut }) = framing.next(pieces.peek().is_none()) {
                convert(message, at..at + message.len(), cut, context, into);
                if into.is_full() {
                    return Ok(Items::Converted);
                }
            }
        }
        Ok(Items::Converted)
    }

    fn answer(&self, _head: &Head<'_>, _sent: Sent<'_>, report: Report<'_>) -> Answer {
        native::answer(report)
    }
}

/// Makes an event of a message, which stands at `place` of what was sent; `cut`: it was longer. What is blank is none.
pub fn convert(text: &[u8], place: Range<usize>, cut: bool, context: Context<'_>, into: &mut Converter<'_>) {
    let text = text.trim_ascii_end();
    let text = text.strip_suffix(b"\0").map_or(text, |rest| rest.trim_ascii_end());
    if text.is_empty() {
        into.note("blank", 1);
        return;
    }
    let text = storable(text);
    if let Cow::Owned(_) = text {
        into.note("replaced", 1);
    }
    if cut {
        into.note("cut", 1);
    }
    let message = Message::read(&text, context);
    if let Some(note) = message.note {
        into.note(note, 1);
    }
    write::event(into.item(), &message, cut, context.sender);
    into.end(place, 0);
}

/// The text as a database can keep it: without NUL, and UTF-8.
fn storable(text: &[u8]) -> Cow<'_, str> {
    match String::from_utf8_lossy(text) {
        text if text.contains('\0') => Cow::Owned(text.replace('\0', "\u{fffd}")),
        text => text,
    }
}
