//! `google.rpc.Status`, in which OTLP says what is wrong, and its codes.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::super::protobuf::{put_bytes, put_number};
use crate::protocols::problem::{Problem, ProblemCode};

/// `google.rpc.Code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    InvalidArgument = 3,
    NotFound = 5,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Code {
    pub fn of(problem: &Problem) -> Self {
        if problem.code() == ProblemCode::UnsupportedEncoding {
            return Self::Unimplemented;
        }
        match problem.status() {
            StatusCode::UNAUTHORIZED => Self::Unauthenticated,
            StatusCode::FORBIDDEN => Self::PermissionDenied,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::Unimplemented,
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS => Self::ResourceExhausted,
            _ if is_to_come_again(problem) => Self::Unavailable,
            StatusCode::CONFLICT => Self::FailedPrecondition,
            status if status.is_server_error() => Self::Internal,
            _ => Self::InvalidArgument,
        }
    }

    pub fn number(self) -> u8 {
        self as u8
    }
}

/// Whether the sender is to send the same again.
pub fn is_to_come_again(problem: &Problem) -> bool {
    match problem.status() {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => true,
        StatusCode::CONFLICT => problem.code() == ProblemCode::IdempotencyKeyInFlight,
        _ => false,
    }
}

/// What a detail of a status is about.
pub enum Detail<'a> {
    /// `google.rpc.BadRequest`: what is wrong with the body.
    BadRequest(&'a str),
    /// `google.rpc.RetryInfo`: in how many seconds to come again.
    RetryInfo(u32),
}

/// A status in protobuf.
pub fn protobuf(code: Code, message: &str, detail: Option<&Detail<'_>>) -> Vec<u8> {
    let mut status = Vec::new();
    put_number(&mut status, 1, code.number().into());
    put_bytes(&mut status, 2, message.as_bytes());
    if let Some(detail) = detail {
        let (name, value) = match detail {
            Detail::BadRequest(text) => {
                let mut violation = Vec::new();
                put_bytes(&mut violation, 1, b"body");
                put_bytes(&mut violation, 2, text.as_bytes());
                ("BadRequest", violation)
            }
            Detail::RetryInfo(seconds) => {
                let mut duration = Vec::new();
                put_number(&mut duration, 1, (*seconds).into());
                ("RetryInfo", duration)
            }
        };
        let (mut any, mut inner) = (Vec::new(), Vec::new());
        put_bytes(&mut inner, 1, &value);
        put_bytes(&mut any, 1, format!("type.googleapis.com/google.rpc.{name}").as_bytes());
        put_bytes(&mut any, 2, &inner);
        put_bytes(&mut status, 3, &any);
    }
    status
}

/// The same in JSON.
pub fn json(code: Code, message: &str, detail: Option<&Detail<'_>>) -> Vec<u8> {
    let details: Vec<Value> = detail
        .map(|detail| match detail {
            Detail::BadRequest(text) => json!({"@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"field": "body", "description": text}]}),
            Detail::RetryInfo(seconds) => json!({"@type": "type.googleapis.com/google.rpc.RetryInfo",
                "retryDelay": format!("{seconds}s")}),
        })
        .into_iter()
        .collect();
    let mut status = json!({"code": code.number(), "message": message});
    if !details.is_empty() {
        status["details"] = details.into();
    }
    serde_json::to_vec(&status).expect("strings and numbers are JSON")
}
