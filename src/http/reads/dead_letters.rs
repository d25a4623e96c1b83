//! GET /v1/dead-letters and /v1/dead-letters/{id}.

use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use jiff::Timestamp;
use uuid::Uuid;

use super::{Paging, Wanted, page, problem, wanted};
use crate::http::Api;
use crate::http::export;
use crate::http::params::Params;
use crate::http::problem::Problem;
use crate::http::response::{Body, json};
use crate::limits::PAGE_ROWS_DEFAULT;
use crate::query::DeadLettersQuery;
use crate::tenancy::Principal;

const COLUMNS: &[&str] = &[
    "id",
    "failed_at",
    "stage",
    "code",
    "reason",
    "route",
    "content_type",
    "item_index",
    "event_id",
    "receipt",
    "api_key_id",
    "raw_bytes",
    "raw_base64",
];

/// GET /v1/dead-letters
pub async fn dead_letters(
    api: &Api,
    principal: &Principal,
    parts: &Parts,
    mut params: Params,
) -> Result<Response<Body>, Problem> {
    let wanted = wanted(&parts.headers)?;
    let now = Timestamp::now();
    let Paging { limit, cursor } = Paging::take(&mut params)?;
    let query = DeadLettersQuery {
        tenant_id: principal.tenant_id.to_string(),
        stages: params.take_list("stage")?,
        codes: params.take_list("code")?,
        from: params.take_time("from", now)?,
        to: params.take_time("to", now)?,
        limit: limit.unwrap_or(PAGE_ROWS_DEFAULT),
        cursor,
    };
    params.finish()?;
    let found = api.reads.dead_letters(&query).await.map_err(|error| problem(api, error))?;
    Ok(match wanted {
        Wanted::Page => page(found),
        Wanted::Stream(form) => export::at_hand(&found.items, COLUMNS, form),
    })
}

/// GET /v1/dead-letters/{id}
pub async fn dead_letter(
    api: &Api,
    principal: &Principal,
    id: &str,
    params: Params,
) -> Result<Response<Body>, Problem> {
    params.finish()?;
    let Ok(id) = Uuid::try_parse(id) else { return Err(Problem::not_found("dead letter")) };
    let found = api.reads.dead_letter(&principal.tenant_id, id).await.map_err(|error| problem(api, error))?;
    found.map(|letter| json(StatusCode::OK, &letter)).ok_or_else(|| Problem::not_found("dead letter"))
}
