//! Answers and refusals in the words of each version.

use std::borrow::Cow;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use memchr::memchr_iter;
use serde::Serialize;
use serde_json::{Value, json};

use super::version::Version;
use crate::protocols::agent;
use crate::protocols::problem::{Answer, Problem, ProblemCode};
use crate::protocols::protocol::Sent;
use crate::protocols::report::{ItemError, Report};
use crate::secrets::redacted;
use crate::wire::item::Place;

/// The version that is spoken: the one that has both `/write` and `/api/v2/write`. Clients that ask for it look for a
/// leading 1 at most.
pub const VERSION: &str = "1.8.10-tidegate";
const VERSION_HEADER: HeaderName = HeaderName::from_static("x-influxdb-version");
const BUILD_HEADER: HeaderName = HeaderName::from_static("x-influxdb-build");
const ERROR_HEADER: HeaderName = HeaderName::from_static("x-influxdb-error");
/// As InfluxDB 1 cuts it.
const ERROR_HEADER_BYTES_MAX: usize = 1024;

/// Lines of which an answer says what is wrong with them; all are counted.
const LINES_LISTED_MAX: usize = 100;
/// How many are told in one message.
const LINES_TOLD_MAX: usize = 10;
/// How much of a line is repeated, in bytes.
const LINE_BYTES_MAX: usize = 1024;

/// A line that was not stored, or not with all of its fields.
#[derive(Serialize)]
struct BadLine<'s, 'r> {
    original_line: Cow<'s, str>,
    line_number: usize,
    error_message: Cow<'r, str>,
}

/// The answer to a request that was written or spooled, or has no lines.
pub fn answer(version: Version, sent: Sent<'_>, report: Report<'_>) -> Answer {
    if report.rejected == 0 {
        return named(agent::empty(StatusCode::NO_CONTENT));
    }
    let accepted = report.accepted;
    let (lines, dropped) = bad_lines(sent, report);
    if version == Version::V3 {
        return error(version, StatusCode::BAD_REQUEST, "partial write of line protocol occurred", |body| {
            body["data"] = json!(lines);
        });
    }
    let told: Vec<&str> = lines.iter().take(LINES_TOLD_MAX).map(|line| &*line.error_message).collect();
    let what = if accepted > 0 { "partial write" } else { "nothing was written" };
    let message = format!("{what}: {} dropped={dropped}", told.join("\n"));
    error(version, StatusCode::BAD_REQUEST, &message, |body| {
        if version == Version::V2
            && let Some(first) = lines.first()
        {
            body["line"] = first.line_number.into();
        }
    })
}

/// The lines of which something was rejected, as many as are listed, and how many there are.
fn bad_lines<'s, 'r>(sent: Sent<'s>, report: Report<'r>) -> (Vec<BadLine<'s, 'r>>, usize) {
    let place = |error: &ItemError<'_>| -> Option<Place> {
        sent.original?.places.get(usize::try_from(error.index).ok()?).copied()
    };
    let rejected = usize::try_from(report.rejected).unwrap_or(usize::MAX);
    let mut errors: Vec<ItemError<'r>> = report.errors.collect();
    // The outcome of an earlier request may not have all of them.
    let unlisted = rejected.saturating_sub(errors.len());
    errors.sort_by_key(|error| error.index);
    errors.dedup_by(|one, other| match (place(one), place(other)) {
        (Some(one), Some(other)) => one.start == other.start,
        _ => false,
    });
    let dropped = errors.len() + unlisted;
    let (mut counted, mut number) = (0, 1);
    let listed = errors.into_iter().take(LINES_LISTED_MAX).map(|error| {
        let place = place(&error).map_or(0..0, |place| place.start as usize..place.end as usize);
        number += memchr_iter(b'\n', sent.body.get(counted..place.start).unwrap_or_default()).count();
        counted = counted.max(place.start);
        let prefix = format!("line {number}");
        let says_where = error.message.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with([',', ':']));
        BadLine {
            original_line: excerpt(sent.body.get(place).unwrap_or_default()),
            line_number: number,
            error_message: if says_where { error.message } else { format!("{prefix}: {}", error.message).into() },
        }
    });
    (listed.collect(), dropped)
}

/// The beginning of a line, without API keys.
pub fn excerpt(line: &[u8]) -> Cow<'_, str> {
    let cut = &line[..line.len().min(LINE_BYTES_MAX)];
    match String::from_utf8_lossy(cut) {
        Cow::Borrowed(text) => redacted(text),
        Cow::Owned(text) => redacted(&text).into_owned().into(),
    }
}

/// The answer to a request of which nothing was stored.
pub fn refusal(version: Version, problem: &Problem) -> Answer {
    // To clients a conflict is an error for good; this one is over soon.
    let is_in_flight = problem.code() == ProblemCode::IdempotencyKeyInFlight;
    let status = if is_in_flight { StatusCode::SERVICE_UNAVAILABLE } else { problem.status() };
    let details = serde_json::to_value(problem.details()).unwrap_or_default();
    let bad_line = details.get("original_line").zip(details.get("line_number"));
    let mut answer = match bad_line.filter(|_| version == Version::V3) {
        Some((line, number)) => error(version, status, "line protocol parsing error", |body| {
            body["data"] = json!({"original_line": line, "line_number": number, "error_message": problem.detail()});
        }),
        None => error(version, status, problem.detail(), |_| {}),
    };
    // Retry-After, Allow, WWW-Authenticate.
    for (name, value) in problem.answer().headers() {
        if name != CONTENT_TYPE {
            answer.headers_mut().insert(name.clone(), value.clone());
        }
    }
    if is_in_flight && !answer.headers().contains_key(RETRY_AFTER) {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(1));
    }
    answer
}

fn error(version: Version, status: StatusCode, message: &str, more: impl FnOnce(&mut Value)) -> Answer {
    let mut body = match version {
        Version::V2 => json!({"code": code(status), "message": message}),
        Version::V1 | Version::V3 => json!({"error": message}),
    };
    more(&mut body);
    let mut answer = agent::json(status, &body);
    if version == Version::V1 && status != StatusCode::UNAUTHORIZED {
        let visible = message.bytes().map(|byte| match byte {
            b' '..=b'~' => byte,
            b'\n' => b' ',
            _ => b'?',
        });
        let visible: Vec<u8> = visible.take(ERROR_HEADER_BYTES_MAX).collect();
        if let Ok(value) = HeaderValue::from_bytes(&visible) {
            answer.headers_mut().insert(ERROR_HEADER, value);
        }
    }
    named(answer)
}

/// What InfluxDB 2 calls an error of this status.
fn code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not found",
        405 => "method not allowed",
        409 => "conflict",
        413 => "request too large",
        422 => "unprocessable entity",
        429 => "too many requests",
        503 => "unavailable",
        500.. => "internal error",
        _ => "invalid",
    }
}

/// An answer that says which version it is of.
pub fn named(mut answer: Answer) -> Answer {
    let headers = answer.headers_mut();
    headers.insert(VERSION_HEADER, HeaderValue::from_static(VERSION));
    headers.insert(BUILD_HEADER, HeaderValue::from_static("OSS"));
    answer
}
