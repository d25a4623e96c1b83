//! Events of a stream in the order of its log, by offset; and which streams there are.

mod amount;
mod batches;
mod fetch;
mod start;
mod streams;

pub use fetch::{LogPage, LoggedEvent, PageLimit};
pub use start::Start;
pub use streams::StreamsQuery;
