//! GET /v1/events, one event, and what is related to one.

use std::collections::HashMap;

use hyper::StatusCode;
use hyper::http::request::Parts;
use jiff::Timestamp;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::list::{ListAnswer, ListRequest, problem, window};
use crate::http::Api;
use crate::http::response::json;
use crate::protocols::params::{Params, invalid};
use crate::protocols::problem::Problem;
use crate::query::{EventsQuery, Filter, FilterField, RelatedQuery};
use crate::tenancy::Principal;
use crate::wire::event::foreign_id;

pub async fn events(api: &Api, principal: &Principal, parts: &Parts, mut params: Params) -> ListAnswer {
    let request = ListRequest::take(principal, parts, &mut params)?;
    let filter = filter(&mut params, &principal.tenant_id)?;
    let query = EventsQuery { filter, window: window(&mut params, Timestamp::now())? };
    request.answer(api, params, query).await
}

/// GET /v1/events/{id}: an id that is no UUID is looked for under the UUIDv5 that it was stored as.
pub async fn event(api: &Api, principal: &Principal, id: &str, params: Params) -> ListAnswer {
    params.finish()?;
    let id = event_id(&principal.tenant_id, id);
    let event = api.attached()?.reads.event(&principal.tenant_id, id).await.map_err(|error| problem(api, error))?;
    Ok(json(StatusCode::OK, &event))
}

/// GET /v1/events/{id}/related
pub async fn related(api: &Api, principal: &Principal, id: &str, parts: &Parts, mut params: Params) -> ListAnswer {
    let request = ListRequest::take(principal, parts, &mut params)?;
    request.answer(api, params, RelatedQuery { id: event_id(&principal.tenant_id, id) }).await
}

/// A client that sent an id that is no UUID may ask by it.
pub(super) fn event_id(tenant_id: &str, id: &str) -> Uuid {
    Uuid::try_parse(id).unwrap_or_else(|_| foreign_id(tenant_id, id))
}

pub(super) fn filter(params: &mut Params, tenant_id: &str) -> Result<Filter, Problem> {
    let mut filter = Filter::default();
    for field in FilterField::ALL {
        let values = params.take_list(field.name)?;
        if !values.is_empty() {
            filter.fields.push((field, values));
        }
    }
    let correlation_ids = params.take_list("correlation_id")?;
    filter.correlation_ids = correlation_ids.iter().map(|id| event_id(tenant_id, id)).collect();
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
