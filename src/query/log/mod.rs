//! Events of a stream in the order of its log, by offset.

mod batches;
mod fetch;
mod start;

pub use fetch::{LogPage, LoggedEvent};
pub use start::Start;
