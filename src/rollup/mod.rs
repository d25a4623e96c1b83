//! The rollups: buckets of metrics and counts of events, kept right behind the rows.

mod closing;
mod floors;
mod late;
mod policies;
mod refresh;
mod rollups;
mod series;

pub use floors::{Floors, floors, floors_of_cells};
pub use late::Late;
pub use refresh::Refresh;
pub use rollups::{RollupLag, Rollups, rollup_lags};
pub use series::SeriesIds;
