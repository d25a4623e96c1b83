//! What a series of values over time says of where it goes.
//!
//! Pure: times in seconds and values in, figures out; no database, no clock. Values are scaled by their largest before
//! anything is squared, so that no finite input makes what is not finite; what would be too large for a double is None.

mod trend;

#[cfg(test)]
mod tests;

pub use trend::{POINTS_MIN, Trend, trend};
