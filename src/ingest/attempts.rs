//! What is known of the attempts to write a batch, while they go on and when they are given up.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::ledger::Claim;
use super::outcome::Outcome;
use crate::storage::StorageError;

/// What a batch keeps from one attempt to the next.
#[derive(Default)]
pub struct Attempts {
    /// Batch ids already drawn: an attempt that may have committed is looked up by them.
    batch_ids: BTreeMap<(Arc<str>, String), i64>,
    /// A unique index was hit (rowstore profile): go through the staging table.
    pub staged: bool,
    /// The last attempt's transaction, until it is known to be over.
    pub transaction: Option<TransactionId>,
    /// What the last attempt answers if its COMMIT, whose reply did not come, did happen.
    pub unconfirmed: Option<Vec<Verdict>>,
}

/// A transaction, and the run of the server that it belongs to: after a crash the number can be given out again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionId {
    /// Its number with epoch, as text.
    pub xid: String,
    pub server_start: Timestamp,
}

/// How one submission fared in a committed attempt.
#[derive(Debug, Clone)]
pub enum Verdict {
    Written(Outcome),
    /// Written before, or not to be written.
    Claimed(Claim),
}

/// A batch that was not written.
pub struct Unwritten {
    pub error: StorageError,
    /// What was tried; its `unconfirmed` says whether COMMIT may have happened.
    pub attempts: Attempts,
    /// Others were in the way, or there was no time left: nothing is said about the database.
    pub crowded: bool,
}

impl Attempts {
    /// The batch id of a (tenant, stream), drawn once for all attempts.
    pub fn batch_id(&mut self, tenant_id: &Arc<str>, stream: &str, draw: impl FnOnce() -> i64) -> i64 {
        *self.batch_ids.entry((Arc::clone(tenant_id), stream.to_owned())).or_insert_with(draw)
    }

    /// The batch ids of attempts so far.
    pub fn batch_ids(&self) -> Vec<i64> {
        self.batch_ids.values().copied().collect()
    }
}

impl Unwritten {
    /// A batch that no writer came to in time.
    pub fn overdue() -> Self {
        let error = StorageError::retryable("requests waited too long for a writer");
        Self { error, attempts: Attempts::default(), crowded: true }
    }
}
