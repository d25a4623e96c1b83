//! Definitions are made, looked at, changed and deleted.

use hyper::{Response, StatusCode};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::problem;
use super::trial::{Trial, trial};
use crate::http::call::Call;
use crate::http::groups::body::{self, invalid};
use crate::http::reads::{self, ListAnswer};
use crate::http::response::{full, json as json_answer};
use crate::limits::{DESCRIPTION_CHARS_MAX, STREAM_CHARS_MAX};
use crate::protocols::Problem;
use crate::query::{ReadError, Stream};
use crate::registry::{Change, Compatibility, Definition, MaskSpec, Mode, Wanted};

/// What is sent of a definition; null stands for none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    #[serde(default)]
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    description: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    schema: Option<Box<RawValue>>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    compatibility: Option<String>,
    #[serde(default, deserialize_with = "present")]
    mask: Option<Option<Vec<MaskSpec>>>,
    #[serde(default)]
    force: Option<bool>,
}

/// What is there, be it null.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// A stream as it is answered: where its log is, and what it is defined to be.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    stream: Stream,
    #[serde(flatten)]
    defined: Defined,
    /// What a change of the schema was tried on.
    #[serde(skip_serializing_if = "Option::is_none")]
    trial: Option<Trial>,
}

#[derive(Serialize)]
struct Defined {
    schema: Option<Box<RawValue>>,
    mask: Vec<MaskSpec>,
    /// What the schema has warned of.
    warnings: Option<crate::registry::Warned>,
    created_at: Option<jiff::Timestamp>,
    updated_at: Option<jiff::Timestamp>,
}

impl Sent {
    fn change(&self) -> Result<Change, Problem> {
        let one_of = |name: &str, names: String| invalid(format!("`{name}` must be one of {names}"));
        let mode = self
            .mode
            .as_deref()
            .map(|text| Mode::of(text).ok_or_else(|| one_of("mode", Mode::ALL.map(|(name, _)| name).join(", "))));
        let compatibility = self.compatibility.as_deref().map(|text| {
            Compatibility::of(text)
                .ok_or_else(|| one_of("compatibility", Compatibility::ALL.map(|(name, _)| name).join(", ")))
        });
        let described = self.description.iter().flatten();
        if described.clone().any(|text| text.chars().count() > DESCRIPTION_CHARS_MAX || text.contains('\0')) {
            return Err(invalid(format!(
                "`description` must have at most {DESCRIPTION_CHARS_MAX} characters, and no NUL"
            )));
        }
        let schema =
            self.schema.as_ref().map(|schema| Some(schema.get()).filter(|text| *text != "null").map(str::to_owned));
        let mask = self.mask.as_ref().map(|mask| MaskSpec::parse_all(mask.as_deref().unwrap_or_default()));
        Ok(Change {
            description: self.description.clone(),
            mode: mode.transpose()?,
            compatibility: compatibility.transpose()?,
            schema,
            mask: mask.transpose().map_err(invalid)?,
        })
    }
}

/// POST /v1/streams
pub async fn create(mut call: Call<'_>) -> ListAnswer {
    let force = call.params.take_switch("force")?;
    std::mem::take(&mut call.params).finish()?;
    let sent: Sent = body::read_kept(&call.body)?;
    let name = sent.name.clone().ok_or_else(|| invalid("`name` is missing"))?;
    if !(1..=STREAM_CHARS_MAX).contains(&name.chars().count()) || name.contains('\0') {
        return Err(invalid(format!("`name` must have 1 to {STREAM_CHARS_MAX} characters, and no NUL")));
    }
    let change = sent.change()?;
    let definitions = &call.api.attached()?.definitions;
    let wanted = definitions.define(&call.principal.tenant_id, &name, change).await;
    let wanted = wanted.map_err(|error| problem(call.api, error))?;
    written(&call, &name, wanted, force.or(sent.force), StatusCode::CREATED).await
}

/// PATCH /v1/streams/{name}
pub async fn alter(mut call: Call<'_>) -> ListAnswer {
    let force = call.params.take_switch("force")?;
    std::mem::take(&mut call.params).finish()?;
    let sent: Sent = body::read_kept(&call.body)?;
    if sent.name.is_some() {
        return Err(invalid("`name` stays: define another stream, and send to that"));
    }
    let change = sent.change()?;
    let name = call.path.get("name").to_owned();
    let definitions = &call.api.attached()?.definitions;
    let tenant_id = &call.principal.tenant_id;
    // A stream that has come to be with its first event is defined by being altered.
    let wanted = match definitions.get(tenant_id, &name).await {
        Ok(None) if is_logged(&call, &name).await? => definitions.define(tenant_id, &name, change).await,
        Ok(_) => definitions.change(tenant_id, &name, change).await,
        Err(error) => Err(error),
    };
    let wanted = wanted.map_err(|error| problem(call.api, error))?;
    written(&call, &name, wanted, force.or(sent.force), StatusCode::OK).await
}

/// Writes a definition once its schema has been tried.
async fn written(call: &Call<'_>, name: &str, wanted: Wanted, force: Option<bool>, status: StatusCode) -> ListAnswer {
    let tried = match &wanted.trial {
        Some(schema) => Some(trial(call, name, schema).await?),
        None => None,
    };
    // Of a schema that refuses nothing, or is wanted all the same, the trial only tells.
    if wanted.enforces()
        && force != Some(true)
        && let Some(problem) = tried.as_ref().and_then(Trial::objection)
    {
        return Err(problem);
    }
    let definitions = &call.api.attached()?.definitions;
    let (tenant_id, key_id) = (&call.principal.tenant_id, call.principal.id());
    let definition = definitions.write(tenant_id, wanted, key_id).await.map_err(|error| problem(call.api, error))?;
    tracing::info!(tenant_id = &**tenant_id, stream = name, %key_id, mode = definition.mode, version = definition.schema_version, "a stream is defined");
    let mut answer = shown(call, name, Some(definition)).await?;
    answer.trial = tried;
    Ok(json_answer(status, &answer))
}

/// GET /v1/streams/{name}
pub async fn show(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let name = call.path.get("name").to_owned();
    let definitions = &call.api.attached()?.definitions;
    let definition =
        definitions.get(&call.principal.tenant_id, &name).await.map_err(|error| problem(call.api, error))?;
    Ok(json_answer(StatusCode::OK, &shown(&call, &name, definition).await?))
}

/// DELETE /v1/streams/{name}
pub async fn delete(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    body::none(&call.body)?;
    let name = call.path.get("name").to_owned();
    let definitions = &call.api.attached()?.definitions;
    let tenant_id = &call.principal.tenant_id;
    let deleted = match definitions.get(tenant_id, &name).await {
        // Of one that was never defined it is noted that it takes nothing more.
        Ok(None) if is_logged(&call, &name).await? => {
            async {
                let wanted = definitions.define(tenant_id, &name, Change::default()).await?;
                definitions.write(tenant_id, wanted, call.principal.id()).await?;
                definitions.delete(tenant_id, &name).await
            }
            .await
        }
        Ok(_) => definitions.delete(tenant_id, &name).await,
        Err(error) => Err(error),
    };
    deleted.map_err(|error| problem(call.api, error))?;
    tracing::info!(tenant_id = &**tenant_id, stream = name, key_id = %call.principal.id(), "a stream is deleted");
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// The stream's log, and its definition.
async fn shown(call: &Call<'_>, name: &str, definition: Option<Definition>) -> Result<Shown, Problem> {
    let stream = logged(call, name).await?;
    let not_yet = |defined: &Definition| Stream {
        name: defined.name.clone(),
        begin: 0,
        end: 0,
        oldest: None,
        newest: None,
        mode: defined.mode.to_owned(),
        compatibility: defined.compatibility.to_owned(),
        schema_version: defined.schema_version,
        description: defined.description.clone(),
    };
    // A copy of the database that lags may not have it.
    let stream = match (stream, &definition) {
        (Some(stream), None) => stream,
        (Some(stream), Some(defined)) => Stream {
            begin: stream.begin,
            end: stream.end,
            oldest: stream.oldest,
            newest: stream.newest,
            ..not_yet(defined)
        },
        (None, Some(defined)) => not_yet(defined),
        (None, None) => return Err(Problem::not_found("stream")),
    };
    let defined = match definition {
        Some(Definition { schema, mask, warnings, created_at, updated_at, .. }) => Defined {
            schema,
            mask,
            warnings: Some(warnings),
            created_at: Some(created_at),
            updated_at: Some(updated_at),
        },
        None => Defined { schema: None, mask: Vec::new(), warnings: None, created_at: None, updated_at: None },
    };
    Ok(Shown { stream, defined, trial: None })
}

async fn logged(call: &Call<'_>, name: &str) -> Result<Option<Stream>, Problem> {
    let tenant_id = &call.principal.tenant_id;
    let read = async {
        call.api.home(tenant_id)?.reads.begin(tenant_id).await.map_err(|error| reads::problem(call.api, error))
    };
    match read.await?.stream(tenant_id, name).await {
        Ok(stream) => Ok(Some(stream)),
        Err(ReadError::NotFound(_)) => Ok(None),
        Err(error) => Err(reads::problem(call.api, error)),
    }
}

/// Whether a stream that is not defined has come to be with an event.
async fn is_logged(call: &Call<'_>, name: &str) -> Result<bool, Problem> {
    logged(call, name).await.map(|stream| stream.is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::limits::{
        GROUP_EVENT_TYPES_MAX, GROUP_NAME_CHARS_MAX, MASK_PATH_BYTES_MAX, MASKS_MAX, PARKED_PER_CALL_MAX,
    };

    #[test]
    fn lengths_are_described_as_they_are() {
        let described: Value = serde_json::from_str(include_str!("../openapi.json")).expect("JSON");
        let sent = |route: &str, what: &str| {
            format!("/paths/~1v1~1streams{route}/requestBody/content/application~1json/schema/properties/{what}")
        };
        for (pointer, most) in [
            (sent("/post", "name/maxLength"), STREAM_CHARS_MAX),
            (sent("/post", "description/maxLength"), DESCRIPTION_CHARS_MAX),
            (sent("/post", "mask/maxItems"), MASKS_MAX),
            (sent("~1{name}/patch", "description/maxLength"), DESCRIPTION_CHARS_MAX),
            (sent("~1{name}/patch", "mask/maxItems"), MASKS_MAX),
            (sent("~1{name}~1groups/post", "name/maxLength"), GROUP_NAME_CHARS_MAX),
            (sent("~1{name}~1groups/post", "event_types/maxItems"), GROUP_EVENT_TYPES_MAX),
            (sent("~1{name}~1groups~1{group}/patch", "event_types/maxItems"), GROUP_EVENT_TYPES_MAX),
            ("/components/schemas/Mask/properties/path/maxLength".to_owned(), MASK_PATH_BYTES_MAX),
            ("/components/schemas/WhichParked/properties/offsets/maxItems".to_owned(), PARKED_PER_CALL_MAX),
            ("/components/schemas/Event/properties/stream/maxLength".to_owned(), STREAM_CHARS_MAX),
        ] {
            let said = described.pointer(&pointer).and_then(Value::as_u64);
            assert_eq!(said, u64::try_from(most).ok(), "{pointer}");
        }
    }
}
