//! Background jobs: the one shape that all of them have, and the queue of touched minutes that some of them work through.

mod failures;
mod job;
pub mod minutes;
mod touched;

pub use job::{FirstTurns, Job, RunCounts, RunningJob, run_now, start};
pub use touched::Spread;
