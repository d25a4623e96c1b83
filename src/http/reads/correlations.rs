//! GET /v1/correlations.

use hyper::Response;
use hyper::http::request::Parts;
use jiff::Timestamp;

use super::events::event_id;
use super::metrics::FROM_DEFAULT;
use super::{Paging, list, wanted};
use crate::http::Api;
use crate::http::params::{Params, invalid};
use crate::http::problem::Problem;
use crate::http::response::Body;
use crate::limits::PAGE_ROWS_DEFAULT;
use crate::query::CorrelationsQuery;
use crate::tenancy::Principal;

const TYPES: [&str; 3] = ["causal", "temporal", "anomaly"];
const COLUMNS: &[&str] = &[
    "id",
    "timestamp",
    "correlation_type",
    "primary_event_id",
    "related_event_id",
    "primary_timestamp",
    "related_timestamp",
    "strength",
    "confidence",
    "metadata",
    "primary_source_module",
    "primary_event_type",
    "related_source_module",
    "related_event_type",
];

/// GET /v1/correlations
pub async fn correlations(
    api: &Api,
    principal: &Principal,
    parts: &Parts,
    mut params: Params,
) -> Result<Response<Body>, Problem> {
    let wanted = wanted(&parts.headers)?;
    let now = Timestamp::now();
    let types = params.take_list("type")?;
    if types.iter().any(|found| !TYPES.contains(&found.as_str())) {
        return Err(invalid("type", "takes causal, temporal and anomaly"));
    }
    let (min_strength, min_confidence) = (least(&mut params, "min_strength")?, least(&mut params, "min_confidence")?);
    let event_id = match params.take("event_id") {
        Some(id) if id.is_empty() => return Err(invalid("event_id", "is given without a value")),
        id => id.map(|id| event_id(principal, &id)),
    };
    let from = match params.take_time("from", now)? {
        // Who asks about one event need not know how old it is.
        None if event_id.is_some() => None,
        from => Some(from.unwrap_or(now - FROM_DEFAULT)),
    };
    let to = params.take_time("to", now)?;
    let Paging { limit, cursor } = Paging::take(&mut params)?;
    params.finish()?;
    let query = CorrelationsQuery {
        tenant_id: principal.tenant_id.to_string(),
        types,
        min_strength,
        min_confidence,
        event_id,
        from,
        to,
        limit: limit.unwrap_or(PAGE_ROWS_DEFAULT),
        cursor,
    };
    list(api, wanted, query, COLUMNS, limit).await
}

/// A number from 0 to 1.
fn least(params: &mut Params, name: &str) -> Result<Option<f64>, Problem> {
    let Some(text) = params.take(name) else { return Ok(None) };
    match text.parse::<f64>() {
        Ok(number) if (0.0..=1.0).contains(&number) => Ok(Some(number)),
        _ => Err(invalid(name, "must be a number from 0 to 1")),
    }
}
