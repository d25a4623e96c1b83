//! Loki's push API: streams of log lines as snappy protobuf or JSON, as Promtail, Alloy, Fluent Bit, Vector and others
//! send them. A line is an event; `docs/protocols/loki.md` says which label is which of its fields. `X-Scope-OrgID`
//! says nothing here: the tenant is the key's.

#[cfg(test)]
mod answer_tests;
mod json;
mod labels;
mod push;
mod stream;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt::Write;

use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, HeaderValue, WWW_AUTHENTICATE};
use hyper::{HeaderMap, Method, StatusCode};

use super::agent;
use super::content::{Encoding, media_type};
use super::convert::Converter;
use super::problem::{Answer, Problem, ProblemCode};
use super::protocol::{Head, Items, Probe, Protocol, Reading, Route, Sent};
use super::report::Report;
use crate::model::Kind;

/// Errors that an answer lists: agents write it into their logs.
const LISTED_MAX: usize = 10;
/// As Loki says it.
const NO_STREAMS: &str = "error at least one valid stream is required for ingestion";

pub struct Loki;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Protobuf,
    Json,
}

impl Form {
    /// As Content-Type says; nothing said is protobuf, which is what Loki takes first.
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        match media_type(headers).as_deref() {
            None | Some("application/x-protobuf" | "application/protobuf") => Ok(Self::Protobuf),
            Some("application/json" | "text/json") => Ok(Self::Json),
            Some(_) => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                ProblemCode::UnsupportedMediaType,
                "Content-Type must be application/x-protobuf or application/json",
            )),
        }
    }

    fn has_streams(self, body: &[u8]) -> bool {
        match self {
            Self::Protobuf => push::has_streams(body),
            Self::Json => json::has_streams(body),
        }
    }
}

impl Protocol for Loki {
    fn routes(&self) -> &'static [Route] {
        const fn route(path: &'static str) -> Route {
            Route { method: Method::POST, path, name: path, kind: Kind::Events }
        }
        // The second is that of before Loki 1.0, which agents can still be told to send to.
        const ROUTES: &[Route] = &[route("/loki/api/v1/push"), route("/api/prom/push")];
        ROUTES
    }

    fn credential<'a>(&self, head: &Head<'a>) -> Result<Cow<'a, str>, Problem> {
        let how = "as the password of Basic, `Authorization: Bearer tg_...` or `X-API-Key: tg_...`";
        agent::required_key(head.headers, &["bearer"], how)
    }

    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Snappy, Encoding::Gzip, Encoding::Zstd, Encoding::Deflate, Encoding::Identity]
    }

    /// Without Content-Encoding protobuf is in Snappy's format all the same: Promtail does not say so.
    fn encoding(&self, headers: &HeaderMap) -> Result<Encoding, Problem> {
        if !headers.contains_key(CONTENT_ENCODING) && matches!(Form::of(headers), Ok(Form::Protobuf)) {
            return Ok(Encoding::Snappy);
        }
        Encoding::of(headers, self.encodings())
    }

    /// Equal bodies are one request: Loki drops entries that it has, and agents send again what they sent.
    fn reading(&self, head: &Head<'_>) -> Result<Reading, Problem> {
        Form::of(head.headers)?;
        agent::reading(head, true)
    }

    fn items(&self, head: &Head<'_>, body: &Bytes, into: &mut Converter<'_>) -> Result<Items, Problem> {
        match Form::of(head.headers)? {
            Form::Protobuf => push::convert(body, into),
            Form::Json => json::convert(body, into),
        }
        Ok(Items::Converted)
    }

    fn answer(&self, head: &Head<'_>, sent: Sent<'_>, report: Report<'_>) -> Answer {
        if report.rejected > 0 {
            return plain(StatusCode::BAD_REQUEST, &rejections(report));
        }
        let is_empty = report.accepted == 0 && report.duplicates == 0;
        if is_empty && !Form::of(head.headers).is_ok_and(|form| form.has_streams(sent.body)) {
            return plain(StatusCode::UNPROCESSABLE_ENTITY, NO_STREAMS);
        }
        agent::empty(StatusCode::NO_CONTENT)
    }

    fn refusal(&self, _head: &Head<'_>, problem: &Problem) -> Answer {
        let status = match problem.status() {
            // Of the 4xx agents send 429 again, and no other.
            status if status.is_client_error() && is_retried(problem) => StatusCode::SERVICE_UNAVAILABLE,
            status => status,
        };
        let mut answer = plain(status, problem.detail());
        if status == StatusCode::UNAUTHORIZED {
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"tidegate\""));
        }
        agent::refused(answer, problem)
    }

    fn probes(&self) -> &'static [Probe] {
        const fn probe(path: &'static str, answer: fn(Option<&str>) -> Answer) -> Probe {
            Probe { method: Method::GET, path, speaks: |_| true, answer }
        }
        const PROBES: &[Probe] = &[
            // Vector asks it first.
            probe("/ready", |_| plain(StatusCode::OK, "ready")),
            probe("/loki/api/v1/status/buildinfo", build),
        ];
        PROBES
    }
}

/// Whether the same request may be taken later, and has another status than 429.
fn is_retried(problem: &Problem) -> bool {
    match problem.status() {
        StatusCode::TOO_MANY_REQUESTS => false,
        StatusCode::REQUEST_TIMEOUT => true,
        _ => problem.retry_after_s().is_some(),
    }
}

fn build(_query: Option<&str>) -> Answer {
    let version = env!("CARGO_PKG_VERSION");
    let build = serde_json::json!({
        "version": version, "revision": "", "branch": "", "buildUser": "tidegate", "buildDate": "", "goVersion": "",
    });
    agent::json(StatusCode::OK, &build)
}

/// What was refused, and that the rest is stored.
fn rejections(report: Report<'_>) -> String {
    let stored = if report.accepted > 0 { "; the others are stored" } else { "" };
    let mut text = format!(
        "{} of {} entries were refused and kept as dead letters{stored}",
        report.rejected,
        report.accepted.saturating_add(report.rejected)
    );
    // Promtail and Alloy log the first line.
    for (before, error) in std::iter::once(": ").chain(std::iter::repeat("\n")).zip(report.errors.take(LISTED_MAX)) {
        write!(text, "{before}entry {}: {} ({})", error.index, error.message, error.code)
            .expect("a String takes all text");
    }
    text
}

fn plain(status: StatusCode, text: &str) -> Answer {
    agent::text(status, format!("{text}\n"))
}
