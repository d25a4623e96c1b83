//! How a method would have done: forecasts from places of the past, each made of what was known there, beside what came.

use serde::Serialize;

use super::values::{Values, mean_step};

/// Fewer places of the past to forecast from tell nothing.
pub const ORIGINS_MIN: usize = 3;
/// Of a long series there are fewer of them: each takes as long as there are values before it.
const ORIGINS: (usize, usize) = (20, 100);
const ORIGINS_VALUES: usize = 40_000;
/// So many standard errors are chance once in six times, and once in twenty.
const SURE_BY_MEAN: f64 = 1.0;
const SURE_BY_SHARE: f64 = 1.645;

/// How far forecasts were off. A member is None where the series does not tell it, or a double has no place for it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Errors {
    /// The mean distance to what came.
    pub mae: Option<f64>,
    /// That by the mean distance between a value and the one before it.
    pub mase: Option<f64>,
    /// The mean distance by the mean size of both, in percent: 0 to 200.
    pub smape: Option<f64>,
}

/// A forecast from one place: for each bucket ahead what was said, and what came.
pub type Tried = Vec<(f64, Option<f64>)>;

/// The places that are forecast from, evenly over all that have `least` buckets before and `horizon` behind them.
pub fn origins(known: usize, least: usize, horizon: usize) -> Vec<usize> {
    let Some(last) = known.checked_sub(horizon).filter(|last| *last >= least) else { return Vec::new() };
    let count = (last - least + 1).min((ORIGINS_VALUES / known.max(1)).clamp(ORIGINS.0, ORIGINS.1));
    (0..count).map(|n| least + if count > 1 { (last - least) * n / (count - 1) } else { 0 }).collect()
}

/// Forecasts from each of these places.
pub fn tried(
    values: &Values,
    origins: &[usize],
    horizon: usize,
    mut forecast: impl FnMut(&Values) -> Vec<f64>,
) -> Vec<Tried> {
    let from = |origin: &usize| {
        let (before, came) = values.split_at(*origin);
        forecast(before).into_iter().zip(came.iter().copied()).take(horizon).collect()
    };
    origins.iter().map(from).collect()
}

impl Errors {
    pub fn of(tried: &[Tried], values: &Values) -> Self {
        let (mut distance, mut relative, mut count) = (0.0, 0.0, 0_u32);
        for (said, came) in tried.iter().flatten() {
            let Some(came) = came else { continue };
            let (off, size) = ((said - came).abs(), said.abs() + came.abs());
            distance += off;
            relative += if size > 0.0 { 200.0 * off / size } else { 0.0 };
            count += 1;
        }
        let mean = |sum: f64| (count > 0).then(|| sum / f64::from(count));
        let mae = mean(distance);
        let step = mean_step(values, 1).filter(|step| *step > 0.0);
        let mase = mae.zip(step).map(|(mae, step)| mae / step).filter(|mase| mase.is_finite());
        Self { mae, mase, smape: mean(relative) }
    }
}

/// Whether the first was nearer than the second in the mean, by more than chance explains: by a standard error of the
/// difference, or, so that one outlier decides nothing, in more forecasts than a tossed coin would have it. Forecasts that look
/// so many times at the same bucket, `overlap`, are so many times fewer.
pub fn is_nearer(first: &[Tried], second: &[Tried], overlap: f64) -> bool {
    let differences: Vec<f64> = first.iter().zip(second).filter_map(|(a, b)| Some(off(b)? - off(a)?)).collect();
    let n = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / n;
    if differences.len() < ORIGINS_MIN || mean <= 0.0 {
        return false;
    }
    let square = differences.iter().map(|difference| (difference - mean).powi(2)).sum::<f64>();
    let error = (square / (n - 1.0) / n * overlap).sqrt();
    let won = |difference: &f64| {
        if *difference == 0.0 { 0.5 } else { f64::from(u8::from(*difference > 0.0)) }
    };
    let share = differences.iter().map(won).sum::<f64>() / n;
    mean >= SURE_BY_MEAN * error || share - 0.5 >= SURE_BY_SHARE * 0.5 * (overlap / n).sqrt()
}

/// How many forecasts from these places look at the same bucket.
pub fn overlap(origins: &[usize], horizon: usize) -> f64 {
    match origins {
        [first, .., last] if last > first => {
            (horizon as f64 * (origins.len() - 1) as f64 / (last - first) as f64).max(1.0)
        }
        _ => 1.0,
    }
}

/// The mean distance of one forecast.
pub fn off(tried: &Tried) -> Option<f64> {
    let off: Vec<Option<f64>> = tried.iter().map(|(said, came)| came.map(|came| (said - came).abs())).collect();
    super::values::mean(&off)
}
