//! GET /v1/events, one event, and what is related to one.

use std::collections::HashMap;

use hyper::http::request::Parts;
use jiff::Timestamp;
use serde_json::value::RawValue;

use super::list::{ListAnswer, ListRequest, one, window};
use crate::http::Api;
use crate::protocols::params::{Params, invalid};
use crate::protocols::problem::Problem;
use crate::query::{EventName, EventsQuery, Filter, FilterField, RelatedQuery};
use crate::tenancy::Principal;
use crate::wire::event::{bare_id, fitted};

pub async fn events(api: &Api, principal: &Principal, parts: &Parts, mut params: Params) -> ListAnswer {
    let request = ListRequest::take(principal, parts, &mut params)?;
    let filter = filter(&mut params, &principal.tenant_id)?;
    let query = EventsQuery { filter, window: window(&mut params, Timestamp::now())? };
    request.answer(api, params, query).await
}

/// GET /v1/events/{id}
pub async fn event(api: &Api, principal: &Principal, id: &str, mut params: Params) -> ListAnswer {
    let name = event_name(&mut params, &principal.tenant_id, id)?;
    params.finish()?;
    let tenant_id = &principal.tenant_id;
    one(api, tenant_id, async |reads| reads.event(tenant_id, &name).await).await
}

/// GET /v1/events/{id}/related
pub async fn related(api: &Api, principal: &Principal, id: &str, parts: &Parts, mut params: Params) -> ListAnswer {
    let request = ListRequest::take(principal, parts, &mut params)?;
    let name = event_name(&mut params, &principal.tenant_id, id)?;
    request.answer(api, params, RelatedQuery { name }).await
}

/// An event by the id that it is stored under or was sent with; with `source`, of that source alone.
pub(super) fn event_name(params: &mut Params, tenant_id: &str, id: &str) -> Result<EventName, Problem> {
    let source_module = match params.take("source") {
        Some(source) if source.is_empty() => return Err(invalid("source", "is given without a value")),
        source => source.map(|source| fitted("source_module", &source).into_owned()),
    };
    Ok(EventName { id: bare_id(tenant_id, id), source_module })
}

pub(super) fn filter(params: &mut Params, tenant_id: &str) -> Result<Filter, Problem> {
    let mut filter = Filter::default();
    for field in FilterField::ALL {
        let values = params.take_list(field.name)?;
        if !values.is_empty() {
            // A long one of a CloudEvent is looked for as its column has it.
            let values = values.iter().map(|value| fitted(field.name, value).into_owned()).collect();
            filter.fields.push((field, values));
        }
    }
    let correlation_ids = params.take_list("correlation_id")?;
    filter.correlation_ids = correlation_ids.iter().map(|id| bare_id(tenant_id, id)).collect();
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
