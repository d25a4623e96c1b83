//! Sizes of relations, noted once a day, so that `doctor` can tell how they grow.

use std::collections::BTreeMap;

use deadpool_postgres::Object;
use tokio_postgres::GenericClient;

use crate::storage::{StorageError, StoredChunk};

/// Notes sizes if that was not done today; returns of how many relations.
pub async fn take(client: &Object, chunks: &[StoredChunk]) -> Result<u64, StorageError> {
    let due = "SELECT NOT EXISTS (SELECT FROM storage_samples WHERE relation = 'database' \
               AND at BETWEEN now() - INTERVAL '23 hours 59 minutes' AND now())";
    if !client.query_one(due, &[]).await?.get::<_, bool>(0) {
        return Ok(0);
    }
    let mut sizes: BTreeMap<&str, i64> = BTreeMap::new();
    for (chunk, bytes) in chunks.iter().zip(bytes(&***client, chunks).await?) {
        *sizes.entry(chunk.relation.name()).or_default() += bytes;
    }
    let (relations, sizes): (Vec<&str>, Vec<i64>) = sizes.into_iter().unzip();
    Ok(client.execute(include_str!("../../sql/queries/lifecycle_samples.sql"), &[&relations, &sizes]).await?)
}

/// Bytes of chunks and partitions with everything that belongs to them, in their order.
pub async fn bytes(client: &impl GenericClient, chunks: &[StoredChunk]) -> Result<Vec<i64>, StorageError> {
    let names: Vec<&str> = chunks.iter().map(|chunk| chunk.name.as_str()).collect();
    let columnstores: Vec<Option<&str>> = chunks.iter().map(|chunk| chunk.columnstore.as_deref()).collect();
    let rows = client.query(include_str!("../../sql/queries/lifecycle_bytes.sql"), &[&names, &columnstores]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
