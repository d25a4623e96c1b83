//! Splunk's HTTP Event Collector (HEC): envelopes of JSON, raw lines, and its codes, as Vector, Fluent Bit, the
//! Collector's `splunk_hec` exporter and Docker's log driver send and read them. An answer comes once events are safe:
//! a question for the state of an `ackId` is answered that it is indexed.

#[cfg(test)]
mod answer_tests;
mod codes;
mod envelope;
mod events;
#[cfg(test)]
mod tests;
mod time;

use std::borrow::Cow;
use std::fmt::Write;

use bytes::Bytes;
use hyper::header::{ALLOW, AUTHORIZATION, HeaderValue};
use hyper::{Method, StatusCode};
use serde::Deserialize;

use self::codes::{Code, More};
use self::envelope::About;
use super::agent::{self, Query};
use super::content::Encoding;
use super::convert::Converter;
use super::problem::{Answer, Problem, ProblemCode};
use super::protocol::{Head, Items, Probe, Protocol, Reading, Route, Sent};
use super::report::Report;
use crate::limits::MIB;
use crate::model::Kind;

pub struct Splunk;

const RAW: &str = "/services/collector/raw";
const ACK: &str = "/services/collector/ack";
/// Longest question for the state of acks: 50,000 numbers and more.
const ACKS_BYTES_MAX: usize = MIB;
/// Numbers that JSON's readers all take as they are.
const ACK_ID_MASK: u64 = (1 << 53) - 1;

impl Protocol for Splunk {
    fn routes(&self) -> &'static [Route] {
        const fn route(path: &'static str) -> Route {
            Route { method: Method::POST, path, name: path, kind: Kind::Events }
        }
        const ROUTES: &[Route] = &[
            route("/services/collector"),
            route("/services/collector/1.0"),
            route("/services/collector/event"),
            route("/services/collector/event/1.0"),
            route(RAW),
            route("/services/collector/raw/1.0"),
            // Brings no items.
            route(ACK),
        ];
        ROUTES
    }

    fn credential<'a>(&self, head: &Head<'a>) -> Result<Cow<'a, str>, Problem> {
        if let Some(key) = agent::key(head.headers, &["splunk", "bearer"]) {
            return Ok(key);
        }
        let token = Query::parse(head.query).take("token").filter(|_| !head.headers.contains_key(AUTHORIZATION));
        token.ok_or_else(|| {
            Problem::unauthorized("send an API key: `Authorization: Splunk tg_...`, or as the password of Basic")
        })
    }

    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Gzip, Encoding::Zstd, Encoding::Deflate, Encoding::Snappy, Encoding::Identity]
    }

    /// HEC stores what is sent twice twice. Content-Type says nothing: curl's is that of forms.
    fn reading(&self, head: &Head<'_>) -> Result<Reading, Problem> {
        if head.route.path == ACK && channel(head).is_none() {
            return Err(invalid("name the channel in X-Splunk-Request-Channel or `?channel=`"));
        }
        About::of(&Query::parse(head.query)).map_err(invalid)?;
        agent::reading(head, false)
    }

    fn items(&self, head: &Head<'_>, body: &Bytes, into: &mut Converter<'_>) -> Result<Items, Problem> {
        let query = Query::parse(head.query);
        let about = About::of(&query).map_err(invalid)?;
        match head.route.path {
            ACK => drop(acks(body)?),
            path if path.starts_with(RAW) => events::convert_raw(body, &about, into),
            _ => events::convert(body, &about, into),
        }
        Ok(Items::Converted)
    }

    fn answer(&self, head: &Head<'_>, sent: Sent<'_>, report: Report<'_>) -> Answer {
        if head.route.path == ACK {
            return acks(sent.body).map_or_else(|problem| self.refusal(head, &problem), |acks| states(&acks));
        }
        if report.rejected > 0 {
            return rejected(sent, report);
        }
        if report.accepted == 0 && report.duplicates == 0 {
            return codes::NO_DATA.answer(More::default());
        }
        let ack_id = channel(head).map(|_| report.receipt.as_u64_pair().1 & ACK_ID_MASK);
        codes::SUCCESS.answer(More { ack_id, ..More::default() })
    }

    fn refusal(&self, head: &Head<'_>, problem: &Problem) -> Answer {
        let code = match problem.status() {
            StatusCode::UNAUTHORIZED if self.credential(head).is_ok() => codes::INVALID_TOKEN,
            StatusCode::UNAUTHORIZED if is_authorized_somehow(head) => codes::INVALID_AUTHORIZATION,
            StatusCode::UNAUTHORIZED => codes::TOKEN_REQUIRED,
            StatusCode::FORBIDDEN => codes::TOKEN_DISABLED,
            // A quota: every agent that waits for 503 waits for 429 as well.
            StatusCode::TOO_MANY_REQUESTS => codes::BUSY.with_status(StatusCode::TOO_MANY_REQUESTS),
            StatusCode::REQUEST_TIMEOUT => codes::BUSY,
            _ if problem.retry_after_s().is_some() => codes::BUSY,
            StatusCode::SERVICE_UNAVAILABLE => codes::BUSY,
            status if status.is_server_error() => codes::INTERNAL,
            _ if head.route.path == ACK && channel(head).is_none() => codes::NO_CHANNEL,
            _ if problem.code() == ProblemCode::EmptyBody => codes::NO_DATA,
            status @ (StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNSUPPORTED_MEDIA_TYPE) => {
                codes::INVALID_DATA_FORMAT.with_status(status)
            }
            _ => codes::INVALID_DATA_FORMAT,
        };
        agent::refused(code.answer(More { detail: Some(problem.detail()), ..More::default() }), problem)
    }

    fn probes(&self) -> &'static [Probe] {
        const fn probe(method: Method, path: &'static str, answer: fn(Option<&str>) -> Answer) -> Probe {
            Probe { method, path, speaks: |_| true, answer }
        }
        const PROBES: &[Probe] = &[
            probe(Method::GET, "/services/collector/health", healthy),
            probe(Method::GET, "/services/collector/health/1.0", healthy),
            // Docker's log driver asks so before a container starts.
            probe(Method::OPTIONS, "/services/collector/event/1.0", options),
            probe(Method::OPTIONS, "/services/collector/event", options),
        ];
        PROBES
    }
}

fn healthy(_query: Option<&str>) -> Answer {
    codes::HEALTHY.answer(More::default())
}

fn options(_query: Option<&str>) -> Answer {
    let mut answer = agent::empty(StatusCode::OK);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST, OPTIONS"));
    answer
}

/// Whether a key is sent, though none that can be read.
fn is_authorized_somehow(head: &Head<'_>) -> bool {
    head.headers.contains_key(AUTHORIZATION) || head.headers.contains_key("x-api-key")
}

/// The channel of the request: who names one wants to hear of its state.
fn channel(head: &Head<'_>) -> Option<String> {
    let header = head.headers.get("x-splunk-request-channel").and_then(|value| value.to_str().ok());
    let named = header.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    named.or_else(|| Query::parse(head.query).get("channel").map(str::to_owned))
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::bad_request(ProblemCode::InvalidParameter, detail)
}

/// The numbers that the state of is asked for.
fn acks(body: &[u8]) -> Result<Vec<u64>, Problem> {
    if body.len() > ACKS_BYTES_MAX {
        let detail = format!("a question for acks is at most {ACKS_BYTES_MAX} bytes; ask for fewer at once");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, ProblemCode::BodyTooLarge, detail));
    }
    #[derive(Deserialize)]
    struct Asked {
        acks: Vec<u64>,
    }
    let asked = serde_json::from_slice::<Asked>(body);
    asked
        .map(|asked| asked.acks)
        .map_err(|error| Problem::bad_request(ProblemCode::InvalidBody, format!("{error}; send {{\"acks\":[0,1]}}")))
}

/// Whatever was answered with a number is stored.
fn states(acks: &[u64]) -> Answer {
    let mut text = String::from("{\"acks\":{");
    for (at, ack) in acks.iter().enumerate() {
        let before = if at == 0 { "" } else { "," };
        write!(text, "{before}\"{ack}\":true").expect("a String takes all text");
    }
    text.push_str("}}");
    agent::with_body(StatusCode::OK, HeaderValue::from_static("application/json"), text)
}

/// The first event that was refused, by its place; what else there is of the request is stored.
fn rejected(sent: Sent<'_>, report: Report<'_>) -> Answer {
    let Report { accepted, rejected, mut errors, .. } = report;
    let first = errors.next();
    let index = first.as_ref().map_or(0, |error| error.index);
    let place = sent.original.zip(usize::try_from(index).ok()).and_then(|(original, at)| original.places.get(at));
    let code = Code::of_tag(place.map_or(0, |place| place.tag));
    let stored = if accepted > 0 { "; the others are stored" } else { "" };
    let why = first.map_or(Cow::Borrowed(""), |error| format!(": {} ({})", error.message, error.code).into());
    let all = accepted.saturating_add(rejected);
    let detail =
        format!("{rejected} of {all} events were refused and kept as dead letters{stored}; event {index}{why}");
    code.answer(More { invalid_event_number: Some(index), detail: Some(&detail), ..More::default() })
}
