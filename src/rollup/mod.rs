//! Background jobs over what is stored. Every job has one shape ([`job`]): read one, know all.

mod job;
pub mod levels;
mod lifecycle;
mod touched;

pub use job::{Job, Running, start};
pub use levels::{LevelRetention, rollup_retention};
pub use lifecycle::Lifecycle;
pub use touched::Spread;
