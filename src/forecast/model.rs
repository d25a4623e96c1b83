//! A smoothing fitted to what is known, with the season that its past speaks for.

use super::simplex::least;
use super::smoothing::{Parameters, State};
use super::values::Values;

/// Whole seasons that must be known before one is considered: two to begin with, and one to be judged by.
pub const SEASONS_MIN: usize = 3;
/// How often a fit looks at all values, beside the places it begins at.
const LOOKS: usize = 80;
/// Places in the past from which seasons are judged.
const JUDGED_FROM: usize = 12;
/// A season must forecast so much better than none.
const BETTER: f64 = 0.98;
/// Less of a trend than this is left after a bucket only where there is hardly any, and more is no damping.
const PHI: (f64, f64) = (0.8, 0.98);

#[derive(Debug, Clone)]
pub struct Model {
    /// Buckets of a season; None: it has none.
    pub period: Option<usize>,
    pub parameters: Parameters,
    state: State,
}

impl Model {
    /// The parameters with which the error of each bucket, as expected by the one before it, is least: by its amount, not
    /// its square, so that a few outliers do not decide.
    fn fit(values: &Values, period: Option<usize>) -> Self {
        let begun = State::begin(values, period);
        let error = |parameters: &Parameters| {
            let mut state = begun.clone();
            let errors = values.iter().map(|value| state.step(parameters, *value).unwrap_or(0.0).abs());
            errors.sum::<f64>()
        };
        let parameters = match period {
            None => fitted(|[alpha, beta, phi]| parameters(alpha, beta, 0.0, phi), error),
            Some(_) => fitted(|[alpha, beta, phi, gamma]| parameters(alpha, beta, gamma, phi), error),
        };
        let mut state = begun;
        for value in values {
            state.step(&parameters, *value);
        }
        Self { period, parameters, state }
    }

    /// The best of these seasons, and none, that are known for long enough: the one that would have forecast the last third
    /// best, `horizon` buckets ahead.
    pub fn choose(values: &Values, periods: &[usize], horizon: usize) -> Self {
        let plain = Self::fit(values, None);
        let known: Vec<usize> = periods.iter().copied().filter(|period| period * SEASONS_MIN <= values.len()).collect();
        if known.is_empty() {
            return plain;
        }
        let bar = plain.missed(values, horizon) * BETTER;
        let seasonal = known.iter().map(|period| {
            let model = Self::fit(values, Some(*period));
            (model.missed(values, horizon), model)
        });
        let best = seasonal.min_by(|a, b| a.0.total_cmp(&b.0));
        match best {
            Some((missed, model)) if missed < bar => model,
            _ => plain,
        }
    }

    /// With this season, whatever its past says; None: without one.
    pub fn given(values: &Values, period: Option<usize>) -> Self {
        Self::fit(values, period)
    }

    pub fn ahead(&self, horizon: usize) -> Vec<f64> {
        self.state.ahead(&self.parameters, horizon)
    }

    /// The mean error of what these parameters would have said from some places of the last third on.
    fn missed(&self, values: &Values, horizon: usize) -> f64 {
        let first = values.len() * 2 / 3;
        let every = ((values.len() - first) / JUDGED_FROM).max(1);
        let mut state = State::begin(values, self.period);
        let (mut sum, mut count) = (0.0, 0_u32);
        for (index, value) in values.iter().enumerate() {
            if index >= first && (index - first).is_multiple_of(every) {
                let rest = &values[index..];
                for (said, value) in state.ahead(&self.parameters, horizon.min(rest.len())).iter().zip(rest) {
                    if let Some(value) = value {
                        sum += (said - value).abs();
                        count += 1;
                    }
                }
            }
            state.step(&self.parameters, *value);
        }
        if count == 0 { f64::INFINITY } else { sum / f64::from(count) }
    }
}

/// Parameters of the region in which smoothing is stable, from places of the unit cube.
fn parameters(alpha: f64, beta: f64, gamma: f64, phi: f64) -> Parameters {
    Parameters { alpha, beta: alpha * beta, gamma: (1.0 - alpha) * gamma, phi: PHI.0 + (PHI.1 - PHI.0) * phi }
}

/// From the best of a few places on.
fn fitted<const N: usize>(
    parameters: impl Fn([f64; N]) -> Parameters,
    error: impl Fn(&Parameters) -> f64,
) -> Parameters {
    let f = |place: &[f64; N]| error(&parameters(*place));
    let mut best = ([0.5; N], f64::INFINITY);
    for alpha in [0.05, 0.3, 0.9] {
        for beta in [0.02, 0.3] {
            for gamma in [0.05, 0.4] {
                let from = [alpha, beta, 0.5, gamma];
                let place: [f64; N] = std::array::from_fn(|axis| from[axis]);
                let found = f(&place);
                if found < best.1 {
                    best = (place, found);
                }
                if N < from.len() {
                    break;
                }
            }
        }
    }
    parameters(least(best.0, LOOKS, f).0)
}
