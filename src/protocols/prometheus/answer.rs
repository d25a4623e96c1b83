//! Answers: plain text for people, since senders look at the status alone, and in 2.0 at how much was written.

use std::fmt::Write;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};

use super::written::Written;
use crate::protocols::agent;
use crate::protocols::problem::{Answer, Problem};
use crate::protocols::report::ItemError;

/// As many reasons as somebody reads in a log.
const ERRORS_SHOWN_MAX: usize = 3;
const RETRY_S: u32 = 1;

/// The answer to what was written, or spooled.
pub fn answer(rejected: u32, errors: &[ItemError<'_>], written: Option<Written>) -> Answer {
    if rejected == 0 {
        return counted(agent::empty(StatusCode::NO_CONTENT), written);
    }
    let mut said = format!("{rejected} refused, and kept as dead letters; what else was sent is stored.");
    for error in errors.iter().take(ERRORS_SHOWN_MAX) {
        let _ = write!(said, "\n{}: {}", error.code, error.message);
    }
    if errors.len() > ERRORS_SHOWN_MAX {
        let _ = write!(said, "\nand {} more", errors.len() - ERRORS_SHOWN_MAX);
    }
    said.push('\n');
    counted(agent::text(StatusCode::BAD_REQUEST, said), written)
}

/// The answer to what was not stored. Senders repeat 5xx and 429, and drop what any other 4xx is about.
pub fn refusal(problem: &Problem, written: Option<Written>) -> Answer {
    let status = match problem.status() {
        // Somebody else is writing it, or it came too slowly: both are over a moment later.
        StatusCode::CONFLICT | StatusCode::REQUEST_TIMEOUT => StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
        status => status,
    };
    let mut answer = problem.answer();
    *answer.status_mut() = status;
    *answer.body_mut() = format!("{}\n", problem.detail()).into();
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::SERVICE_UNAVAILABLE && !headers.contains_key(RETRY_AFTER) {
        headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_S));
    }
    counted(answer, written)
}

fn counted(mut answer: Answer, written: Option<Written>) -> Answer {
    if let Some(Written { samples, histograms, exemplars }) = written {
        for (name, count) in [
            ("x-prometheus-remote-write-samples-written", samples),
            ("x-prometheus-remote-write-histograms-written", histograms),
            ("x-prometheus-remote-write-exemplars-written", exemplars),
        ] {
            answer.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from(count));
        }
    }
    answer
}
