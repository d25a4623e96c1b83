//! Refusals of a whole request, in Elasticsearch's words.

use hyper::header::{HeaderValue, WWW_AUTHENTICATE};
use hyper::{HeaderMap, StatusCode};
use serde::Serialize;

use super::names::dress;
use crate::protocols::agent;
use crate::protocols::problem::{Answer, Problem, ProblemCode};

#[derive(Serialize)]
struct Cause<'a> {
    r#type: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
struct Error<'a> {
    root_cause: [Cause<'a>; 1],
    #[serde(flatten)]
    cause: Cause<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    error: Error<'a>,
    status: u16,
}

pub fn answer(headers: &HeaderMap, problem: &Problem) -> Answer {
    let (status, kind) = kind(problem);
    let mut answer = agent::refused(said(status, kind, problem.detail()), problem);
    if status == StatusCode::UNAUTHORIZED {
        for scheme in ["Basic realm=\"security\", charset=\"UTF-8\"", "ApiKey", "Bearer realm=\"security\""] {
            answer.headers_mut().append(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        }
    }
    dress(headers, answer)
}

/// The answer to a body without actions.
pub fn nothing(body: &[u8]) -> Answer {
    if body.is_empty() {
        said(StatusCode::BAD_REQUEST, "parse_exception", "request body is required")
    } else {
        let reason = "Validation Failed: 1: no requests added;";
        said(StatusCode::BAD_REQUEST, "action_request_validation_exception", reason)
    }
}

fn said(status: StatusCode, kind: &str, reason: &str) -> Answer {
    let cause = || Cause { r#type: kind, reason };
    let error = Error { root_cause: [cause()], cause: cause() };
    agent::json(status, &Body { error, status: status.as_u16() })
}

fn kind(problem: &Problem) -> (StatusCode, &'static str) {
    let status = problem.status();
    match (problem.code(), status) {
        (ProblemCode::EmptyBody, _) => (status, "parse_exception"),
        // Its outcome is known soon: clients come again after 429, and not after 409.
        (ProblemCode::IdempotencyKeyInFlight, _) => (StatusCode::TOO_MANY_REQUESTS, "es_rejected_execution_exception"),
        (ProblemCode::InvalidParameter, StatusCode::BAD_REQUEST) => (status, "action_request_validation_exception"),
        (_, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => (status, "security_exception"),
        (_, StatusCode::PAYLOAD_TOO_LARGE) => (status, "content_too_long_exception"),
        (_, StatusCode::UNSUPPORTED_MEDIA_TYPE) => (status, "media_type_header_exception"),
        (_, StatusCode::TOO_MANY_REQUESTS) => (status, "es_rejected_execution_exception"),
        (_, StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT) => (status, "timeout_exception"),
        (_, StatusCode::SERVICE_UNAVAILABLE) => (status, "cluster_block_exception"),
        _ if status.is_server_error() => (status, "exception"),
        _ => (status, "illegal_argument_exception"),
    }
}
