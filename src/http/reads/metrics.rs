//! GET /v1/metrics and its catalog.

use std::time::Duration;

use hyper::http::request::Parts;
use jiff::Timestamp;

use super::list::{ListAnswer, ListRequest, window};
use crate::http::Api;
use crate::limits::FUTURE_DAYS_MAX;
use crate::model::Level;
use crate::protocols::params::{Params, invalid};
use crate::protocols::problem::{Problem, ProblemCode};
use crate::query::{CatalogQuery, PointsQuery, Resolution, SamplesQuery, SeriesFilter, Window};
use crate::tenancy::Principal;

/// Further ahead than any sample.
const AHEAD_MAX: Duration = Duration::from_secs((FUTURE_DAYS_MAX.unsigned_abs() + 1) * 24 * 3600);
/// How far back a reader looks who does not say.
pub(super) const FROM_DEFAULT: Duration = Duration::from_secs(24 * 3600);

pub async fn metrics(api: &Api, principal: &Principal, parts: &Parts, mut params: Params) -> ListAnswer {
    let request = ListRequest::take(principal, parts, &mut params)?;
    let series = series(&mut params)?;
    let resolution = match params.take("resolution") {
        None => Resolution::Auto,
        Some(text) => {
            let what = || invalid("resolution", &format!("must be one of raw, {}, auto", Level::resolutions()));
            Resolution::parse(&text).ok_or_else(what)?
        }
    };
    let now = Timestamp::now();
    let Window { from, to } = window(&mut params, now)?;
    // Nothing lies further ahead; a `to` at the end of the calendar would ask for a million buckets.
    let (from, to) = (from.unwrap_or(now - FROM_DEFAULT), to.unwrap_or(now).min(now + AHEAD_MAX));
    if series.metric_names.is_empty() && series.asset_ids.is_empty() {
        return Err(Problem::bad_request(
            ProblemCode::UnboundedQuery,
            "say which series: give metric_name, asset_id or both; GET /v1/metrics/catalog lists them",
        ));
    }
    if resolution == Resolution::Raw {
        let window = Window { from: Some(from), to: Some(to) };
        return request.answer(api, params, SamplesQuery { series, window }).await;
    }
    request.answer(api, params, PointsQuery { series, resolution, from, to }).await
}

/// GET /v1/metrics/catalog
pub async fn catalog(api: &Api, principal: &Principal, parts: &Parts, mut params: Params) -> ListAnswer {
    let request = ListRequest::take(principal, parts, &mut params)?;
    let search = params.take("search");
    if search.as_ref().is_some_and(String::is_empty) {
        return Err(invalid("search", "is given without a value"));
    }
    let query = CatalogQuery { series: series(&mut params)?, search };
    request.answer(api, params, query).await
}

fn series(params: &mut Params) -> Result<SeriesFilter, Problem> {
    Ok(SeriesFilter {
        asset_ids: params.take_list("asset_id")?,
        metric_types: params.take_list("metric_type")?,
        metric_names: params.take_list("metric_name")?,
    })
}
