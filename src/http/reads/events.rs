//! GET /v1/events, one event, and what is related to one.

use std::collections::HashMap;

use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use jiff::Timestamp;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Paging, Wanted, list, page, problem, wanted};
use crate::http::Api;
use crate::http::params::{Params, invalid};
use crate::http::problem::Problem;
use crate::http::response::{Body, json};
use crate::limits::PAGE_ROWS_DEFAULT;
use crate::query::{Event, EventsQuery, Field, Filter, RelatedQuery};
use crate::tenancy::Principal;
use crate::wire::event::foreign_id;

const COLUMNS: &[&str] = &[
    "id",
    "timestamp",
    "tenant_id",
    "stream",
    "source_module",
    "event_type",
    "event_version",
    "severity",
    "environment",
    "asset_id",
    "correlation_id",
    "parent_event_id",
    "trace_id",
    "payload",
    "metadata",
    "created_at",
];
const RELATED_COLUMNS: &[&str] = &["relation", "strength", "confidence", "correlation_type", "event"];

/// GET /v1/events
pub async fn events(
    api: &Api,
    principal: &Principal,
    parts: &Parts,
    mut params: Params,
) -> Result<Response<Body>, Problem> {
    let wanted = wanted(&parts.headers)?;
    let filter = filter(&mut params, &principal.tenant_id)?;
    let Paging { limit, cursor } = Paging::take(&mut params)?;
    params.finish()?;
    let tenant_id = principal.tenant_id.to_string();
    let query = EventsQuery { tenant_id, filter, limit: limit.unwrap_or(PAGE_ROWS_DEFAULT), cursor };
    list(api, wanted, query, COLUMNS, limit).await
}

/// GET /v1/events/{id}: an id that is no UUID is looked for under the UUIDv5 that it was stored as.
pub async fn event(api: &Api, principal: &Principal, id: &str, params: Params) -> Result<Response<Body>, Problem> {
    params.finish()?;
    let id = event_id(principal, id);
    let found: Option<Event> = api.reads.event(&principal.tenant_id, id).await.map_err(|error| problem(api, error))?;
    found.map(|event| json(StatusCode::OK, &event)).ok_or_else(|| Problem::not_found("event"))
}

/// GET /v1/events/{id}/related
pub async fn related(
    api: &Api,
    principal: &Principal,
    id: &str,
    parts: &Parts,
    mut params: Params,
) -> Result<Response<Body>, Problem> {
    let wanted = wanted(&parts.headers)?;
    let Paging { limit, cursor } = Paging::take(&mut params)?;
    params.finish()?;
    let (tenant_id, id) = (principal.tenant_id.to_string(), event_id(principal, id));
    let query = RelatedQuery { tenant_id, id, limit: limit.unwrap_or(PAGE_ROWS_DEFAULT), cursor };
    if let Wanted::Stream(_) = wanted {
        // A stream that has begun cannot say any more that there is no such event.
        let found = api.reads.event(&query.tenant_id, id).await.map_err(|error| problem(api, error))?;
        found.ok_or_else(|| Problem::not_found("event"))?;
        return list(api, wanted, query, RELATED_COLUMNS, limit).await;
    }
    let found = api.reads.related(&query).await.map_err(|error| problem(api, error))?;
    found.map(page).ok_or_else(|| Problem::not_found("event"))
}

/// Whoever sent an id that is no UUID may ask by it.
pub(super) fn event_id(principal: &Principal, id: &str) -> Uuid {
    Uuid::try_parse(id).unwrap_or_else(|_| foreign_id(&principal.tenant_id, id))
}

pub(super) fn filter(params: &mut Params, tenant_id: &str) -> Result<Filter, Problem> {
    let now = Timestamp::now();
    let mut filter =
        Filter { from: params.take_time("from", now)?, to: params.take_time("to", now)?, ..Filter::default() };
    for field in Field::ALL {
        let values = params.take_list(field.name())?;
        if !values.is_empty() {
            filter.fields.push((field, values));
        }
    }
    filter.correlation_ids = params
        .take_list("correlation_id")?
        .iter()
        .map(|id| Uuid::try_parse(id).unwrap_or_else(|_| foreign_id(tenant_id, id)))
        .collect();
    if let Some(text) = params.take("payload") {
        // Raw values: a payload may hold numbers that no double can.
        let object = serde_json::from_str::<HashMap<String, &RawValue>>(&text).is_ok();
        if !object || text.contains("\\u0000") {
            return Err(invalid("payload", "must be a JSON object that the payload is to contain"));
        }
        filter.payload = Some(text);
    }
    Ok(filter)
}
