//! What a node knows of logs between reads.

use std::sync::Arc;

use deadpool_postgres::Pool;

use super::ahead::ReadAhead;
use super::passes::Passes;

#[derive(Clone)]
pub struct Logs {
    /// What was read of them.
    pub(super) ahead: Arc<ReadAhead>,
    /// Cursors that go on.
    pub(super) passes: Arc<Passes>,
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
