//! GET /v1/metrics/trend: the straight line through the buckets of series.

use std::borrow::Cow;
use std::time::Duration;

use hyper::StatusCode;
use hyper::http::request::Parts;
use jiff::Timestamp;
use serde::Serialize;

use super::line::{Line, LineQuery, none_at_all};
use super::list::{ListAnswer, problem};
use crate::forecast;
use crate::http::Api;
use crate::http::response::held_json;
use crate::limits::TREND_POINTS_MAX;
use crate::protocols::params::Params;
use crate::protocols::problem::{Problem, ProblemCode};
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
    let query = LineQuery::take(&mut params, Timestamp::now(), FROM_DEFAULT)?;
    params.finish()?;
    let Line { resolution, values, reads } = query.read(api, principal, "a trend", TREND_POINTS_MAX).await?;
    let (Some((first, _)), Some((last, _))) = (values.first().copied(), values.last().copied()) else {
        return Err(too_few(0));
    };
    let points: Vec<(f64, f64)> = values.iter().map(|(at, value)| (at.as_second() as f64, *value)).collect();
    let count = points.len();
    let computing = tokio::task::spawn_blocking(move || forecast::trend(&points));
    let computed = computing.await.expect("computing a trend does not panic, and nobody ends it");
    let trend = computed.ok_or_else(|| too_few(count))?;
    let answer = Answer { resolution, from: first, to: last, trend };
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
