//! What streams ask of their events beyond the rules for all: a schema that payloads must keep, or nothing at all any more.

use std::sync::Arc;

use super::validate::Payload;
use crate::wire::item::{Code, Pointers, Rejection, Stage};

/// What the streams of one tenant ask.
pub trait StreamRules: Sync {
    /// Asked once a request for each stream that it names.
    fn asked_by(&self, stream: &str) -> Asked;
}

#[derive(Clone)]
pub enum Asked {
    Nothing,
    /// It takes nothing; why, and what to do.
    Closed(Code, &'static str),
    Schema(Arc<dyn Judge>),
}

/// A schema, and what is done about what breaks it.
pub trait Judge: Send + Sync {
    /// The version that has judged a payload, which is known to be JSON; what is refused, and why.
    fn judge(&self, payload: &str) -> Result<i32, Broken>;
}

/// What a payload breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub message: String,
    pub pointers: Pointers,
}

impl Asked {
    /// The version that has judged the payload.
    pub(super) fn judge(&self, payload: Payload<'_>) -> Result<Option<i32>, Rejection> {
        match self {
            Self::Nothing => Ok(None),
            Self::Closed(code, why) => Err(Rejection::new(Stage::Package, *code, why)),
            Self::Schema(schema) => {
                let judged = match payload {
                    Payload::Object(text) => schema.judge(text),
                    Payload::Member(name, value) => schema.judge(&format!("{{\"{name}\":{value}}}")),
                    Payload::Empty => schema.judge("{}"),
                };
                judged.map(Some).map_err(|Broken { message, pointers }| Rejection {
                    pointers: Some(Box::new(pointers)),
                    ..Rejection::validate(Code::SchemaViolation, message)
                })
            }
        }
    }
}
