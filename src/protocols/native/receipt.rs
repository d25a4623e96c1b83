//! The answer to a request that was written: a receipt, which is a problem document as well where nothing was accepted.

use std::collections::BTreeMap;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::limits::ERRORS_LISTED_MAX;
use crate::protocols::problem::{Answer, Details, PROBLEM_JSON, Problem, ProblemCode};
use crate::protocols::report::{Ending, ItemError, Report};

#[derive(Serialize)]
struct ReceiptBody<'a> {
    receipt: uuid::Uuid,
    /// None in a problem document, which has the HTTP status.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    accepted: u32,
    rejected: u32,
    /// The whole request was a repetition; the rest of the answer is the first one's.
    duplicate: bool,
    /// Events that were there already (rowstore profile); never metrics.
    #[serde(skip_serializing_if = "is_zero")]
    duplicates: u32,
    errors: Vec<ItemError<'a>>,
    /// How many of all rejected items have which code; `errors` has the first ones only.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    codes: BTreeMap<&'a str, u32>,
    #[serde(flatten)]
    problem: Option<Details<'a>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

pub fn answer(report: Report<'_>) -> Answer {
    let (http_status, said) = match report.verdict {
        Ending::Committed => (StatusCode::OK, Ok("committed")),
        Ending::Spooled => (StatusCode::ACCEPTED, Ok("spooled")),
        Ending::NothingAccepted => {
            let detail = "no item of the request was accepted; each is kept as a dead letter";
            (StatusCode::UNPROCESSABLE_ENTITY, Err((ProblemCode::NothingAccepted, detail)))
        }
        Ending::NotJson => {
            let detail = "the body is not JSON; it is kept as a dead letter";
            (StatusCode::BAD_REQUEST, Err((ProblemCode::BodyNotJson, detail)))
        }
    };
    let (mut errors, mut codes) = (Vec::new(), BTreeMap::new());
    for error in report.errors {
        *codes.entry(error.code).or_default() += 1;
        if errors.len() < ERRORS_LISTED_MAX {
            errors.push(error);
        }
    }
    let problem = said.err().map(|(code, detail)| Problem::new(http_status, code, detail));
    let receipt = ReceiptBody {
        receipt: report.receipt,
        status: said.ok(),
        accepted: report.accepted,
        rejected: report.rejected,
        duplicate: report.replayed,
        duplicates: report.duplicates,
        errors,
        codes,
        problem: problem.as_ref().map(Problem::details),
    };
    let body = serde_json::to_vec(&receipt).expect("a receipt is made of plain values");
    let mut response = Response::new(body.into());
    *response.status_mut() = http_status;
    let content_type = if problem.is_some() { PROBLEM_JSON } else { HeaderValue::from_static("application/json") };
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    if report.replayed {
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    response
}
