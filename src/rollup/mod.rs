//! Background jobs over what is stored. Every job has one shape ([`job`]): read one, know all.

mod correlate;
mod job;
mod lifecycle;
mod minutes;
mod seen;
mod touched;

pub use correlate::{Anomalies, Correlations};
pub use job::{Job, Running, start};
pub use lifecycle::Lifecycle;
pub use seen::Seen;
pub use touched::Spread;
