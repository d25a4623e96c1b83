//! What any model has to beat: everything stays as it is, or is as it was a season ago.

use super::values::{Values, newest};

/// The newest value, for each bucket to come.
pub fn naive(values: &Values, horizon: usize) -> Vec<f64> {
    vec![newest(values).unwrap_or(0.0); horizon]
}

/// The newest value at the same place of a season, or the newest of all where no season has one there.
pub fn seasonal(values: &Values, period: usize, horizon: usize) -> Vec<f64> {
    let last = newest(values).unwrap_or(0.0);
    let at = |ahead: usize| {
        let place = (values.len() + ahead) % period;
        (0..values.len()).rev().filter(|index| index % period == place).find_map(|index| values[index]).unwrap_or(last)
    };
    let one: Vec<f64> = (0..horizon.min(period)).map(at).collect();
    one.into_iter().cycle().take(horizon).collect()
}
