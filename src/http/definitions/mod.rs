//! Streams are defined over HTTP: schemas with versions, what is done about what breaks them, and masks.

mod manage;
mod trial;
mod versions;

pub use manage::{alter, create, delete, show};
pub use versions::{version, versions};

use hyper::StatusCode;

use super::Api;
use super::reads;
use crate::limits::{DEFINITIONS_PER_TENANT_MAX, SCHEMA_VERSIONS_MAX};
use crate::protocols::{Problem, ProblemCode};
use crate::query::ReadError;
use crate::registry::DefinitionError;

fn problem(api: &Api, error: DefinitionError) -> Problem {
    let conflict = |code, detail: String| Problem::new(StatusCode::CONFLICT, code, detail);
    match error {
        DefinitionError::NotFound(what) => Problem::not_found(what),
        DefinitionError::Exists => conflict(
            ProblemCode::StreamExists,
            "the stream is defined already: alter it (PATCH /v1/streams/{name}), or choose another name".to_owned(),
        ),
        DefinitionError::Changed => {
            let detail = "another change of the stream came between: look at it, and try again".to_owned();
            conflict(ProblemCode::StreamChanged, detail).retry_after(1)
        }
        DefinitionError::Schema(error) => {
            Problem::bad_request(ProblemCode::InvalidSchema, format!("the schema is not taken: {error}"))
        }
        DefinitionError::Incompatible { with, wanted, reasons } => {
            let detail = format!("the schema is not {wanted} compatible with version {with}; `reasons` says where");
            conflict(ProblemCode::SchemaIncompatible, detail).with("reasons", reasons)
        }
        DefinitionError::Full(what) => {
            let detail = match what {
                "versions" => {
                    format!("the stream has had {SCHEMA_VERSIONS_MAX} versions of its schema; define another stream")
                }
                _ => format!(
                    "there are as many definitions as there may be ({DEFINITIONS_PER_TENANT_MAX} of an organization, also of \
                     streams that were deleted); define one of these names again"
                ),
            };
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, ProblemCode::DefinitionQuota, detail)
        }
        DefinitionError::NoSchema => Problem::bad_request(
            ProblemCode::InvalidBody,
            "`mode` is what is done about payloads that break the schema: send a `schema` as well, or `off`",
        ),
        DefinitionError::MaskKey(why) => conflict(ProblemCode::MaskKey, why),
        DefinitionError::Storage(error) => reads::problem(api, ReadError::Storage(error)),
    }
}
