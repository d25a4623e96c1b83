//! The robust z-score: how far a value is from its history, in spreads that outliers in the history do not widen. Pure.

use crate::limits::{ANOMALY_Z_MAX, ANOMALY_Z_MIN};

/// A median absolute deviation in standard deviations of a normal distribution.
const MAD_PER_DEVIATION: f64 = 0.6745;
/// A mean absolute deviation likewise, the other way round.
const DEVIATION_PER_MEAN: f64 = 1.2533;
/// Differences below this part of the values are the arithmetic of floating point.
const NOISE: f64 = 1e-9;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Score {
    pub median: f64,
    pub mad: f64,
    /// Robust z-score, within [`ANOMALY_Z_MAX`].
    pub z: f64,
}

impl Score {
    pub fn is_outlier(self) -> bool {
        self.z.abs() >= ANOMALY_Z_MIN
    }

    /// Strength of what is tied to it: 1/2 at the least outlier, towards 1.
    pub fn strength(self) -> f64 {
        self.z.abs() / (self.z.abs() + ANOMALY_Z_MIN)
    }
}

/// The score of a value; None without history. Where most of the history is one value the median deviation is 0, and the mean
/// deviation stands in; where all of it is, any difference is an outlier.
pub(super) fn score(value: f64, history: &[f64]) -> Option<Score> {
    let center = median(history.to_vec())?;
    let deviations: Vec<f64> = history.iter().map(|past| (past - center).abs()).collect();
    // Sums of values up to 1e140 stay within f64.
    let mean = deviations.iter().fold(0.0, |mean, deviation| mean + deviation / count(deviations.len()));
    let mad = median(deviations)?;
    let noise = NOISE * center.abs().max(value.abs());
    let difference = value - center;
    let z = if difference.abs() <= noise {
        0.0
    } else if mad > noise {
        MAD_PER_DEVIATION * difference / mad
    } else if mean > noise {
        difference / (DEVIATION_PER_MEAN * mean)
    } else {
        ANOMALY_Z_MAX.copysign(difference)
    };
    Some(Score { median: center, mad, z: z.clamp(-ANOMALY_Z_MAX, ANOMALY_Z_MAX) })
}

/// Confidence in a score by the number of buckets of its history.
pub(super) fn confidence(buckets: usize) -> f64 {
    count(buckets) / (count(buckets) + 24.0)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values[middle];
    Some(if values.len() % 2 == 1 { upper } else { values[middle - 1] / 2.0 + upper / 2.0 })
}

/// Histories are hours of a week: exact in f64.
fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::from(u32::MAX), f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * b.abs().max(1.0)
    }

    #[test]
    fn a_score_is_in_median_deviations() {
        // Median 3, deviations 2 1 0 1 2: median deviation 1.
        let found = score(10.0, &[1.0, 2.0, 3.0, 4.0, 5.0]).expect("a history");
        assert!(close(found.median, 3.0) && close(found.mad, 1.0) && close(found.z, 0.6745 * 7.0), "{found:?}");
        assert!(found.is_outlier());
        let below = score(-4.0, &[1.0, 2.0, 3.0, 4.0, 5.0]).expect("a history");
        assert!(close(below.z, -0.6745 * 7.0) && below.is_outlier());
        assert!(!score(5.0, &[1.0, 2.0, 3.0, 4.0, 5.0]).expect("a history").is_outlier());
    }

    #[test]
    fn an_even_history_has_its_median_between_two() {
        assert!(close(score(0.0, &[4.0, 1.0, 3.0, 2.0]).expect("a history").median, 2.5));
    }

    #[test]
    fn an_outlier_in_the_history_hides_no_other() {
        let mut history = vec![10.0, 11.0, 9.0, 10.5, 9.5, 10.0, 11.0];
        history.push(1e6);
        assert!(score(100.0, &history).expect("a history").is_outlier());
    }

    #[test]
    fn without_median_deviation_the_mean_one_counts() {
        let mut history = vec![5.0; 23];
        history.push(29.0);
        let found = score(29.0, &history).expect("a history");
        assert!(close(found.mad, 0.0) && close(found.z, 24.0 / 1.2533), "{found:?}");
    }

    #[test]
    fn against_a_constant_any_difference_is_an_outlier_and_noise_is_none() {
        let history = vec![0.1; 24];
        assert!(close(score(0.2, &history).expect("a history").z, ANOMALY_Z_MAX));
        assert!(close(score(0.0, &history).expect("a history").z, -ANOMALY_Z_MAX));
        assert!(close(score(0.1, &history).expect("a history").z, 0.0));
        assert!(close(score(0.1 + 1e-15, &history).expect("a history").z, 0.0));
        assert!(close(score(0.0, &[0.0; 24]).expect("a history").z, 0.0));
        assert!(score(1.0, &[]).is_none());
    }

    #[test]
    fn strength_is_one_half_at_the_bound_and_huge_values_stay_finite() {
        let at_bound = Score { median: 0.0, mad: 1.0, z: ANOMALY_Z_MIN };
        assert!(close(at_bound.strength(), 0.5));
        let huge = score(1e140, &[-1e140, 1e-300, 0.0, 1e140, 5.0]).expect("a history");
        assert!(huge.z.is_finite() && huge.strength() < 1.0);
        assert!(close(confidence(24), 0.5) && confidence(168) < 1.0);
    }
}
