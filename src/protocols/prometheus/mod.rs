//! Prometheus remote write 1.0 and 2.0. Series become metrics one sample at a time, and every item that is refused
//! makes the answer 400, which no sender repeats; the rest is stored.

mod answer;
mod histogram;
mod labels;
mod message;
mod metadata;
mod parts;
mod request;
mod series;
mod summary;
#[cfg(test)]
mod tests;
mod written;

use std::borrow::Cow;

use bytes::Bytes;
use hyper::header::CONTENT_ENCODING;
use hyper::{HeaderMap, Method};

use self::message::Message;
use self::written::Written;
use super::agent;
use super::content::Encoding;
use super::convert::Converter;
use super::problem::{Answer, Problem};
use super::protocol::{Head, Items, Protocol, Reading, Route, Sent};
use super::report::Report;
use crate::model::Kind;

pub struct Prometheus;

impl Protocol for Prometheus {
    fn routes(&self) -> &'static [Route] {
        const ROUTES: &[Route] = &[
            Route { method: Method::POST, path: "/api/v1/write", name: "/api/v1/write", kind: Kind::Metrics },
            // Where Cortex and Mimir take it.
            Route { method: Method::POST, path: "/api/v1/push", name: "/api/v1/push", kind: Kind::Metrics },
        ];
        ROUTES
    }

    fn credential<'a>(&self, head: &Head<'a>) -> Result<Cow<'a, str>, Problem> {
        agent::required_key(
            head.headers,
            &["bearer"],
            "`Authorization: Bearer tg_...`, the password of basic_auth, or `X-API-Key: tg_...`",
        )
    }

    /// The protocol has snappy alone; agents of VictoriaMetrics send zstd.
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Snappy, Encoding::Zstd, Encoding::Identity]
    }

    /// As Prometheus has it: what does not say so is in Snappy's format.
    fn encoding(&self, headers: &HeaderMap) -> Result<Encoding, Problem> {
        if headers.contains_key(CONTENT_ENCODING) {
            Encoding::of(headers, self.encodings())
        } else {
            Ok(Encoding::Snappy)
        }
    }

    fn reading(&self, head: &Head<'_>) -> Result<Reading, Problem> {
        Message::of(head.headers)?;
        agent::reading(head, true)
    }

    fn items(&self, head: &Head<'_>, body: &Bytes, into: &mut Converter<'_>) -> Result<Items, Problem> {
        request::convert(Message::of(head.headers)?, body, into);
        Ok(Items::Converted)
    }

    fn answer(&self, head: &Head<'_>, sent: Sent<'_>, report: Report<'_>) -> Answer {
        let rejected = report.rejected;
        let errors: Vec<_> = report.errors.collect();
        let written = Message::of(head.headers)
            .ok()
            .filter(|message| *message == Message::Request)
            .map(|message| Written::of(message, sent.body, sent.original, errors.iter().map(|error| error.index)));
        answer::answer(rejected, &errors, written)
    }

    fn refusal(&self, head: &Head<'_>, problem: &Problem) -> Answer {
        let is_two = Message::of(head.headers).is_ok_and(|message| message == Message::Request);
        answer::refusal(problem, is_two.then(Written::default))
    }
}
