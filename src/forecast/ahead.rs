//! The forecast: a model beside the two naive ones, tried on the past, and the one of them that did best.

use serde::Serialize;

use super::backtest::{Errors, ORIGINS_MIN, Tried, is_nearer, origins, overlap, tried};
use super::interval::Spread;
use super::model::{Model, SEASONS_MIN};
use super::naive;
use super::smoothing::{Parameters, growth};
use super::values::Values;

/// Buckets without which nothing is forecast.
const KNOWN_MIN: usize = 16;

/// Which seasons a forecast may have, in buckets.
#[derive(Debug, Clone)]
pub enum Seasons {
    /// Those of these that the data speaks for.
    Any(Vec<usize>),
    One(usize),
    None,
}

#[derive(Debug, Clone)]
pub struct Asked {
    /// Buckets ahead.
    pub horizon: usize,
    pub seasons: Seasons,
    /// The part of what comes that is to lie within the interval.
    pub level: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    Smoothing,
    SeasonalNaive,
    Naive,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Backtest {
    /// Places of the past that were forecast from.
    pub origins: usize,
    pub smoothing: Errors,
    /// None: too little is known for one.
    pub seasonal_naive: Option<Errors>,
    pub naive: Errors,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Expected {
    pub value: Option<f64>,
    pub lower: Option<f64>,
    pub upper: Option<f64>,
}

/// Members are None where a double has no place for them, or where the series does not tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// The one that `expected` is by: naive unless another was nearer to what came in the backtest, by more than what chance
    /// explains.
    pub method: Method,
    /// Buckets of a season of the smoothing, and its parameters; None: it has no season.
    pub season: Option<usize>,
    pub parameters: Parameters,
    /// Buckets of a season of the seasonal naive forecast.
    pub naive_season: Option<usize>,
    pub backtest: Backtest,
    /// A bucket each, from the one behind the last value on.
    pub expected: Vec<Expected>,
}

/// The buckets that must be known for a forecast so far ahead: half of them come before the first place that is forecast from.
pub fn needed(asked: &Asked) -> usize {
    let season = match &asked.seasons {
        Seasons::One(period) => period * SEASONS_MIN,
        Seasons::Any(_) | Seasons::None => 0,
    };
    let tried = asked.horizon + ORIGINS_MIN - 1;
    KNOWN_MIN.max(2 * tried).max(season + tried)
}

/// A forecast of values, the first and the last of which are there. None for fewer buckets than [`needed`], or where more
/// than half of them have no value. The caller bounds how many there are.
pub fn forecast(values: &Values, asked: &Asked) -> Option<Forecast> {
    let horizon = asked.horizon;
    if values.len() < needed(asked) || values.iter().flatten().count() * 2 < values.len() {
        return None;
    }
    let largest = values.iter().flatten().fold(0.0_f64, |most, value| most.max(value.abs()));
    // Not below the least normal number: what is divided by it stays finite.
    let scale = if largest == 0.0 { 1.0 } else { largest.max(f64::MIN_POSITIVE) };
    let scaled: Vec<Option<f64>> = values.iter().map(|value| value.map(|value| value / scale)).collect();
    let back = |value: f64| Some(value * scale).filter(|value| value.is_finite());

    let model = |values: &Values| match &asked.seasons {
        Seasons::Any(periods) => Model::choose(values, periods, horizon),
        Seasons::One(period) => Model::given(values, Some(*period)),
        Seasons::None => Model::given(values, None),
    };
    let least = match asked.seasons {
        Seasons::One(period) => (period * SEASONS_MIN).max(scaled.len().div_ceil(2)),
        Seasons::Any(_) | Seasons::None => scaled.len().div_ceil(2),
    };
    let from = origins(scaled.len(), least, horizon);
    let found = model(&scaled);
    // The season of the model, or else the first one that is known everywhere.
    let period = found.period.or_else(|| match &asked.seasons {
        Seasons::Any(periods) => periods.iter().copied().find(|period| *period <= least),
        Seasons::One(_) | Seasons::None => None,
    });
    let smoothing = tried(&scaled, &from, horizon, |before| model(before).ahead(horizon));
    let naive = tried(&scaled, &from, horizon, |before| naive::naive(before, horizon));
    let seasonal =
        period.map(|period| tried(&scaled, &from, horizon, |before| naive::seasonal(before, period, horizon)));

    let nearer = |first: &[Tried], second: &[Tried]| is_nearer(first, second, overlap(&from, horizon));
    let is_seasonal = seasonal.as_deref().is_some_and(|seasonal| nearer(seasonal, &naive));
    let is_smooth = nearer(&smoothing, &naive)
        && !(is_seasonal && seasonal.as_deref().is_some_and(|seasonal| nearer(seasonal, &smoothing)));
    let (method, said, wide, tried) = match (&seasonal, period) {
        _ if is_smooth => {
            let wide = growth(&found.parameters, found.period, horizon);
            (Method::Smoothing, found.ahead(horizon), wide, &smoothing)
        }
        (Some(seasonal), Some(period)) if is_seasonal => {
            let wide = (0..horizon).map(|ahead| ((ahead / period + 1) as f64).sqrt()).collect();
            (Method::SeasonalNaive, naive::seasonal(&scaled, period, horizon), wide, seasonal)
        }
        _ => {
            let wide = (1..=horizon).map(|ahead| (ahead as f64).sqrt()).collect();
            (Method::Naive, naive::naive(&scaled, horizon), wide, &naive)
        }
    };
    let spread = Spread::of(tried, &wide, asked.level)?;
    let expected = said.iter().zip(&wide).map(|(value, wide)| Expected {
        value: back(*value),
        lower: back(value + spread.below * wide),
        upper: back(value + spread.above * wide),
    });
    let errors = |tried: &[Tried]| {
        let errors = Errors::of(tried, &scaled);
        Errors { mae: errors.mae.and_then(back), ..errors }
    };
    Some(Forecast {
        method,
        season: found.period,
        parameters: found.parameters,
        naive_season: period,
        backtest: Backtest {
            origins: from.len(),
            smoothing: errors(&smoothing),
            seasonal_naive: seasonal.as_deref().map(errors),
            naive: errors(&naive),
        },
        expected: expected.collect(),
    })
}
