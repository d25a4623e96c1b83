//! The straight line through a series: by Theil and Sen, which outliers do not move, and by least squares, which says how
//! much of the series it explains.

use serde::Serialize;

/// Fewer say nothing of an error.
pub const POINTS_MIN: usize = 3;
const DAY_S: f64 = 86_400.0;
/// Standard deviations on both sides of a normal distribution's middle that hold 95 % of it.
const Z_95: f64 = 1.959_963_985;

/// Members are None where a double has no place for them, or where the series does not tell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trend {
    /// Buckets that have a value.
    pub points: usize,
    /// The median of the slopes between any two points (Theil-Sen).
    pub slope_per_day: Option<f64>,
    /// Its interval of 95 % (Sen), as wide as it is for errors that do not depend on each other.
    pub slope_lower: Option<f64>,
    pub slope_upper: Option<f64>,
    /// Of that line, at the first point and at the last one.
    pub level_start: Option<f64>,
    pub level_end: Option<f64>,
    /// From the one to the other.
    pub change: Option<f64>,
    /// The slope by least squares, its standard error, and the part of the variance that it explains; of a constant series
    /// there is none.
    pub ols_slope_per_day: Option<f64>,
    pub ols_standard_error: Option<f64>,
    pub r2: Option<f64>,
}

/// The trend of values at these times (seconds, each later than the one before), None for fewer than [`POINTS_MIN`]. It looks
/// at each pair of points: the caller bounds how many there are.
pub fn trend(points: &[(f64, f64)]) -> Option<Trend> {
    if points.len() < POINTS_MIN {
        return None;
    }
    let largest = points.iter().map(|(_, value)| value.abs()).fold(0.0, f64::max);
    // Not below the least normal number: what is divided by it stays finite.
    let scale = if largest == 0.0 { 1.0 } else { largest.max(f64::MIN_POSITIVE) };
    let begun = points[0].0;
    let scaled: Vec<(f64, f64)> = points.iter().map(|(at, value)| ((at - begun) / DAY_S, value / scale)).collect();
    let back = |value: f64| Some(value * scale).filter(|value| value.is_finite());

    let mut slopes = slopes(&scaled);
    let slope = median(&mut slopes);
    let (lower, upper) = interval(&mut slopes, scaled.len());
    let mut offsets: Vec<f64> = scaled.iter().map(|(at, value)| value - slope * at).collect();
    let start = median(&mut offsets);
    let days = scaled[scaled.len() - 1].0;
    let least = least_squares(&scaled);
    Some(Trend {
        points: points.len(),
        slope_per_day: back(slope),
        slope_lower: back(lower),
        slope_upper: back(upper),
        level_start: back(start),
        level_end: back(start + slope * days),
        change: back(slope * days),
        ols_slope_per_day: back(least.slope),
        ols_standard_error: back(least.error),
        r2: least.r2,
    })
}

/// Between any two points.
fn slopes(points: &[(f64, f64)]) -> Vec<f64> {
    let mut slopes = Vec::with_capacity(points.len() * (points.len() - 1) / 2);
    for (index, (at, value)) in points.iter().enumerate() {
        slopes.extend(points[..index].iter().map(|(before, was)| (value - was) / (at - before)));
    }
    slopes
}

/// The slopes so far from the middle by rank that 95 % lie between, by the variance of Kendall's S.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts of floats stop at the ends of the type"
)]
fn interval(slopes: &mut [f64], points: usize) -> (f64, f64) {
    let n = points as f64;
    let spread = Z_95 * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    let last = slopes.len() - 1;
    let middle = slopes.len() as f64;
    let low = ((middle - spread) / 2.0).floor() as usize;
    let high = (((middle + spread) / 2.0).ceil() as usize).min(last);
    (nth(slopes, low.min(last)), nth(slopes, high))
}

fn nth(values: &mut [f64], index: usize) -> f64 {
    *values.select_nth_unstable_by(index, f64::total_cmp).1
}

fn median(values: &mut [f64]) -> f64 {
    let half = values.len() / 2;
    let upper = nth(values, half);
    if values.len() % 2 == 1 {
        return upper;
    }
    (nth(values, half - 1) + upper) / 2.0
}

struct Least {
    slope: f64,
    error: f64,
    r2: Option<f64>,
}

fn least_squares(points: &[(f64, f64)]) -> Least {
    let n = points.len() as f64;
    let mean_at = points.iter().map(|(at, _)| at).sum::<f64>() / n;
    let mean = points.iter().map(|(_, value)| value).sum::<f64>() / n;
    let (mut across, mut together, mut total) = (0.0, 0.0, 0.0);
    for (at, value) in points {
        let (at, value) = (at - mean_at, value - mean);
        across += at * at;
        together += at * value;
        total += value * value;
    }
    let slope = together / across;
    let square = |(at, value): &(f64, f64)| (value - mean - slope * (at - mean_at)).powi(2);
    let left: f64 = points.iter().map(square).sum();
    // A constant that sums are rounded of varies by the last bits alone.
    let varies = total > n * f64::EPSILON * f64::EPSILON * 16.0;
    let error = (left / (n - 2.0) / across).sqrt();
    Least { slope, error, r2: varies.then(|| (1.0 - left / total).clamp(0.0, 1.0)) }
}
