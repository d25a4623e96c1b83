//! GET /v1/correlations.

use hyper::http::request::Parts;
use jiff::Timestamp;

use super::events::event_name;
use super::list::{ListAnswer, ListRequest, window};
use super::metrics::FROM_DEFAULT;
use crate::http::Api;
use crate::protocols::params::{Params, invalid, invalid_value};
use crate::protocols::problem::Problem;
use crate::query::CorrelationsQuery;
use crate::tenancy::Principal;

const TYPES: [&str; 3] = ["causal", "temporal", "anomaly"];

pub async fn correlations(api: &Api, principal: &Principal, parts: &Parts, mut params: Params) -> ListAnswer {
    let request = ListRequest::take(principal, parts, &mut params)?;
    let now = Timestamp::now();
    let types = params.take_list_of("type", &TYPES)?;
    let event = match params.take("event_id") {
        Some(id) if id.is_empty() => return Err(invalid("event_id", "is given without a value")),
        Some(id) => Some(event_name(&mut params, &principal.tenant_id, &id)?),
        None => None,
    };
    let mut window = window(&mut params, now)?;
    // Who asks about one event need not know how old it is.
    if event.is_none() {
        window.from = window.from.or(Some(now - FROM_DEFAULT));
    }
    let (min_strength, min_confidence) = (least(&mut params, "min_strength")?, least(&mut params, "min_confidence")?);
    let query = CorrelationsQuery { types, min_strength, min_confidence, event, window };
    request.answer(api, params, query).await
}

/// A number from 0 to 1.
fn least(params: &mut Params, name: &str) -> Result<Option<f64>, Problem> {
    let Some(text) = params.take(name) else { return Ok(None) };
    match text.parse::<f64>() {
        Ok(number) if (0.0..=1.0).contains(&number) => Ok(Some(number)),
        _ => Err(invalid_value(name, &text, "must be a number from 0 to 1")),
    }
}
