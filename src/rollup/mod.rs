//! The rollups: buckets of metrics and counts of events, kept right behind the rows.

mod closing;
mod floors;
mod late;
pub mod levels;
mod policies;
mod refresh;
mod rollups;

pub use floors::{Floors, floors};
pub use levels::{LevelRetention, rollup_retention};
pub use rollups::{RollupLag, Rollups, rollup_lags, start_rollups};
