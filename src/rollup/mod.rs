//! Background jobs over what is stored. Every job has one shape ([`job`]): read one, know all.

mod job;
mod lifecycle;

pub use job::{Job, Running, start};
pub use lifecycle::Lifecycle;
