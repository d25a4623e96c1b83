//! The reads: parameters in, pages out, as JSON, NDJSON or CSV.

use std::collections::HashMap;

use hyper::header::ACCEPT;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Response, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::Api;
use super::export::{self, Form};
use super::params::{Params, invalid};
use super::problem::Problem;
use super::response::{Body, json};
use crate::ingest::{foreign_id, spool::Summary};
use crate::limits::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use crate::query::{
    Bucket, CountsQuery, CursorError, DeadLettersQuery, Event, EventsQuery, Field, Filter, Page, ReadError,
};
use crate::tenancy::Principal;

/// How the reader wants a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// One JSON document with a cursor.
    Page,
    /// A stream of all that matches.
    Stream(Form),
}

#[derive(Serialize)]
struct List<'a, T> {
    data: &'a [T],
    next_cursor: Option<String>,
}

/// GET /v1/events
pub async fn events(
    api: &Api,
    principal: &Principal,
    parts: &Parts,
    mut params: Params,
) -> Result<Response<Body>, Problem> {
    let wanted = wanted(&parts.headers)?;
    let filter = filter(&mut params, &principal.tenant_id)?;
    let limit = params.take_count("limit", PAGE_ROWS_MAX)?;
    let cursor = params.take("cursor");
    params.finish()?;
    let tenant_id = principal.tenant_id.to_string();
    let query = EventsQuery { tenant_id, filter, limit: limit.unwrap_or(PAGE_ROWS_DEFAULT), cursor };
    match wanted {
        Wanted::Page => api.reads.events(&query).await.map(page).map_err(|error| problem(api, error)),
        Wanted::Stream(form) => {
            export::events(&api.reads, query, limit, form).await.map_err(|error| problem(api, error))
        }
    }
}

/// GET /v1/events/{id}: an id that is no UUID is looked for under the UUIDv5 that it was stored as.
pub async fn event(api: &Api, principal: &Principal, id: &str, params: Params) -> Result<Response<Body>, Problem> {
    params.finish()?;
    let id = Uuid::try_parse(id).unwrap_or_else(|_| foreign_id(&principal.tenant_id, id));
    let found: Option<Event> = api.reads.event(&principal.tenant_id, id).await.map_err(|error| problem(api, error))?;
    found.map(|event| json(StatusCode::OK, &event)).ok_or_else(|| Problem::not_found("event"))
}

/// GET /v1/events/counts
pub async fn counts(
    api: &Api,
    principal: &Principal,
    parts: &Parts,
    mut params: Params,
) -> Result<Response<Body>, Problem> {
    let wanted = wanted(&parts.headers)?;
    let bucket = match params.take("bucket") {
        None => None,
        Some(text) => Some(Bucket::parse(&text).ok_or_else(|| invalid("bucket", "must be 1m, 5m, 1h or 1d"))?),
    };
    let mut group_by = Vec::new();
    for name in params.take_list("group_by")? {
        let field = Field::ALL.into_iter().find(|field| field.name() == name && *field != Field::TraceId);
        let field = field.ok_or_else(|| {
            invalid("group_by", "takes asset_id, event_type, severity, source_module, environment and stream")
        })?;
        if !group_by.contains(&field) {
            group_by.push(field);
        }
    }
    let filter = filter(&mut params, &principal.tenant_id)?;
    params.finish()?;
    let columns: Vec<&str> = bucket
        .map(|_| "bucket")
        .into_iter()
        .chain(group_by.iter().map(|field| field.name()))
        .chain(["count"])
        .collect();
    let query = CountsQuery { tenant_id: principal.tenant_id.to_string(), filter, bucket, group_by };
    let counts = api.reads.counts(&query).await.map_err(|error| problem(api, error))?.ok_or_else(|| {
        Problem::bad_request(
            "too_many_groups",
            format!("the counts have more than {PAGE_ROWS_MAX} groups; narrow from and to, or use wider buckets or fewer fields"),
        )
    })?;
    Ok(match wanted {
        Wanted::Page => page(Page { items: counts, next_cursor: None }),
        Wanted::Stream(form) => export::at_hand(&counts, &columns, form),
    })
}

/// GET /v1/receipts/{id}
pub async fn receipt(api: &Api, principal: &Principal, id: &str, params: Params) -> Result<Response<Body>, Problem> {
    params.finish()?;
    let Ok(id) = Uuid::try_parse(id) else { return Err(Problem::not_found("receipt")) };
    // First the spool: whatever leaves it is in the database by then.
    if let Some(spool) = api.ingest.spool()
        && let Some(Summary { accepted, rejected, .. }) = spool.find(&principal.tenant_id, id).await
    {
        let waiting = serde_json::json!({
            "receipt": id, "status": "spooled", "accepted": accepted, "rejected": rejected, "errors": []
        });
        return Ok(json(StatusCode::OK, &waiting));
    }
    let found = api.reads.receipt(&principal.tenant_id, id).await.map_err(|error| problem(api, error))?;
    found.map(|receipt| json(StatusCode::OK, &receipt)).ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no such receipt; receipts are kept for retention.ledger, of requests with an Idempotency-Key and of those that were spooled",
        )
    })
}

/// GET /v1/dead-letters
pub async fn dead_letters(
    api: &Api,
    principal: &Principal,
    parts: &Parts,
    mut params: Params,
) -> Result<Response<Body>, Problem> {
    let wanted = wanted(&parts.headers)?;
    let now = Timestamp::now();
    let query = DeadLettersQuery {
        tenant_id: principal.tenant_id.to_string(),
        stages: params.take_list("stage")?,
        codes: params.take_list("code")?,
        from: params.take_time("from", now)?,
        to: params.take_time("to", now)?,
        limit: params.take_count("limit", PAGE_ROWS_MAX)?.unwrap_or(PAGE_ROWS_DEFAULT),
        cursor: params.take("cursor"),
    };
    params.finish()?;
    let found = api.reads.dead_letters(&query).await.map_err(|error| problem(api, error))?;
    Ok(match wanted {
        Wanted::Page => page(found),
        Wanted::Stream(form) => export::at_hand(&found.items, export::DEAD_LETTER_COLUMNS, form),
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

fn page<T: Serialize>(page: Page<T>) -> Response<Body> {
    json(StatusCode::OK, &List { data: &page.items, next_cursor: page.next_cursor })
}

fn filter(params: &mut Params, tenant_id: &str) -> Result<Filter, Problem> {
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

/// The form that Accept likes best: by quality, then in its order.
fn wanted(headers: &HeaderMap) -> Result<Wanted, Problem> {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
    let mut best: Option<(f32, Wanted)> = None;
    for choice in accept.split(',') {
        let mut parts = choice.split(';').map(str::trim);
        let wanted = match parts.next().unwrap_or_default() {
            "application/json" | "application/*" | "*/*" | "" => Wanted::Page,
            "application/x-ndjson" | "application/ndjson" => Wanted::Stream(Form::Ndjson),
            "text/csv" | "text/*" => Wanted::Stream(Form::Csv),
            _ => continue,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
        if quality > best.map_or(0.0, |(quality, _)| quality) {
            best = Some((quality, wanted));
        }
    }
    best.map(|(_, wanted)| wanted).ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_ACCEPTABLE,
            "not_acceptable",
            "Accept must allow application/json, application/x-ndjson or text/csv",
        )
    })
}

/// A read's failure as an answer.
fn problem(api: &Api, error: ReadError) -> Problem {
    match error {
        ReadError::Cursor(CursorError::Malformed) => invalid("cursor", "is not a cursor of this service"),
        ReadError::Cursor(CursorError::OtherQuery) => invalid("cursor", "belongs to a query with other filters"),
        ReadError::Cursor(CursorError::NotFound) => Problem::not_found("cursor"),
        ReadError::Timeout => Problem::unavailable(
            "query_timeout",
            "the query took too long; narrow from and to, or filter by asset_id or correlation_id",
            5,
        ),
        ReadError::Value(reason) => {
            Problem::bad_request("invalid_parameter", format!("a query parameter's value: {reason}"))
        }
        ReadError::Storage(error) => {
            tracing::warn!(%error, "a read failed");
            let retry_after_s = api.ingest.retry_after_s();
            Problem::unavailable("database_unavailable", "the database cannot be asked at the moment", retry_after_s)
        }
    }
}
