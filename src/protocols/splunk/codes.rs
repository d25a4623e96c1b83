//! The codes of HEC's answers, with their statuses and texts, as "Troubleshoot HTTP Event Collector" lists them.

use hyper::StatusCode;
use serde::Serialize;

use crate::protocols::agent;
use crate::protocols::problem::Answer;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    pub number: u8,
    pub status: StatusCode,
    pub text: &'static str,
}

const fn code(number: u8, status: StatusCode, text: &'static str) -> Code {
    Code { number, status, text }
}

pub const SUCCESS: Code = code(0, StatusCode::OK, "Success");
pub const TOKEN_DISABLED: Code = code(1, StatusCode::FORBIDDEN, "Token disabled");
pub const TOKEN_REQUIRED: Code = code(2, StatusCode::UNAUTHORIZED, "Token is required");
pub const INVALID_AUTHORIZATION: Code = code(3, StatusCode::UNAUTHORIZED, "Invalid authorization");
pub const INVALID_TOKEN: Code = code(4, StatusCode::FORBIDDEN, "Invalid token");
pub const NO_DATA: Code = code(5, StatusCode::BAD_REQUEST, "No data");
pub const INVALID_DATA_FORMAT: Code = code(6, StatusCode::BAD_REQUEST, "Invalid data format");
pub const INTERNAL: Code = code(8, StatusCode::INTERNAL_SERVER_ERROR, "Internal server error");
pub const BUSY: Code = code(9, StatusCode::SERVICE_UNAVAILABLE, "Server is busy");
pub const NO_CHANNEL: Code = code(10, StatusCode::BAD_REQUEST, "Data channel is missing");
pub const EVENT_REQUIRED: Code = code(12, StatusCode::BAD_REQUEST, "Event field is required");
pub const EVENT_BLANK: Code = code(13, StatusCode::BAD_REQUEST, "Event field cannot be blank");
pub const HEALTHY: Code = code(17, StatusCode::OK, "HEC is healthy");

/// What is said beside text and code.
#[derive(Default, Serialize)]
pub struct More<'a> {
    #[serde(rename = "ackId", skip_serializing_if = "Option::is_none")]
    pub ack_id: Option<u64>,
    #[serde(rename = "invalid-event-number", skip_serializing_if = "Option::is_none")]
    pub invalid_event_number: Option<u32>,
    /// Not HEC's own: what exactly is wrong. Agents write the answer into their logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'a str>,
}

#[derive(Serialize)]
struct Said<'a> {
    text: &'a str,
    code: u8,
    #[serde(flatten)]
    more: More<'a>,
}

impl Code {
    /// The code that the tag of a broken item stands for; other items that were refused are data in the wrong format.
    pub fn of_tag(tag: u8) -> Self {
        [EVENT_REQUIRED, EVENT_BLANK].into_iter().find(|code| code.number == tag).unwrap_or(INVALID_DATA_FORMAT)
    }

    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub fn answer(self, more: More<'_>) -> Answer {
        agent::json(self.status, &Said { text: self.text, code: self.number, more })
    }
}
