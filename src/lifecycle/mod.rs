//! The lifecycle of what is stored: one job for a database that expires, compresses and puts in order, one chunk after
//! another, each in a short transaction of its own.
//!
//! One job and not several, because two that work on chunks at the same time can deadlock; one lock at a time, waited for
//! half a second. What is due is read from the catalogue in every run ([`plan`]), so that nothing is lost with a process.
//! Whatever fails is noted, and does not stop what comes after it.

mod cells;
mod chunks;
mod clock;
mod growth;
mod job;
mod part;
mod partitions;
mod plan;
mod rows;
mod run;
mod samples;
mod series;
mod status;
mod tenants;

pub use growth::Growth;
pub use job::Lifecycle;
pub use part::Part;
pub use series::{AssetCount, SeriesCount, SeriesCounts};
pub use status::{
    CellStatus, JobStatus, LifecycleStatus, LifecycleView, OverQuota, RelationStatus, RollupStatus, waited,
};
