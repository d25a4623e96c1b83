//! Background jobs over what is stored. Every job has one shape ([`job`]): read one, know all.

mod closing;
mod correlate;
mod floors;
mod job;
mod late;
pub mod levels;
mod lifecycle;
mod policies;
mod refresh;
mod rollups;
mod touched;

pub use floors::{Floors, floors};
mod minutes;
mod seen;

pub use correlate::{Anomalies, Correlations};
pub use job::{Job, Running, start};
pub use levels::{LevelRetention, rollup_retention};
pub use lifecycle::Lifecycle;
pub use rollups::{RollupLag, rollup_lags, start_rollups};
pub use seen::Seen;
pub use touched::Spread;
