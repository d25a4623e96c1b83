//! Events of a stream in the order of its log, by offset; and which streams there are.

mod ahead;
mod amount;
mod batches;
mod fetch;
mod fill;
mod logged;
mod logs;
mod pass;
mod passes;
mod piece;
mod range;
mod slots;
mod start;
mod streams;
mod wanted;

pub use batches::{LoggedBatch, Stretch};
pub use fetch::{LogPage, PageLimit};
pub use logged::LoggedEvent;
pub use logs::Logs;
pub use slots::{OrderedBy, SLOTS};
pub use start::{LogState, Position, Start, scope as stream_cursors};
pub use streams::{Stream, StreamsQuery};
pub use wanted::Wanted;
