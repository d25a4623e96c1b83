//! GET /v1/metrics and its catalog.

use std::collections::HashMap;
use std::time::Duration;

use hyper::http::request::Parts;
use jiff::Timestamp;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::list::{ListAnswer, ListRequest, window};
use crate::http::Api;
use crate::limits::{BUCKETS_MAX, FUTURE_DAYS_MAX, TOP_MAX};
use crate::model::Level;
use crate::protocols::params::{Params, invalid, invalid_value};
use crate::protocols::problem::{Problem, ProblemCode};
use crate::query::{
    Aggregate, AggregateQuery, CatalogQuery, DimensionsFilter, Fill, GroupBy, Pattern, PointsQuery, Rank, Resolution,
    SamplesQuery, SeriesFilter, Window,
};
use crate::tenancy::Principal;

/// Further ahead than any sample.
const AHEAD_MAX: Duration = Duration::from_secs((FUTURE_DAYS_MAX.unsigned_abs() + 1) * 24 * 3600);
/// What stands before the name of a dimension.
const DIMENSION: &str = "dim.";
/// How far back a reader looks who does not say.
pub(super) const FROM_DEFAULT: Duration = Duration::from_secs(24 * 3600);

pub async fn metrics(api: &Api, principal: &Principal, parts: &Parts, mut params: Params) -> ListAnswer {
    let request = ListRequest::take(principal, parts, &mut params)?;
    let series = series(&mut params)?;
    let resolution = resolution(&mut params)?;
    let points_max = usize::try_from(BUCKETS_MAX).unwrap_or(usize::MAX);
    let points = params.take_count("points", points_max)?.and_then(|points| i64::try_from(points).ok());
    let now = Timestamp::now();
    let (from, to) = bounds(&mut params, now, FROM_DEFAULT)?;
    if series.metric_names.is_empty() && series.asset_ids.is_empty() {
        return Err(no_series());
    }
    if let Some(aggregate) = params.take_one_of("aggregate", &Aggregate::ALL)? {
        let mut group_by: Vec<GroupBy> = Vec::new();
        for by in params.take_list("group_by")?.iter().map(|name| GroupBy::parse(name)) {
            if !group_by.contains(&by) {
                group_by.push(by);
            }
        }
        let fill = params.take_one_of("fill", &Fill::ALL)?;
        if fill.is_some() && resolution == Resolution::Raw && points.is_none() {
            return Err(invalid("fill", "needs buckets: give points, or another resolution than raw"));
        }
        let top = top(&mut params)?;
        let query = AggregateQuery { series, aggregate, group_by, resolution, points, fill, top, from, to };
        return request.answer(api, params, query).await;
    }
    for name in ["group_by", "fill", "top", "by"] {
        if params.take(name).is_some() {
            return Err(invalid(name, "goes with aggregate"));
        }
    }
    if points.is_some() && resolution != Resolution::Auto {
        return Err(invalid("points", "chooses the resolution, or goes with aggregate"));
    }
    if resolution == Resolution::Raw {
        let window = Window { from: Some(from), to: Some(to) };
        return request.answer(api, params, SamplesQuery { series, window }).await;
    }
    request.answer(api, params, PointsQuery { series, resolution, points, from, to }).await
}

/// GET /v1/metrics/catalog
pub async fn catalog(api: &Api, principal: &Principal, parts: &Parts, mut params: Params) -> ListAnswer {
    let request = ListRequest::take(principal, parts, &mut params)?;
    let search = params.take("search");
    if search.as_ref().is_some_and(String::is_empty) {
        return Err(invalid("search", "is given without a value"));
    }
    let totals = params.take_one_of("totals", &[("0", false), ("1", true)])?.unwrap_or(false);
    let query = CatalogQuery { series: series(&mut params)?, search, totals };
    request.answer(api, params, query).await
}

/// How many lines, and by what they are ranked.
fn top(params: &mut Params) -> Result<Option<(i64, Rank)>, Problem> {
    let by = params.take_one_of("by", &Rank::ALL)?;
    match params.take_count("top", TOP_MAX)? {
        Some(count) => Ok(Some((i64::try_from(count).unwrap_or(i64::MAX), by.unwrap_or(Rank::Avg)))),
        None if by.is_some() => Err(invalid("by", "goes with top")),
        None => Ok(None),
    }
}

/// `from`, and `to` as far ahead as anything lies: one at the end of the calendar would ask for a million buckets.
pub(super) fn bounds(params: &mut Params, now: Timestamp, back: Duration) -> Result<(Timestamp, Timestamp), Problem> {
    let Window { from, to } = window(params, now)?;
    Ok((from.unwrap_or(now - back), to.unwrap_or(now).min(now + AHEAD_MAX)))
}

pub(super) fn resolution(params: &mut Params) -> Result<Resolution, Problem> {
    let Some(text) = params.take("resolution") else { return Ok(Resolution::Auto) };
    let what = || invalid_value("resolution", &text, &format!("must be one of raw, {}, auto", Level::resolutions()));
    Resolution::parse(&text).ok_or_else(what)
}

pub(super) fn no_series() -> Problem {
    Problem::bad_request(
        ProblemCode::UnboundedQuery,
        "say which series: give metric_name, asset_id or both; GET /v1/metrics/catalog lists them",
    )
}

pub(super) fn series(params: &mut Params) -> Result<SeriesFilter, Problem> {
    let contained = params.take("dimensions");
    if let Some(text) = &contained {
        // Raw values: dimensions may hold numbers that no double can.
        let object = serde_json::from_str::<HashMap<String, &RawValue>>(text).is_ok();
        if !object || text.contains("\\u0000") {
            return Err(invalid_value("dimensions", text, "must be a JSON object that the dimensions are to contain"));
        }
    }
    let mut named = Vec::new();
    for (name, values) in params.take_prefixed(DIMENSION) {
        // Beside others the empty text is a value as well: dimensions may have it.
        if values.iter().all(String::is_empty) {
            return Err(invalid(&name, "is given without a value"));
        }
        let patterns = values.iter().map(|text| Pattern::parse(text)).collect();
        named.push((name[DIMENSION.len()..].to_owned(), patterns));
    }
    let ids = params.take_list("series_id")?;
    let uuid = |id: &String| {
        Uuid::try_parse(id).map_err(|_| invalid_value("series_id", id, "must be ids as the catalog has them"))
    };
    Ok(SeriesFilter {
        series_ids: ids.iter().map(uuid).collect::<Result<_, _>>()?,
        asset_ids: params.take_list("asset_id")?,
        metric_types: params.take_list("metric_type")?,
        metric_names: params.take_list("metric_name")?,
        dimensions: DimensionsFilter { contained, named },
    })
}
