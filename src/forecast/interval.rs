//! Where what comes lies between: from the errors of the backtest, each by how wide errors are so many buckets ahead.

use super::backtest::Tried;

/// How far below and above a forecast, where errors are as wide as one bucket ahead.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub below: f64,
    pub above: f64,
}

impl Spread {
    /// The part `level` of the errors lies between, as much of the rest on either side; never tighter than the forecast
    /// itself. `growth` is how wide errors are so many buckets ahead. None where there are no errors.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "casts of floats stop at the ends of the type"
    )]
    pub fn of(tried: &[Tried], growth: &[f64], level: f64) -> Option<Self> {
        let errors = tried.iter().flat_map(|one| one.iter().zip(growth));
        let mut errors: Vec<f64> = errors.filter_map(|((said, came), wide)| Some(((*came)? - said) / wide)).collect();
        if errors.is_empty() {
            return None;
        }
        errors.sort_unstable_by(f64::total_cmp);
        // So many at each end lie outside; where there are too few to tell, none.
        let outside = ((errors.len() + 1) as f64 * (1.0 - level) / 2.0).floor() as usize;
        let outside = outside.saturating_sub(1).min((errors.len() - 1) / 2);
        Some(Self { below: errors[outside].min(0.0), above: errors[errors.len() - 1 - outside].max(0.0) })
    }
}
