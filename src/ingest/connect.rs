//! Connections for the writers, in time or not at all.

use std::time::{Duration, Instant};

use deadpool_postgres::Object;

use crate::storage::{Database, StorageError};

/// A connection of the writers' pool. The pool's own timeouts do not cover the settings of a new session.
pub async fn connection(database: &Database, deadline: Instant) -> Result<Object, StorageError> {
    match tokio::time::timeout_at(deadline.into(), database.writer.get()).await {
        Ok(client) => client.map_err(StorageError::from),
        Err(_elapsed) => Err(StorageError::silence()),
    }
}

/// Does something on a connection within `time`, the wait for the connection included. One on which it failed is not used again: it may lead nowhere, or to
/// a standby.
pub async fn ask<T>(
    database: &Database,
    time: Duration,
    work: impl AsyncFnOnce(&Object) -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    let deadline = Instant::now() + time;
    let client = connection(database, deadline).await?;
    let answer = tokio::time::timeout_at(deadline.into(), work(&client))
        .await
        .unwrap_or_else(|_elapsed| Err(StorageError::silence()));
    if answer.is_err() {
        drop(Object::take(client));
    }
    answer
}
