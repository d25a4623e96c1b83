//! The answer to a request that was written: a receipt, which is a problem document as well where nothing was accepted.

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::limits::ERRORS_LISTED_MAX;
use crate::protocols::outcome::{ItemError, Outcome, Verdict};
use crate::protocols::problem::{Answer, Code, PROBLEM_JSON};

#[derive(Serialize)]
struct Receipt<'a> {
    receipt: uuid::Uuid,
    /// `committed` or `spooled`, or in a problem document the HTTP status.
    status: Status,
    accepted: u32,
    rejected: u32,
    /// The whole request was a repetition; the rest of the answer is the first one's.
    duplicate: bool,
    /// Events that were there already (rowstore profile); never metrics.
    #[serde(skip_serializing_if = "is_zero")]
    duplicates: u32,
    errors: &'a [ItemError<'a>],
    /// Only of answers that are errors: what went wrong as a whole.
    #[serde(flatten)]
    problem: Option<AsProblem>,
}

/// The members that make an answer with receipts a problem document as well.
#[derive(Serialize)]
struct AsProblem {
    r#type: String,
    title: &'static str,
    code: &'static str,
    detail: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Status {
    Name(&'static str),
    Http(u16),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

pub fn answer(outcome: &Outcome<'_>) -> Answer {
    let (http_status, status, problem) = match outcome.verdict {
        Verdict::Committed => (StatusCode::OK, Status::Name("committed"), None),
        Verdict::Spooled => (StatusCode::ACCEPTED, Status::Name("spooled"), None),
        Verdict::NothingAccepted => {
            let detail = "no item of the request was accepted; each is kept as a dead letter";
            let problem = as_problem("Unprocessable Entity", Code::NothingAccepted, detail);
            (StatusCode::UNPROCESSABLE_ENTITY, Status::Http(422), Some(problem))
        }
        Verdict::NotJson => {
            let detail = "the body is not JSON; it is kept as a dead letter";
            (StatusCode::BAD_REQUEST, Status::Http(400), Some(as_problem("Bad Request", Code::BodyNotJson, detail)))
        }
    };
    let content_type = if problem.is_some() { PROBLEM_JSON } else { HeaderValue::from_static("application/json") };
    let receipt = Receipt {
        receipt: outcome.receipt,
        status,
        accepted: outcome.accepted,
        rejected: outcome.rejected,
        duplicate: outcome.replayed,
        duplicates: outcome.duplicates,
        errors: &outcome.errors[..outcome.errors.len().min(ERRORS_LISTED_MAX)],
        problem,
    };
    let body = serde_json::to_vec(&receipt).expect("a receipt is made of plain values");
    let mut response = Response::new(body.into());
    *response.status_mut() = http_status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    if outcome.replayed {
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    response
}

fn as_problem(title: &'static str, code: Code, detail: &'static str) -> AsProblem {
    AsProblem { r#type: code.urn(), title, code: code.as_str(), detail }
}
