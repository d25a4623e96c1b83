//! A connection for a writer, in time or not at all.

use std::time::Instant;

use deadpool_postgres::Object;

use crate::storage::{Database, StorageError};

/// A connection of the writers' pool. The pool's own timeouts do not cover the settings of a new session.
pub async fn connection(database: &Database, deadline: Instant) -> Result<Object, StorageError> {
    match tokio::time::timeout_at(deadline.into(), database.writer.get()).await {
        Ok(client) => client.map_err(StorageError::from),
        Err(_elapsed) => Err(silent()),
    }
}

/// The database gave no answer before the deadline.
pub fn silent() -> StorageError {
    StorageError::retryable("the database did not answer in time")
}
