//! Bodies that hold passwords: what is wrong with them is said without repeating what they hold.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::http::groups::body::{self, invalid};
use crate::protocols::{Problem, ProblemCode};

/// A JSON object with these members and no others, all of them texts but where another kind is named.
pub fn read<T: DeserializeOwned>(bytes: &Bytes, members: &str) -> Result<T, Problem> {
    body::read(bytes).map_err(|problem| match problem.code() {
        ProblemCode::InvalidBody => invalid(format!("the body must be a JSON object with {members}, and nothing else")),
        _ => Problem::bad_request(ProblemCode::BodyNotJson, "the body is not JSON"),
    })
}

/// A text that is not shown.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub String);
