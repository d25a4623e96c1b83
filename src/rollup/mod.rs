//! Background jobs over what is stored. Every job has one shape ([`job`]): read one, know all.

mod job;
mod lifecycle;
mod touched;

pub use job::{Job, Running, start};
pub use lifecycle::Lifecycle;
pub use touched::Spread;
