//! GET /v1/metrics/trend: the straight line through the buckets of series.

use std::borrow::Cow;
use std::time::Duration;

use hyper::StatusCode;
use hyper::http::request::Parts;
use jiff::Timestamp;
use serde::Serialize;

use super::list::{ListAnswer, problem};
use super::metrics::{bounds, no_series, resolution, series};
use crate::forecast;
use crate::http::Api;
use crate::http::response::held_json;
use crate::limits::TREND_POINTS_MAX;
use crate::protocols::params::{Params, invalid};
use crate::protocols::problem::{Problem, ProblemCode};
use crate::query::{Aggregate, AggregateQuery, Listing, PageRequest, Resolution};
use crate::tenancy::Principal;

/// How far back is looked where the reader does not say.
const FROM_DEFAULT: Duration = Duration::from_secs(7 * 24 * 3600);

/// What is said of the series.
#[derive(Serialize)]
struct Answer {
    resolution: Option<Cow<'static, str>>,
    /// The first bucket with a value, and the last one.
    from: Timestamp,
    to: Timestamp,
    #[serde(flatten)]
    trend: forecast::Trend,
}

/// Every bucket there is, none left out: the answer is of one line, which has no more of them than a page.
pub async fn trend(api: &Api, principal: &Principal, _: &Parts, mut params: Params) -> ListAnswer {
    let series = series(&mut params)?;
    let resolution = resolution(&mut params)?;
    if resolution == Resolution::Raw {
        return Err(invalid("resolution", "must be a width of buckets, or auto"));
    }
    let aggregate = params.take_one_of("aggregate", &Aggregate::ALL)?;
    let (from, to) = bounds(&mut params, Timestamp::now(), FROM_DEFAULT)?;
    params.finish()?;
    if series.metric_names.is_empty() && series.asset_ids.is_empty() {
        return Err(no_series());
    }
    let aggregate = aggregate.unwrap_or(Aggregate::Avg);
    let query = AggregateQuery {
        series,
        aggregate,
        group_by: Vec::new(),
        resolution,
        points: None,
        fill: None,
        top: None,
        from,
        to,
    };
    let limit = TREND_POINTS_MAX + 1;
    let request = PageRequest { tenant_id: principal.tenant_id.to_string(), limit, cursor: None, streamed: false };
    // The turn is held until the figures are there.
    let reads = api.attached()?.reads.begin(&principal.tenant_id).await.map_err(|error| problem(api, error))?;
    let page = query.page(&reads, &request).await.map_err(|error| problem(api, error))?;
    let mut values: Vec<(Timestamp, f64)> = page
        .items
        .iter()
        .filter_map(|item| Some((item.bucket, item.value.filter(|value| value.is_finite())?)))
        .collect();
    values.reverse();
    if page.items.len() > TREND_POINTS_MAX {
        let detail = format!(
            "a trend is computed from at most {TREND_POINTS_MAX} buckets, and there are more: narrow from and to, or ask for a \
             coarser resolution"
        );
        return Err(Problem::bad_request(ProblemCode::UnboundedQuery, detail));
    }
    let (Some((first, _)), Some((last, _))) = (values.first().copied(), values.last().copied()) else {
        return Err(too_few(0));
    };
    let points: Vec<(f64, f64)> = values.iter().map(|(at, value)| (at.as_second() as f64, *value)).collect();
    let count = points.len();
    let computing = tokio::task::spawn_blocking(move || forecast::trend(&points));
    let computed = computing.await.expect("computing a trend does not panic, and nobody ends it");
    let trend = computed.ok_or_else(|| too_few(count))?;
    let answer = Answer { resolution: page.resolution, from: first, to: last, trend };
    held_json(&answer, reads.into_reservation()).map_err(|no_room| problem(api, no_room.into()))
}

fn too_few(count: usize) -> Problem {
    if count == 0 {
        return none_at_all("trend needs samples", "one");
    }
    let least = forecast::POINTS_MIN;
    let detail = format!(
        "a trend needs {least} buckets with a value, and there are {count}: ask for an earlier from, or for a finer resolution"
    );
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, ProblemCode::TooFewPoints, detail)
}

/// What is said of a line that has no point: a name is mistyped more often than a series is young.
pub fn none_at_all(needs: &str, one: &str) -> Problem {
    let detail = format!(
        "a {needs}, and no series that is asked for has {one} with a value from `from` to `to`: \
         GET /v1/metrics/catalog says which there are, and since when; check metric_name, asset_id and the times"
    );
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, ProblemCode::TooFewPoints, detail)
}
