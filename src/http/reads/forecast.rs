//! GET /v1/metrics/forecast: where series go on, from their buckets, and how well that would have been known before.

use std::borrow::Cow;
use std::time::Duration;

use hyper::StatusCode;
use hyper::http::request::Parts;
use jiff::Timestamp;
use serde::Serialize;

use super::line::{Line, LineQuery, none_at_all, too_many};
use super::list::{ListAnswer, problem};
use crate::config::parse_duration;
use crate::forecast::{Asked, Backtest, Expected, Method, Parameters, Seasons, forecast as computed, needed};
use crate::http::Api;
use crate::http::response::held_json;
use crate::limits::{FORECAST_HORIZON_MAX, FORECAST_POINTS_MAX};
use crate::model::Level;
use crate::protocols::params::{Params, invalid, invalid_value};
use crate::protocols::problem::{Problem, ProblemCode};
use crate::tenancy::Principal;

const DAY: Duration = Duration::from_secs(24 * 3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// How far back is looked where the reader does not say: four weeks, so that a season of one can be seen.
const FROM_DEFAULT: Duration = Duration::from_secs(28 * 24 * 3600);
/// The part of what comes that lies within the interval.
const INTERVAL_DEFAULT: f64 = 0.95;

/// Which season the reader asks for.
#[derive(Clone, Copy)]
enum Season {
    Auto,
    None,
    Of(Duration),
}

const SEASONS: [(&str, Season); 4] =
    [("auto", Season::Auto), ("none", Season::None), ("day", Season::Of(DAY)), ("week", Season::Of(WEEK))];

/// What is said of the series.
#[derive(Serialize)]
struct Answer {
    resolution: Option<Cow<'static, str>>,
    /// The first bucket with a value, and the last one; how many have one, and how many between them have none.
    from: Timestamp,
    to: Timestamp,
    points: usize,
    missing: usize,
    interval: f64,
    method: Method,
    beats_naive: bool,
    /// Of the method.
    season: Option<&'static str>,
    smoothing: Smoothing,
    backtest: Tried,
    forecast: Vec<Bucket>,
}

#[derive(Serialize)]
struct Smoothing {
    season: Option<&'static str>,
    #[serde(flatten)]
    parameters: Parameters,
}

#[derive(Serialize)]
struct Tried {
    horizon: usize,
    /// Of the seasonal naive forecast.
    season: Option<&'static str>,
    #[serde(flatten)]
    backtest: Backtest,
}

#[derive(Serialize)]
struct Bucket {
    bucket: Timestamp,
    #[serde(flatten)]
    expected: Expected,
}

/// Every bucket there is, but for one that is not over: its value is not what it will be.
pub async fn forecast(api: &Api, principal: &Principal, _: &Parts, mut params: Params) -> ListAnswer {
    let now = Timestamp::now();
    let query = LineQuery::take(&mut params, now, FROM_DEFAULT)?;
    let horizon = horizon(&mut params)?;
    let season = params.take_one_of("season", &SEASONS)?.unwrap_or(Season::Auto);
    let interval = interval(&mut params)?;
    params.finish()?;
    let Line { resolution, mut values, reads } = query.read(api, principal, "a forecast", FORECAST_POINTS_MAX).await?;
    let level = resolution.as_deref().and_then(Level::parse).expect("without points, buckets are those of a level");
    let asked = asked(level.width, horizon, season, interval)?;
    values.retain(|(bucket, _)| *bucket + level.width <= now);
    let (Some((first, _)), Some((last, _))) = (values.first().copied(), values.last().copied()) else {
        return Err(too_few(&asked, 0, 0));
    };
    let place = |at: Timestamp| (at.as_microsecond() - first.as_microsecond()) / level.width_us();
    let known = usize::try_from(place(last)).unwrap_or(usize::MAX).saturating_add(1);
    if known > FORECAST_POINTS_MAX {
        return Err(too_many("a forecast", FORECAST_POINTS_MAX));
    }
    let mut line = vec![None; known];
    for (at, value) in &values {
        if let Some(bucket) = usize::try_from(place(*at)).ok().and_then(|place| line.get_mut(place)) {
            *bucket = Some(*value);
        }
    }
    let points = values.len();
    let refused = too_few(&asked, points, known);
    let computing = tokio::task::spawn_blocking(move || computed(&line, &asked));
    let found = computing.await.expect("computing a forecast does not panic, and nobody ends it").ok_or(refused)?;
    let bucket = |(n, expected): (u32, &Expected)| Bucket { bucket: last + level.width * n, expected: *expected };
    let named = |period: Option<usize>| period.map(|period| name(level.width, period));
    let answer = Answer {
        resolution,
        from: first,
        to: last,
        points,
        missing: known - points,
        interval,
        method: found.method,
        beats_naive: found.method != Method::Naive,
        season: match found.method {
            Method::Smoothing => named(found.season),
            Method::SeasonalNaive => named(found.naive_season),
            Method::Naive => None,
        },
        smoothing: Smoothing { season: named(found.season), parameters: found.parameters },
        backtest: Tried { horizon: found.expected.len(), season: named(found.naive_season), backtest: found.backtest },
        forecast: (1..).zip(&found.expected).map(bucket).collect(),
    };
    held_json(&answer, reads.into_reservation()).map_err(|no_room| problem(api, no_room.into()))
}

/// How far ahead; None: as far as is usual for the width of the buckets.
fn horizon(params: &mut Params) -> Result<Option<Duration>, Problem> {
    let Some(text) = params.take("horizon") else { return Ok(None) };
    match parse_duration(&text) {
        Ok(horizon) if !horizon.is_zero() => Ok(Some(horizon)),
        _ => Err(invalid_value("horizon", &text, "must be a duration such as 90m, 24h or 7d")),
    }
}

fn interval(params: &mut Params) -> Result<f64, Problem> {
    let Some(text) = params.take("interval") else { return Ok(INTERVAL_DEFAULT) };
    match text.parse::<f64>() {
        Ok(interval) if (0.5..=0.99).contains(&interval) => Ok(interval),
        _ => Err(invalid_value(
            "interval",
            &text,
            "must be a number from 0.5 to 0.99: the part of what comes that is to lie in it",
        )),
    }
}

/// The question in buckets of this width.
fn asked(width: Duration, horizon: Option<Duration>, season: Season, level: f64) -> Result<Asked, Problem> {
    let buckets = |time: Duration| usize::try_from(time.as_nanos().div_ceil(width.as_nanos())).unwrap_or(usize::MAX);
    let horizon = buckets(horizon.unwrap_or(if width < DAY { DAY } else { WEEK }));
    if horizon > FORECAST_HORIZON_MAX {
        let what = format!("is more than {FORECAST_HORIZON_MAX} buckets: ask for less, or for a coarser resolution");
        return Err(invalid("horizon", &what));
    }
    let seasons = match season {
        Season::None => Seasons::None,
        Season::Auto => Seasons::Any([DAY, WEEK].map(buckets).into_iter().filter(|period| *period > 1).collect()),
        Season::Of(time) if buckets(time) > 1 => Seasons::One(buckets(time)),
        Season::Of(_) => return Err(invalid("season", "has no more than one bucket: ask for a finer resolution")),
    };
    let asked = Asked { horizon, seasons, level };
    if needed(&asked) > FORECAST_POINTS_MAX {
        let what = format!(
            "and horizon need {} buckets, more than the {FORECAST_POINTS_MAX} that a forecast is computed from: ask for a \
             coarser resolution",
            needed(&asked)
        );
        return Err(invalid("season", &what));
    }
    Ok(asked)
}

/// A season by the name that it is asked for by.
fn name(width: Duration, period: usize) -> &'static str {
    if width * u32::try_from(period).unwrap_or(u32::MAX) == DAY { "day" } else { "week" }
}

fn too_few(asked: &Asked, points: usize, known: usize) -> Problem {
    if points == 0 {
        return none_at_all("forecast needs buckets that are over", "such a one");
    }
    let detail = format!(
        "a forecast of {} buckets with this season needs {} buckets of history, half of them with a value, and there are \
         {points} with a value among {known}: ask for an earlier from, a finer resolution or a shorter horizon; where most \
         buckets are empty, for a coarser resolution",
        asked.horizon,
        needed(asked)
    );
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, ProblemCode::TooFewPoints, detail)
}
