//! Versions of a stream's schema.

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::problem;
use crate::http::call::Call;
use crate::http::reads::{ListAnswer, ListRequest};
use crate::http::response::json as json_answer;
use crate::limits::{RETRY_AFTER_MIN, SCHEMA_BYTES_MAX};
use crate::protocols::Problem;
use crate::query::{Busy, Listing, Page, PageRequest, ReadError, Reads, columns};
use crate::registry::{DefinitionError, Definitions, Version};

/// Versions of one page, however many are asked for: with their texts they may be large.
const VERSIONS_MAX: usize = 100;

columns! {
    /// As it is listed.
    pub struct ListedVersion {
        pub version: i32,
        pub schema: Box<RawValue>,
        pub created_at: Timestamp,
        pub api_key_id: Option<Uuid>,
    }
}

/// Newest first. They are read where they are written to: a copy of the database that lags would not have what was made just now.
struct VersionsQuery {
    definitions: Definitions,
    stream: String,
}

impl Listing for VersionsQuery {
    type Item = ListedVersion;

    const ROWS_STREAMED: usize = VERSIONS_MAX;

    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<ListedVersion>, ReadError> {
        let (scope, before) = request.start::<i32>(&format!("schemas {:?}", self.stream))?;
        let limit = reads.room(request.limit.min(VERSIONS_MAX), SCHEMA_BYTES_MAX)?;
        let rows = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let before = before.unwrap_or(i32::MAX);
        let mut found = self.definitions.versions(&request.tenant_id, &self.stream, before, rows).await?;
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next_cursor = found.last().filter(|_| has_more).map(|last| scope.encode(&last.version));
        Ok(Page::new(found.into_iter().map(ListedVersion::from).collect(), next_cursor))
    }
}

impl From<Version> for ListedVersion {
    fn from(version: Version) -> Self {
        let Version { version, schema, created_at, api_key_id } = version;
        Self { version, schema, created_at, api_key_id }
    }
}

impl From<DefinitionError> for ReadError {
    /// Of what only looks.
    fn from(error: DefinitionError) -> Self {
        match error {
            DefinitionError::NotFound(what) => Self::NotFound(what),
            DefinitionError::Storage(error) => Self::Storage(error),
            // No look ends so.
            DefinitionError::Exists
            | DefinitionError::Changed
            | DefinitionError::Schema(_)
            | DefinitionError::Incompatible { .. }
            | DefinitionError::Full(_)
            | DefinitionError::NoSchema
            | DefinitionError::MaskKey(_) => Self::Busy { busy: Busy::Readers, retry_after: RETRY_AFTER_MIN },
        }
    }
}

/// GET /v1/streams/{name}/schemas
pub async fn versions(mut call: Call<'_>) -> ListAnswer {
    let request = ListRequest::take_plain(call.principal, call.parts, &mut call.params)?;
    let definitions = call.api.attached()?.definitions.clone();
    let query = VersionsQuery { definitions, stream: call.path.get("name").to_owned() };
    request.answer(call.api, call.params, query).await
}

/// GET /v1/streams/{name}/schemas/{version}
pub async fn version(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let number = numbered(call.path.get("version")).ok_or_else(|| Problem::not_found("version"))?;
    let definitions = &call.api.attached()?.definitions;
    let found = definitions.version(&call.principal.tenant_id, call.path.get("name"), number).await;
    Ok(json_answer(StatusCode::OK, &found.map_err(|error| problem(call.api, error))?))
}

/// A version's number in its one spelling.
fn numbered(text: &str) -> Option<i32> {
    text.parse().ok().filter(|number: &i32| *number > 0 && number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::http::operation::OPENAPI;
    use crate::query::Columns;

    #[test]
    fn openapi_describes_exactly_the_columns() {
        let document: Value = serde_json::from_str(OPENAPI).expect("openapi.json is JSON");
        let required = document.pointer("/components/schemas/SchemaVersion/required").and_then(Value::as_array);
        let required: Vec<&str> = required.expect("names").iter().filter_map(Value::as_str).collect();
        assert_eq!(required, ListedVersion::names());
    }

    #[test]
    fn a_version_has_one_spelling() {
        assert_eq!(["1", "10", "2147483647"].map(numbered), [Some(1), Some(10), Some(i32::MAX)]);
        assert_eq!(["01", "+1", "0", "-1", "1.0", "2147483648", ""].map(numbered), [None; 7]);
    }
}
