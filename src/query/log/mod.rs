//! Events of a stream in the order of its log, by offset; and which streams there are.

mod ahead;
mod amount;
mod batches;
mod fetch;
mod fill;
mod logged;
mod pass;
mod piece;
mod range;
mod slots;
mod start;
mod streams;
mod wanted;

pub use batches::{LoggedBatch, Stretch};
pub use fetch::{LogPage, PageLimit};
pub use logged::LoggedEvent;
pub use slots::{OrderedBy, SLOTS};
pub use start::{LogState, Position, Start, scope as stream_cursors};
pub use streams::{Stream, StreamsQuery};
pub use wanted::Wanted;

use std::sync::Arc;

use ahead::ReadAhead;
use deadpool_postgres::Pool;
use pass::Passes;

/// What is known of logs between reads.
#[derive(Clone)]
pub struct Logs {
    /// What was read of them.
    ahead: Arc<ReadAhead>,
    /// Cursors that go on.
    passes: Arc<Passes>,
}

impl Logs {
    /// Of a node that keeps so many bytes of them, and may have cursors on connections of exports.
    pub fn new(bytes_max: usize, exports: Pool) -> Self {
        Self { ahead: ReadAhead::new(bytes_max), passes: Passes::new(exports) }
    }

    /// Bytes of what is kept.
    pub fn bytes(&self) -> usize {
        self.ahead.bytes()
    }
}
