//! What a series of values over time says of where it goes.
//!
//! Pure: times in seconds and values in, figures out; no database, no clock. Values are scaled by their largest before
//! anything is squared, so that no finite input makes what is not finite; what would be too large for a double is None.

mod ahead;
mod backtest;
mod interval;
mod model;
mod naive;
mod simplex;
mod smoothing;
mod trend;
mod values;

#[cfg(test)]
mod ahead_tests;
#[cfg(test)]
mod parts_tests;
#[cfg(test)]
mod tests;

pub use ahead::{Asked, Backtest, Expected, Forecast, Method, Seasons, forecast, needed};
pub use backtest::Errors;
pub use smoothing::Parameters;
pub use trend::{POINTS_MIN, Trend, trend};
