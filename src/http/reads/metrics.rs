//! GET /v1/metrics and its catalog.

use std::time::Duration;

use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use jiff::Timestamp;
use serde::Serialize;

use super::{Paging, Wanted, list, problem, wanted};
use crate::http::Api;
use crate::http::params::{Params, invalid};
use crate::http::problem::{Code, Problem};
use crate::http::response::{Body, json};
use crate::limits::{PAGE_ROWS_DEFAULT, POINTS_DEFAULT};
use crate::query::{CatalogQuery, Page, PointsQuery, Resolution, SamplesQuery, SeriesFilter};
use crate::tenancy::Principal;

const POINT_COLUMNS: &[&str] = &[
    "bucket",
    "asset_id",
    "metric_type",
    "metric_name",
    "resolution",
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "stddev",
    "p50",
    "p95",
    "p99",
    "summarized_count",
];
const SAMPLE_COLUMNS: &[&str] = &[
    "timestamp",
    "asset_id",
    "metric_type",
    "metric_name",
    "value",
    "count",
    "sum",
    "min",
    "max",
    "sumsq",
    "dimensions",
];
const CATALOG_COLUMNS: &[&str] = &["metric_name", "asset_id", "metric_type", "first_seen", "last_seen"];

/// How far back a reader looks who does not say.
pub(super) const FROM_DEFAULT: Duration = Duration::from_secs(24 * 3600);

/// A list of metrics says what it is a list of.
#[derive(Serialize)]
struct Metrics<'a, T> {
    resolution: &'static str,
    data: &'a [T],
    next_cursor: Option<String>,
}

fn metrics_page<T: Serialize>(resolution: &'static str, page: Page<T>) -> Response<Body> {
    json(StatusCode::OK, &Metrics { resolution, data: &page.items, next_cursor: page.next_cursor })
}

/// GET /v1/metrics
pub async fn metrics(
    api: &Api,
    principal: &Principal,
    parts: &Parts,
    mut params: Params,
) -> Result<Response<Body>, Problem> {
    let wanted = wanted(&parts.headers)?;
    let now = Timestamp::now();
    let series = series(&mut params)?;
    let resolution = match params.take("resolution") {
        None => Resolution::Auto,
        Some(text) => {
            Resolution::parse(&text).ok_or_else(|| invalid("resolution", "must be raw, 1m, 5m, 1h, 1d or auto"))?
        }
    };
    let from = params.take_time("from", now)?.unwrap_or(now - FROM_DEFAULT);
    let to = params.take_time("to", now)?.unwrap_or(now);
    let Paging { limit, cursor } = Paging::take(&mut params)?;
    params.finish()?;
    if series.metric_names.is_empty() && series.asset_ids.is_empty() {
        return Err(Problem::bad_request(
            Code::UnboundedQuery,
            "say which series: give metric_name, asset_id or both; GET /v1/metrics/catalog lists them",
        ));
    }
    let tenant_id = principal.tenant_id.to_string();
    let rows = limit.unwrap_or(POINTS_DEFAULT);
    if resolution == Resolution::Raw {
        let query = SamplesQuery { tenant_id, series, from, to, limit: rows, cursor };
        return match wanted {
            Wanted::Page => api.reads.samples(&query).await.map(|page| metrics_page("raw", page)),
            Wanted::Stream(_) => return list(api, wanted, query, SAMPLE_COLUMNS, limit).await,
        }
        .map_err(|error| problem(api, error));
    }
    let query = PointsQuery { tenant_id, series, resolution, from, to, limit: rows, cursor };
    match wanted {
        Wanted::Page => api.reads.points(&query).await.map(|(width, page)| metrics_page(width.name(), page)),
        Wanted::Stream(_) => return list(api, wanted, query, POINT_COLUMNS, limit).await,
    }
    .map_err(|error| problem(api, error))
}

/// GET /v1/metrics/catalog
pub async fn catalog(
    api: &Api,
    principal: &Principal,
    parts: &Parts,
    mut params: Params,
) -> Result<Response<Body>, Problem> {
    let wanted = wanted(&parts.headers)?;
    let series = series(&mut params)?;
    let search = params.take("search");
    if search.as_ref().is_some_and(String::is_empty) {
        return Err(invalid("search", "is given without a value"));
    }
    let Paging { limit, cursor } = Paging::take(&mut params)?;
    params.finish()?;
    let tenant_id = principal.tenant_id.to_string();
    let query = CatalogQuery { tenant_id, series, search, limit: limit.unwrap_or(PAGE_ROWS_DEFAULT), cursor };
    list(api, wanted, query, CATALOG_COLUMNS, limit).await
}

fn series(params: &mut Params) -> Result<SeriesFilter, Problem> {
    Ok(SeriesFilter {
        asset_ids: params.take_list("asset_id")?,
        metric_types: params.take_list("metric_type")?,
        metric_names: params.take_list("metric_name")?,
    })
}
