//! Chunks of hypertables: dropped, compressed and put in order, each in a transaction of
//! its own that waits for no lock longer than [`LIFECYCLE_LOCK_TIMEOUT`].
//!
//! No statement here locks a hypertable against its writers; docs/ARCHITECTURE.md, "Lifecycle", says which locks were found.

use deadpool_postgres::{Object, Transaction};

use crate::limits::LIFECYCLE_LOCK_TIMEOUT;
use crate::storage::{StorageError, StoredChunk, catalogue};

/// A transaction whose locks are not waited for.
pub async fn begin(client: &mut Object) -> Result<Transaction<'_>, StorageError> {
    let transaction = client.transaction().await?;
    let settings = format!("SET LOCAL lock_timeout = '{}ms'", LIFECYCLE_LOCK_TIMEOUT.as_millis());
    transaction.batch_execute(&settings).await?;
    Ok(transaction)
}

/// Drops the chunks of one slice of time, all of one relation: its space partitions expire together.
///
/// A reader of the whole table holds locks on other chunks of the slice, and may want those that are locked here already. So
/// the first is waited for with nothing in hand, the others not at all: a session that waits for nothing is in no deadlock.
pub async fn drop_slice(client: &mut Object, slice: &[&StoredChunk]) -> Result<u64, StorageError> {
    let Some(first) = slice.first() else { return Ok(0) };
    let transaction = begin(client).await?;
    for chunk in slice {
        let wait = if chunk.name == first.name { "" } else { "NOWAIT" };
        transaction.batch_execute(&format!("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE {wait}", chunk.name)).await?;
    }
    let dropped: i64 = transaction
        .query_one(
            "SELECT count(*) FROM public.drop_chunks($1::text::regclass, \
             older_than => to_timestamp($3::bigint / 1e6), newer_than => to_timestamp($2::bigint / 1e6))",
            &[&format!("tidegate.{}", first.relation.hypertable()), &first.from_us, &first.to_us],
        )
        .await?
        .get(0);
    transaction.commit().await?;
    Ok(dropped.unsigned_abs())
}

/// Steps in which a chunk is brought into order: rows beside the columnstore are taken in first, what is unordered is rewritten
/// after that.
const STEPS_MAX: usize = 3;

/// Brings a whole chunk into the columnstore, and into its order. True when that is done.
pub async fn compress(client: &mut Object, chunk: &StoredChunk) -> Result<bool, StorageError> {
    for _ in 0..STEPS_MAX {
        let transaction = begin(client).await?;
        // Small chunks compress poorly, and that is no news; `doctor` looks at the ratio of whole tables.
        transaction.batch_execute("SET LOCAL timescaledb.enable_compression_ratio_warnings = off").await?;
        let sql =
            "SELECT public.compress_chunk($1::text::regclass, if_not_compressed => true, recompress => true)::text";
        transaction.query_one(sql, &[&chunk.name]).await?;
        transaction.commit().await?;
        let Some(status) = catalogue::status(&***client, &chunk.name).await? else { return Ok(true) };
        if !(StoredChunk { status, ..chunk.clone() }).is_disordered() {
            return Ok(true);
        }
    }
    Ok(false)
}
