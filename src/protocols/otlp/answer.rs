//! Answers of OTLP over HTTP, in the type of the request.

use std::collections::BTreeMap;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, StatusCode};
use serde_json::json;

use super::status::{self, Code, Detail};
use crate::protocols::agent;
use crate::protocols::content::media_type;
use crate::protocols::problem::{Answer, Problem};
use crate::protocols::protobuf::{put_bytes, put_number};
use crate::protocols::protocol::Sent;
use crate::protocols::report::Report;

pub use super::walk::WHOLE;

pub const PROTOBUF: &str = "application/x-protobuf";
pub const JSON: &str = "application/json";

/// Kinds of errors that an answer tells of, the first of each.
const CODES_TOLD_MAX: usize = 8;
/// Characters of a message that an answer repeats.
const MESSAGE_CHARS_MAX: usize = 500;
/// When to come again, where nothing else is said.
pub const RETRY_AFTER_S: u32 = 1;

/// How messages are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Protobuf,
    Json,
}

impl Form {
    /// What Content-Type says; None: neither.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        match media_type(headers)?.as_str() {
            PROTOBUF => Some(Self::Protobuf),
            JSON => Some(Self::Json),
            _ => None,
        }
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Protobuf => PROTOBUF,
            Self::Json => JSON,
        })
    }

    fn status(self, code: Code, message: &str, detail: Option<&Detail<'_>>) -> Vec<u8> {
        match self {
            Self::Protobuf => status::protobuf(code, message, detail),
            Self::Json => status::json(code, message, detail),
        }
    }
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Logs,
    Traces,
    Metrics,
}

impl Signal {
    /// What `partialSuccess` counts.
    fn rejected(self) -> &'static str {
        match self {
            Self::Logs => "rejectedLogRecords",
            Self::Traces => "rejectedSpans",
            Self::Metrics => "rejectedDataPoints",
        }
    }

    fn items(self) -> &'static str {
        match self {
            Self::Logs => "log records",
            Self::Traces => "spans",
            Self::Metrics => "data points",
        }
    }
}

/// Why the body as a whole could not be read, if it could not.
pub fn unreadable(sent: Sent<'_>, report: &mut Report<'_>) -> Option<String> {
    let first = sent.original.and_then(|original| original.places.first());
    if report.accepted != 0 || report.rejected != 1 || first.is_none_or(|place| place.tag != WHOLE) {
        return None;
    }
    Some(
        report
            .errors
            .next()
            .map_or_else(|| "the body is no OTLP request".to_owned(), |error| error.message.into_owned()),
    )
}

/// The answer to a request that was written or spooled, or is empty.
pub fn answer(form: Form, signal: Signal, sent: Sent<'_>, mut report: Report<'_>) -> Answer {
    if let Some(flaw) = unreadable(sent, &mut report) {
        let status = form.status(Code::InvalidArgument, &flaw, Some(&Detail::BadRequest(&flaw)));
        return agent::with_body(StatusCode::BAD_REQUEST, form.content_type(), status);
    }
    let replayed = report.replayed;
    let body = match form {
        Form::Protobuf => response(signal, sent, report),
        Form::Json if report.rejected == 0 => b"{}".to_vec(),
        Form::Json => {
            let (rejected, told) = told(signal, sent, report);
            let partial = json!({signal.rejected(): rejected.to_string(), "errorMessage": told});
            serde_json::to_vec(&json!({"partialSuccess": partial})).expect("strings are JSON")
        }
    };
    let mut answer = agent::with_body(StatusCode::OK, form.content_type(), body);
    if replayed {
        answer.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    answer
}

/// `Export*ServiceResponse` in protobuf: the same fields for all signals.
pub fn response(signal: Signal, sent: Sent<'_>, report: Report<'_>) -> Vec<u8> {
    let mut response = Vec::new();
    if report.rejected != 0 {
        let (rejected, told) = told(signal, sent, report);
        let mut partial = Vec::new();
        put_number(&mut partial, 1, rejected.into());
        put_bytes(&mut partial, 2, told.as_bytes());
        put_bytes(&mut response, 1, &partial);
    }
    response
}

/// How many were refused, and why, in one text. Several items that are made of one data point are one that is refused.
fn told(signal: Signal, sent: Sent<'_>, report: Report<'_>) -> (u32, String) {
    let place_of = |index: u32| {
        let place = sent.original?.places.get(usize::try_from(index).ok()?)?;
        (signal == Signal::Metrics).then_some((place.start, place.end))
    };
    let mut codes: BTreeMap<&str, (u32, u32, String)> = BTreeMap::new();
    let (mut rejected, mut last) = (report.rejected, None);
    for error in report.errors {
        let place = place_of(error.index);
        if place.is_some() && place == last {
            rejected -= 1;
            continue;
        }
        last = place;
        if let Some((count, ..)) = codes.get_mut(error.code) {
            *count += 1;
        } else {
            codes.insert(error.code, (1, error.index, error.message.chars().take(MESSAGE_CHARS_MAX).collect()));
        }
    }
    let what = signal.items();
    let mut text = format!("{rejected} {what} were refused and are kept as dead letters; do not send them again");
    for (code, (count, index, message)) in codes.iter().take(CODES_TOLD_MAX) {
        text.push_str(&format!("; {code} ({count}, first at {index} from 0): {message}"));
    }
    (rejected, text)
}

/// A refusal, of which nothing but its status tells whether to come again: 429, 502, 503 and 504 do.
pub fn refusal(form: Form, problem: &Problem) -> Answer {
    let again = status::is_to_come_again(problem);
    let after_s = problem.retry_after_s().unwrap_or(RETRY_AFTER_S);
    let detail = again.then_some(Detail::RetryInfo(after_s));
    let status = form.status(Code::of(problem), problem.detail(), detail.as_ref());
    // With what else the status asks for, such as WWW-Authenticate.
    let mut answer = problem.answer();
    *answer.body_mut() = Bytes::from(status);
    answer.headers_mut().insert(CONTENT_TYPE, form.content_type());
    if again {
        if matches!(problem.status(), StatusCode::CONFLICT | StatusCode::REQUEST_TIMEOUT) {
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after_s));
    }
    answer
}
