//! GET /v1/events, one event, and what is related to one.

use std::collections::HashMap;

use hyper::http::request::Parts;
use jiff::Timestamp;
use serde_json::value::RawValue;

use super::accept::ListForm;
use super::list::{ListAnswer, ListRequest, one, window};
use crate::http::Api;
use crate::limits::SEARCH_WORDS_MAX;
use crate::protocols::params::{Params, invalid, invalid_value};
use crate::protocols::problem::Problem;
use crate::query::{
    Comparison, Direction, EventName, EventsQuery, Filter, FilterField, PathFilter, PathTest, RelatedQuery, Words,
    is_number,
};
use crate::tenancy::Principal;
use crate::wire::event::{bare_id, fitted};

/// Ends of a parameter's name. The signs stand for what is written `payload.n>=5` and `payload.n<=5`, encoded or not.
const COMPARISONS: [(&str, Comparison); 6] = [
    (":gt", Comparison::Greater),
    (":gte", Comparison::AtLeast),
    (":lt", Comparison::Less),
    (":lte", Comparison::AtMost),
    (">", Comparison::AtLeast),
    ("<", Comparison::AtMost),
];

pub async fn events(api: &Api, principal: &Principal, parts: &Parts, mut params: Params) -> ListAnswer {
    let request = ListRequest::take(principal, parts, &mut params)?;
    let filter = filter(&mut params, &principal.tenant_id)?;
    let window = window(&mut params, Timestamp::now())?;
    let order = params.take("order");
    let since = params.take("since");
    let direction = match order.as_deref() {
        None if since.is_some() => Direction::OldestFirst,
        None | Some("desc") => Direction::NewestFirst,
        Some("asc") => Direction::OldestFirst,
        Some("none") if request.wanted == ListForm::Page => {
            let what = "must be `desc` or `asc` for a page; `none` is of a stream, for which Accept must allow \
                        application/x-ndjson or text/csv";
            return Err(invalid("order", what));
        }
        Some("none") if request.cursor.is_some() => {
            return Err(invalid("order", "must be `desc` or `asc` beside cursor, which is a place in that order"));
        }
        Some("none") => Direction::NewestFirst,
        Some(other) => {
            return Err(invalid_value("order", other, "must be `desc` (newest first), `asc`, or of a stream `none`"));
        }
    };
    if since.is_some() && direction == Direction::NewestFirst {
        return Err(invalid("order", "must be `asc` beside since, which goes on from there"));
    }
    let ordered = order.as_deref() != Some("none");
    request.answer(api, params, EventsQuery { filter, window, direction, ordered, since }).await
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
    for (name, values) in params.take_prefixed("payload.") {
        filter.paths.push(path_filter(&name, values)?);
    }
    if let Some(text) = params.take("q") {
        filter.words = Words::parse(&text);
        if filter.words.is_empty() || filter.words.len() > SEARCH_WORDS_MAX {
            let what = format!("must be 1 to {SEARCH_WORDS_MAX} words, or phrases in quotation marks");
            return Err(invalid("q", &what));
        }
    }
    Ok(filter)
}

/// `payload.PATH=a,b`, or of a number `payload.PATH:gte=5`.
fn path_filter(name: &str, values: Vec<String>) -> Result<PathFilter, Problem> {
    let compared = COMPARISONS.iter().find_map(|(suffix, comparison)| Some((name.strip_suffix(suffix)?, *comparison)));
    let (path, comparison) = compared.map_or((name, None), |(path, comparison)| (path, Some(comparison)));
    let path: Vec<String> = path.split('.').skip(1).map(str::to_owned).collect();
    if path.is_empty() || path.iter().any(String::is_empty) {
        return Err(invalid(name, "must name a member of the payload, as in payload.order.total"));
    }
    let test = match comparison {
        None => PathTest::AnyOf(values),
        Some(comparison) => match &values[..] {
            [number] if is_number(number) => PathTest::Number(comparison, number.clone()),
            _ => {
                return Err(invalid(
                    name,
                    "must be one number as JSON writes it, in at most 64 characters, and one that a double can hold",
                ));
            }
        },
    };
    Ok(PathFilter { path, test })
}
