//! Damped additive exponential smoothing (Holt and Winters, in the form that corrects by the error): a level, a trend that
//! fades, and what each place of the season adds.
//!
//! A bucket without a value corrects nothing: level and trend go on as they would have.

use serde::Serialize;

use super::values::{Values, mean, median};

/// How fast each part follows what comes, and how much of the trend is left a bucket later.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Parameters {
    pub alpha: f64,
    pub beta: f64,
    pub gamma: f64,
    pub phi: f64,
}

#[derive(Debug, Clone)]
pub struct State {
    level: f64,
    trend: f64,
    /// Of each place, the next one's at `next`; empty: no season.
    seasons: Vec<f64>,
    next: usize,
}

impl State {
    /// Where smoothing begins: at the first value, or with a season at what the first two of them say.
    pub fn begin(values: &Values, period: Option<usize>) -> Self {
        let Some(period) = period else {
            let level = values.iter().find_map(|value| *value).unwrap_or(0.0);
            return Self { level, trend: 0.0, seasons: Vec::new(), next: 0 };
        };
        let whole: Vec<&Values> = values.chunks_exact(period).take(SEASONS_BEGIN).collect();
        let means: Vec<f64> = whole.iter().filter_map(|season| mean(season)).collect();
        let level = means.first().copied().unwrap_or(0.0);
        let trend = match means[..] {
            [first, second, ..] => (second - first) / period as f64,
            _ => 0.0,
        };
        let place = |place: usize| {
            let of = |season: &&Values| Some(season[place]? - mean(season)?);
            let mut found: Vec<f64> = whole.iter().filter_map(of).collect();
            median(&mut found).unwrap_or(0.0)
        };
        let mut seasons: Vec<f64> = (0..period).map(place).collect();
        let middle = seasons.iter().sum::<f64>() / period as f64;
        seasons.iter_mut().for_each(|season| *season -= middle);
        Self { level, trend, seasons, next: 0 }
    }

    /// One bucket on; how far its value was from what was expected, where it has one.
    pub fn step(&mut self, parameters: &Parameters, value: Option<f64>) -> Option<f64> {
        let Parameters { alpha, beta, gamma, phi } = *parameters;
        self.trend *= phi;
        self.level += self.trend;
        let season = self.seasons.get(self.next).copied();
        let error = value.map(|value| value - self.level - season.unwrap_or(0.0));
        if let Some(error) = error {
            self.level += alpha * error;
            self.trend += beta * error;
        }
        if let Some(season) = self.seasons.get_mut(self.next) {
            *season += gamma * error.unwrap_or(0.0);
            self.next += 1;
            if self.next == self.seasons.len() {
                self.next = 0;
            }
        }
        error
    }

    /// What the next buckets are expected to be.
    pub fn ahead(&self, parameters: &Parameters, horizon: usize) -> Vec<f64> {
        let (mut level, mut trend, mut next) = (self.level, self.trend, self.next);
        let mut expected = Vec::with_capacity(horizon);
        for _ in 0..horizon {
            trend *= parameters.phi;
            level += trend;
            expected.push(level + self.seasons.get(next).copied().unwrap_or(0.0));
            next = if next + 1 >= self.seasons.len() { 0 } else { next + 1 };
        }
        expected
    }
}

/// Seasons that the first state is made of.
const SEASONS_BEGIN: usize = 2;

/// How much wider the error of each bucket ahead is than that of the first one, by what the errors before it leave behind.
pub fn growth(parameters: &Parameters, period: Option<usize>, horizon: usize) -> Vec<f64> {
    let Parameters { alpha, beta, gamma, phi } = *parameters;
    let (mut variance, mut fading, mut faded) = (1.0_f64, 1.0, 0.0);
    let mut widths = Vec::with_capacity(horizon);
    for ahead in 1..=horizon {
        widths.push(variance.sqrt());
        fading *= phi;
        faded += fading;
        let season = if period.is_some_and(|period| ahead.is_multiple_of(period)) { gamma } else { 0.0 };
        variance += (alpha + beta * faded + season).powi(2);
    }
    widths
}
