//! How transactions of the processor begin, and how a projection begins.

use deadpool_postgres::Object;

use crate::limits::PROJECTION_LOCK_WAIT;
use crate::storage::{StorageError, only_row};

/// Rows of assets are written by another job, too: a transaction that waits long for one gives way, and tries again.
pub async fn begin(client: &Object) -> Result<(), StorageError> {
    let wait_ms = PROJECTION_LOCK_WAIT.as_millis();
    client
        .batch_execute(&format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {wait_ms}; SET LOCAL jit = off"
        ))
        .await?;
    Ok(())
}

/// Holds the projection until the transaction ends: its tables are written only under this lock.
pub async fn hold(client: &Object, projection: &str) -> Result<(), StorageError> {
    let hold = client.prepare_cached("SELECT FROM projections WHERE name = $1 FOR UPDATE").await?;
    only_row(client.query_opt(&hold, &[&projection]).await?, "projections").map(drop)
}

/// Whether [`begin_projection`] was done. Before that the log is not to be believed where it says that a batch does not concern it.
pub async fn has_begun(client: &Object, projection: &str) -> Result<bool, StorageError> {
    let sql = "SELECT begun_at IS NOT NULL FROM projections WHERE name = $1";
    Ok(only_row(client.query_opt(sql, &[&projection]).await?, "projections")?.get(0))
}

/// Notes where each stream ended when a projection was new: before that the log says nothing of it. Once for a projection.
pub async fn begin_projection(client: &Object, projection: &str) -> Result<(), StorageError> {
    begin(client).await?;
    hold(client, projection).await?;
    let streams = client.execute(include_str!("../../sql/queries/projection_begin.sql"), &[&projection]).await?;
    client.execute("UPDATE projections SET begun_at = now() WHERE name = $1", &[&projection]).await?;
    client.batch_execute("COMMIT").await?;
    tracing::info!(projection, streams, "a projection is new here, and goes through what is stored");
    Ok(())
}
